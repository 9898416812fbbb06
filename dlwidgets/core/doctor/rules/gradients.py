"""Rules on gradients: exploding, vanishing over depth, not finite, zero."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...layers.probes import LayerStats
from ..evidence import Evidence
from ..finding import Chart, Finding
from ..rule import Rule

#: Norms whose median is "now", how many are needed before, and the factor between the two (trainproof: 10 times the
#: median), with how much the loss must stand above its least.
_NOW, _BEFORE, _EXPLODED, _RISEN = 3, 6, 10.0, 1.2
#: The gradient of one weight in the first quarter of the layers over the largest in the last (healthy: 4e-3 or more;
#: with eight sigmoids 2e-5 or less); of how many layers at least.
_VANISHED, _LAYERS = 1e-4, 4
#: Looks in a row in which a gradient was 0, and the steps that they span.
_LOOKS, _SPAN = 3, 10
#: Steps of which this share was left out since their gradients overflowed (a new scale of 65,536 is right after a few).
_OVERFLOWS, _SHARE = 20, 0.5


def measured_norms(evidence: Evidence, last: int = 200) -> np.ndarray:
    """Return the gradient norms of the last steps that were measured.

    They are from the history, before any clipping; where it has too few, from the looks at the layers.
    """
    norms = evidence.column("grad_norm", last)
    norms = norms[np.isfinite(norms)]
    if len(norms) > _NOW + _BEFORE:
        return norms
    looks = [np.sqrt(np.sum(np.square(look.grad_norm, dtype=float))) for look in evidence.looks]
    return np.array([norm for norm in looks if np.isfinite(norm)]) if len(looks) > len(norms) else norms


def find_exploding(evidence: Evidence) -> Iterator[Finding]:
    """Find gradients far above what they were, while the loss rises."""
    norms, curve = measured_norms(evidence), evidence.curve
    if curve is None or len(norms) < _NOW + _BEFORE:
        return
    now, before = float(np.median(norms[-_NOW:])), float(np.median(norms[:-_NOW]))
    if now <= _EXPLODED * before or curve.height(curve.now) <= _RISEN * curve.height(curve.least):
        return
    yield Finding(
        "gradient_exploding", "medium", f"The gradient explodes: its norm went from {before:.3g} to {now:.3g}",
        f"The median of the last {_NOW} norms is {now / (before or now):.3g} times that of the {len(norms) - _NOW} "
        "before, and the loss rises.",
        why="The weights have come to where the loss is steep: a step of the usual rate now leaps far. Clipping limits "
        "such steps, a lower rate avoids them.",
        evidence={"now": now, "before": before}, chart=chart_norms(norms), remedies=("clip_p90", "lower_rate", "clip"),
    )  # fmt: skip


def find_vanishing(evidence: Evidence) -> Iterator[Finding]:
    """Find gradients that shrink from the last layers to the first."""
    if not evidence.looks or len((look := evidence.looks[-1]).paths) < _LAYERS:
        return
    each = per_weight(look)
    quarter = max(1, len(each) // 4)
    first, last = float(np.median(each[:quarter])), float(each[-quarter:].max())
    if not 0 < first < _VANISHED * last:
        return
    at, end = look.paths[0], look.paths[len(each) - quarter + int(each[-quarter:].argmax())]
    yield Finding(
        "gradient_vanishing", "medium",
        f"The gradient vanishes on its way to {at}: {first / last:.1g} of that at {end}",
        f"In step {look.step:,} a weight of the first layers has a gradient of {first:.2g}, one of the last "
        f"{last:.2g}.",
        why="Each layer multiplies the gradient on its way back. Sigmoid and tanh make it smaller each time, so that "
        "the first layers hardly learn. ReLU, normalisation or residual connections let it through.",
        layer=at, evidence={"first": first, "last": last}, remedies=("reinitialise", "raise_rate"),
        chart=Chart(
            tuple(np.log10(np.maximum(each, 1e-30)).tolist()[:60]), "log10 of the gradient of a weight, by layer",
            kind="bars", names=tuple(look.paths[:60]),
        ),
    )  # fmt: skip


def find_overflowing(evidence: Evidence) -> Iterator[Finding]:
    """Find steps left out since their gradients overflow in fp16."""
    skipped = evidence.column("skipped", _OVERFLOWS)
    share = float(np.mean(skipped == 1)) if len(skipped) == _OVERFLOWS else 0.0
    if share < _SHARE:
        return
    yield Finding(
        "gradient_not_finite", "high" if share == 1 else "medium",
        f"{share:.0%} of the last {_OVERFLOWS} steps were left out: their gradients overflow in fp16",
        "Half precision holds numbers up to 65,504, and the scale of the loss finds no value that fits.",
        why="A step whose gradients overflow cannot be taken. A few at the beginning are usual while the scale adapts; "
        "if they go on, the loss or an activation is too large for half precision.",
        evidence={"share": share}, remedies=("full_precision", "lower_rate", "scale_inputs"),
    )  # fmt: skip


def find_zero_gradients(evidence: Evidence) -> Iterator[Finding]:
    """Find gradients that are exactly 0, in all layers or in some."""
    looks = evidence.looks[-_LOOKS:] if len(evidence.looks) >= _LOOKS else ()
    if not looks or not looks[-1].paths or any(look.paths != looks[-1].paths for look in looks):
        return
    zero = np.all([look.grad_norm == 0 for look in looks], axis=0)
    span = looks[-1].step - looks[0].step
    said = f"In {_LOOKS} looks from step {looks[0].step:,} to {looks[-1].step:,} it was exactly 0"
    why = (
        "No gradient comes through: a layer behind puts out a constant (dead ReLU units, a saturated sigmoid, weights "
        "of 0), or the loss does not depend on it. What has no gradient does not learn."
    )
    remedies = ("reinitialise", "lower_rate")
    if zero.all():
        yield Finding(
            "gradient_zero", "high", "The gradient is 0 in all layers: nothing is learnt", said + " everywhere.",
            why=why, evidence={"layers": len(zero)}, remedies=remedies,
        )  # fmt: skip
    elif zero.any() and span >= _SPAN:
        paths = [path for path, none in zip(looks[-1].paths, zero) if none]
        yield Finding(
            "gradient_zero", "medium",
            f"No gradient comes to {paths[-1]}" + (f" and {len(paths) - 1} more" if paths[1:] else ""),
            f"{said}, in {len(paths)} of {len(zero)} layers.", why=why, layer=paths[-1],
            evidence={"layers": len(paths)}, remedies=remedies,
        )  # fmt: skip


def per_weight(look: LayerStats) -> np.ndarray:
    """Return the root mean square gradient of one weight, by layer."""
    sizes = look.sizes if len(look.sizes) == len(look.paths) else np.ones(len(look.paths))
    return np.asarray(look.grad_norm, float) / np.sqrt(np.maximum(sizes, 1))


def chart_norms(norms: np.ndarray, limit: float | None = None, most: int = 60) -> Chart:
    """Return the last norms as a chart."""
    shown = norms[-most:]
    return Chart(tuple(map(float, shown)), f"gradient norm, last {len(shown)} measured", limit)


def _not_measured(evidence: Evidence) -> str:
    return "" if evidence.looks else evidence.unmeasured


RULES = (
    Rule(
        "gradient_exploding", "exploding gradients", find_exploding,
        f"the median of {_NOW} norms over {_EXPLODED:g} times that of up to 200 steps before (trainproof: 10), and a "
        f"loss over {_RISEN:g} times its least", confirm=2,
    ),
    Rule(
        "gradient_vanishing", "gradients that vanish over depth", find_vanishing,
        f"the gradient of a weight in the first quarter of the layers under {_VANISHED:g} of that in the last "
        "(measured in healthy networks: 4e-3 or more)", missing=_not_measured, confirm=2,
    ),
    Rule(
        "gradient_not_finite", "gradients that overflow in fp16", find_overflowing,
        f"{_SHARE:.0%} of {_OVERFLOWS} steps (a new scale is right after a few)",
    ),
    Rule(
        "gradient_zero", "gradients that are 0", find_zero_gradients, f"exactly 0 in {_LOOKS} looks in a row",
        missing=_not_measured, symptom_of=("dead_relu", "saturated", "initialisation", "parameters_still"),
    ),
)  # fmt: skip
