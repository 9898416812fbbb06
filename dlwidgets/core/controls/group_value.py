"""Numbers of all parameter groups of an optimizer, as its rate."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import Optimizer


class GroupValue:
    """A setting of all parameter groups, in proportion to a leading one.

    An optimizer made by a person may give its groups different rates, or no decay to some. Their ratios to
    the leading group, the first whose number is not 0, stay what they were.
    """

    def __init__(self, optimizer: Optimizer, key: str) -> None:
        self.optimizer, self._key = optimizer, key
        numbers = [float(group[key]) for group in optimizer.param_groups if key in group]
        self._there = len(numbers) == len(optimizer.param_groups)
        self._leader = next((i for i, number in enumerate(numbers) if number), 0)
        first = numbers[self._leader] if numbers else 0.0
        self._multipliers = [number / first if first else 1.0 for number in numbers]

    @property
    def leader(self) -> int:
        """The number of the leading group."""
        return self._leader

    def state(self) -> dict[str, Any]:
        """Return which group leads, and the ratios of the others."""
        return {"leader": self._leader, "multipliers": list(self._multipliers)}

    def install(self, state: dict[str, Any]) -> None:
        """Take over what `state()` returned."""
        self._leader, self._multipliers = state["leader"], list(state["multipliers"])

    @property
    def value(self) -> float | None:
        """The leading group's number; None where the optimizer has none."""
        return float(self.optimizer.param_groups[self._leader][self._key]) if self._there else None

    def set(self, value: float) -> None:
        """Put `value` in force, from the next step on."""
        for group, multiplier in zip(self.optimizer.param_groups, self._multipliers):
            set_group(group, self._key, value * multiplier)


def set_group(group: dict[str, Any], key: str, number: float) -> None:
    """Set a number of a parameter group."""
    if isinstance(group[key], torch.Tensor):
        # A capturable optimizer keeps its rate in a tensor that must stay the same object.
        group[key].fill_(number)
    else:
        group[key] = number
