"""A rule on validation scores: they are no better than chance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...scoring.scores import Scores
from ..evidence import Evidence
from ..finding import Chart, Finding
from ..rule import NOT_LEARNING, Rule

#: Steps before which nobody need have learnt anything. Healthy twins of the four teaching set-ups had a mean AUC 8 to
#: 28 standard errors above 0.5 after 50 steps, at a third of a rate that suits too; with shuffled labels it was
#: between -1.4 and 2.4. So three standard errors tell them apart.
_STEPS, _ERRORS = 40, 3.0
#: The standard error up to which an AUC of 0.6 would have been seen, by five of them.
_SURE = 0.02


def measure_areas(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Return each class's AUC and its standard error by chance.

    NaN where a class has no positives or negatives. The error is that of Mann and Whitney's U without ties, 1947.
    """
    areas, errors = np.full((2, len(scores.ranked.columns)), np.nan)
    for cls, (positives, negatives) in enumerate(scores.ranked.columns):
        n, m = len(positives), len(negatives)
        if n and m:
            below = [np.searchsorted(negatives, positives, side=side) for side in ("left", "right")]
            areas[cls] = np.sum(below) / 2 / (n * m)
            errors[cls] = np.sqrt((n + m + 1) / (12 * n * m))
    return areas, errors


def measure_chance(evidence: Evidence) -> tuple[float, float, np.ndarray] | None:
    """Return mean AUC, its error and the classes' where they are chance.

    None where they are better, where too few samples could say so, and before anything need have been learnt.
    """
    # Averaged weights, which evaluations then use, follow after so many steps (decay 0.99: measured on collages).
    lag = 2 / (1 - decay) if (decay := evidence.settings.get("ema")) else 0
    if evidence.scores is None or evidence.step < _STEPS + lag or not evidence.epochs:
        return None
    areas, errors = measure_areas(evidence.scores)
    known = np.isfinite(areas)
    if not known.any():
        return None
    weights = errors[known] ** -2
    mean, error = float(areas[known] @ weights / weights.sum()), float(weights.sum() ** -0.5)
    return None if error > _SURE or mean - 0.5 > _ERRORS * error else (mean, error, areas)


def find_no_better_than_chance(evidence: Evidence) -> Iterator[Finding]:
    """Find validation scores that rank samples no better than chance."""
    if (measured := measure_chance(evidence)) is None:
        return
    mean, error, areas = measured
    some = np.isfinite(areas).nonzero()[0][:30]
    yield Finding(
        "no_better_than_chance", "medium", f"Validation scores are no better than chance: AUC {mean:.2f}",
        f"After {evidence.step:,} steps, {evidence.scores.n_samples:,} validation samples are ranked as by a coin, "
        f"which gives 0.5, give or take {error:.2f}.",
        why="What was learnt of the training samples does not hold for others. Do labels and inputs belong together, "
        "here and there? Look at some samples with their labels: shuffled labels show in no loss curve. Otherwise it "
        "has not begun to learn: see the other findings.",
        evidence={"auc": mean, "standard_error": error},
        chart=Chart(
            tuple(float(areas[cls]) for cls in some), "AUC of each class", 0.5, "bars",
            tuple(evidence.scores.classes[cls] for cls in some),
        ),
    )  # fmt: skip


def _missing(evidence: Evidence) -> str:
    if not evidence.has_valid:
        return "needs validation data"
    return "" if evidence.task is None or evidence.task.name != "regression" else "needs classes"


RULES = (
    Rule(
        "no_better_than_chance", "validation scores no better than chance", find_no_better_than_chance,
        f"the classes' mean AUC is within {_ERRORS:.0f} standard errors of 0.5, after {_STEPS} steps and an epoch "
        "(healthy runs on four data sets: 8 and more after 50 steps)",
        missing=_missing, when="evaluation", symptom_of=(*NOT_LEARNING, "loss_flat", "batch_not_learnt"),
    ),
)  # fmt: skip
