"""The learning rate, as a control."""

from __future__ import annotations

import math
from typing import Any

from ..base.numbers import read_number
from .control import Control, Rejected
from .movement import MovementWriter


class LearningRate(Control):
    """The rate of the next step, or the one a schedule scales."""

    name = "lr"
    default = 1e-3
    aliases = ("learning_rate", "rate")
    of_the_step = True
    bounds = "positive"
    writer = MovementWriter

    def read(self, value: Any) -> float:
        """Return a learning rate: a finite number, 0 or more."""
        number = read_number(value)
        if number is None or not math.isfinite(number) or number < 0:
            raise ValueError(f"lr={value!r}: a learning rate is a number, 0 or more, such as 1e-3.")
        return number

    def now(self) -> float | None:
        return self.loop.rate.value

    def wish(self) -> float | None:
        return self.loop.rate.base

    def follows(self) -> dict[str, Any]:
        """Return the schedule in words, its rate, and the multiplier on it."""
        rate = self.loop.rate
        return {
            "schedule_in_words": rate.words, "scheduled_lr": rate.scheduled, "lr_multiplier": rate.multiplier,
        }  # fmt: skip

    def put(self, value: float) -> str | None:
        try:
            return self.loop.rate.set(value)
        except ValueError as why:
            raise Rejected(str(why)) from None
