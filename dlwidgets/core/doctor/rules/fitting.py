"""Rules on training against validation: over-fitting, under-fitting, too good."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..evidence import Evidence
from ..finding import Chart, Finding
from ..loss_curve import ANEW
from ..rule import CROSS_ENTROPIES, NOT_LEARNING, Rule
from .loss import chart_losses

#: Over-fitting: evaluations after the best one; by which share of the best the validation loss rose; by which share the
#: training loss fell meanwhile.
_AFTER, _ROSE, _FELL = 3, 0.1, 0.1
#: Under-fitting: both losses over that of always saying the same, after so many epochs and steps, while training's
#: falls by less than so many standard errors in the last 200. Far above it is another matter.
_TRIVIAL, _MOST, _EPOCHS, _STEPS, _ERRORS = 0.98, 1.5, 3, 100, 3.0
#: Validation too good: its loss over that of the last training steps, and a score that is next to perfect.
_FAR_BELOW, _PERFECT, _AT_ONCE = 0.3, 0.99, 2
_SCORES = ("accuracy", "macro_f1")


def train_losses(evidence: Evidence, steps: np.ndarray) -> np.ndarray:
    """Return the mean training loss of the steps before each evaluation."""
    losses, last = evidence.losses, np.diff(steps, prepend=0).clip(1, 50).astype(int)
    return np.array([np.nanmean(losses[max(0, int(at) - n) : int(at)]) for at, n in zip(steps, last)])


def _evaluations(evidence: Evidence, most: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and losses of the last evaluations that can be compared."""
    steps, losses = evidence.valid_losses
    chosen = (steps > evidence.changed(*ANEW, "evaluate_samples")) & np.isfinite(losses)
    return steps[chosen][-most:], losses[chosen][-most:]


def find_overfitting(evidence: Evidence) -> Iterator[Finding]:
    """Find a validation loss that rises while the training loss falls."""
    steps, valid = _evaluations(evidence)
    best = int(np.argmin(valid)) if len(valid) else 0
    if len(valid) - 1 - best < _AFTER:
        return
    train = train_losses(evidence, steps)
    after, level = valid[-_AFTER:], max(abs(float(valid[best])), float(valid[: best + 1].max() - valid[best]))
    rose, fell = float(after.min() - valid[best]), float(train[best] - train[-1])
    if rose < _ROSE * level or fell < _FELL * abs(train[best]):
        return
    recent, numbers = valid[-60:], {"best": float(valid[best]), "now": float(valid[-1]), "train": float(train[-1])}
    yield Finding(
        "overfitting", "medium", f"Over-fitting since step {steps[best]:,.0f}: validation loss {valid[best]:.3g} → "
        f"{valid[-1]:.3g}",
        f"In {len(valid) - 1 - best} evaluations it rose by {rose / level:.0%}, while the training loss fell from "
        f"{train[best]:.3g} to {train[-1]:.3g}.",
        why="The network learns the training samples by heart, and that does not help with others. More data, weight "
        "decay or dropout slow this down; the weights of the best evaluation are the ones to keep.",
        step=int(steps[best]), evidence=numbers,
        chart=Chart(tuple(recent.tolist()), f"validation loss, last {len(recent)} evaluations", numbers["best"]),
        remedies=("early_stopping", "weight_decay", "dropout"),
    )  # fmt: skip


def trivial_loss(evidence: Evidence) -> float | None:
    """Return the loss of always saying how frequent each class is.

    That is the entropy of the labels; None where the loss is not cross-entropy, or no labels are known.
    """
    scores, task = evidence.scores, evidence.task
    if scores is None or task is None or task.loss_alike not in CROSS_ENTROPIES:
        return None
    if any(getattr(task.loss, name, None) is not None for name in ("weight", "pos_weight")):
        return None
    known = scores.positives + scores.negatives
    shares = scores.positives[known > 0] / known[known > 0]
    if task.name == "multiclass":
        return float(_entropy(shares).sum())
    return float((_entropy(shares) + _entropy(1 - shares)).mean())


def _entropy(shares: np.ndarray) -> np.ndarray:
    return -shares * np.log(np.where(shares > 0, shares, 1))


def find_underfitting(evidence: Evidence) -> Iterator[Finding]:
    """Find a training loss that stays at that of a constant answer."""
    curve = evidence.curve
    if curve is None or evidence.epochs < _EPOCHS or curve.steps < _STEPS or curve.trend()[1] < -_ERRORS:
        return
    trivial, now = trivial_loss(evidence), float(curve.recent[-100:].mean())
    _, valid = _evaluations(evidence)
    if trivial is None or not 0 < _TRIVIAL * trivial < min([now, *valid[-1:]]) or now > _MOST * trivial:
        return
    yield Finding(
        "underfitting", "medium", f"Under-fitting: after {evidence.epochs} epochs the loss is {now:.3g}",
        f"Always saying how frequent each class is gives {trivial:.3g}, without looking at the inputs.",
        why="The network has learnt how frequent the classes are, and nothing of the inputs. It may be too small, its "
        "units dead, the rate far off, or the labels may not belong to the inputs.",
        evidence={"now": now, "trivial": trivial},
        chart=chart_losses(curve.recent, trivial),
        remedies=("lower_rate", "raise_rate", "scale_inputs", "show_labels"),
    )  # fmt: skip


def find_too_good(evidence: Evidence) -> Iterator[Finding]:
    """Find validation far better than training, next to perfect at once."""
    steps, valid = _evaluations(evidence)
    rows = evidence.record.evaluations
    if not len(valid) or evidence.epochs > _AT_ONCE or not rows:
        return
    name, score = next(((one, rows[-1][one]) for one in _SCORES if one in rows[-1]), ("", 0.0))
    train = float(np.nanmean(evidence.column("loss", 20)))
    if not (score >= _PERFECT and 0 <= valid[-1] < _FAR_BELOW * train):
        return
    yield Finding(
        "validation_too_good", "medium", f"Validation is too good to be true: {name.replace('_', ' ')} {score:.3f}",
        f"After {evidence.epochs} epochs its loss is {valid[-1]:.3g}, that of training {train:.3g}.",
        why="What was never seen is rarely known better than what was learnt from. Validation samples may be among the "
        "training samples, all alike, or tell their label by something that they hold.",
        evidence={"valid": float(valid[-1]), "train": train, "score": float(score)}, remedies=("show_labels",),
    )  # fmt: skip


def _needs_valid(evidence: Evidence) -> str:
    return "" if evidence.has_valid else "needs validation data"


def _needs_classes(evidence: Evidence) -> str:
    if why := _needs_valid(evidence):
        return why
    return "" if evidence.scores is not None else "needs classes, whose frequencies say what a constant answer costs"


RULES = (
    Rule(
        "overfitting", "over-fitting", find_overfitting,
        f"the last {_AFTER} validation losses {_ROSE:.0%} or more above the best, the training loss {_FELL:.0%} lower "
        "(UMLAUT: one epoch)", missing=_needs_valid, when="evaluation",
    ),
    Rule(
        "underfitting", "under-fitting", find_underfitting,
        f"{_TRIVIAL:.0%} of the entropy of the labels or more after {_EPOCHS} epochs, falling no more",
        missing=_needs_classes, when="evaluation",
        symptom_of=(*NOT_LEARNING, "loss_flat", "batch_not_learnt", "no_better_than_chance", "labels_shuffled"),
    ),
    Rule(
        "validation_too_good", "validation too good to be true", find_too_good,
        f"a score of {_PERFECT:.0%} within {_AT_ONCE} epochs, and a loss under {_FAR_BELOW:.0%} of training's (UMLAUT: "
        "95 %, or 5 points above)", missing=_needs_valid, when="evaluation",
    ),
)  # fmt: skip
