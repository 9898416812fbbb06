"""Checkpoints: states of a run in a folder, for another kernel."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...base.history import GrowingColumn, History
from ...base.ledger import Entry
from .plain_state import decode, encode
from .snapshot import Snapshot
from .tensor_file import read_tensors, write_record, write_tensors

_FORMAT, _VERSION = "dlwidgets checkpoint", 2
#: How many checkpoints stay in the folder: the one before the newest is there if that is damaged.
KEEP = 2


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A state of a run, its history, and its changes.

    Attributes
    ----------
    more : what the session keeps for itself: the goal of the run, past scores.
    beginning : has where the run began written into a folder, and returns the name of that file.
    origin : the name of the file, where it was read.
    """

    snapshot: Snapshot
    history: History
    entries: tuple[Entry, ...]
    changes: tuple[Entry, ...]
    more: Mapping[str, Any]
    beginning: Callable[[Path], str | None] = lambda folder: None
    origin: str | None = None


class Checkpoints:
    """Writes checkpoints into a folder, on a thread of its own.

    The newest that waits replaces an older one.

    Each is two files: tensors as `step-N.safetensors`, everything else as `step-N.json`, which holds the
    checksum of the first and its own, and is written last: only with it the checkpoint is there. Where the
    run began, its first weights above all, lies in two files of its own, written once. All are
    written beside their place and moved there, so that a process that is killed, or a disk that is full,
    leaves the one before whole.

    Raises
    ------
    ValueError : the folder cannot be made or written to.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / ".writable.part"
            probe.write_bytes(b"")
            probe.unlink()
            for left in (*self.folder.glob(".step-*.part"), *self.folder.glob(".origin-*.part")):
                left.unlink()  # of a process that was killed
        except OSError as error:
            why = error.strerror or error
            raise ValueError(f"checkpoint_dir={str(folder)!r} cannot be written to: {why}.") from None
        #: What went wrong last, in a sentence; "" once one was written.
        self.problem = ""
        self.written: int | None = None
        self._change = threading.Condition()
        self._next: Checkpoint | None = None
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether one is being written, or waits for it."""
        return self._thread is not None

    def write(self, checkpoint: Checkpoint) -> None:
        """Have a checkpoint written soon; returns at once."""
        with self._change:
            self._next = checkpoint
            if self._thread is None:
                self._thread = threading.Thread(target=self._live, name="dlwidgets-checkpoints", daemon=True)
                self._thread.start()

    def wait(self, seconds: float = 60.0) -> bool:
        """Wait until all is written; say whether it is."""
        with self._change:
            return self._change.wait_for(lambda: self._thread is None, seconds)

    def _live(self) -> None:
        while True:
            with self._change:
                checkpoint, self._next = self._next, None
                if checkpoint is None:
                    self._thread = None
                    self._change.notify_all()
                    return
            try:
                save(self.folder, checkpoint)
                self.problem, self.written = "", checkpoint.snapshot.step
            except Exception as error:  # noqa: BLE001 - said; the run goes on
                why = getattr(error, "strerror", None) or str(error) or type(error).__name__
                last = "none is there" if self.written is None else f"the last is of step {self.written:,}"
                step = f"{checkpoint.snapshot.step:,}"
                self.problem = f"No checkpoint of step {step} was written: {why}; {last}."


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint; return the file that names it."""
    tensors: dict[str, torch.Tensor] = {}
    snapshot = checkpoint.snapshot
    body = {
        "step": snapshot.step, "changes": snapshot.changes, "line": snapshot.line, "time": time.time(),
        "torch": torch.__version__,
        "parts": {name: encode(part, name, tensors) for name, part in snapshot.parts.items()},
        "history": list(checkpoint.history.columns),
        "evaluations": encode(checkpoint.history.evaluations, "evaluations", tensors),
        "entries": encode([dict(vars(entry)) for entry in checkpoint.entries], "entries", tensors),
        "in_force": encode([dict(vars(entry)) for entry in checkpoint.changes], "in_force", tensors),
        "more": encode(dict(checkpoint.more), "more", tensors), "origin": checkpoint.beginning(folder),
    }  # fmt: skip
    for name, column in checkpoint.history.columns.items():
        tensors[f"history.{name}"] = torch.from_numpy(column.values.copy())
    size = sum(tensor.nbytes for tensor in tensors.values())
    if (free := shutil.disk_usage(folder).free) < 1.05 * size + 2**20:
        raise OSError(28, f"it takes {size / 2**20:,.0f} MB and the disk has {free / 2**20:,.0f} MB left")
    name = f"step-{snapshot.step:08d}"
    place = folder / f"{name}.json"
    # Tensors of the same step, as after a rewind, must not be replaced under the old names file.
    file = f"{name}-{time.time_ns():x}.safetensors"
    body["file"] = file
    try:
        body["sha256"] = write_tensors(folder / file, tensors, {"format": "pt", "step": str(snapshot.step)})
        write_record(place, _FORMAT, _VERSION, json.dumps(body))
    except BaseException:
        with contextlib.suppress(OSError):
            (folder / file).unlink()
        raise
    _tidy(folder)
    return place


def load(folder: str | Path) -> tuple[Checkpoint, str]:
    """Read the newest whole checkpoint; say what is wrong with newer ones.

    Raises
    ------
    ValueError : in a sentence: there is none, or none can be read.
    """
    folder = Path(folder).expanduser()
    places = _places(folder)
    if not places:
        raise ValueError(f"There is no checkpoint in {str(folder)!r}.")
    said: list[str] = []
    for place in places:
        try:
            return _read(folder, place), f"{'; '.join(said)}: the one before was taken." if said else ""
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            why = str(error) if isinstance(error, ValueError) else f"{place.name} cannot be read"
            said.append(f"{place.name} is not JSON" if isinstance(error, json.JSONDecodeError) else why)
    raise ValueError(f"No checkpoint in {str(folder)!r} can be read: {'; '.join(said)}.")


def _read(folder: Path, place: Path) -> Checkpoint:
    whole = json.loads(place.read_bytes())
    if not isinstance(whole, dict) or whole.get("format") != _FORMAT:
        raise ValueError(f"{place.name} is no checkpoint of dlwidgets")
    if whole["version"] > _VERSION:
        raise ValueError(f"{place.name} was written by a newer dlwidgets")
    text = whole["body"]
    if hashlib.sha256(text.encode()).hexdigest() != whole["check"]:
        raise ValueError(f"{place.name} is damaged: its checksum is not the one that was written down")
    body = json.loads(text)
    file = folder / Path(body["file"]).name
    if not file.exists():
        raise ValueError(f"{file.name} is missing")
    tensors = read_tensors(file, body["sha256"])
    history = History()
    history.columns = {
        name: GrowingColumn.from_values(tensors[f"history.{name}"].numpy()) for name in body["history"]
    }
    history.evaluations = decode(body["evaluations"], tensors)
    history.seconds = float(history.columns["seconds"].values.sum())
    entries, in_force = (
        tuple(Entry(**one) for one in decode(body[name], tensors)) for name in ("entries", "in_force")
    )
    parts = {name: decode(part, tensors) for name, part in body["parts"].items()}
    if whole["version"] == 1:
        parts = _by_control(parts)
    snapshot = Snapshot(body["step"], body["changes"], "start", body["line"], parts)
    more = decode(body["more"], tensors)
    return Checkpoint(snapshot, history, entries, in_force, more, origin=body.get("origin"))


def _by_control(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of version 1, where controls lay together."""
    steering, extras = parts["steering"], parts["regimen"]
    return {
        **{name: part for name, part in parts.items() if name != "regimen"},
        "form": {"normalise": parts["form"]},
        "steering": {
            "schedule": steering["moving"]["rate"], "clip": parts["loop"]["clip"],
            "threads": steering["threads"], "trainable": steering["trainable"], "dropout": extras["dropping"], "ema": extras["averaging"],
            "label_smoothing": extras["smoothing"], "accumulate": extras["groups"],
            "precision": extras["precision"], "early_stopping": extras["stopping"],
            # Their own values went into memory only: they are read off the optimizer.
            **dict.fromkeys(("momentum", "betas", "weight_decay")),
        },
    }  # fmt: skip


def _places(folder: Path) -> list[Path]:
    """Return the files that name checkpoints, the one written last first."""
    found = [place for place in folder.glob("step-*.json") if place.is_file()]
    return sorted(found, key=lambda place: (place.stat().st_mtime_ns, place.name), reverse=True)


def _tidy(folder: Path) -> None:
    kept = set()
    for number, place in enumerate(_places(folder)):
        if number >= KEEP:
            with contextlib.suppress(OSError):
                place.unlink()
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            body = json.loads(json.loads(place.read_bytes())["body"])
            kept |= {body["file"], *_files_of(body.get("origin"))}
    for file in (*folder.glob("step-*.safetensors"), *folder.glob("origin-*.*")):
        if file.name not in kept:
            with contextlib.suppress(OSError):
                file.unlink()


def _files_of(origin: str | None) -> tuple[str, ...]:
    return () if origin is None else (origin, f"{Path(origin).stem}.safetensors")
