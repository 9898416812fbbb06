"""The wheel, built and installed as a person would get it, and what `import dlwidgets` costs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.check_release import check, versions
from tests.stamp_extension import address

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "dlwidgets"
#: Where JupyterLab finds an extension, below the folder of an environment.
EXTENSION = "share/jupyter/labextensions/dlwidgets"
#: What benchmarks alone compare with, which no test wants.
_BENCHMARKED = ("fastai", "lightning", "skorch", "torchinfo", "torchmetrics")
HEAVY = ("pandas", "scipy", "sklearn", "matplotlib", "seaborn", "keras")


def say(*command: str | Path, cwd: Path) -> str:
    """Run a command outside the checkout; return what it printed, and fail with that where it failed."""
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=surroundings, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the checkout by the build backend alone."""
    folder = tmp_path_factory.mktemp("wheel")
    say(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=CHECKOUT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A new environment with the wheel in it, and the libraries of the present one for it to use."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", with_pip=False)
    scripts = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    site = Path(
        say(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    say(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=folder,
    )
    # Appended to the path, so that the wheel comes first, and read as a plain folder: its own .pth files,
    # and with them an editable install of the checkout, are not followed.
    (site / "present.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_installed_package_is_the_wheels_own(installed, tmp_path):
    place = say(installed, "-c", "import dlwidgets; print(dlwidgets.__file__)", cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(installed.parents[1])


def test_the_wheel_carries_every_file_of_the_package_and_every_notebook(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(CHECKOUT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wanted |= {f"dlwidgets/notebooks/{path.name}" for path in (CHECKOUT / "notebooks").glob("*.ipynb")}
    assert wanted <= inside, sorted(wanted - inside)
    assert {
        "dlwidgets/py.typed",
        "dlwidgets/views/front.js",
        "dlwidgets/views/vendor/uPlot.LICENSE",
    } <= inside
    files = (PACKAGE / "labextension").rglob("*.js*")
    shared = {f"{EXTENSION}/{path.relative_to(PACKAGE / 'labextension').as_posix()}" for path in files}
    assert shared <= {name.partition(".data/data/")[2] for name in inside}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in inside)


def test_jupyterlab_is_told_of_each_new_text_of_the_extension():
    # It is served as if it never changed: only another address makes a page load it anew.
    said = json.loads((PACKAGE / "labextension" / "package.json").read_text("utf-8"))
    assert said["jupyterlab"]["_build"]["load"] == address(), "Run python tests/stamp_extension.py"


def test_the_wheel_carries_nothing_else(wheel):
    strays = [
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if not re.match(rf"dlwidgets(-[\d.]+\.dist-info)?/|dlwidgets-[\d.]+\.data/data/{EXTENSION}/", name)
        or ".ipynb_checkpoints" in name
        or "__pycache__" in name
    ]
    assert not strays


def test_the_source_archive_builds_the_same_wheel(wheel, tmp_path):
    say(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=CHECKOUT)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    say(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=source)
    (second,) = tmp_path.glob("*.whl")
    built = [{one.filename: one.CRC for one in zipfile.ZipFile(path).infolist()} for path in (wheel, second)]
    assert built[0] == built[1]


def test_every_public_name_resolves_from_outside_the_checkout(installed, tmp_path):
    code = "import dlwidgets as d, json; print(json.dumps({n: str(getattr(d, n)) for n in d.__all__}))"
    found = json.loads(say(installed, "-c", code, cwd=tmp_path))
    assert {"Session", "summary", "Scores", "activations", "Dashboard", "teaching"} <= set(found)


def test_the_console_script_copies_the_notebooks_that_came_in_the_wheel(installed, tmp_path):
    script = installed.with_name("dlwidgets" + installed.suffix)
    said = say(script, "demo", tmp_path / "course", "--copy-only", cwd=tmp_path)
    assert f"The notebooks are in {tmp_path / 'course'}" in said
    tour = (tmp_path / "course" / "00_tour.ipynb").read_bytes()
    assert tour == (CHECKOUT / "notebooks" / "00_tour.ipynb").read_bytes()


def test_importing_the_session_and_every_view_loads_no_library_that_takes_seconds(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import dlwidgets as dlw\n"
        "for name in dlw.__all__: getattr(dlw, name)\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert say(sys.executable, "-c", code, cwd=tmp_path).strip() == "[]"


def test_a_torch_model_is_shown_and_trained_without_other_frameworks(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import dlwidgets as dlw, torch\n"
        "model, X, y = torch.nn.Sequential(torch.nn.Linear(3, 2)), torch.rand(8, 3), torch.arange(8) % 2\n"
        "dlw.summary(model, X); dlw.activations(model, X); session = dlw.Session(model, train=(X, y), epochs=1).fit()\n"
        "dlw.LayerTable(session); dlw.TrainingPanel(session); session.to_script('run.py')\n"
        "print([name for name in ('keras', 'tensorflow', 'jax') if name in sys.modules])"
    )
    assert say(sys.executable, "-c", code, cwd=tmp_path).strip().endswith("[]")


# -- what a person types, and what CI and Binder do, is one thing


def test_ci_runs_the_very_test_command_of_the_readme():
    assert _commands()[1] in _text(".ci/run").splitlines()


@pytest.mark.parametrize("words", [{}, {"python3": "py -${{ matrix.python }}", ".venv/bin/": ".venv\\Scripts\\"}])
def test_the_workflow_runs_the_very_commands_of_the_readme_in_each_systems_words(words):
    run = re.findall(r"^ +(?:- )?run: (.+)$", _text(".github/workflows/tests.yml"), re.MULTILINE)
    demo, test = _commands()
    for command in (f"{demo} --copy-only", test):  # JupyterLab would wait for somebody to close it
        for ours, theirs in words.items():
            command = command.replace(ours, theirs)
        assert command in run


def test_the_workflow_tests_every_python_that_the_package_names():
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', _text("pyproject.toml"))
    (tested,) = re.findall(r"^ +python: \[(.+)\]$", _text(".github/workflows/tests.yml"), re.MULTILINE)
    assert re.findall(r"[\d.]+", tested) == named


# -- a release


def test_the_extension_has_the_version_of_the_package():
    found = versions(CHECKOUT)
    assert found["dlwidgets/labextension/package.json"] == found["dlwidgets/__init__.py"]


@pytest.mark.parametrize(
    "tag, own, extension, changes, faults",
    [
        ("v1.2.0", "1.2.0", "1.2.0", "## Unreleased\n\n## 1.2.0 (a day)\n\n* More.\n\n## 1.1.0\n", 0),
        ("v1.2.0", "1.2.0", "1.2.0", "## 1.2.0\n", 0),
        ("v1.2.0", "1.1.0", "1.2.0", "## 1.2.0\n", 1),
        ("v1.2.0", "1.2.0", "1.1.0", "## 1.2.0\n", 1),
        ("v1.2.0", "1.2.0", "1.2.0", "## 1.1.0\n", 1),
        ("v1.2.0", "1.2.0", "1.2.0", "## Unreleased\n\n* More.\n", 2),
        ("v1.2", "1.2.0", "1.2.0", "## 1.2.0\n", 3),
    ],
)
def test_a_tag_is_released_where_every_place_states_its_version(tmp_path, tag, own, extension, changes, faults):
    (tmp_path / "dlwidgets" / "labextension").mkdir(parents=True)
    (tmp_path / "dlwidgets" / "__init__.py").write_text(f'__version__ = "{own}"\n')
    (tmp_path / "dlwidgets" / "labextension" / "package.json").write_text(json.dumps({"version": extension}))
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{changes}")
    assert len(check(tag, tmp_path)) == faults


def test_the_long_description_points_at_no_file_beside_it(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    stated = message_from_bytes(archive.read(name))
    text = stated.get_payload(decode=True).decode()
    assert stated["Description-Content-Type"] == "text/markdown"
    assert re.findall(r"\]\((?!https://)[^)]*\)", text) == []
    assert "`notebooks/00_tour.ipynb`: the tour" in text and "](https://mybinder.org/v2/gh/" in text


def test_the_readme_binder_and_ci_install_the_same_pinned_set():
    assert (CHECKOUT / "binder" / "constraints.txt").exists()
    assert _text("README.md").count("-c binder/constraints.txt") >= 2
    assert "-c binder/constraints.txt" in _text(".ci/run")
    assert "-c constraints.txt" in _text("binder/packages.txt").splitlines()
    assert "-r binder/packages.txt" in _text("binder/postBuild")


def test_the_readmes_links_to_binder_and_through_a_hub_open_notebooks_of_this_repository():
    links = [urlsplit(found) for found in re.findall(r"https://(?:mybinder\.org/v2|HUB)/[^\s)]+", _text("README.md"))]
    (binder,) = [link for link in links if link.netloc == "mybinder.org"]
    (hub,) = [link for link in links if link.netloc == "HUB"]
    assert re.fullmatch(r"/v2/gh/ORG/REPO/[\w.-]+", binder.path) and hub.path == "/hub/user-redirect/git-pull"
    asked, pulled = dict(parse_qsl(binder.query)), dict(parse_qsl(hub.query))
    assert pulled.keys() == {"repo", "branch", "urlpath"} and pulled["repo"] == "https://github.com/ORG/REPO"
    # Binder has the repository itself as its folder; on a hub it becomes a folder in the student's.
    for opened, start in ((asked["urlpath"], "lab/tree/"), (pulled["urlpath"], "lab/tree/REPO/")):
        assert opened.startswith(start) and (CHECKOUT / opened.removeprefix(start)).is_file()


def test_what_runs_here_is_within_what_the_package_asks_for():
    from importlib.metadata import PackageNotFoundError, version

    for line in _project()["dependencies"]:
        wanted = Requirement(line)
        try:
            have = version(wanted.name)
        except PackageNotFoundError:
            pytest.fail(f"{wanted.name} is asked for and not installed")
        assert wanted.specifier.contains(have, prereleases=True), f"{line}, and {have} is installed"


def test_the_pinned_set_pins_everything_that_the_package_and_its_extras_name():
    pins = [
        Requirement(line) for line in _text("binder/constraints.txt").splitlines() if line and line[0] != "#"
    ]
    exact = {canonicalize_name(pin.name): pin.specifier for pin in pins}
    project = _project()
    named = [
        *project["dependencies"],
        *(line for line in _text("binder/packages.txt").splitlines() if line[0] not in "#-"),
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    for line in named:
        wanted = Requirement(line)
        if wanted.name == "dlwidgets":
            continue
        (pin,) = exact[canonicalize_name(wanted.name)]
        assert pin.operator == "==" and wanted.specifier.contains(pin.version), f"{line}, pinned as {pin}"


def test_no_file_names_a_registry_but_binders_cpu_index():
    if not (CHECKOUT / ".git").exists():
        pytest.skip("This is no git checkout: which files belong to the project is not written down here.")
    tracked = say("git", "ls-files", cwd=CHECKOUT).split()
    host = re.compile(r"(pypi\.org|pythonhosted|registry\.npmjs|deb\.debian|download\.pytorch)")
    here = Path(__file__).name
    named = {
        name
        for name in tracked
        if Path(name).suffix not in (".png", ".ipynb", ".zip", ".safetensors")
        and Path(name).name != here
        and host.search(_text(name))
    }
    assert named <= {"binder/packages.txt"}


def test_the_oldest_set_has_the_oldest_version_that_each_bound_allows():
    pins = [Requirement(line) for line in _text("tests/oldest.txt").splitlines() if line and line[0] != "#"]
    exact = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    project = _project()
    named = [*project["dependencies"], *(one for part in project["optional-dependencies"].values() for one in part)]
    for wanted in map(Requirement, named):
        bounds = [one.version for one in wanted.specifier if one.operator == ">="]
        name = canonicalize_name(wanted.name)
        if bounds and (name in exact or wanted.marker is None) and name not in _BENCHMARKED:
            assert Version(exact[name]).release[:2] == (*Version(bounds[0]).release, 0)[:2], wanted


def _commands() -> tuple[str, str]:
    """Return the README's two commands: the demo, and the tests."""
    demo, test = re.findall(r"^python3 -m venv \.venv && .*$", _text("README.md"), re.MULTILINE)
    return demo, test


def _text(name: str) -> str:
    return (CHECKOUT / name).read_text("utf-8")


def _project() -> dict:
    if sys.version_info < (3, 11):
        tomllib = pytest.importorskip("tomli")
    else:
        import tomllib
    return tomllib.loads(_text("pyproject.toml"))["project"]
