"""A real Jupyter server as a process of its own, in a folder of its own, touching nothing of the person's."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection
from pathlib import Path
from typing import Any

TOKEN = "a-fixed-token-for-the-tests"
#: How long anything that is waited for may take, on two cores that others use too [s]. Nothing waits for a time.
PATIENCE = 90.0

#: Written as the person's own settings: no news, no questions, no writing behind the test's back.
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/apputils-extension/themes": {"theme": "JupyterLab Light", "adaptive-theme": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


def private_environment(home: Path) -> dict[str, str]:
    """Return an environment in which Jupyter and IPython read and write below `home` only."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    surroundings.update(
        HOME=str(home),
        IPYTHONDIR=str(home / "ipython"),
        JUPYTER_CONFIG_DIR=str(home / "config"),
        JUPYTER_DATA_DIR=str(home / "data"),
        JUPYTER_RUNTIME_DIR=str(home / "runtime"),
        # Else a copy of the extension that is installed beside Python goes before this checkout's.
        JUPYTER_PREFER_ENV_PATH="0",
        JUPYTERLAB_SETTINGS_DIR=str(home / "settings"),
        JUPYTERLAB_WORKSPACES_DIR=str(home / "workspaces"),
        # The kernel imports the package under test, installed or not.
        PYTHONPATH=os.pathsep.join(
            [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    )
    # Two cores: one for the kernel's arithmetic, one for the browser.
    surroundings.setdefault("OMP_NUM_THREADS", "1")
    return surroundings


def wait_for_answer(url: str, process: subprocess.Popen[Any], patience: float = PATIENCE) -> bytes:
    """Return what `url` answers, once `process` listens; a server that ended first is an error."""
    until = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError:
            raise
        except (urllib.error.URLError, ConnectionError) as error:
            if process.poll() is not None:
                raise RuntimeError(
                    f"The server ended with status {process.returncode} before it answered."
                ) from None
            if time.monotonic() > until:
                raise TimeoutError(f"No answer from {url} within {patience:g} s: {error}") from None
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _jupyter(port: int, root: Path) -> tuple[list[str], str]:
    options = [
        f"--port={port}",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={root}",
        "--no-browser",
        "--expose-app-in-browser",
        "--allow-root",
    ]
    return options, f"api/status?token={TOKEN}"


def _voila(port: int, root: Path) -> tuple[list[str], str]:
    # The extensions of a whole JupyterLab want more than Voila has, and say so.
    wanted = "--VoilaConfiguration.extension_allowlist="
    names = ("dlwidgets", "anywidget", "@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8")
    options = [str(root), f"--port={port}", "--Voila.ip=127.0.0.1", "--no-browser", *(wanted + name for name in names)]
    return options, ""


def _marimo(port: int, root: Path) -> tuple[list[str], str]:
    app = root / "app.py"  # the one that is served, whatever is written there until it is opened
    app.write_text("import marimo\napp = marimo.App()\n")
    options = ["run", str(app), "--headless", "--no-token", f"--port={port}", "--host=127.0.0.1"]
    return options, "health"


#: Application -> its options, and an address that answers once it listens.
_STARTS = {"jupyterlab": _jupyter, "notebook": _jupyter, "voila": _voila, "marimo": _marimo}


class Server:
    """JupyterLab, Notebook 7, Voila or marimo, running from construction until `close()`.

    `root` is the folder whose notebooks it serves, `home` the one that stands in for the person's.
    """

    def __init__(self, application: str, home: Path) -> None:
        self.application = application
        self.home = home
        self.root = home / "notebooks"
        self.root.mkdir(parents=True)
        for name, values in SETTINGS.items():
            path = home / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        # As an installation puts it into the environment's folder.
        extension = home / "data" / "labextensions" / "dlwidgets"
        extension.parent.mkdir(parents=True)
        shutil.copytree(Path(__file__).parents[2] / "dlwidgets" / "labextension", extension)  # Voila serves no links
        self.log = home / f"{application}.log"
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        options, answering = _STARTS[application](port, self.root)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", application, *options],
                env=private_environment(home),
                cwd=self.root,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for_answer(f"{self.url}/{answering}", self.process)
        except BaseException:
            self.close()
            print(self.log.read_text(errors="replace"))
            raise

    def ask(self, path: str, method: str = "GET") -> Any:
        """Return what the server's REST interface answers at `path`, as Python data."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}", method=method, headers={"Authorization": f"token {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read() or b"null")

    def connection_file(self, kernel_id: str) -> Path:
        """Return where the addresses of a kernel of this server are written."""
        return self.home / "runtime" / f"kernel-{kernel_id}.json"

    def end_sessions(self, notebooks: Collection[str]) -> None:
        """End the kernels of some notebooks, named by their paths."""
        for session in self.ask("sessions"):
            if session["path"] in notebooks:
                self.ask(f"sessions/{session['id']}", "DELETE")

    def close(self) -> None:
        """End the server and the kernels that it started."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
