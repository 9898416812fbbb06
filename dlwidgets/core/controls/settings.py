"""The settings of a run: length, evaluations, thresholds."""

from __future__ import annotations

import math
from typing import Any

from ..base.numbers import read_count, read_duration, read_number, read_optional
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


_EVERY = {
    "each epoch": "epoch", "10 steps": 10, "50 steps": 50, "100 steps": 100, "500 steps": 500, "10 s": "10 s",
    "1 min": "60 s", "never": None,
}  # fmt: skip


def _word_of(value: Any) -> str:
    other = value if isinstance(value, str) else f"{value} steps"
    return next((word for word, one in _EVERY.items() if one == value), other)


def _without_valid(panel: Panel) -> str:
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
            why_not=_without_valid,
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


class EvaluateSamples(Setting):
    """How many validation samples are evaluated, always the same ones."""

    name = "evaluate_samples"
    aliases = ("eval_samples", "valid_samples")
    rows = (
        PanelRow(
            "run", "on", unit="samples", empty="all",
            hint="How many validation samples to evaluate, always the same ones; empty: all",
            why_not=_without_valid,
        ),
    )  # fmt: skip

    def read(self, value: Any) -> int | None:
        wanted = "a whole number of samples, 1 or more, or None for all, is wanted."
        return read_optional(value, read_count, f"evaluate_samples={value!r}: {wanted}")


class Thresholds(Setting):
    """One threshold for all classes, or one for each."""

    name = "thresholds"
    default = 0.5
    aliases = ("threshold",)

    def read(self, value: Any) -> float | list[float]:
        number = read_number(value)
        if number is not None and not math.isnan(number):
            return number
        try:
            numbers = [read_number(one) for one in value]
        except TypeError:
            numbers = [None]
        if not numbers or any(one is None or math.isnan(one) for one in numbers):
            raise ValueError(f"thresholds={value!r}: one number, or one for each class, is wanted.")
        count = None if self.steering is None else self.loop.objective.task.outputs
        if count is not None and len(numbers) != count:
            raise ValueError(
                f"thresholds has {len(numbers)} numbers for {count} classes: one for each is wanted."
            )
        return numbers  # type: ignore[return-value]
