"""Intervals of rates: Wilson's from the counts alone, and the bootstrap of samples."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from .bootstrap import drawn
from .metrics import averaged, names, rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTERVALS = (None, "wilson", "bootstrap")

#: How often the bootstrap draws; the ends of a 95 % interval then stand on 50 draws each.
RESAMPLES = 2000

#: Numbers of a table of different samples that are held at a time, 64 MB.
_NUMBERS = 8_000_000


def check_interval(interval: Any, level: Any) -> None:
    """Refuse an interval or a level that is not one, in a sentence."""
    if interval not in INTERVALS:
        raise ValueError(f"There is no interval {interval!r}: give None, 'wilson' or 'bootstrap'.")
    if not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"level is {level!r}: give how often the interval is to hold, as 0.95.")


def wilson(
    hits: NDArray[np.int64], of: NDArray[np.int64], level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and upper ends of Wilson's score interval of the share `hits` / `of`; NaN of none.

    It keeps its level with few samples and at shares of 0 and 1, where the usual +- 1.96 standard errors
    fail. Sources: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
    (1927); Brown, Cai and DasGupta, "Interval estimation for a binomial proportion", Statist. Sci. 16 (2001).
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    k, n = np.asarray(hits, np.float64), np.asarray(of, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (k + z**2 / 2) / (n + z**2)
        half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    # The ends at a share of 0 and of 1 are 0 and 1 but for rounding.
    low, high = np.where(k == 0, 0.0, middle - half), np.where(k == n, 1.0, middle + half)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def wilson_of(
    name: str, confusion: NDArray[np.int64], level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Wilson's interval of one rate of ... x 2 x 2 matrices; NaN for "fbeta" and "matthews".

    Accuracy, precision, recall, specificity and Jaccard are shares of counted samples. F1 = 2 J / (1 + J)
    rises with Jaccard's J, so its ends are those of J carried over (Lam, Gopal and Qian, "Confidence
    intervals for the F1 score: a comparison of four methods", arXiv:2309.14621, 2023: Wilson indirect).
    F-beta and Matthews are no function of one share: the bootstrap has theirs.
    """
    tn, fp, fn, tp = (confusion[..., i, j] for i in (0, 1) for j in (0, 1))
    if name == "f1":
        low, high = wilson(tp, tp + fp + fn, level)
        return 2 * low / (1 + low), 2 * high / (1 + high)
    shares = {
        "accuracy": (tp + tn, tp + tn + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "jaccard": (tp, tp + fp + fn),
    }
    if name not in shares:
        unknown = np.full(tp.shape, np.nan)
        return unknown, unknown
    return wilson(*shares[name], level)


def bootstrap(
    confusion: NDArray[np.int64], level: float = 0.95, *, beta: float = 1.0, seed: int = 0
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the percentile bootstrap intervals of every rate of C x 2 x 2 matrices, each class by itself.

    To draw n samples with replacement and to count them is to draw the four counts from a multinomial
    distribution of n, so `RESAMPLES` draws cost nothing that grows with the samples. Draws in which a rate
    is 0 / 0 are left out of its interval; a rate that is 0 / 0 itself has none (NaN). With few positives the
    percentile interval is too narrow, and of a rate of 0 or 1 it has no width: Wilson's holds there. Source:
    Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.

    Parameters
    ----------
    confusion
        C x 2 x 2 counts.
    level
        How often the interval is to hold.
    beta
        For "fbeta", which is there where beta is not 1.
    seed
        Of the random numbers; each class draws its own from it, whatever other classes there are.
    """
    count = len(confusion)
    ends = {name: (np.full(count, np.nan), np.full(count, np.nan)) for name in names(beta)}
    for c, table in enumerate(np.asarray(confusion, np.int64).reshape(count, 4)):
        total = table.sum()
        if not total:
            continue
        tables = np.random.default_rng([seed, c]).multinomial(total, table / total, RESAMPLES)
        for name, (low, high) in ends.items():
            if not np.isnan(rate(name, table.reshape(2, 2), beta)):
                low[c], high[c] = ends_of(rate(name, tables.reshape(-1, 2, 2), beta), level)
    return ends


def bootstrap_averages(
    labels: NDArray[np.int8],
    predicted: NDArray[np.bool_],
    level: float = 0.95,
    *,
    beta: float = 1.0,
    zero_division: float = np.nan,
    seed: int = 0,
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return the percentile bootstrap intervals of the macro, micro, weighted and samples averages.

    Whole samples are drawn, since the labels of a sample go together: an interval that took each label for
    a sample of its own would be too narrow. Equal samples are drawn as one with its count. It takes the
    longer the more different ones there are: 100,000 take some ten seconds.

    Parameters
    ----------
    labels
        N x C: 1, 0, -1 unknown.
    predicted
        N x C: what was said.
    level, beta, zero_division, seed
        As in `bootstrap` and `metrics.rate`.
    """
    patterns, counts = _patterns(labels, predicted)
    known, positive, said = patterns[:, 0] >= 0, patterns[:, 0] == 1, patterns[:, 1] == 1
    cells = np.stack([~positive & ~said, ~positive & said, positive & ~said, positive & said], axis=-1)
    cells &= known[..., None]
    sums = _class_sums(cells)
    of_samples = cells.sum(axis=1).reshape(-1, 2, 2)
    own = np.stack([rate(name, of_samples, beta, zero_division) for name in names(beta)], axis=-1)
    there = (~np.isnan(own)).astype(np.float64)
    own = np.nan_to_num(own)
    found = []
    # The products below want many rows at a time.
    for block in drawn(counts, RESAMPLES, seed, cells=4_000_000):
        tables = sums(block)
        with np.errstate(invalid="ignore"):
            of_draws = (block @ own) / (block @ there)
        samples = dict(zip(names(beta), of_draws.T))
        found.append({**averaged(tables, beta, zero_division), "samples": samples})
    return {
        average: {
            name: ends_of(np.concatenate([part[average][name] for part in found]), level)
            for name in names(beta)
        }
        for average in found[0]
    }


def ends_of(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Return the percentiles of what was drawn that hold `level` between them; NaN values are left out."""
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _class_sums(cells: NDArray[np.bool_]) -> Callable[[NDArray[np.float64]], NDArray[np.int64]]:
    """Return what sums the K x C x 4 `cells`, weighted by each row of rows x K, to rows x C x 2 x 2."""
    count, classes = cells.shape[:2]
    step = max(1, _NUMBERS // (4 * count))
    parts = [cells[:, c : c + step].reshape(count, -1) for c in range(0, classes, step)]
    if len(parts) == 1:
        # Widened once; of more parts only one at a time is held in eight times its size.
        parts = [parts[0].astype(np.float64)]

    def sums(block: NDArray[np.float64]) -> NDArray[np.int64]:
        found = [block @ part.astype(np.float64, copy=False) for part in parts]
        return np.rint(np.concatenate(found, axis=1)).astype(np.int64).reshape(len(block), classes, 2, 2)

    return sums


def _patterns(
    labels: NDArray[np.int8], predicted: NDArray[np.bool_]
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Return the K different samples, K x 2 x C (label, said), and how often each occurs."""
    # What is said where the label is unknown changes nothing.
    said = (predicted & (labels >= 0)).astype(np.int8)
    both = np.ascontiguousarray(np.stack([labels, said], axis=1)).reshape(len(labels), -1)
    rows = both.view(np.dtype((np.void, both.shape[1]))).reshape(-1)
    _, first, counts = np.unique(rows, return_index=True, return_counts=True)
    return both[first].reshape(len(first), 2, -1), counts
