"""Checkpoints: states of a run in a folder, for another kernel."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...base.history import GrowingColumn, History
from ...base.ledger import Entry
from ...base.time_budget import TimeBudget
from .origin import OriginWriter, read_origin
from .snapshot import Snapshot
from .state_file import decode, encode, read_state, write_state
from .timeline import Line, Timeline

if TYPE_CHECKING:
    from ..run import Run

_KIND, _VERSION = "checkpoint", 2
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

    The newest that waits replaces an older one. Each is two files, `step-N.json` and its tensors: see
    `write_state`. Where the run began, its first weights above all, lies in two of its own, written once.

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


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, and let older ones go."""
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
    # Tensors of the same step, as after a rewind, must not be replaced under the old names file.
    file = f"{name}-{time.time_ns():x}.safetensors"
    write_state(folder / f"{name}.json", _KIND, _VERSION, body, file, tensors, step=str(snapshot.step))
    kept = set()
    for number, place in enumerate(_places(folder)):
        if number >= KEEP:
            with contextlib.suppress(OSError):
                place.unlink()
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            body = json.loads(json.loads(place.read_bytes())["body"])
            kept.add(body["file"])
            if origin := body.get("origin"):
                kept |= {origin, f"{Path(origin).stem}.safetensors"}
    for left in (*folder.glob("step-*.safetensors"), *folder.glob("origin-*.*")):
        if left.name not in kept:
            with contextlib.suppress(OSError):
                left.unlink()


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
            return _read(place), f"{'; '.join(said)}: the one before was taken." if said else ""
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            why = str(error) if isinstance(error, ValueError) else f"{place.name} cannot be read"
            said.append(f"{place.name} is not JSON" if isinstance(error, json.JSONDecodeError) else why)
    raise ValueError(f"No checkpoint in {str(folder)!r} can be read: {'; '.join(said)}.")


def _places(folder: Path) -> list[Path]:
    """Return the files that name checkpoints, the one written last first."""
    found = [place for place in folder.glob("step-*.json") if place.is_file()]
    return sorted(found, key=lambda place: (place.stat().st_mtime_ns, place.name), reverse=True)


def _read(place: Path) -> Checkpoint:
    body, tensors = read_state(place, _KIND, _VERSION)
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
    if body["version"] == 1:
        # Controls lay together.
        steering, extras, clip = parts["steering"], parts.pop("regimen"), parts["loop"]["clip"]
        parts["form"] = {"normalise": parts["form"]}
        parts["steering"] = {
            "schedule": steering["moving"]["rate"], "clip": clip, "threads": steering["threads"],
            "trainable": steering["trainable"], "dropout": extras["dropping"], "ema": extras["averaging"],
            "label_smoothing": extras["smoothing"], "accumulate": extras["groups"],
            "precision": extras["precision"], "early_stopping": extras["stopping"],
            # Their own values went into memory only: they are read off the optimizer.
            **dict.fromkeys(("momentum", "betas", "weight_decay")),
        }  # fmt: skip
    snapshot = Snapshot(body["step"], body["changes"], "start", body["line"], parts)
    more = decode(body["more"], tensors)
    return Checkpoint(snapshot, history, entries, in_force, more, origin=body.get("origin"))


class Autosave:
    """Hands the state of a run to `Checkpoints` every so often.

    Training waits for the copy of the state, and never for the disk. The copies take at most 2 % of the time:
    where one costs more than that, they are taken less often than `every`.

    Parameters
    ----------
    every : seconds from one to the next.
    """

    def __init__(self, run: Run, folder: str | Path, every: float) -> None:
        self.checkpoints, self.origins = Checkpoints(folder), OriginWriter()
        self._run = run
        self._often, self._pauses = TimeBudget(0.02, least=every), TimeBudget(0.1, least=0.5)
        self._often.spent(0.0)
        #: The line and the place that was saved last.
        self.place: Any = None

    def after_step(self) -> None:
        """Save, if it is time and the disk is ready."""
        if self._often.due() and not self.checkpoints.busy:
            self.save()

    def at_end(self, ending: str) -> None:
        """Save what a run ended with, but not each of many pauses."""
        if ending and (ending != "paused" or self._pauses.due()):
            self.save()
        self._tell()

    def save(self) -> None:
        """Have the state of now written."""
        run, timeline = self._run, self._run.timeline
        place, past = (timeline.line, timeline.place), run.evaluations.past
        if not run.loop.steps or place == self.place:
            return
        began = time.perf_counter()
        name = timeline.line.name
        kept = (one for one in timeline.ring if one.place == place[1] and one.line == name)
        snapshot = next(kept, None) or timeline.capture("time")
        if snapshot is not None:
            self.place = place
            more = {
                "past": past.state(past.of(timeline.line.went_through)), "goal": run.orders.goal,
                "due": sorted(run.loop.rate.due_steps), "began": run.orders.began,
            }  # fmt: skip
            self.checkpoints.write(Checkpoint(
                snapshot, run.loop.history.upto(snapshot.step), tuple(run.steering.ledger.entries),
                tuple(timeline.line.changes), more, partial(self.origins.write_once, run.origin, run.seed),
            ))  # fmt: skip
        for governor in (self._often, self._pauses):
            governor.spent(time.perf_counter() - began)
        self._tell()

    def write(self) -> None:
        """Write a checkpoint from any other thread and wait, or raise OSError."""
        self._run.result(self.save)
        self.checkpoints.wait()
        if self.checkpoints.problem:
            raise OSError(self.checkpoints.problem)

    def _tell(self) -> None:
        """Say what went wrong with the last one."""
        if self.checkpoints.problem:
            self._run.note(self.checkpoints.problem)
        if self.origins.problem:
            self._run.note(
                f"Where this run began could not be written beside its checkpoints: "
                f"{self.origins.problem}. What goes on from them cannot write its script."
            )


def autosave(run: Run, folder: str | Path | None, every: Any) -> Autosave | None:
    """Return what saves a run into a folder; None without a folder.

    Raises
    ------
    ValueError : `every` is no number of seconds, or the folder cannot be written to.
    """
    if isinstance(every, bool) or not isinstance(every, (int, float)) or not every > 0:
        raise ValueError(f"checkpoint_every={every!r}: a number of seconds above 0 is wanted.")
    return None if folder is None else Autosave(run, folder, float(every))


def resume(run: Run, found: Checkpoint, folder: str | Path) -> None:
    """Have a new run go on from a checkpoint in `folder`.

    Raises
    ------
    ValueError : in a sentence, it does not fit.
    """
    place, past = Path(folder).expanduser(), run.evaluations.past

    def work(timeline: Timeline) -> None:
        try:
            clauses = found.snapshot.install(timeline.ordered())
        except (ValueError, KeyError, RuntimeError) as error:
            raise ValueError(f"The checkpoint in {str(folder)!r} does not fit: {error}.") from error
        run.loop.history = found.history
        run.steering.ledger.entries[:] = found.entries
        timeline.start_over(Line(found.snapshot.line, changes=list(found.changes)))
        past.install(found.more.get("past", ()), found.snapshot.line)
        run.loop.rate.due_steps = set(found.more.get("due", ()))
        run.orders.take_over(found.more["began"], found.more["goal"])
        if run.autosave is not None and run.autosave.checkpoints.folder == place:
            run.autosave.place = timeline.line, timeline.place  # it is there already
        for clause in clauses:
            run.note(f"From the checkpoint: {clause}.")
        if found.origin is not None:
            _begin_as_then(run, place, found.origin)

    run.travel(work)


def _begin_as_then(run: Run, folder: Path, name: str) -> None:
    """Read where the run of a checkpoint began, for its script."""
    try:
        run.origin, seed = read_origin(folder, name, run.loop)
    except (OSError, ValueError) as why:
        said = getattr(why, "strerror", None) or why
        run.lost = f"Where this run began is not known: {said}."
        return
    run.seed = run.evaluations.seed = seed
    devices, here = run.origin.device.split(", "), str(run.loop.objective.device)
    if here not in devices:
        run.origin = replace(run.origin, device=", ".join([*devices, here]))
    elif run.autosave is not None:
        run.autosave.origins.known(run.origin, folder, name)
