"""Label pairs: said instead, coming together, and mistaken sets of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .inputs import read_row_count
from .metrics import ratio

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from .scores import Scores

#: Rows multiplied at a time: sums of ones in float32 are exact below 2 ** 24.
_BLOCK = 2**20


def missed_for(
    scores: Scores,
    thresholds: float | Sequence[float] | None = 0.5,
    *,
    wrong_only: bool = False,
    shares: bool = False,
) -> pd.DataFrame:
    """Return C x C; see `Scores.missed_for`."""
    said = scores.predictions(thresholds)
    missed = (scores.y_true == 1) & ~said
    counts = together(missed, said & (scores.y_true == 0) if wrong_only else said)
    return _square(
        scores, ratio(counts, missed.sum(axis=0)[:, None]) if shares else counts, "missed", "predicted"
    )


def cooccurrence(
    scores: Scores,
    kind: str = "true",
    thresholds: float | Sequence[float] | None = 0.5,
    *,
    shares: bool = False,
) -> pd.DataFrame:
    """Return C x C; see `Scores.cooccurrence`."""
    if kind not in ("true", "predicted"):
        raise ValueError(f"There is no co-occurrence of {kind!r}: give 'true' or 'predicted'.")
    has = scores.y_true == 1 if kind == "true" else scores.predictions(thresholds)
    counts = together(has, has)
    return _square(scores, ratio(counts, has.sum(axis=0)[:, None]) if shares else counts, "has", "and")


def mistaken_sets(
    scores: Scores, thresholds: float | Sequence[float] | None = 0.5, top: int | None = 20
) -> pd.DataFrame:
    """Return the commonest mistakes; see `Scores.mistaken_sets`."""
    import pandas as pd

    known = scores.y_true >= 0
    is_so, said = scores.y_true == 1, scores.predictions(thresholds) & known
    rows = np.flatnonzero((is_so != said).any(axis=1))
    first, count = commonest_sets(is_so[rows], said[rows])
    wanted = read_row_count(top)
    first, count = first[:wanted], count[:wanted]
    examples = rows[first]
    ids = np.arange(scores.n_samples) if scores.sample_ids is None else scores.sample_ids
    return pd.DataFrame(
        {
            "true": [_named(scores, is_so[n]) for n in examples],
            "predicted": [_named(scores, said[n]) for n in examples],
            "count": count,
            "share": ratio(count, known.any(axis=1).sum()),
            "sample": ids[examples],
        }
    )


def together(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the rows in which two columns are both true.

    C x C int64: column i of `left` and column j of `right`.
    """
    counts = np.zeros((left.shape[1], right.shape[1]), np.int64)
    for start in range(0, len(left), _BLOCK):
        one, other = (part[start : start + _BLOCK].astype(np.float32) for part in (left, right))
        counts += (one.T @ other).astype(np.int64)
    return counts


def commonest_sets(
    is_so: NDArray[np.bool_], said: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the distinct pairs of sets, the commonest first.

    Returns the first row of each and its count. Of equal counts the one comes first that stands first.
    `is_so` and `said` are N x C.
    """
    packed = np.packbits(np.concatenate([is_so, said], axis=1), axis=1)
    if packed.shape[1] <= 8:
        # As one number a row they sort many times faster.
        wide = np.zeros((len(packed), 8), np.uint8)
        wide[:, : packed.shape[1]] = packed
        keys: NDArray[Any] = wide.view(np.uint64).reshape(-1)
    else:
        keys = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).reshape(-1)
    _, first, count = np.unique(keys, return_index=True, return_counts=True)
    order = np.lexsort((first, -count))
    return first[order], count[order]


def _named(scores: Scores, has: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(scores.classes[c] for c in np.flatnonzero(has))


def _square(scores: Scores, values: NDArray, row: str, column: str) -> pd.DataFrame:
    import pandas as pd

    names = list(scores.classes)
    return pd.DataFrame(values, pd.Index(names, name=row), pd.Index(names, name=column))
