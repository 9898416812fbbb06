"""What a page is told of one class: its curve in few points, its bins, what is said where it is missed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .counts import round_up
from .label_pairs import equal_rows
from .ranking import BINS, calibration_bins, ranked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .scores import Scores

#: Points of a curve along each of its two axes, and at its very beginning.
_STEPS, _FIRST = 200, 30
#: Mistakes that are looked through for the commonest sets.
_LOOKED = 20_000


def summary_of(scores: Scores, cls: int) -> dict[str, Any]:
    """Return roc_auc, average_precision, brier, ece (None where not defined), and bins.

    `bins` holds [number of the bin, samples, mean score, share of positives] of each of `BINS` bins of equal
    width over 0 ... 1 that is not empty.
    """
    positives, negatives = scores._ranked.columns[cls]
    found: dict[str, Any] = {
        name: value if math.isfinite(value) else None for name, value in ranked(positives, negatives).items()
    }
    samples, hits, sums = calibration_bins(positives, negatives, BINS)
    found["bins"] = [
        [b, int(n), float(sums[b] / n), float(hits[b] / n)] for b, n in enumerate(samples) if n
    ]
    return found


def curve_of(scores: Scores, cls: int) -> NDArray[np.float64]:
    """Return points of the class's curve, K x 3: threshold falling, true positives, false positives.

    Every point is exact. They lie evenly along the positives and along the negatives, and dense among the
    highest scores, where precision swings; with few samples of a kind they are all there. So neither a ROC
    nor a precision-recall curve drawn through them is off by more than 1 / 200, also where most scores lie
    within a thousandth of 0 or 1.
    """
    groups = scores._ranked.columns[cls]
    chosen = [
        np.concatenate([group[_evenly(len(group))], group[-_FIRST:]]) for group in groups if len(group)
    ]
    if not chosen:
        return np.empty((0, 3))
    cuts = np.unique(np.concatenate(chosen))[::-1]
    said = [len(group) - np.searchsorted(group, cuts, side="left") for group in groups]
    return np.stack([cuts.astype(np.float64), *said], axis=1).astype(np.float64)


def said_instead(
    scores: Scores, cls: int, thresholds: ArrayLike | None = 0.5
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return how often each class is said where `cls` is missed, how often wrongly, and how many are missed.

    Of a multiclass task the likeliest class is counted, which may be `cls` itself, below its threshold.

    Parameters
    ----------
    thresholds : one, or one a class; None: of a multiclass task the likeliest class is said.
    """
    rows = np.flatnonzero(scores.y_true[:, cls] == 1)
    missed = rows[~said_column(scores, rows, cls, thresholds)]
    said = said_of(scores, missed, None if scores.task == "multiclass" else thresholds)
    wrong = said & (scores.y_true[missed] == 0)
    return said.sum(axis=0, dtype=np.int64), wrong.sum(axis=0, dtype=np.int64), len(missed)


def mistaken_sets(
    scores: Scores, cls: int, thresholds: ArrayLike | None = 0.5, top: int = 5
) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Return the commonest (classes that are, classes said, count) of the samples mistaken in `cls`.

    The commonest come first, equal ones in the order in which they appear. Of more than 20,000 mistakes the
    first 20,000 are looked through. A class that is not known of a sample is in neither of its sets.
    """
    given = scores.y_true[:, cls]
    said = said_column(scores, slice(None), cls, thresholds)
    wrong = np.flatnonzero((given >= 0) & (said != (given == 1)))[:_LOOKED]
    if not len(wrong):
        return []
    label = scores.y_true[wrong]
    pairs = np.concatenate([label == 1, said_of(scores, wrong, thresholds) & (label >= 0)], axis=1)
    first, count = equal_rows(np.packbits(pairs, axis=1))
    best = sorted(range(len(first)), key=lambda i: (-count[i], first[i]))[:top]
    classes = scores.n_classes
    return [
        (
            tuple(np.flatnonzero(pairs[first[i], :classes]).tolist()),
            tuple(np.flatnonzero(pairs[first[i], classes:]).tolist()),
            int(count[i]),
        )
        for i in best
    ]


def said_of(scores: Scores, rows: NDArray[np.int64], thresholds: ArrayLike | None) -> NDArray[np.bool_]:
    """Return len(rows) x C booleans: what is said of some samples."""
    score = scores.y_score[rows]
    if thresholds is None and scores.task == "multiclass":
        return score.argmax(axis=1)[:, None] == np.arange(scores.n_classes)
    return score >= round_up(_limits(scores, thresholds), score.dtype)


def said_column(
    scores: Scores, rows: NDArray[np.int64] | slice, cls: int, thresholds: ArrayLike | None
) -> NDArray[np.bool_]:
    """Return a boolean for each of `rows`: whether they are said to be of class `cls`."""
    if thresholds is None and scores.task == "multiclass":
        return scores.y_score[rows].argmax(axis=1) == cls
    score = scores.y_score[rows, cls]
    return score >= round_up(_limits(scores, thresholds), score.dtype)[cls]


def _limits(scores: Scores, thresholds: ArrayLike | None) -> NDArray[np.float64]:
    values = np.asarray(0.5 if thresholds is None else thresholds, np.float64).reshape(-1)
    return np.broadcast_to(values, (scores.n_classes,))


def _evenly(count: int) -> NDArray[np.int64]:
    return np.linspace(0, count - 1, min(count, _STEPS)).round().astype(np.int64)
