"""A detector trains: its boxes found, missed and false in the grid, and drawn over the picture."""

from __future__ import annotations

import inspect
import re

import pytest
from playwright.sync_api import Locator, expect

from tests.core.data import detectors

from .test_confusion_detail import options, pin

_LINES = """(canvas) => {
    const { width, height } = canvas, pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    let blue = 0;
    for (let i = 0; i < pixels.length; i += 4) blue += Number(pixels[i + 2] - pixels[i] > 60);
    return blue;
}"""


@pytest.fixture
def views(desk) -> tuple[Locator, Locator]:
    """The grid and the browser of a detector that has trained for some steps."""
    desk.run_cell(
        f"{inspect.getsource(detectors)}\n"
        "torch.manual_seed(0)\n"
        "session = dlw.Session(RectangleFinder(), rectangles(), rectangles(12, seed=1), classes=['red', 'green', 'blue'],"
        " batch_size=8, lr=0.1); session.step(4); session.evaluate()\n"
        "grid, browser = dlw.ConfusionGrid(session), dlw.ActivationBrowser(session, layer='look')\n"
        "ipywidgets.VBox([grid, browser])"
    )
    return desk.page.locator(".dlw-confusion"), desk.page.locator(".dlw-activations")


def counted(desk) -> str:
    """What the first tile is to say in words."""
    (_, false), (missed, found) = desk.kernel_eval("session.scores.confusion(0.5)[0].tolist()")
    return f"{found} found · {missed} missed · {false} false"


def test_boxes_are_found_missed_or_false_and_another_overlap_judges_them_anew(desk, views):
    grid, browser = views
    words = grid.locator(".dlw-conf-one")
    tile = grid.locator(".dlw-conf-tile").first

    def said() -> str:
        desk.page.mouse.move(0, 0)  # a tile that came under a mouse at rest is not told of it
        tile.hover(position={"x": 20, "y": 8})
        return words.inner_text()

    before = counted(desk)
    desk.wait_for(lambda: said() == before, before)
    choice = grid.get_by_label(re.compile("Overlap"))
    expect(choice).to_have_value("0.5")
    choice.select_option("0.95")
    desk.wait_until("session.iou_threshold == 0.95 and session.scores.iou == 0.95")
    after = counted(desk)
    desk.wait_for(lambda: said() == after, after)
    assert after != before
    # The empty cell says why.
    tile.hover(position={"x": 20, "y": 34})
    expect(words).to_contain_text("nothing to count")


def test_a_click_on_a_cell_opens_the_picture_with_its_boxes_in_both_views(desk, views):
    grid, browser = views
    pin(grid, 0, 3)
    cards = options(grid)
    expect(cards.first).to_contain_text("IoU")
    expect(grid.locator(".dlw-boxes-counts")).to_contain_text("found")
    number = int(re.search(r"\d+", grid.locator(".dlw-boxes-title").inner_text())[0])
    cards.last.click()
    desk.wait_until(f"session.selected_sample != {number} or {cards.count()} == 1")
    shown = browser.locator(".dlw-act-input")
    expect(shown.locator(".dlw-boxes-counts")).to_contain_text("found")
    canvas = shown.locator("canvas").first
    with_boxes = canvas.evaluate(_LINES)
    for name in ("true", "said"):
        shown.get_by_label(name).uncheck()
    desk.wait_for(lambda: canvas.evaluate(_LINES) < with_boxes, "the boxes to go")
