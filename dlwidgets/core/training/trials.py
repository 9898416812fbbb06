"""Trials: the same steps from one place with several settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.numbers import read_count, read_integer
from ..base.words import describe_error
from .loop import NotFinite
from .snapshots.timeline import Branch, Timeline

if TYPE_CHECKING:
    from .run import Run


class Trial(NamedTuple):
    """One of several settings that are being tried side by side.

    Attributes
    ----------
    settings : wishes by name.
    steps, taken : how many steps it is to take, and has taken.
    line, ended : the name of its line, one of `Session.branches` once it is over; "" before it begins.
    name : what it is called; "" where it has no name.
    epochs : how many it is to take where `steps` is 0, which says so once it has begun.
    """

    settings: Mapping[str, Any]
    steps: int
    taken: int = 0
    line: str = ""
    ended: bool = False
    name: str = ""
    epochs: int = 0


def check_trials(steps: Any, settings: Sequence[Any], keep: Any, call: str = "try_each") -> None:
    """Raise a sentence where there is nothing to try."""
    if read_count(steps) is None:
        raise ValueError(f"{call}() has steps={steps!r}: a whole number of steps, 1 or more, is wanted.")
    if not settings or not all(isinstance(one, Mapping) for one in settings):
        raise TypeError("try_each() wants settings to try, as try_each(50, {'lr': 1e-3}, {'lr': 1e-2}).")
    if keep is not None and read_integer(keep) not in range(len(settings)):
        raise ValueError(f"keep={keep!r}: there are the tries 0 to {len(settings) - 1}.")


def try_each(
    run: Run, steps: int, settings: Sequence[Mapping[str, Any]], keep: int | None, by: str
) -> tuple[Branch, ...]:
    """Take steps with each of some settings; return their lines.

    The run pauses. An order that it go, pause or stop, or an interrupt, ends the trying: then there are lines
    of those alone that had begun. `keep` is the number of the try to go on with.
    """
    trials = [Trial(dict(one), steps) for one in settings]

    def work(timeline: Timeline) -> tuple[Branch, ...]:
        lines = take_trials(run, trials, by)
        if keep is not None and keep < len(lines):
            timeline.switch(lines[keep], by)
        return lines

    return run.travel(work)


def take_trials(
    run: Run,
    trials: Sequence[Trial],
    by: str,
    back: int | None = None,
    evaluated: bool = False,
    changes: int | None = None,
    named: bool = False,
) -> tuple[Branch, ...]:
    """Take the steps of trials, on a visit; return their lines.

    The run is then where it was, bit for bit.

    Parameters
    ----------
    back : the step from which they begin, which must be the place of a snapshot; None: from here.
    evaluated : whether the model is evaluated at the end of each.
    changes : with `back`, how many of the line's changes are in force there; None: none made right after it.
    named : whether their lines have their names.
    """
    timeline, trials = run.timeline, [*trials]
    run.check_way_back()
    origin, tip, ended, over = timeline.line, None, run.interruption(), False
    if run.origin is None and not run.loop.steps:
        run.note_origin()  # one of them may be gone on with
    for number, trial in enumerate(trials):
        # Left by a fork in any case: a line on which nothing was done yet would be forgotten by going back.
        timeline.fork(trial.name if named else "")
        tip = tip or origin.tip  # held here, whatever room there is
        if back is not None and back != run.loop.steps:
            timeline.rewind(back, True, by, changes, note=f"to try {trial.name}")
        begun, epochs = run.loop.steps, run.loop.epochs + trial.epochs
        steps = trial.steps or run.loop.steps_to_go(epochs) or 0
        trials[number] = trial = trial._replace(line=timeline.line.name, steps=steps)
        run.tell_trials(trials, at_once=True)
        try:
            run.put(trial.settings, dict.fromkeys(trial.settings, by))
            if refused := next((one for name, one in run.steering.rejected.items() if name in trial.settings), ""):
                raise ValueError(refused)
            while not (over := ended()):
                if (trial.taken >= steps if steps else run.loop.epochs >= epochs) or run.loop.accumulation.used_up:
                    break
                run.take_step()
                trials[number] = trial = trial._replace(taken=run.loop.steps - begun)
                run.tell_trials(trials)
            if evaluated and not over and run.data.valid is not None and not _just_evaluated(run):
                run.evaluate()
        except Exception as error:  # noqa: BLE001 - it belongs to the try, and is said there
            timeline.line.note = describe_error(error, bare=(NotFinite, ValueError))
        timeline.switch(origin.name, by, tip)
        trials[number] = trial._replace(ended=True)
        run.tell_trials(trials, at_once=True, branches=timeline.branches)
        if over:
            break
    return tuple(timeline.branch(trial.line) for trial in trials if trial.line)


def _just_evaluated(run: Run) -> bool:
    """Say whether the model was evaluated as it is now."""
    return any(row["step"] == run.loop.steps for row in run.loop.history.evaluations[-1:])
