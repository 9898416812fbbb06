"""On how many samples a run is evaluated, as a setting."""

from __future__ import annotations

from typing import Any

from ..base.numbers import read_count, read_optional
from .control import PanelRow, Setting
from .evaluate_every import without_valid


class EvaluateSamples(Setting):
    """How many validation samples are evaluated, always the same ones."""

    name = "evaluate_samples"
    aliases = ("eval_samples", "valid_samples")
    rows = (
        PanelRow(
            "run", "on", unit="samples", empty="all",
            hint="How many validation samples to evaluate, always the same ones; empty: all",
            why_not=without_valid,
        ),
    )  # fmt: skip

    def read(self, value: Any) -> int | None:
        wanted = "a whole number of samples, 1 or more, or None for all, is wanted."
        return read_optional(value, read_count, f"evaluate_samples={value!r}: {wanted}")
