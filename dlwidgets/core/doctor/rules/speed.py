"""A rule on speed: steps that wait for their data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..evidence import Evidence
from ..finding import Finding
from ..rule import Rule

#: The share of the time that is waited for data (trainproof: half); steps in which workers start; the shortest step
#: that is worth a word [s].
_WAITED, _START, _SHORT = 0.5, 20, 0.004


def find_waiting(evidence: Evidence) -> Iterator[Finding]:
    """Find steps that wait for the loader half of their time."""
    seconds = evidence.column("seconds", 50)
    if evidence.step <= _START or evidence.waited is None or evidence.waited < _WAITED:
        return
    each = float(np.median(seconds))
    if each < _SHORT:
        return
    share = evidence.waited
    yield Finding(
        "loader_bound", "low", f"{share:.0%} of the time is waiting for data",
        f"Of {1e3 * each:.3g} ms a step takes, {1e3 * each * share:.3g} ms go by until its batch is there.",
        why="The loader reads and prepares samples slower than the network learns from them. Keep the data in memory, "
        "prepare it once beforehand, or give the DataLoader workers (num_workers=2).",
        evidence={"share": share, "seconds": each},
    )  # fmt: skip


RULES = (
    Rule(
        "loader_bound", "waiting for the loader", find_waiting,
        f"{_WAITED:.0%} of the time of steps of {1e3 * _SHORT:g} ms or more (trainproof: half)", confirm=3,
        missing=lambda evidence: "" if evidence.waited is not None or not evidence.step else "no time was measured",
    ),
)  # fmt: skip
