"""Checkpoints: states of a run in a folder, for another kernel."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import secrets
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
from ...base.state import same_state
from ...base.time_budget import TimeBudget
from ...data.batches import Batches
from ...layers.framework import framework_of
from .origin import OriginWriter, read_origin
from .snapshot import Snapshot
from .state_file import decode, encode, read_state, write_state
from .timeline import Line, Timeline

if TYPE_CHECKING:
    from ..run import Run

_KIND, _VERSION = "checkpoint", 2
#: How many checkpoints of a run stay: the one before the newest is there if that is damaged.
KEEP = 2
#: The file that names a checkpoint: its step and its run, which the first versions did not write.
_NAME = re.compile(r"step-(\d+)(?:-([0-9a-f]+))?\.json")
_NAMELESS = "earlier"
#: What is left by a process that was killed is of nobody after so long [s].
_ABANDONED = 3600.0


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A state of a run, its history, and its changes.

    Attributes
    ----------
    more : what the session keeps for itself: the goal of the run, past scores.
    beginning : has where the run began written into a folder, and returns the name of that file.
    origin : the name of the file, where it was read.
    run : which run it is of.
    """

    snapshot: Snapshot
    history: History
    entries: tuple[Entry, ...]
    changes: tuple[Entry, ...]
    more: Mapping[str, Any]
    beginning: Callable[[Path], str | None] = lambda folder: None
    origin: str | None = None
    run: str = _NAMELESS


class Checkpoints:
    """Writes checkpoints into a folder, on a thread of its own.

    The newest that waits replaces an older one. Each is two files, `step-N-RUN.json` and its tensors: see
    `write_state`. Where the run began, its first weights above all, lies in two of its own, written once.
    Those of other runs in the folder are never touched.

    Attributes
    ----------
    run : what tells this run from others in the folder.
    known : names of checkpoints that are this run's own.
    problem : what went wrong last, in a sentence; "" once one was written.
    said : what else a person should know, in a sentence.

    Raises
    ------
    ValueError : the folder cannot be made or written to.
    """

    def __init__(self, folder: str | Path) -> None:
        # Where it is now, whatever folder the process goes to.
        self.folder = Path(folder).expanduser().absolute()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / ".writable.part"
            probe.write_bytes(b"")
            probe.unlink()
            for left in (*self.folder.glob(".step-*.part"), *self.folder.glob(".origin-*.part")):
                if time.time() - left.stat().st_mtime > _ABANDONED:
                    left.unlink()
        except OSError as error:
            why = error.strerror or error
            raise ValueError(f"checkpoint_dir={str(folder)!r} cannot be written to: {why}.") from None
        self.run, self.known = secrets.token_hex(4), set[str]()
        self.problem = self.said = ""
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
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter ends
                    self._live()

    def wait(self, until: float = math.inf) -> None:
        """Wait until all is written, or a monotonic time."""
        with self._change:
            # With a time-out the main thread wakes for an interrupt.
            while self._thread is not None and time.monotonic() < until:
                self._change.wait(0.1)

    def _live(self) -> None:
        while True:
            with self._change:
                checkpoint, self._next = self._next, None
                if checkpoint is None:
                    self._thread = None
                    self._change.notify_all()
                    return
            try:
                if {place.name for place in find_runs(self.folder).get(self.run, ())} - self.known:
                    self.run, self.known = secrets.token_hex(4), set()
                    self.said = (
                        f"Somebody else goes on with this run in {str(self.folder)!r}: the checkpoints from "
                        f"here on are of a run of their own, {self.run!r}."
                    )
                self.known.add(save(self.folder, replace(checkpoint, run=self.run)))
                self.problem, self.written = "", checkpoint.snapshot.step
            except Exception as error:  # noqa: BLE001 - said; the run goes on
                why = getattr(error, "strerror", None) or str(error) or type(error).__name__
                last = "none is there" if self.written is None else f"the last is of step {self.written:,}"
                step = f"{checkpoint.snapshot.step:,}"
                self.problem = f"No checkpoint of step {step} was written: {why}; {last}."


def save(folder: Path, checkpoint: Checkpoint) -> str:
    """Write a checkpoint, let older ones go; return its name."""
    tensors: dict[str, torch.Tensor] = {}
    snapshot = checkpoint.snapshot
    body = {
        "step": snapshot.step, "changes": snapshot.changes, "line": snapshot.line, "time": time.time(),
        "torch": torch.__version__, "run": checkpoint.run,
        "parts": {name: encode(part, name, tensors) for name, part in snapshot.parts.items()},
        "history": list(checkpoint.history.columns),
        "evaluations": encode(checkpoint.history.evaluations, "evaluations", tensors),
        "proofs": encode(checkpoint.history.proofs, "proofs", tensors),
        "entries": encode([dict(vars(entry)) for entry in checkpoint.entries], "entries", tensors),
        "in_force": encode([dict(vars(entry)) for entry in checkpoint.changes], "in_force", tensors),
        "more": encode(dict(checkpoint.more), "more", tensors), "origin": checkpoint.beginning(folder),
    }  # fmt: skip
    for name, column in checkpoint.history.columns.items():
        tensors[f"history.{name}"] = torch.from_numpy(column.values.copy())
    size = sum(tensor.nbytes for tensor in tensors.values())
    if (free := shutil.disk_usage(folder).free) < 1.05 * size + 2**20:
        raise OSError(28, f"it takes {size / 2**20:,.0f} MB and the disk has {free / 2**20:,.0f} MB left")
    name = f"step-{snapshot.step:08d}-{checkpoint.run}"
    # Tensors of the same step, as after a rewind, must not be replaced under the old names file.
    file = f"{name}-{time.time_ns():x}.safetensors"
    write_state(folder / f"{name}.json", _KIND, _VERSION, body, file, tensors, step=str(snapshot.step))
    _tidy(folder, checkpoint.run)
    return f"{name}.json"


def _tidy(folder: Path, run: str) -> None:
    """Let a run's older checkpoints go, with what they alone needed."""
    places = find_runs(folder)[run]
    kept, gone = places[:KEEP], set().union(*map(_files_of, places[KEEP:]))
    gone |= {left.name for left in folder.glob(f"step-*-{run}-*.safetensors")}
    if any(name.startswith("origin-") for name in gone):
        kept = [place for those in find_runs(folder).values() for place in those if place not in places[KEEP:]]
    gone -= set().union(*map(_files_of, kept))
    for left in (*places[KEEP:], *(folder / name for name in gone)):
        with contextlib.suppress(OSError):
            left.unlink()


def _files_of(place: Path) -> set[str]:
    """Return the files that a checkpoint needs, if it can be read."""
    try:
        body = json.loads(json.loads(place.read_bytes())["body"])
        origin = body.get("origin")
        return {body["file"], *([origin, f"{Path(origin).stem}.safetensors"] if origin else ())}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def find_runs(folder: Path) -> dict[str, list[Path]]:
    """Return a folder's runs and their checkpoints, the newest first."""
    found, runs = [], dict[str, list[Path]]()
    for place in folder.glob("step-*.json"):
        # Another run may let it go meanwhile.
        with contextlib.suppress(OSError):
            if (name := _NAME.fullmatch(place.name)) and place.is_file():
                found.append((place.stat().st_mtime_ns, place.name, name[2] or _NAMELESS, place))
    for _, _, run, place in sorted(found, reverse=True):
        runs.setdefault(run, []).append(place)
    return runs


def describe_runs(runs: Mapping[str, list[Path]]) -> str:
    """Say of runs how far each is, and when that was written."""
    said = [
        f"step {int(_NAME.fullmatch(place.name)[1]):,} "  # type: ignore[index]
        f"(run={run!r}, {time.strftime('%Y-%m-%d %H:%M', time.localtime(place.stat().st_mtime))})"
        for run, (place, *_) in list(runs.items())[:5]
    ]
    return ", ".join(said) + (f" and {len(runs) - 5} more" if len(runs) > 5 else "")


def describe_others(folder: Path) -> str:
    """Say whose checkpoints a folder holds; "" for none."""
    if not (runs := find_runs(folder)):
        return ""
    several = len(runs) > 1
    return (
        f"{str(folder)!r} holds checkpoints of {'other runs' if several else 'another run'}, which stay: "
        f"{describe_runs(runs)}. This is a run of its own; to go on with {'the newest' if several else 'it'}: "
        f"Session.from_checkpoint({str(folder)!r}, model, train)."
    )


def load(folder: str | Path, run: str | None = None) -> tuple[Checkpoint, list[str]]:
    """Read a run's newest whole checkpoint; say what else is there.

    Parameters
    ----------
    run : which run; None: the one that was written to last.

    Raises
    ------
    ValueError : in a sentence: there is none, or none can be read.
    """
    folder = Path(folder).expanduser()
    if not (runs := find_runs(folder)):
        why = f"There is no checkpoint in {str(folder)!r}."
        if folder.is_file():
            why = f"{str(folder)!r} is a file: pass its folder, {str(folder.parent)!r}, and run= to choose."
        elif not folder.exists():
            why = f"There is no folder {str(folder.absolute())!r}."
        raise ValueError(why)
    if run is not None and run not in runs:
        raise ValueError(f"There is no run {run!r} in {str(folder)!r}: there are {describe_runs(runs)}.")
    places = runs.pop(next(iter(runs)) if run is None else run)
    others, said = describe_runs(runs), list[str]()
    for place in places:
        try:
            found = _read(place)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            why = str(error) if isinstance(error, ValueError) else f"{place.name} cannot be read"
            said.append(f"{place.name} is not JSON" if isinstance(error, json.JSONDecodeError) else why)
            continue
        notes = [f"{'; '.join(said)}: the one before was taken."] if said else []
        if others:
            newest = "the run that was written to last" if run is None else "the run that was asked for"
            notes.append(f"This goes on with {newest}. {str(folder)!r} holds others, which stay: {others}.")
        return found, notes
    other = f" There are other runs: {others}." if others else ""
    raise ValueError(f"No checkpoint in {str(folder)!r} can be read: {'; '.join(said)}.{other}")


def _read(place: Path) -> Checkpoint:
    body, tensors = read_state(place, _KIND, _VERSION)
    history = History()
    history.columns = {
        name: GrowingColumn.from_values(tensors[f"history.{name}"].numpy()) for name in body["history"]
    }
    history.evaluations = decode(body["evaluations"], tensors)
    history.proofs = decode(body.get("proofs", []), tensors)
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
    origin, run = body.get("origin"), body.get("run", _NAMELESS)
    return Checkpoint(snapshot, history, entries, in_force, more, origin=origin, run=run)


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
        self._soon: threading.Timer | None = None
        #: The line, the place and the wishes that were saved last.
        self.place: Any = None
        #: What each wish was as the session was made: see `resume`.
        self.given = {**run.steering.wishes(), **run.settings()}

    def after_step(self) -> None:
        """Save, if it is time and the disk is ready."""
        if self._often.due() and not self.checkpoints.busy:
            self.save()

    def at_end(self, ending: str) -> None:
        """Save what a run ended with; of many pauses the last, soon."""
        if ending and (ending != "paused" or self._pauses.due()):
            self.save_last()
        elif ending and (self._soon is None or not self._soon.is_alive()):
            self._wait_to_save()
        self.tell()

    def _wait_to_save(self) -> None:
        self._soon = threading.Timer(self._pauses.interval, self._save_soon)
        self._soon.daemon = True
        try:
            self._soon.start()
        except RuntimeError:  # the interpreter ends, or the host has no threads
            self._soon = None
            self.save_last()

    def _save_soon(self) -> None:
        """Save what quick steps have come to, whoever holds the session."""
        # Here and not between two steps, for which the global random generators would be borrowed: a cell may draw from
        # them at this moment. A run that goes on saves by itself, at its end.
        run = self._run
        if not (run.closed or run.orders.going or run.worker.do_at_rest(self.save_last)):
            self._wait_to_save()

    def await_disk(self) -> None:
        """Wait for what is being written; that counts as a pause's cost."""
        if self.checkpoints.busy:
            began = time.perf_counter()
            self.checkpoints.wait()
            self._pauses.spent(time.perf_counter() - began)

    def save_last(self) -> None:
        """Save; of a stopped run, as it was before the best weights."""
        run = self._run
        if run.orders.ending != "stopped" or run.loop.patience.restored != run.loop.steps:
            self.save()

    def save(self) -> None:
        """Have the state of now written."""
        run, timeline = self._run, self._run.timeline
        place, past, wishes = (timeline.line, timeline.place), run.evaluations.past, run.open_wishes()
        left = run.orders.left()
        if not run.loop.steps or (place, wishes, left) == self.place:
            return
        began = time.perf_counter()
        name = timeline.line.name
        kept = (one for one in timeline.ring if one.place == place[1] and one.line == name)
        snapshot = next(kept, None) or timeline.capture("time")
        if snapshot is not None:
            self.place = place, wishes, left
            more = {
                "past": past.state(past.of(timeline.line.went_through)), **left, **wishes,
                "due": sorted(run.loop.rate.due_steps), "given": self.given,
                "judged": list(map(list, run.loop.patience.due_steps.items())),
            }  # fmt: skip
            self.checkpoints.write(Checkpoint(
                snapshot, run.loop.history.upto(snapshot.step), tuple(run.steering.ledger.entries),
                tuple(timeline.line.changes), more, partial(self.origins.write_once, run.origin, run.seed),
            ))  # fmt: skip
        for governor in (self._often, self._pauses):
            governor.spent(time.perf_counter() - began)
        self.tell()

    def write(self) -> None:
        """Write a checkpoint from any other thread and wait, or raise OSError."""
        self._run.result(self.save)
        self.checkpoints.wait()
        self.tell()
        if self.checkpoints.problem:
            raise OSError(self.checkpoints.problem)

    def go_on(self, found: Checkpoint, given: Mapping[str, Any], there: bool) -> None:
        """Go on with a checkpoint's run, its files perhaps `there`."""
        run, checkpoints = self._run, self.checkpoints
        self.given = {**self.given, **given}
        if found.run != _NAMELESS:
            checkpoints.run = found.run
            checkpoints.known = {place.name for place in find_runs(checkpoints.folder).get(found.run, ())}
        if there:
            where = run.timeline.line, run.timeline.place
            self.place = where, run.open_wishes(), run.orders.left()

    def tell(self) -> None:
        """Say what went wrong with the last one."""
        for said in filter(None, (self.checkpoints.problem, self.checkpoints.said)):
            self._run.note(said)
        if self.origins.problem:
            self._run.note(
                f"Where this run began could not be written beside its checkpoints: "
                f"{self.origins.problem.rstrip('.')}. What goes on from them cannot write its script."
            )


def autosave(run: Run, folder: str | Path | None, every: Any) -> Autosave | None:
    """Return what saves a run into a folder; None without a folder.

    Raises
    ------
    ValueError : `every` is no number of seconds, or the folder cannot be written to.
    """
    if isinstance(every, bool) or not isinstance(every, (int, float)) or not every > 0:
        raise ValueError(f"checkpoint_every={every!r}: a number of seconds above 0 is wanted.")
    if folder is not None and not (isinstance(folder, (str, os.PathLike)) and os.fspath(folder)):
        raise ValueError(f"checkpoint_dir={folder!r}: the path of a folder is wanted, or None.")
    return None if folder is None else Autosave(run, folder, float(every))


class _Near:
    """Training data that comes as near to its place as can be."""

    def __init__(self, batches: Batches) -> None:
        self.state, self.install = batches.state, batches.approach


def resume(
    run: Run, found: Checkpoint, folder: str | Path, given: Mapping[str, Any], saves: Autosave | None
) -> list[str]:
    """Have a new run go on from a checkpoint in `folder`.

    Parameters
    ----------
    given : the wishes that the new session was made with, by name, as far as somebody gave them.
    saves : what saves the run from then on.

    Returns
    -------
    list
        Those of `given` that are others than the session of then was made with: they are to be wished for.

    Raises
    ------
    ValueError : in a sentence, it does not fit.
    """
    place, past, more = Path(folder).expanduser().absolute(), run.evaluations.past, found.more
    known = more.get("given", {})
    anew = [name for name, value in given.items() if name in known and not same_state(_plain(value), known[name])]

    def work(timeline: Timeline) -> None:
        try:
            clauses = found.snapshot.install({**timeline.ordered(), "data": _Near(run.loop.batches)})
        except (ValueError, KeyError, RuntimeError) as error:
            hint = framework_of(run.loop.model).describe_numbering(run.loop.model)
            raise ValueError(f"The checkpoint in {str(folder)!r} does not fit: {error}.{hint}") from error
        run.loop.history = found.history
        run.steering.ledger.entries[:] = found.entries
        timeline.start_over(Line(found.snapshot.line, changes=list(found.changes)))
        past.install(more.get("past", ()), found.snapshot.line)
        run.loop.rate.due_steps = set(more.get("due", ()))
        judged = (one if isinstance(one, list) else (one, None) for one in more.get("judged", ()))
        run.loop.patience.due_steps = dict(judged)
        for clause in clauses:
            run.note(f"From the checkpoint: {clause}.")
        if found.origin is not None:
            _begin_as_then(run, place, found.origin, saves)

    run.travel(work)
    began, goal = more["began"], more["goal"]
    done = more.get("done", False)
    if "epochs" in anew and goal is not None:
        goal = began + given["epochs"]
        done = goal <= run.loop.epochs
    run.take_over(began, goal, done, more)
    if saves is not None:
        saves.go_on(found, {**known, **given}, saves.checkpoints.folder == place)
        run.autosave = saves
    return anew


def _plain(value: Any) -> Any:
    """Return a wish as a file gives it back."""
    tensors: dict[str, torch.Tensor] = {}
    return decode(encode(value, "wish", tensors), tensors)


def _begin_as_then(run: Run, folder: Path, name: str, saves: Autosave | None) -> None:
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
    elif saves is not None:
        saves.origins.known(run.origin, folder, name)
