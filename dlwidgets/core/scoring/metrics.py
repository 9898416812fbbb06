"""Rates of 2 x 2 confusion matrices, as precision and recall: of each class and on average."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: The rates of a 2 x 2 matrix, in the order of the tables; "fbeta" stands behind "f1" where asked for.
RATES = ("accuracy", "precision", "recall", "specificity", "f1", "matthews", "jaccard")

#: Samples that are judged at a time: their tables then stay in the processor's cache.
_ROWS = 16_384


def rate(
    name: str, confusion: NDArray[np.int64], beta: float = 1.0, zero_division: float = np.nan
) -> NDArray[np.float64]:
    """Return one rate of ... x 2 x 2 matrices ``[[tn, fp], [fn, tp]]``.

    Parameters
    ----------
    name
        One of `RATES`, or "fbeta".
    confusion
        ... x 2 x 2 counts.
    beta
        For "fbeta": how many times as much recall counts as precision; 0 gives precision, infinity recall.
    zero_division
        What 0 / 0 is. A matrix without any count stays NaN all the same: nothing was compared.

    Returns
    -------
    ... float64.
    """
    # int64 holds products of two counts exactly up to three billion samples; smaller dtypes would overflow.
    confusion = np.asarray(confusion, np.int64)
    tn, fp, fn, tp = (confusion[..., i, j] for i in (0, 1) for j in (0, 1))
    value = _of_beta(fp, fn, tp, beta) if name == "fbeta" else _FORMULAS[name](tn, fp, fn, tp)
    if not np.isnan(zero_division):
        value = np.where(np.isnan(value) & (tn + fp + fn + tp > 0), zero_division, value)[()]
    return value


def rates(
    confusion: NDArray[np.int64], beta: float = 1.0, zero_division: float = np.nan
) -> dict[str, NDArray[np.float64]]:
    """Return every rate of ... x 2 x 2 matrices by name; "fbeta" among them where `beta` is not 1."""
    return {name: rate(name, confusion, beta, zero_division) for name in names(beta)}


def names(beta: float = 1.0) -> tuple[str, ...]:
    """Return the names of the rates in the order of the printed tables."""
    if beta == 1:
        return RATES
    after = RATES.index("f1") + 1
    return (*RATES[:after], "fbeta", *RATES[after:])


def averaged(
    confusion: NDArray[np.int64], beta: float = 1.0, zero_division: float = np.nan
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return the rates of ... x C x 2 x 2 matrices as macro, micro and weighted averages over the C classes.

    Macro is the mean of the classes, weighted the mean weighted by their supports, micro the rate of the
    summed counts. A class whose rate is NaN is left out of its macro and weighted averages, as scikit-learn
    does with ``zero_division=nan``.

    Returns
    -------
    By average, then by rate: ... float64.
    """
    support = confusion[..., 1, :].sum(axis=-1)
    each = rates(confusion, beta, zero_division)
    return {
        "macro": {name: mean(value) for name, value in each.items()},
        "micro": rates(confusion.sum(axis=-3), beta, zero_division),
        "weighted": {name: weighted_mean(value, support, zero_division) for name, value in each.items()},
    }


def samples_averaged(
    labels: NDArray[np.int8],
    predicted: NDArray[np.bool_],
    beta: float = 1.0,
    zero_division: float = np.nan,
) -> dict[str, float]:
    """Return the mean over the samples of each sample's own rates, over those of its labels that are known.

    Where a rate is NaN for a sample, as precision is where nothing is predicted, the sample is left out of
    its mean, as scikit-learn does with ``zero_division=nan``. A sample without any known label always is.

    Parameters
    ----------
    labels
        N x C: 1, 0, -1 unknown.
    predicted
        N x C: what was said.
    """
    sums, counts = dict.fromkeys(names(beta), 0.0), dict.fromkeys(names(beta), 0)
    for start in range(0, len(labels), _ROWS):
        block = slice(start, start + _ROWS)
        tables = sample_tables(labels[block], predicted[block])
        for name, value in rates(tables, beta, zero_division).items():
            there = ~np.isnan(value)
            sums[name] += value[there].sum()
            counts[name] += np.count_nonzero(there)
    return {name: float(sums[name] / counts[name]) if counts[name] else np.nan for name in sums}


def sample_tables(labels: NDArray[np.int8], predicted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return N x 2 x 2 ``[[tn, fp], [fn, tp]]`` of each sample over its known labels."""
    # Classes first: numpy adds long rows many times faster than short ones.
    labels, said = np.ascontiguousarray(labels.T), np.ascontiguousarray(predicted.T)
    known, positive = labels >= 0, labels == 1
    tp, pp = _count(positive & said), _count(known & said)
    positives, total = _count(positive), _count(known)
    cells = [total - positives - pp + tp, pp - tp, positives - tp, tp]
    return np.stack(cells, axis=-1).reshape(-1, 2, 2)


def one_against_rest(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return C x 2 x 2, each class against the rest, of a C x C matrix: rows are, columns said."""
    tp, positives, said = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    cells = [matrix.sum() - positives - said + tp, said - tp, positives - tp, tp]
    return np.stack(cells, axis=-1).reshape(-1, 2, 2)


def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the last axis of what is not NaN; NaN where nothing is left."""
    return _mean(values, np.ones(values.shape))


def weighted_mean(
    values: NDArray[np.float64], weights: NDArray, zero_division: float = np.nan
) -> NDArray[np.float64]:
    """Return the weighted mean over the last axis of what is not NaN.

    Where all weights are 0 it is NaN, unless 0 / 0 is given a value: then the plain mean, as scikit-learn's.
    """
    weighted = _mean(values, weights)
    return weighted if np.isnan(zero_division) else np.where(np.isnan(weighted), mean(values), weighted)[()]


def _count(which: NDArray[np.bool_]) -> NDArray[np.int64]:
    return which.sum(axis=0, dtype=np.int32).astype(np.int64)


def _mean(values: NDArray[np.float64], weights: NDArray) -> NDArray[np.float64]:
    weights = np.where(np.isnan(values), 0, weights)
    return ratio((np.nan_to_num(values) * weights).sum(axis=-1), weights.sum(axis=-1))


def ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """Return `part` / `whole`, NaN of nothing."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    # The brackets make an array of no dimension the number that it is.
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)[()]


def _of_beta(fp: NDArray, fn: NDArray, tp: NDArray, beta: float) -> NDArray[np.float64]:
    # Divided by 1 + beta^2, so that an infinite one is a limit and no 0 x infinity.
    square = float(beta) * float(beta)
    recall_share = square / (1 + square) if square < np.inf else 1.0
    return ratio(tp, tp + recall_share * fn + (1 - recall_share) * fp)


def _matthews(tn: NDArray, fp: NDArray, fn: NDArray, tp: NDArray) -> NDArray[np.float64]:
    # The product of all four margins would leave int64 at 100,000 samples.
    said, is_so = (np.asarray(pair, np.float64) for pair in ((tp + fp) * (tn + fn), (tp + fn) * (tn + fp)))
    return ratio(tp * tn - fp * fn, np.sqrt(said * is_so))


_FORMULAS: dict[str, Callable[[NDArray, NDArray, NDArray, NDArray], NDArray[np.float64]]] = {
    "accuracy": lambda tn, fp, fn, tp: ratio(tp + tn, tp + tn + fp + fn),
    "precision": lambda tn, fp, fn, tp: ratio(tp, tp + fp),
    "recall": lambda tn, fp, fn, tp: ratio(tp, tp + fn),
    "specificity": lambda tn, fp, fn, tp: ratio(tn, tn + fp),
    "f1": lambda tn, fp, fn, tp: ratio(2 * tp, 2 * tp + fp + fn),
    "matthews": _matthews,
    "jaccard": lambda tn, fp, fn, tp: ratio(tp, tp + fp + fn),
}
