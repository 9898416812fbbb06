"""Intervals of rates: Wilson's from the counts, and the bootstrap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from numbers import Real
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from . import metrics
from .metrics import METRICS, average_rates, compute_rate, compute_rates, rate_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTERVALS = (None, "wilson", "bootstrap")
#: How often the bootstrap draws; the ends of a 95 % interval then stand on 50 draws each.
RESAMPLES = 2000
#: A binomial number costs about as much as so many whole numbers and their counting.
_BINOMIAL = 8
#: Numbers of a table of different samples that are held at a time, 64 MB.
_NUMBERS = 8_000_000


def check_interval(interval: Any, level: Any) -> None:
    """Refuse an interval or a level that is not one."""
    if interval not in INTERVALS:
        raise ValueError(f"There is no interval {interval!r}: give None, 'wilson' or 'bootstrap'.")
    if not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"level is {level!r}: give how often the interval is to hold, as 0.95.")


def wilson_interval(
    hits: NDArray[np.int64], of: NDArray[np.int64], level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute Wilson's interval of the share `hits` / `of`; NaN of none.

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


def rate_intervals(
    interval: str, confusion: NDArray[np.int64], level: float, beta: float, seed: int
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Compute an interval, "wilson" or "bootstrap", of every rate of each class."""
    if interval == "bootstrap":
        return bootstrap_rates(confusion, level, beta=beta, seed=seed)
    return {name: rate_interval(name, confusion, level) for name in rate_names(beta)}


def count_repeats(groups: NDArray[np.int64] | None, labels: NDArray[np.int8]) -> float:
    """Count the samples of a class that tell as much as one.

    Samples of one group may be near copies, so that a group of m tells no more than one sample: of the known
    positives, or of the negatives where that is more, it is the sum of m^2 over the sum of m, the design
    effect of Kish ("Survey Sampling", 1965, ch. 5) at its highest. 1 where there are no groups.
    """
    if groups is None:
        return 1.0
    sizes = (np.bincount(groups[labels == kind]) for kind in (0, 1))
    return max([1.0, *(float((m * m).sum() / m.sum()) for m in sizes if m.any())])


def rate_interval(
    name: str, confusion: NDArray[np.int64], level: float = 0.95, repeats: float | NDArray[np.float64] = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute Wilson's interval of a rate of each matrix.

    Of `repeats` samples one tells as much as all (see `count_repeats`). It is that of the share with which
    the rate rises, carried over (see `Metric.share`); NaN of a rate that is no function of one share, as
    F-beta and Matthews: the bootstrap has theirs.
    """
    metric, counts = METRICS[name], metrics.name_counts(confusion)
    if metric.share is None:
        unknown = np.full(np.shape(counts["tp"]), np.nan)
        return unknown, unknown
    hits, of = metrics.evaluate_fraction(metric.share, counts)
    ends = wilson_interval(hits / repeats, of / repeats, level)
    low, high = (metrics.evaluate_formula(metric.of_share, {"share": end}) for end in ends)
    return low, high


def count_by_group(
    label: NDArray[np.int8], said: NDArray[np.bool_], groups: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count the confusion in each group, G x 2 x 2."""
    known = label >= 0
    cells = 4 * groups[known] + 2 * label[known] + said[known]
    return np.bincount(cells, minlength=4 * (int(groups.max()) + 1)).reshape(-1, 2, 2)


def design_effect(hits: NDArray[np.int64], of: NDArray[np.int64]) -> float:
    """Return how many samples of G groups tell as much as one.

    By how much more the share `hits` / `of` varies than that of independent samples, at least 1; where all or
    none are hits, the sum of m^2 over the sum of m of group sizes m. Source: Rao and Scott, "A simple method
    for the analysis of clustered binary data", Biometrics 48 (1992).
    """
    there = of > 0
    hits, of, groups = hits[there], of[there], int(there.sum())
    if not groups:
        return 1.0
    total, share = of.sum(), hits.sum() / of.sum()
    if groups < 2 or share in (0, 1):
        return float((of * of).sum() / total)
    off = ((hits - share * of) ** 2).sum() * groups / (groups - 1) / total**2
    return max(1.0, float(off / (share * (1 - share) / total)))


def group_intervals(
    interval: str, tables: Iterable[NDArray[np.int64]], level: float, beta: float, seed: int
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Compute the interval of every rate of each class, counted by group.

    `tables` gives for each class G x 2 x 2. The bootstrap draws whole groups, and takes the percentiles of
    Student's distribution of as many as have a positive (see `widen_level`).
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in rate_names(beta)}
    for c, table in enumerate(tables):
        whole, there = table.sum(axis=0), table.reshape(len(table), 4).sum(axis=1) > 0
        positive = int(np.count_nonzero(table[:, 1].sum(axis=-1)))
        drawn: dict[str, NDArray[np.float64]] = {}
        if interval == "bootstrap" and there.any():
            cells = table[there].reshape(-1, 4).astype(np.float64)
            blocks = draw_counts(np.ones(len(cells), np.int64), RESAMPLES, [seed, c])
            sums = np.rint(np.concatenate([block @ cells for block in blocks])).astype(np.int64)
            drawn = compute_rates(sums.reshape(-1, 2, 2), beta)
        for name, ends in found.items():
            share = METRICS[name].share
            if np.isnan(compute_rate(name, whole, beta)):
                ends.append((np.nan, np.nan))
            elif interval == "bootstrap":
                ends.append(percentile_ends(drawn[name], widen_level(level, max(positive, 2))))
            else:
                parts = (
                    None if share is None else metrics.evaluate_fraction(share, metrics.name_counts(table))
                )
                repeats = 1.0 if parts is None else design_effect(*parts)
                ends.append(tuple(map(float, rate_interval(name, whole, level, repeats))))
    columns = {name: np.array(ends, np.float64).reshape(-1, 2).T for name, ends in found.items()}
    return {name: (low, high) for name, (low, high) in columns.items()}


def bootstrap_rates(
    confusion: NDArray[np.int64], level: float = 0.95, *, beta: float = 1.0, seed: int = 0
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Bootstrap intervals of every rate, each class by itself.

    To draw n samples with replacement and to count them is to draw the four counts from a multinomial
    distribution of n, so `RESAMPLES` draws cost nothing that grows with the samples. Draws in which a rate
    is 0 / 0 are left out of its interval; a rate that is 0 / 0 itself has none (NaN). The ends are those of
    `accelerated_ends`, and no nearer than Wilson's, since draws know nothing of what was never seen: of a rate
    of 0 or 1 they have no width. "fbeta" is there where `beta` is not 1. Each class draws its own random
    numbers from `seed`, whatever other classes there are.
    """
    count = len(confusion)
    ends = {name: (np.full(count, np.nan), np.full(count, np.nan)) for name in rate_names(beta)}
    wilson = {name: rate_interval(name, np.asarray(confusion, np.int64), level) for name in ends}
    for c, table in enumerate(np.asarray(confusion, np.int64).reshape(count, 4)):
        total = table.sum()
        if not total:
            continue
        tables = np.random.default_rng([seed, c]).multinomial(total, table / total, RESAMPLES)
        without = np.where(table[:, None] > 0, table - np.eye(4, dtype=np.int64), 0)
        for name, (low, high) in ends.items():
            own, drawn, left = (
                compute_rate(name, one.reshape(-1, 2, 2), beta) for one in (table, tables, without)
            )
            if not np.isnan(own[0]):
                pair = accelerated_ends(own[0], drawn, left, table, level)
                low[c], high[c] = _widen(pair, (wilson[name][0][c], wilson[name][1][c]))
    return ends


def accelerated_ends(
    value: float, drawn: NDArray[np.float64], left: NDArray[np.float64], counts: NDArray[Any], level: float
) -> tuple[float, float]:
    """Return the ends of the BCa interval, NaN draws left out.

    The percentiles are moved by how far the draws lie off the value, and by how its spread changes with it.
    `left` has the values without a sample of each kind, `counts` how many samples are of it. Source: Efron,
    "Better bootstrap confidence intervals", JASA 82 (1987).
    """
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(drawn):
        return np.nan, np.nan
    normal, most = NormalDist(), 0.5 / len(drawn)
    # Draws that equal the value, as many do with few positives, count half.
    below = (np.count_nonzero(drawn < value) + np.count_nonzero(drawn <= value)) / (2 * len(drawn))
    bias = normal.inv_cdf(min(max(below, most), 1 - most))
    there = ~np.isnan(left)
    left, counts = left[there], counts[there]
    off = np.average(left, weights=counts) - left if counts.sum() else np.zeros(0)
    spread = float((counts * off**2).sum())
    change = float((counts * off**3).sum()) / (6 * spread**1.5) if spread > 1e-18 else 0.0
    ends = [bias + normal.inv_cdf(share) for share in ((1 - level) / 2, (1 + level) / 2)]
    shares = [normal.cdf(bias + end / max(1 - change * end, 1e-6)) for end in ends]
    low, high = np.quantile(drawn, shares)
    return float(low), float(high)


def _widen(ends: tuple[float, float], least: tuple[float, float]) -> tuple[float, float]:
    """Return an interval that holds another, which may be unknown."""
    return float(np.fmin(ends[0], least[0])), float(np.fmax(ends[1], least[1]))


def average_intervals(
    tables: NDArray[np.int64], level: float, beta: float, zero_division: float
) -> dict[str, dict[str, tuple[float, float]]]:
    """Compute Wilson's intervals of the micro, macro and weighted averages.

    `tables` are G x C x 2 x 2, counted by group (one, where the samples stand alone). That of a mean of classes
    is put together from theirs as if each were counted from samples of its own (MOVER: Zou and Donner, Stat.
    Med. 27, 2008), so that it is too narrow where labels go together: the least that is not known. NaN of a
    rate that is no function of one share.
    """
    whole = tables.sum(axis=0)

    def ends(name: str, counted: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the value and both ends of each class."""
        share, total = METRICS[name].share, counted.sum(axis=0)
        repeats = np.ones(counted.shape[1])
        if share is not None and len(counted) > 1:
            hits, of = metrics.evaluate_fraction(share, metrics.name_counts(counted))
            repeats = np.array([design_effect(*pair) for pair in zip(hits.T, of.T)])
        value = compute_rate(name, total, beta, zero_division)
        return np.stack([value, *rate_interval(name, total, level, repeats)])

    found: dict[str, dict[str, tuple[float, float]]] = {"macro": {}, "micro": {}, "weighted": {}}
    for name in rate_names(beta):
        each = ends(name, tables)
        value, low, high = each
        for average, weights in (("macro", np.ones(len(whole))), ("weighted", whole[:, 1].sum(axis=-1))):
            weights = np.where(np.isnan(each).any(axis=0), 0.0, weights)
            share = weights / weights.sum() if weights.any() else np.full(len(weights), np.nan)
            mean = np.nansum(share * value)
            below, above = (np.sqrt(np.nansum((share * one) ** 2)) for one in (value - low, high - value))
            found[average][name] = (mean - below, mean + above) if weights.any() else (np.nan, np.nan)
        _, low, high = ends(name, tables.sum(axis=1, keepdims=True))
        found["micro"][name] = float(low[0]), float(high[0])
    return found


def bootstrap_averages(
    labels: NDArray[np.int8],
    predicted: NDArray[np.bool_],
    level: float = 0.95,
    *,
    beta: float = 1.0,
    zero_division: float = np.nan,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, dict[str, tuple[float, float]]]:
    """Bootstrap intervals of the macro, micro, weighted and samples averages.

    Whole samples are drawn, since the labels of a sample go together: an interval that took each label for
    a sample of its own would be too narrow. Equal samples are drawn as one with its count. It takes the
    longer the more different ones there are: 100,000 take some ten seconds. The ends are those of
    `accelerated_ends`, and no nearer than those of `average_intervals`: with 3 to 10 positives a class, where
    percentiles hold 50 to 95 times of 100, they hold 90 to 99 times.

    `labels` are N x C: 1, 0, -1 unknown; `predicted` is N x C: what was said; `groups` N numbers of groups,
    which are then drawn whole; the others are as in `bootstrap_rates` and `metrics.compute_rate`.
    """
    # The different samples, K x 2 x C; what is said where the label is unknown changes nothing.
    said = (predicted & (labels >= 0)).astype(np.int8)
    both = np.ascontiguousarray(np.stack([labels, said], axis=1)).reshape(len(labels), -1)
    rows = both.view(np.dtype((np.void, both.shape[1]))).reshape(-1)
    _, first, kind, counts = np.unique(rows, return_index=True, return_inverse=True, return_counts=True)
    patterns = both[first].reshape(len(first), 2, -1)
    known, positive, said = patterns[:, 0] >= 0, patterns[:, 0] == 1, patterns[:, 1] == 1
    cells = np.stack([~positive & ~said, ~positive & said, positive & ~said, positive & said], axis=-1)
    cells &= known[..., None]
    of_samples = cells.sum(axis=1).reshape(-1, 2, 2)
    own = np.stack(list(compute_rates(of_samples, beta, zero_division).values()), axis=-1)
    there = (~np.isnan(own)).astype(np.float64)
    own = np.nan_to_num(own)
    if groups is not None:
        # What is drawn is then a group: the sum of its samples.
        order = np.argsort(groups, kind="stable")
        starts = np.unique(groups[order], return_index=True)[1]
        cells, own, there = (
            np.add.reduceat(part[kind.reshape(-1)[order]], starts, axis=0, dtype=np.float64)
            for part in (cells, own, there)
        )
        counts = np.ones(len(starts), np.int64)

    def average(tables: NDArray[np.float64], sums: Any, known: Any) -> dict[str, dict[str, Any]]:
        """Average the rates of M x 4C counts, and the samples' own."""
        whole = np.rint(tables).astype(np.int64).reshape(len(tables), -1, 2, 2)
        with np.errstate(invalid="ignore"):
            samples = dict(zip(rate_names(beta), (sums / known).T))
        return {**average_rates(whole, beta, zero_division), "samples": samples}

    # Widened once where they are one part; else one part at a time is held in eight times its size.
    step = max(1, _NUMBERS // (4 * len(cells)))
    parts = [cells[:, c : c + step].reshape(len(cells), -1) for c in range(0, cells.shape[1], step)]
    parts = [parts[0].astype(np.float64)] if len(parts) == 1 else parts

    def add(block: NDArray[np.float64]) -> dict[str, dict[str, Any]]:
        """Average the rates of rows of counts of the kinds."""
        sums = [block @ part.astype(np.float64, copy=False) for part in parts]
        return average(np.concatenate(sums, axis=1), block @ own, block @ there)

    # The products below want many rows at a time.
    drawn = _join([add(block) for block in draw_counts(counts, RESAMPLES, seed, cells=4_000_000)])
    value, weights = add(counts[None].astype(np.float64)), counts.astype(np.float64)
    flat, step = cells.reshape(len(cells), -1), max(1, _NUMBERS // (4 * cells.shape[1]))
    total, sums, known_sums = weights @ flat, weights @ own, weights @ there
    left = _join([
        average(total - flat[k : k + step], sums - own[k : k + step], known_sums - there[k : k + step])
        for k in range(0, len(flat), step)
    ])  # fmt: skip
    tables = total[None] if groups is None else flat
    tables = np.rint(tables).astype(np.int64).reshape(len(tables), -1, 2, 2)
    least = average_intervals(tables, level, beta, zero_division)
    unknown = np.nan, np.nan
    return {
        name: {
            rate: _widen(
                accelerated_ends(value[name][rate][0], draws, left[name][rate], counts, level),
                least[name][rate] if name in least else unknown,
            )
            for rate, draws in rates.items()
        }
        for name, rates in drawn.items()
    }


def _join(parts: Sequence[dict[str, dict[str, Any]]]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Put values by average and rate together that were computed in parts."""
    return {
        average: {name: np.concatenate([part[average][name] for part in parts]) for name in rates}
        for average, rates in parts[0].items()
    }


def draw_counts(
    counts: NDArray[np.int64], times: int, seed: int | Sequence[int] = 0, cells: int = 200_000
) -> Iterator[NDArray[np.float64]]:
    """Draw samples with replacement: yield how often each kind was drawn.

    Blocks of rows come, `times` rows in all, each of as many samples as there are. Either the samples are
    drawn one by one and counted, or, where there are few kinds, the counts are drawn at once from their
    multinomial distribution; both are the same, and which it is depends on `counts` alone: K, how many
    samples there are of each kind, at least one in all. `cells` numbers are held at a time, by default few
    enough for the processor's cache; it changes no draw. A block is rows x K float64, whole numbers.
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


def percentile_ends(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    """Return the percentiles that hold `level` between them, NaN left out."""
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def widen_level(level: float, samples: int) -> float:
    """Return the level whose normal percentiles are Student's.

    The bootstrap takes its variance from `samples` draws and divides by their number: both make its intervals
    too narrow (Hesterberg, Am. Stat. 69, 2015, section 4: expanded percentile interval).
    """
    from scipy.stats import norm, t

    return float(1 - 2 * norm.cdf(np.sqrt(samples / (samples - 1)) * t.ppf((1 - level) / 2, samples - 1)))
