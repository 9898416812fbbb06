"""The layer table under mouse and keyboard: it selects, folds, sorts, copies, freezes, and stays where it is."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

TRAINED = "session = new_session(); session.step(3)\nview = dlw.LayerTable(session)\nview"

#: The numbers that are wider than their cells, and whether the heading lies over a part of a line, for each line.
_CUT = """(table) => [...table.querySelectorAll(".dlw-lay-line:not([hidden]) [data-right], .dlw-lay-heads button")]
    .filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent)"""
_HALVES = """(table) => [...table.querySelectorAll(".dlw-lay-line:not([hidden])")].map((line) => {
    const under = table.querySelector(".dlw-lay-top").getBoundingClientRect().bottom, { top, bottom } = line.getBoundingClientRect();
    return Number(top < under - 1 && bottom > under + 1);
})"""
#: The boxes of all cells of all lines in sight.
_BOXES = """(table) => [...table.querySelectorAll(".dlw-lay-line:not([hidden])")].map((line) =>
    [...line.children].map((cell) => { const { x, y, width, height } = cell.getBoundingClientRect(); return [x, y, width, height]; }))"""


@pytest.fixture
def table(desk) -> Locator:
    """The table of a CNN that was trained for some steps."""
    desk.run_cell(TRAINED)
    return shown(desk)


def shown(desk) -> Locator:
    """Return the table, once its lines are there."""
    table = desk.page.locator(".dlw-layers")
    expect(table.locator(".dlw-lay-line").first).to_be_visible()
    return table


def line(table: Locator, path: str) -> Locator:
    """Return the line of a layer."""
    return table.locator(f'.dlw-lay-line:not([hidden])[data-path="{path}"]')


def names(table: Locator) -> list[str]:
    """Return the names in sight from top to bottom."""
    return table.locator(".dlw-lay-line:visible").evaluate_all(
        "(lines) => lines.map((line) => [Number(line.getAttribute('aria-rowindex')), line.querySelector('.dlw-lay-text').textContent])"
        ".sort((a, b) => a[0] - b[0]).map((one) => one[1])"
    )


def heads(table: Locator) -> list[str]:
    """Return the headings in order, without the sign of a sort."""
    return [text.rstrip(" ↑↓") for text in table.locator(".dlw-lay-heads button").all_inner_texts()]


def test_bars_show_where_parameters_macs_and_memory_sit(desk, table):
    """A bar is the share of the whole that the layer has, in pixels rounded up."""
    shares = desk.kernel_eval(
        "{row.path: [row.parameters / view.summary.total_parameters, row.macs / view.summary.total_macs,"
        " row.activation_bytes / view.summary.activation_bytes] for row in view.summary.rows}"
    )
    for number, column in enumerate(("params", "macs", "activations")):
        whole = line(table, "").locator(f".dlw-lay-{column} .dlw-lay-bar").bounding_box()["width"]
        assert whole > 10
        for path in ("stage1", "stage1.conv", "stage2.conv"):
            drawn = line(table, path).locator(f".dlw-lay-{column} .dlw-lay-bar").bounding_box()["width"]
            assert abs(drawn - whole * shares[path][number]) <= 1, (column, path)


def test_a_click_on_a_line_makes_the_activation_browser_follow(desk):
    desk.run_cell(
        "session = new_session(); session.step(1)\nview = dlw.LayerTable(session); browser = dlw.ActivationBrowser(session)\n"
        "ipywidgets.VBox([view, browser])"
    )
    line(shown(desk), "stage2.relu").click()
    desk.wait_until("session.selected_layer == 'stage2.relu'")
    expect(desk.page.locator(".dlw-act-what")).to_contain_text("stage2.relu")


def test_a_layer_selected_in_code_is_unfolded_and_scrolled_to(desk):
    desk.run_cell(
        "model = nn.Sequential(nn.Conv2d(1, 4, 3), *[nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()) for _ in range(60)],"
        " nn.Flatten(), nn.LazyLinear(10))\nmodel(data.train[0][:1])\nsession = new_session(model=model)\n"
        "view = dlw.LayerTable(session)\nview"
    )
    table = shown(desk)
    expect(line(table, "44.0")).to_have_count(0)
    desk.kernel.execute("session.selected_layer = '44.0'")
    expect(line(table, "44.0")).to_have_attribute("aria-selected", "true")
    assert line(table, "44.0").evaluate(
        "(line) => { const grid = line.closest('.dlw-lay-grid').getBoundingClientRect(), box = line.getBoundingClientRect();"
        " return box.top >= grid.top + 26 && box.bottom <= grid.bottom; }"
    )


def test_folds_columns_and_the_sort_survive_a_reload_of_the_page(desk, table):
    line(table, "stage2").locator(".dlw-lay-twist").click()
    expect(line(table, "stage2.conv")).to_have_count(0)
    table.get_by_role("button", name="Columns").click()
    menu = desk.page.get_by_role("menu", name="Columns")
    menu.get_by_role("menuitemcheckbox", name="dtype").click()
    menu.get_by_role("menuitemcheckbox", name="output").click()
    desk.page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    desk.wait_until("'dtype' in (view.look['columns'] or []) and 'output' not in view.look['columns'] and view.look['turned']")
    before = heads(table), names(table)
    assert "dtype" in before[0] and "output" not in before[0]
    desk.reload()
    table = shown(desk)
    expect(line(table, "stage2")).to_have_attribute("aria-expanded", "false")
    assert (heads(table), names(table)) == before
    table.get_by_role("button", name="params").click()
    table.get_by_role("button", name="params").click()
    desk.wait_until("view.look['sort'] == '-params'")
    sorted_names = names(table)
    desk.reload()
    table = shown(desk)
    expect(table.get_by_role("columnheader", name="params")).to_have_attribute("aria-sort", "descending")
    assert names(table) == sorted_names


def test_live_numbers_move_no_cell(desk):
    desk.run_cell("session = quick_session()\nview = dlw.LayerTable(session)\nview")
    desk.kernel.execute("session.start()")
    table = shown(desk)
    measured = table.locator(".dlw-lay-measured")
    expect(measured).to_contain_text("of the time")
    table.scroll_into_view_if_needed()
    boxes = table.evaluate(_BOXES)
    for _ in range(4):
        before = measured.text_content() or ""
        expect(measured).not_to_have_text(before)
        assert table.evaluate(_BOXES) == boxes


def test_the_keyboard_walks_folds_and_freezes(desk, table):
    page, grid = desk.page, table.locator(".dlw-lay-grid")
    grid.focus()
    page.keyboard.press("Home")
    desk.wait_until("session.selected_layer == ''")
    page.keyboard.press("ArrowDown")
    desk.wait_until("session.selected_layer == 'stage1'")
    page.keyboard.press("ArrowLeft")
    expect(line(table, "stage1")).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("ArrowDown")
    desk.wait_until("session.selected_layer == 'stage2'")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    expect(line(table, "stage1")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowRight")
    desk.wait_until("session.selected_layer == 'stage1.conv'")
    page.keyboard.press("f")
    desk.wait_until("not any(p.requires_grad for p in session.model.stage1.conv.parameters())")
    expect(line(table, "stage1.conv").locator(".dlw-lay-freeze")).to_have_attribute("aria-pressed", "true")
    expect(line(table, "stage1").locator(".dlw-lay-freeze")).to_have_attribute("aria-pressed", "mixed")
    page.keyboard.press("f")
    desk.wait_until("all(p.requires_grad for p in session.model.parameters())")
    expect(line(table, "stage1.conv").locator(".dlw-lay-freeze")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("End")
    desk.wait_until("session.selected_layer.startswith('head')")
    expect(grid).to_be_focused()


def test_the_menu_of_columns_is_worked_with_the_keyboard(desk, table):
    page, button = desk.page, table.get_by_role("button", name="Columns")
    button.focus()
    page.keyboard.press("ArrowDown")
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("menuitemcheckbox", name="type", exact=True)).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.get_by_role("menuitemcheckbox", name="input")).to_have_attribute("aria-checked", "true")
    expect(page.get_by_role("menuitemcheckbox", name="input")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    desk.wait_until("view.look['columns'] is None")
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    expect(button).to_have_attribute("aria-expanded", "false")


@pytest.mark.parametrize("kind", ["CSV", "Markdown"])
def test_what_is_copied_is_in_the_clipboard_and_is_what_python_gives(desk, table, kind):
    desk.context.grant_permissions(["clipboard-read", "clipboard-write"])
    table.get_by_role("button", name="params").click()
    desk.wait_until("view.look['sort'] == 'params'")
    table.get_by_role("button", name="Copy").click()
    desk.page.get_by_role("menuitem", name=kind).click()
    expect(table.get_by_role("status").first).to_have_text(re.compile(rf"\d+ layers copied as {kind}"))
    copied = desk.page.evaluate("() => navigator.clipboard.readText()")
    assert copied == desk.kernel_eval(f"view.to_{kind.lower()}()")


def test_it_is_copied_where_the_clipboard_is_refused(desk, table):
    desk.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = desk.page
    refuse = "() => Promise.reject(new DOMException('no', 'NotAllowedError'))"
    page.evaluate(f"() => {{ navigator.clipboard.write = navigator.clipboard.writeText = {refuse}; }}")
    try:
        table.get_by_role("button", name="Copy").click()
        page.get_by_role("menuitem", name="CSV").click()
        expect(table.get_by_role("status").first).to_have_text(re.compile("copied as CSV"))
        assert page.evaluate("() => navigator.clipboard.readText()") == desk.kernel_eval("view.to_csv()")
    finally:
        page.evaluate("() => { delete navigator.clipboard.write; delete navigator.clipboard.writeText; }")


def test_of_ten_thousand_layers_only_those_in_sight_exist(desk, measured):
    desk.run_cell(
        "wide = nn.Sequential(*[nn.Sequential(*[nn.Linear(4, 4 + (i + j) % 3) for j in range(99)]) for i in range(100)]).to('meta')\n"
        "view = dlw.LayerTable(dlw.summary(wide))\nview"
    )
    table = shown(desk)
    table.get_by_role("button", name="Unfold all").click()
    expect(table.locator(".dlw-lay-grid")).to_have_attribute("aria-rowcount", re.compile(r"\d{5}"))
    took = table.locator(".dlw-lay-grid").evaluate(
        """async (grid) => {
            const frame = () => new Promise((done) => requestAnimationFrame(() => done()));
            const times = [];
            for (let top = 0; top < grid.scrollHeight; top += grid.scrollHeight / 60) {
                grid.scrollTop = top;
                const from = performance.now();
                await frame(); await frame();
                times.push((performance.now() - from) / 1000);
            }
            return times;
        }"""
    )
    measured("10,000 layers: scrolled -> painted (two frames)", took)
    assert table.locator(".dlw-lay-line").count() < 60
    table.locator(".dlw-lay-grid").focus()
    desk.page.keyboard.press("End")
    expect(line(table, "99.98")).to_be_visible()


def test_a_click_freezes_while_training_and_the_frozen_weights_stay_as_they_are(desk, table):
    desk.kernel.execute("session.start()")
    row = line(table, "stage2")
    row.locator(".dlw-lay-freeze").click()
    desk.wait_until("not any(p.requires_grad for p in session.model.stage2.parameters())")
    expect(row.locator(".dlw-lay-freeze")).to_have_attribute("aria-pressed", "true")
    expect(line(table, "stage2.conv").locator(".dlw-lay-trains")).to_have_attribute("title", re.compile("^frozen"))
    last = desk.kernel_eval("session.ledger().iloc[-1][['name', 'by']].tolist()")
    assert last == ["trainable", "layers"]
    desk.kernel.execute(
        "kept = {n: t.clone() for n, t in session.model.state_dict().items() if n.startswith('stage2')}; steps = session.steps"
    )
    desk.wait_until("session.steps > steps + 10")
    assert desk.kernel_eval("all(torch.equal(t, session.model.state_dict()[n]) for n, t in kept.items())")
    row.locator(".dlw-lay-freeze").click()
    desk.wait_until("all(p.requires_grad for p in session.model.parameters())")
    expect(row.locator(".dlw-lay-freeze")).to_have_attribute("aria-pressed", "false")
    desk.wait_until("not torch.equal(kept['stage2.conv.weight'], session.model.state_dict()['stage2.conv.weight'])")


def test_all_up_to_a_layer_is_frozen_by_key_by_mouse_and_from_the_menu(desk, table):
    def frozen(path: str, pressed: str) -> None:
        expect(line(table, path).locator(".dlw-lay-freeze")).to_have_attribute("aria-pressed", pressed)

    line(table, "stage2").click()
    table.locator(".dlw-lay-grid").press("Shift+F")
    frozen("stage1", "true"), frozen("stage2", "true")
    expect(line(table, "stage1").locator(".dlw-lay-trains")).to_have_attribute("title", re.compile("^frozen: by 'stage1'"))
    line(table, "stage1").locator(".dlw-lay-freeze").click(modifiers=["Shift"])
    frozen("stage1", "true"), frozen("stage2", "false")
    table.get_by_role("button", name="Freeze", exact=True).click()
    table.get_by_role("menuitem", name="Unfreeze all").click()
    frozen("stage1", "false")


def test_freezing_everything_is_refused_with_a_sentence(desk, table):
    table.locator(".dlw-lay-line:visible .dlw-lay-freeze").first.click()
    expect(table.locator(".dlw-note")).to_contain_text("nothing to train")
    expect(table.locator(".dlw-lay-freeze").first).to_have_attribute("aria-pressed", "false")
    line(table, "stage1").locator(".dlw-lay-freeze").click()
    expect(table.locator(".dlw-note")).to_have_text("")
    expect(line(table, "stage1").locator(".dlw-lay-freeze")).to_have_attribute("aria-pressed", "true")


def test_a_run_driven_to_nan_marks_the_layers_with_a_sign_and_in_words(desk, table):
    desk.kernel.execute("with torch.no_grad(): session.model.stage3.conv.weight[0, 0, 0, 0] = float('nan')")
    desk.kernel.execute("session.start()")
    desk.wait_until("session.status == 'failed'")
    cell = line(table, "stage3.conv").locator(".dlw-lay-grad")
    expect(cell).to_have_attribute("aria-label", re.compile("not finite"))
    assert (cell.text_content() or "").startswith("▲")
    expect(line(table, "stage1.conv").locator(".dlw-lay-grad")).not_to_have_attribute("data-mark", "broken")


def test_a_layer_whose_units_are_dead_stands_out(desk):
    desk.run_cell(
        "model = dlw.teaching.SmallCNN(data.classes)\nwith torch.no_grad(): model.stage2.norm.bias[:] = -1e3\n"
        "session = new_session(model=model); view = dlw.LayerTable(session); session.step(1)\nview"
    )
    table = shown(desk)
    cell = line(table, "stage2.relu").locator(".dlw-lay-dead")
    expect(cell).to_have_text("▲ 100 %")
    for width in (1280, 1024, 700):
        desk.page.set_viewport_size({"width": width, "height": 800})
        desk.wait_for(lambda: table.evaluate(_CUT) == [], f"what is cut at {width}")
    expect(table.get_by_role("button", name="Columns")).to_have_text(re.compile(r"^Columns, \d more ▾$"))
    table.locator(".dlw-lay-grid").evaluate("(grid) => { grid.scrollTop = 35; }")
    desk.wait_for(lambda: 1 not in table.evaluate(_HALVES), "a line half under the heading")
    expect(cell).to_have_attribute("aria-label", re.compile("dead: 32 of 32 units"))
