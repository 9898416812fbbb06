"""The host itself, before any view of ours: what the other tests of this folder take for granted."""

from __future__ import annotations

import pytest
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


def test_a_widget_talks_both_ways_outlives_a_reload_and_the_theme_changes_the_page(lab):
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
    for theme, light in ("dark", False), ("light", True):
        lab.set_theme(theme)
        shade = page.evaluate("getComputedStyle(document.body).getPropertyValue('--jp-layout-color0')").strip()
        assert (shade in ("white", "#fff", "#ffffff")) == light, shade


def test_the_kernel_can_be_asked_while_a_cell_runs_and_a_failing_cell_fails_the_run(lab):
    lab.open(["import threading; gate = threading.Event()", "gate.wait(60)", "1 / 0"])
    lab.run_all(wait=False)
    assert lab.wait_until("'gate' in globals()", busy=True)
    assert lab.kernel_eval("gate.is_set()", busy=True) is False
    assert lab.kernel_eval("gate.set()", busy=True) is None
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        lab.wait_for_cells()
