"""The rail under the curves: the run is taken back by mouse and by keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .kernel import stopped

CURVES = "session = quick_session()\nsession.step(60)\ncurves = dlw.Curves(session{})\ncurves"

#: A run of many steps, written down without taking them, with 200 states and 200 changes.
_LONG = """
from dlwidgets.core.base.ledger import Entry
def long_run(steps):
    global session
    session = quick_session()
    def write():
        from dataclasses import replace
        run, record = session._run, session.record
        for n in range(steps):
            record.step(epoch=1, loss=0.2 + 1 / (1 + n / steps * 9), lr=1e-3, batch_size=64, grad_norm=1.0, seconds=1e-3)
        first = run.timeline.capture("time", must=True)
        run.timeline.ring.budget = 10 ** 12
        for k in range(200):
            run.timeline.ring.add(replace(first, step=k * steps // 200))
        run.timeline.changed([
            Entry(k * steps // 200, ("lr", "weight_decay")[k % 2], k, k, "code", "", False, 10.0 * k) for k in range(200)
        ])
        run.loop.steps = steps
        run._publish()
    session.at_step(write).result()
"""


@pytest.fixture
def rail(desk):
    desk.run_cell(CURVES.format(""))
    found = desk.page.locator(".dlw-rail").last
    expect(found.locator(".dlw-state").first).to_be_visible()
    return found


def test_the_handle_dragged_back_takes_the_run_there_and_the_left_line_stays_pale(desk, rail):
    handle, line = rail.locator(".dlw-rail-handle"), rail.locator(".dlw-rail-line")
    expect(handle).to_have_attribute("aria-valuenow", "60")
    start, whole = handle.bounding_box(), line.bounding_box()
    mouse, y = desk.page.mouse, whole["y"] + whole["height"] / 2
    mouse.move(start["x"] + 6, y)
    mouse.down()
    mouse.move(whole["x"] + 0.5 * whole["width"], y, steps=5)
    reading = desk.page.locator(".dlw-curves .dlw-reading").last
    expect(reading).to_contain_text("back to step")
    to = int(handle.get_attribute("aria-valuenow"))
    assert abs(to - 30) <= 2
    # Where it lands is said at the handle, with the loss there.
    tip = rail.locator(".dlw-rail-tip")
    expect(tip).to_have_text(re.compile(rf"step {to} · train 0\.\d+"))
    box = tip.bounding_box()
    assert whole["x"] - 1 <= box["x"] and box["x"] + box["width"] <= whole["x"] + whole["width"] + 1
    # Let go, it stands there at once, whatever the kernel does.
    with stopped(desk):
        mouse.up()
        expect(handle).to_have_attribute("aria-valuenow", str(to))
        expect(rail.locator(".dlw-rail-key")).to_have_text(f"Going back to step {to} …")
    expect(tip).to_be_hidden()
    desk.wait_until(f"session.steps == {to} and session.status == 'paused'")
    expect(handle).to_have_attribute("aria-valuemax", str(to))
    assert desk.kernel_eval("session.branches[0].steps") == 60


def test_the_handle_moves_by_keys_and_escape_stays(desk, rail):
    handle = rail.locator(".dlw-rail-handle")
    handle.focus()
    expect(handle).to_have_attribute("aria-valuetext", "step 60 of 60")
    desk.page.keyboard.press("ArrowLeft")
    desk.page.keyboard.press("ArrowLeft")
    expect(handle).to_have_attribute("aria-valuenow", "58")
    expect(handle).to_have_attribute("aria-valuetext", re.compile("step 58 of 60, .* taken again: Enter goes there, Escape stays"))
    desk.page.keyboard.press("Escape")
    expect(handle).to_have_attribute("aria-valuenow", "60")
    desk.page.keyboard.press("PageDown")
    kept = desk.kernel_eval("max(step for step, _ in session.snapshots if step < 60)")
    expect(handle).to_have_attribute("aria-valuenow", str(kept))
    desk.page.keyboard.press("End")
    expect(handle).to_have_attribute("aria-valuenow", "60")
    assert desk.kernel_eval("session.steps") == 60
    desk.page.keyboard.press("Home")
    expect(handle).to_have_attribute("aria-valuenow", "0")
    desk.page.keyboard.press("Enter")
    desk.wait_until("session.steps == 0")
    expect(handle).to_have_attribute("aria-valuemax", "0")


def test_a_rail_that_only_shows_is_not_moved(desk):
    desk.run_cell(CURVES.format(", rewind=False"))
    handle = desk.page.locator(".dlw-rail-handle").last
    expect(handle).to_have_attribute("aria-disabled", "true")
    handle.focus()
    desk.page.keyboard.press("Home")
    expect(handle).to_have_attribute("aria-valuenow", "60")


@pytest.mark.parametrize(("steps", "width"), [(1_000, 1024), (100_000, 1500)])
def test_the_rail_of_a_long_run_with_many_states_and_changes_stays_usable(desk, steps, width):
    desk.page.set_viewport_size({"width": width, "height": 900})
    desk.run_cell(f"{_LONG}\nlong_run({steps})\ncurves = dlw.Curves(session)\ncurves")
    rail = desk.page.locator(".dlw-rail").last
    expect(rail.locator(".dlw-rail-handle")).to_have_attribute("aria-valuetext", f"step {steps:,} of {steps:,}")
    for stops in (rail.locator(".dlw-state"), rail.locator(".dlw-mark")):
        lefts = sorted(stops.evaluate_all("(all) => all.map((one) => parseFloat(one.style.left))"))
        assert 20 < len(lefts) < 200
        assert min(b - a for a, b in zip(lefts, lefts[1:])) >= 7.9
    # One Tab stop for all marks; what one stands for is said when it has the focus.
    expect(rail.locator(".dlw-mark[tabindex='0']")).to_have_count(1)
    rail.locator(".dlw-mark[tabindex='0']").focus()
    desk.page.keyboard.press("Home")
    reading = desk.page.locator(".dlw-curves .dlw-reading").last
    expect(reading).to_contain_text("lr →")
    # Over the whole width that there is, and no words lie over others or stick out.
    curves = desk.page.locator(".dlw-curves").last
    box, plot = curves.bounding_box(), curves.locator(".uplot").first.bounding_box()
    assert abs(box["width"] - plot["width"]) <= 1
    handle = rail.locator(".dlw-rail-handle")
    handle.focus()
    for key, there in (("ArrowLeft", steps - 1), ("Home", 0), ("PageUp", None), ("End", steps)):
        desk.page.keyboard.press(key)
        kept = desk.kernel_eval("min(step for step, _ in session.snapshots if step)") if there is None else there
        expect(handle).to_have_attribute("aria-valuenow", str(kept))
    desk.screenshot(f"rail-{steps}", of=curves)
