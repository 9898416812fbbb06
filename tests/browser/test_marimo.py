"""The dashboard in marimo, which draws anywidgets and has controls of its own."""

from __future__ import annotations

import re

from playwright.sync_api import expect

APP = """import marimo
app = marimo.App()

@app.cell
def _():
    import dlwidgets as dlw
    data = dlw.teaching.collages(n_train=256, n_valid=64)
    session = dlw.Session(
        dlw.teaching.MLP(32 * 32, data.classes, hidden=(8,)), data.train, data.valid, classes=data.classes, epochs=9999
    )
    board = dlw.Dashboard(session)
    board.training.limits(lr=(1e-4, 1e-1)).lock("batch_size", "undo")
    board
    return
"""


def test_a_dashboard_in_marimo_trains_in_the_background_and_is_steered_by_marimos_controls(marimo):
    (marimo.server.root / "app.py").write_text(APP)
    page = marimo.open_page()
    head, curves = page.locator(".dlw-head-part"), page.locator(".dlw-curves")
    rate, size = (page.locator("marimo-slider [role=slider]").nth(number) for number in (0, 1))
    expect(size).to_have_attribute("data-disabled", "")
    rate.press("End")
    page.get_by_role("button", name="Start or pause").click()
    expect(head).to_contain_text("running")
    expect(curves).to_contain_text(re.compile(r"step [1-9]"))
    seen = curves.locator(".dlw-reading").inner_text()
    expect(curves.locator(".dlw-reading")).not_to_have_text(seen)  # the training thread's pictures reach the page
    expect(curves.get_by_role("group", name=re.compile("LR 1.0e-1"))).to_be_visible()
    page.get_by_role("button", name="Start or pause").click()
    expect(head).to_contain_text("paused")
    page.get_by_role("button", name="Undo").click()
    expect(head).to_contain_text("undo is locked in this panel.")
    page.get_by_role("tab", name="Layers").click()
    expect(page.locator(".dlw-layers")).to_contain_text("Measured in step")
