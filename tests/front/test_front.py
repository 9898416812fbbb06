"""The browser side, checked without a browser: its types by tsc, its pure functions by node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VENDOR = HERE.parents[1] / "dlwidgets" / "views" / "vendor"
_OLDEST_NODE = (20, 19)  # the first that takes a .js file with an export for a module, with no package.json


def run(*command: str) -> str:
    """Run a command here; return what it said, and fail with that where it failed."""
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=170)
    said = (done.stdout + done.stderr).strip()
    assert done.returncode == 0, f"{' '.join(command)}:\n{said}"
    return said


@pytest.fixture(scope="module")
def node() -> str:
    """The path of a Node that can run the tests."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("Node is not installed: the browser side is left unchecked here.")
    version = run(path, "--version")
    if tuple(int(part) for part in version.lstrip("v").split(".")[:2]) < _OLDEST_NODE:
        pytest.skip(f"Node {version} is older than 20.19: the browser side is left unchecked here.")
    return path


@pytest.fixture(scope="module")
def tools(node) -> Path:
    """The folder of the development tools named in package.json, installed where they are missing."""
    folder, lock = HERE / "node_modules", HERE / "package-lock.json"
    done = folder / ".package-lock.json"
    if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed: the types of the browser side are left unchecked here.")
        try:
            run(npm, "ci", "--no-audit", "--no-fund")
        except (AssertionError, subprocess.TimeoutExpired) as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"The development tools could not be installed: {error}")
    return folder


@pytest.mark.slow
def test_every_view_passes_the_strict_type_check(node, tools):
    run(node, str(tools / "typescript" / "bin" / "tsc"), "--project", "tsconfig.json")


def test_the_pure_functions_pass_their_tests(node):
    tests = sorted(path.name for path in HERE.glob("*.test.js"))
    assert tests, "There is no tests/front/*.test.js to run."
    run(node, "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test", *tests)


@pytest.mark.parametrize(
    ("vendored", "published"),
    [
        ("uPlot.iife.min.js", "dist/uPlot.iife.min.js"),
        ("uPlot.min.css", "dist/uPlot.min.css"),
        ("uPlot.LICENSE", "LICENSE"),
    ],
)
def test_uplot_is_vendored_as_published(tools, vendored, published):
    assert (VENDOR / vendored).read_bytes() == (tools / "uplot" / published).read_bytes()


def test_the_lock_file_names_no_registry():
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    assert not [name for name, about in packages.items() if "resolved" in about]
    assert all("integrity" in about for name, about in packages.items() if name)
