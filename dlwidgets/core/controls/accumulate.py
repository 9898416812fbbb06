"""Gradient accumulation: the micro-batches of a step and their weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..base.ledger import Entry
from ..base.numbers import read_count
from ..base.trees import slice_rows
from ..base.words import pluralize
from ..data.batches import Batches, batch_length
from .control import Control, Panel, PanelRow, Writer


class Accumulation:
    """Draws the batches of a step: one, or `count` to accumulate.

    A group ends with its epoch, full or not. One that failed is put back as a whole and comes next; of
    batches that were drawn for it none is drawn again, and where the batch size was lowered meanwhile they
    come in pieces of that size.

    Attributes
    ----------
    count : batches a step; may be set at any time and holds from the next step on.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches, self.count = batches, 1
        self._held: list[Any] = []
        self._group: list[Any] = []
        #: Whether the source has said that the epoch is over, while a group was open.
        self._ended = False
        self._drawn_alone, self._size = False, 0
        #: Whether batches of a step ever counted by what their loss divides by, not by their samples.
        self.uneven = False
        #: How batches were cut when a step failed, and whether they were cut otherwise when it was retaken.
        self._cut, self.recut = (1, 0), False

    def take(self) -> list[Any]:
        """Return the next batches, none at an epoch's end."""
        self._drawn_alone = self.count == 1 and not self._held
        if self._drawn_alone:
            batch = self.batches.take()
            self._group = [] if batch is None else [batch]
            return self._group
        self.recut = self.recut or bool(self._held) and self._cut != (self.count, self.batches.batch_size)
        group: list[Any] = []
        try:
            while len(group) < self.count:
                if self._held:
                    batch, size = self._held.pop(0), self.batches.batch_size
                    first, rows = slice_rows(batch, 0, size), batch_length(batch)
                    # What has no rows to slice stays whole.
                    if size < self._size and batch_length(first) < rows:
                        self._held.insert(0, slice_rows(batch, size, rows))
                        batch = first
                    group.append(batch)
                elif group and (self._ended or self.batches.over):
                    break
                elif (batch := self.batches.take()) is not None:
                    group.append(batch)
                else:
                    self._ended = bool(group)
                    break
        except BaseException:
            self._hold(group)
            raise
        self._group = group
        return group

    def put_back(self) -> None:
        if self._drawn_alone:
            self.batches.put_back()
        else:
            self._hold(self._group)

    def after_epoch(self) -> None:
        self._ended = False

    @property
    def over(self) -> bool:
        """Whether the epoch is known to have no batch left."""
        return not self._held and (self._ended or self.batches.over)

    @property
    def midway(self) -> bool:
        """Whether an epoch is under way."""
        return bool(self._held) or (self.batches.midway and not self._ended)

    @property
    def used_up(self) -> bool:
        """Whether the source could be read once only, and has been."""
        return self.batches.used_up and not self._held

    def steps_left(self) -> int | None:
        """Return the steps left of this epoch; None where it is unknown."""
        left = self.batches.steps_left()
        return None if left is None else -(-(left + len(self._held)) // self.count)

    def steps_in_epoch(self) -> int | None:
        """Return the steps of an epoch; None where it is unknown."""
        each = self.batches.steps_in_epoch()
        return None if each is None else -(-each // self.count)

    def state(self) -> dict[str, Any]:
        """Return the count, and the batches of a failed step."""
        return {
            "count": self.count, "held": list(self._held), "ended": self._ended, "size": self._size,
            "uneven": self.uneven, "cut": self._cut, "recut": self.recut,
        }  # fmt: skip

    def install(self, state: dict[str, Any]) -> None:
        self.count, self._ended, self._size = state["count"], state["ended"], state["size"]
        self._held, self._group, self.uneven = list(state["held"]), [], state.get("uneven", False)
        self._cut, self.recut = tuple(state.get("cut", (1, 0))), state.get("recut", False)

    def _hold(self, group: Sequence[Any]) -> None:
        self._held, self._size = [*group, *self._held], self.batches.batch_size
        self._cut = self.count, self._size


def divisors(
    group: Sequence[Any], summed: bool = False, weights: Sequence[float | None] = ()
) -> tuple[list[float], bool]:
    """Return the divisor of each micro-batch's loss; whether by weight.

    A loss that is a mean becomes the mean over all that is in the step: each sample counts the same, also
    where the last micro-batch is smaller; where the means divide by `weights` that are not in proportion to
    the samples (weights of classes, positions that are not ignored), these count. Where all are of one size
    the divisor is their number, as in the plain recipe `(loss / k).backward()`, bit for bit; that of a
    micro-batch that holds nothing is infinite. A sum is divided by nothing.
    """
    if summed or len(group) == 1:
        return [1.0] * len(group), False
    counts: list[float] = [batch_length(batch) for batch in group]
    known = [weight for weight in weights if weight is not None]
    # Whole numbers in proportion give the same quotients, bit for bit.
    uneven = len(known) == len(group) and any(
        weight * counts[0] != known[0] * count or weight % 1 or not weight
        for weight, count in zip(known, counts)
    )
    if uneven:
        counts = known if any(known) else [1.0] * len(group)  # none holds anything: the gradients are 0
    elif not all(counts):
        return [float(len(group))] * len(group), False
    return [sum(counts) / count if count else math.inf for count in counts], uneven


def add_parts(parts: dict[str, float], more: dict[str, float], divisor: float) -> dict[str, float]:
    """Add a micro-batch's parts of the loss, weighted as the loss is."""
    if not parts and divisor == 1:
        return more
    return {name: parts.get(name, 0.0) + value / divisor for name, value in more.items()}


class AccumulateWriter(Writer):
    """A variable at the head, where batches were accumulated."""

    at_head = True

    def begin(self) -> None:
        if any(count != 1 for count in self.ever):
            self.script.accumulates = True
            self.script.settings.append(f"accumulate = {self.first}  # batches a step")

    def change(self, entry: Entry) -> list[str]:
        return [f"accumulate = {entry.applied}"]


def _in_force(panel: Panel, value: Any) -> str | None:
    each = f" = {panel.applied['effective_batch']:,} a step" if (value or 0) > 1 else ""
    return f"{value:,}{each}" if value else None


class Accumulate(Control):
    """How many batches a step has; their gradients are averaged by sample."""

    name = "accumulate"
    default = 1
    aliases = (
        "accumulation", "grad_accum", "accumulation_steps", "gradient_accumulation",
        "gradient_accumulation_steps", "accumulate_grad_batches",
    )  # fmt: skip
    of_the_step = changes_length = True
    bounds = "positive"
    touches = ("lr", "schedule")
    loop_part = "accumulation"
    writer = AccumulateWriter
    rows = (
        PanelRow(
            "run", "Accumulate", unit="batches", hint="Batches whose gradients a step adds up", fact=_in_force
        ),
    )  # fmt: skip

    def read(self, value: Any) -> int:
        number = 1 if value is None else read_count(value)
        if number is None:
            wanted = "a whole number of batches, 1 or more, is wanted; 1 accumulates nothing."
            raise ValueError(f"accumulate={value!r}: {wanted}")
        return number

    def now(self) -> int:
        return self.loop.accumulation.count

    def follows(self) -> dict[str, Any]:
        """Return "effective_batch": how many samples a step has."""
        return {"effective_batch": self.loop.batches.batch_size * self.now()}

    def put(self, value: int) -> str | None:
        if value == self.now():
            return None
        self.loop.accumulation.count = value
        said = f"{pluralize(self.follows()['effective_batch'], 'sample')} a step"
        # What a loss of a person's own divides by is not known before it is computed.
        unknown = value > 1 and self.loop.objective.task.reduction is None
        return f"{said}, in which batches count by their samples" if unknown else said

    @classmethod
    def headline(cls, panel: Panel) -> str:
        several = (panel.applied.get("accumulate") or 1) > 1
        return f"{panel.applied.get('effective_batch')} samples a step" if several else ""
