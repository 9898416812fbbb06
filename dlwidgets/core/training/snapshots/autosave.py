"""Autosave: a run's state goes into a folder as it trains."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.time_budget import TimeBudget
from .checkpoints import Checkpoint, Checkpoints
from .lines import Line
from .origin import OriginWriter, add_device, read_origin
from .timeline import Timeline

if TYPE_CHECKING:
    from ..run import Run


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
        self._often = TimeBudget(0.02, least=every)
        self._pauses = TimeBudget(0.1, least=0.5)
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
        self.tell()

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
            self.checkpoints.write(Checkpoint(
                snapshot, run.loop.history.upto(snapshot.step), tuple(run.steering.ledger.entries),
                tuple(timeline.line.changes),
                {
                    "began": run.orders.began, "goal": run.orders.goal,
                    "past": past.state(past.of(timeline.line.went_through)),
                    "due": sorted(run.loop.rate.due_steps),
                },
                partial(self.origins.write_once, run.origin, run.seed),
            ))
        for governor in (self._often, self._pauses):
            governor.spent(time.perf_counter() - began)
        self.tell()

    def write(self) -> None:
        """Write a checkpoint of now, from any other thread, and wait.

        Raises
        ------
        OSError : it could not be written.
        """
        self._run.result(self.save)
        self.checkpoints.wait()
        if self.checkpoints.problem:
            raise OSError(self.checkpoints.problem)

    def tell(self) -> None:
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
        origin, seed = read_origin(folder, name, run.loop)
    except (OSError, ValueError) as why:
        said = getattr(why, "strerror", None) or why
        run.lost = f"Where this run began is not known: {said}."
        return
    run.seed = run.evaluations.seed = seed
    device = str(run.loop.objective.device)
    if device in origin.device.split(", "):
        if run.autosave is not None:
            run.autosave.origins.known(origin, folder, name)
    else:
        origin = add_device(origin, device)
    run.origin = origin
