"""A rule on clipping: it changes every step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..evidence import Evidence
from ..finding import Finding
from ..rule import Rule
from .gradients import chart_norms

#: Steps looked at, and needed at least; the share of them that is clipped.
_STEPS, _LEAST, _SHARE = 100, 20, 0.95
#: The norm after clipping over the norm before, under which little, and next to nothing, is left of a step.
_HALF, _LITTLE, _NOTHING = 0.5, 0.1, 0.01


def find_clipping(evidence: Evidence) -> Iterator[Finding]:
    """Find clipping that changes every step, and by how much."""
    clipped, norms = evidence.column("clipped", _STEPS), evidence.column("grad_norm", _STEPS)
    since = max(0, evidence.step - evidence.changed("clip"))
    clipped, norms = clipped[-since:], norms[-since:]
    if since < _LEAST or len(clipped) < _LEAST or not (share := float(np.mean(clipped == 1))) >= _SHARE:
        return
    before, after = float(np.median(norms)), float(np.median(evidence.column("clipped_norm", len(norms))))
    left = after / before if before else 1.0
    if left > _HALF:
        return
    by_sign = _keeps_its_length(evidence)
    severity = "low" if left > _LITTLE or by_sign else "high" if left < _NOTHING else "medium"
    yield Finding(
        "clipping", severity, f"{share:.0%} of the steps are clipped, to {left:.2g} of their gradient",
        f"The norm's median is {before:.3g}, after clipping {after:.3g}, in the last {len(norms)} steps.",
        why="Clipping is there for the few steps that are far too long. Where it shortens all of them it is a lower "
        "rate in disguise" + (", which one that divides by the gradient's size hardly notices." if by_sign else "."),
        evidence={"share": share, "before": before, "after": after}, chart=chart_norms(norms, after),
        remedies=("clip_p90", "raise_clip", "no_clip"),
    )  # fmt: skip


def _keeps_its_length(evidence: Evidence) -> bool:
    """Say whether a step does not depend on the gradient's length."""
    kind = (evidence.settings.get("optimizer") or ("",))[0]
    return any(part in str(kind) for part in ("Adam", "RMSprop", "Adagrad", "Lion", "Rprop"))


RULES = (
    Rule(
        "clipping", "clipping at every step", find_clipping,
        f"{_SHARE:.0%} of {_STEPS} steps clipped, to less than half of the norm",
    ),
)  # fmt: skip
