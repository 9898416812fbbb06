"""Cells of a real kernel: whose picture is kept beside a widget, and what an interrupt says."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ExecutePreprocessor

pytestmark = pytest.mark.slow
MADE = """
import time, dlwidgets as dlw
data = dlw.teaching.collages(n_train=256, n_valid=64)
model = dlw.teaching.MLP(32 * 32, data.classes, hidden=(8,))
session = dlw.Session(model, train=data.train, valid=data.valid, classes=data.classes, epochs={epochs})
"""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))


def test_an_executed_notebook_as_html_shows_the_trained_run():
    kept = "shown = board._repr_mimebundle_()[0]['image/png']; print(shown)"
    cells = [
        MADE.format(epochs=2) + "board = dlw.Dashboard(session); board",
        kept,
        "session.fit(progress=False); None",
        kept,
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    ExecutePreprocessor(timeout=120, kernel_name="python3").preprocess(notebook, {})
    before, after = (notebook.cells[number].outputs[0].text.strip() for number in (1, 3))
    html, _ = HTMLExporter().from_notebook_node(notebook)
    pictures = re.findall(r'<img[^>]* src="data:image/png;base64,([^"]+)"', html)
    assert [re.sub(r"\s", "", picture) for picture in pictures] == [after] != [before]
    assert base64.b64decode(after).startswith(b"\x89PNG")
    # A page would need scripts from the network to draw the widget, and shows nothing without.
    assert 'type="application/vnd.jupyter.widget-view+json"' not in html.split("<main>")[1]


def test_an_interrupt_says_what_it_did_not_end_and_how_that_is_paused():
    manager, client = start_new_kernel(kernel_name="python3")

    def run(code: str, interrupt_at: str = "") -> tuple[str, str]:
        """Return what a cell prints, and its error; interrupted once it has printed so much."""
        printed, error = "", ""

        def hear(message):
            nonlocal printed, error
            content = message["content"]
            printed += content.get("text", "") if content.get("name") == "stdout" else ""
            error = content.get("ename", error)
            if interrupt_at and content.get("text", "").endswith(interrupt_at):  # once, not at what follows
                manager.interrupt_kernel()

        client.execute_interactive(code, output_hook=hear, timeout=60)
        return printed, error

    try:
        run(MADE.format(epochs=1000) + "panel = dlw.TrainingPanel(session); panel")
        way = "Pause in the panel, or session.pause(), pauses it.\n"
        for wait in ("time.sleep(60)", "await session.done()"):
            printed, error = run(f"session.start(); print('now')\n{wait}", "now\n")
            assert error and printed == f"now\nThe interrupt ended the cell, not the training: {way}"
        manager.interrupt_kernel()
        said = "panel._head.project()['said']"
        until = time.monotonic() + 30
        while run(f"print({said})")[0] != f"An interrupt does not end the training: {way}":
            assert time.monotonic() < until
        printed, error = run("print('now'); session.fit()", "now\n")
        assert not error and re.search(r"paused the run after step [\d,]+: resume\(\) goes on\.\n", printed)
        assert run(f"print(session.status, {said})")[0] == "paused \n"
        printed, error = run("print('now'); time.sleep(60)", "now\n")
        assert (printed, error) == ("now\n", "KeyboardInterrupt")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
