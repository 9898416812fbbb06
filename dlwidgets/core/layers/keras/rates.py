"""Keras's learning-rate schedules in torch's terms."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.optim.lr_scheduler import LambdaLR


def translate_schedule(rate: Any) -> tuple[float, Any]:
    """Return the first rate, and a session's schedule, or None.

    Where torch has the same one it is that. Any other is followed step by step: a `LambdaLR` asks Keras's own.
    """
    if not callable(rate):
        return shorten(rate), None
    kind = type(rate).__name__ if type(rate).__module__.startswith("keras.") else ""
    if not hasattr(rate, "get_config"):
        return shorten(rate()), None  # a function without arguments: its rate of now
    given = rate.get_config()
    first, each = given.get("initial_learning_rate"), {"unit": "step"}
    if kind == "ExponentialDecay" and given["staircase"]:
        return float(first), ("StepLR", {"step_size": given["decay_steps"], "gamma": given["decay_rate"], **each})
    if kind == "ExponentialDecay":
        return float(first), ("ExponentialLR", {"gamma": given["decay_rate"] ** (1 / given["decay_steps"]), **each})
    if kind == "PolynomialDecay" and not given["end_learning_rate"] and not given["cycle"]:
        return float(first), ("PolynomialLR", {"total_iters": given["decay_steps"], "power": given["power"], **each})
    followed = FollowedSchedule(rate)
    return followed.base, (followed, each)


class FollowedSchedule:
    """Makes a scheduler that follows a schedule of Keras step by step.

    Attributes
    ----------
    base : the first rate that is not 0, of which each is a multiple.
    """

    def __init__(self, schedule: Any) -> None:
        self.schedule = schedule
        self.__name__ = type(schedule).__name__
        self.base = next((one for one in map(self._rate, (0, 1, 10, 100, 1000)) if one), 1.0)

    def __call__(self, optimizer: Any) -> LambdaLR:
        return LambdaLR(optimizer, lambda step: self._rate(step) / self.base)

    def _rate(self, step: int) -> float:
        return shorten(self.schedule(step))


def shorten(value: Any) -> float:
    """Return a number of float32 with the digits that tell it: 0.001."""
    value = getattr(value, "value", value)
    value = value.detach().cpu() if hasattr(value, "detach") else value
    return float(str(np.float32(value)))
