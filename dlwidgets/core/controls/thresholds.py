"""The thresholds of a classification as a setting."""

from __future__ import annotations

import math
from typing import Any

from ..base.numbers import read_number
from ..scoring.detections import judged_names
from ..scoring.inputs import match_thresholds
from .control import Setting


class Thresholds(Setting):
    """One threshold, or one for each class; None: the task's rule."""

    name = "thresholds"
    default = 0.5
    aliases = ("threshold",)

    def read(self, value: Any) -> float | list[float] | None:
        task = None if self.steering is None else self.loop.objective.task
        if value is None:
            return None if task is not None and task.name == "multiclass" else self.default
        if task is not None:
            numbered = tuple(f"class {number}" for number in range(task.outputs or 0))
            names = judged_names(task.classes, task.name) if task.classes else numbered
            value = match_thresholds(value, names)
        number = read_number(value)
        if number is not None and not math.isnan(number):
            return number
        try:
            numbers = [read_number(one) for one in value]
        except TypeError:
            numbers = [None]
        if not numbers or any(one is None or math.isnan(one) for one in numbers):
            raise ValueError(f"thresholds={value!r}: one number, or one for each class, is wanted.")
        count = None if task is None else task.outputs
        if count is not None and len(numbers) != count:
            raise ValueError(
                f"thresholds has {len(numbers)} numbers for {count} classes: one for each is wanted."
            )
        return numbers  # type: ignore[return-value]
