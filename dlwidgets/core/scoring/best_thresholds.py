"""The best threshold of each class, and its worth on other samples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Real
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.words import did_you_mean, pluralize
from .counts import build_confusion, round_up
from .inputs import class_number
from .intervals import count_repeats, percentile_ends, rate_interval, wilson_interval
from .metrics import METRICS, compute_rate, evaluate_fraction, invert_share, name_counts

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from .scores import Scores

#: How often the intervals hold, and from how many drawn tables one comes that is no function of one share.
LEVEL, DRAWS = 0.95, 2000
#: Below this many positives a class is said to have few. With 20, a recall of one half is known to +-0.20
#: (Wilson, 95 %): the next best cut may be the better one as well as not.
FEW = 20
#: Where no threshold of a class is better than another.
NEUTRAL = 0.5
#: Metrics that only rise, or only fall, with the cut.
_ORDERED = ("recall", "specificity")
#: Nearer to 1 than this a probability in float32 may round onto it.
CLOSE = 1e-6

_BOUND = re.compile(r"\s*([^\W\d]\w*(?:[ -]\w+)?)\s*(>=|=>|≥|>|<=|=<|≤|<|==?)\s*(.+?)\s*")
_OF_BETA = re.compile(r"f\d*\.?\d+")


@dataclass(frozen=True)
class Bound:
    """A metric that must reach a value: "recall >= 0.9".

    With a `confidence` it must do so beyond the samples that chose: see `judge`. Its methods take the counts
    of the samples that chose, and how often each of these repeats another (see `count_repeats`).
    """

    metric: str
    least: float
    strict: bool = False
    confidence: float | None = None

    def judge(
        self, tables: NDArray[np.int64], repeats: float
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return at which of K cuts it is kept, and its chances.

        With a confidence the lower end of the Wilson interval of that level keeps it, and so does the exact
        one-sided bound of Clopper and Pearson (Biometrika 26, 1934), without which the level would fail for
        low bounds (Brown, Cai and DasGupta, Statist. Sci. 16, 2001). Recall and specificity go one way with
        the cut, so that it is one that decides. Of any other metric the luckiest of many cuts would pass, and
        each doubling of the positives that are found is a look by itself: the chance of an error counts once for
        each, from as few positives as can be sure to all of them. In simulation an error is then made in no more
        data sets than `confidence` allows, whereas without it were three times as many.
        """
        positives, chance = tables[0, 1].sum() / repeats, self.chance(tables, repeats)
        if self.metric not in _ORDERED:
            looks = 1 + np.log2(max(1.0, positives / max(1, self.fewest())))
            chance = np.maximum(1 - looks * (1 - chance), 0)
        if self.confidence is None:
            return self.keeps(compute_rate(self.metric, tables)), chance
        low, _ = rate_interval(self.metric, tables, self.confidence, repeats)
        return self.keeps(low) & (chance >= self.confidence), chance

    def chance(self, tables: NDArray[np.int64], repeats: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the chance that the bound truly holds at a cut.

        It is that of Clopper and Pearson, of a cut that was set beforehand; tables are ... x 2 x 2.

        With k hits of n, the chance that fewer than k come of n samples that just keep the bound. A cut of
        which the k-th of n positives is the last to be found keeps a recall exactly so often. NaN of a metric
        that is no function of one share.
        """
        from scipy.special import betainc

        share = METRICS[self.metric].share
        if share is None:
            return np.full(tables.shape[:-2], np.nan)
        hits, of = (part / repeats for part in evaluate_fraction(share, name_counts(tables)))
        least = invert_share(self.metric, self.least)
        with np.errstate(invalid="ignore"):
            return np.where(hits > 0, 1 - betainc(hits, of - hits + 1, least), 0.0)

    def keeps(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return where values of the metric keep the bound; NaN never does."""
        return values > self.least if self.strict else values >= self.least

    def fewest(self) -> int:
        """Return how many samples without a mistake make sure; 0: none do."""
        return _count_fewest(self)

    def needed(self) -> str:
        """Say how many samples it takes to be sure of the bound."""
        kind = {"recall": "positives", "specificity": "negatives"}.get(
            self.metric, "samples that count for it"
        )
        if not (fewest := self.fewest()):
            return "no number of samples makes it so sure"
        return f"even without a mistake that takes {fewest:,} {kind}"

    def __str__(self) -> str:
        sure = "" if self.confidence is None else f" with {self.confidence:.4g} confidence"
        return f"{self.metric} {'>' if self.strict else '>='} {self.least:g}{sure}"


@cache
def _count_fewest(bound: Bound) -> int:
    counts = np.arange(1, 100_000)
    all_right = np.zeros((len(counts), 2, 2), np.int64)
    all_right[:, 0, 0] = all_right[:, 1, 1] = counts
    low, _ = rate_interval(bound.metric, all_right, bound.confidence or LEVEL)
    enough = bound.keeps(low) & (bound.chance(all_right, 1.0) >= (bound.confidence or LEVEL))
    return int(counts[enough.argmax()]) if enough.any() else 0


@dataclass(frozen=True, eq=False, repr=False)
class BestThresholds:
    """One threshold a class, and its worth where it was not chosen.

    It stands for its `values` wherever an array of C numbers is wanted: ``scores.confusion(best)``,
    ``np.asarray(best)``, ``best[3]``, ``len(best)``.

    Attributes
    ----------
    values : C float64, read-only.
    metric, beta, constraint : what they were chosen by, as "fbeta", 2.0, "recall >= 0.9" (None: no bound).
    classes : C names.
    chosen : C float64: the metric on the samples that chose; NaN where it is not defined.
    reported, low, high : C float64: the metric on the samples held out and its 95 % interval: Wilson's for a
        share of counted samples and for F1 (see `intervals.rate_interval`), else from 2,000 tables drawn
        around that one (see Notes). Without a holdout `reported` is `chosen` and the interval NaN: no
        interval around an optimum is honest on the samples that gave it.
    bounded, bounded_reported : C float64: the metric of the constraint on either part; None without a
        constraint.
    met : C booleans: the constraint is kept where the threshold was chosen, with the confidence asked for.
    positives : C int64: the known positives that chose.
    held_out : N x C booleans: the samples each class is reported on; None without a holdout. Each class is
        divided by itself, so that each part has its share of the positives.
    chosen_on, reported_on : how many samples chose, and how many are reported on; the same where there is no
        holdout.
    warnings : sentences: which thresholds not to trust, and why.
    confidence : how sure the constraint was to be; None: it was to be kept on the samples that chose.
    chance : C float64: the chance that the constraint truly holds, from the samples that chose (see
        `Bound.judge`): of as many data sets at least so many get a cut that keeps it, or none that is `met`.
        None without a constraint.
    chosen_for : the numbers of the classes that were chosen for; the threshold of others is 0.5.

    Notes
    -----
    The tables are drawn as Goutte and Gaussier do ("A probabilistic interpretation of precision, recall and
    F-score", ECIR 2005): the shares of the four cells from a Dirichlet distribution of the counts + 1/2. With
    few positives the percentile bootstrap holds too seldom (at 5 of 100 it held 84 ... 92 times of 100
    instead of 95, this one 95), and where no positive is found its interval has no width.
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
    confidence: float | None
    chance: NDArray[np.float64] | None
    chosen_for: NDArray[np.int64]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        """Return the thresholds, C float64."""
        if copy is not False:
            return self.values.astype(self.values.dtype if dtype is None else dtype)
        if dtype not in (None, self.values.dtype):
            raise ValueError(f"Thresholds of {self.values.dtype} cannot be had as {dtype} without a copy.")
        return self.values

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[np.float64]:
        return iter(self.values)

    def __getitem__(self, which: Any) -> Any:
        """Return the threshold of a class number or name, or a slice."""
        return self.values[self.classes.index(which) if isinstance(which, str) else which]

    def to_frame(self) -> pd.DataFrame:
        """Return a row a class that was chosen for.

        The columns are threshold, chosen, reported, reported_low, reported_high and positives; with a
        constraint also its metric on either part ("recall_chosen", "recall_reported"), `chance` and `met`.
        """
        import pandas as pd

        columns: dict[str, Any] = {
            "threshold": self.values, "chosen": self.chosen, "reported": self.reported,
            "reported_low": self.low, "reported_high": self.high, "positives": self.positives,
        }  # fmt: skip
        if self.constraint is not None:
            name = self.constraint.split()[0]
            bounded = {f"{name}_chosen": self.bounded, f"{name}_reported": self.bounded_reported}
            columns |= {**bounded, "chance": self.chance, "met": self.met}
        return pd.DataFrame(columns, pd.Index(self.classes, name="class")).iloc[self.chosen_for]

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
        samples = pluralize(self.chosen_on, "sample")
        other = "the same" if self.held_out is None else f"{self.reported_on:,} others"
        return f"BestThresholds({self.title}: chosen on {samples}, reported on {other})"


def best_thresholds(
    scores: Scores,
    metric: str = "f1",
    constraint: str | Sequence[Any] | None = None,
    *,
    confidence: float | None = None,
    classes: Sequence[int | str] | None = None,
    beta: float = 1.0,
    holdout: float | None = None,
    seed: int = 0,
) -> BestThresholds:
    """Find the best threshold of each class; see `Scores.best_thresholds`."""
    metric, beta = read_metric(metric, beta)
    bound = read_bound(constraint, confidence)
    for name in (metric, *(() if bound is None else (bound.metric,))):
        if not METRICS[name].is_of(scores.true_negatives):
            raise ValueError(
                f"There is no {METRICS[name].label} of boxes, since an empty place in a picture is no true negative: "
                "choose by precision, recall, f1, fbeta or jaccard."
            )
    which = read_classes(scores, classes)
    wanted = "give the share of the samples to report on, as 0.5, or None to choose on all"
    if isinstance(holdout, bool) or not isinstance(holdout, (int, float, np.integer, np.floating, NoneType)):
        raise TypeError(f"holdout is {holdout!r}: {wanted}.")
    if holdout is not None and not 0 < holdout < 1:
        raise ValueError(f"holdout is {holdout!r}: {wanted}.")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise TypeError(f"seed is {seed!r}: give a whole number from 0.")
    divided = holdout is not None
    held_out = np.zeros(scores.y_true.shape[::-1], bool).T if divided else None
    thresholds, repeats = np.full(scores.n_classes, NEUTRAL), np.ones(scores.n_classes)
    met, chance = np.ones(scores.n_classes, bool), np.full(scores.n_classes, np.nan)
    tables = np.zeros((2, scores.n_classes, 2, 2), np.int64)  # where chosen, where reported
    for c in which:
        if held_out is None:
            chooses = reports = scores.ranked.columns[c]
        else:
            label, score = scores.y_true[:, c], scores.y_score[:, c]
            held_out[:, c] = out = _hold_out(label, scores.groups, holdout, [seed, c])
            chooses, reports = (
                tuple(np.sort(score[part & (label == kind)]) for kind in (1, 0)) for part in (~out, out)
            )
        repeats[c] = count_repeats(scores.groups, scores.y_true[:, c])
        thresholds[c], met[c], chance[c] = _choose_cut(*chooses, metric, beta, bound, repeats[c])
        for part, kinds in enumerate((chooses, reports)):
            cut = round_up(thresholds[[c]], scores.y_score.dtype)
            said = np.array([len(kind) - np.searchsorted(kind, cut)[0] for kind in kinds])
            tables[part, c] = build_confusion(said, np.array([len(kind) for kind in kinds]))
    chosen, reported = compute_rate(metric, tables, beta)
    low, high = np.full((2, scores.n_classes), np.nan)
    if divided:
        low[which], high[which] = _interval(metric, beta, tables[1], which, repeats, seed)
    bounded = (None, None) if bound is None else compute_rate(bound.metric, tables)
    thresholds.setflags(write=False)
    others = int(np.rint(holdout * scores.n_samples)) if divided else 0
    return BestThresholds(
        thresholds, metric, beta, None if bound is None else str(bound), scores.classes, chosen, reported,
        low, high, *bounded, met, tables[0, :, 1].sum(axis=-1), held_out,
        scores.n_samples - others, others if divided else scores.n_samples,
        tuple(_cautions([scores.classes[c] for c in which], tables[:, which], met[which], bound, divided)),
        None if bound is None else bound.confidence, None if bound is None else chance, which,
    )  # fmt: skip


def _cautions(
    classes: Sequence[str],
    tables: NDArray[np.int64],
    met: NDArray[np.bool_],
    bound: Bound | None,
    divided: bool,
) -> Iterator[str]:
    """Say what is not to be trusted of chosen thresholds, and why."""

    def said(about: str, which: NDArray[np.bool_], advice: str, counts: Any = None) -> Iterator[str]:
        # "... in 'hernia' (3), 'edema' (12) and 4 more classes: ..."
        at = np.flatnonzero(which)
        words = [repr(classes[c]) + ("" if counts is None else f" ({counts[c]})") for c in at[:6]]
        more = f" and {len(at) - 6} more classes" if len(at) > 6 else ""
        if len(at):
            yield f"{about} in {', '.join(words)}{more}: {advice}."

    if not divided:
        yield (
            "Chosen and reported on the same samples, so the values flatter: holdout=0.5 chooses on one half "
            "and reports on the other."
        )
    negatives, positives = np.moveaxis(tables.sum(axis=-1), -1, 0)
    some = positives[0] > 0
    yield from said("No positives to choose by", ~some, f"the threshold there is {NEUTRAL}")
    low, high = (float(end[0]) for end in wilson_interval(np.array([FEW / 2]), np.array([FEW]), 0.95))
    luck = f"a recall of one half is known only to {low:.2f} ... {high:.2f}, so these thresholds may be luck"
    few = some & (positives[0] < FEW)
    yield from said("Few positives to choose by", few, f"even with {FEW}, {luck}", positives[0])
    yield from said("No negatives to choose by", negatives[0] == 0, "no false alarm can be seen")
    if divided:
        few, advice = some & (positives[1] < FEW), "read the intervals, not the values"
        yield from said("Few positives to report on", few, advice, positives[1])
    if bound is not None:
        advice = f"the threshold there has the highest {bound.metric} there is"
        if bound.confidence is not None:
            advice = f"{bound.needed()}; the threshold there comes nearest to it"
        yield from said(f"{bound} is reached at no threshold", ~met & some, advice)
    if bound is not None and divided:
        other = compute_rate(bound.metric, tables[1])
        lost = met & some & ~np.isnan(other) & ~bound.keeps(other)
        about = f"{bound} is kept where it was chosen and missed on the other samples"
        yield from said(about, lost, "ask for more than is needed", [f"{value:.2f}" for value in other])


def _choose_cut(
    positives: NDArray[np.floating],
    negatives: NDArray[np.floating],
    metric: str,
    beta: float,
    bound: Bound | None,
    repeats: float,
) -> tuple[float, bool, float]:
    """Choose the highest of the best cuts that keep the bound.

    Where none keeps it, the best of those that come nearest to it. Returned are also whether it keeps the
    bound, and with which chance. The scores are sorted upward.
    """
    # Each further false alarm lowers every metric, so the best cuts lie just below a positive, or above all.
    kinds = positives, negatives
    highest = max((kind[-1] for kind in kinds if len(kind)), default=0)
    nothing = int(highest < np.inf)  # above an infinite score there is no threshold
    # Where a metric is not defined at any of these, or above all and worse than chance below, it may be better at
    # another.
    for tried in (positives, np.concatenate(kinds)):
        cuts = np.unique(tried[tried > -np.inf])[::-1]  # what nothing was said of is below every threshold
        said = np.stack([len(kind) - np.searchsorted(kind, cuts) for kind in kinds], axis=1)
        said = np.concatenate([np.zeros((nothing, 2), np.int64), said])
        tables = build_confusion(said, np.array([len(positives), len(negatives)]))
        value = compute_rate(metric, tables, beta)
        if not np.isnan(value).all() and np.nanmax(value) >= 0:
            break
    value = value if METRICS[metric].higher_is_better else -value
    kept, chance = np.full(len(tables), bound is None), np.full(len(tables), np.nan)
    if bound is not None:
        kept, chance = bound.judge(tables, repeats)
        allowed = kept & ~np.isnan(value)
        if not allowed.any():
            near = compute_rate(bound.metric, tables) if bound.confidence is None else chance
            allowed = near == np.nanmax(near) if not np.isnan(near).all() else allowed
        value = np.where(allowed, value, np.nan)
    if not len(positives) or np.isnan(value).all():
        return NEUTRAL, bound is None, np.nan
    best = int(np.nanargmax(value))  # the first, hence highest, of equals
    cut = cuts[best - nothing] if best >= nothing else None
    return _threshold_below(cut, positives, negatives), bool(kept[best]), float(chance[best])


def _threshold_below(cut: Any, positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> float:
    """Return the middle of a score and the next lower one.

    None: above all. On a score itself the last bit of a float would decide about its sample. Beyond the
    outermost score of probabilities it is the middle to 0 or 1, else half as far as the next score is.
    """
    kinds = [some for kind in (positives, negatives) if len(some := kind[kind > -np.inf])]
    least, most = (float(end(kind[at] for kind in kinds)) for end, at in ((min, 0), (max, -1)))
    probable = least >= 0 and most <= 1
    if cut is None:
        below = _next_score(kinds, most, "left")
        gap = 1.0 if below is None or not np.isfinite(below) else most - below
        return most + (1 - most if probable and most < 1 - CLOSE else gap) / 2
    upper, below = float(cut), _next_score(kinds, cut, "left")
    if below is None:
        above = _next_score(kinds, cut, "right")
        gap = 1.0 if above is None or not np.isfinite(above) else above - upper
        return upper / 2 if probable and upper > 0 else upper - gap / 2
    middle = below / 2 + upper / 2
    return middle if below < middle <= upper else upper


def _next_score(kinds: Sequence[NDArray[np.floating]], score: float, side: Any) -> float | None:
    """Return the next score below ("left") or above; None: there is none."""
    found = []
    for kind in kinds:
        at = int(np.searchsorted(kind, kind.dtype.type(score), side)) - (side == "left")
        found += [float(kind[at])] if 0 <= at < len(kind) else []
    return (max if side == "left" else min)(found, default=None)


def _hold_out(
    label: NDArray[np.int8], groups: NDArray[np.int64] | None, share: float, seed: Sequence[int]
) -> NDArray[np.bool_]:
    """Hold out a share of a class's positives and negatives.

    Where there are two of a kind, at least one is on either side, so that both parts know both kinds. A group
    that has a positive counts as one, and stays whole.
    """
    random = np.random.default_rng(seed)
    units = [np.flatnonzero(label == kind) for kind in (1, 0)]
    if groups is not None:
        units[0] = np.unique(groups[units[0]])
        units[1] = np.setdiff1d(groups[units[1]], units[0])
    out = np.zeros(len(label) if groups is None else int(groups.max()) + 1, bool)
    for kind in units:
        if len(kind) > 1:
            some = min(max(int(np.rint(share * len(kind))), 1), len(kind) - 1)
            out[random.permutation(kind)[:some]] = True
    return out if groups is None else out[groups] & (label >= 0)


def _interval(
    metric: str,
    beta: float,
    tables: NDArray[np.int64],
    which: NDArray[np.int64],
    repeats: NDArray[np.float64],
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the interval of some classes."""
    if METRICS[metric].share is not None:
        return rate_interval(metric, tables[which], LEVEL, repeats[which])
    low, high = np.full((2, len(which)), np.nan)
    for place, c in enumerate(which):
        value = compute_rate(metric, tables[c], beta)
        if not np.isnan(value):
            cells = tables[c].reshape(4) / repeats[c] + 0.5
            shares = np.random.default_rng([seed, int(c), 1]).dirichlet(cells, DRAWS)
            # Of a billion samples, so that rounding to counts is not seen.
            counts = np.rint(shares * 1e9).astype(np.int64).reshape(-1, 2, 2)
            ends = percentile_ends(compute_rate(metric, counts, beta), LEVEL)
            low[place], high[place] = min(ends[0], value), max(ends[1], value)
    return low, high


# -- what is asked for, read; each refuses in a sentence what it cannot be


def read_metric(metric: Any, beta: float = 1.0) -> tuple[str, float]:
    """Read a metric and its beta: "f2" is F-beta of 2."""
    name = _known(metric, "choose thresholds by")
    if name != "f1" and _OF_BETA.fullmatch(name):
        name, beta = "fbeta", float(name[1:])
    try:
        beta = float(beta)
    except (TypeError, ValueError):
        raise TypeError(f"beta is {beta!r}: give a number above 0, as 2 to weigh recall more.") from None
    if not 0 < beta < np.inf:
        raise ValueError(f"beta is {beta:g}: give a number above 0, as 2 to weigh recall more.")
    if beta != 1 and name != "fbeta":
        raise ValueError(f"beta={beta:g} has no meaning for {name!r}: give metric='fbeta' with it.")
    return name, beta


def read_classes(scores: Scores, classes: Any) -> NDArray[np.int64]:
    """Read which classes are asked for, by name or number; None: all."""
    if classes is None:
        return np.arange(scores.n_classes)
    one = isinstance(classes, (str, int, np.integer))
    numbers = sorted({class_number(scores, cls) for cls in ([classes] if one else classes)})
    if not numbers:
        raise ValueError("classes is empty: give names or numbers of classes, or None for all.")
    return np.array(numbers)


def read_confidence(confidence: Any) -> float | None:
    """Read how sure a bound is to be; None: not asked."""
    if confidence is None:
        return None
    if isinstance(confidence, bool) or not isinstance(confidence, Real) or not 0.5 <= confidence < 1:
        raise ValueError(f"confidence is {confidence!r}: give how sure the bound is to hold, as 0.95.")
    return float(confidence)


def read_bound(constraint: Any, confidence: Any = None) -> Bound | None:
    """Read a bound, as "recall >= 90 %" or ("recall", 0.9)."""
    sure = read_confidence(confidence)
    if constraint is None:
        if sure is not None:
            raise ValueError("confidence is that of a bound: give one, as constraint='recall >= 0.9'.")
        return None
    if isinstance(constraint, Bound):
        return constraint
    wanted = "give a text as 'recall >= 0.9' or a tuple as ('recall', 0.9)"
    if isinstance(constraint, str):
        parts = _BOUND.fullmatch(constraint)
        if parts is None:
            raise ValueError(f"The constraint {constraint!r} was not understood: {wanted}.")
        name, sign, least = parts.groups()
    elif isinstance(constraint, Sequence) and len(constraint) in (2, 3):
        name, sign, least = constraint if len(constraint) == 3 else (constraint[0], ">=", constraint[1])
    else:
        raise TypeError(f"The constraint is {constraint!r}: {wanted}.")
    said = repr(constraint) if isinstance(constraint, str) else str(constraint)
    if sign not in (">=", "=>", "≥", ">"):
        raise ValueError(f"The constraint {said} is not a lower bound (>=): {wanted}.")
    name = _known(name, "set a bound for")
    if name == "fbeta" or _OF_BETA.fullmatch(name) and name != "f1":
        raise ValueError(f"A bound on {name!r} is not known: bound precision, recall, specificity or f1.")
    if isinstance(least, bool):
        raise TypeError(f"The constraint {said} has no number at its end: {wanted}.")
    try:
        percent = isinstance(least, str) and least.endswith("%")
        value = float(least[:-1]) / 100 if percent else float(least)
    except (TypeError, ValueError):
        raise ValueError(f"The constraint {said} has no number at its end: {wanted}.") from None
    lowest = METRICS[name].lowest
    if not lowest <= value <= 1:
        raise ValueError(
            f"The constraint {said} asks for {name} of {value:g}, which lies outside {lowest:g} ... 1."
        )
    if sure is not None and METRICS[name].share is None:
        shares = ", ".join(one.name for one in METRICS.values() if one.share is not None)
        raise ValueError(f"There is no confidence in a bound of {name}: bound one of {shares}.")
    return Bound(name, value, sign == ">", sure)


def _known(name: Any, purpose: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"A metric is named by a text, as 'f1': {name!r} given.")
    plain = name.strip().lower().replace("-", "_").replace(" ", "_").removesuffix("_score")
    known = [metric for metric in METRICS.values() if not metric.count]
    aliases = {alias: metric.name for metric in known for alias in metric.aliases}
    plain = aliases.get(plain, plain)
    names = [metric.name for metric in known]
    if plain in names or _OF_BETA.fullmatch(plain):
        return plain
    raise ValueError(
        f"There is no metric {name!r} to {purpose}: give one of {', '.join(names)}."
        + did_you_mean(plain, [*names, *aliases])
    )
