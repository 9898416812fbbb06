"""Evidence made by hand, and what a rule says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlwidgets.core.base.history import GrowingColumn, History
from dlwidgets.core.base.ledger import Entry
from dlwidgets.core.doctor.evidence import Evidence
from dlwidgets.core.doctor.finding import Finding
from dlwidgets.core.doctor.rules import RULES
from dlwidgets.core.layers.probes import LayerStats

BY_NAME = {rule.name: rule for rule in RULES}


def made(losses: Sequence[float], columns: Mapping[str, Any] | None = None, **more: Any) -> Evidence:
    """Evidence of a run with these losses; other columns by name, a number standing for all steps."""
    record, count = History(), len(losses)
    given = {"epoch": 1, "lr": 0.1, "batch_size": 32, "grad_norm": np.nan, "seconds": 0.01, **(columns or {})}
    for name, values in {**given, "loss": losses}.items():
        record.columns[name] = GrowingColumn.from_values(np.broadcast_to(np.asarray(values, float), (count,)))
    record.evaluations = list(more.pop("evaluations", ()))
    return Evidence(step=count, record=record, **more)


def change(name: str, step: int, **more: Any) -> Entry:
    """A change that somebody made after a step."""
    return Entry(step, name, None, None, "code", **more)


def look(
    step: int, *, grads: Any = 0.1, ratios: Any = 1e-3, weights: Any = 5.0, layers: int = 5, **more: Any
) -> LayerStats:  # fmt: skip
    """A look at some layers of 100 weights each."""
    numbers = [np.broadcast_to(np.asarray(one, np.float32), (layers,)) for one in (weights, grads, ratios)]
    known = {"sizes": np.full(layers, 100.0), "dtypes": ("float32",) * layers}
    return LayerStats(step, [f"layer{i}" for i in range(layers)], *numbers, np.ones(layers, bool), **{**known, **more})


def said(name: str, evidence: Evidence) -> list[Finding]:
    """What the rule of this name finds."""
    return list(BY_NAME[name].check(evidence))


def falling(count: int = 200, end: float = 0.3, noise: float = 0.05, seed: int = 0) -> np.ndarray:
    """Losses that fall from 2 as those of a healthy run do, with noise in proportion."""
    random = np.random.default_rng(seed)
    return (end + (2 - end) * np.exp(-np.arange(count) / 40)) * np.exp(noise * random.standard_normal(count))
