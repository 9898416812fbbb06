"""Fine-tuning in the page: a click freezes a block for good, and three starts end as three curves."""

from __future__ import annotations

import re

from playwright.sync_api import expect

PANEL = "session = quick_session(evaluate_every='epoch'); view = dlw.FineTunePanel(session); view"


def test_a_click_freezes_a_block_and_its_weights_stand_still_while_the_rest_trains(desk):
    page = desk.page
    page.set_viewport_size({"width": 1280, "height": 1000})
    desk.run_cell(PANEL)
    panel = page.locator(".dlw-finetune")
    blocks = panel.get_by_role("checkbox")
    expect(blocks).to_have_count(2)
    expect(panel).to_contain_text("Everything trains")
    desk.kernel.execute("session.start()")
    desk.wait_until("session.steps >= 20")
    blocks.first.click()
    expect(blocks.first).to_have_attribute("aria-checked", "false")
    desk.wait_until("not next(session.model.parameters()).requires_grad")
    desk.kernel.execute("kept = [one.detach().clone() for one in session.model.parameters()]; at = session.steps")
    desk.wait_until("session.steps >= at + 40")
    desk.kernel.execute("session.pause()")
    still = "[one.equal(other) for one, other in zip(kept, session.model.parameters())]"
    assert desk.kernel_eval(still) == [True, True, False, False]
    expect(panel.locator(".dlw-ft-proof")).to_contain_text(re.compile("✓ Epoch [0-9]+, step [0-9]+: 2 frozen tensors unchanged"))
    # By keys: to the next block and back, and the first trains again.
    blocks.first.focus()
    page.keyboard.press("ArrowRight")
    expect(blocks.nth(1)).to_be_focused()
    expect(panel.locator(".dlw-ft-said")).to_contain_text("trains at")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(blocks.first).to_have_attribute("aria-checked", "true")
    # The slider freezes all up to a place.
    panel.get_by_label("Freeze all blocks up to").focus()
    page.keyboard.press("ArrowRight")
    expect(blocks.first).to_have_attribute("aria-checked", "false")
    expect(panel.get_by_role("button", name="Head only")).to_have_attribute("aria-pressed", "true")
    assert desk.kernel_eval("list(session.ledger().by.unique())") == ["finetune"]


def test_a_comparison_ends_with_three_curves_and_one_of_them_is_gone_on_with(desk):
    page = desk.page
    page.set_viewport_size({"width": 1280, "height": 1400})
    desk.run_cell(PANEL)
    panel = page.locator(".dlw-finetune")
    desk.kernel.execute("session.step(5)", timeout=120)
    panel.get_by_text("Compare head only / all / from scratch").click()
    expect(panel).to_contain_text(re.compile("All three take about"))
    panel.get_by_label("Epochs of each").fill("1")
    panel.get_by_role("button", name="Compare", exact=True).click()
    rows = panel.get_by_role("listitem").filter(has_text=re.compile("head only|all|from scratch"))
    expect(rows).to_have_count(3)
    expect(panel.get_by_role("button", name="Go on with this one")).to_have_count(3)
    expect(panel.locator("svg path")).to_have_count(3)
    for name in ("head only", "all", "from scratch"):
        expect(panel.locator(".dlw-ft-ends")).to_contain_text(re.compile(f"{name} [0-9.]+"))
    expect(panel.locator(".dlw-ft-took")).to_have_text([re.compile("[0-9.]+ s")] * 3)
    desk.screenshot("finetune-compared", of=panel)
    assert desk.kernel_eval("session.steps") == 5
    rows.nth(1).get_by_role("button", name="Go on with this one").click()
    desk.wait_until("session.line == 'all'")
    expect(rows.nth(1).get_by_role("button")).to_have_text("Under way")
