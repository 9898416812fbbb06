"""One class in detail: its curve, its samples, what is said instead."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .counts import find_commonest_sets, predict, round_up
from .ranking import BINS, calibration_bins, rank_measures

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .scores import Scores

#: Points of a curve along each of its two axes, and at its very beginning.
_STEPS, _FIRST = 200, 30
#: Mistakes that are looked through for the commonest sets.
_LOOKED = 20_000


def summarize_class(scores: Scores, cls: int) -> dict[str, Any]:
    """Return roc_auc, average_precision, brier, ece (None where not defined), and bins.

    `bins` holds [number of the bin, samples, mean score, share of positives] of each of `BINS` bins of equal
    width over 0 ... 1 that is not empty.
    """
    positives, negatives = scores.ranked.columns[cls]
    measures = rank_measures(positives, negatives, order=scores.ordered(cls))
    samples, hits, sums = calibration_bins(positives, negatives, BINS)
    return {
        **{name: value if math.isfinite(value) else None for name, value in measures.items()},
        "bins": [[b, int(n), float(sums[b] / n), float(hits[b] / n)] for b, n in enumerate(samples) if n],
    }


def sample_curve(scores: Scores, cls: int) -> NDArray[np.float64]:
    """Return points of a curve: threshold falling, true positives, false positives.

    K x 3, every point exact. They lie evenly along the positives and along the negatives, and dense among the
    highest scores, where precision swings; with few samples of a kind they are all there. So neither a ROC
    nor a precision-recall curve drawn through them is off by more than 1 / 200, also where most scores lie
    within a thousandth of 0 or 1.
    """
    groups = scores.ranked.columns[cls]
    chosen = []
    for group in filter(len, groups):
        evenly = np.linspace(0, len(group) - 1, min(len(group), _STEPS)).round().astype(np.int64)
        chosen += [group[evenly], group[-_FIRST:]]
    if not chosen:
        return np.empty((0, 3))
    cuts = np.unique(np.concatenate(chosen))[::-1]
    cuts = cuts[cuts > -np.inf]  # what nothing was said of is above no threshold
    said = [len(group) - np.searchsorted(group, cuts, side="left") for group in groups]
    return np.stack([cuts.astype(np.float64), *said], axis=1).astype(np.float64)


# -- what is said; `thresholds`: one, or one a class, None: of a multiclass task the likeliest class


def predict_rows(scores: Scores, rows: NDArray[np.int64], thresholds: ArrayLike | None) -> NDArray[np.bool_]:
    """Return len(rows) x C booleans: what is said of some samples."""
    return predict(scores.y_score[rows], scores.read_thresholds(thresholds))


def predict_column(
    scores: Scores, rows: NDArray[np.int64] | slice, cls: int, thresholds: ArrayLike | None
) -> NDArray[np.bool_]:
    """Return which of some samples are said to be of a class."""
    limits = scores.read_thresholds(thresholds)
    if limits is None:
        return scores.y_score[rows].argmax(axis=1) == cls
    score = scores.y_score[rows, cls]
    return score >= round_up(limits, score.dtype)[cls]


def count_instead(
    scores: Scores, cls: int, thresholds: ArrayLike | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], int]:
    """Count what is said, and wrongly said, where a class is missed.

    Then how often it is known there whether that is wrong, and last how often the class is missed. Of a
    multiclass task the likeliest class is counted, which may be `cls` itself, below its threshold.
    """
    rows = np.flatnonzero(scores.y_true[:, cls] == 1)
    missed = rows[~predict_column(scores, rows, cls, thresholds)]
    said = predict_rows(scores, missed, None if scores.task == "multiclass" else thresholds)
    label = scores.y_true[missed]
    counts = (part.sum(axis=0, dtype=np.int64) for part in (said, said & (label == 0), label >= 0))
    return *counts, len(missed)


def find_mistaken_sets(
    scores: Scores, cls: int, thresholds: ArrayLike | None = None, top: int = 5
) -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Return the commonest mistakes of a class.

    Each is (classes that are, classes said, count). The commonest come first, equal ones in the order in
    which they appear. Of more than 20,000 mistakes the first 20,000 are looked through. A class that is not
    known of a sample is in neither of its sets.
    """
    given = scores.y_true[:, cls]
    said = predict_column(scores, slice(None), cls, thresholds)
    wrong = np.flatnonzero((given >= 0) & (said != (given == 1)))[:_LOOKED]
    label = scores.y_true[wrong]
    is_so, said_so = label == 1, predict_rows(scores, wrong, thresholds) & (label >= 0)
    first, count, _ = find_commonest_sets(is_so, said_so)
    return [
        (tuple(np.flatnonzero(is_so[i]).tolist()), tuple(np.flatnonzero(said_so[i]).tolist()), int(n))
        for i, n in zip(first[:top], count[:top])
    ]


# -- its samples


def find_quadrant_rows(
    scores: Scores,
    cls: int,
    cell: int,
    thresholds: ArrayLike | None,
    first: int = 0,
    count: int | None = None,
) -> tuple[NDArray[np.int64], int]:
    """Return rows of a quadrant, most confident first, and their total.

    What was said to be (`cell` 1, 3) falls by score, what was said not to be (0, 2) rises: among the mistakes
    the most confidently wrong come first. Equal scores keep the order of the rows.

    Parameters
    ----------
    cell : 0 true negatives, 1 false positives, 2 false negatives, 3 true positives.
    first, count : which of them are wanted, in their order; None: all from `first` on.
    """
    said = predict_column(scores, slice(None), cls, thresholds)
    rows = np.flatnonzero((scores.y_true[:, cls] == cell // 2) & (said == bool(cell % 2)))
    score = scores.y_score[rows, cls]
    values = -score if cell % 2 else score
    last = len(rows) if count is None else min(len(rows), first + count)
    if last <= 0:
        return rows[:0], len(rows)
    # The part that is wanted is found by partition, not by sorting all.
    limit = np.partition(values, last - 1)[last - 1]
    below, equal = np.flatnonzero(values < limit), np.flatnonzero(values == limit)
    found = np.sort(np.concatenate([below, equal[: last - len(below)]]))
    return rows[found[np.argsort(values[found], kind="stable")][first:]], len(rows)


def find_telling_columns(
    positive: NDArray[np.floating], negative: NDArray[np.floating], most: int = 4
) -> list[int]:
    """Return the columns in which two groups differ most, best first.

    The measure is the difference of the means over the pooled standard deviation: J. Cohen, Statistical Power
    Analysis for the Behavioral Sciences, 2nd ed. 1988, ch. 2 (d). Values that are not finite are left out.
    The groups are P x F and N x F; either may be empty.
    """
    groups = [
        np.where(np.isfinite(group), group, np.nan).astype(np.float64) for group in (positive, negative)
    ]
    features = groups[0].shape[1]
    if min(len(group) for group in groups) < 2:
        return list(range(min(features, most)))
    known = [(~np.isnan(group)).sum(axis=0) for group in groups]
    mean = [np.nansum(group, axis=0) / np.maximum(n, 1) for group, n in zip(groups, known)]
    spread = sum(np.nansum((group - m) ** 2, axis=0) for group, m in zip(groups, mean))
    pooled = np.sqrt(spread / np.maximum(known[0] + known[1] - 2, 1))
    apart = np.abs(mean[0] - mean[1])
    # A column that never varies within the groups and differs between them tells all.
    effect = np.divide(apart, pooled, out=np.where(apart > 0, np.inf, 0.0), where=pooled > 0)
    effect[(known[0] < 2) | (known[1] < 2)] = -1.0
    return np.argsort(-effect, kind="stable")[:most].tolist()
