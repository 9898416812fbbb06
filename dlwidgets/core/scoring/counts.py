"""Counts at thresholds, at every cut point, and of label pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Rows multiplied at a time: sums of ones in float32 are exact below 2 ** 24.
_BLOCK = 2**20


class RankedScores:
    """The scores of C classes, positives and negatives apart, each sorted once.

    A count at a new threshold then takes two bisections a class, however many samples there are. It holds
    one copy of the known scores in their own dtype (float32 or float64, no NaN). `labels` are N x C int8: 1
    positive, 0 negative, anything else unknown and left out.
    """

    def __init__(self, labels: NDArray[np.int8], scores: NDArray[np.floating]) -> None:
        self.dtype = scores.dtype
        self.columns: list[tuple[NDArray[np.floating], NDArray[np.floating]]] = []
        for c in range(scores.shape[1]):
            label, score = labels[:, c], np.ascontiguousarray(scores[:, c])
            self.columns.append((np.sort(score[label == 1]), np.sort(score[label == 0])))
        self.totals: NDArray[np.int64] = np.array([[len(p), len(n)] for p, n in self.columns], np.int64)

    def at_least(self, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Count the positives and the negatives that score at least each threshold.

        Of C x K thresholds: C x 2 x K, ``[:, 0]`` true positives, ``[:, 1]`` false positives.
        """
        cuts = round_up(thresholds, self.dtype)
        counts = np.empty((len(self.columns), 2, cuts.shape[1]), np.int64)
        for c, groups in enumerate(self.columns):
            for kind, group in enumerate(groups):
                counts[c, kind] = len(group) - np.searchsorted(group, cuts[c], side="left")
        return counts

    def confusion(self, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Count the confusion at C thresholds, C x 2 x 2."""
        return build_confusion(self.at_least(thresholds[:, None])[:, :, 0], self.totals)


def build_confusion(predicted: NDArray[np.int64], totals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Build confusion matrices from predicted and total counts.

    ... x 2 x 2 ``[[tn, fp], [fn, tp]]`` from (tp, fp) and (positives, negatives), each ... x 2.
    """
    (tp, fp), (fn, tn) = np.moveaxis(predicted, -1, 0), np.moveaxis(totals - predicted, -1, 0)
    return np.stack([tn, fp, fn, tp], axis=-1).reshape(*tp.shape, 2, 2)


def round_up(values: NDArray[np.float64], dtype: np.dtype) -> NDArray[np.floating]:
    """Return the smallest numbers of `dtype` that are not below `values`.

    For a score of `dtype`, ``score >= round_up(t)`` is then the same as ``float64(score) >= t``, and the
    scores need not be widened to be compared.
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype)
    below = rounded.astype(np.float64) < values
    return np.where(below, np.nextafter(rounded, dtype.type(np.inf)), rounded)


def predict(score: NDArray[np.floating], thresholds: NDArray[np.float64] | None) -> NDArray[np.bool_]:
    """Decide what is predicted; None: the likeliest class, first of equals."""
    if thresholds is None:
        return score.argmax(axis=1)[:, None] == np.arange(score.shape[1])
    return score >= round_up(thresholds, score.dtype)


@dataclass(frozen=True)
class Cuts:
    """The counts of one class at each of its K cut points.

    The first cut stands just above all scores: nothing is predicted there. At the others, each of them a
    score that occurs, the samples with ``score >= threshold`` are predicted.
    """

    #: K float64, strictly falling; empty where no label is known.
    thresholds: NDArray[np.float64]
    #: K int64, never falling: positives and negatives that are predicted.
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    #: How many are known.
    positives: int
    negatives: int

    @property
    def confusion(self) -> NDArray[np.int64]:
        """K x 2 x 2 ``[[tn, fp], [fn, tp]]``."""
        tn, fn = self.negatives - self.fp, self.positives - self.tp
        return np.stack([tn, self.fp, fn, self.tp], axis=-1).reshape(-1, 2, 2)


def find_cuts(label: NDArray[np.int8], score: NDArray[np.floating]) -> Cuts:
    """Find the cut points of one class; labels below 0 are unknown.

    One sort and one running sum: 1,000,000 samples take 0.2 s.
    """
    known = label >= 0
    if not known.all():
        label, score = label[known], score[known]
    order = np.argsort(score)[::-1]
    score, label = score[order], label[order]
    # Samples of equal score are predicted together, so only the last of them is a cut.
    last = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(score) else np.empty(0, np.int64)
    thresholds, tp = score[last].astype(np.float64), np.cumsum(label, dtype=np.int64)[last]
    fp = last + 1 - tp
    # Above an infinite score there is no threshold.
    if len(thresholds) and thresholds[0] < np.inf:
        thresholds = np.insert(thresholds, 0, np.nextafter(thresholds[0], np.inf))
        tp, fp = np.insert(tp, 0, 0), np.insert(fp, 0, 0)
    positives = int(np.count_nonzero(label))
    return Cuts(thresholds, tp, fp, positives, len(label) - positives)


def count_pairs(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the rows true in both column i and column j."""
    counts = np.zeros((left.shape[1], right.shape[1]), np.int64)
    for start in range(0, len(left), _BLOCK):
        one, other = (part[start : start + _BLOCK].astype(np.float32) for part in (left, right))
        counts += (one.T @ other).astype(np.int64)
    return counts


def find_commonest_sets(
    is_so: NDArray[np.bool_], said: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find the distinct pairs of sets, the commonest first.

    Returns the first row of each, its count, and for each row which pair it has. Of equal counts the one comes
    first that stands first.
    """
    rows = np.packbits(np.concatenate([is_so, said], axis=1), axis=1)
    width = rows.shape[1]
    # As one number a row they sort many times faster.
    keys = np.pad(rows, ((0, 0), (0, 8 - width))).view(np.uint64) if width <= 8 else rows.view(f"V{width}")
    _, first, pair, count = np.unique(
        keys.reshape(-1), return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -count))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return first[order], count[order], place[pair.reshape(-1)]
