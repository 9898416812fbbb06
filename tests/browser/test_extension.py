"""`%load_ext dlwidgets` in JupyterLab: models and answers of `%dlw` are tables, to be read in the light and dark."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

#: Contrast of the text of each cell with what lies behind it, after WCAG 2; the lowest.
_CONTRAST = """(output) => {
    const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const behind = (node) => {
        const found = channels(getComputedStyle(node).backgroundColor);
        return found.length === 4 && found[3] === 0 ? behind(node.parentElement) : found;
    };
    const luminance = (colour) => colour.slice(0, 3)
        .map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
    const contrast = (node) => {
        const [dark, light] = [channels(getComputedStyle(node).color), behind(node)]
            .map(luminance).sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05);
    };
    return Math.min(...[...output.querySelectorAll("b, th, td, small")].map(contrast));
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_bare_model_shows_its_layer_table_in_either_theme(desk, theme):
    desk.set_theme(theme)
    try:
        desk.run_cell("%load_ext dlwidgets\nmodel = dlw.teaching.SmallCNN(data.classes)\nmodel")
        output = desk.cell(0).locator(".jp-RenderedHTMLCommon")
        expect(output.locator("thead")).to_contain_text("params")
        expect(output.locator("tbody tr").first).to_contain_text("SmallCNN")
        parameters = desk.kernel_eval("sum(p.numel() for p in model.parameters())")
        expect(output.locator("small")).to_contain_text(f"{parameters:,} parameters")
        desk.wait_for(lambda: output.evaluate(_CONTRAST) > 4.5, "a contrast above 4.5")
        desk.screenshot(f"extension-{theme}", of=desk.cell(0))
        desk.run_cell("session = quick_session()\n%dlw status\n%dlw sessions", 1)
        told = desk.cell(1).locator(".jp-RenderedHTMLCommon")
        expect(told).to_have_count(2)
        expect(told.first).to_contain_text("session (MLP): ready, step 0 of")
        expect(told.last.locator("tbody tr")).to_contain_text(["[0]sessionMLPready"])
        desk.wait_for(lambda: min(one.evaluate(_CONTRAST) for one in told.all()) > 4.5, "a contrast above 4.5")
        desk.screenshot(f"magic-{theme}", of=desk.cell(1))
        # They are tables of text: nothing stays behind in the kernel.
        assert desk.kernel_eval("len(ipywidgets.widgets.widget._instances)") == 0
        desk.run_cell("%unload_ext dlwidgets\nmodel")
        expect(desk.cell(0).locator(".jp-OutputArea-output pre")).to_contain_text("SmallCNN(")
        expect(output).to_have_count(0)
    finally:
        desk.kernel.execute("del model")
        desk.set_theme("light")
