"""A timetable on which frozen parts of a model begin to train."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ..base.ledger import Entry
from ..base.numbers import read_integer
from ..base.words import did_you_mean, pluralize
from ..layers.depth import order_blocks
from ..layers.split import propose_split
from .control import Control, Panel, PanelRow, Writer
from .patterns import ByPattern, FreezableParts, TrainablePatterns, list_few

#: Who asks for what a timetable brings, in the ledger.
TIMETABLE = "timetable"
#: The word for one block after the other, from the head to the input.
GRADUAL = "gradual"
_WHEN = re.compile(r"\s*(?:at |after )?\s*(?:(steps?|epochs?)\s*)?([\d,]+)\s*(steps?|epochs?)?\s*", re.IGNORECASE)
#: A time: steps that were taken, or epochs that were completed.
_Time = tuple[str, int]


def read_when(value: Any) -> int | str:
    """Return a time as a number of steps, or as "3 epochs".

    "epoch 3" is the beginning of the third: two are completed then.

    Raises
    ------
    ValueError : it is none, in a sentence.
    """
    number = read_integer(value)
    found = _WHEN.fullmatch(value) if isinstance(value, str) else None
    word = None
    if found is not None and not (found[1] and found[3]):
        number = int(found[2].replace(",", ""))
        word = found[1] or found[3]
        if found[1] and word.lower().startswith("epoch"):
            number -= 1
    if number is None or number < 0:
        raise ValueError(
            f"unfreeze_at has the time {value!r}: a number of steps, as 200, or of epochs, as '3 epochs', is wanted."
        )
    return pluralize(number, "epoch") if word and word.lower().startswith("epoch") else number


def _time_of(when: int | str) -> _Time:
    return ("step", when) if isinstance(when, int) else ("epoch", int(when.split()[0].replace(",", "")))


def describe_when(when: int | str) -> str:
    """Return a time in words: "at step 200", "after 3 epochs"."""
    return f"at step {when:,}" if isinstance(when, int) else f"after {when}"


def gradually(model: nn.Module, each: int | str, now: _Time = ("step", 0)) -> dict[str, int | str]:
    """Return pattern -> time for unfreezing block by block.

    The head trains from the start, and every `each` the next block before it begins to: gradual unfreezing,
    as in ULMFiT (Howard and Ruder, 2018), which takes an epoch for each. The head is that of `layers.split`, or
    else the last block of `layers.depth`.

    Parameters
    ----------
    now : from which the times count.
    """
    blocks = order_blocks(model)
    head = set(propose_split(model).head)
    behind = [block for block in blocks if all(any(f"{path}.".startswith(f"{h}.") for h in head) for path in block)]
    before = [block for block in blocks[: len(blocks) if behind else -1] if block not in behind]
    unit, step = _time_of(each)
    times = [now[1] + step * number for number in range(1, len(before) + 1)]
    return {
        path: time if unit == "step" else pluralize(time, "epoch")
        for time, block in zip(times, reversed(before)) for path in block
    }  # fmt: skip


def describe_timetable(choice: Mapping[str, int | str] | None) -> str:
    """Return a timetable in words: "layer4 at step 200"."""
    named = (("all" if name == "*" else name, when) for name, when in (choice or {}).items())
    return list_few([f"{name} {describe_when(when)}" for name, when in named], 3)


def _typed(panel: Panel, text: Any) -> Any:
    """Read what was typed: "layer4: 200, layer3: 3 epochs", "gradual 1 epoch"."""
    text = str(text).strip()
    if _WHEN.fullmatch(text):
        return text
    if text.lower().startswith(GRADUAL):
        return GRADUAL, text[len(GRADUAL):].strip(" :") or "1 epoch"
    found = {}
    for one in filter(str.strip, text.split(",")):
        name, _, when = one.rpartition(":" if ":" in one else " ")
        found[name.strip()] = when.strip()
    return found or None


class _NoWriter(Writer):
    """Writes nothing: what the timetable changed is in `trainable`."""

    def change(self, entry: Entry) -> list[str]:
        return []


class UnfreezeAt(Control):
    """A timetable: pattern -> when its parameters begin to train, or None.

    What it names is frozen until then, from when it is asked for. When a time has come, between two steps, the
    run itself puts another `trainable` in force, by "timetable" in the ledger. Times count from the beginning of
    the session, whatever runs it has. Each comes once: what a person freezes afterwards stays so until the
    next time that means it.

    Attributes
    ----------
    choice : pattern -> steps that were taken, or epochs that were completed, as 200 or "3 epochs".
    """

    name = "unfreeze_at"
    aliases = (
        "unfreeze_schedule", "unfreezing", "gradual_unfreezing", "gradual_unfreeze", "unfreeze_epoch", "unfreeze_after",
        "unfreeze_steps", "thaw", "thaw_at", "freeze_until", "freeze_epochs",
    )  # fmt: skip
    acts_as = TIMETABLE
    at_rest = True
    touches = ("trainable",)
    writer = _NoWriter
    rows = (
        PanelRow(
            "schedule", "Unfreeze", show=describe_timetable, wish=_typed, empty="nothing by itself",
            hint="layer4: 200, layer3: 3 epochs; or gradual 1 epoch: a block after the other, from the head",
        ),
    )  # fmt: skip
    choice: ByPattern | None = None
    _times: Sequence[tuple[str, _Time]] = ()
    #: Steps and epochs where it was last seen to.
    _seen: tuple[int, int] = (-1, -1)

    def read(self, value: Any) -> ByPattern | None:
        if value is None or (isinstance(value, Mapping) and not value):
            return None
        model = self.loop.model
        if isinstance(value, str) and value.lower() == GRADUAL:
            value = GRADUAL, "1 epoch"
        if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[0], str):
            if value[0].lower() != GRADUAL:
                raise ValueError(
                    f"unfreeze_at has {value[0]!r}: ({GRADUAL!r}, '1 epoch') is wanted."
                    f"{did_you_mean(value[0], [GRADUAL])}"
                )
            each = read_when(value[1])
            if not _time_of(each)[1]:
                raise ValueError(f"unfreeze_at={value!r}: a time of 1 step or 1 epoch or more between two is wanted.")
            unit = _time_of(each)[0]
            value = gradually(model, each, (unit, self.loop.steps if unit == "step" else self.loop.epochs))
            if not value:
                raise ValueError(f"The {type(model).__name__} has one block alone: there is nothing to unfreeze later.")
        if not isinstance(value, Mapping):
            try:
                value = {"backbone": read_when(value)}
            except ValueError:
                raise ValueError(
                    f"unfreeze_at={value!r}: a timetable is wanted, as {{'features': 200}} or "
                    f"{{'features': '3 epochs'}}, a time for the backbone, ({GRADUAL!r}, '1 epoch'), or None."
                ) from None
        parts, found = FreezableParts(model), dict[str, int | str]()
        for key, when in value.items():
            try:
                patterns = parts.patterns_for(key)
            except (TypeError, ValueError) as why:
                raise type(why)(f"unfreeze_at: {why}") from None
            found |= dict.fromkeys(patterns, read_when(when))
        return ByPattern(found)

    def now(self) -> ByPattern | None:
        return self.choice

    def put(self, value: ByPattern | None) -> str | None:
        before = self.choice, self._times, self._seen
        self._take(value)
        if value is None:
            return None
        try:
            self.loop.freezing.check(self._in_the_beginning(), self.loop.optimizer)
        except ValueError as why:
            self.choice, self._times, self._seen = before
            raise ValueError(f"{why} until then: leave out what is to train before, as the head") from None
        late = [name for name, time in self._times if self._is_late(time)]
        return f"{list_few(late)} would begin to train after the end of the run" if late else None

    def redo(self, entry: Entry) -> None:
        self._take(entry.asked)

    def _take(self, value: ByPattern | None) -> None:
        self.choice = value
        self._times = [(name, _time_of(when)) for name, when in (value or {}).items()]
        # What is due by now comes with it.
        self._seen = self.loop.steps, self.loop.epochs

    def follow_up(self) -> dict[str, Any]:
        return {} if self.choice is None else {"trainable": self._in_the_beginning()}

    def _in_the_beginning(self) -> TrainablePatterns | None:
        """Return what is to train once the timetable is asked for."""
        freezing, optimizer = self.loop.freezing, self.loop.optimizer
        over = [name for name, time in self._times if self._is_over(time)]
        later = [name for name, time in self._times if not self._is_over(time)]
        choice = freezing.extend(freezing.choice, over, True, optimizer) if over else freezing.choice
        return freezing.extend(choice, later, False, optimizer) if later else choice

    def due(self) -> dict[str, Any]:
        """Return the wishes whose time is now, once a place."""
        here = self.loop.steps, self.loop.epochs
        if self.choice is None or here == self._seen:
            return {}
        self._seen = here
        due = [name for name, time in self._times if self._is_now(time)]
        if not due:
            return {}
        freezing, optimizer = self.loop.freezing, self.loop.optimizer
        parts = FreezableParts(self.loop.model)
        meant = {number for name in due for number in parts.match(name)}
        # A part of it that is to wait for longer does, if it is frozen.
        longer = []
        for name, time in self._times:
            inside = parts.match(name) & meant
            tensors = [parts.tensors[number] for number in inside if number < len(parts.tensors)]
            if inside and not self._is_over(time) and not any(one.requires_grad for one in tensors):
                longer.append(name)
        choice = freezing.extend(freezing.choice, due, True, optimizer)
        return {"trainable": freezing.extend(choice, longer, False, optimizer) if longer else choice}

    def pass_over(self) -> None:
        """Leave out what is due right now: it was dealt with already."""
        self._seen = self.loop.steps, self.loop.epochs

    def _is_over(self, time: _Time) -> bool:
        """Say whether a time has come, now or before."""
        unit, number = time
        return (self.loop.steps if unit == "step" else self.loop.epochs) >= number

    def _is_now(self, time: _Time) -> bool:
        # Steps that are taken once more, on the way back to a place, do so with the changes of then.
        unit, number = time
        if unit == "step":
            return self.loop.steps == number
        return self.loop.epoch_ended and self.loop.epochs == number

    def _step_of(self, time: _Time) -> int | None:
        """Return after how many steps a coming time comes, if known."""
        unit, number = time
        if unit == "step":
            return number
        to_go = self.loop.steps_to_go(number)
        return None if to_go is None else self.loop.steps + to_go

    def _is_late(self, time: _Time) -> bool:
        end = self.loop.goal()
        if time[0] == "epoch":
            return time[1] >= end
        to_go = self.loop.steps_to_go(end)
        return to_go is not None and time[1] >= self.loop.steps + to_go

    def follows(self) -> dict[str, Any]:
        """Return "timetable": pattern, when in words, step (None: not known), over."""
        rows = [(name, time, self._is_over(time)) for name, time in self._times]
        return {"timetable": [
            {
                "pattern": name, "when": describe_when((self.choice or {})[name]), "over": over,
                "step": None if over and time[0] == "epoch" else self._step_of(time),
            }
            for name, time, over in rows
        ]}  # fmt: skip

    def state(self) -> dict[str, Any]:
        return {"choice": None if self.choice is None else dict(self.choice), "seen": self._seen}

    def install(self, state: dict[str, Any]) -> None:
        self._take(None if state["choice"] is None else ByPattern(state["choice"]))
        self._seen = tuple(state["seen"])

    @classmethod
    def headline(cls, panel: Panel) -> str:
        left = sum(not one["over"] for one in panel.applied.get("timetable", ()))
        return f"{left} to unfreeze" if left else ""
