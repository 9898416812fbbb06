"""The weight decay as a control."""

from __future__ import annotations

from typing import Any

from ..base.numbers import read_optional
from .control import Panel, PanelRow
from .optimizer_number import OptimizerNumber, read_non_negative


class WeightDecay(OptimizerNumber):
    """The weight decay: plain L2, or decoupled with AdamW.

    Attributes
    ----------
    asked : what a person asked for, which holds for the next optimizer too; None: its own.
    """

    name = "weight_decay"
    aliases = ("wd", "l2")
    rows = (PanelRow("optimizer", "Weight decay", hint="Plain L2; of AdamW decoupled from the gradient"),)
    asked: float | None = None
    _kept = ("_value", "_own", "asked")

    def read(self, value: Any) -> float | None:
        wanted = "a number, 0 or more, is wanted, or None for the optimizer's own."
        return read_optional(value, read_non_negative, f"weight_decay={value!r}: {wanted}")

    def put(self, value: float | None) -> None:
        if self._own is None:
            if value is None:
                return
            raise ValueError(f"{type(self.loop.optimizer).__name__} has no weight decay")
        wanted = self._own if value is None else value
        if wanted == self._value.value:
            return  # the ledger says nothing of it: the next optimizer must not know of it either
        self.asked = value
        self.set(wanted)

    @classmethod
    def headline(cls, panel: Panel) -> str:
        decay = panel.applied.get("weight_decay")
        return f"decay {decay:.3g}" if decay else ""
