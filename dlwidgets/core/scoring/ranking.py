"""Measures of a ranking: ROC-AUC, average precision, Brier, calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .intervals import draw_counts, percentile_ends

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: In the order of the printed table.
RANKED = ("roc_auc", "average_precision", "brier", "ece")
#: Those of the order alone.
ORDERED = RANKED[:2]
#: Bins of the calibration error, as many as in scikit-learn's customary reliability diagram.
BINS = 10
#: How often is drawn: a draw takes as long as there are different scores.
RESAMPLES = 1000


def rank_measures(
    positives: NDArray[np.floating], negatives: NDArray[np.floating], bins: int = BINS,
    order: tuple[NDArray, NDArray] | None = None,
) -> dict[str, float]:  # fmt: skip
    """Compute every name of `RANKED` for one class; NaN where not defined.

    The scores of the known `positives` and `negatives` are each sorted upward, without NaN; `order` are both
    again as log-odds, where probabilities of 1 would be ties.

    roc_auc : the chance that a positive scores higher than a negative, ties counting one half. That is the
        area under the ROC curve (Hanley and McNeil, Radiology 143, 1982), as `sklearn.metrics.roc_auc_score`.
        NaN without a positive or without a negative.
    average_precision : the mean over the positives of the precision at their scores. That is the sum of
        precision x rise of recall over all cut points, without interpolation, as
        `sklearn.metrics.average_precision_score`. NaN without a positive; without a negative it is 1.
    brier : the mean of (score - label)^2 (Brier, 1950), as `sklearn.metrics.brier_score_loss`.
    ece : the expected calibration error, the sum over `bins` of equal width of (share of the samples) x |mean
        score - share of positives| (Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities
        using Bayesian binning", AAAI 2015), for the probability of this one class (classwise: Kull et al.,
        "Beyond temperature scaling", NeurIPS 2019). Few samples in many bins make it larger than it is. Both
        are NaN where no label is known, or a score lies outside 0 ... 1 and so is no probability.
    """
    found = dict.fromkeys(RANKED, np.nan)
    known = len(positives) + len(negatives)
    if len(positives) and len(negatives):
        below = np.searchsorted(negatives, positives, side="left").sum(dtype=np.int64)
        not_above = np.searchsorted(negatives, positives, side="right").sum(dtype=np.int64)
        found["roc_auc"] = float((below + not_above) / (2 * len(positives) * len(negatives)))
    if len(positives):
        tp = len(positives) - np.searchsorted(positives, positives, side="left")
        fp = len(negatives) - np.searchsorted(negatives, positives, side="left")
        found["average_precision"] = float((tp / (tp + fp)).mean())
    if known and all(not len(one) or (one[0] >= 0 and one[-1] <= 1) for one in (positives, negatives)):
        off = ((1 - positives.astype(np.float64)) ** 2).sum() + (negatives.astype(np.float64) ** 2).sum()
        found["brier"] = float(off / known)
        _, hits, sums = calibration_bins(positives, negatives, bins)
        # (n / N) |sum / n - hits / n| without dividing by an empty bin.
        found["ece"] = float(np.abs(sums - hits).sum() / known)
    if order is not None:
        found |= {name: value for name, value in rank_measures(*order).items() if name in ORDERED}
    return found


def calibration_bins(
    positives: NDArray[np.floating], negatives: NDArray[np.floating], bins: int = BINS
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Count samples and positives and sum the scores of each bin.

    A score on the edge of two bins belongs to the lower one, as in `sklearn.calibration.calibration_curve`.
    """
    if bins < 1:
        raise ValueError(f"{bins} bins: give at least 1.")
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    counts = np.zeros((2, bins), np.int64)
    sums = np.zeros(bins)
    for kind, scores in enumerate((negatives, positives)):
        wide = scores.astype(np.float64)
        ends = np.concatenate([[0], np.searchsorted(wide, edges, side="right"), [len(wide)]])
        counts[kind] = np.diff(ends)
        running = np.concatenate([[0.0], np.cumsum(wide)])
        sums += np.diff(running[ends])
    return counts.sum(axis=0), counts[1], sums


def bootstrap_measures(
    positives: NDArray[np.floating],
    negatives: NDArray[np.floating],
    level: float = 0.95,
    *,
    bins: int = BINS,
    seed: int | Sequence[int] = 0,
) -> dict[str, tuple[float, float]]:
    """Bootstrap the percentile interval of every name of `RANKED` for one class.

    Equal samples (of one label and one score) are drawn as one with its count. Draws in which a measure is
    not defined, as the ROC-AUC of positives alone, are left out; a measure that is NaN itself has no
    interval. The calibration error is biased upward, and its draws more so: its interval may lie above it.
    """
    of_class = rank_measures(positives, negatives, bins)
    ends = dict.fromkeys(RANKED, (np.nan, np.nan))
    if np.isnan(of_class["average_precision"]) and np.isnan(of_class["brier"]):
        return ends
    distinct = np.unique(np.concatenate([positives, negatives]))
    tallies = np.stack([
        np.searchsorted(one, distinct, side="right") - np.searchsorted(one, distinct, side="left")
        for one in (negatives, positives)
    ])  # fmt: skip
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], distinct)
    found = [
        _measured(distinct.astype(np.float64), place, block.reshape(len(block), 2, -1), bins)
        for block in draw_counts(tallies.reshape(-1), RESAMPLES, seed)
    ]
    for name, value in of_class.items():
        if not np.isnan(value):
            ends[name] = percentile_ends(np.concatenate([part[name] for part in found]), level)
    return ends


def _measured(
    distinct: NDArray[np.float64], place: NDArray[np.int64], counts: NDArray[np.float64], bins: int
) -> dict[str, NDArray[np.float64]]:
    """Return each measure of B draws.

    `counts` is B x 2 x K: negatives and positives at the K `distinct` scores, which lie in the bins `place`.
    """
    negatives, positives = counts[:, 0], counts[:, 1]
    all_negative, all_positive = negatives.sum(axis=1), positives.sum(axis=1)
    not_above = np.cumsum(negatives, axis=1)
    fp = all_negative[:, None] - not_above + negatives
    tp = all_positive[:, None] - np.cumsum(positives, axis=1) + positives
    with np.errstate(invalid="ignore", over="ignore"):
        # Negatives below a positive, and one half of those that tie with it.
        pairs = (positives * (not_above - negatives / 2)).sum(axis=1)
        area = pairs / (all_positive * all_negative)
        # Where nothing is predicted there is no positive either, so any number will do for the precision.
        precision = (positives * (tp / np.maximum(tp + fp, 1))).sum(axis=1) / all_positive
        known = all_negative + all_positive
        off = (positives @ (1 - distinct) ** 2 + negatives @ distinct**2) / known
        gap = (negatives + positives) * distinct - positives
        starts = np.searchsorted(place, np.arange(bins))
        in_bins = np.stack([gap[:, a:b].sum(axis=1) for a, b in zip(starts, [*starts[1:], len(place)])])
    return dict(zip(RANKED, (area, precision, off, np.abs(in_bins).sum(axis=0) / known)))
