"""What one may ask of Scores beyond counts and rates; each answer is worked out in a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from .best_thresholds import BestThresholds
    from .scores import Scores


class Questions:
    """Questions to a `Scores`, which inherits it: thresholds, curves, labels against labels, suspects.

    It reads `y_true`, `y_score`, `classes`, `task`, `sample_ids` and `predictions` of the Scores and keeps
    nothing. The work is done, and its file imported, when a question is asked.
    """

    def best_thresholds(
        self: Scores,
        metric: str = "f1",
        constraint: str | Sequence[Any] | None = None,
        *,
        beta: float = 1.0,
        holdout: float | None = None,
        seed: int = 0,
    ) -> BestThresholds:
        """Return for each class the threshold at which `metric` is highest, over all its cut points.

        Of equal optima the highest threshold is taken, which predicts least. Chosen and judged on the same
        samples a threshold flatters itself: `holdout` judges it on others.

        Parameters
        ----------
        metric
            "f1", "fbeta" (with `beta`; or "f2", "f0.5"), "youden" (recall + specificity - 1), "accuracy",
            "matthews", "jaccard", "precision", "recall" or "specificity".
        constraint
            A bound that another metric must reach: "recall >= 0.9" or ("recall", 0.9). The best of `metric`
            among the cuts that keep it; where none does, the cut that comes nearest, with a warning.
        beta
            How much more recall weighs than precision in "fbeta".
        holdout
            The share of the samples, drawn by `seed`, a share of each class's positives and negatives, that
            takes no part in choosing and on which the value is reported, with its 95 % interval. None:
            chosen and reported on all, and a warning says so.

        Returns
        -------
        BestThresholds
            Stands for C float64, to be given to `confusion` or `metrics`: 0.5 for a class with no known
            positive, since there no threshold is better than another; `.to_frame()` and `.warnings` beside.

        Raises
        ------
        TypeError, ValueError
            A metric, constraint, beta, holdout or seed that is not one.
        """
        from .best_thresholds import best_thresholds

        return best_thresholds(self, metric, constraint, beta=beta, holdout=holdout, seed=seed)

    def roc(self: Scores, cls: int | str | None = None) -> pd.DataFrame:
        """Return the ROC curve of a class: columns threshold, false_positive_rate, recall, fp, tp.

        A row a cut point, from the highest threshold (nothing predicted) to the lowest (all predicted), the
        points of `sklearn.metrics.roc_curve(drop_intermediate=False)`, whose first threshold is infinite
        where this one lies just above the highest score. The area under it is `roc_auc` of
        `Scores.ranking`. A rate is NaN where the class has no known negative, or no positive.
        """
        from .class_curves import roc

        return roc(self, cls)

    def precision_recall(self: Scores, cls: int | str | None = None) -> pd.DataFrame:
        """Return the precision-recall curve of a class: columns threshold, recall, precision, predicted, tp.

        A row a cut point, from the highest threshold to the lowest, the points of
        `sklearn.metrics.precision_recall_curve` in the other order. Where nothing is predicted the
        precision is 0 / 0; it is set to 1 there, as scikit-learn does. Between two rows the curve is a step
        at the precision of the lower threshold, no line: the sum of precision x rise of recall is then
        `average_precision` of `Scores.ranking` (matplotlib: ``drawstyle="steps-pre"``). Recall is NaN where
        no positive is known.
        """
        from .class_curves import precision_recall

        return precision_recall(self, cls)

    def reliability(
        self: Scores,
        cls: int | str | None = None,
        bins: int = 10,
        *,
        binning: str = "width",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Return how often a class occurs among samples of like score, one row a bin.

        Parameters
        ----------
        cls
            A name or a number; may be left out where there is one class.
        bins
            How many.
        binning
            "width": bins of equal width over 0 ... 1; "mass": of equally many samples, their edges
            quantiles of the known scores (so that some coincide where many scores are equal, and those bins
            are empty). A score on an edge belongs to the lower bin, as in
            `sklearn.calibration.calibration_curve`, which calls them "uniform" and "quantile".
        level
            How often the interval is to hold.

        Returns
        -------
        DataFrame
            low, high: the edges; samples; positives; mean_score; observed: positives / samples, with Wilson's
            interval observed_low ... observed_high. An empty bin keeps its row, with NaN.

        Raises
        ------
        ValueError, TypeError
            No such class, bins or binning; scores outside 0 ... 1, which are no probabilities.
        """
        from .class_curves import reliability

        return reliability(self, cls, bins, binning=binning, level=level)

    def missed_for(
        self: Scores,
        thresholds: float | Sequence[float] | None = 0.5,
        *,
        wrong_only: bool = False,
        shares: bool = False,
    ) -> pd.DataFrame:
        """Return C x C: where label i (row) is missed, how often label j (column) is predicted.

        Label i is missed in the samples that have it and in which it is not predicted. A sample whose label
        i is unknown is left out of row i.

        Parameters
        ----------
        thresholds
            One, or one a class; None: the likeliest class of each sample of a multiclass task.
        wrong_only
            Count j only where it is known not to be so: what is said *instead*. A sample whose label j is
            unknown is then left out of column j.
        shares
            Divide row i by how often i is missed; NaN where it never is.

        Returns
        -------
        DataFrame
            int64 counts, or float64 shares. The diagonal is 0.
        """
        from .label_pairs import missed_for

        return missed_for(self, thresholds, wrong_only=wrong_only, shares=shares)

    def cooccurrence(
        self: Scores,
        kind: str = "true",
        thresholds: float | Sequence[float] | None = 0.5,
        *,
        shares: bool = False,
    ) -> pd.DataFrame:
        """Return C x C: how many samples have label i (row) and label j (column); the diagonal: label i.

        Parameters
        ----------
        kind
            "true": what is so, an unknown label counting as not there; "predicted": what is said at
            `thresholds`, of all samples, unknown or not.
        shares
            Divide row i by how many samples have label i: of those with i, how many have j. NaN of none.
        """
        from .label_pairs import cooccurrence

        return cooccurrence(self, kind, thresholds, shares=shares)

    def mistaken_sets(
        self: Scores, thresholds: float | Sequence[float] | None = 0.5, top: int | None = 20
    ) -> pd.DataFrame:
        """Return the commonest mistakes: which set of labels was taken for which.

        An unknown label is left out of both sets of its sample, so "edema, unknown mass" taken for "edema,
        mass" is no mistake.

        Parameters
        ----------
        top
            How many rows; None: all.

        Returns
        -------
        DataFrame
            A row a pair of different sets, the commonest first, of equals the one that comes first in the
            data: true, predicted (tuples of class names in their order, may be empty); count; share (of the
            samples with any known label); sample: the first such (its id, or its number).

        Raises
        ------
        TypeError, ValueError
            A top that is not a number above 0.
        """
        from .label_pairs import mistaken_sets

        return mistaken_sets(self, thresholds, top)

    def suspicious(
        self: Scores,
        cls: int | str | None = None,
        top: int | None = None,
        *,
        engine: str = "own",
        rule: str = "confident_learning",
    ) -> pd.DataFrame:
        """Return the given labels that the scores confidently contradict, the most suspicious first.

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
        cls
            A class, by name or number; None: all. In a multiclass task: the class that is given.
        top
            How many rows; None: all.
        engine
            "own", or "cleanlab" where that package is installed.
        rule
            "confident_learning" is the rule above, the same in both engines. cleanlab also knows
            "prune_by_noise_rate", "prune_by_class" and "both".

        Returns
        -------
        DataFrame
            sample (its id, or its number); class; given (1 or 0; multiclass: always 1); score (of the
            class); confidence: the score of the given answer, low where it is contradicted; rank: 1, 2, ...
            by confidence, of equals the first sample. Multiclass also: instead, the class that is
            likeliest. Between two answers the order by confidence is also that by normalised margin.
            Nothing is found in a class whose known labels are all alike, and samples of unknown label are
            left out.

        Raises
        ------
        ValueError, TypeError
            No such class, engine, rule or top; scores outside 0 ... 1.
        RuntimeError
            cleanlab is wanted and not installed.
        """
        from .suspects import suspicious

        return suspicious(self, cls, top, engine=engine, rule=rule)
