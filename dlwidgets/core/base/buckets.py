"""A long column decimated to buckets, updated at little cost."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from .history import GrowingColumn, History

#: How many rows one chunk of the first coarse copy stands for, and how many chunks one of the next.
_CHUNK = 16


class Buckets(NamedTuple):
    """Least, greatest and mean of steps, bucket by bucket.

    `step` is the last step of each bucket. Buckets in which nothing was measured are left out.
    """

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

    A bucket holds 1, 2, 4, 8... steps and begins at a multiple of that, so that what was drawn once stays
    as it is while the column grows. Coarse copies, each a sixteenth of the one before, grow with the column:
    a picture of a million steps costs as much as one of a few thousand. One thread may append to the column
    while others make pictures.

    Parameters
    ----------
    column : row i is step i + 1; NaN where nothing was measured.
    """

    def __init__(self, column: GrowingColumn) -> None:
        self._column = column
        self._copies: list[_ChunkTable] = []
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
            nothing = np.empty(0, np.float32)
            return Buckets(nothing, nothing, nothing, nothing)
        width = _width(begin, end, most)
        rows, parts = self._parts(values, begin, end, width)
        return _reduced(rows, parts, end, width)

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
            coarse = self._copies[level - 1].parts[:, left:right]
        rows, pieces = [np.arange(left, right) * size], [coarse]
        # What the whole chunks leave at both ends; the newest rows must not be missing from a live curve.
        if begin < left * size:
            rows.insert(0, np.array([begin]))
            pieces.insert(0, _digest(values[None, begin : left * size]))
        if right * size < end:
            rows.append(np.array([right * size]))
            pieces.append(_digest(values[None, right * size : end]))
        return np.concatenate(rows), np.concatenate(pieces, axis=1)

    def _extend(self, values: np.ndarray, level: int) -> None:
        """Let the copies up to `level` hold all whole chunks of `values`."""
        while len(self._copies) < level:
            self._copies.append(_ChunkTable())
        below: np.ndarray | None = None
        for copy in self._copies[:level]:
            done, whole = copy.length, (len(values) if below is None else below.shape[1]) // _CHUNK
            if whole > done:
                new = slice(done * _CHUNK, whole * _CHUNK)
                copy.append(
                    _digest(values[new].reshape(-1, _CHUNK)) if below is None
                    else _combined(below[:, new].reshape(4, -1, _CHUNK))
                )  # fmt: skip
            below = copy.parts


class EvaluationSeries:
    """Reads a history's validation losses, anew only where it has grown.

    Parameters
    ----------
    history : its evaluations are rows with "step" and "valid_loss"; the last may still be replaced.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._steps, self._losses = GrowingColumn(), GrowingColumn()

    def within(
        self, first: float = -np.inf, last: float = np.inf, most: int = 400
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return steps and losses between two steps, and one beyond each.

        Of more than `2 * most` points each bucket's least and greatest are kept, and the newest point.
        """
        rows = self._history.evaluations[len(self._steps) :]
        for row in rows[:-1]:
            self._steps.append(row["step"])
            self._losses.append(row["valid_loss"])
        steps = np.append(self._steps.values, [row["step"] for row in rows[-1:]])
        losses = np.append(self._losses.values, [row["valid_loss"] for row in rows[-1:]])
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


class _ChunkTable:
    """Keeps least, greatest, total and number of chunks: 4 x n."""

    def __init__(self) -> None:
        self._array = np.empty((4, 64))
        self.length = 0

    @property
    def parts(self) -> np.ndarray:
        return self._array[:, : self.length]

    def append(self, parts: np.ndarray) -> None:
        length = self.length + parts.shape[1]
        if length > self._array.shape[1]:
            grown = np.empty((4, max(length, 2 * self._array.shape[1])))
            grown[:, : self.length] = self.parts
            self._array = grown
        self._array[:, self.length : length] = parts
        self.length = length


def _width(begin: int, end: int, most: int) -> int:
    """Return the power of two that cuts rows into `most` buckets."""
    width = 1
    while (end - 1) // width - begin // width >= most:
        width *= 2
        # However wide they get, one boundary may lie inside the stretch: a single bucket is then the whole.
        if most == 1 and width >= end - begin:
            return max(width, 1 << (end - 1).bit_length())
    return width


def _digest(values: np.ndarray) -> np.ndarray:
    """Return least, greatest, total and number along axis 1: 4 x n."""
    known = ~np.isnan(values)
    return np.stack([
        np.where(known, values, np.inf).min(axis=1), np.where(known, values, -np.inf).max(axis=1),
        np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1, dtype=float),
    ])  # fmt: skip


def _combined(parts: np.ndarray) -> np.ndarray:
    low, high, total, count = parts
    return np.stack([low.min(axis=1), high.max(axis=1), total.sum(axis=1), count.sum(axis=1)])


def _reduced(rows: np.ndarray, parts: np.ndarray, end: int, width: int) -> Buckets:
    bucket = rows // width
    edges = np.flatnonzero(np.diff(bucket, prepend=-1))
    low, high, total, count = parts
    if len(edges) < len(rows):
        low, high = np.minimum.reduceat(low, edges), np.maximum.reduceat(high, edges)
        total, count = np.add.reduceat(total, edges), np.add.reduceat(count, edges)
    step = np.minimum((bucket[edges] + 1) * width, end)
    full = count > 0
    # A gradient norm may be infinite, or too large for float32: the page leaves a gap there.
    with np.errstate(over="ignore", invalid="ignore"):
        mean = total[full] / count[full]
        return Buckets(*(array.astype(np.float32) for array in (step[full], low[full], high[full], mean)))
