"""A person at a notebook: opens it, runs it, looks at it, in JupyterLab or Notebook 7 in Chromium."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat
from playwright.sync_api import BrowserContext, CDPSession, Locator, Page

from .kernel import Kernel, Traffic
from .server import PATIENCE, TOKEN, Server

ARTEFACTS = Path(__file__).parent / "artefacts"

#: What a host itself says at every start, with no widget on the page.
_NOISE = (
    "?content=0&hash=0",  # JupyterLab asks once more for the file under the name that it had
    "Could not restore the debugger state",  # asked of a kernel that ends before it has answered
    "reading 'schema'",  # Notebook 7.6 loads the settings of a plugin that it leaves out
    "reading 'Queue'",  # the widgets of ipywidgets 8.1.0 ask MathJax 3 for what its version 2 had
    "fontawesome",  # Voila takes the icons of ipywidgets from the network
)

# The open notebook is found by its path: the widgets of the main area are restored one after another.
_FIND = """(path) => {
    const app = window.jupyterapp;
    return app && [...app.shell.widgets("main")].find((widget) => widget.context?.path === path);
}"""
_READY = f"""async (path) => {{
    await window.jupyterapp.restored;
    const panel = ({_FIND})(path);
    window.jupyterapp.shell.activateById(panel.id);
    await panel.context.ready;
    await panel.revealed;
    await panel.sessionContext.ready;
    return true;
}}"""
_IDLE = f"""(path) => {{
    const panel = ({_FIND})(path);
    return panel?.sessionContext?.session?.kernel?.status === "idle";
}}"""
_RUN_ALL = """() => {
    window.__run = "running";
    window.jupyterapp.commands.execute("notebook:run-all-cells").then(
        () => { window.__run = "done"; },
        (error) => { window.__run = `failed: ${error}`; },
    );
}"""
_RUN_CELL = f"""([path, number, source]) => {{
    const notebook = ({_FIND})(path).content;
    if (number >= notebook.widgets.length) {{
        notebook.model.sharedModel.addCell({{ cell_type: "code" }});
    }}
    notebook.activeCellIndex = number;
    notebook.activeCell.model.sharedModel.setSource(source);
    window.__run = "running";
    window.jupyterapp.commands.execute("notebook:run-cell").then(
        () => {{ window.__run = "done"; }},
        (error) => {{ window.__run = `failed: ${{error}}`; }},
    );
}}"""
_ERRORS = f"""(path) => {{
    const cells = [...({_FIND})(path).content.model.cells];
    return cells.filter((cell) => cell.type === "code").flatMap((cell) => cell.toJSON().outputs)
        .filter((output) => output.output_type === "error")
        .map((output) => `${{output.ename}}: ${{output.evalue}}`);
}}"""


#: Whether the page has the theme's name and its colours: light behind dark text, or the other way round.
#: Between two themes the page has none: both colours are then what the body inherits, and equal.
_THEMED = """(light) => {
    const probe = document.createElement("i");
    document.body.append(probe);
    const brightness = (name) => {
        probe.style.color = `var(${name})`;
        return getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0);
    };
    const brighter = brightness("--jp-layout-color0") - brightness("--jp-content-font-color1");
    probe.remove();
    return document.body.dataset.jpThemeLight === light && (light === "true" ? brighter > 200 : brighter < -200);
}"""


class Lab:
    """One person's browser at one server. Every wait is for a state; none is for a time.

    `page` is the Playwright page of the notebook opened last; `console` holds what it complained of.
    """

    def __init__(self, server: Server, context: BrowserContext) -> None:
        self.server = server
        self.context = context
        self.console: list[str] = []
        self.path = ""
        self._opened: set[str] = set()
        self.workspace = f"w{uuid4().hex[:8]}"
        self._page: Page | None = None
        self._kernel: Kernel | None = None

    @property
    def page(self) -> Page:
        """The page of the notebook opened last."""
        if self._page is None:
            raise RuntimeError("No notebook is open: call open() first.")
        return self._page

    # -- opening and running

    def open(self, notebook: Path | Sequence[str], name: str = "") -> Page:
        """Open a notebook: a file, copied to the server's folder, or the sources of its code cells."""
        self._write(notebook, name)
        return self.open_page()

    def open_too(self, cells: Sequence[str]) -> None:
        """Open another notebook in the same page of JupyterLab, in front."""
        self._forget_kernel()
        self._write(cells)
        self._opened.add(self.path)
        self.command("docmanager:open", path=self.path)
        self._wait_until_ready()

    def _write(self, notebook: Path | Sequence[str], name: str = "") -> None:
        if isinstance(notebook, Path):
            self.path = name or notebook.name
            shutil.copyfile(notebook, self.server.root / self.path)
        else:
            self.path = name or f"cells-{uuid4().hex[:8]}.ipynb"
            written = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in notebook])
            written.metadata.kernelspec = {
                "name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python",
            }  # fmt: skip
            nbformat.write(written, self.server.root / self.path)

    def open_page(self, workspace: str = "") -> Page:
        """Open a page on the notebook; its kernel is started, or found again where it already runs.

        Two pages of JupyterLab at once need a workspace each.
        """
        self._forget_kernel()
        self._opened.add(self.path)
        self._page = self.context.new_page()
        self._page.on("console", self._note_console)
        self._page.on("pageerror", lambda error: self._complain(f"uncaught: {error.stack or error}"))
        self._page.goto(f"{self.server.url}/{self._address(workspace or self.workspace)}")
        self._wait_until_ready()
        return self._page

    def _address(self, workspace: str) -> str:
        where = "notebooks" if self.server.application == "notebook" else f"lab/workspaces/{workspace}/tree"
        return f"{where}/{self.path}?token={TOKEN}"

    def reload(self) -> Page:
        """Save the notebook and reload the page; the kernel goes on."""
        self.save()
        self.page.reload()
        self._wait_until_ready()
        return self.page

    def rename(self, path: str) -> None:
        """Give the notebook another name, as its menu does."""
        self.page.evaluate(f"([path, name]) => ({_FIND})(path).context.rename(name)", [self.path, path])
        self.path = path
        self._opened.add(path)

    def close_page(self) -> None:
        """Close the page, as when a lid is shut: the kernel goes on."""
        self.page.close()
        self._page = None

    def back_to(self, page: Page, path: str) -> None:
        """Go on with another page of this browser, on which the notebook at `path` is open."""
        self._forget_kernel()
        self._page, self.path = page, path

    def _forget_kernel(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None

    def _wait_until_ready(self) -> None:
        self.page.wait_for_function(_FIND, arg=self.path)
        self.to_front()
        if self.server.application == "jupyterlab":
            self.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")

    def run_all(self, *, wait: bool = True, timeout: float = 120.0, errors: bool = False) -> None:
        """Run all cells and wait until the last has ended and the kernel is idle; an error is a failure."""
        self.page.evaluate(_RUN_ALL)
        if wait:
            self.wait_for_cells(timeout=timeout, errors=errors)

    def run_cell(
        self,
        source: str,
        number: int = 0,
        *,
        wait: bool = True,
        timeout: float = 120.0,
        errors: bool = False,
    ) -> None:
        """Write `source` into the cell of that number and run it; the kernel and what it holds stay.

        The number may be one beyond the last: the cell is added.
        """
        self.page.evaluate(_RUN_CELL, [self.path, number, source])
        if wait:
            self.wait_for_cells(timeout=timeout, errors=errors)

    def restart_kernel(self) -> None:
        """Restart the kernel, as the menu does, and wait until it is there again; nothing is run."""
        self._forget_kernel()
        self.page.evaluate(f"(path) => ({_FIND})(path).sessionContext.session.kernel.restart()", self.path)
        self.wait_until_idle()

    def end_kernel(self) -> None:
        """Shut the kernel down, as the menu does."""
        self._forget_kernel()
        self.page.evaluate(f"(path) => ({_FIND})(path).sessionContext.shutdown()", self.path)

    def start_kernel(self) -> None:
        """Start a kernel where there is none, and wait until it is there."""
        start = f"(path) => ({_FIND})(path).sessionContext.changeKernel({{ name: 'python3' }})"
        self.page.evaluate(start, self.path)
        self.wait_until_idle()

    def wait_for_cells(self, *, timeout: float = 120.0, errors: bool = False) -> None:
        """Wait until the cells started by `run_all` have ended and the kernel is idle."""
        self.page.wait_for_function("() => window.__run !== 'running'", timeout=1000 * timeout)
        self.wait_until_idle(timeout=timeout)
        complaints = self.page.evaluate(_ERRORS, self.path)
        assert errors or not complaints, f"A cell of {self.path} failed: {'; '.join(complaints)}"

    def wait_until_idle(self, *, timeout: float = PATIENCE) -> None:
        """Wait until the notebook shows its kernel as idle."""
        self.page.wait_for_function(_IDLE, arg=self.path, timeout=1000 * timeout)

    def command(self, name: str, **arguments: Any) -> None:
        """Run a command of the host, as its menus do."""
        self.page.evaluate(
            "([name, args]) => window.jupyterapp.commands.execute(name, args)", [name, arguments]
        )

    def save(self, *, widget_state: bool = False) -> Path:
        """Save the notebook, on demand with the state of its widgets; return the file."""
        # The command of that name does not save: it switches the saving of the state on and off.
        switch = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
        toggled = "([name, wanted]) => window.jupyterapp.commands.isToggled(name) === wanted"
        if self.server.application == "jupyterlab" and not self.page.evaluate(toggled, [switch, widget_state]):
            self.command(switch)
            self.page.wait_for_function(toggled, arg=[switch, widget_state])
        # What an earlier saving left stays; taken out of the file, the notebook would no longer be trusted.
        forget = "" if widget_state else 'context.model.deleteMetadata("widgets");'
        self.page.evaluate(f"(path) => {{ const {{ context }} = ({_FIND})(path); {forget} return context.save(); }}", self.path)
        return self.server.root / self.path

    def to_front(self) -> None:
        """Bring the notebook to the front of the host's tabs."""
        self.page.evaluate(_READY, self.path)

    # -- looking

    def cell(self, number: int) -> Locator:
        """Return the cell of that number, from 0."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def screenshot(self, name: str, *, of: Locator | None = None) -> Path:
        """Take a picture, of the page or of a part, into the folder of artefacts; return the file."""
        ARTEFACTS.mkdir(exist_ok=True)
        path = ARTEFACTS / f"{name}.png"
        (of or self.page).screenshot(path=path, animations="disabled")
        return path

    def set_theme(self, theme: str) -> None:
        """Switch the host to its "light" or "dark" theme."""
        self.command("apputils:change-theme", theme=f"JupyterLab {theme.capitalize()}")
        light = "true" if theme == "light" else "false"
        # The name comes before the colours: those of the text and of what lies behind it must be the theme's.
        self.page.wait_for_function(_THEMED, arg=light)

    def throttle_cpu(self, rate: float) -> None:
        """Make the page's CPU `rate` times slower; 1 is its own speed."""
        self._devtools().send("Emulation.setCPUThrottlingRate", {"rate": rate})

    def _devtools(self) -> CDPSession:
        return self.context.new_cdp_session(self.page)

    def _note_console(self, message: Any) -> None:
        if message.type == "error":
            self._complain(f"{message.text} ({message.location.get('url', '')})")

    def _complain(self, words: str) -> None:
        if not any(noise in words for noise in _NOISE):
            self.console.append(words)

    # -- asking the kernel

    @property
    def kernel(self) -> Kernel:
        """The kernel of the notebook opened last, asked directly, past the page."""
        if self._kernel is None:
            session = next(one for one in self.server.ask("sessions") if one["path"] == self.path)
            self._kernel = Kernel(self.server.connection_file(session["kernel"]["id"]))
        return self._kernel

    def kernel_eval(self, expression: str, *, busy: bool = False) -> Any:
        """Return the value of an expression in the notebook's kernel; with `busy`, beside a running cell."""
        return self.kernel.evaluate(expression, busy=busy)

    def wait_until(self, expression: str, *, busy: bool = False, timeout: float = PATIENCE) -> Any:
        """Wait until an expression is true in the kernel; return its value."""
        return self.wait_for(lambda: self.kernel_eval(expression, busy=busy), expression, timeout=timeout)

    def wait_for(self, read: Callable[[], Any], what: str, *, timeout: float = PATIENCE) -> Any:
        """Wait until what is read, of the page or of the kernel, is true; return it."""
        until = time.monotonic() + timeout
        while not (value := read()):
            assert time.monotonic() < until, f"{what} was still {value!r} after {timeout:g} s"
            # Playwright hears the page only while it is called; a plain sleep would make both wait.
            if self._page is not None:
                self._page.wait_for_timeout(10)
        return value

    @contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """Count what the kernel publishes inside the block."""
        with self.kernel.traffic() as traffic:
            yield traffic

    def close(self) -> None:
        """Close the browser's window and end the kernels of its notebooks."""
        self._forget_kernel()
        self.context.close()
        self.server.end_sessions(self._opened)


class Visitor(Lab):
    """A person at an app: what a notebook shows, in Voila or marimo, once its cells have run, with a kernel of its own.

    `theme` is the one that the app is opened in, "light" or "dark".
    """

    theme = "light"

    def _address(self, workspace: str) -> str:
        if self.server.application == "marimo":
            return ""
        return f"voila/render/{self.path}?theme={self.theme}"

    def _wait_until_ready(self) -> None:
        self.page.locator(".dlw").first.wait_for()

    def close(self) -> None:
        """Leave the app; its kernel ends with the server."""
        self.context.close()
