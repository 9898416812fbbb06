"""What scores are worth at no threshold: ROC-AUC, average precision, Brier score and calibration error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: In the order of the printed table.
RANKED = ("roc_auc", "average_precision", "brier", "ece")

#: Bins of the calibration error, as many as in scikit-learn's customary reliability diagram.
BINS = 10


def ranked(
    positives: NDArray[np.floating], negatives: NDArray[np.floating], bins: int = BINS
) -> dict[str, float]:
    """Return every name of `RANKED` for one class; NaN where it is not defined.

    Parameters
    ----------
    positives, negatives
        The scores of the known positives and negatives, each sorted upward, without NaN.
    bins
        Of the calibration error.
    """
    return {
        "roc_auc": roc_auc(positives, negatives),
        "average_precision": average_precision(positives, negatives),
        "brier": brier(positives, negatives),
        "ece": calibration_error(positives, negatives, bins),
    }


def roc_auc(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> float:
    """Return the chance that a positive scores higher than a negative, ties counting one half.

    That is the area under the ROC curve (Hanley and McNeil, Radiology 143, 1982), as
    `sklearn.metrics.roc_auc_score`. NaN without a positive or without a negative.
    """
    if not len(positives) or not len(negatives):
        return np.nan
    below = np.searchsorted(negatives, positives, side="left").sum(dtype=np.int64)
    not_above = np.searchsorted(negatives, positives, side="right").sum(dtype=np.int64)
    return float((below + not_above) / (2 * len(positives) * len(negatives)))


def average_precision(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> float:
    """Return the mean over the positives of the precision at their scores.

    That is the sum of precision x rise of recall over all cut points, without interpolation, as
    `sklearn.metrics.average_precision_score`. NaN without a positive. Without a negative it is 1, whatever
    the scores.
    """
    if not len(positives):
        return np.nan
    tp = len(positives) - np.searchsorted(positives, positives, side="left")
    fp = len(negatives) - np.searchsorted(negatives, positives, side="left")
    return float((tp / (tp + fp)).mean())


def brier(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> float:
    """Return the mean of (score - label)^2 (Brier, 1950), as `sklearn.metrics.brier_score_loss`.

    NaN where no label is known, or a score lies outside 0 ... 1 and so is no probability.
    """
    known = len(positives) + len(negatives)
    if not known or not _probabilities(positives, negatives):
        return np.nan
    off = ((1 - positives.astype(np.float64)) ** 2).sum() + (negatives.astype(np.float64) ** 2).sum()
    return float(off / known)


def calibration_error(
    positives: NDArray[np.floating], negatives: NDArray[np.floating], bins: int = BINS
) -> float:
    """Return the expected calibration error: how far the scores of a bin are from its share of positives.

    The sum over the bins of (share of the samples) x |mean score - share of positives|, over bins of equal
    width (Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
    AAAI 2015), for the probability of this one class (classwise: Kull et al., "Beyond temperature scaling",
    NeurIPS 2019). A score on the edge of two bins belongs to the lower one, as in
    `sklearn.calibration.calibration_curve`. Few samples in many bins make it larger than it is. NaN where no
    label is known, or a score lies outside 0 ... 1.
    """
    known = len(positives) + len(negatives)
    if not known or not _probabilities(positives, negatives):
        return np.nan
    _, hits, sums = calibration_bins(positives, negatives, bins)
    # (n / N) |sum / n - hits / n| without dividing by an empty bin.
    return float(np.abs(sums - hits).sum() / known)


def calibration_bins(
    positives: NDArray[np.floating], negatives: NDArray[np.floating], bins: int = BINS
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return for each of `bins` bins of equal width: samples, positives among them, sum of their scores."""
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


def _probabilities(*groups: NDArray[np.floating]) -> bool:
    return all(not len(scores) or (scores[0] >= 0 and scores[-1] <= 1) for scores in groups)
