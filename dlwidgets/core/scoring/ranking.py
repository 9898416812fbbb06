"""Measures of a ranking: ROC-AUC, average precision, Brier, calibration error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from .intervals import draw_counts, percentile_ends, wilson_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: In the order of the printed table.
RANKED = ("roc_auc", "average_precision", "brier", "ece")
#: Those of the order alone.
ORDERED = RANKED[:2]
#: Bins of the calibration error, as many as in scikit-learn's customary reliability diagram.
BINS = 10
#: How often is drawn: a draw takes as long as there are different scores.
RESAMPLES = 1000


def rank_measures(
    positives: NDArray[np.floating], negatives: NDArray[np.floating], bins: int = BINS,
    order: tuple[NDArray, NDArray] | None = None,
) -> dict[str, float]:  # fmt: skip
    """Compute every name of `RANKED` for one class; NaN where not defined.

    The scores of the known `positives` and `negatives` are each sorted upward, without NaN; `order` are both
    again as log-odds, where probabilities of 1 would be ties.

    roc_auc : the chance that a positive scores higher than a negative, ties counting one half. That is the
        area under the ROC curve (Hanley and McNeil, Radiology 143, 1982), as `sklearn.metrics.roc_auc_score`.
        NaN without a positive or without a negative.
    average_precision : the mean over the positives of the precision at their scores. That is the sum of
        precision x rise of recall over all cut points, without interpolation, as
        `sklearn.metrics.average_precision_score`. NaN without a positive; without a negative it is 1.
    brier : the mean of (score - label)^2 (Brier, 1950), as `sklearn.metrics.brier_score_loss`.
    ece : the expected calibration error, the sum over `bins` of equal width of (share of the samples) x |mean
        score - share of positives| (Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities
        using Bayesian binning", AAAI 2015), for the probability of this one class (classwise: Kull et al.,
        "Beyond temperature scaling", NeurIPS 2019). Few samples in many bins make it larger than it is. Both
        are NaN where no label is known, or a score lies outside 0 ... 1 and so is no probability.
    """
    found = dict.fromkeys(RANKED, np.nan)
    known = len(positives) + len(negatives)
    if len(positives) and len(negatives):
        below = np.searchsorted(negatives, positives, side="left").sum(dtype=np.int64)
        not_above = np.searchsorted(negatives, positives, side="right").sum(dtype=np.int64)
        found["roc_auc"] = float((below + not_above) / (2 * len(positives) * len(negatives)))
    if len(positives):
        tp = len(positives) - np.searchsorted(positives, positives, side="left")
        fp = len(negatives) - np.searchsorted(negatives, positives, side="left")
        found["average_precision"] = float((tp / (tp + fp)).mean())
    if known and all(not len(one) or (one[0] >= 0 and one[-1] <= 1) for one in (positives, negatives)):
        off = ((1 - positives.astype(np.float64)) ** 2).sum() + (negatives.astype(np.float64) ** 2).sum()
        found["brier"] = float(off / known)
        _, hits, sums = calibration_bins(positives, negatives, bins)
        # (n / N) |sum / n - hits / n| without dividing by an empty bin.
        found["ece"] = float(np.abs(sums - hits).sum() / known)
    if order is not None:
        found |= {name: value for name, value in rank_measures(*order).items() if name in ORDERED}
    return found


def rank_labels(
    labels: NDArray[np.int8], scores: NDArray[np.floating], top: Sequence[int]
) -> dict[str, float]:
    """Measure how samples rank their labels, on average over the samples.

    Labels are N x C: 1, 0, or -1 unknown and left out; a sample of which none is known is left out as well.
    See `Scores.label_ranking`.
    """
    sums: dict[str, float] = {}
    count, step = 0, max(1, 2_000_000 // labels.shape[1])
    for start in range(0, len(labels), step):
        label = labels[start : start + step]
        label, score = label[(label >= 0).any(axis=1)], scores[start : start + step][(label >= 0).any(axis=1)]
        count += len(label)
        for name, values in _rank_rows(label, score.astype(np.float64), top).items():
            sums[name] = sums.get(name, 0.0) + float(values.sum())
    return {name: total / count if count else np.nan for name, total in sums.items()}


def _rank_rows(
    label: NDArray[np.int8], score: NDArray[np.float64], top: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    """Measure how each sample ranks its labels; each knows one at least."""
    # Unknown labels go behind all others.
    order = np.lexsort((-score, label < 0), axis=1)
    label, score = (np.take_along_axis(part, order, axis=1) for part in (label, score))
    known, has = label >= 0, label == 1
    of, positives = known.sum(axis=1), has.sum(axis=1)
    # Equal scores share the rank of the last of them.
    differs = (score[:, 1:] != score[:, :-1]) | (known[:, 1:] != known[:, :-1])
    last = np.append(differs, np.ones((len(of), 1), bool), axis=1)
    end = np.where(last, np.arange(label.shape[1]), label.shape[1])
    end = np.minimum.accumulate(end[:, ::-1], axis=1)[:, ::-1]
    rank, hits = end + 1, np.take_along_axis(has.cumsum(axis=1), end, axis=1)
    one_sided = (positives == 0) | (positives == of)
    precision = (has * hits / rank).sum(axis=1) / np.maximum(positives, 1)
    wrong = (has * (rank - hits)).sum(axis=1) / np.maximum(positives * (of - positives), 1)
    return {
        "label_ranking_average_precision": np.where(one_sided, 1.0, precision),
        "coverage_error": (has * rank).max(axis=1).astype(np.float64),
        "label_ranking_loss": np.where(one_sided, 0.0, wrong),
        **{f"precision_at_{k}": has[:, :k].sum(axis=1) / np.minimum(k, of) for k in top},
    }


def calibration_bins(
    positives: NDArray[np.floating], negatives: NDArray[np.floating], bins: int = BINS
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Count samples and positives and sum the scores of each bin.

    A score on the edge of two bins belongs to the lower one, as in `sklearn.calibration.calibration_curve`.
    """
    if bins < 1:
        raise ValueError(f"{bins} bins: give at least 1.")
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    counts = np.zeros((2, bins), np.int64)
    sums = np.zeros(bins)
    for kind, scores in enumerate((negatives, positives)):
        wide = scores.astype(np.float64)
        ends = np.concatenate([[0], np.searchsorted(wide, edges, side="right"), [len(wide)]])
        counts[kind] = np.diff(ends)
        running = np.concatenate([[0.0], np.cumsum(wide)])
        sums += np.diff(running[ends])
    return counts.sum(axis=0), counts[1], sums


def bootstrap_measures(
    labels: NDArray[np.int8], scores: NDArray[np.floating], units: NDArray[np.int64] | None,
    order: NDArray[np.floating] | None = None, *, bins: int = BINS, seed: int | Sequence[int] = 0,
) -> dict[str, NDArray[np.float64]]:  # fmt: skip
    """Measure `RESAMPLES` draws of one class: by name, NaN where not defined.

    Whole `units`, N numbers from 0, are drawn: patients of many samples. None: samples by themselves, equal
    ones (of one label and one score) as one with its count. `order`: what orders scores that are equal.
    """
    if order is not None:
        drawn = bootstrap_measures(labels, order, units, bins=bins, seed=seed)
        return bootstrap_measures(labels, scores, units, bins=bins, seed=seed) | {
            name: drawn[name] for name in ORDERED
        }
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        return dict.fromkeys(RANKED, np.full(RESAMPLES, np.nan))
    distinct, place = np.unique(scores[known].astype(np.float64), return_inverse=True)
    kind = place.reshape(-1) + len(distinct) * labels[known].astype(np.int64)
    in_bin = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], distinct)
    if units is None:
        draws = draw_counts(np.bincount(kind, minlength=2 * len(distinct)), RESAMPLES, seed)
    else:
        draws = _draw_units(units, known, kind, 2 * len(distinct), seed)
    found = [_measured(distinct, in_bin, block.reshape(len(block), 2, -1), bins) for block in draws]
    return {name: np.concatenate([part[name] for part in found]) for name in RANKED}


def _draw_units(
    units: NDArray[np.int64], known: NDArray[np.int64], kind: NDArray[np.int64], kinds: int, seed: Any
) -> Iterator[NDArray[np.float64]]:
    """Draw whole units: yield how often each kind of sample was drawn."""
    count = int(units.max()) + 1
    order = np.argsort(kind, kind="stable")
    there, starts = np.unique(kind[order], return_index=True)
    unit = units[known][order]
    rows = max(1, 2_000_000 // max(len(known), count))
    for block in draw_counts(np.ones(count, np.int64), RESAMPLES, seed, cells=rows * count):
        counts = np.zeros((len(block), kinds))
        counts[:, there] = np.add.reduceat(block[:, unit], starts, axis=1)
        yield counts


def measure_ends(
    row: dict[str, float], draws: dict[str, NDArray[np.float64]], sizes: tuple[int, int], level: float
) -> dict[str, tuple[float, float]]:
    """Return the interval of every name of `RANKED` for one class.

    It is that of the percentiles of the draws; a measure that is NaN has none. The calibration error is
    biased upward, and its draws more so: its interval may lie above it. The percentiles of roc_auc and
    average_precision hold 70 ... 91 times of 100 instead of 95 where there are 5 or 10 positives, and have no
    width where all is right. So theirs are no narrower than a score interval of the `sizes`, how many
    positives and negatives are drawn by themselves: for roc_auc that with the variance of Hanley and McNeil
    (Radiology 143, 1982; inverted as by Newcombe, Stat. Med. 25, 2006), for average_precision Wilson's of as
    many positives (Boyd, Eng and Page, ECML 2013: binomial). With 3 to 10 positives they then hold 95 ... 100
    times of 100.
    """
    score = {
        "roc_auc": lambda area: area_ends(area, *sizes, level),
        "average_precision": lambda value: wilson_interval(value * sizes[0], np.float64(sizes[0]), level),
    }
    ends = dict.fromkeys(RANKED, (np.nan, np.nan))
    for name, value in row.items():
        if np.isnan(value):
            continue
        ends[name] = percentile_ends(draws[name], level)
        if name in score:
            (low, high), (least, most) = ends[name], score[name](value)
            ends[name] = float(np.fmin(low, least)), float(np.fmax(high, most))
    return ends


def area_ends(area: float, positives: int, negatives: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of an area under a ROC curve.

    The score interval with the variance of Hanley and McNeil: the areas from which `area` is not further than
    their own standard error allows.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)

    def beyond(true: float) -> bool:
        both, neither = true / (2 - true) - true**2, 2 * true**2 / (1 + true) - true**2
        spread = true * (1 - true) + (positives - 1) * both + (negatives - 1) * neither
        return (true - area) ** 2 * positives * negatives > z * z * spread

    ends = []
    for outer, inner in ((0.0, area), (1.0, area)):
        for _ in range(50):
            middle = (outer + inner) / 2
            outer, inner = (middle, inner) if beyond(middle) else (outer, middle)
        ends.append(inner)
    return ends[0], ends[1]


def average_ends(
    values: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    draws: NDArray[np.float64],
    weights: NDArray[np.float64],
    biased: bool = False,
) -> tuple[float, float]:
    """Return the interval of a weighted mean from those of its values.

    The distances to their ends are added as correlated errors are, with the correlation of the C x B `draws`
    of the same samples: the interval of the mean then holds as those of the values do. Source: Zou and
    Donner, "Construction of confidence limits about effect measures", Stat. Med. 27 (2008): MOVER. Values that are
    `biased` upward all alike, as average precisions of few positives, have the mean of their lower ends: what
    they have in common does not average out (with 3 to 10 positives it held 50 ... 78 times of 100 else).
    """
    there = ~np.isnan(values) & (weights > 0)
    if not there.any():
        return np.nan, np.nan
    weights = weights[there] / weights[there].sum()
    draws = draws[there]
    off = np.nan_to_num(draws - np.nanmean(draws, axis=1, keepdims=True))
    spread = np.sqrt((off**2).sum(axis=1, keepdims=True))
    off = np.divide(off, spread, out=np.zeros_like(off), where=spread > 0)
    together = off @ off.T
    np.fill_diagonal(together, 1)
    middle = float(weights @ values[there])
    ends = [weights * (values - end)[there] for end in (low, high)]
    down, up = (float(np.sqrt(max(end @ together @ end, 0.0))) for end in ends)
    return middle - (float(ends[0].sum()) if biased else down), middle + up


def _measured(
    distinct: NDArray[np.float64], place: NDArray[np.int64], counts: NDArray[np.float64], bins: int
) -> dict[str, NDArray[np.float64]]:
    """Return each measure of B draws.

    `counts` is B x 2 x K: negatives and positives at the K `distinct` scores, which lie in the bins `place`.
    """
    negatives, positives = counts[:, 0], counts[:, 1]
    all_negative, all_positive = negatives.sum(axis=1), positives.sum(axis=1)
    not_above = np.cumsum(negatives, axis=1)
    fp = all_negative[:, None] - not_above + negatives
    tp = all_positive[:, None] - np.cumsum(positives, axis=1) + positives
    with np.errstate(invalid="ignore", over="ignore"):
        # Negatives below a positive, and one half of those that tie with it.
        pairs = (positives * (not_above - negatives / 2)).sum(axis=1)
        area = pairs / (all_positive * all_negative)
        # Where nothing is predicted there is no positive either, so any number will do for the precision.
        precision = (positives * (tp / np.maximum(tp + fp, 1))).sum(axis=1) / all_positive
        known = all_negative + all_positive
        off = (positives @ (1 - distinct) ** 2 + negatives @ distinct**2) / known
        gap = (negatives + positives) * distinct - positives
        starts = np.searchsorted(place, np.arange(bins))
        in_bins = np.stack([gap[:, a:b].sum(axis=1) for a, b in zip(starts, [*starts[1:], len(place)])])
    return dict(zip(RANKED, (area, precision, off, np.abs(in_bins).sum(axis=0) / known)))
