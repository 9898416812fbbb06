"""A column of any length as a picture of a few hundred buckets, kept up to date at little cost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .history import Column

#: Rows that one chunk of the coarse copy stands for.
_CHUNK = 64


class Buckets(NamedTuple):
    """What a stretch of steps held, bucket by bucket; float32 arrays of one length.

    `step` is the last step of each bucket. Buckets in which nothing was measured are left out.
    """

    step: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray


class Curve:
    """Pictures of a growing column, in which no peak is lost: each bucket keeps its least and its greatest.

    A coarse copy grows with the column, so that a picture of a million steps costs no more than one of
    sixty thousand.

    Parameters
    ----------
    column : row i is step i + 1; NaN where nothing was measured.
    """

    def __init__(self, column: Column) -> None:
        self._column = column
        self._coarse = {name: Column() for name in ("low", "high", "total", "count")}

    def buckets(self, first: int = 1, last: int | None = None, most: int = 400) -> Buckets:
        """Return the steps `first` to `last` (both included; None: the newest) as at most `most` buckets."""
        values = self._column.values
        last = len(values) if last is None else min(last, len(values))
        first = max(1, first)
        if last < first:
            nothing = np.empty(0, np.float32)
            return Buckets(nothing, nothing, nothing, nothing)
        if last - first + 1 > most * _CHUNK:
            return self._from_chunks(values, first, last, most)
        part = values[first - 1 : last]
        empty = np.isnan(part)
        return _reduce(
            np.arange(first, last + 1), np.where(empty, np.inf, part), np.where(empty, -np.inf, part),
            np.where(empty, 0.0, part), (~empty).astype(float), most,
        )

    def _from_chunks(self, values: np.ndarray, first: int, last: int, most: int) -> Buckets:
        self._extend(values)
        begin, end = (first - 1) // _CHUNK, last // _CHUNK
        low, high, total, count = (self._coarse[name].values[begin:end] for name in self._coarse)
        steps = (np.arange(begin, end) + 1) * _CHUNK
        # The rows behind the last whole chunk are the newest: they must not be missing from a live curve.
        tail = values[end * _CHUNK : last]
        if len(tail):
            low, high, total, count = (
                np.append(array, value) for array, value in zip((low, high, total, count), _digest(tail))
            )
            steps = np.append(steps, last)
        return _reduce(steps, low, high, total, count, most)

    def _extend(self, values: np.ndarray) -> None:
        done, whole = len(self._coarse["low"]), len(values) // _CHUNK
        for chunk in values[done * _CHUNK : whole * _CHUNK].reshape(-1, _CHUNK):
            for column, value in zip(self._coarse.values(), _digest(chunk)):
                column.append(value)


def _digest(values: np.ndarray) -> tuple[float, float, float, float]:
    """Return least, greatest, total and number of the values that are not NaN."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.inf, -np.inf, 0.0, 0.0
    return float(known.min()), float(known.max()), float(known.sum()), float(len(known))


def _reduce(
    steps: np.ndarray, low: np.ndarray, high: np.ndarray, total: np.ndarray, count: np.ndarray, most: int
) -> Buckets:
    if len(steps) > most:
        edges = np.linspace(0, len(steps), most + 1).astype(np.int64)
        steps = steps[edges[1:] - 1]
        low, high = np.minimum.reduceat(low, edges[:-1]), np.maximum.reduceat(high, edges[:-1])
        total, count = np.add.reduceat(total, edges[:-1]), np.add.reduceat(count, edges[:-1])
    full = count > 0
    mean = total[full] / count[full]
    return Buckets(*(array.astype(np.float32) for array in (steps[full], low[full], high[full], mean)))
