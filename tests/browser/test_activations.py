"""The activation browser under mouse and keyboard: layers, samples, maps and their numbers."""

from __future__ import annotations

import base64
import re

import pytest
from playwright.sync_api import Locator, expect

#: Hand a file over as a person does who drops it on the view, or pastes it.
_HAND = """async (view, [event, name, type, data]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type }));
    const how = { bubbles: true, cancelable: true };
    const given = event === "paste" ? new ClipboardEvent("paste", { clipboardData: transfer, ...how })
        : new DragEvent(event, { dataTransfer: transfer, ...how });
    view.dispatchEvent(given);
    return given.defaultPrevented;
}"""
#: Pick a layer, and say after how many seconds its maps are painted: words and canvas change in one frame.
_CLICK = """async (view, layer) => {
    const list = view.querySelector("select"), what = view.querySelector(".dlw-act-what");
    const frame = () => new Promise((done) => requestAnimationFrame(() => done()));
    // A person does not pick the next one in the very frame in which the last was painted.
    await new Promise((done) => setTimeout(done, 200));
    const from = performance.now();
    list.value = layer;
    list.dispatchEvent(new Event("change", { bubbles: true }));
    while (!what.textContent.startsWith(`${layer} · `)) await frame();
    return (performance.now() - from) / 1000;
}"""
#: How many rows the controls above the picture stand in.
_ROWS = """(view) => {
    const boxes = [...view.querySelectorAll(".dlw-act-bar :is(button, select, input)")].filter((one) => one.offsetParent)
        .map((one) => one.getBoundingClientRect()).sort((a, b) => a.top - b.top);
    return boxes.filter((box, i) => !i || box.top >= boxes[i - 1].bottom).length;
}"""
#: Words that are cut with an ellipsis, outside of the names of what is predicted.
_CUT = """(view) => [...view.querySelectorAll("span, div, figcaption")].filter((node) => node.offsetParent && !node.children.length
    && !node.closest(".dlw-act-ranking, .dlw-hidden") && node.scrollWidth > node.clientWidth + 1 && node.clientWidth)
    .map((node) => `${node.className}: ${node.textContent}`)"""
#: The sum of all that a canvas shows.
_SUM = """(canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.reduce((sum, one) => sum + one, 0);
}"""


def unfolded(desk) -> Locator:
    """Show the activation browser of a CNN with all of its controls; return it."""
    desk.run_cell(watched())
    browser = desk.page.locator(".dlw-activations")
    browser.get_by_role("button", name="more").click()
    desk.wait_until("view.more")
    return browser


def watched() -> str:
    """Return the cell that shows the activation browser of a CNN."""
    return "session = new_session(); session.step(3)\nview = dlw.ActivationBrowser(session)\nview"


def test_another_layer_and_another_sample_are_picked_while_training(desk):
    desk.run_cell(watched())
    desk.kernel.execute("session.start()")
    browser = desk.page.locator(".dlw-activations")
    browser.get_by_role("combobox", name="layer", exact=True).select_option("stage2.relu")
    desk.wait_until("session.selected_layer == 'stage2.relu'")
    expect(browser.locator(".dlw-act-what")).to_contain_text(re.compile("stage2.relu · sample 0 · 32 maps"))
    browser.get_by_role("button", name="next sample").click()
    desk.wait_until("session.selected_sample == 1")
    expect(browser.locator(".dlw-act-what")).to_contain_text("sample 1")
    number = browser.get_by_label("sample number")
    number.fill("17")
    desk.page.keyboard.press("Enter")
    desk.wait_until("session.selected_sample == 17")
    expect(browser.locator(".dlw-act-what")).to_contain_text("sample 17")
    # It is alive: the step it is of moves on.
    moment = browser.locator(".dlw-act-moment")
    before = moment.text_content() or ""
    expect(moment).not_to_have_text(before)
    expect(moment).to_contain_text("live")


def test_a_layer_chosen_in_code_is_shown(desk):
    desk.run_cell(watched())
    desk.kernel.execute("session.selected_layer = 'head.linear'; session.selected_sample = 5")
    browser = desk.page.locator(".dlw-activations")
    expect(browser.get_by_role("combobox", name="layer", exact=True)).to_have_value("head.linear")
    expect(browser.locator(".dlw-act-what")).to_contain_text("head.linear · sample 5")


def exact(said: str) -> tuple[int, int, float]:
    """Return row, column and value of "row 3, column 9: 0.123 ..."."""
    found = re.match(r"row (\d+), column (\d+): (−?[\d.]+(?:e-?\d+)?) · ", said)
    assert found is not None, said
    return int(found[1]), int(found[2]), float(found[3].replace("−", "-"))


def test_the_values_of_another_map_are_read_with_the_pointer_within_the_error_that_is_said(desk):
    desk.run_cell(watched())
    browser = desk.page.locator(".dlw-activations")
    browser.get_by_role("combobox", name="layer", exact=True).select_option("stage3.conv")
    expect(browser.locator(".dlw-act-what")).to_contain_text("stage3.conv")
    sheet = browser.locator(".dlw-act-sheet canvas")
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    sheet.hover(position={"x": box["width"] / 2, "y": 12})
    reading = browser.locator(".dlw-act-reading")
    expect(reading).to_contain_text(re.compile(r"row \d+, column \d+: .* ± .*channel [1-9]"))
    said = reading.text_content() or ""
    row, column, channel = map(int, re.search(r"row (\d+), column (\d+).*channel (\d+)", said).groups())
    value = desk.kernel_eval(
        "float(dlw.activations(session.model, data.valid[0][:1], ['stage3.conv'])['stage3.conv']"
        f"[0, {channel}, {row}, {column}])"
    )
    shown, error = (float(x.replace("−", "-")) for x in re.search(r"([−\d.e-]+) ± ([\d.e-]+)", said).groups())
    assert abs(shown - value) <= 1.5 * error + 1e-9


def test_the_values_of_the_picked_map_are_the_tensors_own(desk):
    desk.run_cell(watched())
    browser = desk.page.locator(".dlw-activations")
    browser.get_by_role("combobox", name="layer", exact=True).select_option("stage3.conv")
    expect(browser.locator(".dlw-act-what")).to_contain_text("stage3.conv")
    near = browser.locator(".dlw-act-near canvas")
    near.focus()
    reading = browser.locator(".dlw-act-reading")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
        desk.page.keyboard.press(key)
    expect(reading).to_contain_text(re.compile(r"^row \d+, column \d+: "))
    row, column, value = exact(reading.text_content() or "")
    expected = desk.kernel_eval(
        "float(dlw.activations(session.model, data.valid[0][:1], ['stage3.conv'])['stage3.conv']"
        f"[0, 0, {row}, {column}])"
    )
    assert value == pytest.approx(expected, rel=1e-5)


def test_a_layer_is_found_in_the_tree_with_the_keyboard_alone(desk):
    page, browser = desk.page, unfolded(desk)
    button = browser.get_by_role("button", name="tree")
    button.focus()
    page.keyboard.press("Enter")
    tree = browser.get_by_role("tree", name="layers")
    expect(tree).to_be_focused()
    expect(tree.get_by_role("treeitem", selected=True)).to_contain_text("relu")
    page.keyboard.press("ArrowDown")
    desk.wait_until("session.selected_layer != 'stage1.relu'")
    # Letters search; Enter takes what is found first.
    page.keyboard.type("head.lin")
    expect(tree.get_by_role("treeitem").last).to_contain_text("linear")
    page.keyboard.press("Enter")
    desk.wait_until("session.selected_layer == 'head.linear'")
    expect(tree).to_be_hidden()
    expect(button).to_be_focused()


def test_a_branch_of_the_tree_closes_and_opens_with_the_arrow_keys(desk):
    page, browser = desk.page, unfolded(desk)
    browser.get_by_role("button", name="tree").click()
    items = browser.get_by_role("treeitem")
    before = items.count()
    page.keyboard.press("ArrowLeft")
    desk.wait_until("session.selected_layer == 'stage1'")
    page.keyboard.press("ArrowLeft")
    expect(items).not_to_have_count(before)
    expect(browser.locator("[data-path='stage1']")).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("ArrowRight")
    expect(items).to_have_count(before)
    page.keyboard.press("Escape")
    expect(browser.get_by_role("tree")).to_be_hidden()


def test_at_first_sight_there_is_one_row_of_controls_and_a_more_that_outlives_a_reload(desk):
    desk.run_cell(watched())
    browser = desk.page.locator(".dlw-activations")
    expect(browser.locator(".dlw-act-what")).to_contain_text("stage1.relu")
    said = desk.kernel_eval("view.sample['words']")
    expect(browser.locator(".dlw-act-fared")).to_have_text(said)
    for width in (1280, 1024, 700):
        desk.page.set_viewport_size({"width": width, "height": 800})
        desk.wait_for(lambda: browser.evaluate(_ROWS) == 1, f"one row at {width} px")
        assert browser.evaluate(_CUT) == []
    names = ["layer", "previous sample", "sample number", "next sample"]
    seen = browser.locator("button:visible, select:visible, input:visible").count()
    assert seen <= len(names) + 1 + 1 + 1 + 4, "random, more, over the input, and the four sections of the study"
    for name in names:
        expect(browser.get_by_label(name, exact=True)).to_be_visible()
    browser.get_by_role("button", name="more").click()
    expect(browser.get_by_role("group", name="Sort")).to_be_visible()
    desk.wait_until("view.more")
    desk.reload()
    expect(desk.page.locator(".dlw-activations").get_by_role("group", name="Sort")).to_be_visible()


def test_maps_are_sorted_and_the_weights_shown(desk):
    browser = unfolded(desk)
    browser.get_by_role("button", name="strength", exact=True).click()
    expect(browser.locator(".dlw-act-what")).to_contain_text("16 maps by strength")
    strongest = desk.kernel_eval(
        "int(dlw.activations(session.model, data.valid[0][:1], ['stage1.relu'])['stage1.relu'][0]"
        ".abs().mean((1, 2)).argmax())"
    )
    sheet = browser.locator(".dlw-act-sheet canvas")
    sheet.focus()
    desk.page.keyboard.press("Home")
    desk.wait_until(f"view.project()['chosen'] == {strongest}")
    expect(browser.locator(".dlw-act-reading")).to_contain_text(f"channel {strongest}")
    browser.get_by_role("combobox", name="layer", exact=True).select_option("stage2.conv")
    browser.get_by_role("button", name="filters").click()
    expect(browser.locator(".dlw-act-what")).to_contain_text("weights of stage2.conv")
    channel = browser.get_by_role("slider", name="Input channel")
    channel.focus()
    desk.page.keyboard.press("ArrowRight")
    expect(browser.locator(".dlw-act-foot")).to_contain_text("input channel 1 of 16")


def test_samples_are_walked_from_the_worst_on(desk):
    browser = unfolded(desk)
    desk.kernel.execute("found = session.evaluate()")
    order = browser.get_by_label("order of the samples")
    expect(order).to_be_enabled()
    order.select_option("worst")
    expect(browser.locator(".dlw-act-sample")).to_contain_text("1 of 400")
    browser.get_by_role("button", name="next sample").click()
    expect(browser.locator(".dlw-act-sample")).to_contain_text("2 of 400")
    worst = desk.kernel_eval(
        "[int(n) for n in nn.functional.binary_cross_entropy("
        "torch.as_tensor(session.scores.y_score).double(), data.valid[1].double(), reduction='none')"
        ".mean(1).argsort(descending=True)[:2]]"
    )
    assert desk.kernel_eval("session.selected_sample") == worst[1]


@pytest.mark.parametrize("way", ["drop", "paste", "choose"])
def test_an_image_of_ones_own_is_looked_at(desk, tmp_path, way):
    from PIL import Image

    desk.run_cell(watched())
    browser = desk.page.locator(".dlw-activations")
    path = tmp_path / "cat.png"
    Image.linear_gradient("L").resize((640, 480)).convert("RGB").save(path)
    if way == "choose":
        browser.get_by_label("an image of your own").set_input_files(path)
    else:
        data = base64.b64encode(path.read_bytes()).decode()
        assert browser.evaluate(_HAND, [way, "cat.png", "image/png", data])
    expect(browser.locator(".dlw-act-what")).to_contain_text("cat.png")
    done = browser.locator(".dlw-act-done")
    expect(done).to_contain_text("640 × 480 made smaller in the page, made grey")
    expect(done).to_contain_text("scaled to 32 × 32, the middle cut out")
    # A gradient from black to white is one still.
    rows = desk.kernel_eval("view._samples.own.inputs[0, 0].mean(1).tolist()")
    assert rows == sorted(rows) and rows[0] < 0.05 and rows[-1] > 0.95
    browser.get_by_role("button", name="next sample").click()
    expect(browser.locator(".dlw-act-what")).to_contain_text("sample 1")


def test_what_is_no_image_is_said(desk):
    desk.run_cell(watched())
    browser = desk.page.locator(".dlw-activations")
    assert browser.evaluate(_HAND, ["drop", "notes.txt", "text/plain", "bm90ZXM="])
    expect(browser.locator(".dlw-note").first).to_have_text("What was dropped is no image.")
    assert browser.evaluate(_HAND, ["drop", "broken.png", "image/png", "bm90ZXM="])
    expect(browser.locator(".dlw-note").first).to_have_text("broken.png is no image that this browser reads.")


def test_the_map_is_laid_over_the_input(desk):
    desk.run_cell(watched())
    browser = desk.page.locator(".dlw-activations")
    near = browser.locator(".dlw-act-near canvas")
    expect(near).to_be_visible()
    alone = near.evaluate(_SUM)
    browser.get_by_label("over the input").check()
    over = near.evaluate(_SUM)
    assert over != alone
    browser.get_by_label("how much the map covers the input").fill("100")
    assert near.evaluate(_SUM) not in (alone, over)
    browser.get_by_label("over the input").uncheck()
    assert near.evaluate(_SUM) == alone


def test_256_maps_of_28_x_28_are_painted_after_a_click_while_training_runs(desk, measured):
    desk.run_cell(
        "wide = nn.Sequential(nn.Conv2d(1, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4),\n"
        "    nn.Conv2d(256, 16, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))\n"
        "small = data.train[0][:, :, 2:30, 2:30].contiguous()\n"
        "found = wide(small[:2])\n"
        "session = new_session(model=wide, train=(small, data.train[1]), batch_size=4,\n"
        "    valid=(small[:200], data.train[1][:200]))\n"
        "view = dlw.ActivationBrowser(session); view"
    )
    desk.kernel.execute("session.start()")
    desk.wait_until("session.steps > 20")
    browser = desk.page.locator(".dlw-activations")
    waits = [browser.evaluate(_CLICK, ("0", "1")[number % 2]) for number in range(20)]
    expect(browser.locator(".dlw-act-what")).to_contain_text("256 maps")
    assert desk.kernel_eval("view.project()['drawing']['block']") == [2, 2]
    measured("layer picked -> 256 maps of 28 x 28 painted", waits)
    measured("  of which a step takes", desk.kernel_eval("session.history().seconds.tail(100).tolist()"))
