"""The hosts themselves, before any view of ours: what the other tests of this folder take for granted."""

from __future__ import annotations

from playwright.sync_api import expect

COUNTER = """
import anywidget, traitlets

class Counter(anywidget.AnyWidget):
    _esm = '''
    export default { render({ model, el, signal }) {
        const button = document.createElement("button");
        button.className = "count";
        const draw = () => { button.textContent = `count ${model.get("count")}`; };
        button.addEventListener("click", () => {
            model.set("count", model.get("count") + 1); model.save_changes();
        }, { signal });
        model.on("change:count", draw);
        draw();
        el.append(button);
    } };
    '''
    count = traitlets.Int(0).tag(sync=True)

counter = Counter()
counter
"""


def test_a_widget_talks_both_ways_is_counted_and_outlives_a_reload(lab):
    page = lab.open([COUNTER])
    lab.run_all()
    button = page.locator("button.count")
    button.click()
    expect(button).to_have_text("count 1")
    assert lab.wait_until("counter.count == 1")
    with lab.traffic() as traffic:
        lab.kernel.execute("for n in range(5): counter.count = 100 + n")
    assert len(traffic.comm(lab.kernel_eval("counter.comm.comm_id"))) == 5
    expect(button).to_have_text("count 104")
    button = lab.reload().locator("button.count")
    expect(button).to_have_text("count 104")
    button.click()
    assert lab.wait_until("counter.count == 105")


def test_the_kernel_can_be_asked_while_a_cell_runs(lab):
    lab.open(["import threading; gate = threading.Event()", "gate.wait(60)"])
    lab.run_all(wait=False)
    assert lab.wait_until("'gate' in globals()", busy=True)
    assert lab.kernel_eval("gate.is_set()", busy=True) is False
    assert lab.kernel_eval("gate.set()", busy=True) is None
    lab.wait_for_cells()


def test_the_theme_changes_the_page(lab):
    page = lab.open(["1"])
    for theme, light in ("dark", False), ("light", True):
        lab.set_theme(theme)
        shade = page.evaluate("getComputedStyle(document.body).getPropertyValue('--jp-layout-color0')").strip()
        assert (shade in ("white", "#fff", "#ffffff")) == light, shade


def test_a_failing_cell_fails_the_run(lab):
    lab.open(["1 / 0"])
    try:
        lab.run_all()
    except AssertionError as error:
        assert "ZeroDivisionError" in str(error)
    else:
        raise AssertionError("run_all() said nothing of the failing cell")


def test_a_saved_widget_is_drawn_by_a_page_whose_kernel_never_made_it(lab):
    lab.open([COUNTER])
    lab.run_all()
    lab.kernel.execute("counter.count = 12")
    expect(lab.page.locator("button.count")).to_have_text("count 12")
    saved = lab.save(widget_state=True)
    page = lab.open(saved, name="reopened.ipynb") if saved.name != "reopened.ipynb" else lab.page
    expect(page.locator("button.count")).to_have_text("count 12")


def test_the_same_in_notebook_7(notebook7):
    page = notebook7.open([COUNTER])
    notebook7.run_all()
    page.locator("button.count").click()
    assert notebook7.wait_until("counter.count == 1")
    page = notebook7.reload()
    expect(page.locator("button.count")).to_have_text("count 1")
