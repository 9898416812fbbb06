"""The dashboard in Notebook 7, whose own shortcuts want the arrow keys."""

from __future__ import annotations

from playwright.sync_api import expect

from .panel import Panel
from .test_staying_alive import everything_is_alive

CELLS = (
    """import dlwidgets as dlw
data = dlw.teaching.collages()
session = dlw.Session(
    dlw.teaching.SmallCNN(data.classes), data.train, data.valid, classes=data.classes, lr=1e-3, evaluate_every=25, epochs=99
)
dlw.Dashboard(session, show="full")""",
    "session.start();",
)


def test_the_dashboard_is_alive_in_notebook_7_and_answers_to_mouse_and_keyboard(notebook7):
    page = notebook7.open(CELLS)
    page.set_viewport_size({"width": 1280, "height": 1800})
    notebook7.run_all()
    panel = Panel(page)
    everything_is_alive(page)
    handle = panel.handle("Learning rate")
    handle.scroll_into_view_if_needed()
    handle.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    rate = notebook7.wait_until("session.lr > 1.2e-3 and session.applied['lr'] == session.lr and session.lr")
    expect(panel.fact("Learning rate")).to_have_text(f"in force {rate:.1e}".replace("e-0", "e-"))
    panel.drag("Learning rate", 0.25)
    notebook7.wait_until("session.applied['lr'] < 1e-4")
    page.locator(".dlw-conf-scores input").press("ArrowLeft")
    notebook7.wait_until("session.thresholds == 0.499")
    everything_is_alive(notebook7.reload())
    # Beside the notebook, at the right, with half of the width; there again after a reload.
    notebook7.cell(0).get_by_role("button", name="Open this Dashboard beside the notebook").click()
    beside = page.locator(".dlwidgets-beside")
    for _ in range(2):
        expect(beside.locator(".dlw-bar")).to_be_visible()
        expect(notebook7.cell(0).locator(".dlw-dash")).to_be_hidden()
        notebook7.wait_for(lambda: beside.bounding_box()["width"] > 600, "half of the width")
        notebook7.reload()
    notebook7.cell(0).get_by_role("button", name="Show here").click()
    expect(beside).to_have_count(0)
    expect(notebook7.cell(0).locator(".dlw-bar")).to_be_visible()
