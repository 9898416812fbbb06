"""What folds away in the training panel, its keys, presets, limits and the way back, in JupyterLab."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .panel import Panel

PANEL = "session = quick_session({})\npanel = dlw.TrainingPanel(session)\npanel"

#: Texts of the panel that run out of the box they stand in.
_CUT = """(panel) => [...panel.querySelectorAll(".widget-toggle-button, .dlw-button, .dlw-section, .dlw-field > label, .dlw-fact span")]
    .filter((one) => one.offsetParent !== null && one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent)"""
#: Pairs of controls of the main rows that lie over one another.
_OVER = """(panel) => {
    const seen = [...panel.querySelectorAll(".dlw-controls > .widget-inline-hbox .noUi-handle, .dlw-controls .widget-toggle-button, .dlw-fact:has(span:not(:empty))")]
        .filter((one) => one.offsetParent !== null && one.textContent !== undefined).map((one) => [one.textContent, one.getBoundingClientRect()]);
    return seen.flatMap(([a, p], i) => seen.slice(i + 1)
        .filter(([, q]) => p.left < q.right - 1.5 && q.left < p.right - 1.5 && p.top < q.bottom - 1.5 && q.top < p.bottom - 1.5).map(([b]) => `${a} over ${b}`));
}"""


@pytest.fixture
def panel(desk) -> Panel:
    """The panel of a session that has not begun."""
    desk.run_cell(PANEL.format(""))
    return Panel(desk.page)


def test_sections_open_by_mouse_and_keyboard_and_stay_open_when_the_page_is_loaded_again(desk, panel):
    for name in ("Optimizer", "Schedule", "Regularisation", "Run"):
        expect(panel.summary(name)).to_have_attribute("aria-expanded", "false")
    panel.summary("Optimizer").click()
    expect(panel.entry("weight_decay")).to_be_visible()
    panel.summary("Run").focus()
    desk.page.keyboard.press("Enter")
    expect(panel.summary("Run")).to_have_attribute("aria-expanded", "true")
    expect(panel.entry("epochs")).to_be_visible()
    desk.page.keyboard.press("Space")
    expect(panel.entry("epochs")).to_be_hidden()
    # Space was the section's, not the run's.
    assert desk.kernel_eval("session.status") == "ready"
    desk.wait_until("panel._sections._open == ['optimizer']")
    desk.reload()
    again = Panel(desk.page)
    expect(again.entry("weight_decay")).to_be_visible()
    expect(again.summary("Run")).to_have_attribute("aria-expanded", "false")


def test_optimizer_and_schedule_are_changed_while_it_trains_and_say_what_is_in_force(desk, panel):
    panel.button("Start").click()
    panel.summary("Optimizer").click()
    panel.entry("optimizer").select_option("SGD")
    desk.wait_until("session.applied['optimizer'][0] == 'SGD'")
    expect(panel.field("optimizer").locator(".dlw-said")).to_have_text("in force SGD")
    panel.entry("momentum").click()
    desk.page.keyboard.press("Control+A")
    desk.page.keyboard.type("0.9")
    desk.page.keyboard.press("Enter")
    desk.wait_until("session.optimizer.param_groups[0]['momentum'] == 0.9")
    panel.summary("Schedule").click()
    panel.entry("schedule").first.select_option("cosine")
    desk.wait_until("session.applied['schedule'] is not None")
    expect(panel.fact("Learning rate")).to_contain_text("× cosine")
    expect(panel.section("Schedule")).to_contain_text("at step")
    assert desk.kernel_eval("sorted({entry.by for entry in session.changes if entry.by != 'run'})") == [
        "panel"
    ]


def test_a_value_that_cannot_be_is_refused_beside_its_row(desk, panel):
    panel.summary("Optimizer").click()
    panel.entry("weight_decay").click()
    desk.page.keyboard.press("Control+A")
    desk.page.keyboard.type("-3")
    desk.page.keyboard.press("Enter")
    expect(panel.field("weight_decay").locator(".dlw-why")).to_contain_text("a number, 0 or more, is wanted")
    expect(panel.entry("weight_decay")).to_have_attribute("aria-invalid", "true")
    desk.kernel.execute("session.weight_decay = 0.02")
    expect(panel.entry("weight_decay")).to_have_value("0.02")
    expect(panel.field("weight_decay").locator(".dlw-why")).to_be_hidden()


def test_space_and_full_stop_steer_the_run_from_anywhere_in_the_panel_but_a_text_field(desk, panel):
    page = desk.page
    panel.handle("Batch size").focus()
    page.keyboard.press(".")
    desk.wait_until("session.steps == 1 and session.status == 'paused'")
    page.keyboard.press("Space")
    desk.wait_until("session.status == 'running'")
    page.keyboard.press("Space")
    desk.wait_until("session.status == 'paused'")
    steps = desk.kernel_eval("session.steps")
    # A button has Space for itself, and lets "." through.
    panel.button("Step").focus()
    page.keyboard.press(".")
    desk.wait_until(f"session.steps == {steps + 1} and session.status == 'paused'")
    panel.summary("Optimizer").click()
    panel.entry("weight_decay").click()
    page.keyboard.press("Control+A")
    page.keyboard.type("0.5 ")
    page.keyboard.press("Enter")
    desk.wait_until("session.weight_decay == 0.5")
    assert desk.kernel_eval("[session.steps, session.status]") == [steps + 1, "paused"]
    expect(panel.button("Resume")).to_have_attribute("aria-keyshortcuts", "Space")


def test_keys_elsewhere_in_the_notebook_are_the_notebooks(desk, panel):
    page = desk.page
    page.locator(".jp-Notebook .cm-content").first.click()
    page.keyboard.press("Control+End")
    page.keyboard.type(" .")
    expect(page.locator(".jp-Notebook .cm-content").first).to_contain_text("panel .")
    page.keyboard.press("Escape")
    page.keyboard.press("Space")
    page.keyboard.press(".")
    assert desk.kernel_eval("[session.steps, session.status]") == [0, "ready"]


def test_a_preset_sets_several_things_and_undo_takes_the_last_back(desk, panel):
    panel.button("Step").click()
    desk.wait_until("session.steps == 1 and session.status == 'paused'")
    panel.summary("Presets").click()
    presets = panel.section("Presets")
    presets.locator("select").select_option("Clip norm 1")
    presets.get_by_role("button", name="Apply").click()
    desk.wait_until("session.clip == ('norm', 1.0)")
    expect(panel.mode("norm")).to_have_class(re.compile("mod-active"))
    panel.button("Step").click()
    desk.wait_until("session.steps == 2 and session.status == 'paused'")
    expect(panel.button("Undo")).to_have_attribute("aria-disabled", "false")
    panel.button("Undo").click()
    desk.wait_until("session.steps == 1 and session.clip is None")
    expect(panel.mode("off")).to_have_class(re.compile("mod-active"))
    expect(panel.fact("Clip at")).to_contain_text("in force off")


def test_a_run_goes_back_to_a_snapshot(desk, panel):
    for steps in (1, 2, 3):
        panel.button("Step").click()
        desk.wait_until(f"session.steps == {steps} and session.status == 'paused'")
    panel.summary("Go back").click()
    past = panel.section("Go back")
    past.get_by_label("Back to").select_option("0")
    past.get_by_role("button", name="Go back").click()
    desk.wait_until("session.steps == 0 and session.branches")
    expect(panel.bar.locator(".dlw-figure").nth(1)).to_have_text("step 0")
    expect(past.get_by_label("Line")).to_be_visible()


def test_a_teacher_limits_and_locks(desk, panel):
    desk.kernel.execute("panel.limits(lr=(1e-4, 1e-1)).lock('optimizer', 'clip')")
    panel.summary("Optimizer").click()
    expect(panel.entry("optimizer").first).to_be_disabled()
    expect(panel.field("optimizer").get_by_label("locked")).to_be_visible()
    expect(panel.mode("norm")).to_be_disabled()
    expect(panel.fact("Clip at").get_by_label("locked")).to_be_visible()
    panel.handle("Learning rate").focus()
    desk.page.keyboard.press("End")
    desk.wait_until("session.lr == 0.1")
    desk.page.keyboard.press("Home")
    desk.wait_until("session.lr == 1e-4")
    desk.kernel.execute("panel.unlock()")
    expect(panel.entry("optimizer").first).to_be_enabled()
    expect(panel.mode("norm")).to_be_enabled()


def test_the_last_step_is_told_in_pause(desk, panel):
    panel.summary("Last step").click()
    expect(panel.section("Last step")).to_contain_text("Press Step")
    panel.button("Step").click()
    desk.wait_until("session.steps == 1 and session.status == 'paused'")
    loss = desk.kernel_eval("f'{session.loss:.4f}'")
    expect(panel.section("Last step")).to_contain_text(loss)


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (700, "dark")])
def test_nothing_is_cut_off_or_lies_over_another(desk, theme, width):
    desk.page.set_viewport_size({"width": width, "height": 960})
    desk.set_theme(theme)
    try:
        desk.run_cell("session = quick_session(clip=1.0)\nboard = dlw.Dashboard(session, show='full')\nboard")
        panel = Panel(desk.page)
        panel.button("Step").click()
        desk.wait_until("session.steps == 1 and session.status == 'paused'")
        for name in ("Optimizer", "Schedule", "Regularisation", "Run", "Presets", "Go back", "Last step"):
            panel.summary(name).click()
            expect(panel.summary(name)).to_have_attribute("aria-expanded", "true")
        expect(panel.controls.locator(".dlw-sections-part")).to_have_attribute("data-theme", theme)
        desk.screenshot(f"panel-{width}-{theme}", of=panel.controls)
        assert panel.controls.evaluate(_CUT) == []
        assert panel.controls.evaluate(_OVER) == []
    finally:
        desk.set_theme("light")
        desk.page.set_viewport_size({"width": 1280, "height": 960})


def test_two_rates_are_tried_by_one_click_and_the_run_goes_on_with_the_better(desk, panel):
    panel.button("Start").click()
    desk.wait_until("session.steps > 5")
    panel.button("Pause").click()
    desk.wait_until("session.status == 'paused'")
    steps = desk.kernel_eval("session.steps")
    panel.summary("Side by side").click()
    section = panel.section("Side by side")
    # Long enough to be ended: nothing else can be pressed meanwhile.
    section.get_by_label("For").fill("3000")
    section.get_by_role("button", name="Try side by side").click()
    rows = section.locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("under way")
    expect(panel.status).to_have_text("trying 1 of 2")
    expect(rows.nth(2)).to_contain_text(re.compile(r"lr 1.0?e-3.* of 3,000"))
    expect(rows.nth(1)).to_contain_text("waits")
    assert panel.bar.locator(".dlw-button:visible:not([inert])").all_inner_texts() == ["End trial"]
    panel.button("End trial").click()
    desk.wait_until("session.status == 'paused' and len(session.branches) == 1")
    assert desk.kernel_eval("session.steps") == steps
    section.get_by_label("For").fill("50")
    section.get_by_role("button", name="Try side by side").click()
    expect(panel.status).to_contain_text("trying")
    # The steps of what is tried are not the run's, and a row is there when its trial has ended.
    assert desk.kernel_eval("session.steps") == steps
    desk.wait_until("session.status == 'paused' and len(session.branches) == 3")
    assert desk.kernel_eval("session.steps") == steps
    rates = desk.kernel_eval("sorted(branch.settings['lr'] for branch in session.branches)")
    assert rates == pytest.approx([1e-4, 1e-3, 1e-3])
    rows.nth(1).get_by_role("button", name="Go on").click()
    desk.wait_until(f"session.steps == {steps + 50} and session.line != 'main'")
    expect(rows.first).to_contain_text(desk.kernel_eval("session.line"))
