"""Runs the tests that hold on every backend of Keras under TensorFlow and under JAX; CI does not.

    .venv/bin/python tests/keras_backends.py [--folder FOLDER] [arguments of pytest]

Each backend has an environment of its own in the folder (`.keras` beside this project's files, if none is given), made
where it is missing: with the versions of `binder/constraints.txt`, and the backend. Both take about five gigabytes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path

import tomllib

PROJECT = Path(__file__).parents[1]
#: Backend -> the package that it is in, and what installs it.
BACKENDS = {"tensorflow": ("tensorflow-cpu", "tensorflow-cpu"), "jax": ("jax", "jax[cpu]")}
#: What the tests want beside the project's own requirements.
TESTED_WITH = ["keras", "hypothesis", "packaging", "psutil", "pytest", "pytest-timeout", "pytest-xdist"]
#: Says in a line which versions are installed.
VERSIONS = 'import sys, importlib.metadata as m; print(", ".join(f"{n} {m.version(n)}" for n in sys.argv[1:]))'


def make_environment(folder: Path, backend: str) -> Path:
    """Return the python of a backend's environment, made where it is missing."""
    python = folder / backend / ("Scripts" if os.name == "nt" else "bin") / "python"
    ready = folder / backend / "ready"
    if not ready.exists():
        print(f"{backend}: makes an environment in {folder / backend}", flush=True)
        venv.create(folder / backend, with_pip=True)
        own = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
        install = [python, "-m", "pip", "install", "-q", "-c", PROJECT / "binder" / "constraints.txt"]
        subprocess.run([*install, *own, *TESTED_WITH, BACKENDS[backend][1]], check=True)
        ready.touch()
    return python


def run_tests(python: Path, backend: str, arguments: list[str]) -> tuple[str, bool]:
    """Return the result of the tests under a backend in a line, and whether all passed."""
    every = sorted((PROJECT / "tests").rglob("test_*.py"))
    marked = [path for path in every if "mark.any_backend" in path.read_text("utf-8")]
    surroundings = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [python, "-m", "pytest", "-m", "any_backend", "-q", "-n", "0", "-p", "no:cacheprovider", "-W", "ignore"]
    found = subprocess.run(
        [*command, *arguments, *marked], cwd=PROJECT, env=surroundings, text=True, stdout=subprocess.PIPE
    )
    if found.returncode:
        print(found.stdout, flush=True)
    said = (found.stdout.strip().splitlines() or ["nothing was said"])[-1].strip("= ")
    asked = [python, "-c", VERSIONS, BACKENDS[backend][0], "keras", "torch", "numpy"]
    versions = subprocess.run(asked, text=True, stdout=subprocess.PIPE, check=True).stdout.strip()
    return f"{backend}: {said} ({versions})", not found.returncode


def main() -> int:
    """Run both backends and print a line of each; return 0 if all tests passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=PROJECT / ".keras")
    given, arguments = parser.parse_known_args()
    folder = given.folder.expanduser().resolve()
    results = [run_tests(make_environment(folder, backend), backend, arguments) for backend in BACKENDS]
    print("\n".join(line for line, _ in results))
    return 0 if all(passed for _, passed in results) else 1


if __name__ == "__main__":
    sys.exit(main())
