"""Which host shows a kernel, by the signs that each of them documents."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from dlwidgets.core.base.frontend import find_frontend, in_notebook


class Shell:
    """A shell as IPython's, with a kernel behind it or none."""

    def __init__(self, kernel: bool = True, names: tuple[str, ...] = (), **content: object) -> None:
        self.user_ns, self._content = dict.fromkeys(names), content
        if kernel:
            self.kernel = object()

    def get_parent(self) -> dict[str, object]:
        return {"content": self._content}


@pytest.fixture
def among(monkeypatch):
    """Return what finds the frontend for a shell, environment variables and modules that are loaded."""

    def find(shell, modules=(), platform="linux", **variables):
        for name in [*os.environ]:
            if name.startswith(("COLAB_", "VSCODE_", "KAGGLE_", "DATABRICKS_", "JPY_", "TERM_PROGRAM", "SERVER_")):
                monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for name in modules:
            monkeypatch.setitem(sys.modules, name, SimpleNamespace(running_in_notebook=lambda: True))
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
        return find_frontend().name

    return find


def test_without_a_kernel_it_is_a_script_or_a_terminal_whatever_variables_are_set(among):
    colab = {"COLAB_RELEASE_TAG": "release"}
    assert among(None, **colab) == "script"
    assert among(Shell(kernel=False), **colab) == "terminal"
    assert not in_notebook() and not find_frontend().pages


@pytest.mark.parametrize(
    ("name", "modules", "variables"),
    [
        ("jupyter", (), {}),
        ("colab", ("google.colab",), {}),
        ("colab", (), {"COLAB_RELEASE_TAG": "release-colab"}),
        ("vscode", (), {"VSCODE_PID": "7"}),
        ("voila", (), {"SERVER_SOFTWARE": "voila/0.5.8"}),
        ("kaggle", (), {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}),
        ("databricks", (), {"DATABRICKS_RUNTIME_VERSION": "16.4"}),
        ("marimo", ("marimo",), {}),
    ],
)
def test_a_kernel_is_told_by_what_its_host_sets(among, name, modules, variables):
    assert among(Shell(), modules, **variables) == name


def test_jupyterlab_started_in_a_terminal_of_vs_code_is_not_vs_code(among):
    assert among(Shell(), VSCODE_PID="7", JPY_SESSION_NAME="/home/one.ipynb") == "jupyter"
    assert among(Shell(), VSCODE_PID="7", TERM_PROGRAM="vscode") == "jupyter"
    # It connects to a server of Jupyter's too, and names the file in its kernels.
    assert among(Shell(names=("__vsc_ipynb_file__",)), JPY_SESSION_NAME="/home/one.ipynb") == "vscode"


def test_a_notebook_that_is_executed_has_no_page_but_voilas(among):
    asks_nothing = Shell(allow_stdin=False)
    assert among(asks_nothing) == among(asks_nothing, KAGGLE_KERNEL_RUN_TYPE="Batch") == "nbclient"
    assert not find_frontend().pages
    assert among(asks_nothing, SERVER_SOFTWARE="voila/0.5.8") == "voila" and find_frontend().pages


def test_webassembly_has_no_threads(among):
    assert among(Shell(), platform="emscripten") == "jupyterlite" and not find_frontend().has_threads
