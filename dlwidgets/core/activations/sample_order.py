"""Samples of an evaluation by loss, and those of a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..scoring.scores import Scores

#: Probabilities nearer to 0 and 1 than this count as this near, so that no loss is infinite.
_EPS = 1e-12


def sample_losses(scores: Scores) -> np.ndarray:
    """Compute the loss of each sample from its scores, float64 N.

    Multiclass: cross-entropy, minus the logarithm of what the true class was given. Multilabel and binary:
    binary cross-entropy, the mean over the labels that are known. nan where no label is known.

    Scores are taken for probabilities; what lies outside 0 ... 1 counts as 0 or 1.
    """
    true = scores.y_true
    scored = np.clip(scores.y_score.astype(np.float64), _EPS, 1 - _EPS)
    scored = scored.reshape(len(true), -1)
    if scores.task == "multiclass":
        losses = -np.log(scored[np.arange(len(true)), true.argmax(1)])
        return np.where((true == 1).any(1), losses, np.nan)
    known = true >= 0
    each = np.where(true == 1, -np.log(scored), -np.log1p(-scored))
    count = known.sum(1)
    return np.where(count > 0, np.where(known, each, 0.0).sum(1) / np.maximum(count, 1), np.nan)


def in_order(scores: Scores, order: str) -> np.ndarray:
    """Return the rows of `scores` in an order: int64, at most N.

    Parameters
    ----------
    order : "worst" (largest loss first), "best" (smallest first), or "class:NAME": the samples of that class
        as they stand. Samples whose labels are not known have no loss, and are left out.

    Raises
    ------
    ValueError : there is no such order or class.
    """
    if order in ("worst", "best"):
        losses = sample_losses(scores)
        rows = np.argsort(-losses if order == "worst" else losses, kind="stable")
        return rows[np.isfinite(losses[rows])]
    kind, _, name = order.partition(":")
    names = list(scores.classes)
    if kind != "class" or name not in names:
        raise ValueError(f"Samples are ordered by 'worst', 'best' or 'class:NAME', not by {order!r}.")
    return np.flatnonzero(scores.y_true[:, names.index(name)] == 1)
