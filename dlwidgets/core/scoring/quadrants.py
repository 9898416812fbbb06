"""The samples in a quadrant of a class, the most confident first, and the columns that tell it apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .one_class import said_column

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .scores import Scores


def rows_in(
    scores: Scores,
    cls: int,
    cell: int,
    thresholds: ArrayLike | None,
    first: int = 0,
    count: int | None = None,
) -> tuple[NDArray[np.int64], int]:
    """Return the rows of a quadrant, the most confident first, and how many there are in all.

    What was said to be (`cell` 1, 3) falls by score, what was said not to be (0, 2) rises: among the mistakes
    the most confidently wrong come first. Equal scores keep the order of the rows.

    Parameters
    ----------
    cls : the number of the class.
    cell : 0 true negatives, 1 false positives, 2 false negatives, 3 true positives.
    thresholds : one, or one a class: a sample is said to be of the class where its score reaches it. None:
        of a multiclass task the likeliest class is said.
    first, count : which of them are wanted, in their order; None: all from `first` on.

    Notes
    -----
    The part that is wanted is found by partition, not by sorting all.
    """
    said = said_column(scores, slice(None), cls, thresholds)
    rows = np.flatnonzero((scores.y_true[:, cls] == cell // 2) & (said == bool(cell % 2)))
    score = scores.y_score[rows, cls]
    values = -score if cell % 2 else score
    last = len(rows) if count is None else min(len(rows), first + count)
    return rows[_lowest(values, last)[first:]], len(rows)


def _lowest(values: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Return where the `count` lowest values are, in order; equal ones in the order they stand."""
    if count <= 0:
        return np.empty(0, np.int64)
    limit = np.partition(values, count - 1)[count - 1]
    below = np.flatnonzero(values < limit)
    equal = np.flatnonzero(values == limit)[: count - len(below)]
    found = np.sort(np.concatenate([below, equal]))
    return found[np.argsort(values[found], kind="stable")]


def telling_columns(
    positive: NDArray[np.floating], negative: NDArray[np.floating], most: int = 4
) -> list[int]:
    """Return the columns in which two groups differ most, the most telling first.

    The measure is the difference of the means over the pooled standard deviation: J. Cohen, Statistical Power
    Analysis for the Behavioral Sciences, 2nd ed. 1988, ch. 2 (d). Values that are not finite are left out.

    Parameters
    ----------
    positive, negative : the rows of each group, P x F and N x F; either may be empty.
    most : how many columns are wanted.
    """
    groups = [
        np.where(np.isfinite(group), group, np.nan).astype(np.float64) for group in (positive, negative)
    ]
    features = groups[0].shape[1]
    if min(len(group) for group in groups) < 2:
        return list(range(min(features, most)))
    known = [(~np.isnan(group)).sum(axis=0) for group in groups]
    mean = [np.nansum(group, axis=0) / np.maximum(n, 1) for group, n in zip(groups, known)]
    spread = sum(np.nansum((group - m) ** 2, axis=0) for group, m in zip(groups, mean))
    pooled = np.sqrt(spread / np.maximum(known[0] + known[1] - 2, 1))
    apart = np.abs(mean[0] - mean[1])
    # A column that never varies within the groups and differs between them tells all.
    effect = np.divide(apart, pooled, out=np.where(apart > 0, np.inf, 0.0), where=pooled > 0)
    effect[(known[0] < 2) | (known[1] < 2)] = -1.0
    return np.argsort(-effect, kind="stable")[:most].tolist()
