"""The bootstrap of what needs no threshold: samples of one class drawn with replacement, ties and all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .intervals import ends_of
from .ranked import BINS, RANKED, ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: How often is drawn: a draw takes as long as there are different scores.
RESAMPLES = 1000

#: Cells of random numbers held at a time, 32 MB.
_BLOCK = 4_000_000


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
    total, left = int(tallies.sum()), RESAMPLES
    random, share = np.random.default_rng(seed), tallies.reshape(-1) / tallies.sum()
    blocks: list[dict[str, NDArray[np.float64]]] = []
    while left:
        rows = min(left, max(1, _BLOCK // share.size))
        drawn = random.multinomial(total, share, rows).reshape(rows, 2, -1)
        blocks.append(_measured(distinct.astype(np.float64), drawn, bins))
        left -= rows
    for name, value in of_class.items():
        if not np.isnan(value):
            ends[name] = ends_of(np.concatenate([block[name] for block in blocks]), level)
    return ends


def _measured(
    distinct: NDArray[np.float64], drawn: NDArray[np.int64], bins: int
) -> dict[str, NDArray[np.float64]]:
    """Return each measure of B draws: `drawn` is B x 2 x K counts of negatives and positives at K scores."""
    negatives, positives = drawn[:, 0], drawn[:, 1]
    all_negative, all_positive = negatives.sum(axis=1), positives.sum(axis=1)
    # From the lowest score upward: negatives below a score, and one half of those that tie with it.
    below = np.cumsum(negatives, axis=1) - negatives / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (positives * below).sum(axis=1) / (all_positive * all_negative)
        tp = np.cumsum(positives[:, ::-1], axis=1)
        fp = np.cumsum(negatives[:, ::-1], axis=1)
        precision = tp / (tp + fp)
        hits = positives[:, ::-1]
        steps = np.where(hits > 0, hits * precision, 0).sum(axis=1)
        mean_precision = steps / all_positive
    known = all_negative + all_positive
    with np.errstate(over="ignore", invalid="ignore"):
        off = (positives @ (1 - distinct) ** 2 + negatives @ distinct**2) / known
        place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], distinct)
        gap = (negatives + positives) * distinct - positives
        in_bins = np.stack([gap[:, place == b].sum(axis=1) for b in range(bins)], axis=1)
        apart = np.abs(in_bins).sum(axis=1) / known
    return {"roc_auc": area, "average_precision": mean_precision, "brier": off, "ece": apart}


def _tally(distinct: NDArray[np.floating], scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return how often each of the `distinct` scores occurs among sorted `scores`."""
    return np.searchsorted(scores, distinct, side="right") - np.searchsorted(scores, distinct, side="left")
