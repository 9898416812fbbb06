"""Every view is right whenever and however often it is shown, and costs nothing while nobody looks."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Collection

import ipykernel
import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from .conftest import PREPARED
from .lab import Lab
from .panel import Panel

BOARD = """session = new_session(valid=[part[:100] for part in data.valid], evaluate_every=15)
board = dlw.Dashboard(session, show="full")
parts = dict(head=board.training._head, facts=board.training._facts, curves=board.curves, layers=board.layers,
             confusion=board.confusion, activations=board.activations)
board"""
#: What shows that a view is alive: a text in it that changes while training.
ALIVE = {
    "head": ".dlw-head-part .dlw-figure >> nth=1",
    "curves": ".dlw-curves .dlw-reading",
    "layers": ".dlw-layers",
    "confusion": ".dlw-confusion .dlw-head",
    "activations": ".dlw-activations .dlw-act-moment",
}


#: Older kernels answer nobody, this test included, while a cell runs.
subshells = pytest.mark.skipif(
    ipykernel.version_info[0] < 7, reason="ipykernel 6 has no subshells to look into a busy kernel with"
)


def places(page: Page | Locator) -> dict[str, Locator]:
    """Return the text of each view that moves on while training."""
    return {name: page.locator(selector).first for name, selector in ALIVE.items()}


def everything_is_alive(page: Page | Locator) -> None:
    """Wait until each view shows something, then something else; where there are tabs, each is opened."""
    shown = {}
    for name, place in places(page).items():
        bring_into_sight(page, name, place)
        expect(place, name).to_contain_text(re.compile(r"\d"))
        shown[name] = place.inner_text()
    for name, place in places(page).items():
        bring_into_sight(page, name, place)
        expect(place, f"{name} stands still").not_to_have_text(shown[name], use_inner_text=True)


def bring_into_sight(page: Page | Locator, name: str, place: Locator) -> None:
    """Open the tab of a view where it has one, and scroll there."""
    tab = page.locator(".dlw-tablist").get_by_role("tab", name=name)
    if tab.count() and tab.first.is_visible():
        tab.first.click()
    place.scroll_into_view_if_needed()


def everything_is_drawn(desk: Lab) -> None:
    """Wait until the page has drawn the newest picture of every view."""
    desk.wait_until("all(part._drawn == part.frame and not part._stale for part in parts.values())")


@pytest.fixture
def board(desk) -> Lab:
    """A desk with the dashboard of a session that trains."""
    desk.page.set_viewport_size({"width": 1280, "height": 2600})
    desk.run_cell(BOARD)
    desk.kernel.execute("session.start()")
    desk.wait_until("session.scores is not None")
    return desk


def test_a_view_shown_late_shows_all_that_happened_before(desk):
    desk.run_cell("session = new_session(evaluate_every=40); session.step(80)\nsession.lr = 2e-3; session.step(1)")
    desk.run_cell("board = dlw.Dashboard(session); board")
    expect(desk.page.locator(".dlw-head-part .dlw-figure").nth(1)).to_have_text("step 81")
    expect(desk.page.locator(".dlw-curves .dlw-reading")).to_contain_text("step 81")
    expect(desk.page.locator(".dlw-mark:not([data-found])")).to_have_count(1)
    expect(desk.page.locator(".dlw-confusion .dlw-head")).to_contain_text("after step 80")
    expect(Panel(desk.page).readout("Learning rate")).to_have_text("2.0e-3")
    # In the theme's colours, though it was drawn before it lay in the page.
    blue = desk.page.locator(".dlw-curves canvas").first.evaluate(
        "(c) => { const p = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " let n = 0; for (let i = 0; i < p.length; i += 4) n += p[i + 2] > p[i] + 60; return n; }"
    )
    assert blue > 50


def test_every_view_twice_in_one_notebook_is_alive_in_both_places(desk):
    desk.page.set_viewport_size({"width": 1280, "height": 2600})
    desk.run_cell(BOARD.rpartition("\n")[0] + "\ndisplay(board)\nboard")
    boards = desk.page.locator(".dlw-dash")
    expect(boards).to_have_count(2)
    desk.kernel.execute("session.start()")
    for number in range(2):
        everything_is_alive(boards.nth(number))
    # A control moved in one is moved in all.
    Panel(desk.page, 1).drag("Learning rate", 0.25)
    shown = Panel(desk.page, 1).readout("Learning rate").text_content() or ""
    for number in range(2):
        Panel(desk.page, number).controls.scroll_into_view_if_needed()
        expect(Panel(desk.page, number).readout("Learning rate")).to_have_text(shown)
        expect(Panel(desk.page, number).fact("Learning rate")).to_have_text(f"in force {shown}")


@pytest.mark.timeout(400)
def test_a_saved_notebook_shows_every_view_with_no_kernel(board):
    board.wait_until("session.steps > 30")
    board.kernel.execute("session.pause()")
    everything_is_drawn(board)
    said = {name: place.inner_text() for name, place in places(board.page).items()}
    saved = board.save(widget_state=True)
    assert saved.stat().st_size < 500_000, "two dashboards, saved with all that they hold, are to stay below 1 MB"
    # A fresh kernel knows nothing of the widgets.
    first = board.page
    page = board.open(saved, name="saved.ipynb")
    page.set_viewport_size({"width": 1280, "height": 2600})
    try:
        for name, place in places(page).items():
            expect(place, name).to_have_text(said[name], use_inner_text=True)
        for view in ("curves", "confusion", "activations"):
            assert inked(page.locator(f".dlw-{view}")), view
        expect(page.locator(".dlw-confusion .dlw-conf-tile")).to_have_count(10)
        # The threshold still moves: the page has the counts.
        page.locator(".dlw-conf-scores input").press("ArrowRight")
        expect(page.locator(".dlw-conf-limit output")).to_have_text("0.501")
    finally:
        page.close()
        board.back_to(first, "desk.ipynb")


def inked(view: Locator) -> bool:
    """Say whether every canvas in `view` that is shown has something drawn on it."""
    return bool(view.evaluate(
        "(view) => [...view.querySelectorAll('canvas')].filter((c) => c.offsetParent && c.width > 1).every((c) =>"
        " new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size > 1)"
    ))  # fmt: skip


def test_a_saved_notebook_carries_a_picture_of_the_trained_run_beside_every_widget(board, tmp_path):
    def kept() -> str:
        (data,) = [output["data"] for cell in json.loads(board.save().read_text())["cells"]
                   for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]  # fmt: skip
        return data["image/png"].replace("\n", "")

    untrained = kept()
    board.page.locator(".dlw-dash").evaluate("(node) => { node.dataset.mark = 'drawn once'; }")
    board.kernel.execute("session.pause()")
    board.wait_for(lambda: kept() != untrained, "a picture of the run")
    # The view itself went on living, and the picture is of now.
    expect(board.page.locator(".dlw-dash")).to_have_attribute("data-mark", "drawn once")
    assert kept() == board.kernel_eval("board._repr_mimebundle_()[0]['image/png']")
    saved = tmp_path / "saved.ipynb"
    saved.write_bytes(board.save().read_bytes())
    notebook = json.loads(saved.read_text())
    assert saved.stat().st_size < 150_000
    (data,) = [
        output["data"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]
    picture = base64.b64decode(data["image/png"])
    assert picture.startswith(b"\x89PNG") and len(picture) > 5_000
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(saved)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    html = saved.with_suffix(".html").read_text().replace("\n", "")
    assert "data:image/png;base64," + data["image/png"].replace("\n", "")[:400] in html
    # Opened with a kernel that never made it, JupyterLab shows the picture, too.
    first = board.page
    page = board.open(saved, name="pictured.ipynb")
    try:
        expect(page.locator(".jp-OutputArea img")).to_have_js_property("complete", True)
        expect(page.locator(".jp-OutputArea").first).to_contain_text("This is what was saved: choose Run > Run All Cells")
        said = page.locator(".jp-OutputArea p").first
        paper = "(node) => getComputedStyle(node).backgroundColor"
        light = said.evaluate(paper)
        board.set_theme("dark")
        assert said.evaluate(paper) != light
        board.screenshot("saved-picture")
    finally:
        board.set_theme("light")
        page.close()
        board.back_to(first, "desk.ipynb")
        # What JupyterLab itself says of a widget that no kernel knows.
        board.console[:] = [words for words in board.console if "widget model not found" not in words]


def test_two_tabs_on_one_kernel_both_steer_through_a_new_name_and_a_line_that_was_cut(own_desk):
    own_desk.run_cell("session = new_session(); panel = dlw.TrainingPanel(session); panel")
    first, before, lines = own_desk.page, own_desk.path, []

    def carry(line: WebSocketRoute) -> None:
        line.connect_to_server()
        lines.append(line)

    own_desk.save()
    own_desk.context.route_web_socket(re.compile("/channels"), carry)
    second = own_desk.open_page(f"{own_desk.workspace}b")
    one, other = Panel(first), Panel(second)
    try:
        other.button("Start").click()
        expect(one.status).to_have_text("running")
        one.drag("Learning rate", 0.25)
        shown = one.readout("Learning rate").inner_text()
        expect(other.fact("Learning rate")).to_have_text(f"in force {shown}")
        expect(other.readout("Learning rate")).to_have_text(shown)
        # The page is as good as closed, as a laptop is; the run goes on, and what it did meanwhile is shown after.
        for line in lines:
            line.close()
        steps = own_desk.kernel_eval("session.steps")
        own_desk.rename("renamed.ipynb")
        own_desk.wait_until(f"session.steps > {steps + 20}")
        one.button("Pause").click()
        expect(other.status).to_have_text("paused")
        expect(other.bar.locator(".dlw-figure").nth(1)).to_have_text(f"step {own_desk.kernel_eval('session.steps'):,}")
        steps = own_desk.kernel_eval("session.steps") + 1
        other.button("Step").click()
        expect(one.bar.locator(".dlw-figure").nth(1)).to_have_text(f"step {steps:,}")
    finally:
        own_desk.rename(before)
        second.close()
        own_desk.back_to(first, before)


# -- nobody looks: nothing is sent


def pictures(own_desk: Lab, seconds: float) -> dict[str, int]:
    """Return how many pictures of each view the kernel sends in that time."""
    count = "{name: part.frame for name, part in parts.items()}"
    before = own_desk.kernel_eval(count)
    own_desk.kernel.execute(f"time.sleep({seconds})")
    return {name: frame - before[name] for name, frame in own_desk.kernel_eval(count).items()}


def settled(own_desk: Lab, names: Collection[str]) -> dict[str, int]:
    """Wait until the page has let the kernel know that nobody sees these views; return the pictures of 1.5 s more."""

    def few() -> dict[str, int] | None:
        sent = pictures(own_desk, 1.5)
        return sent if all(sent[name] <= 1 for name in names) else None

    own_desk.wait_for(few, f"a rest of {', '.join(names)}")
    return pictures(own_desk, 1.5)


#: In a page that asks for it, what unpacks our modules takes longer than anywidget gives a widget to begin.
SLOW_UNPACKING = """if (localStorage.getItem("slow unpacking")) {
    const { text } = Response.prototype;
    Response.prototype.text = async function () {
        const pause = this.headers.get("content-type") ? 0 : 2500;
        await new Promise((done) => setTimeout(done, pause));
        return text.call(this);
    };
}"""


def test_a_closed_page_is_sent_nothing_and_the_training_goes_on(board):
    board.wait_until("session.steps > 30")
    before = board.page
    board.context.add_init_script(SLOW_UNPACKING)
    before.evaluate("() => localStorage.setItem('slow unpacking', 'yes')")
    board.save()
    path = board.path
    fresh = board.context.new_page()
    before.close()
    board.back_to(fresh, path)
    pictures(board, 0.5)  # one may have been on its way
    # No more than the page that was there had asked for, so many ahead of its answers; after that, none.
    ahead = board.kernel_eval("{name: part.AHEAD for name, part in parts.items()}")
    sent = pictures(board, 3.0)
    assert all(sent[name] <= ahead[name] for name in sent), sent
    steps = board.kernel_eval("session.steps")
    with board.traffic() as traffic:
        assert not any(pictures(board, 1.5).values())
    board.wait_until(f"session.steps > {steps + 20}")
    # The page is asked, ever more rarely, whether it is there: the server keeps that for it.
    assert sum(traffic.comm()) < 10_000
    fresh.close()
    # Opened again, it is brought up to date, and steers, also where it begins slowly.
    page = board.open_page()
    page.evaluate("() => localStorage.removeItem('slow unpacking')")
    page.set_viewport_size({"width": 1280, "height": 2600})
    everything_is_alive(page)
    Panel(page).button("Pause").click()
    board.wait_until("session.status == 'paused'")
    expect(Panel(page).status).to_have_text("paused")


@subshells
def test_a_view_out_of_sight_and_a_notebook_behind_another_tab_are_sent_nothing(board):
    everything_is_alive(board.page)
    board.page.set_viewport_size({"width": 1280, "height": 300})
    # The panel is in sight at the top of the output; the curves and all below them are not.
    board.page.locator(".dlw-bar").scroll_into_view_if_needed()
    hidden = ("confusion", "activations")
    seen = settled(board, hidden)
    assert all(seen[name] <= 1 for name in hidden), seen
    frame = board.kernel_eval("parts['head'].frame")
    board.wait_until(f"parts['head'].frame > 5 + {frame}")
    board.page.set_viewport_size({"width": 1280, "height": 2600})
    everything_is_alive(board.page)
    board.command("launcher:create")
    expect(board.page.locator(".jp-Launcher")).to_be_visible()
    hidden = settled(board, board.kernel_eval("list(parts)"))
    assert max(hidden.values()) <= 1, hidden
    board.to_front()
    everything_is_alive(board.page)


def test_a_slow_page_gets_fewer_pictures_and_the_training_goes_on(board):
    quick = pictures(board, 3.0)
    board.throttle_cpu(6)
    try:
        steps = board.kernel_eval("session.steps")

        def fewer() -> bool:
            slow = pictures(board, 3.0)
            # Ten a second, sooner by up to half a step, and one before each evaluation.
            assert max(slow.values()) <= 40
            return sum(slow.values()) <= sum(quick.values()) + 3

        # Not at once: the machine may have had other work while the pictures of the quick page were counted.
        board.wait_for(fewer, "fewer pictures")
        board.wait_until(f"session.steps > {steps + 10}")
    finally:
        board.throttle_cpu(1)
    everything_is_alive(board.page)


# -- the kernel is busy, or gone


@subshells
@pytest.mark.parametrize(
    "cell",
    [
        # What it writes to a control would leave the page's answers to it.
        pytest.param(
            "for n in range(2400):\n    if gate: break\n    board.training.lr.description_allow_html = bool(n % 2)\n    time.sleep(0.05)",
            id="writes",
        ),
        pytest.param("await session.done()", id="awaits"),
        pytest.param("session.fit()", id="fits"),
    ],
)
def test_pictures_and_controls_are_alive_while_a_cell(desk, cell):
    desk.page.set_viewport_size({"width": 1280, "height": 2600})
    # The views are older than the cell: a cell's own output is on the page before its widgets are told of.
    desk.run_cell("gate = []\n" + BOARD)
    desk.run_cell("session.start()\n" + cell, 1, wait=False)
    desk.wait_until("session.steps > 3", busy=True)
    panel = Panel(desk.page)
    for name, place in places(desk.page).items():
        if name != "confusion":
            expect(place, name).to_contain_text(re.compile(r"\d"))
            expect(place, f"{name} stands still").not_to_have_text(place.inner_text(), use_inner_text=True)
    panel.drag("Learning rate", 0.25)
    shown = panel.readout("Learning rate").text_content()
    desk.wait_until(f"session.applied['lr'] == {shown}", busy=True)
    expect(panel.fact("Learning rate")).to_have_text(f"in force {shown}")
    panel.mode("norm").click()
    desk.wait_until("session.applied['clip'] is not None", busy=True)
    desk.page.locator(".dlw-activations").get_by_role("button", name="next sample").click()
    desk.wait_until("session.selected_sample == 1", busy=True)
    expect(desk.page.locator(".dlw-act-what")).to_contain_text("sample 1")
    assert desk.page.evaluate("() => window.__run") == "running", "the cell ended before it was watched"
    panel.button("Pause").click()
    desk.wait_until("session.status == 'paused'", busy=True)
    expect(panel.status).to_have_text("paused")
    desk.kernel_eval("gate.append(1)", busy=True)
    desk.wait_for_cells()


@subshells
def test_an_interrupted_fit_is_paused_and_goes_on(desk):
    desk.run_cell("session = new_session(); dlw.TrainingPanel(session)")
    desk.run_cell("session.fit()", 1, wait=False)
    desk.wait_until("session.steps > 3", busy=True)
    desk.command("notebook:interrupt-kernel")
    desk.wait_for_cells()  # without an error
    assert desk.kernel_eval("session.status") == "paused"
    panel = Panel(desk.page)
    expect(panel.status).to_have_text("paused")
    steps = desk.kernel_eval("session.steps")
    panel.button("Resume").click()
    desk.wait_until(f"session.steps > {steps + 3}")
    # With no cell running an interrupt ends nothing: the panel says what does, until it was done.
    desk.command("notebook:interrupt-kernel")
    expect(panel.bar).to_contain_text("Pause in the panel, or session.pause(), pauses it.")
    panel.button("Pause").click()
    expect(panel.bar).not_to_contain_text("pauses it")


def test_a_closed_dashboard_lets_everything_go(desk):
    observers = "sum(len(calls) for kinds in session._trait_notifiers.values() for calls in kinds.values())"
    desk.run_cell("session = new_session()")
    before = desk.kernel_eval(observers)
    comms = desk.kernel_eval("len(__import__('comm').get_comm_manager().comms)")
    # Not as the cell's last line: the notebook itself would remember it as that cell's result.
    desk.run_cell("board = dlw.Dashboard(session); display(board)", 1)
    desk.kernel.execute("session.step(3)")
    expect(desk.page.locator(".dlw-head-part .dlw-figure").nth(1)).to_have_text("step 3")
    desk.kernel.execute(
        "import weakref\n"
        "gone = [weakref.ref(part) for part in (board, *board.views, board.training._head, board.training._facts)]\n"
        "board.close()"
    )
    expect(desk.page.locator(".dlw-dash")).to_have_count(0)
    expect(desk.page.locator(".dlw")).to_have_count(0)
    assert desk.kernel_eval(observers) == before
    assert desk.kernel_eval("len(__import__('comm').get_comm_manager().comms)") == comms
    desk.kernel.execute("del board; gc.collect()")
    assert desk.kernel_eval("[str(type(ref())) for ref in gone if ref() is not None]") == []
    desk.kernel.execute("session.step(2)")
    assert desk.kernel_eval("session.steps") == 5


#: What a page says of widgets of a kernel that is no more, how often a broken chain is drawn, and whether any
#: control but the tabs can be reached.
_LOST = """() => {
    const said = [...document.querySelectorAll("[data-dlw-lost]")];
    const before = (node) => getComputedStyle(node, "::before").content;
    const cut = [...document.querySelectorAll(".jupyter-widgets-disconnected")];
    return {
        said: said.map((node) => before(node).replaceAll('"', "")),
        chains: cut.filter((node) => /\\uf127/.test(before(node))).length,
        reached: said.flatMap((node) => [...node.querySelectorAll("button, input, select, [tabindex]")])
            .filter((node) => !node.closest("[inert], .dlw-tabs")).length,
    };
}"""

_SCROLL_UP = "(node) => { node.scrollTop = 0; }"


def test_a_kernel_that_is_gone_is_said_in_one_sentence_over_the_last_picture(desk):
    desk.page.set_viewport_size({"width": 1280, "height": 2600})
    source = "session = new_session(); board = dlw.Dashboard(session); board"
    desk.run_cell(source)
    desk.run_cell("curves = dlw.Curves(session); curves", 1)
    desk.kernel.execute("session.step(2)")
    expect(desk.page.locator(".dlw-head-part .dlw-figure").nth(1)).to_have_text("step 2")
    pause, curves = Panel(desk.page).button("Step"), desk.page.locator(".dlw-curves").first
    page_top = desk.page.locator(".jp-WindowedPanel-outer").first
    page_top.evaluate(_SCROLL_UP)  # the notebook may stand where the test before left it
    places_before = pause.bounding_box(), curves.bounding_box()
    desk.restart_kernel()
    sentence = "The kernel was restarted: choose Run > Run All Cells."
    # Once for the dashboard, once for the view that stands alone.
    lost = {"said": [sentence] * 2, "chains": 0, "reached": 0}
    try:
        desk.wait_for(lambda: desk.page.evaluate(_LOST) == lost, sentence)
    except AssertionError as error:
        raise AssertionError(f"{desk.page.evaluate(_LOST)} is there, not {lost}") from error
    desk.screenshot("restarted-light")
    # A tab still opens; of one that was never opened there is no picture of then.
    desk.page.get_by_role("tab", name="Layers").click()
    layers = desk.page.locator(".dlw-layers[data-dlw-unseen]")
    expect(layers).to_be_visible()
    assert "no last picture" in layers.evaluate("(node) => getComputedStyle(node, '::before').content")
    assert not layers.inner_text()
    desk.screenshot("restarted-unopened")
    desk.page.get_by_role("tab", name="Confusion").click()
    expect(desk.page.locator(".dlw-confusion")).to_contain_text("Appears after")
    page_top.evaluate(_SCROLL_UP)
    places_after = pause.bounding_box(), curves.bounding_box()
    for before, after in zip(places_before, places_after, strict=True):
        moved = after["y"] - before["y"]
        assert after == before | {"y": after["y"]} and 20 < moved < 60, (before, after)
    assert "Loading widget" not in desk.page.locator(".jp-Notebook").inner_text()
    # Run again, the cell has the view of the new kernel, and so has a tab that was opened beside it.
    desk.cell(0).get_by_role("button", name="beside the notebook").click()
    beside = desk.page.locator(".dlwidgets-beside")
    expect(beside.locator("[data-dlw-lost=restarted]")).to_be_visible()
    desk.kernel.execute(PREPARED)
    desk.run_cell(source)
    desk.run_cell("1", 1)
    desk.kernel.execute("session.step(3)")
    expect(beside.locator(".dlw-head-part .dlw-figure").nth(1)).to_have_text("step 3")
    beside.get_by_role("button", name="Close").click()
    expect(beside).to_have_count(0)
    desk.cell(0).scroll_into_view_if_needed()
    expect(desk.cell(0).locator(".dlw-head-part .dlw-figure").nth(1)).to_have_text("step 3")
    assert desk.page.evaluate(_LOST) == {"said": [], "chains": 0, "reached": 0}
    # A kernel that ends for good, without telling the widgets.
    desk.kernel.execute("del session, board")
    desk.end_kernel()
    sentence = "The kernel has ended: choose Run > Run All Cells."
    lost = {"said": [sentence], "chains": 0, "reached": 0}
    try:
        desk.wait_for(lambda: desk.page.evaluate(_LOST) == lost, sentence)
    finally:
        desk.start_kernel()
