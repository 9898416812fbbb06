"""The environment that Binder builds, built here from the same files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from importlib.metadata import distributions
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
#: A kernel loads it first: it writes down each address beyond this machine that is wanted, and lets nobody there.
_STAY = """
import sys


def stay(event, given):
    if event == "socket.connect" and isinstance(given[1], tuple):
        host = given[1][0]
    elif event == "socket.getaddrinfo":
        host = given[0]
    else:
        return
    if host not in ("localhost", "::1", None) and not str(host).startswith("127."):
        with open({asked!r}, "a") as file:
            print(event, host, file=file)
        raise ConnectionRefusedError(f"A notebook wants to reach {{host}}.")


if any("ipykernel" in word for word in sys.orig_argv):
    sys.addaudithook(stay)
"""


class Binder:
    """A fresh environment, made by the script by which Binder makes its own.

    Attributes
    ----------
    prefix : Path
        The environment's folder.
    surroundings : dict of str
        The variables to run its programs with.
    ran : Path
        The folder of the notebooks, as the script ran them.
    asked : Path
        A file with a line for each address beyond this machine that a kernel wanted.
    peak : int
        The most memory that one process of it had, the file pages that it touched included [bytes].
    """

    def __init__(self, folder: Path) -> None:
        self.prefix, self.ran, self.asked = folder / "env", folder / "ran", folder / "asked"
        self.asked.touch()
        (folder / "first").mkdir()
        (folder / "first" / "sitecustomize.py").write_text(_STAY.format(asked=str(self.asked)))
        foreign = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "KERAS_BACKEND")
        self.surroundings = {
            **{name: value for name, value in os.environ.items() if name not in foreign and "JUPYTER" not in name},
            **{f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "DATA", "RUNTIME")},
            "IPYTHONDIR": str(folder / "ipython"),
            "PATH": os.pathsep.join([str(self.prefix / "bin"), os.environ["PATH"]]),
            "PYTHONPATH": str(folder / "first"),
            "PYTHONNOUSERSITE": "1",
            # An index that cannot be reached is asked once for each package, not five times with pauses between.
            "PIP_RETRIES": "0",
        }
        venv.create(self.prefix, with_pip=True)
        log = folder / "log"
        with log.open("wb") as said:
            made = subprocess.Popen(
                [CHECKOUT / "binder" / "postBuild", self.ran],
                cwd=CHECKOUT, env=self.surroundings, stdout=said, stderr=subprocess.STDOUT,
            )  # fmt: skip
            _, status, usage = os.wait4(made.pid, 0)
        made.returncode = os.waitstatus_to_exitcode(status)
        assert made.returncode == 0, log.read_text(errors="replace")
        self.peak = usage.ru_maxrss * 1024

    def run(self, *command: str | Path) -> str:
        """Run a program in it; return what it printed."""
        done = subprocess.run(command, cwd=CHECKOUT, env=self.surroundings, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def pins() -> dict[str, str]:
    """Return the version of each package that is pinned for Binder's Python."""
    lines = (CHECKOUT / "binder" / "constraints.txt").read_text("utf-8").splitlines()
    found = [re.match(r"([\w-]+)==([^\s;]+)", line) for line in lines]
    return {pin[1]: pin[2] for pin in found if pin}


def as_pinned(name: str) -> str:
    """Return a package's name as the pinned set writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def runs_as_on_binder() -> bool:
    """Say whether these tests run on Binder's Python with the pinned versions.

    Another set, as the oldest one that is supported, runs the notebooks itself.
    """
    wanted = (CHECKOUT / "binder" / "runtime.txt").read_text("ascii").strip()
    if os.name == "nt" or wanted != f"python-{sys.version_info[0]}.{sys.version_info[1]}":
        return False
    pinned = pins()
    here = {as_pinned(one.metadata["Name"]): one.version.partition("+")[0] for one in distributions()}
    return all(here[name] == version for name, version in pinned.items() if name in here)
