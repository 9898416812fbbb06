"""The dashboard: one screen with tabs, or all views; on wide and narrow pages, in the light and in the dark."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .panel import Panel

BOARD = "session = new_session(evaluate_every=30); board = dlw.Dashboard(session{}); board"
#: What sticks out of the dashboard at the right, by its class; what may scroll sideways keeps it inside.
STICKS_OUT = """(board) => {
    const right = board.getBoundingClientRect().right + 1;
    const scrolls = (node) => node !== board && (/auto|scroll|hidden/.test(getComputedStyle(node).overflowX) || scrolls(node.parentElement));
    return [...board.querySelectorAll("*")].filter((node) => node.offsetParent && node.getBoundingClientRect().right > right
        && !scrolls(node.parentElement)).map((node) => `${node.tagName}.${node.className}: ${node.textContent.slice(0, 40)}`);
}"""
#: What there is at first sight: names of the controls, how often Tab stops, and how high it all is [px].
FIRST_SIGHT = """(board) => {
    const seen = [...board.querySelectorAll("*")].filter((node) => node.checkVisibility({ visibilityProperty: true }) && node.offsetWidth > 1);
    const controls = seen.filter((node) => node.matches("button, input, select, textarea, [role=slider]"));
    return {
        controls: controls.map((node) => node.getAttribute("aria-label") || node.textContent),
        stops: seen.filter((node) => node.tabIndex >= 0 && !node.disabled).length, height: board.offsetHeight,
    };
}"""


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (700, "dark")])
def test_the_full_dashboard_fits_the_page_in_either_theme(desk, theme, width):
    desk.page.set_viewport_size({"width": width, "height": 3000 if width < 1000 else 2000})
    desk.set_theme(theme)
    try:
        desk.run_cell(BOARD.format(", show='full'"))
        desk.kernel.execute("session.step(90)", timeout=120)
        board = desk.page.locator(".dlw-dash")
        expect(board.locator(".dlw-head-part .dlw-figure").nth(1)).to_have_text("step 90")
        expect(board.locator(".dlw-confusion .dlw-head")).to_contain_text("after step 90")
        expect(board.locator(".dlw-activations .dlw-act-moment")).to_contain_text("step 90")
        desk.screenshot(f"dashboard-{width}-{theme}", of=board)
        assert board.evaluate(STICKS_OUT) == []
        # The colours are those of the theme.
        for view in board.locator(".dlw").all():
            expect(view).to_have_attribute("data-theme", theme)
    finally:
        desk.set_theme("light")


def test_at_first_sight_there_is_one_screen_with_one_view_in_tabs(desk):
    page = desk.page
    page.set_viewport_size({"width": 1280, "height": 1600})
    desk.run_cell(BOARD.format(""))
    desk.kernel.execute("session.step(60)", timeout=120)
    board, panel = page.locator(".dlw-dash"), Panel(page)
    expect(board.locator(".dlw-confusion .dlw-head")).to_contain_text("after step 60")
    for width in (700, 1024, 1280):
        page.set_viewport_size({"width": width, "height": 1600})
        for name in ("doctor", "activations", "layers", "fine-tuning", "confusion"):
            board.get_by_role("tab", name=name).click()
            expect(board.get_by_role("tabpanel")).to_have_count(1)
            assert board.evaluate(STICKS_OUT) == [], (width, name)
            if width == 700:
                continue
            # A table has a mark to click in each of its rows.
            desk.wait_for(lambda: board.evaluate(FIRST_SIGHT)["height"] <= 800, f"{name} on one screen of {width} px")
            sight = board.evaluate(FIRST_SIGHT)
            assert (len(sight["controls"]) <= 27 or name == "layers") and sight["stops"] <= 40, sight
    # What is not shown is not drawn, and is right as soon as its tab is opened.
    desk.wait_until("board.layers._drawn == board.layers.frame")
    frames = "[board.layers.frame, board.activations.frame, board.curves.frame]"
    drawn = desk.kernel_eval(frames)
    desk.kernel.execute("session.start()")
    desk.wait_until("session.steps >= 150")
    desk.kernel.execute("session.pause()")
    # One may have been under way when the tab was left, and one goes unasked while a cell waits for the run.
    more = [after - before for before, after in zip(drawn, desk.kernel_eval(frames))]
    assert max(more[:2]) <= 2 and more[2] >= 6, more
    steps = desk.kernel_eval("session.steps")
    tab = board.get_by_role("tab", name="Confusion")
    tab.focus()
    page.keyboard.press("End")
    expect(board.get_by_role("tab", name="Doctor")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(board.locator(".dlw-finetune")).to_contain_text("parameters train")
    page.keyboard.press("ArrowLeft")
    expect(board.locator(".dlw-layers")).to_contain_text("Measured in step 1")
    page.keyboard.press("ArrowLeft")
    expect(board.get_by_role("tabpanel", name="Activations")).to_be_visible()
    expect(board.locator(".dlw-act-moment")).to_contain_text(f"step {steps}")
    # A layer that is chosen in the table is named where its maps are, until they were looked at.
    page.keyboard.press("ArrowRight")
    board.locator(".dlw-lay-line", has_text="stage2").first.click()
    desk.wait_until("session.selected_layer == 'stage2'")
    expect(board.get_by_role("tab", name="Activations")).to_contain_text("stage2 · sample 0")
    board.get_by_role("tab", name="Activations").click()
    expect(board.get_by_role("tab", name="Activations")).to_have_text("Activations")
    expect(board.locator(".dlw-act-what")).to_contain_text("stage2")
    # The sections stand behind one line.
    expect(panel.summary("Optimizer")).to_be_hidden()
    page.get_by_role("button", name="more: schedule").click()
    panel.summary("Optimizer").click()
    expect(panel.entry("weight_decay")).to_be_visible()
    # All of it is kept for the next page.
    desk.wait_until("board.tab == 'activations' and board.training._sections._open == ['more', 'optimizer']")
    desk.reload()
    expect(board.get_by_role("tab", name="Activations")).to_have_attribute("aria-selected", "true")
    expect(panel.entry("weight_decay")).to_be_visible()
    # Code and the page's own switch agree.
    desk.kernel.execute("board.show = 'full'")
    expect(board.locator(".dlw-layers")).to_be_visible()
    expect(board.get_by_label("Metrics of each class")).to_be_visible()
    page.get_by_role("button", name="simple").click()
    expect(board.get_by_label("Metrics of each class")).to_be_hidden()
    expect(board.locator(".dlw-layers")).to_be_hidden()
    desk.wait_until("board.show == 'simple'")


def test_tabs_and_folds_are_the_pages_own_while_a_cell_keeps_the_kernel_busy(desk):
    page = desk.page
    desk.run_cell(BOARD.format(""))
    board = page.locator(".dlw-dash")
    expect(board.get_by_role("tab", name="Confusion")).to_be_visible()
    desk.run_cell("import os\nwhile not os.path.exists('go-on'): time.sleep(0.05)\nos.remove('go-on')", 1, wait=False)
    try:
        board.get_by_role("tab", name="Layers").click()
        expect(page.locator(".dlw-layers")).to_be_visible()
        board.get_by_role("button", name="full", exact=True).click()
        expect(page.locator(".dlw-activations")).to_be_visible()
        page.get_by_role("button", name=re.compile("^simple")).click()
        expect(page.locator(".dlw-activations")).to_be_hidden()
    finally:
        (desk.server.root / "go-on").touch()
        desk.wait_for_cells()
    desk.wait_until("(board.show, board.tab) == ('simple', 'layers')")
