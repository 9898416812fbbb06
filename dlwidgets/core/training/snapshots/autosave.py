"""Autosave: a run's state goes into a folder as it trains, and another kernel goes on from there."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...base.time_budget import Governor
from .checkpoints import Checkpoint, Checkpoints, load
from .lines import Line
from .origin_file import Beginnings, read_origin, with_device
from .timeline import Timeline

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..trainer import Trainer


class Autosave:
    """Hands the state of a run to `Checkpoints` every so often; for the training thread.

    Training waits for the copy of the state, and never for the disk. The copies take at most 2 % of the time:
    where one costs more than that, they are taken less often than `every`.

    Parameters
    ----------
    every : seconds from one to the next.
    """

    def __init__(self, trainer: Trainer, folder: str | Path, every: float) -> None:
        self.checkpoints, self.beginnings = Checkpoints(folder), Beginnings()
        self._trainer = trainer
        self._often = Governor(0.02, least=every)
        self._pauses = Governor(0.1, least=0.5)
        self._often.spent(0.0)
        #: The line and the place that was saved last.
        self.place: Any = None

    def after_step(self) -> None:
        """Save, if it is time and the disk has taken the last one."""
        if self._often.due() and not self.checkpoints.busy:
            self.save()

    def at_end(self, ending: str) -> None:
        """Save what a run ended with; a pause, unless pauses follow one another too fast."""
        if ending and (ending != "paused" or self._pauses.due()):
            self.save()
        self.tell()

    def save(self) -> None:
        """Have the state of now written."""
        trainer, timeline = self._trainer, self._trainer.timeline
        place, past = (timeline.line, timeline.place), trainer.evaluations.past
        if not trainer.loop.steps or place == self.place:
            return
        began = time.perf_counter()
        name = timeline.line.name
        kept = (one for one in timeline.ring if one.place == place[1] and one.line == name)
        snapshot = next(kept, None) or timeline.captured("time")
        if snapshot is not None:
            self.place = place
            self.checkpoints.write(Checkpoint(
                snapshot, trainer.loop.history.upto(snapshot.step), tuple(trainer.steering.ledger.entries),
                tuple(timeline.line.changes),
                {
                    "began": trainer.orders.began, "goal": trainer.orders.goal,
                    "past": past.state(past.of(timeline.line.went)),
                    "due": sorted(trainer.loop.rate._due),
                },
                partial(self.beginnings.written, trainer.origin, trainer.seed),
            ))
        for governor in (self._often, self._pauses):
            governor.spent(time.perf_counter() - began)
        self.tell()

    def tell(self) -> None:
        """Say what went wrong with the last one."""
        if self.checkpoints.problem:
            self._trainer.note(self.checkpoints.problem)
        if self.beginnings.problem:
            self._trainer.note(
                f"Where this run began could not be written beside its checkpoints: "
                f"{self.beginnings.problem}. What goes on from them cannot write its script."
            )


class Resumable:
    """Checkpoints of a session; a session without its traits and without its other verbs."""

    _trainer: Trainer
    _travel: Callable[[Callable[[Timeline], Any]], Any]
    _result: Callable[[Callable[[], Any]], Any]
    _check_open: Callable[[], None]
    _noted: Callable[[str], None]

    @classmethod
    def from_checkpoint(
        cls, folder: str | Path, model: Any, train: Any, valid: Any = None, **options: Any
    ) -> Self:
        """Return a session that goes on from the newest checkpoint in `folder`, in this kernel.

        On the CPU it goes on bit for bit: `session.resume()` trains what was left of the run. New checkpoints
        go into the same folder. Snapshots and branches of then are not there; the history, the ledger and
        where it began are, so that `to_script` writes the whole run.

        Parameters
        ----------
        model, train, valid, options : as they were given to the `Session` of then; controls are taken from
            the checkpoint, whatever is given for them here.

        Raises
        ------
        ValueError : in a sentence: there is no checkpoint that can be read, or it does not fit the model.
        """
        found, said = load(folder)
        made: Any = cls
        session = made(model, train, valid, **{"checkpoint_dir": folder, **options})
        trainer: Trainer = session._trainer
        place, past = Path(folder).expanduser(), trainer.evaluations.past

        def work(timeline: Timeline) -> None:
            try:
                clauses = found.snapshot.install(timeline.ordered())
            except (ValueError, KeyError, RuntimeError) as error:
                raise ValueError(f"The checkpoint in {str(folder)!r} does not fit: {error}.") from error
            trainer.loop.history = found.history
            trainer.steering.ledger.entries[:] = found.entries
            timeline.begin_anew(Line(found.snapshot.line, changes=list(found.changes)))
            past.install(found.more.get("past", ()), found.snapshot.line)
            trainer.loop.rate._due = set(found.more.get("due", ()))
            trainer.orders.continued(found.more["began"], found.more["goal"])
            if trainer.autosave is not None and trainer.autosave.checkpoints.folder == place:
                trainer.autosave.place = timeline.line, timeline.place  # it is there already
            for clause in clauses:
                trainer.note(f"From the checkpoint: {clause}.")
            if found.origin is not None:
                _begin_as_then(trainer, place, found.origin)

        try:
            session._travel(work)
        except BaseException:
            session.close()
            raise
        if said:
            session._noted(said)
        return session

    def save_checkpoint(self, wait: bool = True) -> Self:
        """Write a checkpoint of now into `checkpoint_dir`; with `wait`, return once the disk has it.

        Raises
        ------
        ValueError : the session has no `checkpoint_dir`.
        OSError : with `wait`: it could not be written.
        """
        autosave = self._trainer.autosave
        if autosave is None:
            raise ValueError("There is no folder for checkpoints: pass checkpoint_dir= to the Session.")
        self._result(autosave.save)
        if wait:
            autosave.checkpoints.wait()
            if autosave.checkpoints.problem:
                raise OSError(autosave.checkpoints.problem)
        return self

    def _autosave(self, folder: str | Path | None, every: float) -> None:
        """Have the run saved into a folder from now on."""
        if isinstance(every, bool) or not isinstance(every, (int, float)) or not every > 0:
            raise ValueError(f"checkpoint_every={every!r}: a number of seconds above 0 is wanted.")
        if folder is not None:
            self._trainer.autosave = Autosave(self._trainer, folder, float(every))


def _begin_as_then(trainer: Trainer, folder: Path, name: str) -> None:
    """Let a run that goes on know where it began, for a script of it."""
    try:
        origin, seed = read_origin(folder, name, trainer.loop)
    except (OSError, ValueError) as why:
        said = getattr(why, "strerror", None) or why
        trainer.lost = f"Where this run began is not known: {said}."
        return
    trainer.seed = trainer.evaluations.seed = seed
    device = str(trainer.loop.objective.device)
    if device in origin.device.split(", "):
        if trainer.autosave is not None:
            trainer.autosave.beginnings.known(origin, folder, name)
    else:
        origin = with_device(origin, device)
    trainer.origin = origin
