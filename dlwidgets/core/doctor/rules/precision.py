"""Rules on small numbers: Adam's epsilon, half precision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..evidence import Evidence
from ..finding import Finding
from ..rule import Rule
from .gradients import per_weight

#: The smallest number above 0 of float16; how far apart numbers are, beside their size: half of that is lost.
_LEAST, _RESOLUTION = 6e-8, {"bfloat16": 2.0**-8, "float16": 2.0**-11}
#: What the optimizers divide by, beside the root of the mean squared gradient, where nothing is said.
_EPS = {"Adam": 1e-8, "AdamW": 1e-8, "NAdam": 1e-8, "RAdam": 1e-8, "Adamax": 1e-8, "RMSprop": 1e-8}


def _epsilon(evidence: Evidence) -> float | None:
    """Return the optimizer's epsilon; None where it has none."""
    kind, options = evidence.settings.get("optimizer") or ("", {})
    return float(options.get("eps", _EPS[kind])) if kind in _EPS else None


def find_epsilon(evidence: Evidence) -> Iterator[Finding]:
    """Find an epsilon that is larger than the gradients."""
    eps = _epsilon(evidence)
    if eps is None or not evidence.looks:
        return
    each = per_weight(evidence.looks[-1])
    each = each[np.isfinite(each) & (each > 0)]
    usual = float(np.median(each)) if len(each) else 0.0
    if not 0 < usual < eps:
        return
    yield Finding(
        "adam_epsilon", "medium", f"Epsilon is {eps:g}, {eps / usual:,.2g} times a weight's gradient",
        f"In step {evidence.looks[-1].step:,} the gradient of a weight was {usual:.2g} in the layer in the middle.",
        why="Adam divides by the gradients' size plus epsilon, which is there only to avoid a division by 0. Where it "
        f"is the larger part, steps are {1 + eps / usual:,.2g} times shorter than the rate says.",
        evidence={"epsilon": eps, "gradient": usual}, remedies=("adam_eps", "raise_rate"),
    )  # fmt: skip


def find_half(evidence: Evidence) -> Iterator[Finding]:
    """Find half precision that cannot hold epsilon or the steps."""
    if not evidence.step or not evidence.looks or not (look := evidence.looks[-1]).dtypes:
        return
    eps, rate = _epsilon(evidence), float(evidence.column("lr", 1)[-1])
    if eps is not None and eps < _LEAST and "float16" in look.dtypes:
        yield Finding(
            "half_precision", "high", f"Epsilon {eps:g} is 0 in float16: Adam divides by 0",
            f"The weights are float16, whose smallest number above 0 is {_LEAST:g}.",
            why="Where a weight's gradient is tiny, its square is 0 too, and the step becomes infinite. Keep the "
            "weights in float32 and let autocast compute in half precision (precision=\"fp16\").",
            evidence={"epsilon": eps}, remedies=("adam_eps", "full_precision"),
        )  # fmt: skip
        return
    resolution = np.array([_RESOLUTION.get(dtype, 0.0) for dtype in look.dtypes])
    if not resolution.any() or not rate or not look.finite.all():
        return
    size = look.weight_norm / np.sqrt(np.maximum(look.sizes, 1))
    # Momentum adds steps up; Adam's are about as long as the rate, whatever the gradient.
    step = rate if eps is not None else rate / (1 - (evidence.settings.get("momentum") or 0.0)) * per_weight(look)
    lost = step < resolution / 2 * size
    if look.sizes[lost].sum() > 0.5 * look.sizes.sum():
        kind = look.dtypes[int(np.argmax(lost))]
        yield Finding(
            "half_precision", "medium", f"Steps are too short for {kind} weights, and are rounded away",
            f"A weight of {size[lost].mean():.2g} moves by about "
            f"{np.mean(np.broadcast_to(step, size.shape)[lost]):.1g}; the next number that {kind} has is "
            f"{(resolution * size)[lost].mean():.1g} away.",
            why="A weight plus less than half of the distance to the next number is the same weight. Keep the weights "
            "in float32 and let autocast compute in half precision (precision=\"bf16\").",
            evidence={"layers": int(lost.sum())}, remedies=("full_precision", "raise_rate"),
        )  # fmt: skip


RULES = (
    Rule(
        "adam_epsilon", "Adam's epsilon", find_epsilon,
        "larger than the root mean square gradient of a weight, in the layer in the middle", confirm=2,
    ),
    Rule(
        "half_precision", "weights in half precision", find_half,
        f"an epsilon under {_LEAST:g} with float16; updates under half of the distance between two numbers",
    ),
)  # fmt: skip
