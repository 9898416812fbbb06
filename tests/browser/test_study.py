"""The study below the maps under mouse and keyboard: channels touched, samples found, a film played."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

_CELL = """session = new_session(); session.step(30)
view = dlw.ActivationBrowser(session, layer="stage2.relu")
view"""
#: How much of a canvas is painted, 0..1.
_PAINTED = """(canvas) => {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let painted = 0;
    for (let i = 3; i < pixels.length; i += 4) if (pixels[i]) painted += 1;
    return painted / (canvas.width * canvas.height);
}"""


@pytest.fixture
def looker(desk) -> Locator:
    """The activation browser of a CNN that was trained for some steps."""
    desk.run_cell(_CELL)
    return desk.page.locator(".dlw-activations")


def opened(desk, looker: Locator, name: str, section: str) -> Locator:
    """Open a section of the study; return it."""
    looker.get_by_role("button", name=name, exact=False).first.click()
    desk.wait_until(f"view.study == {section!r}")
    return looker.get_by_role("region", name=name)


def test_sections_are_folded_at_first_and_open_one_at_a_time(desk, looker):
    expect(looker.get_by_role("region")).to_have_count(0)
    for name, section in (("Touch", "touch"), ("Excites", "excites"), ("Over time", "time")):
        expect(opened(desk, looker, name, section)).to_be_visible()
        expect(looker.get_by_role("region")).to_have_count(1)
    looker.get_by_role("button", name="Over time").click()
    expect(looker.get_by_role("region")).to_have_count(0)
    desk.wait_until("view.study == ''")


def test_a_channel_is_switched_off_doubled_undone_and_given_back(desk, looker):
    touch = opened(desk, looker, "Touch", "touch")
    touch.get_by_label("channel to touch").fill("5")
    desk.page.keyboard.press("Tab")
    desk.wait_until("view.touching['channel'] == 5 and view.chosen == 5")
    touch.get_by_role("button", name="off", exact=True).click()
    desk.wait_until("view.touching['list'] == [['stage2.relu', 5, 0.0]]")
    expect(touch.locator(".dlw-study-words")).to_contain_text("1 channel touched: changes")
    rows = touch.locator(".dlw-study-effect")
    expect(rows).to_have_count(10)
    said = desk.kernel_eval("[f'{row[2]:.2f}' for row in view.touching['rows']]")
    for place, value in enumerate(said):
        if float(value) >= 0.01:
            expect(rows.nth(place).locator("span").last).to_have_text(value)
    touch.get_by_role("button", name="×2").click()
    desk.wait_until("view.touching['list'] == [['stage2.relu', 5, 2.0]]")
    touch.get_by_role("button", name="Undo").click()
    desk.wait_until("view.touching['list'] == [['stage2.relu', 5, 0.0]]")
    touch.get_by_role("button", name=re.compile("give back")).click()
    desk.wait_until("view.touching['list'] == []")
    expect(touch.locator(".dlw-study-words")).to_contain_text("channel 5: off / ×1 / ×2")


def test_a_slider_touches_while_it_is_moved_by_the_keyboard(desk, looker):
    touch = opened(desk, looker, "Touch", "touch")
    slider = touch.get_by_role("slider", name="factor of the channel")
    expect(slider).to_be_enabled()
    slider.focus()
    for _ in range(4):
        desk.page.keyboard.press("ArrowRight")
    desk.wait_until("view.touching['list'] == [['stage2.relu', 0, 1.2]]")


def test_a_click_on_a_sample_that_excites_looks_at_it(desk, looker):
    excites = opened(desk, looker, "Excites", "excites")
    tiles = excites.locator(".dlw-study-tiles > button")
    desk.wait_until("view.exciting.get('taken') == view.exciting.get('wanted', 0) == 256")
    expect(tiles).to_have_count(12)
    strongest = desk.kernel_eval("[tile['sample'] for tile in view.exciting['tiles']]")
    assert tiles.first.locator("canvas").evaluate(_PAINTED) == 1
    tiles.nth(2).click()
    desk.wait_until(f"session.selected_sample == {strongest[2]}")
    expect(tiles.nth(2)).to_have_attribute("aria-pressed", "true")
    expect(looker.locator(".dlw-act-what")).to_contain_text(f"sample {strongest[2]}")
    excites.get_by_role("button", name="mean", exact=True).click()
    desk.wait_until("view.exciting['by'] == 'mean'")


def test_where_it_looked_is_laid_over_the_input_for_the_class_that_is_chosen(desk, looker):
    where = opened(desk, looker, "Where it looked", "where")
    expect(where.get_by_role("status")).to_contain_text("in the maps of stage3.conv")
    assert where.locator("canvas").first.evaluate(_PAINTED) == 1
    where.get_by_label("class").select_option("3")
    desk.wait_until("view.where['target'] == 3")
    where.get_by_role("button", name="gradient × input").click()
    desk.wait_until("view.where['method'] == 'gradient_x_input' and view.where['target'] == 3")
    expect(where.get_by_role("status")).to_contain_text("each pixel speaks for")
    where.get_by_role("button", name="Grad-CAM").click()
    where.get_by_role("button", name="layer shown").click()
    desk.wait_until("view.where['layer'] == 'stage2.relu'")


def test_a_film_plays_pauses_and_is_moved_by_hand(desk, looker):
    desk.kernel.execute(
        "take = lambda: session._run.timeline.take('change')\n"
        "for _ in range(4): session.at_step(take).result(); session.step(2)"
    )
    time = opened(desk, looker, "Over time", "time")
    scrubber = time.get_by_role("slider", name="frame of the film")
    last = desk.wait_until("len(view.film.get('steps', []))")
    expect(scrubber).to_have_value(str(last))
    expect(time.locator("output")).to_contain_text("now")
    time.get_by_role("button", name="play the film").click()
    expect(scrubber).to_have_value("1")
    time.get_by_role("button", name="pause the film").click()
    scrubber.focus()
    desk.page.keyboard.press("Home")
    expect(time.locator("output")).to_contain_text(re.compile("step 0"))
    desk.page.keyboard.press("End")
    expect(time.locator("output")).to_contain_text("now")
    assert time.locator("canvas").first.evaluate(_PAINTED) > 0.3


def test_before_after_and_difference_of_the_step_that_was_taken_in_pause(desk, looker):
    time = opened(desk, looker, "Over time", "time")
    desk.wait_until("view.film.get('now') == 30")
    desk.kernel.execute("session.step(1)")
    expect(time).to_contain_text("last step, 30 → 31")
    time.get_by_role("button", name="difference").click()
    expect(time.get_by_role("button", name="difference")).to_have_attribute("aria-pressed", "true")
    expect(time.locator(".dlw-study-words").first).to_contain_text("after − before")


def test_the_spread_is_read_under_the_pointer(desk, looker):
    time = opened(desk, looker, "Over time", "time")
    plot = time.locator("canvas").last
    expect(plot).to_be_visible()
    plot.scroll_into_view_if_needed()
    plot.hover(position={"x": 80, "y": 60})
    expect(time.locator(".dlw-study-words").last).to_contain_text(re.compile(r"step.*mean.*zero.* to .*%"))


def test_the_study_stays_alive_while_training(desk, looker):
    desk.kernel.execute("view._study._time_budget.share = 1")  # in its own, it is renewed once in half a minute
    opened(desk, looker, "Touch", "touch")
    looker.get_by_role("region", name="Touch").get_by_role("button", name="off", exact=True).click()
    desk.wait_until("len(view.touching['list']) == 1")
    before = desk.kernel_eval("view.touching['step']")
    desk.kernel.execute("session.start()")
    desk.wait_until(f"view.touching['step'] > {before}")
    desk.kernel.execute("session.stop()")
    assert not desk.console
