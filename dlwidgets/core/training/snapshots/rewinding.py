"""The verbs of going back: rewind, undo, switch to another line, compare lines, try settings side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...controls import wishes
from ..trainer import Trainer
from ..trials import try_each
from .lines import Branch, Comparison, compared
from .timeline import Timeline

if TYPE_CHECKING:
    from typing_extensions import Self

    from ...base.ledger import Entry
    from ...scoring.past_scores import PastScores


class Rewindable:
    """What can be taken back; a session without its traits and without the verbs of `Runnable`.

    Whoever inherits brings `_trainer`, `_result`, `_check_open`, `_settle` and `_waiting` of a session, and a
    flag of each thread, `_mirroring_here.on`, under which a wish that is set asks for nothing.
    """

    _trainer: Trainer
    _check_open: Callable[[], None]
    _settle: Callable[[bool], Any]
    _waiting: Callable[[], Any]
    _mirroring_here: Any

    def rewind(self, step: int, exact: bool = True) -> Self:
        """Go back to the state after `step` steps, and pause there; the run then goes on as it would have.

        What comes after `step` stays as a branch: see `branches` and `switch`. Changes that were made right
        after `step`, before the next, are taken back too. The steps from the last snapshot up to `step` are
        taken again, with the changes at their steps: on the CPU that gives the same weights bit for bit.

        Parameters
        ----------
        step : 0 for the beginning; a negative number counts from now: -100 is a hundred steps back.
        exact : False: go to the snapshot that is nearest instead, which takes no step.

        Raises
        ------
        ValueError : the step was not taken, nothing is kept, or the data cannot be read again.
        """
        if not isinstance(step, int) or isinstance(step, bool):
            raise ValueError(f"rewind({step!r}): the number of a step is wanted, 0 for the beginning.")
        by = self._by()
        return self._travel(
            lambda line: line.rewind(step if step >= 0 else max(0, line.place[0] + step), exact, by)
        )

    def undo(self) -> Self:
        """Take back the last change: go to the state right before it, and pause there.

        Steps that were taken since then stay as a branch.

        Raises
        ------
        ValueError : nothing was changed on this line, or there is no way back.
        """
        by = self._by()

        def work(timeline: Timeline) -> None:
            changes = timeline.line.changes
            if not changes:
                raise ValueError("There is nothing to undo: no change was made on this line.")
            last, count = changes[-1], 1
            if last.by == "run" and len(changes) > 1 and changes[-2].name in ("batch_size", "accumulate"):
                if changes[-2].step == last.step:
                    last, count = changes[-2], 2  # the schedule was stretched by it
            note = f"took back {last.name} = {last.applied!r}"
            timeline.rewind(last.step, True, by, changes=len(changes) - count, note=note)

        return self._travel(work)

    def switch(self, branch: Branch | str) -> Self:
        """Go to the end of another line, and pause there; the line under way stays as a branch.

        Raises
        ------
        ValueError : there is no such line.
        """
        name, by = branch.name if isinstance(branch, Branch) else branch, self._by()
        return self._travel(lambda timeline: timeline.switch(name, by))

    def compare(self, branch: Branch | str, other: Branch | str | None = None) -> Comparison:
        """Return two lines side by side: settings that differ, and losses and metrics step by step.

        Parameters
        ----------
        other : None: the line under way.
        """
        return compared(self._branch(branch), self._branch(other))

    def try_each(
        self, steps: int, *settings: Mapping[str, Any], keep: int | None = None
    ) -> tuple[Branch, ...]:
        """Train `steps` steps with each of several settings, all from here, and return the lines that come.

        "Same step, two learning rates" is `session.try_each(50, {"lr": 1e-3}, {"lr": 1e-2})`. Each starts
        from the same state and sees the same batches. A try whose loss becomes infinite ends there, and its
        `note` says so.

        Parameters
        ----------
        settings : wishes by name, as {"lr": 0.1, "clip": 1.0}.
        keep : the number of the try to go on with, from 0; None: the run is left where it was.

        Raises
        ------
        ValueError, TypeError : in a sentence: no steps, no settings, or one that cannot be read.
        """
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise ValueError(f"try_each({steps!r}, ...): a whole number of steps, 1 or more, is wanted.")
        if not settings or not all(isinstance(one, Mapping) for one in settings):
            raise TypeError("try_each() wants settings to try, as try_each(50, {'lr': 1e-3}, {'lr': 1e-2}).")
        if keep is not None and not (isinstance(keep, int) and 0 <= keep < len(settings)):
            raise ValueError(f"keep={keep!r}: there are the tries 0 to {len(settings) - 1}.")
        read = [{name: self.read_wish(name, value) for name, value in one.items()} for one in settings]
        by, found = self._by(), []

        def work(timeline: Timeline) -> None:
            names = try_each(self._trainer, steps, read, by)
            if keep is not None:
                timeline.switch(names[keep], by)
            made = {branch.name: branch for branch in (*timeline.branches, timeline.here())}
            found.extend(made[name] for name in names)

        self._travel(work)
        return tuple(found)

    @property
    def timeline(self) -> Timeline:
        """The snapshots and the lines of the run; its methods are for the training thread (see `at_step`)."""
        return self._trainer.timeline

    @property
    def line_changes(self) -> list[Entry]:
        """The ledger's entries that are in force on the line under way, from its beginning, in order."""
        return list(self._trainer.timeline.line.changes)

    def read_wish(self, name: str, value: Any) -> Any:
        """Return what a wish for a control would be read as, without wishing for it.

        Raises
        ------
        ValueError, TypeError : in a sentence, why it cannot be.
        """
        reader = getattr(wishes, f"read_{name}", None)
        if reader is None or name not in self._trainer.steering.CONTROLS:
            known: Sequence[str] = self._trainer.steering.CONTROLS
            raise ValueError(f"{name!r} is no control: there are {', '.join(known)}.")
        return reader(value)

    def past_on(self, branch: Branch | str | None = None) -> tuple[PastScores, ...]:
        """Return those of `past_scores` that a line went through, by step: its own, and its parents' before.

        Parameters
        ----------
        branch : None: the line under way.
        """
        timeline = self._trainer.timeline
        name = branch.name if isinstance(branch, Branch) else branch
        line = timeline.line if name is None else timeline.lines.get(name)
        if line is None:
            raise ValueError(f"There is no line {name!r}: there are {', '.join(map(repr, timeline.lines))}.")
        return self._trainer.evaluations.past.of(line.went)

    # -- for those that inherit

    def _by(self) -> str:
        """Return who asks."""
        return "code"

    def _mirror(self, in_force: Mapping[str, Any]) -> None:
        """Let the wishes be what is in force, without asking for anything."""
        here, self._mirroring_here.on = self._mirroring_here.on, True
        try:
            for name, value in in_force.items():
                setattr(self, name, value)
        finally:
            self._mirroring_here.on = here

    # -- inside

    def _branch(self, which: Branch | str | None) -> Branch:
        if isinstance(which, Branch):
            return which
        timeline = self._trainer.timeline
        if which is None or which == timeline.line.name:
            return timeline.here()
        for branch in timeline.branches:
            if branch.name == which:
                return branch
        raise ValueError(f"There is no line {which!r}: there are {', '.join(map(repr, timeline.lines))}.")

    def _travel(self, work: Callable[[Timeline], Any]) -> Self:
        self._check_open()
        future = self._trainer.travel(work)
        try:
            with self._waiting():
                self._trainer.worker.result(future)
        except KeyboardInterrupt:
            self._trainer.timeline.abandoned = True
            raise
        self._settle(True)
        return self
