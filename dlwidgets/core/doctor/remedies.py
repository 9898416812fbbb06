"""Remedies: changes of a run that may help, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .finding import Finding


@dataclass(frozen=True)
class Remedy:
    """A change that may help.

    Attributes
    ----------
    name : as rules name it.
    label : what stands on its button, as "Rate × 0.1".
    settings : returns the wishes that make it up, from what is in force and the finding; none where it does not
        apply here.
    rewind : whether to go back to the last good snapshot first.
    """

    name: str
    label: str
    settings: Callable[[Mapping[str, Any], Finding], Mapping[str, Any]]
    rewind: bool = False


#: All remedies, by name.
REMEDIES: dict[str, Remedy] = {
    one.name: one
    for one in (
        Remedy("lower_rate", "Rate × 0.1", lambda now, finding: {"lr": now["lr"] * 0.1}, rewind=True),
        Remedy("clip", "Clip at 1.0", lambda now, finding: {"clip": ("norm", 1.0)}, rewind=True),
        Remedy("cosine", "Cosine schedule", lambda now, finding: {"schedule": "cosine"}, rewind=True),
        Remedy("warm_up", "Warm up", lambda now, finding: {"schedule": ("cosine", {"warmup": 0.1})}, rewind=True),
    )
}


def describe_remedies(finding: Finding) -> str:
    """Return the labels of what may help, in one line."""
    return ", ".join(REMEDIES[name].label for name in finding.remedies if name in REMEDIES)
