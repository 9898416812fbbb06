"""The doctor in the page: a run that explodes is helped by one click, and findings lead to layers and steps."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from .test_dashboard import FIRST_SIGHT

BOARD = "session = quick_session(optimizer='sgd', lr=0.05, evaluate_every=200); board = dlw.Dashboard(session{}); board"
#: What rules of layers find takes long to come about by itself.
FOUND = """
from dlwidgets.core.doctor.finding import Chart, Finding
path = [row.path for row in session.layers().rows if row.kind == "ReLU"][0]
ill = Finding("dead_relu", "medium", "The ReLU is dying", "63 % of its units are zero.", why="No gradient passes.",
    layer=path, step=40, chart=Chart((0.1, 0.3, 0.63), "share of zero units", limit=0.4), remedies=("lower_rate", "clip"))
session.set_trait("findings", (ill,))
"""


def test_a_run_that_explodes_is_taken_back_by_a_click_on_a_remedy(desk):
    page = desk.page
    page.set_viewport_size({"width": 1280, "height": 1700})
    desk.run_cell(BOARD.format(", show='full'"))
    doctor, curves = page.locator(".dlw-doctor"), page.locator(".dlw-curves")
    expect(doctor).to_contain_text("Watches loss")
    expect(doctor.get_by_role("button", name="Check before training")).to_be_visible()
    desk.kernel.execute("session.step(60)", timeout=120)
    expect(doctor).to_contain_text(re.compile("Nothing found: [0-9]+ checks quiet"))
    desk.kernel.execute("session.lr = 5000.0; session.on_divergence = 'go on'; session.step(40)", timeout=120)
    card = doctor.locator("article[data-severity=high]", has_text="The loss diverges")
    expect(card).to_be_visible()
    expect(doctor.get_by_role("status").last).to_contain_text("Doctor, high: The loss diverges")
    desk.screenshot("doctor-found", of=page.locator(".dlw-dash"))
    # The step on the curves, and a mark on the rail.
    expect(curves.locator(".dlw-mark[data-found]").first).to_be_visible()
    card.get_by_role("button", name="since step").click()
    desk.wait_until("session.selected_step in [one.step for one in session.findings if one.rule == 'loss_diverging']")
    expect(curves.locator(".dlw-chosen")).to_be_visible()
    remedy = card.get_by_role("button", name="Rate × 0.1")
    expect(remedy).to_have_attribute("title", re.compile("Rewind to"))
    remedy.click()
    desk.wait_until("session.steps <= 60 and session.ledger().iloc[-1]['by'] == 'doctor'")
    assert desk.kernel_eval("session.ledger().iloc[-1]['name']") == "lr"
    expect(card).to_have_count(0)
    taken = doctor.locator(".dlw-doc-taken")
    expect(taken).to_contain_text("lr")
    taken.get_by_role("button", name="Undo").click()
    desk.wait_until("session.ledger().iloc[-1]['undone']")
    expect(taken).to_be_hidden()


def test_a_finding_leads_to_its_layer_and_stands_in_one_line_with_a_tab_where_little_is_shown(desk):
    page = desk.page
    page.set_viewport_size({"width": 1280, "height": 1600})
    desk.run_cell(BOARD.format(""))
    desk.kernel.execute("session.step(60)", timeout=120)
    board, line = page.locator(".dlw-dash"), page.locator(".dlw-doc-worst")
    tab = board.get_by_role("tab", name=re.compile("Doctor"))
    expect(line).to_contain_text("checks quiet")
    place = tab.bounding_box()
    desk.kernel.execute(FOUND)
    expect(line).to_contain_text("◆ medium")
    expect(line.get_by_role("status")).to_have_text("Doctor, medium: The ReLU is dying")
    # Nothing has moved, and it is one screen still.
    assert tab.bounding_box()["y"] == place["y"]
    sight = board.evaluate(FIRST_SIGHT)
    assert len(sight["controls"]) <= 30 and sight["height"] <= 800, sight
    expect(tab).to_have_text("Doctor 1")
    # By keys alone: the line's buttons, then the tabs.
    line.get_by_role("button", name="The ReLU is dying").focus()
    page.keyboard.press("Tab")
    expect(line.get_by_role("button", name=re.compile("Rate × 0.1"))).to_be_focused()
    page.keyboard.press("Tab")
    expect(line.get_by_role("button", name="Try all")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    expect(tab).to_be_focused()
    card = board.get_by_role("tabpanel").locator("article")
    card.get_by_text("why", exact=True).click()
    expect(card).to_contain_text("No gradient passes.")
    # A click on the layer selects it, and the table shows its row, with a mark.
    card.get_by_role("button", name="layer").click()
    desk.wait_until("session.selected_layer == path")
    row = board.locator(".dlw-lay-line[aria-selected=true]")
    expect(row.locator(".dlw-lay-ill")).to_have_text(" ◆")
    expect(row.locator(".dlw-lay-layer")).to_have_attribute("title", re.compile("medium: The ReLU is dying"))
    # What is over is pale and folded, and the line is quiet again.
    desk.kernel.execute("import dataclasses; session.set_trait('findings', (dataclasses.replace(ill, until=60),))")
    expect(line).to_contain_text("checks quiet")
    expect(tab).to_have_text(re.compile("^Doctor *$"))
    tab.click()
    board.get_by_role("tabpanel").get_by_text("1 over").click()
    expect(board.get_by_role("tabpanel").locator("article[data-over]")).to_contain_text("steps 40 to 60, over")
