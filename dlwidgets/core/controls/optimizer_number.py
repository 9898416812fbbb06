"""A number of the optimizer's parameter groups as a control."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..base.ledger import Entry
from ..base.numbers import read_number
from ..base.state import Reference, dereference
from .control import Control, Writer
from .parameter_groups import GroupValue


class MovementWriter(Writer):
    """Writes the optimizer and its numbers, together for all these controls."""

    def change(self, entry: Entry) -> list[str]:
        return self.script.movement.change(entry)


def name_in_wish(wish: Any) -> Any:
    """Return the name in a wish for an optimizer or schedule."""
    if wish is None:
        return None
    return wish[0] if isinstance(wish[0], str) else getattr(wish[0], "__name__", type(wish[0]).__name__)


def read_non_negative(value: Any) -> float | None:
    """Return a finite number, 0 or more; None for anything else."""
    number = read_number(value)
    return number if number is not None and math.isfinite(number) and number >= 0 else None


class OptimizerNumber(Control):
    """A number of the parameter groups; None is the optimizer's own."""

    of_the_step = True
    bounds = "any"
    writer = MovementWriter
    _kept: ClassVar[tuple[str, ...]] = ("_value", "_own")

    def optimizer_changed(self) -> None:
        self._value = GroupValue(self.loop.rate.groups, self.name)
        #: The optimizer's own.
        self._own: Any = self._value.value

    def now(self) -> Any:
        return self._value.value

    def set(self, value: float) -> None:
        """Put a number in force in all groups."""
        self._value.set(value)
        self.loop.rate.groups.spread()

    def check_not_cycled(self) -> None:
        """Refuse to change a number that the schedule cycles."""
        rate = self.loop.rate
        if rate.plan is not None and rate.cycled:
            raise ValueError(
                f"the schedule {rate.plan.name} cycles it: "
                f'its option "cycle_momentum": False leaves {self.name} alone'
            )

    def state(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in self._kept if name != "_value"}
        return {"own": own, "value": Reference(vars(self).get("_value")), "here": Reference(True)}

    def install(self, state: dict[str, Any] | None) -> None:
        if state is None or dereference(state["here"]) is None:
            self.optimizer_changed()  # from disk, where the first versions kept nothing
        elif "_value" in self._kept:
            self._value = dereference(state["value"])
            self._value.optimizer = self.loop.rate.groups
        for name, value in ({} if state is None else state["own"]).items():
            setattr(self, name, value)
