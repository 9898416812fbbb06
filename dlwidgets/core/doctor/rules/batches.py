"""A rule on batches: too small, so that steps are mostly noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..evidence import Evidence
from ..finding import Finding
from ..loss_curve import ANEW
from ..rule import Rule
from .loss import chart_losses

#: Samples of a batch up to which it is called small; steps needed; the noise of a loss over the first loss.
_FEW, _STEPS, _NOISE = 4, 20, 0.15


def find_noise(evidence: Evidence) -> Iterator[Finding]:
    """Find small batches whose losses differ more than they fall."""
    since = evidence.step - evidence.changed("batch_size", "accumulate", *ANEW)
    sizes, curve = evidence.column("batch_size", max(0, min(since, 100))), evidence.curve
    if curve is None or len(sizes) < _STEPS or (size := float(np.median(sizes))) > _FEW:
        return
    losses = curve.recent[-len(sizes) :]
    # Of two steps in a row, so that what the loss falls by is left out.
    noise = float(np.sqrt(np.mean(np.diff(losses) ** 2) / 2)) / (curve.height(curve.first) or np.inf)
    if noise < _NOISE:
        return
    yield Finding(
        "batch_noise", "low", f"A step looks at {size:.3g} sample{'s' * (size > 1)}: the loss jumps by {noise:.0%}",
        f"That is of what it was at first, from one step to the next, in the last {len(losses)} steps.",
        why="The gradient of so few samples points their way, not that of all data. With n times as many samples the "
        "noise is the root of n times smaller. Where memory is short, gradients of several batches can be accumulated.",
        evidence={"batch_size": size, "noise": noise}, chart=chart_losses(evidence.losses),
        remedies=("double_batch", "lower_rate"),
    )  # fmt: skip


RULES = (
    Rule(
        "batch_noise", "batches too small", find_noise,
        f"up to {_FEW} samples, and a noise of the loss over {_NOISE:.0%} of the first (with 32 samples: 2 to 10 %)",
        confirm=2,
    ),
)  # fmt: skip
