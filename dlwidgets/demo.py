"""The notebooks of the course: copied to a folder, opened in JupyterLab."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

#: The notebook that opens first.
TOUR = "00_tour.ipynb"
#: Lies in the person's folder: which bytes were put there, so that a later copy knows what was changed since.
MANIFEST = ".dlwidgets.json"
#: Where they go without a word.
DEFAULT_FOLDER = Path("dlwidgets-notebooks")


def notebooks_folder() -> Path:
    """Return where the notebooks came with this installation.

    In a wheel they lie inside the package; in an editable install, in the checkout beside it.

    Raises
    ------
    FileNotFoundError : neither place has them.
    """
    package = Path(__file__).resolve().parent
    for place in (package / "notebooks", package.parent / "notebooks"):
        if (place / TOUR).is_file():
            return place
    raise FileNotFoundError(
        f"The notebooks did not come with this installation of dlwidgets in {package}: "
        "install it from a wheel, or from a checkout with pip install -e."
    )


@dataclass
class Copied:
    """What became of each notebook, in the order of the course."""

    new: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    current: list[str] = field(default_factory=list)
    #: Changed by the person, and the same as ever in this version.
    kept: list[str] = field(default_factory=list)
    #: Changed by the person, while this version brings a newer one.
    kept_older: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        tellings = {
            "copied": self.new, "renewed": self.renewed, "up to date": self.current,
            "kept, since you changed it": self.kept,
            "kept, since you changed it (to get the newer one, rename yours and run this again)":
                self.kept_older,
        }  # fmt: skip
        return "\n".join(f"  {name}: {what}" for what, names in tellings.items() for name in names)


def copy_notebooks(source: Path, folder: Path) -> Copied:
    """Copy notebooks, overwriting nothing that a person changed.

    A file that is still as an earlier copy left it is renewed; any other that differs is kept. The folder
    is made where it is missing. `source` itself as `folder` is left as it is.
    """
    paths = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    names = [path.as_posix() for path in paths if not any(one.startswith((".", "__")) for one in path.parts)]
    if folder.exists() and folder.samefile(source):
        return Copied(current=names)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        files = json.loads((folder / MANIFEST).read_text("utf-8"))["files"]
        written = {str(name): str(digest) for name, digest in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        written = {}  # every file counts as the person's own, which loses nothing
    copied = Copied()
    for name in names:
        fresh, target = (source / name).read_bytes(), folder / name
        there = _hash(target.read_bytes()) if target.exists() else None
        if there == _hash(fresh):
            copied.current.append(name)
        elif there is None or there == written.get(name):
            _write(target, fresh)
            (copied.new if there is None else copied.renewed).append(name)
        else:
            (copied.kept if written.get(name) == _hash(fresh) else copied.kept_older).append(name)
            continue
        written[name] = _hash(fresh)
    _write(folder / MANIFEST, (json.dumps({"files": written}, indent=1) + "\n").encode())
    return copied


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    # Written beside and renamed: a full disk or a Ctrl-C never leaves half a notebook.
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def open_lab(folder: Path, *, browser: bool, port: int | None, options: list[str]) -> int:
    """Run JupyterLab on the tour; return the exit status."""
    try:
        from jupyterlab.labapp import LabApp
    except ImportError:
        how = 'Install it with: pip install "dlwidgets[demo]"'
        print(f"dlwidgets: JupyterLab is not installed here. {how}", file=sys.stderr)
        return 1
    command = [f"--ServerApp.root_dir={folder}", f"--LabApp.default_url=/lab/tree/{TOUR}", *options]
    command += [] if browser else ["--no-browser"]
    command += [] if port is None else [f"--port={port}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # In a container one is often root, where Jupyter else refuses to start.
        command.append("--allow-root")
    LabApp.launch_instance(command)
    return 0


def run_demo(folder: Path, *, copy_only: bool, browser: bool, port: int | None, options: list[str]) -> int:
    """Copy the notebooks and open them; return the exit status."""
    folder = folder.expanduser().resolve()
    try:
        copied = copy_notebooks(notebooks_folder(), folder)
    except OSError as error:
        print(f"dlwidgets: the notebooks could not be copied to {folder}: {error}", file=sys.stderr)
        return 1
    print(f"The notebooks are in {folder}:\n{copied}", flush=True)
    return 0 if copy_only else open_lab(folder, browser=browser, port=port, options=options)
