"""What shows this kernel, and what it can do there."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple


class Frontend(NamedTuple):
    """A host of notebooks, or what runs Python without one.

    Attributes
    ----------
    name : "jupyter", "colab", "vscode", "kaggle", "databricks", "voila", "marimo", "jupyterlite", "nbclient" (a
        program executes the notebook), "terminal" (IPython) or "script".
    label : what people call it.
    has_threads : whether Python can start a thread there.
    shows_threads : whether the page shows what another thread than the main one sends.
    keeps_state : whether a notebook that is saved there keeps the state of its widgets.
    pages : whether a page comes, which shows widgets live.
    """

    name: str
    label: str
    has_threads: bool = True
    shows_threads: bool = True
    keeps_state: bool = False
    pages: bool = True


#: Sources: googlecolab/colabtools#3373 (threads in Colab); microsoft/vscode-jupyter#4404 (VS Code saves no state);
#: docs.databricks.com, "ipywidgets" (none there); pyodide.org, "Pyodide Python compatibility" (no threads in wasm).
_FRONTENDS = {
    one.name: one
    for one in (
        Frontend("jupyter", "JupyterLab or Notebook", keeps_state=True),
        Frontend("colab", "Google Colab", shows_threads=False, keeps_state=True),
        Frontend("vscode", "VS Code"),
        Frontend("kaggle", "Kaggle", keeps_state=True),
        Frontend("databricks", "Databricks"),
        Frontend("voila", "Voilà"),
        Frontend("marimo", "marimo"),
        Frontend("jupyterlite", "JupyterLite", has_threads=False, keeps_state=True),
        Frontend("nbclient", "a program that executes notebooks", keeps_state=True, pages=False),
        Frontend("terminal", "IPython in a terminal", pages=False),
        Frontend("script", "a script", pages=False),
    )
}


def find_frontend() -> Frontend:
    """Return what shows this process by its documented signs."""
    return _FRONTENDS[_find_name()]


def in_notebook() -> bool:
    """Say whether this process is the kernel of a notebook."""
    return hasattr(find_shell(), "kernel")


def _find_name() -> str:
    signs, shell = os.environ, find_shell()
    # A module asked for, never imported: what shows us has imported it already.
    runs = getattr(sys.modules.get("marimo"), "running_in_notebook", bool)
    if sys.platform == "emscripten":
        return "jupyterlite"
    if runs():
        return "marimo"
    if not hasattr(shell, "kernel"):
        return "script" if shell is None else "terminal"
    # A shell in the same container, or a script started there, has these variables too, but no kernel.
    if "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in signs:
        return "colab"
    if _in_vscode(signs, shell):
        return "vscode"
    if signs.get("SERVER_SOFTWARE", "").startswith("voila"):
        return "voila"
    if "DATABRICKS_RUNTIME_VERSION" in signs:
        return "databricks"
    # nbclient, and so nbconvert and papermill, says with each cell that it answers no question.
    if not _cell_of(shell).get("allow_stdin", True):
        return "nbclient"
    return "kaggle" if "KAGGLE_KERNEL_RUN_TYPE" in signs else "jupyter"


def _in_vscode(signs: Mapping[str, str], shell: Any) -> bool:
    """Say whether VS Code shows the kernel.

    It names the notebook's file in the cells' namespace. Its variables are those of a terminal in it as well, from
    which a JupyterLab may have been started, whose kernels know their notebook by a variable of Jupyter's server.
    """
    if "__vsc_ipynb_file__" in getattr(shell, "user_ns", ()):
        return True
    return "VSCODE_PID" in signs and "JPY_SESSION_NAME" not in signs and signs.get("TERM_PROGRAM") != "vscode"


def _cell_of(shell: Any) -> Mapping[str, Any]:
    """Return the request that the cell under way came with."""
    try:
        return shell.get_parent().get("content", {})
    except Exception:  # noqa: BLE001 - none yet, or a shell that keeps none
        return {}


def find_shell() -> Any:
    """Return IPython's shell, or None: asked, never imported."""
    return getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
