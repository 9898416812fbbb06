"""The tour as a reader takes it: each experiment does what its text says; and the README's picture."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from PIL import Image, ImageOps
from playwright.sync_api import Locator, expect

from .lab import Lab
from .panel import Panel
from .test_dashboard import FIRST_SIGHT

TOUR = Path(__file__).parents[2] / "notebooks" / "00_tour.ipynb"
#: The picture in the README. It is made anew where the variable is set, after as many steps as a minute takes.
PICTURE = Path(__file__).with_name("tour.png")
RENEW, STEPS = "DLWIDGETS_RENEW_PICTURE", 1500
LARGEST = 250_000  # bytes


class Place(Panel):
    """An experiment of the tour, found by its heading: its text, and the panel and views below it."""

    def __init__(self, lab: Lab, heading: str) -> None:
        self.page = lab.page
        text = f'.jp-MarkdownCell:has(h2:has-text("{heading}"))'
        self.heading = lab.page.locator(f"{text} h2").first
        cell = lab.page.locator(f"{text} ~ .jp-CodeCell:has(.dlw-experiment, .dlw-confusion, .dlw-activations)").first
        self.cell = cell
        self.bar, self.controls = cell.locator(".dlw-bar"), cell.locator(".dlw-controls")
        self.show()

    def show(self) -> None:
        """Scroll to the heading, as a reader does."""
        self.heading.evaluate("(h2) => h2.scrollIntoView({ block: 'start' })")


@pytest.fixture(scope="module")
def tour(browser, lab_server) -> Iterator[Lab]:
    """A person who has opened the tour, chosen "Run All Cells" and waited for the last cell."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60_000)
    person = Lab(lab_server, context)
    try:
        person.open(TOUR)
        person.run_all()
        yield person
        assert not person.console
    finally:
        person.close()


def losses(tour: Lab, run: str, first: int, last: int | None = None) -> list[float]:
    """Return the losses of the steps of a run after `first`, up to `last`."""
    return list(tour.kernel_eval(f"{run}.history().loss.tolist()[{first}:{last}]"))


def change(tour: Lab, run: str, wish: str, steps: int) -> int:
    """Wait until a wish is in force and so many steps are taken since; return the step of the change."""
    tour.wait_until(wish)
    at = int(tour.kernel_eval(f"{run}.changes[-1].step"))
    tour.wait_until(f"{run}.steps >= {at + steps}")
    return at


def undo(tour: Lab, place: Place, run: str, step: int) -> None:
    """Press Undo, and wait until the run stands at a step."""
    place.button("Undo").click()
    tour.wait_until(f"{run}.status == 'paused' and {run}.steps == {step}")


@pytest.mark.timeout(200)
def test_1_it_learns_to_say_no_then_to_read(tour):
    learnt = losses(tour, "session", 0)
    assert learnt[0] > 0.6
    assert 0.45 < mean(learnt[40:60]) < 0.58
    assert mean(learnt[-20:]) < 0.35
    place = Place(tour, "1 ·")
    expect(place.status).to_have_text("paused")
    expect(place.cell.locator(".dlw-conf-tile")).to_have_count(10)
    said, found = tour.kernel_eval("session.scores.confusion(0.5)[:, 1].sum(0).tolist()")
    assert found > said  # more of what is there is found than missed


def test_2_too_high_a_rate_makes_the_loss_leap_and_undo_goes_back(tour):
    place = Place(tour, "2 ·")
    place.button("Resume").click()
    place.drag("Learning rate", 4 / 6)
    at = change(tour, "session", "0.008 < session.applied['lr'] < 0.012", 40)
    assert max(losses(tour, "session", at)) > 1.5 * mean(losses(tour, "session", at - 30, at))
    undo(tour, place, "session", at)
    assert tour.kernel_eval("session.branches and session.applied['lr']") == 0.001


def test_3_fewer_pictures_a_step_make_the_loss_rough(tour):
    place = Place(tour, "3 ·")
    place.button("Resume").click()
    place.drag("Batch size", 0.3)
    at = change(tour, "session", "session.applied['batch_size'] == 8", 100)
    rough, smooth = losses(tour, "session", at + 5), losses(tour, "session", at - 60, at)
    assert 1.7 < stdev(rough) / stdev(smooth) < 6
    undo(tour, place, "session", at)
    assert tour.kernel_eval("session.applied['batch_size']") == 64


def test_4_under_plain_sgd_a_limit_of_the_gradient_bounds_the_step(tour):
    place = Place(tour, "4 ·")
    place.button("Resume").click()
    place.drag("Learning rate", 1)
    at = change(tour, "plain", "plain.applied['lr'] == 1", 30)
    unlimited = max(losses(tour, "plain", at))
    undo(tour, place, "plain", at)
    place.mode("norm").click()
    place.drag("Clip at", 0.4)
    tour.wait_until("plain.clip and 0.08 < plain.clip[1] < 0.12")
    place.button("Resume").click()
    place.drag("Learning rate", 1)
    again = change(tour, "plain", "plain.applied['lr'] == 1", 30)
    limited, before = max(losses(tour, "plain", again)), mean(losses(tour, "plain", at - 30, at))
    assert unlimited > 2 and limited < 2 * before
    expect(place.fact("Clip at")).to_contain_text("cut")
    place.button("Pause").click()
    tour.wait_until("plain.status == 'paused'")


def test_5_a_threshold_trades_what_is_missed_for_what_is_not_there(tour):
    place = Place(tour, "5 ·")
    counts = {}
    for position in (100, 900):
        place.cell.get_by_role("slider", name="Threshold").first.fill(str(position))
        tour.wait_until(f"session.thresholds == {position / 1000}")
        counts[position] = tour.kernel_eval("session.scores.confusion(session.thresholds).sum(0).tolist()")
    (_, seen), (missed, _) = counts[100]
    (_, seen_less), (missed_more, _) = counts[900]
    assert 2 * missed < missed_more and 2 * seen_less < seen
    place.cell.get_by_role("slider", name="Threshold").first.fill("500")
    tour.wait_until("session.thresholds == 0.5")


def test_6_deep_maps_are_many_and_small(tour):
    place = Place(tour, "6 ·")
    layer = place.cell.get_by_role("combobox", name="layer", exact=True)
    for path, maps in (("stage1.relu", 16), ("stage3.relu", 64)):
        layer.select_option(path)
        expect(place.cell.locator(".dlw-act-what")).to_contain_text(f"{path} · sample 0")
        expect(place.cell.locator(".dlw-act-what")).to_contain_text(f"{maps} maps")


def test_7_much_too_high_a_rate_empties_every_map_for_good(tour):
    place = Place(tour, "7 ·")
    place.cell.get_by_role("combobox", name="layer", exact=True).select_option("stage3.relu")
    expect(place.cell).not_to_contain_text("zero 100 %")
    place.button("Resume").click()
    place.drag("Learning rate", 1)
    at = change(tour, "session", "session.applied['lr'] == 1", 40)
    number = place.readout("Learning rate")
    number.click()
    tour.page.keyboard.press("ControlOrMeta+a")
    tour.page.keyboard.type("0.001")
    tour.page.keyboard.press("Enter")
    back = change(tour, "session", "session.applied['lr'] == 0.001", 40)
    expect(place.cell).to_contain_text("zero 100 %")
    assert 0.5 < mean(losses(tour, "session", back + 20)) < 0.6
    undo(tour, place, "session", back)
    undo(tour, place, "session", at)
    expect(place.cell).not_to_contain_text("zero 100 %")


def test_8_a_planted_fault_is_told_of_and_the_doctors_button_mends_it(tour):
    place = Place(tour, "8 ·")
    card = place.cell.locator(".dlw-doctor")
    expect(card).to_contain_text("Sigmoid is taken twice")
    place.button("Resume").click()
    tour.wait_until("ill.steps >= 80")
    assert mean(losses(tour, "ill", 50)) > 0.68
    card.get_by_role("button", name="BCEWithLogitsLoss → BCELoss").first.click()
    at = change(tour, "ill", "ill.applied['loss_function'] == 'BCELoss'", 60)
    assert mean(losses(tour, "ill", at + 40)) < 0.6
    expect(card).to_contain_text("over")
    place.button("Pause").click()
    tour.wait_until("ill.status == 'paused'")


def test_9_text_few_controls_and_effect_stand_on_one_screen_and_nothing_is_left_of_a_run_that_is_begun_again(tour):
    room = tour.page.locator(".jp-NotebookPanel-notebook").bounding_box()
    assert room is not None
    high, most = {}, 0
    for heading in ("1 ·", "2 ·", "3 ·", "4 ·", "5 ·", "6 ·", "7 ·", "8 ·"):
        place = Place(tour, heading)
        effects = place.cell.locator(".dlw-curves, .dlw-conf-tile, .dlw-act-sheet, .dlw-doctor")
        expect(effects.first).to_be_visible()

        def drawn(effects: Locator = effects) -> list[Any]:
            return [box for one in effects.all() if (box := one.bounding_box())]

        boxes, top = tour.wait_for(drawn, f"the effect of {heading}"), place.heading.bounding_box()
        assert top is not None
        high[heading] = max(box["y"] + box["height"] for box in boxes) - top["y"]
        sight = place.cell.locator(".jp-Cell-outputWrapper").evaluate(FIRST_SIGHT)
        most = max(most, len(sight["controls"]), sight["stops"])
    assert max(high.values()) <= room["height"], high
    assert most <= 16
    first = tour.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets[1].model.sharedModel.source")
    tour.kernel.execute(first)
    assert tour.kernel_eval("[len(dlw.sessions()), dlw.sessions()[0] is session]") == [1, True]


def test_the_readme_has_its_picture():
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    assert f"]({PICTURE.relative_to(Path(__file__).parents[2]).as_posix()})" in readme
    assert PICTURE.stat().st_size < LARGEST
    with Image.open(PICTURE) as picture:
        assert picture.width >= 1000 and picture.height >= 700


@pytest.mark.skipif(RENEW not in os.environ, reason=f"the README's picture is made anew with {RENEW}=1 only")
@pytest.mark.timeout(600)
def test_the_picture_is_made_anew(lab):
    page = lab.open(TOUR)
    page.set_viewport_size({"width": 1360, "height": 2000})
    lab.run_all()
    lab.kernel.execute("session.resume()")
    lab.wait_until(f"session.steps > {STEPS}", timeout=500)
    page.locator(".dlw-dash").scroll_into_view_if_needed()
    page.mouse.move(2, 2)
    expect(Panel(page, -1).status).to_have_text("running")
    taken = Image.open(io.BytesIO(page.locator(".dlw-dash").screenshot(animations="disabled")))
    framed = ImageOps.expand(taken.convert("RGB"), border=16, fill="white")
    framed.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    assert PICTURE.stat().st_size < LARGEST
