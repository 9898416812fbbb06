"""The rail under the curves: the run is taken back by mouse and by keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

CURVES = "session = quick_session()\nsession.step(60)\ncurves = dlw.Curves(session{})\ncurves"


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
    mouse.up()
    desk.wait_until(f"session.steps == {to} and session.status == 'paused'")
    expect(handle).to_have_attribute("aria-valuemax", str(to))
    assert desk.kernel_eval("session.branches[0].steps") == 60


def test_the_handle_moves_by_keys_and_escape_stays(desk, rail):
    handle = rail.locator(".dlw-rail-handle")
    handle.focus()
    desk.page.keyboard.press("Shift+ArrowLeft")
    desk.page.keyboard.press("Shift+ArrowLeft")
    expect(handle).to_have_attribute("aria-valuenow", "58")
    desk.page.keyboard.press("Escape")
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
