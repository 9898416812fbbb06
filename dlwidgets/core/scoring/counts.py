"""Counts at thresholds: scores sorted once, then true and false positives at any threshold by bisection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RankedScores:
    """The scores of C classes, positives and negatives apart, each sorted once.

    A count at a new threshold then takes two bisections a class, however many samples there are. It holds
    one copy of the known scores in their own dtype (float32 or float64).

    Parameters
    ----------
    labels
        N x C int8: 1 positive, 0 negative, anything else unknown and left out.
    scores
        N x C float32 or float64 without NaN.
    """

    def __init__(self, labels: NDArray[np.int8], scores: NDArray[np.floating]) -> None:
        self.dtype = scores.dtype
        self.columns: list[tuple[NDArray[np.floating], NDArray[np.floating]]] = []
        for c in range(scores.shape[1]):
            label, score = labels[:, c], np.ascontiguousarray(scores[:, c])
            self.columns.append((np.sort(score[label == 1]), np.sort(score[label == 0])))
        self.totals: NDArray[np.int64] = np.array([[len(p), len(n)] for p, n in self.columns], np.int64)

    def at_least(self, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return how many positives and how many negatives score at least each threshold.

        Parameters
        ----------
        thresholds
            C x K float64: K thresholds for each class.

        Returns
        -------
        C x 2 x K int64: ``[:, 0]`` positives (true positives), ``[:, 1]`` negatives (false positives).
        """
        cuts = round_up(thresholds, self.dtype)
        counts = np.empty((len(self.columns), 2, cuts.shape[1]), np.int64)
        for c, (positives, negatives) in enumerate(self.columns):
            counts[c, 0] = len(positives) - np.searchsorted(positives, cuts[c], side="left")
            counts[c, 1] = len(negatives) - np.searchsorted(negatives, cuts[c], side="left")
        return counts

    def confusion(self, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return C x 2 x 2 ``[[tn, fp], [fn, tp]]`` at C thresholds."""
        return matrices(self.at_least(thresholds[:, None])[:, :, 0], self.totals)


def matrices(predicted: NDArray[np.int64], totals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ... x 2 x 2 ``[[tn, fp], [fn, tp]]`` from (tp, fp) and (positives, negatives), each ... x 2."""
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
