"""When a run is evaluated, as a setting."""

from __future__ import annotations

from typing import Any

from ..base.numbers import read_count, read_duration
from .control import Panel, PanelRow, Setting

_EVERY = {
    "each epoch": "epoch", "10 steps": 10, "50 steps": 50, "100 steps": 100, "500 steps": 500, "10 s": "10 s",
    "1 min": "60 s", "never": None,
}  # fmt: skip


def _word_of(value: Any) -> str:
    other = value if isinstance(value, str) else f"{value} steps"
    return next((word for word, one in _EVERY.items() if one == value), other)


def without_valid(panel: Panel) -> str:
    """Say why nothing can be evaluated; "" where it can."""
    return "" if panel.session.has_valid else "no validation data"


class EvaluateEvery(Setting):
    """How often the validation data is evaluated."""

    name = "evaluate_every"
    default = "epoch"
    aliases = ("eval_every", "log_every")
    rows = (
        PanelRow(
            "run", "Evaluate", "choice", _word_of,
            lambda panel, word: _EVERY.get(word, panel.asked.get("evaluate_every")),
            choices=lambda panel: [*dict.fromkeys((*_EVERY, _word_of(panel.asked.get("evaluate_every"))))],
            why_not=without_valid,
        ),
    )  # fmt: skip

    def read(self, value: Any) -> str | int | None:
        """Read "epoch", a number of steps, a time, or None (never).

        Times come in seconds: "120 s" for "2 min".
        """
        if value is None or (isinstance(value, str) and value == "epoch"):
            return value
        found = read_duration(value) if isinstance(value, str) else read_count(value)
        if found is None:
            raise ValueError(
                f'evaluate_every={value!r}: "epoch", a number of steps, or None for never, is wanted; '
                'or a time with its unit, as "30 s" or "2 min".'
            )
        return found
