"""Rules on the training loss: it is not finite, diverges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..evidence import Evidence
from ..finding import Chart, Finding
from ..rule import Rule

#: Steps whose median is "the loss of now", and after which a loss may be said to diverge.
_NOW = 5
#: The loss of now over the least median before, from which on it diverges (trainproof: 1.5 at a run's end).
_DIVERGED = 3.0


def find_not_finite(evidence: Evidence) -> Iterator[Finding]:
    """Find a step not taken because a number is not finite."""
    if (failure := evidence.failure) is None:
        return
    made = failure.producer
    why = (
        "Once a loss or gradient is not a number, every weight that it moves would be none either: the step was not "
        "taken."
    )
    yield Finding(
        "loss_not_finite", "high", f"A number became infinite or NaN in step {failure.step:,}",
        f"{made.sentence} {failure.sentence}" if made else failure.sentence,
        why=f"{made.hint} {why}" if made and made.hint else why, layer=made.path if made else None, step=failure.step,
        evidence={"step": failure.step, **(made.evidence if made else {})}, chart=chart_losses(evidence.losses),
        remedies=("lower_rate", "clip") if failure.batch_is_finite else (),
    )  # fmt: skip


def find_diverging(evidence: Evidence) -> Iterator[Finding]:
    """Find a loss that rose far above its least and its first."""
    losses = evidence.losses
    if len(losses) < 2 * _NOW:
        return
    whole = len(losses) // _NOW * _NOW
    medians = np.nanmedian(losses[-whole:].reshape(-1, _NOW), axis=1)
    now, least, first = medians[-1], medians[:-1].min(), medians[0]
    if least > 0 and now > _DIVERGED * least and now > 1.5 * first:
        yield Finding(
            "loss_diverging", "high", f"The loss diverges: {least:.3g} → {now:.3g}",
            f"The median of the last {_NOW} steps is {now / least:.2g} times the least before.",
            why="Each step leaps over the minimum and lands higher up: as a rule the learning rate is too high.",
            evidence={"now": float(now), "least": float(least)}, chart=chart_losses(losses),
            remedies=("lower_rate", "clip", "cosine", "warm_up"),
        )  # fmt: skip


def chart_losses(losses: np.ndarray, most: int = 60) -> Chart | None:
    """Return the last losses as a chart."""
    shown = losses[-most:]
    label = f"training loss, last {len(shown)} steps"
    return Chart(tuple(float(one) for one in shown), label) if len(shown) > 1 else None


RULES = (
    Rule(
        "loss_not_finite", "a loss or gradient that is infinite or NaN", find_not_finite,
        "any value that is not finite", when="failure",
    ),
    Rule(
        "loss_diverging", "diverging loss", find_diverging,
        f"the median of {_NOW} steps over {_DIVERGED} times the least before and over where it began (trainproof: 1.5 "
        "times at the end of a run)",
    ),
)  # fmt: skip
