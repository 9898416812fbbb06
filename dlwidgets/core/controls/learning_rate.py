"""The learning rate as a control."""

from __future__ import annotations

from typing import Any

from .control import Control
from .optimizer_number import MovementWriter, read_non_negative


class LearningRate(Control):
    """The rate of the next step, or the one a schedule scales."""

    name = "lr"
    default = 1e-3
    aliases = ("learning_rate", "rate")
    of_the_step = True
    bounds = "positive"
    writer = MovementWriter

    def read(self, value: Any) -> float:
        if (number := read_non_negative(value)) is None:
            raise ValueError(f"lr={value!r}: a learning rate is a number, 0 or more, such as 1e-3.")
        return number

    def now(self) -> float | None:
        return self.loop.rate.value

    def wish(self) -> float | None:
        return self.loop.rate.base

    def follows(self) -> dict[str, Any]:
        """Return the schedule in words, its rate, the multiplier, the groups."""
        rate = self.loop.rate
        return {
            "schedule_in_words": rate.words, "scheduled_lr": rate.scheduled, "lr_multiplier": rate.multiplier,
            "lr_groups": self.loop.rate_factors.in_force(rate.groups),
        }  # fmt: skip

    def put(self, value: float) -> str | None:
        return self.loop.rate.set(value)
