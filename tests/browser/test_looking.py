"""The pictures under mouse and keyboard: curves zoomed and read, a threshold moved."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from .kernel import stopped

#: What the page paints in the frame after the threshold slider moved, with the time it took [ms].
_MOVE = """async (slider, [position, frames]) => {
    const tiles = () => [...slider.closest(".dlw-confusion").querySelectorAll(".dlw-conf-tile b")].map((b) => b.textContent);
    const frame = () => new Promise((done) => requestAnimationFrame(() => done()));
    await frame();
    const from = performance.now();
    slider.value = String(position);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    for (let n = 0; n < frames; n += 1) await frame();
    return { tiles: tiles(), took: performance.now() - from };
}"""


def trained(steps: int, view: str) -> str:
    """Return the cell that shows a view of a session trained for some steps."""
    return f"session = quick_session(); session.step({steps})\nview = dlw.{view}(session)\nview"


@pytest.fixture
def curves(desk) -> Locator:
    """The curves of a session paused at step 120, with two evaluations and two changes."""
    desk.run_cell(
        "session = quick_session(batch_size=100, evaluate_every=40); session.step(60)\n"
        "session.lr = 3e-3; session.step(60)\nview = dlw.Curves(session)\nview"
    )
    return desk.page.locator(".dlw-curves")


def over(curves: Locator) -> dict[str, float]:
    """Return where the loss plot lies on the page."""
    curves.scroll_into_view_if_needed()
    box = curves.locator(".u-over").first.bounding_box()
    assert box is not None
    return dict(box)


def test_the_curves_say_the_values_under_the_pointer(desk, curves):
    reading = curves.locator(".dlw-reading")
    # With no pointer, what the values at the curves' ends are of: they are not said twice.
    expect(reading).to_have_text(re.compile(r"^step 120 · train: mean of last 6 steps · valid: step 120( · ‖grad‖: step \d+)?$"))
    box = over(curves)
    desk.page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 20)
    expect(reading).to_contain_text("step 48 ")
    valid = desk.kernel_eval("session.history().valid_loss.dropna().iloc[0]")
    expect(reading).to_contain_text(re.compile(rf"train\s0\.\d+ · valid\s{valid:#.3g} at 40 · LR\s1\.0e-3"))
    desk.page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 20)
    expect(reading).to_contain_text("LR 3.0e-3")


def test_the_curves_are_zoomed_by_a_drag_and_shown_whole_by_a_double_click(desk, curves):
    page, box = desk.page, over(curves)
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 60, steps=6)
    page.mouse.up()
    first, last = desk.wait_until("view.window")
    assert abs(first - 30) <= 1 and abs(last - 60) <= 1
    expect(curves.get_by_role("button", name="Show all")).to_be_visible()
    page.mouse.dblclick(box["x"] + 0.5 * box["width"], box["y"] + 40)
    assert desk.wait_until("view.window == []")
    expect(curves.get_by_role("button", name="Show all")).to_be_hidden()


def test_the_curves_are_read_and_zoomed_with_the_keyboard(desk, curves):
    page, reading = desk.page, curves.locator(".dlw-reading")
    curves.locator(".dlw-plots").focus()
    page.keyboard.press("+")
    desk.wait_until("view.window == [30, 90]")
    page.keyboard.press("ArrowLeft")
    expect(reading).not_to_contain_text("step 120")
    page.keyboard.press("Escape")
    desk.wait_until("view.window == []")
    expect(curves.locator(".dlw-plots")).to_be_focused()


def test_a_change_is_marked_under_the_curves(desk, curves):
    mark = curves.locator(".dlw-mark:not([data-found])")
    expect(mark).to_have_count(1)
    mark.hover()
    expect(curves.locator(".dlw-reading")).to_have_text("step 60: lr → 0.003 (code)")


def test_the_loss_axis_turns_logarithmic_and_back(desk, curves):
    button = curves.get_by_role("button", name="log")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(curves.locator(".uplot")).to_have_count(3)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")


def test_a_moved_threshold_is_painted_by_the_page_alone_then_becomes_the_sessions(desk, measured):
    desk.run_cell(f"{trained(200, 'ConfusionGrid')}")
    desk.kernel.execute("found = session.evaluate()")
    grid = desk.page.locator(".dlw-confusion")
    slider = grid.get_by_role("slider", name="Threshold")
    expect(grid.locator(".dlw-head")).to_contain_text("after step 200")
    with stopped(desk):
        painted = {position: slider.evaluate(_MOVE, [position, 2]) for position in (100, 250, 400, 731)}
    for position, seen in painted.items():
        wanted = desk.kernel_eval(
            "[float(f) for f in __import__('sklearn.metrics').metrics.f1_score("
            f"data.valid[1].numpy(), session.scores.y_score >= {position} / 1000, average=None)]"
        )
        assert [float(text) for text in seen["tiles"]] == pytest.approx(wanted, abs=0.0051)
    desk.wait_until("session.thresholds == 0.731")
    measured("threshold moved -> grid painted, 10 classes", _times(slider))


def _times(slider: Locator) -> list[float]:
    return [slider.evaluate(_MOVE, [position, 1])["took"] / 1000 for position in range(50, 950, 30)]


def test_the_keyboard_moves_the_threshold(desk):
    desk.run_cell(trained(5, "ConfusionGrid"))
    desk.kernel.execute("found = session.evaluate()")
    slider = desk.page.get_by_role("slider", name="Threshold")
    slider.focus()
    for _ in range(3):
        desk.page.keyboard.press("ArrowRight")
    desk.wait_until("session.thresholds == 0.503")
    # The notebook took none of the keys for itself.
    desk.page.keyboard.press("d")
    desk.page.keyboard.press("d")
    expect(slider).to_be_visible()


def test_a_threshold_set_in_code_moves_the_slider_and_stays(desk):
    desk.run_cell(trained(5, "ConfusionGrid"))
    desk.kernel.execute("found = session.evaluate(); session.thresholds = 1 / 3")
    expect(desk.page.locator(".dlw-conf-limit output")).to_have_text(re.compile(r"0\.333"))
    assert desk.kernel_eval("session.thresholds") == pytest.approx(1 / 3, abs=1e-12)


def test_the_classes_are_sorted_and_listed_in_a_table(desk):
    desk.run_cell(trained(120, "ConfusionGrid"))
    desk.kernel.execute("found = session.evaluate()")
    grid = desk.page.locator(".dlw-confusion")
    expect(grid.locator(".dlw-head")).to_contain_text("after step 120")
    grid.get_by_label("Sort by").select_option("f1")
    shown = grid.locator(".dlw-conf-tile").locator("b")
    desk.wait_until("view.look['sort'] == 'f1'")
    placed = grid.locator(".dlw-conf-tile").evaluate_all(
        "(tiles) => tiles.map((tile) => [tile.offsetTop, tile.offsetLeft, Number(tile.querySelector('b').textContent)]).sort("
        "(a, b) => a[0] - b[0] || a[1] - b[1]).map((tile) => tile[2])"
    )
    assert placed == sorted(placed) and shown.count() == 10
    grid.get_by_role("button", name=re.compile("^more")).click()
    grid.get_by_role("button", name="Table").click()
    expect(grid.locator("tbody tr:visible")).to_have_count(10)
    desk.wait_until("view.look['table'] is True")


def test_a_tile_says_its_cells_in_words(desk):
    desk.run_cell(trained(30, "ConfusionGrid"))
    desk.kernel.execute("found = session.evaluate()")
    grid = desk.page.locator(".dlw-confusion")
    tile = grid.locator(".dlw-conf-tile").nth(3)
    tile.hover(position={"x": 30, "y": 58})
    expect(grid.locator(".dlw-head")).to_contain_text("after step 30")
    missed = desk.kernel_eval("int(session.scores.confusion()[3, 1, 0])")
    expect(grid.locator(".dlw-conf-words")).to_contain_text(f"{missed} have 3 and were missed")
