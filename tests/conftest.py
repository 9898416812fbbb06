"""What all tests share: the order they run in, the processes they are shared out to, their surroundings."""

from __future__ import annotations

import builtins
import gc
import os
import sys
from pathlib import Path

import pytest

# Before torch is imported anywhere: with two cores, one thread of arithmetic leaves one core to the browser.
# Tests of the threads themselves set their own.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Keras would look for TensorFlow; the script that runs these tests on other backends says which.
os.environ.setdefault("KERAS_BACKEND", "torch")
# Tests start some hundred interpreters: none need compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# nbformat would check web addresses by it, which no notebook here needs; it takes four seconds to load.
sys.modules.setdefault("rfc3987_syntax", None)

_HERE = Path(__file__).parent
_BROWSER = _HERE / "browser"
#: From the quick and exact to the slow and whole: what is broken below is said before what it breaks above.
_ORDER = (
    "test_house.py",
    "core",
    "teaching",
    "views",
    "front",
    "test_demo.py",
    "test_package.py",
    "notebooks",
    "benchmarks",
    "browser",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    shared_out = hasattr(config, "workerinput")

    def place(item):
        name = item.path.relative_to(_HERE).parts[0] if item.path.is_relative_to(_HERE) else ""
        if shared_out and name == "browser":
            return -1  # a process of their own works on them from the start
        return _ORDER.index(name) if name in _ORDER else 1

    for item in items:
        if item.path.is_relative_to(_HERE / "browser"):
            item.add_marker("browser")
            item.add_marker(pytest.mark.timeout(400))
    items.sort(key=place)


def pytest_collection_finish():
    """Take what was imported and collected for lasting: a `gc.collect()` of a test need not walk over it."""
    gc.collect()
    gc.freeze()


def pytest_runtest_teardown():
    """Stop what a test left training, or it trains beside all that follow."""
    if "dlwidgets.session" in sys.modules:
        for session in sys.modules["dlwidgets.session"]._living():
            if session.status == "running":
                session.stop(wait=False)


def pytest_xdist_auto_num_workers(config):
    """Two processes for folders; for files that are named one, whose output is seen as it comes."""
    return 0 if all(name.partition("::")[0].endswith(".py") for name in config.args) else 2


def pytest_xdist_make_scheduler(config, log):
    """Share the tests out by the file, in their order; those of the browser are one file.

    Two browsers at once are too many for two cores.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "browser" if nodeid.startswith("tests/browser/") else nodeid.partition("::")[0]

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="session")
def profile(tmp_path_factory):
    """A folder for what IPython keeps: it makes some fifty files in each."""
    return tmp_path_factory.mktemp("ipython")


@pytest.fixture
def bare(profile, monkeypatch):
    """A shell of IPython that shows HTML, as a kernel's does, with no extension loaded."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.setenv("IPYTHONDIR", str(profile))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"hist_file": ":memory:"}}))
    shell.display_formatter.active_types = shell.display_formatter.format_types
    yield shell
    shell.reset(new_session=False)
    shell.history_manager.end_session()
    # A shell puts a module of its own in the place of __main__, and names among the builtins.
    shell.restore_sys_module_state()
    vars(builtins).pop("__IPYTHON__", None)
    vars(builtins).pop("display", None)
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(bare):
    """A shell with the extension of dlwidgets."""
    bare.run_line_magic("load_ext", "dlwidgets")
    return bare
