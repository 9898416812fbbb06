"""What JupyterLab's status bar and palette, and the line beside Notebook 7's menus, do with the session in front."""

from __future__ import annotations

import json

from playwright.sync_api import Locator, expect

from .lab import Lab
from .panel import Panel
from .test_staying_alive import subshells

SESSION = "session = quick_session()\npanel = dlw.TrainingPanel(session)\npanel"
#: What goes on until the session is paused; a hundred lines have the panel scroll out of sight.
LOOP = """print("\\n" * 100)
session.start()
while session.status == "running": time.sleep(0.02)"""
#: A notebook of its own, with another model.
OTHER = """import dlwidgets as dlw
data = dlw.teaching.collages(n_train=256, n_valid=32)
session = dlw.Session(dlw.teaching.SmallCNN(data.classes), data.train, data.valid, classes=data.classes, epochs=1000)"""


def bar(person: Lab) -> Locator:
    """Return the line that says what the session does."""
    return person.page.locator(".dlwidgets-status")


def press(person: Lab) -> Locator:
    """Return the button in it."""
    return person.page.locator(".dlwidgets-press")


@subshells
def test_a_run_is_paused_from_the_status_bar_while_a_cell_runs_and_no_view_is_in_sight(desk):
    desk.run_cell(SESSION)
    expect(bar(desk)).to_contain_text("ready")
    desk.run_cell(LOOP, 1, wait=False)
    expect(press(desk)).to_have_attribute("aria-label", "Pause")
    desk.page.set_viewport_size({"width": 1280, "height": 500})
    desk.cell(1).locator(".jp-OutputArea-output").evaluate("(output) => output.scrollIntoView({ block: 'end' })")
    expect(Panel(desk.page).bar).not_to_be_in_viewport()
    press(desk).click()
    # The cell ends since the loop has paused: the click was heard beside it.
    desk.wait_for_cells()
    expect(bar(desk)).to_contain_text("paused")
    desk.run_cell("", 1)


def test_shortcuts_and_the_palette_start_step_and_stop(desk):
    desk.run_cell(SESSION)
    expect(bar(desk)).to_contain_text("ready")
    desk.command("notebook:enter-command-mode")
    desk.page.keyboard.press("Alt+Shift+N")
    desk.wait_until("session.steps == 1 and session.status == 'paused'")
    expect(bar(desk)).to_contain_text("paused")
    desk.page.keyboard.press("Alt+Shift+P")
    desk.wait_until("session.status == 'running'")
    expect(press(desk)).to_have_attribute("aria-label", "Pause")
    desk.command("apputils:activate-command-palette")
    desk.page.locator(".lm-CommandPalette-input:visible").fill("Stop Training")
    desk.page.keyboard.press("Enter")
    desk.wait_until("session.status == 'stopped'")
    expect(bar(desk)).to_contain_text("stopped")


def test_the_menu_is_worked_by_keys_and_follows_another_session(desk):
    desk.run_cell(f"{SESSION}\nsession.lr = 0.02\nsession.step()\nsession.lr = 0.03\nsession.step();")
    desk.run_cell("other = new_session()", 1)
    menu, line = desk.page.locator(".dlwidgets-menu"), desk.page.locator(".dlwidgets-session")
    # The newest, since no view is shown.
    expect(bar(desk)).to_contain_text("SmallCNN")
    line.click()
    menu.get_by_text("MLP (session): paused").click()
    expect(bar(desk)).to_contain_text("MLP")
    line.press("Enter")
    expect(menu.get_by_text("Undo lr, step 1")).to_be_visible()
    for _ in range(3):
        desk.page.keyboard.press("ArrowDown")
    desk.page.keyboard.press("Enter")
    desk.wait_until("session.applied['lr'] == 0.02 and session.changes[-1].by == 'panel'")
    expect(line).to_be_focused()
    desk.run_cell("other.close()", 1)
    desk.run_cell("", 1)


def test_two_notebooks_with_a_session_each_are_told_apart_and_a_restart_empties_the_line(lab):
    page = lab.open([OTHER.replace("SmallCNN(data.classes)", "MLP(32 * 32, data.classes)")])
    lab.run_all()
    expect(bar(lab)).to_contain_text("MLP")
    first = lab.path
    lab.open_too([OTHER])
    lab.run_all()
    expect(bar(lab)).to_contain_text("SmallCNN")
    second = lab.path
    lab.back_to(page, first)
    lab.to_front()
    expect(bar(lab)).to_contain_text("MLP")
    press(lab).click()
    lab.wait_until("session.status == 'running'")
    lab.back_to(page, second)
    lab.to_front()
    expect(bar(lab)).to_contain_text("SmallCNN")
    assert lab.kernel_eval("session.status") == "ready"
    lab.restart_kernel()
    expect(bar(lab)).to_be_hidden()


def test_after_a_reload_the_line_is_there_and_where_the_extension_is_disabled_views_work_without(desk):
    desk.run_cell(SESSION)
    press(desk).click()
    desk.reload()
    expect(press(desk)).to_have_attribute("aria-label", "Pause")
    press(desk).click()
    desk.wait_until("session.status == 'paused'")
    # As `jupyter labextension disable dlwidgets` writes it.
    told = desk.server.home / "config" / "labconfig" / "page_config.json"
    told.parent.mkdir(parents=True, exist_ok=True)
    told.write_text(json.dumps({"disabledExtensions": {"dlwidgets": True}}))
    try:
        desk.reload()
        panel = Panel(desk.page)
        panel.button("Resume").click()
        expect(panel.status).to_have_text("running")
        assert not desk.page.evaluate("window.jupyterapp.commands.hasCommand('dlwidgets:pause')")
        expect(bar(desk)).to_have_count(0)
    finally:
        told.unlink()
        desk.reload()
        # A page that still asks for its widgets while they are closed complains.
        expect(Panel(desk.page).status).to_have_text("running")


def test_in_notebook_7_the_line_stands_beside_the_menus(notebook7):
    notebook7.open([OTHER])
    notebook7.run_all()
    expect(bar(notebook7)).to_contain_text("ready")
    press(notebook7).click()
    notebook7.wait_until("session.status == 'running'")
    expect(press(notebook7)).to_have_attribute("aria-label", "Pause")
    notebook7.command("notebook:enter-command-mode")
    notebook7.page.keyboard.press("Alt+Shift+P")
    notebook7.wait_until("session.status == 'paused'")
    expect(bar(notebook7)).to_contain_text("paused")
