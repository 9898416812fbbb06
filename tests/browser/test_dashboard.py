"""The whole dashboard: how it lies on wide and narrow pages, in the light and in the dark."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

BOARD = "session = new_session(evaluate_every=30); board = dlw.Dashboard(session); board"
#: What sticks out of the dashboard at the right, by its class; what may scroll sideways keeps it inside.
_STICKS_OUT = """(board) => {
    const right = board.getBoundingClientRect().right + 1;
    const scrolls = (node) => node !== board && (/auto|scroll|hidden/.test(getComputedStyle(node).overflowX) || scrolls(node.parentElement));
    return [...board.querySelectorAll("*")].filter((node) => node.offsetParent && node.getBoundingClientRect().right > right
        && !scrolls(node.parentElement)).map((node) => `${node.tagName}.${node.className}: ${node.textContent.slice(0, 40)}`);
}"""


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (700, "dark")])
def test_the_dashboard_fits_the_page_in_either_theme(desk, theme, width):
    desk.page.set_viewport_size({"width": width, "height": 2600 if width < 1000 else 1800})
    desk.set_theme(theme)
    try:
        desk.run_cell(BOARD)
        desk.kernel.execute("session.step(90)", timeout=120)
        board = desk.page.locator(".dlw-dash")
        expect(board.locator(".dlw-head-part .dlw-figure").nth(1)).to_have_text("step 90")
        expect(board.locator(".dlw-confusion .dlw-head")).to_contain_text("after step 90")
        expect(board.locator(".dlw-activations .dlw-act-moment")).to_contain_text("step 90")
        desk.screenshot(f"dashboard-{width}-{theme}", of=board)
        assert board.evaluate(_STICKS_OUT) == []
        # The colours are those of the theme.
        for view in board.locator(".dlw").all():
            expect(view).to_have_attribute("data-theme", theme)
    finally:
        desk.set_theme("light")
