"""Scores: what a classifier said of labelled samples; a stream of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..base.words import check_options
from ..data.groups import read_groups
from . import inputs
from .counts import RankedScores, count_pairs, find_commonest_sets, find_cuts, predict
from .intervals import (
    bootstrap_averages,
    check_interval,
    count_by_group,
    group_intervals,
    rate_intervals,
    wilson_interval,
)
from .metrics import (
    METRICS,
    average_over_samples,
    average_rates,
    compute_rate,
    compute_rates,
    count_names,
    describe_unknown,
    mean,
    rate_names,
    ratio,
    split_classes,
)
from .ranking import (
    RANKED,
    average_ends,
    bootstrap_measures,
    measure_ends,
    rank_labels,
    rank_measures,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from .best_thresholds import BestThresholds

#: One threshold, or one a class, by position or name; None: 0.5, of a multiclass task the likeliest class.
Thresholds = float | Sequence[float] | Mapping[str, float] | None
#: Bins by their names here and in scikit-learn.
BINNINGS = {"width": "width", "uniform": "width", "mass": "mass", "quantile": "mass"}


class Scores:
    """True labels and scores of N samples and C classes.

    Confusion, metrics, curves and suspicious labels come of them, at any threshold.

    Immutable: it keeps its own copies, so arrays and tensors may be reused afterwards. A sample is predicted
    when ``score >= threshold``, compared in float64: a float32 score of 0.7 is 0.69999999 and not
    predicted at 0.7. Each class stands alone, one against the rest; where a label is unknown, that
    sample is left out of that class.

    Parameters
    ----------
    y_true : what is so, with -1, NaN, None or a masked value where it is unknown. Multilabel: N x C of 0 and
        1, or a list of labels for each sample. Multiclass: N class numbers 0 ... C-1, or N names. Binary: N
        or N x 1 of 0 and 1, or names. Arrays, tensors, lists, sparse matrices, and frames of any kind.
    y_score : what was said: N x C floats, for binary N or N x 1; a list of C arrays N x 2, as forests put
        out. Meant to be probabilities (0 ... 1), though any score works whose thresholds are given in the
        same unit; for logits use `Scores.from_logits`, for hard predictions `Scores.from_predictions`.
        Of two frames rows and columns are matched by their names, or refused, never taken by position.
    classes : C names; for binary the name of the positive class, or the two names (negative, positive).
        Default: the names or columns of `y_true`, else the columns of `y_score`, else "class 0", ...
    sample_ids : N names of the samples, used by `to_frame` and in errors. Default: the index of a frame, else
        0 ... N-1.
    task : "multilabel", "multiclass" or "binary"; None: what the shapes say. With "multiclass" labels may be
        N x C with the true class highest; with "binary" scores may be N x 2, of which the second counts; with
        "multilabel" class numbers become a column for each class.
    groups : N names of what the samples belong to, as their patients: those of one group are no independent
        samples. Intervals draw whole groups, a holdout divides none, suspicious labels of one stand together.

    Attributes
    ----------
    y_true : N x C int8, read-only: 1, 0, or -1 unknown.
    y_score : N x C float32 or float64, read-only.
    task : "multilabel", "multiclass" or "binary".
    positives, negatives : C int64: known positives (the support) and known negatives.
    unknown : C int64: samples whose label is not known; a class is judged without them.
    sample_ids : N names of the samples; None: they are numbered.
    groups : N int64, the number of each sample's group; None: each stands alone.
    ranked : the scores of each class, sorted once: counts at any threshold.

    Raises
    ------
    ValueError : shapes that do not fit, no samples, labels out of range, a NaN score, a wrong count of names.
    TypeError : labels or scores that are not numbers.

    Notes
    -----
    Building sorts every class once; `confusion` then takes two bisections a class. Memory: two copies of
    the scores and a byte a label, 126 MB for 1,000,000 x 14 in float32.
    """

    #: Whether what is not so and was not said to be is counted: an empty place in a picture is no sample.
    true_negatives = True

    def __new__(cls, /, *_: Any, **options: Any) -> Scores:
        check_options(cls, options)
        return super().__new__(cls)

    def __init__(
        self,
        y_true: Any,
        y_score: Any,
        classes: Sequence[str] | None = None,
        sample_ids: Sequence[Any] | None = None,
        *,
        task: str | None = None,
        groups: Any = None,
    ) -> None:
        given = inputs.read_given(y_true, y_score, classes, sample_ids, task)
        self.task = given.task
        self.n_samples, self.n_classes = given.score.shape
        self.sample_ids = inputs.sample_names(given.sample_ids, self.n_samples)
        self.classes = inputs.class_names(given.classes, self.n_classes, self.task)
        self.y_true = inputs.as_labels(given.label, self.n_classes, self.task, self._row)
        self.y_score = inputs.as_scores(given.score, self._row)
        self.y_true.setflags(write=False)
        self.y_score.setflags(write=False)
        self.groups: NDArray[np.int64] | None = None
        if groups is not None:
            self.groups = read_groups(groups, y_true, self.n_samples)
            self.groups.setflags(write=False)
        self.ranked = RankedScores(self.y_true, self.y_score)
        self.positives, self.negatives = self.ranked.totals.T.copy()
        self.unknown = self.n_samples - self.positives - self.negatives
        #: Where the samples stand in the data that they are a part of; None: in this order.
        self.numbers: NDArray[np.int64] | None = None
        #: What orders confident samples that a probability of 1 makes equal; None where none are.
        self._log_odds: NDArray[np.float64] | None = None

    @classmethod
    def from_logits(
        cls,
        y_true: Any,
        logits: Any,
        classes: Sequence[str] | None = None,
        sample_ids: Sequence[Any] | None = None,
        *,
        task: str | None = None,
        groups: Any = None,
    ) -> Scores:
        """Return the Scores of raw outputs: their softmax for multiclass, else sigmoid.

        They are computed in float64, and measures of ranking take the logits themselves: in float32 all
        logits above 17 are 1.
        """
        given = inputs.read_given(y_true, logits, classes, sample_ids, task, logits=True)
        raw, squash = given.score.astype(np.float64), inputs.sigmoid
        if given.task == "multiclass":
            raw, squash = inputs.log_odds(raw), inputs.softmax
        score = squash(given.score.astype(np.float64))
        if groups is not None:
            groups = read_groups(groups, y_true, len(score))
        found = cls(given.label, score, given.classes, given.sample_ids, task=given.task, groups=groups)
        if found.y_score.max() > inputs.CERTAIN:
            found._log_odds = raw
        return found

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        classes: Sequence[str] | None = None,
        sample_ids: Sequence[Any] | None = None,
        *,
        task: str | None = None,
        groups: Any = None,
    ) -> Scores:
        """Return the Scores of hard predictions: scores of 0 and 1.

        Parameters
        ----------
        y_true : as for Scores; for a multiclass task also N names of classes (None or NaN where unknown).
        y_pred : what was said. Multilabel: N x C of 0 and 1, or N lists of labels. Multiclass: N class
            numbers, or N names. Binary: N or N x 1 of 0 and 1.
        classes : C names. N numbers of 0 and 1 alone are a binary task unless more than two are named; names
            are always multiclass, by default in the order of the alphabet.
        sample_ids, task, groups : as for Scores.

        Raises
        ------
        ValueError, TypeError : predictions that are not 0 and 1, or no class numbers, or unknown; as for
            Scores besides.
        """
        if groups is not None:
            groups = read_groups(groups, y_true, len(y_true))
        return cls(
            *inputs.as_predictions(y_true, y_pred, classes, task), sample_ids, task=task, groups=groups
        )

    @staticmethod
    def stream(
        classes: Sequence[str] | None = None, task: str | None = None, logits: bool = False
    ) -> ScoreStream:
        """Return a `ScoreStream`, to which a validation adds its batches."""
        return ScoreStream(classes, task, logits)

    # -- at thresholds

    def read_thresholds(self, given: Any) -> NDArray[np.float64] | None:
        """Read thresholds: C float64, or None for the likeliest class.

        `given` is one number, or one a class: by position as an array or list, by name as a dict, a Series or
        as `best_thresholds` returns them. None: of a multiclass task the likeliest class is said, for other
        tasks 0.5.

        Raises
        ------
        TypeError, ValueError : no numbers, neither one nor C of them, or a NaN; names of other classes.
        """
        if given is None and self.task == "multiclass":
            return None
        given = 0.5 if given is None else inputs.match_thresholds(given, self.classes)
        try:
            values = inputs.as_array(given, "thresholds")
            if values.dtype.kind in "US":
                raise TypeError
            values = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            raise TypeError(f"Thresholds must be numbers: {given!r} given.") from None
        if values.ndim > 1 or (values.ndim == 1 and len(values) not in (1, self.n_classes)):
            raise ValueError(
                f"Thresholds of shape {values.shape} for {self.n_classes} classes: give one number, or "
                f"{self.n_classes} in the order of the classes."
            )
        values = np.broadcast_to(values.reshape(-1), (self.n_classes,))
        if np.isnan(values).any():
            raise ValueError("A threshold is NaN: give numbers.")
        return values

    def confusion(self, thresholds: Thresholds = None) -> NDArray[np.int64]:
        """Count the confusion of each class at one threshold or several.

        C x 2 x 2 ``[[tn, fp], [fn, tp]]``: rows say what is, columns what was said, as in
        `sklearn.metrics.multilabel_confusion_matrix`, to which it is equal to the last count. `thresholds`
        None: each sample of a multiclass task is said to be of its likeliest class (the first of equals) and
        of no other; for other tasks 0.5.
        """
        limits = self.read_thresholds(thresholds)
        found = split_classes(self.matrix()) if limits is None else self.ranked.confusion(limits)
        if not self.true_negatives:
            found[:, 0, 0] = 0
        return found

    def matrix(self, thresholds: Thresholds = None) -> NDArray[np.int64]:
        """Count C x C of a multiclass task: rows are, columns said.

        Equal to `sklearn.metrics.confusion_matrix`. Each sample is said to be of its likeliest class, the
        first of equals; of a binary task it is 2 x 2 and the threshold decides, 0.5 unless given. Unknown
        samples are left out.

        Raises
        ------
        ValueError : a multilabel task, where a sample has no single class; thresholds for a multiclass task.
        """
        if self.task == "multilabel":
            raise ValueError(
                f"A sample has any number of the {self.n_classes} labels, so there is no matrix of one label "
                "against another: confusion() gives 2 x 2 for each label, missed_for() what is said instead."
            )
        if self.task == "binary":
            return self.confusion(thresholds)[0]
        if thresholds is not None:
            raise ValueError(
                "The matrix of a multiclass task takes the likeliest class of each sample, so it has no "
                "thresholds: leave them out, or see confusion(thresholds) for one class against the rest."
            )
        known = self.y_true[:, 0] >= 0
        is_so, said = self.y_true[known].argmax(axis=1), self.y_score[known].argmax(axis=1)
        cells = np.bincount(is_so * self.n_classes + said, minlength=self.n_classes**2)
        return cells.reshape(self.n_classes, self.n_classes).astype(np.int64)

    def predictions(self, thresholds: Thresholds = None) -> NDArray[np.bool_]:
        """Return N x C booleans: what is said; `thresholds` as in `confusion`."""
        return predict(self.y_score, self.read_thresholds(thresholds))

    def exact_match(self, thresholds: Thresholds = None) -> float:
        """Return the share of samples whose labels are all right.

        That is `sklearn.metrics.accuracy_score` (of labels: subset accuracy) of the samples of which every label
        is known; NaN of none. A sample of which some are unknown can be shown to be wrong and never to be right,
        so with it the share would be too low; and too high if what is unknown passed for right. `thresholds` as
        in `confusion`.
        """
        known = (self.y_true >= 0).all(axis=1)
        right = (self.predictions(thresholds) == (self.y_true == 1)).all(axis=1)
        return float(right[known].mean()) if known.any() else np.nan

    def counts_at(self, positions: int = 1001) -> NDArray[np.unsignedinteger]:
        """Count what is predicted at each threshold ``k / (positions - 1)``.

        Returns
        -------
        C x 2 x positions over the whole of 0 ... 1, C order, in the smallest unsigned dtype that holds the
        largest count (uint8, uint16, uint32 or uint64): ``[c, 0, k]`` positives of class c that score at
        least the k-th threshold (tp), ``[c, 1, k]`` such negatives (fp). With `positives` and `negatives`
        that is the confusion, exact at each position: ``fn = positives - tp``, ``tn = negatives - fp``.
        """
        if positions < 2:
            raise ValueError(f"counts_at() needs at least 2 positions, 0 and 1: {positions} given.")
        grid = np.arange(positions) / (positions - 1)
        counts = self.ranked.at_least(np.tile(grid, (self.n_classes, 1)))
        return counts.astype(np.min_scalar_type(self.ranked.totals.max()))

    def best_thresholds(
        self,
        metric: str = "f1",
        constraint: str | Sequence[Any] | None = None,
        *,
        confidence: float | None = None,
        classes: Sequence[int | str] | None = None,
        beta: float = 1.0,
        holdout: float | None = None,
        seed: int = 0,
    ) -> BestThresholds:
        """Find for each class the threshold at which `metric` is best.

        All cut points are tried. Of equal optima the highest threshold is taken, which predicts least. It
        lies midway between two scores: on one, the last bit of a float would decide about its sample. Chosen
        and judged on the same samples a threshold flatters itself: `holdout` judges it on others.

        Parameters
        ----------
        metric : "f1", "fbeta" (with `beta`; or "f2", "f0.5"), "youden" (recall + specificity - 1),
            "accuracy", "matthews", "jaccard", "precision", "recall" or "specificity".
        constraint : a bound that another metric must reach: "recall >= 0.9" or ("recall", 0.9). The best of
            `metric` among the cuts that keep it; where none does, the cut that comes nearest, with a warning.
        confidence : how sure that bound is to hold for other samples, as 0.95: the lower end of its Wilson
            interval of this level keeps it. None: it is kept on the samples that choose, and for others in
            about half of the cases. For bounds of recall, precision, specificity, accuracy, F1 and Jaccard.
        classes : the classes to choose for, by name or number; no other is computed. Default: all.
        beta : how much more recall weighs than precision in "fbeta".
        holdout : the share of the samples, drawn by `seed`, a share of each class's positives and negatives,
            that takes no part in choosing and on which the value is reported, with its 95 % interval. None:
            chosen and reported on all, and a warning says so.

        Returns
        -------
        BestThresholds : stands for C float64, to be given to `confusion` or `metrics`: 0.5 for a class with
            no known positive, since there no threshold is better than another, and for those that were not
            asked for; `.to_frame()`, `.warnings`, `.chance` (that the bound truly holds).

        Raises
        ------
        TypeError, ValueError : a metric, constraint, confidence, class, beta, holdout or seed that is none.
        """
        from .best_thresholds import best_thresholds

        return best_thresholds(
            self,
            metric,
            constraint,
            confidence=confidence,
            classes=classes,
            beta=beta,
            holdout=holdout,
            seed=seed,
        )

    # -- tables

    def metrics(
        self,
        thresholds: Thresholds = None,
        *,
        beta: float = 1.0,
        interval: str | None = None,
        level: float = 0.95,
        zero_division: float = np.nan,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Return the metrics of each class, one row a class.

        They are accuracy, precision, recall, specificity, f1, matthews, jaccard, balanced_accuracy, kappa
        (Cohen's, of what is said and what is so) and counts: `support` counts
        the known positives, `predicted` the known samples that are said to be positive, and `unknown` those
        whose label is not known, which are left out. Accuracy is that of single labels (1 - Hamming loss);
        for whole samples see `exact_match`.

        Parameters
        ----------
        thresholds : one, or one a class; None for the likeliest class of a multiclass task.
        beta : where it is not 1, a column `fbeta` follows f1: recall counts `beta` times as much as
            precision.
        interval : "wilson": from the counts, good with few samples; n/a for fbeta and matthews. "bootstrap":
            from 2,000 draws of the class's samples (BCa), no narrower than Wilson's. Both as columns NAME_low
            and NAME_high. Where there are `groups`, whole groups are drawn, and Wilson's is that of as many
            independent samples as tell as much (see `intervals.design_effect`).
        level : how often the interval is to hold the true value.
        zero_division : what a rate is whose denominator is 0. Default: NaN, not known. 0 is what scikit-learn
            says, with a warning. A class without any known label stays NaN.
        seed : of the bootstrap.
        """
        beta, zero = _checked(beta, interval, level, zero_division)
        confusion = self.confusion(thresholds)
        columns = self._defined(compute_rates(confusion, beta, zero))
        if interval is not None:
            columns = _between(columns, self._intervals(interval, thresholds, level, beta, seed))
        columns |= {name: compute_rate(name, confusion) for name in count_names()}
        # Of a box the other classes are not unknown: they are not asked for.
        unknown = {"unknown": self.unknown} if self.true_negatives else {}
        return _frame({**columns, **unknown}, self.classes, "class")

    def averages(
        self,
        thresholds: Thresholds = None,
        *,
        beta: float = 1.0,
        interval: str | None = None,
        level: float = 0.95,
        zero_division: float = np.nan,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Return the rows macro, micro, weighted and samples of `metrics`.

        macro is the mean of the classes, weighted that mean weighted by support, micro the rate of the
        summed counts, samples the mean of each sample's own rate over its known labels (n/a for a binary
        task). What is NaN is left out of a mean; with ``zero_division=0`` it counts as 0, and all equal
        scikit-learn's. `support` and `predicted` are sums. The parameters are those of `metrics`, but for

        interval : "bootstrap": whole samples are drawn, since the labels of one go together; it holds with few
            positives too (see `intervals.bootstrap_averages`). "wilson" is n/a here but for a binary task: a
            mean over classes is no share of counted samples.
        """
        beta, zero = _checked(beta, interval, level, zero_division)
        confusion, names = self.confusion(thresholds), tuple(self._defined(dict.fromkeys(rate_names(beta))))
        rows = {average: self._defined(row) for average, row in average_rates(confusion, beta, zero).items()}
        unknown = dict.fromkeys(names, (np.nan, np.nan))
        ends: dict[str, dict[str, Any]] = {}
        if self.n_classes > 1:
            said = self.predictions(thresholds)
            rows["samples"] = self._defined(average_over_samples(self.y_true, said, beta, zero))
            if interval == "wilson":
                ends = dict.fromkeys(rows, unknown)
            elif interval is not None:
                options = {"beta": beta, "zero_division": zero, "seed": seed, "groups": self.groups}
                ends = bootstrap_averages(self.y_true, said, level, **options)
        else:
            if interval is not None:
                drawn = self._intervals(interval, thresholds, level, beta, seed)
                own = {name: (low[0], high[0]) for name, (low, high) in drawn.items()}
                ends = {**dict.fromkeys(rows, own), "samples": unknown}
            # Samples of one class are right or wrong, no more: their precision and recall mean nothing.
            rows["samples"] = dict.fromkeys(names, np.nan)
        if ends:
            rows = {average: _between(row, ends[average]) for average, row in rows.items()}
        frame = _frame(rows).T.rename_axis("average")
        return frame.assign(**{name: compute_rate(name, confusion).sum() for name in count_names()})

    def ranking(
        self, interval: str | None = None, *, level: float = 0.95, bins: int = 10, seed: int = 0
    ) -> pd.DataFrame:
        """Return measures that need no threshold, one row a class.

        Parameters
        ----------
        interval : "bootstrap": columns NAME_low and NAME_high from 1,000 draws of the class's samples, or of
            whole groups where there are; each takes as long as there are different scores (20,000 of them: a
            second a class). Those of roc_auc and average_precision hold with few positives too: see
            `ranking.measure_ends`.
        level : how often the interval is to hold the true value.
        bins : of equal width over 0 ... 1, of the calibration error.
        seed : of the draws.

        Returns
        -------
        Columns roc_auc (ties count one half), average_precision (without interpolation), brier (mean squared
        error of the probability) as in scikit-learn, and ece: the expected calibration error, the mean over
        the samples of how far their bin's mean score is from its share of positives (Naeini et al., 2015).
        roc_auc is NaN where all known labels are the same, average_precision where none is positive, brier
        and ece where a score lies outside 0 ... 1.
        """
        columns, _ = self._ranked_with(interval, level, bins, seed)
        return _frame(columns, self.classes, "class")

    def ranking_averages(
        self, interval: str | None = None, *, level: float = 0.95, bins: int = 10, seed: int = 0
    ) -> pd.DataFrame:
        """Return the rows macro, micro and weighted of `ranking`.

        Micro pools all labels. Sorts all N x C scores once more. The parameters are those of `ranking`: whole
        samples are drawn (or groups), since the labels of one go together.
        """
        columns, draws = self._ranked_with(interval, level, bins, seed, together=True)
        label, score = self.y_true.reshape(-1), self.y_score.reshape(-1)
        order = None if self._log_odds is None else self._log_odds.reshape(-1)
        pooled, ordered = (
            None if one is None else RankedScores(label[:, None], one[:, None]).columns[0]
            for one in (score, order)
        )
        rows = {"macro": {}, "micro": rank_measures(*pooled, bins, ordered), "weighted": {}}
        weights = {"macro": np.ones(self.n_classes), "weighted": self.positives.astype(np.float64)}
        for average, weight in weights.items():
            rows[average] = {name: mean(columns[name], weight) for name in RANKED}
        if draws is not None:
            units = np.repeat(self._units(), self.n_classes)
            drawn = bootstrap_measures(label, score, units, order, bins=bins, seed=seed)
            ends = {"micro": measure_ends(rows["micro"], drawn, self._sizes(label, units), level)}
            for average, weight in weights.items():
                ends[average] = {
                    name: average_ends(
                        columns[name], columns[f"{name}_low"], columns[f"{name}_high"],
                        np.stack([one[name] for one in draws]), weight, name == "average_precision",
                    ) for name in RANKED
                }  # fmt: skip
            rows = {average: _between(row, ends[average]) for average, row in rows.items()}
        return _frame(rows).T.rename_axis("average")

    def label_ranking(self, top: int | Sequence[int] = (1, 3, 5)) -> pd.Series:
        """Return how well samples rank their own labels, on average.

        Parameters
        ----------
        top : how many of the highest labels `precision_at_K` looks at; more than there are classes are left
            out.

        Returns
        -------
        label_ranking_average_precision (of each true label the share of true ones among those that score as
        high; best 1), coverage_error (how many of the highest labels hold all true ones; ties count against),
        label_ranking_loss (the share of pairs of a true and a false label in the wrong order, or that tie;
        best 0), as in scikit-learn (Tsoumakas, Katakis and Vlahavas, "Mining multi-label data", 2010), and
        precision_at_K: the share of true ones among the K highest. Unknown labels are left out of a sample,
        and samples of which no label is known.

        Raises
        ------
        ValueError : a binary task, which has one label; a `top` that is no number above 0.
        """
        import pandas as pd

        if self.n_classes == 1:
            raise ValueError("One label has no ranking among labels: see ranking() for that of its samples.")
        wanted = [top] if isinstance(top, (int, np.integer)) else list(top)
        sizes = [k for one in wanted if (k := inputs.read_row_count(one)) and k <= self.n_classes]
        score = self.y_score if self._log_odds is None else self._log_odds
        return pd.Series(rank_labels(self.y_true, score, sizes), name="label ranking")

    def _ranked_with(
        self, interval: str | None, level: float, bins: int, seed: int, together: bool = False
    ) -> tuple[dict[str, NDArray[np.float64]], list[dict[str, NDArray[np.float64]]] | None]:
        """Measure each class, with its interval; return the draws too."""
        if interval not in (None, "bootstrap"):
            raise ValueError(f"There is no interval {interval!r} of a ranking: give None or 'bootstrap'.")
        check_interval(interval, level)
        rows = [rank_measures(*self.ranked.columns[c], bins, self.ordered(c)) for c in range(self.n_classes)]
        draws: list[dict[str, NDArray[np.float64]]] = []
        units = self._units() if together else self.groups
        for c, row in enumerate(rows if interval else ()):
            label, own = self.y_true[:, c], seed if together else [seed, c]
            order = None if self._log_odds is None else self._log_odds[:, c]
            draws.append(bootstrap_measures(label, self.y_score[:, c], units, order, bins=bins, seed=own))
            rows[c] = _between(row, measure_ends(row, draws[-1], self._sizes(label, self.groups), level))
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        return columns, draws if interval else None

    def _intervals(
        self, interval: str, thresholds: Any, level: float, beta: float, seed: int
    ) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Compute the interval of every rate of each class."""
        if self.groups is None:
            return rate_intervals(interval, self.confusion(thresholds), level, beta, seed)
        said, groups = self.predictions(thresholds), self.groups
        tables = (count_by_group(label, own, groups) for label, own in zip(self.y_true.T, said.T))
        return group_intervals(interval, tables, level, beta, seed)

    def _defined(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Leave out the metrics that need counts which there are not."""
        return {name: one for name, one in columns.items() if METRICS[name].is_of(self.true_negatives)}

    def _units(self) -> NDArray[np.int64]:
        """Return what is drawn as one: the groups, else the samples."""
        return np.arange(self.n_samples) if self.groups is None else self.groups

    def _sizes(self, label: NDArray[np.int8], groups: NDArray[np.int64] | None) -> tuple[int, int]:
        """Count the positives and the negatives, or the groups that have one."""
        kinds = (label == 1), (label == 0)
        if groups is None:
            return int(kinds[0].sum()), int(kinds[1].sum())
        return len(np.unique(groups[kinds[0]])), len(np.unique(groups[kinds[1]]))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a sample: columns ("label", class) and ("score", class).

        A label is -1 where it is unknown.
        """
        import pandas as pd

        index = pd.RangeIndex(self.n_samples) if self.sample_ids is None else pd.Index(self.sample_ids)
        parts = {
            "label": pd.DataFrame(self.y_true, index, self.classes),
            "score": pd.DataFrame(self.y_score, index, self.classes),
        }
        return pd.concat(parts, axis=1, names=["", "class"]).rename_axis("sample")

    # -- of one class

    def roc(self, cls: int | str | None = None) -> pd.DataFrame:
        """Return the ROC curve of a class, one row a cut point.

        The columns are threshold, false_positive_rate, recall, fp and tp. The rows go from the highest
        threshold (nothing predicted) to the lowest (all predicted), the points of
        `sklearn.metrics.roc_curve(drop_intermediate=False)`, whose first threshold is infinite where this one
        lies just above the highest score. The area under it is `roc_auc` of `Scores.ranking`. A rate is NaN
        where the class has no known negative, or no positive.
        """
        c = inputs.class_number(self, cls)
        cuts = find_cuts(self.y_true[:, c], self.y_score[:, c])
        columns = {
            "threshold": cuts.thresholds,
            "false_positive_rate": ratio(cuts.fp, cuts.negatives),
            "recall": ratio(cuts.tp, cuts.positives),
        }
        return _frame({**columns, "fp": cuts.fp, "tp": cuts.tp})

    def precision_recall(self, cls: int | str | None = None) -> pd.DataFrame:
        """Return the precision-recall curve of a class, one row a cut point.

        The columns are threshold, recall, precision, predicted and tp. The rows go from the highest
        threshold to the lowest, the points of `sklearn.metrics.precision_recall_curve` in the other order.
        Where nothing is predicted the precision is 0 / 0; it is set to 1 there, as scikit-learn does. Between
        two rows the curve is a step at the precision of the lower threshold, no line: the sum of precision x
        rise of recall is then `average_precision` of `Scores.ranking` (matplotlib:
        ``drawstyle="steps-pre"``). Recall is NaN where no positive is known.
        """
        c = inputs.class_number(self, cls)
        cuts = find_cuts(self.y_true[:, c], self.y_score[:, c])
        said = cuts.tp + cuts.fp
        columns = {
            "threshold": cuts.thresholds,
            "recall": ratio(cuts.tp, cuts.positives),
            "precision": np.where(said > 0, cuts.tp / np.maximum(said, 1), 1.0),
        }
        return _frame({**columns, "predicted": said, "tp": cuts.tp})

    def reliability(
        self, cls: int | str | None = None, bins: int = 10, *, binning: str = "width", level: float = 0.95
    ) -> pd.DataFrame:
        """Return how often a class occurs among samples of like score.

        Parameters
        ----------
        cls : a name or a number; may be left out where there is one class.
        bins : how many.
        binning : "width": bins of equal width over 0 ... 1; "mass": of equally many samples, their edges
            quantiles of the known scores (so that some coincide where many scores are equal, and those bins
            are empty). A score on an edge belongs to the lower bin, as in
            `sklearn.calibration.calibration_curve`, which calls them "uniform" and "quantile".
        level : how often the interval is to hold.

        Returns
        -------
        A row a bin: low, high: the edges; samples; positives; mean_score; observed: positives / samples,
        with Wilson's interval observed_low ... observed_high. An empty bin keeps its row, with NaN.

        Raises
        ------
        ValueError, TypeError : no such class, bins or binning; scores outside 0 ... 1, no probabilities.
        """
        c = inputs.class_number(self, cls)
        if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)):
            raise TypeError(f"bins is {bins!r}: give their number, as 10.")
        if bins < 1:
            raise ValueError(f"{bins} bins: give at least 1.")
        if binning not in BINNINGS:
            raise ValueError(f"There is no binning {binning!r}: give 'width' or 'mass'.")
        known = self.y_true[:, c] >= 0
        label, score = self.y_true[known, c], self.y_score[known, c].astype(np.float64)
        inputs.check_probabilities(score, f"The reliability of {self.classes[c]!r}")
        edges = np.linspace(0, 1, bins + 1)
        if BINNINGS[binning] == "mass":
            # In percent, as scikit-learn asks: where many scores are equal, the last bit decides on which
            # side they lie.
            edges = np.percentile(score, edges * 100) if len(score) else np.full(bins + 1, np.nan)
        at = np.searchsorted(edges[1:-1], score)
        count = np.bincount(at, minlength=bins)
        hits = np.bincount(at, weights=label, minlength=bins).astype(np.int64)
        low, high = wilson_interval(hits, count, level)
        columns = {
            "low": edges[:-1],
            "high": edges[1:],
            "samples": count,
            "positives": hits,
            "mean_score": ratio(np.bincount(at, weights=score, minlength=bins), count),
            "observed": ratio(hits, count),
        }
        return _frame({**columns, "observed_low": low, "observed_high": high}).rename_axis("bin")

    # -- label against label

    def missed_for(
        self,
        thresholds: Thresholds = None,
        *,
        wrong_only: bool = False,
        shares: bool = False,
    ) -> pd.DataFrame:
        """Count what is predicted where a label is missed, C x C.

        Row i, column j: where label i is missed, how often label j is predicted; the diagonal is 0. Label i
        is missed in the samples that have it and in which it is not predicted. A sample whose label i is
        unknown is left out of row i.

        Parameters
        ----------
        thresholds : one, or one a class; None: the likeliest class of each sample of a multiclass task.
        wrong_only : count j only where it is known not to be so: what is said *instead*. A sample whose label
            j is unknown is then left out of column j.
        shares : divide by how often i is missed, with `wrong_only` where label j is known; NaN of none.
        """
        said = self.predictions(thresholds)
        missed, known = (self.y_true == 1) & ~said, self.y_true >= 0
        counts = count_pairs(missed, said & (self.y_true == 0) if wrong_only else said)
        whole = count_pairs(missed, known | (not wrong_only)) if shares else None
        return self._square(counts, whole, "missed", "predicted")

    def cooccurrence(
        self,
        kind: str = "true",
        thresholds: Thresholds = None,
        *,
        shares: bool = False,
    ) -> pd.DataFrame:
        """Count how many samples have two labels, C x C.

        Row i, column j: label i and label j; the diagonal: label i.

        Parameters
        ----------
        kind : "true": what is known to be so; "predicted": what is said at `thresholds`, of all samples.
        shares : of the samples that have label i and whose label j is known, how many have j. NaN of none.
        """
        if kind not in ("true", "predicted"):
            raise ValueError(f"There is no co-occurrence of {kind!r}: give 'true' or 'predicted'.")
        known = (self.y_true >= 0) | (kind == "predicted")
        has = self.y_true == 1 if kind == "true" else self.predictions(thresholds)
        return self._square(count_pairs(has, has), count_pairs(has, known) if shares else None, "has", "and")

    def mistaken_sets(self, thresholds: Thresholds = None, top: int | None = 20) -> pd.DataFrame:
        """Return the commonest mistakes: which set was taken for which.

        An unknown label is left out of both sets of its sample, so "edema, unknown mass" taken for "edema,
        mass" is no mistake. `top` is how many rows, None: all.

        Returns
        -------
        A row a pair of different sets, the commonest first, of equals the one that comes first in the
        data: true, predicted (tuples of class names in their order, may be empty); count; share, of the
        samples of which every label is known, as of `exact_match`: NaN of none; sample: the first such (its id,
        or its number).

        Raises
        ------
        TypeError, ValueError : a top that is not a number above 0.
        """
        known = self.y_true >= 0
        is_so, said = self.y_true == 1, self.predictions(thresholds) & known
        rows = np.flatnonzero((is_so != said).any(axis=1))
        first, count, place = find_commonest_sets(is_so[rows], said[rows])
        whole = known.all(axis=1)
        share = ratio(np.bincount(place[whole[rows]], minlength=len(count)), whole.sum())
        wanted = inputs.read_row_count(top)
        first, count, share = first[:wanted], count[:wanted], share[:wanted]
        examples = rows[first]
        columns = {
            name: [tuple(self.classes[c] for c in np.flatnonzero(has[n])) for n in examples]
            for name, has in (("true", is_so), ("predicted", said))
        }
        return _frame({**columns, "count": count, "share": share, "sample": self.names_of(examples)})

    def suspicious(
        self,
        cls: int | str | None = None,
        top: int | None = None,
        *,
        engine: str = "own",
        rule: str = "confident_learning",
    ) -> pd.DataFrame:
        """Return the labels that the scores confidently contradict, worst first.

        The scores must be out of sample: from a model that was not trained on these very labels (a validation
        set, or cross-validation). A model that has learnt a wrong label by heart finds nothing wrong with it.

        Confident learning (Northcutt, Jiang and Chuang, "Confident learning: estimating uncertainty in
        dataset labels", JAIR 70, 2021) by plain counting. Each class of a multilabel task is a question of
        its own, yes or no. The threshold of an answer is the mean score of it among the samples given it:
        what a sample that has it usually gets. A sample counts for the answer whose threshold it reaches
        (the likelier one where it reaches both). It is suspicious where that is not the given answer, and
        the given one is not the likeliest. A multiclass task is one question with C answers.

        Parameters
        ----------
        cls : a class, by name or number; None: all. In a multiclass task: the class that is given.
        top : how many rows; None: all.
        engine : "own", or "cleanlab" where that package is installed; it knows no groups.
        rule : "confident_learning" is the rule above, the same in both engines. cleanlab also knows
            "prune_by_noise_rate", "prune_by_class" and "both".

        Returns
        -------
        DataFrame : sample (its id, or its number); class; given (1 or 0; multiclass: always 1); score (of the
            class); confidence: the score of the given answer, low where it is contradicted; rank: 1, 2, ...
            by confidence, of equals the first sample. Multiclass also: instead, the class that is likeliest.
            Where there are `groups`, also group (its number): what a sample usually gets is then a mean in
            which each group counts once, and labels of one group follow its worst.
            Between two answers the order by confidence is also that by normalised margin. Nothing is found
            in a class whose known labels are all alike, and samples of unknown label are left out.

        Raises
        ------
        ValueError, TypeError : no such class, engine, rule or top; scores outside 0 ... 1.
        RuntimeError : cleanlab is wanted and not installed.
        """
        from .suspects import suspicious

        return suspicious(self, cls, top, engine=engine, rule=rule)

    # -- other forms

    def figure(self, thresholds: Thresholds = None, sort: str = "given") -> Figure:
        """Draw the grid of 2 x 2 heatmaps; `sort` as in `confusion_figure`."""
        from .confusion_figure import confusion_figure

        return confusion_figure(self, thresholds, sort=sort)

    def __repr__(self) -> str:
        f1 = average_rates(self.confusion(None))["macro"]["f1"]
        rule = "of the likeliest class" if self.task == "multiclass" else "at 0.5"
        unknown = describe_unknown(self.unknown, self.n_samples)
        unknown = f"{unknown}, " if unknown else ""
        return (
            f"Scores({self.task}: {self.n_samples:,} samples x {self.n_classes:,} "
            f"{'class' if self.n_classes == 1 else 'classes'}, {unknown}macro F1 {f1:.3f} {rule})"
        )

    def _repr_html_(self) -> str:
        import html

        import pandas as pd

        # Accuracy says little of rare labels, and Jaccard nothing that F1 does not.
        columns = ["precision", "recall", "specificity", "f1", "matthews", "support", "predicted"]
        columns = [name for name in columns if METRICS[name].is_of(self.true_negatives)]
        columns += ["unknown"] if self.true_negatives and self.unknown.any() else []
        averages = self.averages(None).assign(unknown=self.unknown.sum())
        table = pd.concat([self.metrics(None), averages])[columns]
        counts = dict.fromkeys(["support", "predicted", "unknown"], "{:,}".format)
        return f"<p>{html.escape(repr(self))}</p>" + table.to_html(
            float_format="{:.3f}".format, formatters=counts, na_rep="n/a", max_rows=60, border=0
        )

    def names_of(self, rows: NDArray[np.int64]) -> NDArray:
        """Return the names of some samples: their ids, or their numbers."""
        return rows if self.sample_ids is None else self.sample_ids[rows]

    def _square(
        self, counts: NDArray[np.int64], whole: NDArray[np.int64] | None, row: str, column: str
    ) -> pd.DataFrame:
        values = counts if whole is None else ratio(counts, whole)
        frame = _frame(values, self.classes, row)
        return frame.set_axis(list(self.classes), axis=1).rename_axis(columns=column)

    def ordered(self, cls: int) -> tuple[NDArray, NDArray] | None:
        """Return the sorted log-odds of a class's positives and negatives.

        None where its scores order as well.
        """
        if self._log_odds is None:
            return None
        return RankedScores(self.y_true[:, [cls]], self._log_odds[:, [cls]]).columns[0]

    def _row(self, n: int) -> str:
        return str(n) if self.sample_ids is None else repr(self.sample_ids[n])


class ScoreStream:
    """Labels and scores, added a batch at a time.

    `scores` makes Scores of all that was added. `add` only copies the batch on the device where it lies: it
    reads no value, so the host never waits for the device and may queue the next forward pass at once. Values
    are checked once, in `scores`, which brings everything over in one transfer of the labels and one of the
    scores. The result is the same as that of Scores built of all batches at once; a stream may be read, added
    to and read again.

    Memory, on the device: every score and label in the dtype it came in, for 1,000,000 x 14 in float32
    112 MB (70 MB where the labels are int8 or bool), and as much again while `scores` joins the batches.

    Parameters
    ----------
    classes : C names, as for Scores.
    task : as for Scores.
    logits : whether raw outputs are added: softmax (multiclass) or sigmoid then makes them probabilities.

    Examples
    --------
    >>> stream = Scores.stream(classes=names, logits=True)
    >>> with torch.no_grad():
    ...     for x, y in loader:
    ...         stream.add(y, model(x))
    >>> stream.scores().metrics()
    """

    def __init__(
        self, classes: Sequence[str] | None = None, task: str | None = None, logits: bool = False
    ) -> None:
        inputs.check_task(task)
        self.classes, self.task, self.logits = classes, task, logits
        self._labels: list[torch.Tensor] = []
        self._outputs: list[torch.Tensor] = []
        self._names: list[Any] = []

    def add(self, y_true: Any, y_score: Any, sample_ids: Sequence[Any] | None = None) -> None:
        """Add a batch of labels and scores, B x C or B.

        Raises
        ------
        ValueError : shapes that do not fit each other or the batches before; seen from the shapes alone.
        """
        if isinstance(y_true, torch.Tensor) and isinstance(y_score, torch.Tensor):
            label, output = y_true.detach().clone(), y_score.detach().clone()
        else:
            label, output, sample_ids = self._read(y_true, y_score, sample_ids)
        shapes = f"y_true has shape {tuple(label.shape)}, y_score {tuple(output.shape)}"
        if not label.ndim or not output.ndim or len(label) != len(output):
            raise ValueError(f"{shapes}: both need one row a sample.")
        if self._labels:
            before = self._labels[0], self._outputs[0]
            if (label.shape[1:], output.shape[1:]) != (before[0].shape[1:], before[1].shape[1:]):
                raise ValueError(
                    f"{shapes}, and {tuple(before[0].shape)}, {tuple(before[1].shape)} in the batches "
                    "before: all must have the same columns."
                )
            if (sample_ids is None) != (not self._names):
                raise ValueError("sample_ids were given with some batches only: give them with all or none.")
        if sample_ids is not None and len(sample_ids) != len(label):
            raise ValueError(f"{len(sample_ids)} sample_ids for {len(label)} samples: give one a sample.")
        if not len(label):
            return
        self._labels.append(label)
        self._outputs.append(output)
        self._names += [] if sample_ids is None else list(sample_ids)

    def _read(
        self, y_true: Any, y_score: Any, sample_ids: Sequence[Any] | None
    ) -> tuple[torch.Tensor, torch.Tensor, Sequence[Any] | None]:
        """Read a batch that is no tensors, as Scores do."""
        given = inputs.match_given(y_true, y_score, self.classes, sample_ids)
        if given.named and self.classes is None:
            raise ValueError("Labels are names: give Scores.stream(classes=...), in the order of the scores.")
        self.classes = given.classes if self.classes is None else self.classes
        label, output = (torch.from_numpy(np.array(one)) for one in (given.label, given.score))
        return label, output, given.sample_ids

    def __len__(self) -> int:
        """Return how many samples were added."""
        return sum(len(label) for label in self._labels)

    def scores(self, groups: Any = None) -> Scores:
        """Return the Scores of all that was added; wait for the device.

        Parameters
        ----------
        groups : of all samples that were added, in their order, as for Scores.

        Raises
        ------
        ValueError : nothing was added, the shapes are not those of the task, or as for Scores: a NaN score by
            its row.
        """
        if not self._labels:
            raise ValueError("Nothing was added: add(y_true, y_score) for each batch first.")
        # Kept joined, that a stream read often is not joined anew each time.
        for batches in (self._labels, self._outputs):
            batches[:] = [torch.cat([batch.to(batches[0].device) for batch in batches])]
        label, output = self._labels[0].cpu(), self._outputs[0].cpu()
        build = Scores.from_logits if self.logits else Scores
        return build(label, output, self.classes, self._names or None, task=self.task, groups=groups)

    def __repr__(self) -> str:
        return f"ScoreStream({len(self):,} samples so far)" if self._labels else "ScoreStream(nothing so far)"


def _between(row: dict[str, Any], ends: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    """Return the row with NAME_low and NAME_high behind each name."""
    wide: dict[str, Any] = {}
    for name, value in row.items():
        wide |= dict(zip((name, f"{name}_low", f"{name}_high"), (value, *ends[name])))
    return wide


def _checked(beta: Any, interval: Any, level: Any, zero: Any) -> tuple[float, float]:
    check_interval(interval, level)
    if isinstance(beta, bool) or not isinstance(beta, Real) or not beta >= 0:
        raise ValueError(f"beta is {beta!r}: give a number from 0, as 2 to let recall count twice as much.")
    if not isinstance(zero, Real):
        raise ValueError(f"zero_division is {zero!r}: give what 0 / 0 is, as 0, 1 or nan.")
    return float(beta), float(zero)


def _frame(data: Any, index: Sequence[Any] | None = None, name: str | None = None) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(data, None if index is None else pd.Index(index, name=name))
