"""Every notebook of the course runs from top to bottom with no browser, as a grader or a script runs it."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.browser.server import wait_for_answer
from tests.notebooks.binder import Binder, as_pinned, pins, runs_as_on_binder

CHECKOUT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.slow
#: A cell of the course is meant to be waited for; none may take longer [s].
_LONGEST_CELL = 120
#: Notebook -> what it needs that the package does not; without that it is skipped.
_NEEDS = {"06_stand_on_shoulders": "skimage", "08_pytorch_and_keras": "keras"}


@pytest.fixture(scope="module")
def binder(tmp_path_factory) -> Iterator[Binder]:
    """Binder's environment, where the tests run on its Python and versions."""
    if not runs_as_on_binder():
        pytest.skip("Binder has another Python or other versions.")
    made = Binder(tmp_path_factory.mktemp("binder"))
    yield made
    shutil.rmtree(made.prefix)  # a gigabyte


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> Path:
    """The path of a notebook, each in turn."""
    return request.param


@pytest.fixture(scope="module")
def executed(notebook, request, tmp_path_factory) -> nbformat.NotebookNode:
    """The notebook after a run, on Binder's Python in Binder's environment; an error in any cell is raised."""
    if runs_as_on_binder():
        return nbformat.read(request.getfixturevalue("binder").ran / notebook.name, as_version=4)
    if notebook.stem in _NEEDS:
        pytest.importorskip(_NEEDS[notebook.stem])
    document = nbformat.read(notebook, as_version=4)
    surroundings = os.environ | {
        "PYTHONPATH": str(CHECKOUT),
        "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython")),
    }
    client = NotebookClient(
        document,
        timeout=_LONGEST_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path_factory.mktemp("run"))}},
        shutdown_kernel="immediate",
    )
    client.execute(env=surroundings)
    return document


def outputs(document: nbformat.NotebookNode):
    """Yield every output with the source of its cell."""
    for cell in document.cells:
        for output in cell.get("outputs", []):
            yield cell.source, output


@pytest.mark.timeout(900)
def test_a_notebook_runs_without_a_browser(executed):
    code = [cell for cell in executed.cells if cell.cell_type == "code" and cell.source.strip()]
    assert code and all(cell.execution_count for cell in code)


def test_a_run_warns_of_nothing(executed):
    said = [(source, output.text) for source, output in outputs(executed) if output.get("name") == "stderr"]
    assert not said


def test_every_view_is_kept_as_a_picture(executed):
    views = [
        output.data
        for _, output in outputs(executed)
        if ": a live view, " in output.get("data", {}).get("text/plain", "")
    ]
    assert views and all(base64.b64decode(data["image/png"]).startswith(b"\x89PNG") for data in views)
    # Viewers prefer HTML to the picture, and a widget that no page will ever draw.
    assert not [data for data in views if len(data) > 2]


def test_a_figure_is_shown_as_a_picture(executed):
    figures = [
        output.data
        for _, output in outputs(executed)
        if "<Figure" in output.get("data", {}).get("text/plain", "")
    ]
    assert all("image/png" in data for data in figures)


def test_a_notebook_is_kept_without_outputs(notebook):
    document = nbformat.read(notebook, as_version=4)
    nbformat.validate(document)
    for cell in document.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    assert "widgets" not in document.metadata
    assert document.metadata.kernelspec.name == "python3"


def test_a_notebook_starts_with_its_title(notebook):
    first = nbformat.read(notebook, as_version=4).cells[0]
    assert first.cell_type == "markdown" and re.match(r"# \S", first.source)


def test_a_lesson_without_its_library_says_what_to_install_and_does_nothing_else(tmp_path):
    document = nbformat.read(CHECKOUT / "notebooks" / "08_pytorch_and_keras.ipynb", as_version=4)
    hidden = nbformat.v4.new_code_cell("import sys\nsys.modules['keras'] = None  # as where it is not installed")
    document.cells.insert(0, hidden)
    surroundings = os.environ | {"PYTHONPATH": str(CHECKOUT), "IPYTHONDIR": str(tmp_path)}
    client = NotebookClient(document, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=surroundings)
    said = [output for _, output in outputs(document)]
    assert len(said) == 1 and "%pip install keras" in said[0].text


def test_there_is_a_tour():
    assert "00_tour" in [path.stem for path in NOTEBOOKS]


# -- Binder

#: What mybinder.org gives everyone for sure [bytes]. The server has 0.12e9 of it; of what is counted here of a kernel
#: 0.15e9 are pages of files, which can go.
_MEMORY = 1e9
#: What Binder has to fetch before it can start, unpacked; without `postBuild`'s cuts it is 1.77e9 [bytes].
_SIZE = 1.3e9


def test_binder_gets_the_pinned_set_and_nothing_of_the_tests(binder):
    found = json.loads(binder.run("python", "-m", "pip", "list", "--format", "json"))
    versions = {as_pinned(one["name"]): one["version"].partition("+")[0] for one in found}
    assert not {"pytest", "notebook", "river"} & versions.keys()
    assert not [name for name in versions if name.startswith("nvidia")]
    # What Binder's base image has in versions of its own.
    free = {"pip", "setuptools", "dlwidgets"}
    assert {name: version for name, version in versions.items() if name not in free} == {
        name: version for name, version in pins().items() if name in versions
    }


def test_all_code_runs_with_one_thread_on_binder(binder):
    binder.surroundings.pop("OMP_NUM_THREADS", None)
    said = binder.run(CHECKOUT / "binder" / "start", "python", "-c", "import torch; print(torch.get_num_threads())")
    assert said.strip() == "1"


def test_binder_has_little_to_fetch(binder):
    assert int(binder.run("du", "-sk", binder.prefix).split()[0]) * 1024 < _SIZE


def test_each_notebook_fits_into_binders_memory(binder):
    assert 300e6 < binder.peak < _MEMORY


def test_no_notebook_wants_the_network(binder):
    assert binder.asked.read_text() == ""
    with pytest.raises(AssertionError, match="A notebook wants to reach 192.0.2.1"):
        binder.run("python", "-c", "import socket; socket.create_connection(('192.0.2.1', 80))", "ipykernel")
    assert "192.0.2.1" in binder.asked.read_text()


@pytest.mark.timeout(600)  # the environment is removed after it, which is the last
def test_binder_starts_on_the_tour_with_the_extension(binder, tmp_path):
    # As BinderHub starts a server: by way of Python, with the options after it.
    by_python = "import os, sys; os.execvp('jupyter-lab', sys.argv)"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server_options = ("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=")
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [CHECKOUT / "binder" / "start", "python3", "-c", by_python, *server_options, f"--port={port}"],
            cwd=CHECKOUT, env=binder.surroundings, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        page = wait_for_answer(f"http://127.0.0.1:{port}/", server).decode()
    finally:
        server.terminate()
        server.wait(20)
    data = json.loads(re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
    assert data["treePath"] == "notebooks/00_tour.ipynb"
    assert "dlwidgets" in [one["name"] for one in data["federated_extensions"]]
