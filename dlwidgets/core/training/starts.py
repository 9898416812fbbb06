"""A model trained from three starts: head only, all, from scratch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.numbers import format_number, read_count, read_integer
from ..base.words import did_you_mean, pluralize, quote_names
from ..controls.patterns import FreezableParts, read_trainable
from ..controls.reinitialise import find_drawable
from ..layers.walk import numel_of
from ..scoring.metrics import less_is_better
from .snapshots.timeline import Branch, Timeline
from .trials import Trial, take_trials

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from .run import Run

#: The starts in the order in which they run.
HEAD, ALL, SCRATCH = "head only", "all", "from scratch"
STARTS = (HEAD, ALL, SCRATCH)
#: Epochs of each where nobody says otherwise, and steps where the data does not say how many make an epoch.
USUAL_EPOCHS, USUAL_STEPS = 3, 100
#: The share of the last steps whose mean is a start's training loss.
_END = 0.1


@dataclass(frozen=True)
class TriedStart:
    """What came of one start.

    Attributes
    ----------
    name : "head only", "all" or "from scratch".
    line : the name of its line, one of `Session.branches`.
    parameters : how many numbers trained.
    steps, seconds : how many steps were taken, and what they took, evaluations not counted [s].
    loss : the mean training loss of the last tenth of them; NaN where none was taken.
    valid_loss, metric : of the evaluation at its end; NaN without one.
    note : why it ended early; "" where it did not.
    """

    name: str
    line: str
    parameters: int
    steps: int
    seconds: float
    loss: float
    valid_loss: float
    metric: float
    note: str = ""


@dataclass(frozen=True, eq=False)
class StartTrials:
    """Starts that took as many steps on the same batches.

    Attributes
    ----------
    tried : `TriedStart` of those that had begun where it was ended early.
    start : the step from which each began.
    metric : the name of the metric that they are compared by; "" for none.
    kept : parameters that "from scratch" could not draw anew, and began with as they were.
    """

    tried: tuple[TriedStart, ...]
    start: int
    metric: str
    kept: tuple[str, ...] = ()
    _go_to: Callable[[str], Any] = field(repr=False, default=lambda line: None)

    @property
    def measure(self) -> str:
        """What they are compared by: the metric, "valid_loss" or "loss".

        It is the first that all have and that tells them apart.
        """
        for attribute, name in (("metric", self.metric), ("valid_loss", "valid_loss")):
            values = {getattr(one, attribute) for one in self.tried}
            if len(values) > min(1, len(self.tried) - 1) and not any(map(np.isnan, values)):
                return name
        return "loss"

    def value_of(self, one: TriedStart) -> float:
        """Return a start's measure."""
        return getattr(one, self.measure if self.measure != self.metric else "metric")

    @property
    def best(self) -> TriedStart | None:
        """The best of those that went to their end; None for none."""
        most = max((one.steps for one in self.tried), default=0)
        fit = [one for one in self.tried if not one.note and one.steps == most and np.isfinite(self.value_of(one))]
        less = less_is_better(self.measure)
        return min(fit, key=lambda one: (self.value_of(one) * (1 if less else -1), one.valid_loss), default=None)

    @property
    def sentence(self) -> str:
        """What came of it, with numbers."""
        if not self.tried or not max(one.steps for one in self.tried):
            return "It was ended before a step was taken."
        words = self.measure.replace("_", " ").replace("valid", "validation")
        each = [f"{one.name} {format_number(self.value_of(one))} in {one.seconds:.2g} s" for one in self.tried]
        said = f"{words.capitalize()} after {pluralize(self.tried[0].steps, 'step')} from step {self.start:,}: "
        return f"{said}{', '.join(each)}.{self.describe_kept()}"

    def describe_kept(self) -> str:
        """Return a sentence on what was not drawn anew, or ""."""
        return f" Not drawn anew, since nothing says how: {quote_names(self.kept, 4)}." if self.kept else ""

    def take(self, name: str | None = None) -> TriedStart:
        """Go on from the end of a start; None: the best.

        Raises
        ------
        ValueError : there is no such start, or none went to its end.
        """
        chosen = self.best if name is None else next((one for one in self.tried if one.name == name), None)
        if chosen is None:
            names = [one.name for one in self.tried]
            raise ValueError(f"There is no start {name!r} to take.{did_you_mean(str(name), names, _among(names))}")
        self._go_to(chosen.line)
        return chosen

    def frame(self) -> pd.DataFrame:
        """Return a data frame, a row a start, in order."""
        import pandas as pd

        columns = ["start", "parameters", "loss", "valid_loss", self.metric, "seconds", "steps", "note", "line"]
        rows = [
            (o.name, o.parameters, o.loss, o.valid_loss, o.metric, o.seconds, o.steps, o.note, o.line)
            for o in self.tried
        ]
        found = pd.DataFrame(rows, columns=columns)
        return found if self.metric else found.drop(columns="")


def _among(names: Sequence[str]) -> str:
    return f" There are: {', '.join(names)}." if names else ""


def read_length(steps: Any, epochs: Any, start: Any) -> tuple[int, int]:
    """Return how long each is, as (steps, epochs), one of them 0.

    Raises
    ------
    ValueError : in a sentence.
    """
    if steps is not None and epochs is not None:
        raise ValueError(f"compare_starts(steps={steps!r}, epochs={epochs!r}): one of the two is wanted.")
    for name, value in (("steps", steps), ("epochs", epochs)):
        if value is not None and read_count(value) is None:
            raise ValueError(f"compare_starts({name}={value!r}): a whole number, 1 or more, is wanted.")
    if (number := read_integer(start)) is None or number < 0:
        raise ValueError(f"compare_starts(start={start!r}): the number of a step is wanted, 0 for the beginning.")
    return steps or 0, epochs or 0


def plan_starts(
    run: Run, head: Sequence[str], steps: int, epochs: int, start: int, by: str, go_to: Callable[[str], Any]
) -> Callable[[Timeline], StartTrials]:
    """Return the work of comparing starts: see `Run.visit`.

    `head` are patterns of what trains where the head alone does.

    Raises
    ------
    ValueError : what cannot be compared, in a sentence.
    """
    model = run.loop.model
    if start > run.now("steps"):
        raise ValueError(f"Step {start:,} was not taken: this line of the run is at step {run.now('steps'):,}.")
    if not steps and not epochs:
        known = run.loop.steps_to_go(run.loop.epochs + 1) is not None
        steps, epochs = (0, USUAL_EPOCHS) if known else (USUAL_STEPS, 0)
    drawn, kept = find_drawable(model)
    if not drawn:
        raise ValueError(f"Nothing of the {type(model).__name__} can be drawn anew: no layer has reset_parameters().")
    settings = starting_wishes(run, head, drawn)
    trials = [Trial(wishes, steps, name=name, epochs=epochs) for name, wishes in settings.items()]
    trained = [count_trained(model, wishes["trainable"]) for wishes in settings.values()]

    def work(timeline: Timeline) -> StartTrials:
        # What was set before the first step is how the run began.
        changes = sum(entry.step <= start for entry in timeline.line.changes) if start < run.loop.steps else None
        lines = take_trials(run, trials, by, start, evaluated=True, changes=changes, named=True)
        rows = [line.record.evaluations[-1:] for line in lines]
        found = [name for row in rows for name in (row[0] if row else ())]
        names = [name for name in found if name != "step" and not name.startswith("valid_loss")]
        metric = names[0] if names else ""
        tried = [_outcome(name, line, count, metric) for name, line, count in zip(STARTS, lines, trained)]
        return StartTrials(tuple(tried), start, metric, tuple(kept), go_to)

    return work


def estimate_starts(run: Run, epochs: int) -> float | None:
    """Return about how long so many epochs take [s], or None."""
    rate, each = run.now("progress")["rate"], run.loop.accumulation.steps_in_epoch()
    if not rate or each is None:
        return None
    evaluation = run.loop.evaluation_cost if run.data.valid is not None else 0.0
    return len(STARTS) * epochs * (each / rate + evaluation)


def starting_wishes(run: Run, head: Sequence[str], drawn: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the wishes of each start, by its name."""
    read = run.steering.read
    everything = read("trainable", {"*": True})
    # A timetable would have the head no longer be alone; factors are for what was trained before.
    plain: dict[str, Any] = {"unfreeze_at": None}
    return {
        HEAD: {**plain, "trainable": read("trainable", list(head))},
        ALL: {**plain, "trainable": everything},
        SCRATCH: {
            **plain, "trainable": everything, "lr_scale": None, "reinitialise": read("reinitialise", list(drawn)),
        },
    }  # fmt: skip


def count_trained(model: nn.Module, choice: Any) -> int:
    """Count the numbers that train under a choice of `trainable`."""
    parts = FreezableParts(model)
    flags = parts.train_flags(read_trainable(parts, choice))
    return sum(
        numel_of(tensor) for tensor, on in zip(parts.tensors, flags) if (tensor.requires_grad if on is None else on)
    )


def _outcome(name: str, line: Branch, parameters: int, metric: str) -> TriedStart:
    losses, seconds = (line.record.columns[column].values[line.from_step :] for column in ("loss", "seconds"))
    end = losses[-max(1, round(_END * len(losses))) :] if len(losses) else np.full(1, np.nan)
    rows = [row for row in line.record.evaluations if row["step"] == line.steps and len(losses)]
    last = rows[-1] if rows else {}
    return TriedStart(
        name, line.name, parameters, len(losses), float(seconds.sum()), float(end.mean()),
        float(last.get("valid_loss", np.nan)), float(last.get(metric, np.nan)), line.note.split(". ")[0],
    )  # fmt: skip
