"""A dashboard as an app in Voila, with a teacher's limits and locks; and the signs of hosts that cannot run here."""

from __future__ import annotations

from playwright.sync_api import expect

from .panel import Panel
from .test_staying_alive import everything_is_alive

CELL = """import dlwidgets as dlw
data = dlw.teaching.collages(n_train=512, n_valid=128)
session = dlw.Session(
    dlw.teaching.MLP(32 * 32, data.classes, hidden=(16,)), data.train, data.valid, classes=data.classes, lr=1e-3,
    epochs=9999, evaluate_every=50,
)
view = {view}
view.training.limits(lr=(1e-4, 1e-2)).lock("batch_size", "undo")
view"""
#: The texts of a page that are hard to read: their contrast with what lies behind them is below 3.
_UNREADABLE = """() => {
    const dab = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const parts = (colour) => {
        dab.clearRect(0, 0, 1, 1); dab.fillStyle = colour; dab.fillRect(0, 0, 1, 1);
        return dab.getImageData(0, 0, 1, 1).data;
    };
    const light = (colour) => [0.2126, 0.7152, 0.0722].reduce((sum, share, i) => {
        const part = colour[i] / 255;
        return sum + share * (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    }, 0);
    const behind = (node) => {
        for (let up = node; up; up = up.parentElement) {
            const colour = parts(getComputedStyle(up).backgroundColor);
            if (colour[3] > 128) return colour;
        }
        return parts(getComputedStyle(document.documentElement).getPropertyValue("--window"));
    };
    const found = [];
    for (const node of document.querySelectorAll(".dlw *, .dlw-vars *")) {
        const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
        if (!own || !node.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) || node.closest("svg, [inert], [disabled], [aria-disabled='true']")) continue;
        const [one, other] = [light(parts(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
        if ((one + 0.05) / (other + 0.05) < 3) found.push(`${node.className}: ${node.textContent.trim().slice(0, 40)}`);
    }
    return found;
}"""


def test_a_dashboard_in_voila_is_an_app_that_trains_within_the_teachers_limits(visitor):
    page = visitor.open([CELL.format(view="dlw.Dashboard(session, show='full')")])
    panel = Panel(page)
    assert "teaching.MLP" not in page.locator("body").inner_text()  # the notebook's own code
    panel.button("Start").click()
    expect(panel.status).to_have_text("running")
    everything_is_alive(page)
    panel.handle("Learning rate").focus()
    page.keyboard.press("End")
    expect(panel.fact("Learning rate")).to_have_text("in force 1.0e-2")
    panel.drag("Batch size", 0.9)
    expect(panel.fact("Batch size")).to_have_text("in force 32")
    expect(panel.button("Undo")).to_be_disabled()
    panel.button("Pause").click()
    expect(panel.status).to_have_text("paused")


def test_an_experiment_in_dark_voila_is_readable_at_any_width(visitor):
    visitor.theme = "dark"
    page = visitor.open([CELL.format(view="dlw.Experiment(session, 'lr', 'curves', 'confusion')")])
    Panel(page).button("Start").click()
    expect(page.locator(".dlw-confusion .dlw-head")).to_contain_text("after step")
    Panel(page).button("Pause").click()
    expect(Panel(page).status).to_have_text("paused")
    for width in 1280, 700:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator(".dlw").first.get_attribute("data-theme") == "dark"
        assert page.evaluate(_UNREADABLE) == []
