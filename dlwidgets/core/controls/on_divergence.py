"""What a run does when its loss explodes, as a setting."""

from __future__ import annotations

from typing import Any

from ..base.words import did_you_mean, quote_names
from .control import PanelRow, Setting

#: What may be done when a loss explodes or a number is no longer finite: see `core.doctor.divergence`.
ANSWERS = ("pause", "rewind", "go on")


class OnDivergence(Setting):
    """What is done when the loss explodes or is not finite."""

    name = "on_divergence"
    default = "pause"
    rows = (PanelRow("run", "If it diverges", "choice", wish=lambda _, word: word, choices=lambda _: ANSWERS),)

    def read(self, value: Any) -> str:
        if value not in ANSWERS:
            hint = did_you_mean(str(value), ANSWERS)
            raise ValueError(f"on_divergence={value!r}: there are {quote_names(ANSWERS)}.{hint}")
        return value
