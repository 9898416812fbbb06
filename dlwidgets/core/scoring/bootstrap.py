"""Samples drawn with replacement, as counts of how often each kind of sample was drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A binomial number costs about as much as so many whole numbers and their counting.
_BINOMIAL = 8


def drawn(
    counts: NDArray[np.int64], times: int, seed: int | Sequence[int] = 0, cells: int = 200_000
) -> Iterator[NDArray[np.float64]]:
    """Yield blocks of rows, `times` in all: how often each kind was drawn.

    Each row draws as many samples as there are, with replacement. Either the samples are drawn one by one and
    counted, or, where there are few kinds, the counts are drawn at once from their multinomial distribution;
    both are the same, and which it is depends on `counts` alone.

    Parameters
    ----------
    counts
        K: how many samples there are of each kind; at least one sample.
    times
        How often to draw all.
    seed
        Of the random numbers.
    cells
        Numbers held at a time; by default few enough for the processor's cache. It changes no draw.

    Yields
    ------
    rows x K float64, whole numbers whose rows sum to ``counts.sum()``.
    """
    random = np.random.default_rng(seed)
    kinds, total = len(counts), int(counts.sum())
    at_once = kinds * _BINOMIAL < total
    kind_of = np.empty(0, np.int64) if at_once else np.repeat(np.arange(kinds), counts)
    most = max(1, cells // (kinds if at_once else max(kinds, total)))
    for start in range(0, times, most):
        rows = min(most, times - start)
        if at_once:
            yield random.multinomial(total, counts / total, rows).astype(np.float64)
            continue
        at = kind_of[random.integers(0, total, (rows, total))] + np.arange(rows)[:, None] * kinds
        yield np.bincount(at.ravel(), minlength=rows * kinds).reshape(rows, kinds).astype(np.float64)
