"""A long column decimated to buckets, updated at little cost."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from .history import GrowingColumn, History

#: How many rows one chunk of the first coarse copy stands for, and how many chunks one of the next.
_CHUNK = 16


class Buckets(NamedTuple):
    """Least, greatest and mean of steps, where buckets have any."""

    #: The last step of each bucket.
    step: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray


def common_steps(one: History, other: History) -> int:
    """Count the first steps that two histories share, by their losses."""
    ours, theirs = one.columns["loss"].values, other.columns["loss"].values
    most = min(len(ours), len(theirs))
    differ = np.flatnonzero(ours[:most] != theirs[:most])
    return int(differ[0]) if len(differ) else most


class Curve:
    """Decimates a growing column; each bucket keeps its least and greatest.

    Row i is step i + 1, NaN where nothing was measured. A bucket holds 1, 2, 4, 8... steps and begins at a
    multiple of that, so that what was drawn once stays as it is while the column grows. Coarse copies, each a
    sixteenth of the one before, grow with the column: a picture of a million steps costs as much as one of a
    few thousand. One thread may append to the column while others make pictures.
    """

    def __init__(self, column: GrowingColumn) -> None:
        self._column = column
        #: Each: least, greatest, total and number of its chunks.
        self._copies: list[tuple[GrowingColumn, ...]] = []
        self._growing = threading.Lock()

    def buckets(self, first: int = 1, last: int | None = None, most: int = 400) -> Buckets:
        """Return steps `first` to `last` (included; None: newest) as buckets.

        A bucket's least and greatest are exact, its mean up to the rounding of a sum of float64.

        Raises
        ------
        ValueError : `most` is less than 1.
        """
        if most < 1:
            raise ValueError(f"most={most!r}: at least 1 bucket is wanted.")
        values = self._column.values
        end = len(values) if last is None else min(last, len(values))
        begin = max(0, first - 1)
        if end <= begin:
            return Buckets(*[np.empty(0, np.float32)] * 4)
        width = 1
        while (end - 1) // width - begin // width >= most:
            width *= 2
            # One boundary may always lie inside the stretch: a single bucket is then the whole.
            if most == 1 and width >= end - begin:
                width = max(width, 1 << (end - 1).bit_length())
        rows, (low, high, total, count) = self._parts(values, begin, end, width)
        bucket = rows // width
        edges = np.flatnonzero(np.diff(bucket, prepend=-1))
        if len(edges) < len(rows):
            low, high = np.minimum.reduceat(low, edges), np.maximum.reduceat(high, edges)
            total, count = np.add.reduceat(total, edges), np.add.reduceat(count, edges)
        step = np.minimum((bucket[edges] + 1) * width, end)
        full = count > 0
        # A gradient norm may be infinite, or too large for float32: the page leaves a gap there.
        with np.errstate(over="ignore", invalid="ignore"):
            mean = total[full] / count[full]
            return Buckets(*(one.astype(np.float32) for one in (step[full], low[full], high[full], mean)))

    def _parts(self, values: np.ndarray, begin: int, end: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows in pieces that fit buckets: first rows, 4 x n."""
        level, size = 0, 1
        while size * _CHUNK <= width:
            level, size = level + 1, size * _CHUNK
        left, right = -(-begin // size), end // size
        if level == 0 or right <= left:
            return np.arange(begin, end), _digest(values[begin:end, None])
        with self._growing:
            self._extend(values, level)
            coarse = np.stack([part.values[left:right] for part in self._copies[level - 1]])
        rows, pieces = [np.arange(left, right) * size], [coarse]
        # What the whole chunks leave at both ends; the newest rows must not be missing from a live curve.
        for place, first, last in ((0, begin, left * size), (2, right * size, end)):
            if first < last:
                rows.insert(place, np.array([first]))
                pieces.insert(place, _digest(values[None, first:last]))
        return np.concatenate(rows), np.concatenate(pieces, axis=1)

    def _extend(self, values: np.ndarray, level: int) -> None:
        """Let the copies up to `level` hold all whole chunks of `values`."""
        while len(self._copies) < level:
            self._copies.append(tuple(GrowingColumn() for _ in range(4)))
        length, below = len(values), ()
        for copy in self._copies[:level]:
            done, length = len(copy[0]), length // _CHUNK
            new = slice(done * _CHUNK, length * _CHUNK)
            if length > done and not below:
                parts = _digest(values[new].reshape(-1, _CHUNK))
            elif length > done:
                low, high, *sums = (part.values[new].reshape(-1, _CHUNK) for part in below)
                parts = [low.min(axis=1), high.max(axis=1), *(one.sum(axis=1) for one in sums)]
            else:
                parts = ()
            for column, part in zip(copy, parts):
                column.extend(part)
            below = copy


class EvaluationSeries:
    """Reads a history's validation losses, anew only where it has grown.

    The last evaluation may still be replaced. `name` is which entry of the evaluations is read, where they have it.
    """

    def __init__(self, history: History, name: str = "valid_loss") -> None:
        self._history, self._name = history, name
        self._steps, self._losses = GrowingColumn(), GrowingColumn()

    def within(
        self, first: float = -np.inf, last: float = np.inf, most: int = 400
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return steps and losses between two steps, and one beyond each.

        Of more than `2 * most` points each bucket's least and greatest are kept, and the newest point.
        """
        rows = self._history.evaluations[len(self._steps) :]
        new = np.array([(row["step"], row.get(self._name, np.nan)) for row in rows], float).reshape(-1, 2).T
        self._steps.extend(new[0, :-1])
        self._losses.extend(new[1, :-1])
        steps, losses = (
            np.append(self._steps.values, new[0, -1:]),
            np.append(self._losses.values, new[1, -1:]),
        )
        begin = max(0, int(np.searchsorted(steps, first)) - 1)
        end = int(np.searchsorted(steps, last, side="right")) + 1
        steps, losses = steps[begin:end], losses[begin:end]
        if len(steps) <= 2 * most:
            return steps, losses
        edges = np.linspace(0, len(steps), most).astype(np.int64)
        known = ~np.isnan(losses)
        low = np.minimum.reduceat(np.where(known, losses, np.inf), edges[:-1])
        high = np.maximum.reduceat(np.where(known, losses, -np.inf), edges[:-1])
        # Which of the two came first in its bucket does not show at this width.
        x = np.stack([steps[edges[:-1]], steps[edges[1:] - 1]], axis=1).ravel()
        y = np.stack([low, high], axis=1).ravel()
        return np.append(x, steps[-1]), np.append(y, losses[-1])


def _digest(values: np.ndarray) -> np.ndarray:
    """Return least, greatest, total and number along axis 1: 4 x n."""
    known = ~np.isnan(values)
    return np.stack([
        np.where(known, values, np.inf).min(axis=1), np.where(known, values, -np.inf).max(axis=1),
        np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1, dtype=float),
    ])  # fmt: skip
