"""The tour as a newcomer takes it: run all, steer, look closer, reload; and the README's picture of it."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from playwright.sync_api import expect

from .panel import Panel
from .test_staying_alive import everything_is_alive

TOUR = Path(__file__).parents[2] / "notebooks" / "00_tour.ipynb"
#: The picture in the README. It is made anew where the variable is set, after as many steps as a minute takes.
PICTURE = Path(__file__).with_name("tour.png")
RENEW, STEPS = "DLWIDGETS_RENEW_PICTURE", 1500
LARGEST = 250_000  # bytes


def test_the_tour_runs_and_answers_and_outlives_a_reload(lab, measured):
    page = lab.open(TOUR)
    page.set_viewport_size({"width": 1280, "height": 2600})
    began = time.monotonic()
    lab.run_all(wait=False)
    page.locator(".dlw-dash .dlw-status").wait_for()
    measured("Run All -> dashboard, kernel and torch cold", [time.monotonic() - began])
    lab.wait_for_cells()
    panel = Panel(page)
    everything_is_alive(page)

    panel.drag("Learning rate", 0.25)
    shown = panel.readout("Learning rate").text_content()
    lab.wait_until(f"session.applied['lr'] == {shown}")
    expect(panel.fact("Learning rate")).to_have_text(f"in force {shown}")

    panel.button("Pause").click()
    lab.wait_until("session.status == 'paused'")
    steps = lab.kernel_eval("session.steps")
    expect(panel.status).to_have_text("paused")
    panel.button("Step").click()
    lab.wait_until(f"session.steps == {steps + 1} and session.status == 'paused'")

    tabs = page.locator(".dlw-tablist")
    tabs.get_by_role("tab", name="Confusion").click()
    slider = page.locator(".dlw-conf-scores input")
    slider.fill("300")
    lab.wait_until("session.thresholds == 0.3")
    tabs.get_by_role("tab", name="Activations").click()
    layer = page.locator(".dlw-activations").get_by_role("combobox", name="layer", exact=True)
    layer.select_option("stage3.relu")
    lab.wait_until("session.selected_layer == 'stage3.relu'")
    expect(page.locator(".dlw-act-what")).to_contain_text("stage3.relu")

    # What is out of sight is not drawn, nor are the buttons that fit.
    panel.bar.scroll_into_view_if_needed()
    panel.button("Resume").click()
    lab.wait_until(f"session.steps > {steps + 5}")
    page = lab.reload()
    everything_is_alive(page)
    expect(Panel(page).readout("Learning rate")).to_have_text(shown or "")
    expect(page.locator(".dlw-conf-limit output")).to_have_text("0.300")
    expect(page.locator(".dlw-act-what")).to_contain_text("stage3.relu")


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
    lab.wait_until(f"session.steps > {STEPS}", timeout=500)
    page.locator(".dlw-dash").scroll_into_view_if_needed()
    page.mouse.move(2, 2)
    expect(Panel(page).status).to_have_text("running")
    taken = Image.open(io.BytesIO(page.locator(".dlw-dash").screenshot(animations="disabled")))
    framed = ImageOps.expand(taken.convert("RGB"), border=16, fill="white")
    framed.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    assert PICTURE.stat().st_size < LARGEST
