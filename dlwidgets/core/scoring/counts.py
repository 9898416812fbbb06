"""Counts at thresholds, at every cut point, and of label pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Rows multiplied at a time: sums of ones in float32 are exact below 2 ** 24.
_BLOCK = 2**20
#: And their cells, 64 MB of float32.
_CELLS = 2**24
#: Columns that are sorted at a time.
_COLUMNS = 64
#: Falls of counts that are packed at a time.
_FALLS = 2_000_000


class RankedScores:
    """The scores of C classes, positives and negatives apart, each sorted once.

    A count at a new threshold then takes two bisections a class, however many samples there are. It holds
    one copy of the known scores in their own dtype (float32 or float64, no NaN). `labels` are N x C int8: 1
    positive, 0 negative, anything else unknown and left out.
    """

    def __init__(self, labels: NDArray[np.int8], scores: NDArray[np.floating]) -> None:
        self.dtype = scores.dtype
        self.columns: list[tuple[NDArray[np.floating], NDArray[np.floating]]] = []
        for start in range(0, scores.shape[1], _COLUMNS):
            # Some columns are turned into rows at a time: one alone would read a whole line of memory a number.
            some = (np.ascontiguousarray(part[:, start : start + _COLUMNS].T) for part in (labels, scores))
            for label, score in zip(*some):
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


def pack_counts(counts: NDArray[np.unsignedinteger], totals: NDArray[np.int64]) -> bytes:
    """Pack counts at rising thresholds in far fewer bytes.

    Of C x 2 x K counts that never rise and C x 2 `totals` come the falls from one to the next, of each row the
    first from its total: as numbers of 7 bits a byte, the lowest first, with 128 added to all bytes of one but
    the last (LEB128). A 0 is followed by how many falls are 0 in a row; those at the end are left out.
    """
    parts = []
    step = max(1, _FALLS // (2 * counts.shape[2]))
    for start in range(0, len(counts), step):
        some = counts[start : start + step].astype(np.int64)
        falls = -np.diff(some, axis=2, prepend=totals[start : start + step, :, None]).reshape(-1)
        last = start + step >= len(counts)
        at = np.flatnonzero(falls)
        ends = at if last else np.append(at, len(falls))
        gaps = np.diff(ends, prepend=-1) - 1
        tokens = np.stack([np.zeros_like(gaps), gaps, np.append(falls[at], np.zeros(len(ends) - len(at), int))], 1)
        wanted = np.stack([gaps > 0, gaps > 0, np.arange(len(ends)) < len(at)], 1)
        parts.append(_pack_numbers(tokens[wanted]))
    return b"".join(parts)


def _pack_numbers(numbers: NDArray[np.int64]) -> bytes:
    """Return whole numbers in 7 bits a byte."""
    width = np.ones(len(numbers), np.int64)
    for bits in range(7, 63, 7):
        width += numbers >> bits > 0
    starts = np.cumsum(width) - width
    found = np.zeros(int(width.sum()), np.uint8)
    for place in range(int(width.max(initial=0))):
        there = width > place
        more = (width[there] > place + 1) << 7
        found[starts[there] + place] = (numbers[there] >> (7 * place)) & 127 | more
    return found.tobytes()


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
    rows = max(1, min(_BLOCK, _CELLS // max(left.shape[1], right.shape[1])))
    for start in range(0, len(left), rows):
        one, other = (part[start : start + rows].astype(np.float32) for part in (left, right))
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
