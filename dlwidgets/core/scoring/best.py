"""The best threshold of each class over all its cut points, and what it is worth on samples held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from ..wording import counted
from .aims import SHARES, Bound, read_bound, read_metric, values
from .cuts import Cuts, all_cuts

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from .scores import Scores

#: Below this many positives a class is said to have few. With 20, a recall of one half is known to +-0.20
#: (Wilson, 95 %): the next best cut may be the better one as well as not.
FEW = 20

#: Where no threshold of a class is better than another.
NEUTRAL = 0.5

#: The intervals of `BestThresholds` cover the true value this often, and the bootstrap draws so many tables.
LEVEL = 0.95
DRAWS = 2000


@dataclass(frozen=True, eq=False, repr=False)
class BestThresholds:
    """One threshold a class, and how good each is where it was chosen and where it was not.

    It stands for its `values` wherever an array of C numbers is wanted: ``scores.confusion(best)``,
    ``np.asarray(best)``, ``best[3]``, ``len(best)``.

    Attributes
    ----------
    values
        C float64, read-only.
    metric, beta, constraint
        What they were chosen by, as "fbeta", 2.0, "recall >= 0.9" (None: no bound).
    classes
        C names.
    chosen
        C float64: the metric on the samples that chose; NaN where it is not defined.
    reported, low, high
        C float64: the metric on the samples held out and its 95 % interval: Wilson's (1927) for a share of
        counted samples (accuracy, precision, recall, specificity), else the 2.5 % and 97.5 % points of
        2,000 tables drawn with replacement (bootstrap). Without a holdout `reported` is `chosen` and the
        interval NaN: no interval around an optimum is honest on the samples that gave it.
    bounded, bounded_reported
        C float64: the metric of the constraint on either part; None without a constraint.
    met
        C booleans: the constraint holds where the threshold was chosen.
    positives
        C int64: the known positives that chose.
    held_out
        N x C booleans: the samples each class is reported on; None without a holdout. Each class is
        divided by itself, so that each part has its share of the positives.
    chosen_on, reported_on
        How many samples chose, and how many are reported on; the same where there is no holdout.
    warnings
        Sentences: which thresholds not to trust, and why.
    """

    values: NDArray[np.float64]
    metric: str
    beta: float
    constraint: str | None
    classes: tuple[str, ...]
    chosen: NDArray[np.float64]
    reported: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    bounded: NDArray[np.float64] | None
    bounded_reported: NDArray[np.float64] | None
    met: NDArray[np.bool_]
    positives: NDArray[np.int64]
    held_out: NDArray[np.bool_] | None
    chosen_on: int
    reported_on: int
    warnings: tuple[str, ...]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        """Return the thresholds, C float64."""
        return self.values.copy() if dtype is None else self.values.astype(dtype)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[np.float64]:
        return iter(self.values)

    def __getitem__(self, which: Any) -> Any:
        """Return the threshold of a class number, or of a class name, or those of a slice."""
        return self.values[self.classes.index(which) if isinstance(which, str) else which]

    def to_frame(self) -> pd.DataFrame:
        """Return a row a class: threshold, chosen, reported, reported_low, reported_high, positives.

        With a constraint also its metric on either part ("recall_chosen", "recall_reported") and `met`.
        """
        import pandas as pd

        columns: dict[str, Any] = {
            "threshold": self.values,
            "chosen": self.chosen,
            "reported": self.reported,
            "reported_low": self.low,
            "reported_high": self.high,
            "positives": self.positives,
        }
        if self.constraint is not None:
            bounded = self.constraint.split()[0]
            columns |= {
                f"{bounded}_chosen": self.bounded,
                f"{bounded}_reported": self.bounded_reported,
                "met": self.met,
            }
        return pd.DataFrame(columns, index=pd.Index(self.classes, name="class"))

    @property
    def title(self) -> str:
        """What they are, as "best f2 with recall >= 0.9"."""
        name = f"f{self.beta:g}" if self.metric == "fbeta" else self.metric
        return f"best {name}" + (f" with {self.constraint}" if self.constraint else "")

    def __repr__(self) -> str:
        return "\n".join([self._head(), self.to_frame().round(3).to_string(na_rep="n/a"), *self.warnings])

    def _repr_html_(self) -> str:
        import html

        table = self.to_frame().to_html(float_format="{:.3f}".format, na_rep="n/a", max_rows=60, border=0)
        notes = "".join(f"<p>{html.escape(line)}</p>" for line in self.warnings)
        return f"<p>{html.escape(self._head())}</p>{table}{notes}"

    def _head(self) -> str:
        samples = counted(self.chosen_on, "sample")
        other = "the same" if self.held_out is None else f"{self.reported_on:,} others"
        return f"BestThresholds({self.title}: chosen on {samples}, reported on {other})"


def best_thresholds(
    scores: Scores,
    metric: str = "f1",
    constraint: str | Sequence[Any] | None = None,
    *,
    beta: float = 1.0,
    holdout: float | None = None,
    seed: int = 0,
) -> BestThresholds:
    """Return for each class the threshold at which `metric` is highest; see `Scores.best_thresholds`."""
    metric, beta = read_metric(metric, beta)
    bound = read_bound(constraint)
    held_out = None if holdout is None else _divide(scores.y_true, _share(holdout), _whole(seed))
    count = scores.n_classes
    chosen_at = np.full(count, NEUTRAL)
    met = np.ones(count, bool)
    tables = np.zeros((2, count, 4), np.int64)  # tn, fp, fn, tp where chosen and where reported
    for c in range(count):
        label, score = scores.y_true[:, c], scores.y_score[:, c]
        out = np.zeros(len(label), bool) if held_out is None else held_out[:, c]
        chosen_at[c], met[c] = _best_cut(all_cuts(label[~out], score[~out]), metric, beta, bound)
        tables[0, c] = _table(label[~out], score[~out], chosen_at[c])
        tables[1, c] = tables[0, c] if held_out is None else _table(label[out], score[out], chosen_at[c])
    chosen, reported = values(metric, *np.moveaxis(tables, -1, 0), beta)
    low, high = np.full((2, count), np.nan)
    if held_out is not None:
        low, high = _interval(metric, beta, tables[1], seed)
    bounded = (None, None) if bound is None else values(bound.metric, *np.moveaxis(tables, -1, 0))
    if bound is not None:
        met &= bound.met(bounded[0])
    positives = tables[:, :, 2] + tables[:, :, 3]
    chosen_at.setflags(write=False)
    out = 0 if holdout is None else int(np.rint(holdout * scores.n_samples))
    return BestThresholds(
        chosen_at,
        metric,
        beta,
        None if bound is None else str(bound),
        scores.classes,
        chosen,
        reported,
        low,
        high,
        *bounded,
        met,
        positives[0],
        held_out,
        scores.n_samples - out,
        out or scores.n_samples,
        tuple(_warnings(scores.classes, tables, met, bound, holdout)),
    )


def _best_cut(cuts: Cuts, metric: str, beta: float, bound: Bound | None) -> tuple[float, bool]:
    """Return the highest of the best thresholds, and whether it keeps the bound."""
    counts = cuts.tn, cuts.fp, cuts.fn, cuts.tp
    worth = values(metric, *counts, beta)
    if not cuts.positives or np.isnan(worth).all():
        return NEUTRAL, bound is None
    if bound is not None:
        other = values(bound.metric, *counts)
        allowed = bound.met(other) & ~np.isnan(worth)
        if not allowed.any():
            # As near to the bound as it goes, and of those cuts the best.
            if np.isnan(other).all():
                return NEUTRAL, False
            nearest = other == np.nanmax(other)
            return float(cuts.thresholds[_highest(np.where(nearest, worth, np.nan))]), False
        worth = np.where(allowed, worth, np.nan)
    return float(cuts.thresholds[_highest(worth)]), True


def _highest(worth: NDArray[np.float64]) -> int:
    """Return where `worth` is highest, the first of equals; NaN is below all."""
    return int(np.argmax(np.where(np.isnan(worth), -np.inf, worth)))


def _table(label: NDArray[np.int8], score: NDArray[np.floating], threshold: float) -> list[int]:
    """Return tn, fp, fn, tp of the known labels; compared in float64, as everywhere."""
    said = score.astype(np.float64) >= threshold
    return [np.count_nonzero((label == truth) & (said == call)) for truth in (0, 1) for call in (False, True)]


def _divide(y_true: NDArray[np.int8], holdout: float, seed: int) -> NDArray[np.bool_]:
    """Return N x C: held out. A share of each class's positives and of its negatives, at least one of each
    on either side where there are two, so that both parts know what both kinds look like.
    """
    held_out = np.zeros(y_true.shape, bool)
    for c in range(y_true.shape[1]):
        random = np.random.default_rng([seed, c])
        for kind in (1, 0):
            rows = np.flatnonzero(y_true[:, c] == kind)
            if len(rows) > 1:
                some = min(max(int(np.rint(holdout * len(rows))), 1), len(rows) - 1)
                held_out[random.permutation(rows)[:some], c] = True
    return held_out


def _interval(metric: str, beta: float, tables: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Return 2 x C: the lower and upper ends on the reported part."""
    if metric in SHARES:
        tn, fp, fn, tp = tables.T
        of = {
            "accuracy": (tp + tn, tn + fp + fn + tp),
            "precision": (tp, tp + fp),
            "recall": (tp, tp + fn),
            "specificity": (tn, tn + fp),
        }
        return wilson(*of[metric], LEVEL)
    ends = np.full((2, len(tables)), np.nan)
    for c, table in enumerate(tables):
        if not table.sum():
            continue
        # To draw samples with replacement is to draw the four counts from a multinomial distribution.
        random = np.random.default_rng([seed, c, 1])
        drawn = values(metric, *random.multinomial(table.sum(), table / table.sum(), DRAWS).T, beta)
        if not np.isnan(drawn).all():
            ends[:, c] = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return ends


def wilson(hits: NDArray[np.int64], of: NDArray[np.int64], level: float = LEVEL) -> NDArray[np.float64]:
    """Return the lower and upper ends of Wilson's score interval (1927) of `hits` in `of`; NaN of none."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    hits, of = np.asarray(hits, float), np.asarray(of, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = hits / of
        middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
        half = z / (1 + z**2 / of) * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    ends = np.stack([middle - half, middle + half])
    return np.clip(ends, 0, 1)


def _warnings(
    classes: tuple[str, ...],
    tables: NDArray[np.int64],
    met: NDArray[np.bool_],
    bound: Bound | None,
    holdout: float | None,
) -> Iterator[str]:
    if holdout is None:
        yield (
            "Chosen and reported on the same samples, so the values flatter: holdout=0.5 chooses on one half "
            "and reports on the other."
        )
    positives = tables[:, :, 2] + tables[:, :, 3]
    negatives = tables[:, :, 0] + tables[:, :, 1]
    none = positives[0] == 0
    if none.any():
        yield f"No positives to choose by in {_names(classes, none)}: the threshold there is {NEUTRAL}."
    few = ~none & (positives[0] < FEW)
    if few.any():
        low, high = wilson(np.array([FEW / 2]), np.array([FEW]))[:, 0]
        yield (
            f"Few positives to choose by in {_names(classes, few, positives[0])}: under {FEW}, where "
            f"a recall of one half is known only to {low:.2f} ... {high:.2f}: these thresholds may be chance."
        )
    if (negatives[0] == 0).any():
        yield f"No negatives to choose by in {_names(classes, negatives[0] == 0)}: false alarms unknown."
    if holdout is not None:
        few = ~none & (positives[1] < FEW)
        if few.any():
            yield (
                f"Few positives to report on in {_names(classes, few, positives[1])}: read the intervals, "
                "not the values."
            )
    if bound is not None and (~met & ~none).any():
        yield (
            f"{bound} is reached at no threshold in {_names(classes, ~met & ~none)}: the threshold there "
            f"has the highest {bound.metric} there is."
        )


def _names(classes: tuple[str, ...], which: NDArray[np.bool_], counts: Any = None, most: int = 6) -> str:
    """Return "'hernia' (3), 'edema' (12) and 4 more classes"."""
    at = np.flatnonzero(which)
    words = [repr(classes[c]) + ("" if counts is None else f" ({counts[c]})") for c in at[:most]]
    more = f" and {len(at) - most} more classes" if len(at) > most else ""
    return ", ".join(words) + more


def _share(holdout: Any) -> float:
    wanted = "give the share of the samples to report on, as 0.5, or None to choose on all"
    if isinstance(holdout, bool) or not isinstance(holdout, (int, float, np.integer, np.floating)):
        raise TypeError(f"holdout is {holdout!r}: {wanted}.")
    if not 0 < holdout < 1:
        raise ValueError(f"holdout is {holdout!r}: {wanted}.")
    return float(holdout)


def _whole(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise TypeError(f"seed is {seed!r}: give a whole number from 0.")
    return int(seed)
