"""Fixtures of the browser tests: a person at JupyterLab (`lab`, `desk`), Notebook 7, Voila (`visitor`) or marimo."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Playwright's synchronous interface keeps an event loop running in this thread. So its fixtures live as
# long as this package's tests, not the session: asyncio.run() works again in the tests that follow.
playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright comes with dlwidgets[test]")

from .lab import ARTEFACTS, Lab, Visitor  # noqa: E402
from .server import PATIENCE, Server  # noqa: E402

_FLAGS = [
    "--no-sandbox",  # root has none, as in a container
    "--disable-dev-shm-usage",  # a container's /dev/shm is small
    "--disable-gpu",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--hide-scrollbars",
]
_failed = pytest.StashKey[bool]()

_MILLISECONDS = 1000 * PATIENCE
playwright_api.expect.set_options(timeout=_MILLISECONDS)

VIEWPORT = playwright_api.ViewportSize(width=1280, height=960)
#: What the kernel of the shared notebook holds before each test.
PREPARED = """
import gc, time, torch, ipywidgets, dlwidgets as dlw
from torch import nn
data = dlw.teaching.collages(n_train=2000, n_valid=400)

def new_session(**options):
    torch.manual_seed(0)
    options = dict(train=data.train, valid=data.valid, classes=data.classes, batch_size=64, epochs=1000) | options
    model = options.pop("model", None) or dlw.teaching.SmallCNN(data.classes)
    return dlw.Session(model, **options)

def quick_session(**options):
    return new_session(model=dlw.teaching.MLP(32 * 32, data.classes, hidden=(32,)), **options)
"""
_CLEARED = """
if "session" in globals():
    session.close()
    del session
if "ipywidgets" in globals():
    ipywidgets.Widget.close_all()
"""


def _chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture(scope="package")
def browser() -> Iterator[playwright_api.Browser]:
    """A headless Chromium: the machine's own, or the one that Playwright installed."""
    with playwright_api.sync_playwright() as playwright:
        path = _chromium() or playwright.chromium.executable_path
        if not Path(path).exists():
            missing = 'No Chromium here: install it, or run "playwright install chromium".'
            (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


def _serve(application: str, folder: Path) -> Iterator[Server]:
    server = Server(application, folder)
    yield server
    server.close()


@pytest.fixture(scope="package")
def lab_server(tmp_path_factory) -> Iterator[Server]:
    """JupyterLab, shared by the tests of this folder."""
    yield from _serve("jupyterlab", tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="package")
def notebook_server(tmp_path_factory) -> Iterator[Server]:
    """Notebook 7, shared by the tests of this folder."""
    yield from _serve("notebook", tmp_path_factory.mktemp("notebook"))


@pytest.fixture(scope="package")
def voila_server(tmp_path_factory) -> Iterator[Server]:
    """Voila, shared by the tests of this folder."""
    pytest.importorskip("voila", reason="Voila comes with dlwidgets[test]")
    yield from _serve("voila", tmp_path_factory.mktemp("voila"))


@pytest.fixture(scope="package")
def marimo_server(tmp_path_factory) -> Iterator[Server]:
    """marimo, shared by the tests of this folder."""
    pytest.importorskip("marimo", reason="marimo comes with dlwidgets[test]")
    yield from _serve("marimo", tmp_path_factory.mktemp("marimo"))


def _sit_down(
    browser: playwright_api.Browser, server: Server, request: pytest.FixtureRequest, kind: type[Lab] = Lab
) -> Iterator[Lab]:
    context = browser.new_context(viewport=VIEWPORT)
    context.set_default_timeout(_MILLISECONDS)
    person = kind(server, context)
    yield person
    failed = request.node.stash.get(_failed, False)
    try:
        if failed:
            _keep_what_was_seen(person, request.node.name)
    finally:
        person.close()
    if not failed:
        _complained_of_nothing(person)


def _keep_what_was_seen(person: Lab, name: str) -> None:
    if person._page is not None:
        name = "FAILED-" + re.sub(r"\W+", "-", name)
        person.screenshot(name)
        (ARTEFACTS / f"{name}.txt").write_text("\n".join(person.console))


def _complained_of_nothing(person: Lab) -> None:
    assert not person.console, "The page complained:\n" + "\n".join(person.console)


@pytest.fixture
def lab(browser, lab_server, request) -> Iterator[Lab]:
    """A person at JupyterLab, with a fresh browser window and no kernel running."""
    yield from _sit_down(browser, lab_server, request)


@pytest.fixture
def own_desk(lab) -> Lab:
    """A desk of one's own, for what a shared one would not be the same after: names, lines and kernels that change."""
    lab.open(["", ""])
    lab.kernel.execute(PREPARED)
    return lab


@pytest.fixture
def notebook7(browser, notebook_server, request) -> Iterator[Lab]:
    """A person at Notebook 7, with a fresh browser window and no kernel running."""
    yield from _sit_down(browser, notebook_server, request)


@pytest.fixture
def visitor(browser, voila_server, request) -> Iterator[Lab]:
    """A person who opens a notebook as an app in Voila."""
    yield from _sit_down(browser, voila_server, request, Visitor)


@pytest.fixture
def marimo(browser, marimo_server, request) -> Iterator[Lab]:
    """A person who opens an app of marimo."""
    yield from _sit_down(browser, marimo_server, request, Visitor)


@pytest.fixture(scope="package")
def _desks(browser, lab_server) -> Iterator[list[Lab]]:
    """At most one desk, kept from test to test; a test that fails takes it away with it."""
    desks: list[Lab] = []
    yield desks
    for desk in desks:
        desk.close()


@pytest.fixture
def desk(_desks, browser, lab_server, request) -> Iterator[Lab]:
    """A person at a notebook of two cells, shared by the tests: its kernel holds `data`, `new_session()`
    (a CNN, some 30 steps a second) and `quick_session()` (many more).

    A test shows its own session, named `session`, with `run_cell()`; it is let go after the test.
    """
    if not _desks:
        context = browser.new_context(viewport=VIEWPORT)
        context.set_default_timeout(_MILLISECONDS)
        person = Lab(lab_server, context)
        _desks.append(person)
        person.open(["", ""], name="desk.ipynb")
    person = _desks[0]
    person.page.mouse.move(0, 0)  # where the last test left it, it lies over something
    if not person.kernel_eval("'new_session' in globals()"):  # a fresh kernel, or one that was restarted
        person.kernel.execute(PREPARED)
    yield person
    if request.node.stash.get(_failed, False):
        _desks.clear()
        try:
            _keep_what_was_seen(person, request.node.name)
        finally:
            person.close()
        return
    try:
        person.kernel.execute(_CLEARED)
        person.page.set_viewport_size(VIEWPORT)
        _complained_of_nothing(person)
    except BaseException:
        _desks.clear()
        person.close()
        raise


@pytest.fixture
def measured(request) -> Callable[[str, list[float]], None]:
    """Write down a distribution of times [s] under a name, for the end of the run; nothing is asserted."""

    def note(name: str, seconds: list[float]) -> None:
        ordered = sorted(1000 * value for value in seconds)
        p50, p95 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95))
        line = f"{name:44} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   of {len(ordered)}"
        request.node.user_properties.append(("measured", line))  # it travels with the test's report

    return note


def pytest_terminal_summary(terminalreporter):
    reports = [*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())]
    lines = [line for report in reports for name, line in report.user_properties if name == "measured"]
    if lines:
        terminalreporter.section("measured in the browser")
        for line in lines:
            terminalreporter.write_line(line)
