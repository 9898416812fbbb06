"""Rules on the first weights: the first loss, signals over depth, symmetry."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ...data.task import KnownLabelsLoss
from ...layers.signals import LossPath
from ..evidence import Evidence
from ..finding import Chart, Finding
from ..rule import CROSS_ENTROPIES, Rule

#: The first loss over that of a model that knows nothing (Karpathy 2019, "A recipe for training neural networks":
#: verify the loss at initialisation; measured in healthy set-ups: 1.0 to 1.35), with one that is far over; of a
#: regression, whose targets may have any scale.
_OVER, _FAR_OVER, _OVER_SQUARES = 2.0, 10.0, 30.0
#: How much a layer's spread may differ from that of the first (SageMaker Debugger: variances, by 10 from layer to
#: layer; measured in healthy set-ups: 0.2 to 30, over all of them).
_GROWN, _SHRUNK = 1e3, 1e-3
#: The share of the layers that may begin with zeros (Fixup and DiT: up to half).
_ZEROS = 2 / 3
#: The steps within which first weights are spoken of.
_FIRST = 50


def find_initial_loss(evidence: Evidence) -> Iterator[Finding]:
    """Find a first loss far over that of knowing nothing."""
    losses, first = evidence.losses, _first_loss(evidence)
    if not evidence.step and evidence.preflight is not None:
        losses = np.array(evidence.preflight.losses)
    if not len(losses) or evidence.step > _FIRST or first is None:
        return
    value, expected = float(losses[0]), first.unlearnt
    over = _OVER_SQUARES if first.targets is not None else _OVER
    if not expected or not value > over * expected:
        return
    times = value / expected
    yield Finding(
        "initial_loss", "high" if times > _FAR_OVER * over else "medium",
        f"The first loss is {value:.3g}, {times:.2g} times what knowing nothing costs",
        f"It should be near {expected:.3g}, {_name_of(first)}.",
        why="Before the first step a network knows nothing, and should say so: about the same for everything. A loss "
        "far over that means that it is sure, and wrong: its last weights are too large, or its inputs are.",
        step=1, evidence={"loss": value, "expected": expected}, remedies=("scale_inputs", "reinitialise", "warm_up"),
        chart=Chart(tuple(map(float, losses[:60])), f"training loss, first {min(60, len(losses))} steps", expected),
    )  # fmt: skip


def find_initialisation(evidence: Evidence) -> Iterator[Finding]:
    """Find first weights that are all alike, or too large or small."""
    if not evidence.looks or evidence.step > _FIRST or evidence.looks[0].step > _FIRST:
        return
    yield from _find_symmetry(evidence)
    yield from _find_scale(evidence)


def _find_symmetry(evidence: Evidence) -> Iterator[Finding]:
    first, now = evidence.looks[0], evidence.looks[-1]
    last = first.signals.last if first.signals is not None else None
    # Layers of zeros, as the last of each branch, are a usual way to begin; so many are none, nor one that stays so.
    alike = [path for path, value in first.symmetric.items() if value and path != last]
    zero = [path for path, value in first.symmetric.items() if not value]
    if len(zero) < max(2, _ZEROS * first.compared):
        zero = [path for path in zero if path in now.symmetric and now.step >= first.step + 4 and path != last]
    alike += zero
    if not alike:
        return
    value = first.symmetric[alike[0]]
    yield Finding(
        "initialisation", "high", f"{alike[0] or 'The model'}: all its weights began as {value:.3g}"
        if len(alike) == 1 else f"{len(alike)} layers began with all their units alike",
        f"{', '.join(alike[:3])}{' ...' if alike[3:] else ''}: each unit has the same weights as the next.",
        why="Units that begin alike get the same gradient, and stay alike: the layer is as good as a single unit. "
        "First weights are drawn at random so that units become different; zeros pass no gradient on at all.",
        layer=alike[0], step=first.step, evidence={"layers": len(alike), "weight": value}, remedies=("reinitialise",),
    )  # fmt: skip


def _find_scale(evidence: Evidence) -> Iterator[Finding]:
    look = evidence.looks[0]
    if look.signals is None or len(look.signals.paths) < 3:
        return
    pairs = zip(look.signals.paths, look.signals.spread)
    kept = [(path, float(one)) for path, one in pairs if path not in look.symmetric]
    spread = np.array([one for _, one in kept])
    if len(kept) < 3 or not np.isfinite(spread).all() or not spread[0] > 0:
        return
    ratios = spread / spread[0]
    at = int(ratios.argmax()) if ratios.max() > _GROWN else len(kept) - 1
    grown, shrunk = ratios[at] > _GROWN, 0 < spread[-1] < _SHRUNK * spread.max()
    if not grown and not shrunk:
        return
    path, ratio = kept[at][0], ratios[at] if grown else spread[-1] / spread.max()
    word = "grow" if grown else "vanish"
    yield Finding(
        "initialisation", "medium", f"Signals {word} over the layers: {ratio:.2g} times as large at {path}",
        f"In step {look.step:,} outputs differ from sample to sample by {spread[0]:.2g} at {kept[0][0]}, and by "
        f"{spread[at]:.2g} at {path}.",
        why="Each layer multiplies what it gets. Where first weights are too large, numbers explode over depth; where "
        "too small, or flattened by sigmoids, samples become all the same. He or Xavier initialisation, or "
        "normalisation layers, keep them level.",
        layer=path, step=look.step, evidence={"ratio": float(ratio)}, remedies=("reinitialise",),
        chart=Chart(
            tuple(np.log10(np.maximum(spread, 1e-12)).tolist()[:60]), "log10 of the spread of outputs, by layer",
            kind="bars", names=tuple(name for name, _ in kept[:60]),
        ),
    )  # fmt: skip


def _first_loss(evidence: Evidence) -> LossPath | None:
    """Return the first step's loss, where it is a plain mean."""
    looks, task = evidence.looks, evidence.task
    look = looks[0] if looks else None
    if look is None or look.step != 1 or look.signals is None or task is None or task.loss is None:
        return None
    # Of a function of one's own it is not known what it makes of several terms.
    own = not isinstance(task.loss, KnownLabelsLoss) and not str(type(task.loss).__module__).startswith("torch")
    own = own and not str(getattr(task.loss, "__module__", "")).startswith("torch")
    own = own and task.loss_alike not in CROSS_ENTROPIES
    if own or (task.reduction is not None and task.reduction.summed) or not look.signals.losses:
        return None
    return look.signals.losses[0]


def _name_of(loss: LossPath) -> str:
    """Say what a model that knows nothing is held against."""
    if loss.targets is not None:
        return "the mean square of the targets"
    return "ln 2" if loss.operations[0].startswith("Binary") else f"ln {math.exp(loss.unlearnt or 0):.0f}"


def _needs_look(evidence: Evidence) -> str:
    return evidence.needs_looks(1)


def _needs_loss(evidence: Evidence) -> str:
    if evidence.step > _FIRST and not (evidence.looks and evidence.looks[0].step == 1):
        return evidence.unmeasured or "looks at the first steps alone"
    return "" if _first_loss(evidence) is not None else "needs the mean of a loss whose first value is known"


RULES = (
    Rule(
        "initial_loss", "the first loss against its expectation", find_initial_loss,
        f"{_OVER:g} times ln C (cross-entropy over C classes) or ln 2 (binary), {_OVER_SQUARES:g} times the mean "
        "square of a regression's targets (Karpathy 2019, A recipe for training neural networks)", missing=_needs_loss,
        when="model",
    ),
    Rule(
        "initialisation", "first weights that are alike, too large or too small", find_initialisation,
        f"units alike; a spread of outputs {_GROWN:g} times that of the first layer, or {_SHRUNK:g} of the greatest "
        "(SageMaker Debugger: 10 times from layer to layer)", missing=_needs_look, when="model",
    ),
)  # fmt: skip
