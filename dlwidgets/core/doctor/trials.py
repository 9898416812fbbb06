"""Remedies tried side by side, from the last good state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.numbers import format_number
from ..base.words import did_you_mean, pluralize
from ..training.snapshots.timeline import Branch, Timeline
from ..training.trials import Trial, take_trials
from .course import find_onset, of_one_loss
from .finding import Finding
from .remedies import REMEDIES, Case, Offer, find_remedy, offer_remedies

if TYPE_CHECKING:
    import pandas as pd

    from ..training.run import Run

#: The trial in which nothing is changed.
NOTHING = "nothing"
#: The share of a trial's last steps whose mean is its loss, and by how much of that another must be better.
_END, _BETTER = 0.2, 0.02
#: Changes after which a training loss is another number.
_OTHER_LOSS = {"loss_function", "loss_weights", "label_smoothing"}


@dataclass(frozen=True)
class TriedRemedy:
    """What came of a remedy, or of changing nothing.

    Attributes
    ----------
    name, label : of the remedy; "nothing" where nothing was changed.
    line : the name of its line, one of `Session.branches`.
    steps : how many were taken.
    loss : the mean training loss of the last fifth of them; NaN where none was taken.
    valid_loss : that of validation at the end; NaN where not evaluated.
    stable : whether all numbers were finite, and the loss did not rise off its course.
    comparable : whether its training loss is the same number as that of the others.
    note : why it ended early; "" where it did not.
    """

    name: str
    label: str
    line: str
    steps: int
    loss: float
    valid_loss: float
    stable: bool
    comparable: bool = True
    note: str = ""

    @classmethod
    def of(cls, offer: Offer, branch: Branch, steps: int) -> TriedRemedy:
        """Return what came of a remedy on its line."""
        losses = branch.record.columns["loss"].values
        taken = losses[branch.from_step :]
        end = taken[-max(1, round(_END * steps)) :] if len(taken) else np.full(1, np.nan)
        valid = [row["valid_loss"] for row in branch.record.evaluations if row["step"] == branch.steps and len(taken)]
        risen = find_onset(of_one_loss(losses, branch.changes)) is not None
        stable = not branch.note and not risen and bool(np.isfinite(end).all())
        comparable = not _OTHER_LOSS & offer.settings.keys()
        valid_loss = float(valid[-1]) if valid else float("nan")
        return cls(
            offer.name, offer.label, branch.name, len(taken), float(end.mean()), valid_loss, stable, comparable,
            branch.note.split(". ")[0],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class RemedyTrials:
    """Remedies that ran as many steps on the same batches.

    Attributes
    ----------
    tried : `TriedRemedy`, "nothing" first; those alone that had begun where it was ended early.
    steps, start : how many each was to take, and the step from which they began.
    finding : what was to be helped.
    """

    tried: tuple[TriedRemedy, ...]
    steps: int
    start: int
    finding: Finding
    _go_to: Callable[[str], Any] = field(repr=False, default=lambda line: None)

    @property
    def measure(self) -> str:
        """What they are compared by.

        "valid_loss" where all stable ones have it, else "loss".
        """
        stable = [one for one in self.tried if one.stable]
        return "valid_loss" if stable and not any(np.isnan(one.valid_loss) for one in stable) else "loss"

    @property
    def best(self) -> TriedRemedy | None:
        """The best that is stable; None where none is.

        Something must be better than nothing by a fiftieth to be proposed.
        """
        by, whole = self.measure, [one for one in self.tried if one.stable and one.steps == self.steps]
        fit = [one for one in whole if one.comparable or by == "valid_loss"]
        if not fit:
            return None
        best = min(fit, key=lambda one: getattr(one, by))
        nothing = next((one for one in fit if one.name == NOTHING), best)
        gain = getattr(nothing, by) - getattr(best, by)
        return best if gain > _BETTER * abs(getattr(nothing, by)) else nothing

    @property
    def sentence(self) -> str:
        """What came of it, with numbers."""
        best, by = self.best, self.measure
        after = f"after {pluralize(self.steps, 'step')} from step {self.start:,}"
        if best is None:
            return f"None of them is stable {after}."
        words = "validation loss" if by == "valid_loss" else "loss"
        nothing = next((one for one in self.tried if one.name == NOTHING), None)
        if best is nothing:
            return f"No remedy is better than none ({best.label.lower()}): {words} {_number(best, by)} {after}."
        said = f"{best.label}: {words} {_number(best, by)} {after}"
        if nothing is None:
            return f"{said}."
        return f"{said}, against {_number(nothing, by)} with nothing changed." if nothing.stable else (
            f"{said}; with nothing changed the loss explodes."
        )

    def take(self, name: str | None = None) -> TriedRemedy:
        """Go on from the end of a trial; None: the best.

        Raises
        ------
        ValueError : there is no such trial, or none is stable.
        """
        chosen = self.best if name is None else next((one for one in self.tried if one.name == name), None)
        if chosen is None:
            names = [one.name for one in self.tried]
            hint = did_you_mean(str(name), names)
            raise ValueError(f"There is no trial {name!r} to take: there are {', '.join(names)}.{hint}")
        self._go_to(chosen.line)
        return chosen

    def frame(self) -> pd.DataFrame:
        """Return a data frame, a row a trial, the best first."""
        import pandas as pd

        columns = ["remedy", "label", "loss", "valid_loss", "stable", "steps", "note", "line"]
        rows = [(o.name, o.label, o.loss, o.valid_loss, o.stable, o.steps, o.note, o.line) for o in self.tried]
        found = pd.DataFrame(rows, columns=columns)
        return found.sort_values(["stable", self.measure], ascending=[False, True], ignore_index=True)


def _number(one: TriedRemedy, by: str) -> str:
    return format_number(getattr(one, by))


def choose_offers(run: Run, finding: Finding, names: Sequence[str] | None) -> tuple[list[Offer], int | None]:
    """Return what to try, "nothing" first, and from which step.

    Raises
    ------
    ValueError : none is left, or one of `names` does not apply.
    """
    case = Case.of(run, finding)
    offers = offer_remedies(case)
    if names is None:
        chosen = [one for one in offers if not one.why_not and one.settings]
    else:
        chosen = [find_remedy(name, offers) for name in names]
    steered = set(run.steering.names) - {"early_stopping"}  # what comes to nothing within some steps
    chosen = [one for one in chosen if one.settings.keys() <= steered]
    if not chosen:
        raise ValueError(f"There is no remedy to try: {', '.join(one.label for one in offers) or 'none'} cannot be.")
    back = case.last_good if case.spoiled and any(REMEDIES[one.name].rewind for one in chosen) else None
    stays = back is None or back == run.now("steps")
    return [Offer(NOTHING, "Nothing changed" if stays else f"Only back to step {back:,}"), *chosen], back


def plan_trials(
    run: Run, finding: Finding, offers: Iterable[Offer], steps: int, back: int | None, go_to: Callable[[str], Any]
) -> Callable[[Timeline], RemedyTrials]:
    """Return the work of trying remedies: see `Run.visit`."""
    offers = list(offers)
    trials = [Trial(dict(one.settings), steps, name=one.label) for one in offers]

    def work(timeline: Timeline) -> RemedyTrials:
        start = run.loop.steps if back is None else back
        branches = take_trials(run, trials, "doctor", back, evaluated=True)
        tried = tuple(TriedRemedy.of(one, branch, steps) for one, branch in zip(offers, branches))
        return RemedyTrials(tried, steps, start, finding, go_to)

    return work
