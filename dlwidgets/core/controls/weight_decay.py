"""The weight decay of the optimizer, as a control."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..base.numbers import read_number
from ..base.state import Reference, dereference
from .control import Control, Panel, PanelRow, Rejected
from .group_value import GroupValue
from .movement import MovementWriter

if TYPE_CHECKING:
    from .steering import Steering


class WeightDecay(Control):
    """The weight decay: plain L2, or decoupled with AdamW.

    Attributes
    ----------
    asked : what a person asked for, which holds for the next optimizer too; None: its own.
    """

    name = "weight_decay"
    aliases = ("wd", "l2")
    of_the_step = True
    bounds = "any"
    writer = MovementWriter
    rows = (PanelRow("optimizer", "Weight decay", hint="Plain L2; of AdamW decoupled from the gradient"),)

    def __init__(self, steering: Steering | None = None) -> None:
        self.asked: float | None = None
        super().__init__(steering)

    def optimizer_changed(self) -> None:
        self._value = GroupValue(self.loop.optimizer, "weight_decay")
        #: The optimizer's own.
        self._own = self._value.value

    def read(self, value: Any) -> float | None:
        """Read a finite number, 0 or more; None is the optimizer's own."""
        if value is None:
            return None
        number = read_number(value)
        if number is None or not math.isfinite(number) or number < 0:
            raise ValueError(
                f"weight_decay={value!r}: a number, 0 or more, is wanted, or None for the optimizer's own."
            )
        return number

    def now(self) -> float | None:
        return self._value.value

    def put(self, value: float | None) -> None:
        if self._own is None:
            if value is None:
                return
            raise Rejected(f"{type(self.loop.optimizer).__name__} has no weight decay")
        wanted = self._own if value is None else value
        if wanted == self._value.value:
            return  # the ledger says nothing of it: the next optimizer must not know of it either
        self.asked = value
        self._value.set(wanted)

    def state(self) -> Any:
        return Reference((self._value, self._own, self.asked))

    def install(self, state: Any) -> None:
        if (kept := dereference(state)) is None:
            self.optimizer_changed()
        else:
            self._value, self._own, self.asked = kept

    @classmethod
    def headline(cls, panel: Panel) -> str:
        decay = panel.applied.get("weight_decay")
        return f"decay {decay:.3g}" if decay else ""
