"""Checkpoints: the state of a run in a folder, written while it trains on, read in another kernel."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..training.history import Column, History
from ..training.ledger import Entry
from .safefile import read_tensors, write_tensors, write_whole
from .snapshots import Snapshot
from .stateful import Kept

_FORMAT, _VERSION = "dlwidgets checkpoint", 1
#: How many checkpoints stay in the folder: the one before the newest is there if that is damaged.
KEEP = 2


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A state of a run with what led to it; what is in force stands in `parts`, as in a `Snapshot`.

    Attributes
    ----------
    more : what the session keeps for itself: wishes that are no controls, the goal of the run.
    """

    snapshot: Snapshot
    history: History
    entries: tuple[Entry, ...]
    changes: tuple[Entry, ...]
    more: Mapping[str, Any]


class Checkpoints:
    """Writes checkpoints into a folder on a thread of its own; the newest that waits replaces an older one.

    Each is two files: tensors as `step-N.safetensors`, everything else as `step-N.json`, which holds the
    checksum of the first and its own, and is written last: only with it the checkpoint is there. Both are
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
            for left in self.folder.glob(".step-*.part"):
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
    """Write a checkpoint into a folder, let those before the last go, and return the file that names it."""
    tensors: dict[str, torch.Tensor] = {}
    snapshot = checkpoint.snapshot
    body = {
        "step": snapshot.step, "changes": snapshot.changes, "line": snapshot.line, "time": time.time(),
        "torch": torch.__version__,
        "parts": {name: _encoded(part, name, tensors) for name, part in snapshot.parts.items()},
        "history": list(checkpoint.history.columns),
        "evaluations": _encoded(checkpoint.history.evaluations, "evaluations", tensors),
        "entries": _encoded([dict(vars(entry)) for entry in checkpoint.entries], "entries", tensors),
        "in_force": _encoded([dict(vars(entry)) for entry in checkpoint.changes], "in_force", tensors),
        "more": _encoded(dict(checkpoint.more), "more", tensors),
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
        text = json.dumps(body)
        whole = {
            "format": _FORMAT, "version": _VERSION, "check": hashlib.sha256(text.encode()).hexdigest(),
            "body": text,
        }  # fmt: skip
        write_whole(place, [json.dumps(whole).encode()])
    except BaseException:
        with contextlib.suppress(OSError):
            (folder / file).unlink()
        raise
    _tidy(folder)
    return place


def load(folder: str | Path) -> tuple[Checkpoint, str]:
    """Return the newest checkpoint of a folder that is whole, and what is to be said of newer ones, or "".

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
    history.columns = {name: Column.of(tensors[f"history.{name}"].numpy()) for name in body["history"]}
    history.evaluations = _decoded(body["evaluations"], tensors)
    history.seconds = float(history.columns["seconds"].values.sum())
    entries, in_force = (
        tuple(Entry(**one) for one in _decoded(body[name], tensors)) for name in ("entries", "in_force")
    )
    parts = {name: _decoded(part, tensors) for name, part in body["parts"].items()}
    snapshot = Snapshot(body["step"], body["changes"], "start", body["line"], parts)
    return Checkpoint(snapshot, history, entries, in_force, _decoded(body["more"], tensors))


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
            kept.add(json.loads(json.loads(place.read_bytes())["body"])["file"])
    for file in folder.glob("step-*.safetensors"):
        if file.name not in kept:
            with contextlib.suppress(OSError):
                file.unlink()


def _encoded(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Return a state as JSON; its tensors go into `tensors`, by a name that says where they belong."""

    def several(items: Any) -> list[Any]:
        return [_encoded(item, f"{name}.{number}", tensors) for number, item in enumerate(items)]

    if value is None or isinstance(value, (bool, int, str)):
        return value if not isinstance(value, str) or type(value) is str else str(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Kept):
        return None
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        if value.is_complex():
            tensors[name] = torch.view_as_real(value)
            return {"$": "complex tensor", "v": name}
        tensors[name] = value
        return {"$": "tensor", "v": name}
    if isinstance(value, np.generic):
        return _encoded(value.item(), name, tensors)
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise ValueError(f"{name} holds an array of {value.dtype}, which cannot be saved")
        tensors[name] = torch.from_numpy(np.frombuffer(value.tobytes(), np.uint8).copy())
        return {"$": "array", "v": name, "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, (bytes, bytearray)):
        return {"$": "bytes", "v": base64.b64encode(value).decode()}
    if isinstance(value, tuple):
        return {"$": "tuple", "v": several(value)}
    if isinstance(value, list):
        return several(value)
    if isinstance(value, dict):
        if all(type(key) is str for key in value) and "$" not in value:
            prefix = "model" if name == "weights.tensors" else name
            return {key: _encoded(one, f"{prefix}.{key}", tensors) for key, one in value.items()}
        pairs = [
            [_encoded(key, name, tensors), _encoded(one, f"{name}.{key}", tensors)]
            for key, one in value.items()
        ]
        return {"$": "dict", "v": pairs}
    return {"$": "word", "v": getattr(value, "__name__", None) or repr(value)}


def _decoded(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_decoded(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    kind, what = value.get("$"), value.get("v")
    if kind is None:
        return {key: _decoded(one, tensors) for key, one in value.items()}
    if kind == "tensor":
        return tensors[what]
    if kind == "complex tensor":
        return torch.view_as_complex(tensors[what])
    if kind == "array":
        flat = np.frombuffer(tensors[what].numpy().tobytes(), np.dtype(value["dtype"]))
        return flat.reshape(value["shape"]).copy()
    if kind == "bytes":
        return base64.b64decode(what)
    if kind == "tuple":
        return tuple(_decoded(one, tensors) for one in what)
    if kind == "dict":
        return {_decoded(k, tensors): _decoded(v, tensors) for k, v in what}
    return what
