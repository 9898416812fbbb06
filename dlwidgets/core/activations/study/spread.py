"""Histograms of a layer's values over time, in bounded memory."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from dataclasses import dataclass, fields

import numpy as np
import torch

from ...pictures.statistics import to_real

#: Bins between the ends of the range, and looks that are kept apart.
BINS, COLUMNS = 64, 256
#: The share of a look's values, zeros aside, that may lie beyond the range before it is doubled.
_BEYOND = 0.002


@dataclass
class SpreadColumn:
    """The values of one look, or of several neighbours put together.

    Attributes
    ----------
    step, last : the first and the last step of the looks in it.
    counts : int64, bins from the low end of the range to the high one; `below` and `above` lie beyond.
    zeros, nonfinite, total : how many values are exactly zero, not finite, or there at all.
    sum, squares : of the finite ones.
    """

    step: int
    last: int
    counts: np.ndarray
    below: int = 0
    above: int = 0
    zeros: int = 0
    nonfinite: int = 0
    total: int = 0
    sum: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        """The mean of the finite values; nan where there are none."""
        finite = self.total - self.nonfinite
        return self.sum / finite if finite else math.nan

    @property
    def std(self) -> float:
        """The deviation of the finite values (divided by n), or nan."""
        finite = self.total - self.nonfinite
        return math.sqrt(max(0.0, self.squares / finite - self.mean**2)) if finite else math.nan

    def joined(self, other: SpreadColumn) -> SpreadColumn:
        """Return this column and a later one as one."""
        counted = [field.name for field in fields(self)][2:]
        sums = (getattr(self, name) + getattr(other, name) for name in counted)
        return SpreadColumn(self.step, other.last, *sums)


class Spread:
    """Histograms of one tensor over a run, negatives included, column by column.

    All columns have the same bins: `bins` equal ones over -reach..reach, where `reach` is a power of two. It
    doubles when more than 0.2 % of a look's values, zeros aside, lie beyond it, which puts bins together in
    pairs, so that no count is guessed; what lay beyond before stays counted as such. When `columns` looks are
    there, neighbours are put together in pairs and time becomes coarser.

    The picture is the "colour dimension" of Howard and Gugger (Deep Learning for Coders, 2020, chapter 13).
    """

    def __init__(self, bins: int = BINS, columns: int = COLUMNS) -> None:
        if bins < 4 or bins % 4:
            raise ValueError(f"The number of bins is 4, 8, 12 ..., so that it can be halved, not {bins!r}.")
        if columns < 2:
            raise ValueError(f"A spread has at least 2 columns, not {columns!r}.")
        self.bins, self._most = bins, columns
        self.columns: list[SpreadColumn] = []
        self.reach = 0.0

    def add(self, step: int, tensor: torch.Tensor) -> None:
        """Count the values of `tensor`, seen after `step` steps.

        A second look at a step replaces the first; one within a column of several looks is left out.
        """
        values = to_real(tensor.detach()).flatten().double().cpu().numpy()
        if not values.size:
            return
        finite = values[np.isfinite(values)]
        self._widen(finite)
        reach = self.reach or 1.0
        inside = finite[(finite >= -reach) & (finite < reach)]
        counts = np.histogram(inside, self.bins, (-reach, reach))[0].astype(np.int64)
        column = SpreadColumn(
            step, step, counts, int((finite < -reach).sum()), int((finite >= reach).sum()),
            zeros=int((values == 0).sum()), nonfinite=int(values.size - finite.size), total=int(values.size),
            sum=float(finite.sum()), squares=float((finite**2).sum()),
        )  # fmt: skip
        at = bisect_left([one.last for one in self.columns], step)
        if at < len(self.columns) and self.columns[at].step <= step:
            if self.columns[at].step == self.columns[at].last:
                self.columns[at] = column
            return
        self.columns.insert(at, column)
        if len(self.columns) > self._most:
            pairs = itertools.zip_longest(self.columns[::2], self.columns[1::2])
            self.columns = [one if two is None else one.joined(two) for one, two in pairs]

    def cut(self, step: int) -> None:
        """Drop what comes after `step`, as when a run went back."""
        self.columns = [one for one in self.columns if one.last <= step]

    def shares(self) -> np.ndarray:
        """Return the share of values in each bin, columns x bins."""
        if not self.columns:
            return np.empty((0, self.bins))
        return np.stack([one.counts / one.total for one in self.columns])

    def shades(self) -> np.ndarray:
        """Return shades for drawing, uint8: columns x bins, low end first.

        0 is none at all; else the logarithm of the share, from one value in ten thousand (1) to all (255).
        """
        shares = self.shares()
        with np.errstate(divide="ignore"):
            depth = 1 + np.log10(shares) / 4
        return np.where(shares > 0, 1 + np.round(254 * np.clip(depth, 0, 1)), 0).astype(np.uint8)

    def _widen(self, values: np.ndarray) -> None:
        """Let the range hold nearly all of `values`."""
        sizes = np.abs(values[values != 0])
        if not sizes.size:
            return
        wanted = min(max(float(np.quantile(sizes, 1 - _BEYOND)), 2.0**-100), 2.0**100)
        if not self.reach:
            # Looks at zeros alone may be there: they lie in the bin right of the middle, whatever the range.
            self.reach = 2.0 ** (math.floor(math.log2(wanted)) + 1)
        while wanted >= self.reach:
            self.reach *= 2
            for one in self.columns:
                made = np.zeros_like(one.counts)
                made[self.bins // 4 : -self.bins // 4] = one.counts[::2] + one.counts[1::2]
                one.counts = made
