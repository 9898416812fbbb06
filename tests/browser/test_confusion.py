"""The confusion grid under mouse and keyboard: thresholds moved with no kernel, best ones, cells pinned."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Locator, expect
from sklearn.metrics import f1_score

from .kernel import stopped

#: Note for each input event of a slider how long after its own time its frame was painted [ms].
_WATCH = """(grid) => {
    window.__painted = [];
    grid.addEventListener("input", (event) => {
        const from = event.timeStamp;
        requestAnimationFrame(() => {
            const after = new MessageChannel();
            after.port1.onmessage = () => window.__painted.push(performance.now() - from);
            after.port2.postMessage(0);
        });
    });
}"""
_TILES = "(grid) => [...grid.querySelectorAll('.dlw-conf-tile b')].map((b) => b.textContent)"


@pytest.fixture
def grid(desk) -> Locator:
    """The grid of an evaluated session of ten labels."""
    desk.run_cell(
        "session = quick_session(); session.step(200)\n"
        "found = session.evaluate()\nview = dlw.ConfusionGrid(session)\nview"
    )
    grid = desk.page.locator(".dlw-confusion")
    expect(grid.locator(".dlw-head")).to_contain_text("after step 200")
    return grid


def truth(desk) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and the scores that the grid shows."""
    y, p = desk.kernel_eval("[session.scores.y_true.tolist(), session.scores.y_score.astype(float).tolist()]")
    return np.array(y), np.array(p)


def f1_of(desk, thresholds: list[float] | float) -> list[float]:
    """Return what scikit-learn says of each class."""
    y, p = truth(desk)
    return f1_score(y, p >= np.asarray(thresholds), average=None).tolist()


def tiles(grid: Locator) -> list[float]:
    """Return the F1 that each tile carries."""
    return [float(text) for text in grid.evaluate(_TILES)]


def unfold(grid: Locator) -> None:
    """Show the rarer controls."""
    grid.locator(".dlw-conf-more").click()
    expect(grid.locator(".dlw-conf-rest")).to_be_visible()


def one_per_class(grid: Locator) -> None:
    """Give each tile its slider."""
    grid.get_by_role("button", name="per class").click()
    expect(grid.locator(".dlw-conf-own")).to_have_count(10)


#: What of the names, the bold numbers and the first row is wider than its place.
_CUT = """(grid) => [...grid.querySelectorAll(".dlw-conf-name, .dlw-conf-name *, .dlw-conf-limit, .dlw-conf-limit *")]
    .filter((part) => part.checkVisibility() && part.scrollWidth > part.clientWidth + 1 && part.clientWidth).map((part) => part.textContent)"""


def test_at_first_sight_there_is_one_row_of_controls_and_nothing_is_cut(desk, grid):
    row, more = grid.locator(".dlw-conf-limit"), grid.locator(".dlw-conf-more")
    expect(grid.locator(":is(button, input, select):visible")).to_have_count(6)
    assert row.bounding_box()["height"] <= 32
    macro = f"{np.mean(f1_of(desk, 0.5)):.2f}"
    expect(grid.locator(".dlw-conf-bold")).to_have_text(f"bold: F1, macro {macro}")
    for width in (1024, 700):
        desk.page.set_viewport_size({"width": width, "height": 800})
        desk.wait_for(lambda: grid.evaluate(_CUT) == [], f"what is cut at {width}")
        grid.get_by_role("button", name="per class").click()
        expect(grid.locator(".dlw-conf-own").first).to_be_visible()
        desk.wait_for(lambda: grid.evaluate(_CUT) == [], f"what is cut at {width}, with a threshold for each")
        grid.get_by_role("button", name="one for all").click()
        expect(grid.locator(".dlw-conf-own").first).to_be_hidden()
    unfold(grid)
    desk.wait_until("view.look['more'] is True")
    desk.reload()
    expect(more).to_have_attribute("aria-expanded", "true")
    expect(grid.get_by_label("Shade")).to_be_visible()


def test_each_class_has_its_threshold_and_moves_with_no_kernel(desk, grid):
    one_per_class(grid)
    names = desk.kernel_eval("list(session.scores.classes)")
    sliders = [grid.get_by_role("slider", name=f"Threshold of {name}", exact=True) for name in names]
    with stopped(desk):
        sliders[2].focus()
        for key in ("ArrowRight", "ArrowRight", "Shift+ArrowLeft", "Home", "Shift+ArrowRight", "ArrowUp"):
            desk.page.keyboard.press(key)
        expect(sliders[2]).to_have_js_property("value", "11")
        desk.page.keyboard.press("Escape")
        expect(grid.locator(".dlw-conf-tile").nth(2)).to_be_focused()
        box = sliders[7].bounding_box()
        assert box is not None
        desk.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        desk.page.mouse.down()
        desk.page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2, steps=5)
        desk.page.mouse.up()
        moved = int(sliders[7].evaluate("(slider) => slider.value"))
        assert 700 < moved < 900
        expect(grid.locator(".dlw-conf-whose")).to_have_text(f"Threshold of {names[7]}")
        seen = tiles(grid)
    wanted = [0.5] * 10
    wanted[2], wanted[7] = 0.011, moved / 1000
    assert seen == pytest.approx(f1_of(desk, wanted), abs=0.0051)
    desk.wait_until(f"session.thresholds == {wanted}")


def test_the_large_slider_moves_the_class_in_focus_and_is_painted_within_a_frame(desk, grid, measured):
    one_per_class(grid)
    grid.locator(".dlw-conf-tile").nth(4).focus()
    large = grid.locator(".dlw-conf-scores input")
    expect(large).to_have_attribute("aria-label", re.compile(r"^Threshold of .*, large$"))
    grid.evaluate(_WATCH)
    with stopped(desk):
        large.focus()
        for _ in range(40):
            desk.page.keyboard.press("ArrowLeft")
        box = large.bounding_box()
        assert box is not None
        desk.page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 20)
        desk.page.mouse.down()
        desk.page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 20, steps=60)
        desk.page.mouse.up()
        position = int(large.evaluate("(slider) => slider.value"))
        seen = tiles(grid)
        times = desk.page.evaluate("() => window.__painted")
    wanted = [0.5] * 10
    wanted[4] = position / 1000
    assert seen == pytest.approx(f1_of(desk, wanted), abs=0.0051)
    assert len(times) > 60
    measured("a class's threshold moved -> grid painted, kernel stopped", [ms / 1000 for ms in times])


def test_the_best_thresholds_come_with_what_they_are_worth_elsewhere(desk, grid):
    grid.get_by_role("button", name="Best F1").click()
    report = grid.locator(".dlw-conf-report")
    expect(report).to_contain_text(
        re.compile(r"on average 0\.\d\d on the half they were chosen on, 0\.\d\d on the other half")
    )
    found = desk.kernel_eval("list(map(float, session.scores.best_thresholds('f1', holdout=0.5)))")
    assert desk.kernel_eval("session.thresholds") == pytest.approx(found)
    # They lie between the positions: the kernel counted them.
    assert tiles(grid) == pytest.approx(f1_of(desk, found), abs=0.0051)
    expect(grid.get_by_role("button", name="per class")).to_have_attribute("aria-pressed", "true")
    # The way back stands beside the report: to what was there before.
    back = grid.get_by_role("button", name="Back", exact=True)
    back.click()
    desk.wait_until("session.thresholds == 0.5")
    expect(report).to_be_hidden()
    expect(back).to_be_hidden()


def test_the_best_precision_at_a_recall_is_asked_for_one_class(desk, grid):
    unfold(grid)
    one_per_class(grid)
    grid.locator(".dlw-conf-tile").nth(3).focus()
    grid.get_by_label("Choose for").select_option("one")
    grid.get_by_label("Lowest recall").fill("0.8")
    grid.get_by_role("button", name="Precision", exact=True).click()
    expect(grid.locator(".dlw-conf-report")).to_contain_text("on the other half")
    thresholds = desk.wait_until("len(session.thresholds) == 10 and session.thresholds")
    found = desk.kernel_eval(
        "float(session.scores.best_thresholds('precision', 'recall >= 0.8', holdout=0.5)[3])"
    )
    assert thresholds == pytest.approx([0.5] * 3 + [found] + [0.5] * 6)


def test_a_cell_is_pinned_by_a_click_and_let_go_by_a_key(desk, grid):
    tile = grid.locator(".dlw-conf-tile").nth(3)
    box = tile.bounding_box()
    assert box is not None
    tile.click(position={"x": box["width"] * 0.25, "y": box["height"] - 10})
    desk.wait_until("view.quadrant == {'class': 3, 'cell': 2}")
    expect(tile).to_have_attribute("aria-pressed", "true")
    expect(grid.locator(".dlw-det-body")).to_be_visible()
    expect(grid.locator(".dlw-conf-words [data-here]")).to_contain_text("missed")
    desk.page.keyboard.press("Escape")
    expect(tile).to_have_attribute("aria-pressed", "false")
    expect(grid.locator(".dlw-det-body")).to_be_hidden()
    desk.wait_until("view.quadrant['class'] == -1")


def test_a_class_pinned_in_one_page_is_pinned_where_the_view_is_shown_again(desk, grid):
    grid.locator(".dlw-conf-tile").nth(5).focus()
    desk.page.keyboard.press("Enter")
    desk.wait_until("view.quadrant['class'] == 5")
    desk.run_cell("view", 1)
    second = desk.page.locator(".dlw-confusion").nth(1)
    expect(second.locator(".dlw-conf-tile").nth(5)).to_have_attribute("aria-pressed", "true")
    desk.run_cell("", 1)


def test_classes_are_filtered_and_the_choice_is_kept(desk, grid):
    unfold(grid)
    y, p = truth(desk)
    wanted = int(sum(score < 0.5 for score in f1_of(desk, 0.5)))
    grid.get_by_label("Show", exact=True).select_option("f1")
    expect(grid.locator(".dlw-conf-tile:visible")).to_have_count(wanted)
    grid.get_by_label("Below or at least").select_option("least")
    expect(grid.locator(".dlw-conf-tile:visible")).to_have_count(10 - wanted)
    grid.get_by_label("Show", exact=True).select_option("never")
    never = int(((p >= 0.5).sum(axis=0) == 0).sum())
    expect(grid.locator(".dlw-conf-tile:visible")).to_have_count(never)
    desk.wait_until("view.look['filter'] == {'metric': 'predicted', 'side': 'below', 'value': 1.0}")
    assert desk.kernel_eval("len(view.to_frame())") == never


def test_a_filter_stands_while_a_threshold_moves_until_it_is_asked_for_again(desk, grid):
    unfold(grid)
    grid.get_by_label("Show", exact=True).select_option("recall")
    shown = grid.locator(".dlw-conf-tile:visible")
    desk.wait_until("view.look['filter'] and view.look['filter']['metric'] == 'recall'")
    before = shown.count()
    large = grid.locator(".dlw-conf-scores input")
    large.focus()
    desk.page.keyboard.press("Home")
    again = grid.get_by_role("button", name="Sort again")
    # At 0 every label is said to be there: no recall is below 0.5 any more.
    expect(again).to_be_enabled()
    assert before > 0 and shown.count() == before
    again.click()
    expect(shown).to_have_count(0)
    expect(grid.get_by_text("No class passes")).to_be_visible()


def test_the_table_shows_the_columns_that_were_chosen_with_their_intervals(desk, grid):
    unfold(grid)
    grid.get_by_role("button", name="Table").click()
    grid.locator("summary", has_text="Columns").click()
    grid.get_by_role("checkbox", name="specificity").check()
    grid.get_by_role("checkbox", name="support").uncheck()
    desk.page.keyboard.press("Escape")
    heads = grid.locator(".dlw-conf-table thead tr").first.locator("th:visible")
    expect(heads).to_have_text(["class", "precision", "recall", "F1", "specificity"])
    low, high = desk.kernel_eval(
        "session.scores.metrics(interval='wilson').iloc[0][['specificity_low', 'specificity_high']].tolist()"
    )
    cell = grid.locator(".dlw-conf-table tbody tr:visible").first.locator("td").nth(3)
    assert [float(x) for x in (cell.locator("small").text_content() or "").split("–")] == pytest.approx(
        [low, high], abs=0.0051
    )
    heads.nth(4).locator("button").click()
    expect(heads.nth(4)).to_have_attribute("aria-sort", "ascending")
    desk.wait_until("view.look['sort'] == 'specificity'")


def test_the_shade_follows_what_it_is_a_share_of(desk, grid):
    unfold(grid)
    canvas = grid.locator(".dlw-conf-grid canvas").first
    before = canvas.evaluate("(canvas) => canvas.toDataURL()")
    grid.get_by_label("Shade").select_option("predicted")
    expect(grid.locator(".dlw-conf-words")).to_contain_text("shade: share of its column")
    assert canvas.evaluate("(canvas) => canvas.toDataURL()") != before
    desk.wait_until("view.look['normalise'] == 'predicted'")


def test_a_matrix_is_read_by_pointer_and_arrows(desk):
    desk.run_cell(
        "truth = torch.arange(400) % 5\nscores = dlw.Scores(truth, torch.softmax(\n"
        "    3 * torch.eye(5)[(truth + (torch.arange(400) % 7 == 0)) % 5], 1),\n"
        "    ['ant', 'bee', 'cat', 'dog', 'eel'])\n"
        "view = dlw.ConfusionGrid(scores)\nview"
    )
    grid = desk.page.locator(".dlw-confusion")
    grid.get_by_role("button", name="matrix").click()
    sheet, words = grid.locator(".dlw-conf-sheet"), grid.locator(".dlw-conf-said")
    expect(sheet).to_be_visible()
    matrix = desk.kernel_eval("scores.matrix().tolist()")
    sheet.focus()
    desk.page.keyboard.press("ArrowDown")
    desk.page.keyboard.press("ArrowRight")
    expect(words).to_contain_text(f"{matrix[0][1]} of the 80 of class ant were said to be bee")
    desk.page.keyboard.press("Escape")
    expect(words).to_contain_text("Point at a cell")
    # The tiles' thresholds say nothing of the matrix.
    expect(grid.get_by_role("slider")).to_have_count(0)
    desk.wait_until("view.look['matrix'] is True")
