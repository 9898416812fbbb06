"""Scores: what a classifier said of labelled samples, and its mistakes at any threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .counts import RankedScores, round_up
from .hard_predictions import as_predictions
from .inputs import (
    as_array,
    as_labels,
    as_scores,
    class_names,
    column_names,
    sample_names,
    sigmoid,
    softmax,
    task_of,
)
from .metrics import averaged, one_against_rest
from .questions import Questions
from .stream import ScoreStream
from .tables import ScoreTables

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


class Scores(ScoreTables, Questions):
    """True labels and scores of N samples and C classes: confusion and metrics at any threshold.

    Immutable: it keeps its own copies, so arrays and tensors may be reused afterwards. A sample is predicted
    when ``score >= threshold``, compared in float64: a float32 score of 0.7 is 0.69999999 and not
    predicted at 0.7. Each class stands alone, one against the rest; where a label is unknown, that
    sample is left out of that class.

    Parameters
    ----------
    y_true
        What is so. Multilabel: N x C of 0 and 1, with -1 or NaN where unknown. Multiclass: N class numbers
        0 ... C-1, with -1 or NaN where unknown. Binary: N or N x 1 of 0 and 1, with -1 or NaN.
    y_score
        What was said: N x C floats, for binary N or N x 1. Meant to be probabilities (0 ... 1), though any
        score works whose thresholds are given in the same unit; for logits use `Scores.from_logits`. Hard
        predictions: `Scores.from_predictions`.
    classes
        C names; for binary the name of the positive class, or the two names (negative, positive).
        Default: the columns of `y_true` where it is a DataFrame, else "class 0", "class 1", ...
    sample_ids
        N names of the samples, used by `to_frame` and in errors. Default 0 ... N-1.

    Attributes
    ----------
    y_true
        N x C int8, read-only: 1, 0, or -1 unknown.
    y_score
        N x C float32 or float64, read-only.
    task
        "multilabel", "multiclass" or "binary".
    positives, negatives
        C int64: known positives (the support) and known negatives.

    Raises
    ------
    ValueError
        Shapes that do not fit, no samples, labels out of range, a NaN score, a wrong count of names.
    TypeError
        Labels or scores that are not numbers.

    Notes
    -----
    Building sorts every class once; `confusion` then takes two bisections a class. Memory: two copies of
    the scores and a byte a label, 126 MB for 1,000,000 x 14 in float32.
    """

    def __init__(
        self,
        y_true: Any,
        y_score: Any,
        classes: Sequence[str] | None = None,
        sample_ids: Sequence[Any] | None = None,
    ) -> None:
        classes = column_names(y_true, y_score) if classes is None else classes
        label, score = as_array(y_true, "y_true"), as_array(y_score, "y_score")
        self.task = task_of(label, score)
        score = score.reshape(len(score), -1)
        self.n_samples, self.n_classes = score.shape
        self.sample_ids = sample_names(sample_ids, self.n_samples)
        self.classes = class_names(classes, self.n_classes, self.task)
        self.y_true = as_labels(label, self.n_classes, self.task, self._row)
        self.y_score = as_scores(score, self._row)
        self.y_true.setflags(write=False)
        self.y_score.setflags(write=False)
        self._ranked = RankedScores(self.y_true, self.y_score)
        self.positives, self.negatives = self._ranked.totals.T.copy()

    @classmethod
    def from_logits(
        cls,
        y_true: Any,
        logits: Any,
        classes: Sequence[str] | None = None,
        sample_ids: Sequence[Any] | None = None,
    ) -> Scores:
        """Return the Scores of raw model outputs: softmax over classes for multiclass, else sigmoid."""
        classes = column_names(y_true, logits) if classes is None else classes
        raw = as_array(logits, "logits")
        raw = raw.astype(np.result_type(raw.dtype, np.float32))
        multiclass = task_of(as_array(y_true, "y_true"), raw) == "multiclass"
        return cls(y_true, softmax(raw) if multiclass else sigmoid(raw), classes, sample_ids)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        classes: Sequence[str] | None = None,
        sample_ids: Sequence[Any] | None = None,
    ) -> Scores:
        """Return the Scores of hard predictions, which are scores of 0 and 1.

        Parameters
        ----------
        y_true
            As for Scores; for a multiclass task also N names of classes (None or NaN where unknown).
        y_pred
            What was said. Multilabel: N x C of 0 and 1. Multiclass: N class numbers, or N names. Binary: N or
            N x 1 of 0 and 1.
        classes
            C names. N numbers of 0 and 1 alone are a binary task unless more than two are named; names are
            always multiclass, by default in the order of the alphabet.
        sample_ids
            N names of the samples.

        Raises
        ------
        ValueError, TypeError
            Predictions that are not 0 and 1, or no class numbers, or unknown; as for Scores besides.
        """
        classes = column_names(y_true, y_pred) if classes is None else classes
        return cls(*as_predictions(y_true, y_pred, classes), sample_ids)

    @staticmethod
    def stream(
        classes: Sequence[str] | None = None, task: str | None = None, logits: bool = False
    ) -> ScoreStream:
        """Return a stream that batches are added to during a validation; see `ScoreStream`."""
        return ScoreStream(classes, task, logits)

    # -- what it says

    def confusion(self, thresholds: float | Sequence[float] | None = 0.5) -> NDArray[np.int64]:
        """Return the C x 2 x 2 counts ``[[tn, fp], [fn, tp]]`` at one threshold, or at one a class.

        Rows say what is, columns what was said, as in `sklearn.metrics.multilabel_confusion_matrix`, to
        which it is equal to the last count. `thresholds` None: each sample of a multiclass task is said to be
        of its likeliest class (the first of equals) and of no other; for other tasks 0.5.
        """
        if thresholds is None and self.task == "multiclass":
            return one_against_rest(self.matrix())
        return self._ranked.confusion(self._thresholds(thresholds))

    def matrix(self, thresholds: float | Sequence[float] | None = None) -> NDArray[np.int64]:
        """Return the C x C counts of a multiclass task, or the 2 x 2 of a binary one: rows are, columns said.

        Equal to `sklearn.metrics.confusion_matrix`. Each sample is said to be of its likeliest class, the
        first of equals; for a binary task the threshold decides, 0.5 unless given. Unknown samples are left
        out.

        Raises
        ------
        ValueError
            A multilabel task, where a sample has no single class; thresholds for a multiclass task.
        """
        if self.task == "multilabel":
            raise ValueError(
                f"A sample has any number of the {self.n_classes} labels, so there is no matrix of one label "
                "against another: confusion() gives 2 x 2 for each label, missed_for() what is said instead."
            )
        if self.task == "binary":
            return self.confusion(0.5 if thresholds is None else thresholds)[0]
        if thresholds is not None:
            raise ValueError(
                "The matrix of a multiclass task takes the likeliest class of each sample, so it has no "
                "thresholds: leave them out, or see confusion(thresholds) for one class against the rest."
            )
        known = self.y_true[:, 0] >= 0
        is_so, said = self.y_true[known].argmax(axis=1), self.y_score[known].argmax(axis=1)
        cells = np.bincount(is_so * self.n_classes + said, minlength=self.n_classes**2)
        return cells.reshape(self.n_classes, self.n_classes).astype(np.int64)

    def predictions(self, thresholds: float | Sequence[float] | None = 0.5) -> NDArray[np.bool_]:
        """Return N x C booleans: what is said of each sample; `thresholds` as in `confusion`."""
        if thresholds is None and self.task == "multiclass":
            return self.y_score.argmax(axis=1)[:, None] == np.arange(self.n_classes)
        return self.y_score >= round_up(self._thresholds(thresholds), self.y_score.dtype)

    def exact_match(self, thresholds: float | Sequence[float] | None = 0.5) -> float:
        """Return the share of the samples all of whose known labels are right; NaN where none is known.

        That is `sklearn.metrics.accuracy_score` (of labels: subset accuracy); `thresholds` as in `confusion`.
        """
        known = self.y_true >= 0
        wrong = (known & (self.predictions(thresholds) != (self.y_true == 1))).any(axis=1)
        judged = known.any(axis=1)
        return float(1 - wrong[judged].mean()) if judged.any() else np.nan

    def counts_at(self, positions: int = 1001) -> NDArray[np.unsignedinteger]:
        """Return what is predicted at each threshold ``k / (positions - 1)``, the whole of 0 ... 1.

        Returns
        -------
        C x 2 x positions, C order, in the smallest unsigned dtype that holds the largest count (uint8,
        uint16, uint32 or uint64): ``[c, 0, k]`` positives of class c that score at least the k-th
        threshold (tp), ``[c, 1, k]`` such negatives (fp). With `positives` and `negatives` that is the
        confusion, exact at each position: ``fn = positives - tp``, ``tn = negatives - fp``.
        """
        if positions < 2:
            raise ValueError(f"counts_at() needs at least 2 positions, 0 and 1: {positions} given.")
        grid = np.arange(positions) / (positions - 1)
        counts = self._ranked.at_least(np.tile(grid, (self.n_classes, 1)))
        return counts.astype(np.min_scalar_type(self._ranked.totals.max()))

    # -- other forms

    def figure(self, thresholds: float | Sequence[float] = 0.5, sort: str = "given") -> Figure:
        """Return the grid of 2 x 2 heatmaps as a Figure; `sort` as in `confusion_figure`."""
        from .confusion_figure import confusion_figure

        return confusion_figure(self, thresholds, sort=sort)

    def __repr__(self) -> str:
        f1 = averaged(self.confusion(None))["macro"]["f1"]
        rule = "of the likeliest class" if self.task == "multiclass" else "at 0.5"
        return (
            f"Scores({self.task}: {self.n_samples:,} samples x {self.n_classes:,} "
            f"{'class' if self.n_classes == 1 else 'classes'}, macro F1 {f1:.3f} {rule})"
        )

    # -- inside

    def _thresholds(self, given: Any) -> NDArray[np.float64]:
        given = 0.5 if given is None else given
        try:
            values = np.asarray(as_array(given, "thresholds"), np.float64)
        except TypeError:
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

    def _row(self, n: int) -> str:
        return str(n) if self.sample_ids is None else repr(self.sample_ids[n])
