"""A run steered with mouse and keyboard: what a person does to the panel is what the loop does."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .panel import Panel

PANEL = "session = new_session({})\npanel = dlw.TrainingPanel(session)\npanel"


@pytest.fixture
def panel(desk) -> Panel:
    """The panel of a session that has not begun."""
    desk.run_cell(PANEL.format(""))
    panel = Panel(desk.page)
    # What makes an arrow key a notch of 5 %, not of the slider's own 1 %, is drawn below the sliders, after them.
    expect(panel.handle("Learning rate")).to_have_attribute("aria-describedby", re.compile("dlw-fact"))
    return panel


@pytest.fixture
def running(desk, panel) -> Panel:
    """The panel of a session that was started with the mouse."""
    panel.button("Start").click()
    desk.wait_until("session.steps > 3")
    return panel


def written(number: float) -> str:
    """Return a rate as the panel writes it: 3.0e-3."""
    mantissa, power = f"{number:.1e}".split("e")
    return f"{mantissa}e{int(power)}"


def test_a_run_is_started_with_the_mouse(desk, panel):
    expect(panel.status).to_have_text("ready")
    panel.button("Start").click()
    desk.wait_until("session.status == 'running' and session.steps > 5")
    expect(panel.status).to_have_text("running")
    expect(panel.bar.locator(".dlw-figure").nth(1)).to_have_text(re.compile(r"step \d+"))


def test_a_dragged_learning_rate_comes_into_force_while_training(desk, running):
    running.drag("Learning rate", 0.25)
    shown = running.readout("Learning rate").text_content()
    assert shown is not None and 2e-5 < float(shown) < 5e-5
    rate = desk.wait_until(f"session.applied['lr'] == {shown} and session.applied['lr']")
    expect(running.fact("Learning rate")).to_have_text(f"in force {shown}")
    steps = desk.kernel_eval("session.steps")
    desk.wait_until(f"session.steps > {steps + 2}")
    assert desk.kernel_eval("session.history().lr.iloc[-1]") == rate
    assert desk.kernel_eval("session.optimizer.param_groups[0]['lr']") == rate
    last = desk.kernel_eval("session.ledger().iloc[-1].to_dict()")
    assert (last["name"], last["asked"], last["applied"], last["by"]) == ("lr", rate, rate, "panel")


@pytest.mark.parametrize(("key", "notches"), [("ArrowRight", 5), ("ArrowUp", 3), ("ArrowLeft", -5), ("ArrowDown", -3)])
def test_an_arrow_key_moves_the_learning_rate_by_a_notch(desk, running, key, notches):
    running.handle("Learning rate").focus()
    for _ in range(abs(notches)):
        desk.page.keyboard.press(key)
    # A notch is 5 %.
    near = 1e-3 * 10 ** (0.02 * notches)
    rate = desk.wait_until(f"abs(session.applied['lr'] / {near} - 1) < 0.024 and session.applied['lr']")
    expect(running.fact("Learning rate")).to_have_text(f"in force {written(rate)}")
    # A screen reader is told the rate, not its logarithm.
    expect(running.handle("Learning rate")).to_have_attribute("aria-valuetext", running.readout("Learning rate").inner_text())
    expect(running.handle("Learning rate")).to_be_focused()


def test_a_batch_size_moved_in_mid_epoch_is_that_of_the_next_batches(desk, running):
    running.handle("Batch size").focus()
    desk.page.keyboard.press("ArrowLeft")
    desk.wait_until("session.applied['batch_size'] == 32")
    expect(running.fact("Batch size")).to_have_text("in force 32")
    desk.wait_until("session.epoch >= 3")
    desk.run_cell("session.pause(); rows = session.history()")
    # No sample is lost or seen twice: every epoch has them all.
    counted = desk.kernel_eval("rows[rows.epoch < rows.epoch.max()].groupby('epoch').batch_size.sum().tolist()")
    assert set(counted) == {2000}
    assert desk.kernel_eval("rows[rows.epoch == 1].batch_size.nunique()") > 1


def test_clipping_is_switched_and_limited(desk, running):
    running.mode("norm").click()
    desk.wait_until("session.applied['clip'] == ('norm', 1.0)")
    expect(running.fact("Clip at")).to_contain_text("in force norm 1.0")
    running.drag("Clip at", 0.2)
    limit = desk.wait_until("session.applied['clip'][1] < 0.05 and session.applied['clip'][1]")
    desk.wait_until(f"session.steps > 10 + {desk.kernel_eval('session.steps')}")
    assert desk.kernel_eval("session.clip") == ["norm", limit]
    running.mode("value").click()
    desk.wait_until("session.applied['clip'][0] == 'value'")
    running.mode("off").click()
    desk.wait_until("session.applied['clip'] is None")
    expect(running.fact("Clip at")).to_contain_text("in force off")


def test_a_step_is_one_step_and_a_paused_run_goes_on(desk, running):
    running.button("Pause").click()
    expect(running.status).to_have_text("paused")
    desk.wait_until("session.status == 'paused'")
    for _ in range(3):
        steps = desk.kernel_eval("session.steps")
        running.button("Step").click()
        desk.wait_until(f"session.steps > {steps} and session.status == 'paused'")
        assert desk.kernel_eval("session.steps") == steps + 1
        expect(running.bar.locator(".dlw-figure").nth(1)).to_have_text(f"step {steps + 1:,}")
    running.button("Resume").click()
    desk.wait_until(f"session.status == 'running' and session.steps > {steps + 3}")
    expect(running.status).to_have_text("running")
    running.button("Stop").click()
    desk.wait_until("session.status == 'stopped'")
    expect(running.status).to_have_text("stopped")
    expect(running.button("Start")).to_be_visible()


def test_the_keyboard_alone_starts_pauses_resumes_and_stops(desk, panel):
    page = desk.page
    panel.button("Start").focus()
    page.keyboard.press("Enter")
    desk.wait_until("session.steps > 3")
    # The button in the place of the pressed one has taken its focus over.
    expect(panel.button("Pause")).to_be_focused()
    page.keyboard.press("Space")
    desk.wait_until("session.status == 'paused'")
    expect(panel.button("Resume")).to_be_focused()
    steps = desk.kernel_eval("session.steps")
    page.keyboard.press("Tab")
    expect(panel.button("Step")).to_be_focused()
    page.keyboard.press("Enter")
    desk.wait_until(f"session.steps == {steps + 1} and session.status == 'paused'")
    expect(panel.status).to_have_text("paused")
    expect(panel.button("Step")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    desk.wait_until(f"session.steps > {steps + 3}")
    expect(panel.button("Pause")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(panel.button("Stop")).to_be_focused()
    page.keyboard.press("Enter")
    desk.wait_until("session.status == 'stopped'")
    expect(panel.status).to_have_text("stopped")


def test_every_control_is_reached_by_tab_and_has_a_name(desk, panel):
    panel.button("Start").focus()
    names = []
    for _ in range(12):
        desk.page.keyboard.press("Tab")
        names.append(desk.page.evaluate(
            "() => { const e = document.activeElement; if (!e.closest('.dlw-bar, .dlw-controls')) return '';"
            " return e.getAttribute('aria-label') || e.closest('.widget-inline-hbox')?.querySelector('label')?.textContent"
            " || e.textContent; }"
        ))  # fmt: skip
    assert {"Step", "Stop", "Learning rate", "Batch size", "off", "norm", "value", "Clip at"} <= set(names), names


def test_a_failed_run_says_why_and_goes_on_once_mended(desk):
    desk.run_cell(
        "broken = False\n"
        "class Fragile(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__(); self.inner = dlw.teaching.SmallCNN(data.classes)\n"
        "    def forward(self, x):\n"
        "        if broken: raise RuntimeError('the <b>cable</b> is out')\n"
        "        return self.inner(x)\n"
        "session = new_session(model=Fragile()); dlw.TrainingPanel(session)"
    )
    panel = Panel(desk.page)
    panel.button("Start").click()
    desk.wait_until("session.steps > 3")
    desk.kernel.execute("broken = True")
    expect(panel.status).to_have_text("failed")
    expect(panel.bar.get_by_role("alert")).to_have_text("RuntimeError: the <b>cable</b> is out")
    panel.bar.get_by_text("Traceback", exact=True).click()
    expect(panel.bar.locator("pre")).to_contain_text("in forward")
    steps = desk.wait_until("session.status == 'failed' and session.steps")
    desk.kernel.execute("broken = False")
    panel.button("Resume").click()
    desk.wait_until(f"session.steps > {steps + 3}")
    expect(panel.status).to_have_text("running")
    expect(panel.bar.get_by_role("alert")).to_be_hidden()


def test_a_wish_that_cannot_be_met_is_rejected_beside_its_control_and_the_run_goes_on(desk):
    desk.run_cell(
        "batches = [(data.train[0][i : i + 64], data.train[1][i : i + 64]) for i in range(0, 640, 64)]\n"
        "session = new_session(train=batches, batch_size=None); dlw.TrainingPanel(session)"
    )
    panel = Panel(desk.page)
    panel.button("Start").click()
    desk.wait_until("session.steps > 3")
    panel.handle("Batch size").focus()
    desk.page.keyboard.press("ArrowLeft")
    why = desk.wait_until("session.rejected.get('batch_size')")
    expect(panel.fact("Batch size")).to_contain_text("rejected")
    expect(panel.fact("Batch size")).to_contain_text("in force 64")
    expect(panel.controls).to_contain_text(why)
    steps = desk.kernel_eval("session.steps")
    desk.wait_until(f"session.status == 'running' and session.steps > {steps + 3}")


def test_values_set_in_code_move_the_controls_and_stay_as_they_were_set(desk, running):
    desk.kernel.execute("session.lr = 3e-3; session.batch_size = 48; session.clip = ('value', 0.3)")
    expect(running.readout("Learning rate")).to_have_text("3.0e-3")
    expect(running.readout("Batch size")).to_have_text("48")
    expect(running.mode("value")).to_have_class(re.compile("mod-active"))
    expect(running.readout("Clip at")).to_have_text("0.30")
    expect(running.fact("Learning rate")).to_have_text("in force 3.0e-3")
    expect(running.fact("Batch size")).to_have_text("in force 48")
    # What the page says back has come once a later message of the page has.
    running.mode("norm").click()
    desk.wait_until("session.applied['clip'][0] == 'norm'")
    assert desk.kernel_eval("[session.lr, session.batch_size, session.clip]") == [3e-3, 48, ["norm", 0.3]]
    assert desk.kernel_eval("session.applied['lr']") == 3e-3


def test_a_value_outside_the_slider_widens_it(desk, running):
    desk.kernel.execute("session.lr = 20.0; session.batch_size = 3000")
    desk.wait_until("session.applied['batch_size'] == 3000 or session.rejected")
    expect(running.readout("Learning rate")).to_have_text("2.0e+1")
    desk.wait_until("session.applied['lr'] == 20.0")
    expect(running.readout("Batch size")).to_have_text("3000")
    assert desk.kernel_eval("session.lr") == 20.0


def test_a_rate_typed_into_the_readout_comes_into_force_to_the_digit(desk, running):
    readout = running.readout("Learning rate")
    readout.click()
    desk.page.keyboard.press("Control+A")
    desk.page.keyboard.type("0.0042")
    desk.page.keyboard.press("Enter")
    desk.wait_until("session.applied['lr'] == 0.0042")
    expect(readout).to_have_text("4.2e-3")


def test_the_last_of_many_fast_moves_is_the_one_in_force(desk, running):
    running.handle("Learning rate").focus()
    for _ in range(40):
        desk.page.keyboard.press("ArrowRight")
    for _ in range(60):
        desk.page.keyboard.press("ArrowLeft")
    desk.wait_until("session.applied['lr'] == 4e-4")
    expect(running.fact("Learning rate")).to_have_text("in force 4.0e-4")
    assert desk.kernel_eval("session.status") == "running"
