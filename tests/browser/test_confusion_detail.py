"""A class looked into with mouse and keyboard: its samples picked, its curves read, its past compared."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from .kernel import stopped

#: Where the cells of a tile lie in it [px].
_CELLS = {0: (0.25, 34), 1: (0.75, 34), 2: (0.25, 58), 3: (0.75, 58)}
#: Moves the threshold in the page and waits for the frame in which it is painted; the time it took [ms].
_MOVE = """async (slider, position) => {
    const frame = () => new Promise((done) => requestAnimationFrame(() => done()));
    await frame();
    const from = performance.now();
    slider.value = String(position);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await frame();
    return performance.now() - from;
}"""


#: The red part of a canvas, with its size.
_PIXELS = """(canvas) => {
    const { width, height } = canvas, image = canvas.getContext("2d").getImageData(0, 0, width, height);
    return [width, height, [...image.data].filter((_, i) => i % 4 === 0)];
}"""


@pytest.fixture
def grid(desk) -> Locator:
    """The grid of a session with three evaluations behind it, the activation browser below."""
    desk.run_cell(
        "session = new_session(evaluate_every=8, lr=3e-3); session.step(24)\n"
        "view, browser = dlw.ConfusionGrid(session), dlw.ActivationBrowser(session)\n"
        "ipywidgets.VBox([view, browser])"
    )
    return desk.page.locator(".dlw-confusion")


def pin(grid: Locator, c: int, cell: int) -> None:
    """Click on a cell of a tile."""
    tile = grid.locator(".dlw-conf-tile").nth(c)
    tile.scroll_into_view_if_needed()
    box = tile.bounding_box()
    assert box is not None
    across, down = _CELLS[cell]
    tile.click(position={"x": across * box["width"], "y": down})


def options(grid: Locator) -> Locator:
    """The samples that are listed."""
    return grid.get_by_role("option").and_(grid.locator(".dlw-det-list > :visible"))


def test_from_a_quadrant_to_its_samples_to_the_activation_browser(desk, grid):
    desk.kernel.execute("session.thresholds = 0.3")
    pin(grid, 3, 2)
    desk.wait_until("view.listed.get('cell') == 2 and view.listed['class'] == 3")
    missed = desk.kernel_eval("[r['number'] for r in view.cards]")
    wanted = desk.kernel_eval(
        "sorted([r for r in range(400) if data.valid[1][r, 3] == 1 and session.scores.y_score[r, 3] < 0.3],"
        " key=lambda r: session.scores.y_score[r, 3])[:24]"
    )
    assert missed == wanted
    expect(options(grid)).to_have_count(len(missed))
    expect(grid.get_by_role("button", name=re.compile("^missed"))).to_have_attribute("aria-pressed", "true")
    options(grid).nth(2).click()
    desk.wait_until(f"session.selected_sample == {missed[2]}")
    expect(options(grid).nth(2)).to_have_attribute("aria-selected", "true")
    looked_at = desk.page.locator(".dlw-act-what")
    # What is out of sight is not drawn.
    looked_at.scroll_into_view_if_needed()
    expect(looked_at).to_contain_text(f"sample {missed[2]}")


def test_a_thumbnail_shows_the_pixels_of_its_sample(desk, grid):
    pin(grid, 1, 2)
    desk.wait_until("view.cards and all(r['kind'] == 'image' for r in view.cards)")
    expect(options(grid)).to_have_count(24)
    canvas = options(grid).nth(5).locator("canvas")
    expect(canvas).to_have_attribute("width", "32")  # the rows come before their pictures
    shown = canvas.evaluate(_PIXELS)
    number = desk.kernel_eval("view.cards[5]['number']")
    wanted = desk.kernel_eval(f"(data.valid[0][{number}, 0] * 255).round().int().flatten().tolist()")
    assert shown[:2] == [32, 32] and shown[2] == pytest.approx(wanted, abs=1)


def test_the_samples_are_walked_and_chosen_with_the_keyboard(desk, grid):
    pin(grid, 1, 2)
    expect(options(grid)).to_have_count(24)
    page, numbers = desk.page, desk.wait_until("len(view.cards) == 24 and [r['number'] for r in view.cards]")
    options(grid).first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(options(grid).nth(2)).to_be_focused()
    page.keyboard.press("Enter")
    desk.wait_until(f"session.selected_sample == {numbers[2]}")
    page.keyboard.press("PageDown")
    desk.wait_until("view.sample_page == 1")
    expect(grid.locator(".dlw-det-range")).to_contain_text("25–")
    # The notebook took none of the keys for itself.
    page.keyboard.press("d")
    page.keyboard.press("d")
    expect(options(grid).first).to_be_visible()


def test_another_list_is_opened_beside_and_the_tile_follows(desk, grid):
    pin(grid, 1, 2)
    expect(options(grid)).to_have_count(24)
    grid.get_by_role("button", name=re.compile("^rightly not said")).click()
    desk.wait_until("view.quadrant == {'class': 1, 'cell': 0} and view.listed['cell'] == 0")
    count = desk.kernel_eval("int(session.scores.confusion(session.thresholds)[1, 0, 0])")
    expect(grid.locator(".dlw-det-range")).to_have_text(f"1–24 of {count}")
    grid.get_by_role("button", name=re.compile("^labels to check")).click()
    desk.wait_until("view.listed['cell'] == 4")
    expect(grid.locator(".dlw-det-note")).to_contain_text("Confident learning")


def test_the_point_on_the_curves_moves_with_the_slider_and_without_the_kernel(desk, grid, measured):
    pin(grid, 6, 2)
    desk.wait_until("view.class_facts.get('class') == 6")
    reading = grid.locator(".dlw-det-reading")
    slider = grid.get_by_role("slider", name=re.compile("Threshold")).first
    expect(reading).to_contain_text("now, at")
    with stopped(desk):
        took = [slider.evaluate(_MOVE, position) for position in range(150, 400, 10)]
        slider.evaluate(_MOVE, 287)
        said = reading.text_content() or ""
    wanted = desk.kernel_eval(
        "[float(getattr(__import__('sklearn.metrics').metrics, name)(data.valid[1][:, 6].numpy(),"
        " session.scores.y_score[:, 6] >= 0.287, zero_division=float('nan')))"
        " for name in ('precision_score', 'recall_score')]"
    )
    found = re.search(r"at 0\.287: precision (\S+), recall (\S+),", said)
    assert found is not None, said
    read = [float(x.replace("n/a", "nan")) for x in found.groups()]
    assert read == pytest.approx(wanted, abs=0.0051, nan_ok=True)
    measured("threshold moved -> grid and detail painted", [ms / 1000 for ms in took])


def test_a_curve_is_read_under_the_pointer_and_with_the_arrows(desk, grid):
    pin(grid, 6, 2)
    desk.wait_until("view.class_facts.get('class') == 6")
    reading, roc = grid.locator(".dlw-det-reading"), grid.locator(".dlw-det-chart canvas").nth(1)
    expect(reading).to_contain_text("now, at")
    roc.scroll_into_view_if_needed()
    roc.hover(position={"x": 110, "y": 50})
    expect(reading).to_have_text(re.compile(r"^at \S+: precision \S+, recall \S+, false positive rate \S+$"))
    desk.page.mouse.move(0, 0)
    expect(reading).to_contain_text("now, at")
    roc.focus()
    desk.page.keyboard.press("ArrowRight")
    expect(reading).to_have_text(re.compile(r"^at "))


def test_two_moments_are_compared_and_a_third_is_picked_by_its_slider(desk, grid):
    desk.kernel.execute("session.thresholds = 0.25")
    pin(grid, 6, 2)
    rail = grid.locator(".dlw-det-rail")
    expect(rail.locator("tbody tr:visible")).to_have_count(10)

    def told(row: int) -> list[str]:
        return rail.locator("tbody tr:visible").nth(row).locator("th, td").all_text_contents()[:4]

    def wanted(a: int, b: int) -> list[list[str]]:
        rates = f"[session.past_scores[i].rates(0.25)['f1'] for i in ({a}, {b})]"
        return desk.kernel_eval(
            f"(lambda a, b: [[n, f'{{x:.2f}}', f'{{y:.2f}}'] for n, x, y in"
            f" sorted(zip(session.classes, a, b), key=lambda t: t[1] - t[2])])(*{rates})"
        )

    first, last = 0, desk.kernel_eval("len(session.past_scores)") - 1
    assert told(0)[:3] == wanted(first, last)[0]
    later = rail.get_by_role("slider", name="Moment B")
    later.focus()
    desk.page.keyboard.press("ArrowLeft")
    step = desk.kernel_eval(f"session.past_scores[{last - 1}].step")
    expect(rail.locator("output").nth(1)).to_contain_text(f"step {step}")
    assert told(0)[:3] == wanted(first, last - 1)[0]
    # A class that stands out in the table is looked into from there.
    name = told(9)[0]
    rail.get_by_role("button", name=name, exact=True).click()
    number = desk.kernel_eval("list(session.classes)").index(name)
    desk.wait_until(f"view.quadrant == {{'class': {number}, 'cell': 2}}")


def test_while_it_trains_the_list_is_renewed_and_the_training_goes_on(desk, grid):
    pin(grid, 1, 2)
    expect(options(grid)).to_have_count(24)
    desk.kernel.execute("session.evaluate_every = 4; session.start()")
    before = desk.kernel_eval("session.steps")
    expect(grid.locator(".dlw-head").first).to_contain_text("after step")
    desk.wait_until(
        f"session.steps > {before} + 20"
        " and view.listed['total'] == int(session.scores.confusion(session.thresholds)[1, 1, 0])"
    )
    # Nothing that was opened has closed, and what is there can be clicked.
    expect(options(grid).first).to_be_visible()
    options(grid).nth(1).click()
    desk.wait_until("session.selected_sample != 0")
    desk.kernel.execute("session.pause()")
    assert desk.kernel_eval("session.error") == ""
