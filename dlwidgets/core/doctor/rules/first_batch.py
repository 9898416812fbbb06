"""Rules on the batch that a copy of the model learnt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from ..evidence import Evidence
from ..finding import Chart, Finding
from ..preflight import Mixing, Preflight
from ..rule import Rule

#: The share of its first loss under which a batch is to come, and the steps after which it is judged. Measured: after
#: 20 steps all teaching models, 3 seeds each, were at 0.24 times the loss of a constant output or lower.
_FALLS, _JUDGED = 0.98, 20
#: What still falls so fast that it would be under a constant's loss in so many times ten steps more is left alone.
_AHEAD = 3


def _missing(name: str) -> Callable[[Evidence], str]:
    def missing(evidence: Evidence) -> str:
        preflight = evidence.preflight
        if preflight is None:
            return "the pre-flight was not made: session.diagnose() makes it before the first step"
        if why := preflight.why.get(name) or preflight.why.get("batch", ""):
            return why
        few = name == "fit" and len(preflight.losses) <= _JUDGED and all(map(math.isfinite, preflight.losses))
        return f"the model is slow: {_JUDGED} steps on a batch do not fit into a second" if few else ""

    return missing


def find_unlearnt_batch(evidence: Evidence) -> Iterator[Finding]:
    """Find a model that does not learn one batch by heart."""
    preflight: Preflight = evidence.preflight
    losses, floor = preflight.losses, preflight.floor
    recent = evidence.losses[-20:]
    if len(recent) >= 10 and np.nanmedian(recent) < (0.9 * losses[0] if floor is None else floor):
        return  # the run itself came under that since
    chart = Chart(losses[:60], "loss of one batch, fitted by Adam", floor)
    numbers = {"first": losses[0], "last": losses[-1], "steps": len(losses) - 1}
    if not all(map(math.isfinite, losses)):
        when = "from the beginning" if not math.isfinite(losses[0]) else f"after {len(losses) - 1} steps of Adam"
        yield Finding(
            "batch_not_learnt", "high", f"The loss of one batch is {losses[-1]:g} {when}",
            f"It was tried on a copy of the model, with {preflight.samples} samples.",
            why="Where a small batch gives no finite loss, training cannot: look at the inputs, and for logarithms, "
            "roots and divisions in model and loss.", evidence=numbers, chart=chart,
        )  # fmt: skip
        return
    tail = losses[-11:]
    done = f"{losses[0]:.3g} → {losses[-1]:.3g} in {len(losses) - 1} steps"
    if min(losses) > _FALLS * losses[0]:
        severity = "high" if floor is not None else "medium"  # what a step of one's own returns may not be to fall
        yield Finding(
            "batch_not_learnt", severity, f"The model does not learn even one batch: {done}",
            f"A copy of it was trained on the same {preflight.samples} samples over and over, by Adam.",
            why="A network that learns can learn a few samples by heart (Karpathy's recipe). Where it cannot, "
            "something between input, layers and loss is cut, dead or mixed up; no rate helps.",
            evidence=numbers, chart=chart,
        )  # fmt: skip
    elif floor is not None and min(tail) > floor and _AHEAD * (tail[0] - tail[-1]) < tail[-1] - floor:
        yield Finding(
            "batch_not_learnt", "medium", f"The model learns one batch no better than a constant would: {done}",
            f"The same answer for all {preflight.samples} samples has a loss of {floor:.3g}, and a copy of the "
            "model did not come under that, trained on them over and over by Adam.",
            why="It learns how frequent each label is, and nothing of the inputs, as if these did not reach the "
            "output: units that are dead or saturated, weights that are all alike, or a last layer that cannot say it.",
            evidence={**numbers, "constant": floor}, chart=chart,
        )  # fmt: skip


def find_mixed_samples(evidence: Evidence) -> Iterator[Finding]:
    """Find outputs for a sample that depend on others of its batch."""
    mixing: Mixing | None = evidence.preflight.mixing
    if mixing is None or not mixing.seen:
        return
    where = f" It is first seen in what {mixing.layer} puts out." if mixing.layer else ""
    yield Finding(
        "samples_mixed", "high", "What the model says of one sample depends on the others",
        f"With the other {mixing.samples - 1} samples of its batch replaced, its output moved by {mixing.change:.2g} "
        f"of its size, in eval mode.{where}",
        why="Samples of a batch must not know of one another. As a rule a reshape or a softmax runs over the axis of "
        "the samples, an attention lacks batch_first=True, or a layer that is not registered stays in train mode.",
        layer=mixing.layer, evidence={"change": mixing.change},
    )  # fmt: skip


RULES = (
    Rule(
        "batch_not_learnt", "a batch that cannot be learnt by heart", find_unlearnt_batch,
        f"after {_JUDGED} steps or more of Adam still over {_FALLS:g} of its first loss, or over that of a constant "
        "and not falling (measured: healthy models are at 0.24 of the latter or lower)", _missing("fit"), "start",
    ),
    Rule(
        "samples_mixed", "samples of a batch that depend on one another", find_mixed_samples,
        "a change of over 1e-4 of the output's size, where none is due", _missing("mixing"), "start",
    ),
)  # fmt: skip
