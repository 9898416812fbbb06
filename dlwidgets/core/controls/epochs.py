"""The length of a run as a setting."""

from __future__ import annotations

from typing import Any

from ..base.numbers import read_count
from .control import Panel, PanelRow, Setting


class Epochs(Setting):
    """How many epochs a run trains."""

    name = "epochs"
    default = 10
    aliases = ("num_epochs", "n_epochs", "max_epochs")
    bounds = "positive"
    rows = (PanelRow("run", "Epochs"),)

    def read(self, value: Any) -> int:
        if (number := read_count(value)) is None:
            raise ValueError(f"epochs={value!r}: a whole number, 1 or more, is wanted.")
        return number

    @classmethod
    def headline(cls, panel: Panel) -> str:
        return f"{panel.asked.get('epochs')} epochs"
