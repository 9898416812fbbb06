"""Fixtures of the browser tests: `lab`, a person at JupyterLab in Chromium; `notebook7`, one at Notebook 7."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

# Playwright's synchronous interface keeps an event loop running in this thread. So its fixtures live as
# long as this package's tests, not the session: asyncio.run() works again in the tests that follow.
playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright comes with dlwidgets[test]")

from .lab import ARTEFACTS, Lab  # noqa: E402
from .server import Server  # noqa: E402

_FLAGS = [
    "--no-sandbox",  # root has none, as in a container
    "--disable-dev-shm-usage",  # a container's /dev/shm is small
    "--disable-gpu",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--hide-scrollbars",
]
_failed = pytest.StashKey[bool]()


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


def _sit_down(
    browser: playwright_api.Browser, server: Server, request: pytest.FixtureRequest
) -> Iterator[Lab]:
    context = browser.new_context(viewport={"width": 1280, "height": 960})
    context.set_default_timeout(20_000)
    person = Lab(server, context)
    yield person
    failed = request.node.stash.get(_failed, False)
    try:
        if failed and person._page is not None:
            name = "FAILED-" + re.sub(r"\W+", "-", request.node.name)
            person.screenshot(name)
            (ARTEFACTS / f"{name}.txt").write_text("\n".join(person.console))
    finally:
        person.close()
    if not failed:
        assert not person.console, "The page complained:\n" + "\n".join(person.console)


@pytest.fixture
def lab(browser, lab_server, request) -> Iterator[Lab]:
    """A person at JupyterLab, with a fresh browser window and no kernel running."""
    yield from _sit_down(browser, lab_server, request)


@pytest.fixture
def notebook7(browser, notebook_server, request) -> Iterator[Lab]:
    """A person at Notebook 7, with a fresh browser window and no kernel running."""
    yield from _sit_down(browser, notebook_server, request)
