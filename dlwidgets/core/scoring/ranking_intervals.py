"""The bootstrap of what needs no threshold: samples of one class drawn with replacement, ties and all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .bootstrap import drawn
from .intervals import ends_of
from .ranking import BINS, RANKED, ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: How often is drawn: a draw takes as long as there are different scores.
RESAMPLES = 1000


def bootstrap_ranked(
    positives: NDArray[np.floating],
    negatives: NDArray[np.floating],
    level: float = 0.95,
    *,
    bins: int = BINS,
    seed: int | Sequence[int] = 0,
) -> dict[str, tuple[float, float]]:
    """Return the percentile bootstrap interval of every name of `ranked.RANKED` for one class.

    Equal samples (of one label and one score) are drawn as one with its count. Draws in which a measure is
    not defined, as the ROC-AUC of positives alone, are left out; a measure that is NaN itself has no
    interval. The calibration error is biased upward, and its draws more so: its interval may lie above it.

    Parameters
    ----------
    positives, negatives
        The scores of the known positives and negatives, each sorted upward, without NaN.
    level
        How often the interval is to hold.
    bins
        Of the calibration error.
    seed
        Of the random numbers.
    """
    of_class = ranked(positives, negatives, bins)
    ends = dict.fromkeys(RANKED, (np.nan, np.nan))
    if np.isnan(of_class["average_precision"]) and np.isnan(of_class["brier"]):
        return ends
    distinct = np.unique(np.concatenate([positives, negatives]))
    tallies = np.stack([_tally(distinct, scores) for scores in (negatives, positives)])
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], distinct)
    found = [
        _measured(distinct.astype(np.float64), place, block.reshape(len(block), 2, -1), bins)
        for block in drawn(tallies.reshape(-1), RESAMPLES, seed)
    ]
    for name, value in of_class.items():
        if not np.isnan(value):
            ends[name] = ends_of(np.concatenate([part[name] for part in found]), level)
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
    return {
        "roc_auc": area,
        "average_precision": precision,
        "brier": off,
        "ece": np.abs(in_bins).sum(axis=0) / known,
    }


def _tally(distinct: NDArray[np.floating], scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return how often each of the `distinct` scores occurs among sorted `scores`."""
    return np.searchsorted(scores, distinct, side="right") - np.searchsorted(scores, distinct, side="left")
