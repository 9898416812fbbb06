"""A notebook that a program has run, as a page of HTML: readable with no kernel, no server and no network."""

from __future__ import annotations

import subprocess
import sys

import nbformat

from .server import private_environment

CELLS = (
    """import dlwidgets as dlw
data = dlw.teaching.collages(n_train=256, n_valid=64)
session = dlw.Session(
    dlw.teaching.MLP(32 * 32, data.classes, hidden=(8,)), data.train, data.valid, classes=data.classes, epochs=2
)
dlw.Dashboard(session)""",
    "session.fit(progress=False);",
)
#: Of each picture its width on the page and that of the file, 0 where it is broken.
_PICTURES = "() => [...document.images].map((image) => [image.getBoundingClientRect().width, image.naturalWidth])"


def test_a_page_made_by_nbconvert_shows_the_trained_picture_with_the_network_cut(browser, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbformat.write(notebook, tmp_path / "run.ipynb")
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", "run.ipynb"]
    subprocess.run(command, cwd=tmp_path, env=private_environment(tmp_path / "home"), check=True, timeout=120)
    context = browser.new_context(viewport={"width": 1280, "height": 960})
    page = context.new_page()
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
    page.goto((tmp_path / "run.html").as_uri(), wait_until="load")
    (shown, natural), *others = page.evaluate(_PICTURES)
    assert not others and 600 < shown <= 1280 and natural >= shown
    assert not page.get_by_text("Error").or_(page.get_by_text("Loading widget")).count()
    context.close()
