"""The panel beside a notebook: what opens it, what it shows, and when it goes."""

from __future__ import annotations

from playwright.sync_api import expect

from .panel import Panel
from .test_dashboard import BOARD, STICKS_OUT

#: A view of a kernel that needs no session.
TABLE = "table = dlw.LayerTable(nn.Linear(3, {})); table"

_OF = "((path) => [...window.jupyterapp.shell.widgets('main')].find((one) => one.context?.path === path))"


def test_a_view_opens_beside_its_cell_with_the_slider_at_work_and_is_there_after_a_reload(desk):
    page = desk.page
    page.set_viewport_size({"width": 1280, "height": 800})
    desk.run_cell(BOARD.format(""))
    desk.run_cell("while session.steps < 5: time.sleep(0.05)", 1, wait=False)
    # By the keyboard; the kernel is busy, and is not needed for it.
    desk.cell(0).get_by_role("button", name="Open this Dashboard beside the notebook").press("Enter")
    beside, panel = page.locator(".dlwidgets-beside"), Panel(page, 1)
    expect(beside.get_by_role("tab", name="Layers")).to_be_visible()
    expect(beside).to_be_focused()
    # It is in one place, and the cell says so.
    expect(desk.cell(0).locator(".dlw-dash")).to_be_hidden()
    expect(desk.cell(0)).to_contain_text("This Dashboard is shown beside the notebook.")
    panel.drag("Learning rate", 0.2)
    desk.wait_until("session.lr < 5e-4", busy=True)
    panel.button("Resume").or_(panel.button("Start")).click()
    desk.wait_for_cells()
    panel.button("Pause").click()
    desk.wait_until("session.status == 'paused'")
    assert beside.locator(".dlw-dash").evaluate(STICKS_OUT) == []
    # The run's buttons stay in sight.
    page.locator(".dlwidgets-beside-body").evaluate("(body) => body.scrollTo(0, body.scrollHeight)")
    expect(panel.button("Resume")).to_be_in_viewport()
    desk.screenshot("beside")
    desk.reload()
    expect(beside).to_contain_text("session · desk.ipynb")
    expect(panel.status).to_contain_text("paused")
    expect(desk.cell(0).locator(".dlw-dash")).to_be_hidden()
    # All the width and back, by the keyboard; then back in its cell.
    for shown in (False, True):
        beside.get_by_role("button", name="Full width").press("Enter")
        expect(desk.cell(0)).to_be_visible(visible=shown)
    desk.cell(0).get_by_role("button", name="Show here").click()
    expect(beside).to_have_count(0)
    expect(desk.cell(0).get_by_role("tab", name="Layers")).to_be_visible()
    # The menu of an output has it too.
    desk.cell(0).locator(".dlw-tabs-line").click(button="right", modifiers=["ControlOrMeta"], position={"x": 400, "y": 12})
    page.get_by_role("menuitem", name="Open Beside the Notebook").click()
    expect(beside.get_by_role("tab", name="Layers")).to_be_visible()
    beside.get_by_role("button", name="Close").click()
    expect(beside).to_have_count(0)


def test_the_palette_shows_a_session_that_no_cell_shows_and_follows_to_the_next(desk):
    page = desk.page
    desk.run_cell("session = quick_session()")
    page.keyboard.press("Alt+Shift+B")
    beside = page.locator(".dlwidgets-beside")
    head = beside.locator(".dlw-head-part")
    expect(head).to_contain_text("MLP")
    beside.locator(".dlw-step").click()
    desk.wait_until("session.steps == 1")
    expect(page.locator(".jp-Notebook .dlw-dash")).to_have_count(0)
    # Of one that a cell shows it is that view, with what a teacher locked.
    lesson = "lesson = dlw.Experiment(session, 'lr', 'curves'); lesson.training.lock('lr'); lesson"
    desk.run_cell(f"session.close(); session = new_session(); {lesson}")
    expect(head).to_contain_text("SmallCNN")
    expect(beside.locator(".dlw-experiment")).to_be_visible()
    expect(beside.locator(".dlw-lock").first).to_be_visible()
    expect(desk.cell(0).locator(".dlw-experiment")).to_be_hidden()
    beside.get_by_role("button", name="Close").click()
    page.keyboard.press("Control+Shift+c")
    page.keyboard.type("open beside the notebook")
    page.keyboard.press("Enter")
    expect(beside.locator(".dlw-experiment")).to_be_visible()
    desk.command("dlwidgets:beside")
    expect(beside).to_have_count(1)
    beside.get_by_role("button", name="Close").click()
    expect(desk.cell(0).locator(".dlw-experiment")).to_be_visible()


def test_each_notebook_has_its_panel_which_takes_its_name_and_goes_with_it(own_desk):
    desk, page, mine, button = own_desk, own_desk.page, own_desk.path, "Open this LayerTable beside the notebook"
    desk.run_cell(TABLE.format(4))
    desk.cell(0).get_by_role("button", name=button).click()
    text = desk.save().read_text("utf-8")
    (desk.server.root / "second.ipynb").write_text(text.replace("(3, 4)", "(3, 5)"), "utf-8")
    kernel = page.evaluate(f"{_OF}('{mine}').sessionContext.session.kernel.id")
    desk.command("docmanager:open", path="second.ipynb", kernel={"id": kernel})
    desk.back_to(page, "second.ipynb")
    try:
        desk.to_front()
        desk.run_cell(TABLE.format(5))
        page.locator(".jp-NotebookPanel:visible").get_by_role("button", name=button).last.click()
        expect(page.locator(".dlwidgets-beside")).to_have_count(2)
        page.evaluate(f"{_OF}('second.ipynb').context.rename('third.ipynb')")
        first, third = (page.locator(".dlwidgets-beside", has_text=name) for name in (mine, "third.ipynb"))
        expect(third).to_contain_text("20 parameters")  # 3 x 5 weights and 5 biases
        expect(first).to_contain_text("16 parameters")
        page.evaluate(f"{_OF}('third.ipynb').dispose()")
        expect(third).to_have_count(0)
        first.get_by_role("button", name="Close").click()
    finally:
        desk.back_to(page, mine)
