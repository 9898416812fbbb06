"""Spark lines: recent update ratios of each layer, in few bytes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from .probes import LayerStats

#: A byte counts from 1 in hundredths of four decades: 1 is 1e-9, 255 is 1.45e1; 0 is nothing known.
LOWEST, STEP = -9.0, 0.04


class Sparklines:
    """Keeps recent update ratios of many layers on a log scale.

    A run that began not long ago is kept whole: when the room is full, points are joined two by two, until
    one stands for `span / points` seconds. From then on the oldest goes for each new one. Any thread may
    call.

    Parameters
    ----------
    points : most points kept of each layer.
    span : what a full history covers [s], where it is measured that often.
    """

    def __init__(self, points: int = 120, span: float = 120.0) -> None:
        self._points, self._longest = points, span / points
        self._every = 0.0
        self._columns: dict[str, int] = {}
        self._values = np.empty((0, 0), np.float32)
        #: Of each point: when it began [s], how many measurements it stands for, its first step.
        self._times: list[float] = []
        self._weights: list[int] = []
        self._steps: list[int] = []
        self._lock = threading.Lock()

    def add(self, stats: LayerStats, now: float) -> None:
        """Note what was measured at `now` [s]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(stats.update_ratio.astype(np.float64))
        # Weights that did not move at all stand at the lowest; what is not finite leaves a gap.
        logs = np.where(np.isfinite(stats.update_ratio), np.maximum(logs, LOWEST), np.nan)
        with self._lock:
            for path in stats.paths:
                self._columns.setdefault(path, len(self._columns))
            more = len(self._columns) - self._values.shape[1]
            if more:
                self._values = np.pad(self._values, ((0, 0), (0, more)), constant_values=np.nan)
            row = np.full(len(self._columns), np.nan, np.float32)
            row[[self._columns[path] for path in stats.paths]] = logs
            if self._times and now - self._times[-1] < self._every:
                self._values[-1] = _mean(self._values[-1], row, self._weights[-1], 1)
                self._weights[-1] += 1
                return
            if len(self._times) == self._points:
                self._make_place(now)
            self._values = np.vstack([self._values, row])
            self._times.append(now)
            self._weights.append(1)
            self._steps.append(stats.step)

    def packed(self, paths: Sequence[str], most: int | None = None) -> tuple[bytes, int]:
        """Return bytes, paths x points, oldest first, and the number of points.

        A byte `q` above 0 stands for the ratio 10 ** (LOWEST + STEP * (q - 1)). With `most`, every second,
        third... point is left out, so that no more are returned.
        """
        with self._lock:
            values = self._values
            if most is not None and len(values) > most:
                values = values[:: len(values) // -most][::-1] if most else values[:0]
            out = np.zeros((len(paths), len(values)), np.uint8)
            known = [(i, self._columns[path]) for i, path in enumerate(paths) if path in self._columns]
            if known and len(values):
                rows, columns = (list(side) for side in zip(*known))
                logs = values[:, columns].T
                steps = np.clip(np.round((logs - LOWEST) / STEP), 0, 254) + 1
                out[rows] = np.where(np.isnan(logs), 0, steps).astype(np.uint8)
            return out.tobytes(), len(values)

    @property
    def since(self) -> int | None:
        """The step of the oldest point, or None."""
        return self._steps[0] if self._steps else None

    def _make_place(self, now: float) -> None:
        """Join the points two by two, or let the oldest go."""
        each = (now - self._times[0]) / len(self._times)
        if self._every < self._longest and each < self._longest:
            self._every = min(self._longest, 2 * max(self._every, each))
            pairs, weights = len(self._times) // 2, np.array(self._weights)
            # Of an odd number the newest stays alone.
            left, right = self._values[0 : 2 * pairs : 2], self._values[1 : 2 * pairs : 2]
            joined = _mean(left, right, weights[0 : 2 * pairs : 2, None], weights[1 : 2 * pairs : 2, None])
            self._values = np.vstack([joined, self._values[2 * pairs :]])
            self._times, self._steps = self._times[::2], self._steps[::2]
            self._weights = [sum(self._weights[i : i + 2]) for i in range(0, len(self._weights), 2)]
        else:
            self._values = self._values[1:]
            del self._times[0], self._weights[0], self._steps[0]


def _mean(one: np.ndarray, other: np.ndarray, n: np.ndarray | int, m: np.ndarray | int) -> np.ndarray:
    both = ((n * one + m * other) / (n + m)).astype(np.float32)
    return np.where(np.isnan(one), other, np.where(np.isnan(other), one, both))
