"""ConfusionGrid: where a classifier is right and wrong, class by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from traitlets import Bytes, Dict, Float, Int, List, Unicode

from ...core.base.numbers import read_number
from ...core.base.words import did_you_mean, name_kind
from ...core.scoring.confusion_figure import NORMALISE, list_sorts, order_classes
from ...core.scoring.counts import pack_counts
from ...core.scoring.detections import BoxScores, Detections, read_iou
from ...core.scoring.metrics import METRICS, describe_unknown, list_metrics
from ...core.scoring.scores import Scores, Thresholds
from ...session import Session
from ..view import View, module, style
from .class_detail import ClassDetail

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: Thresholds that the page can go to by itself: 0, 0.001, ... 1.
POSITIONS = 1001
#: The largest number that the page is told for an infinite one, which JSON has not.
_LARGEST = 1e300
#: The share of the samples on which thresholds that were chosen on the rest are judged.
_HELD_OUT = 0.5
#: What the table shows until somebody chooses.
COLUMNS = ("precision", "recall", "f1", "support")
#: Names that scikit-learn and others use.
_ALIASES = {"pred": "predicted", "row": "true", "column": "predicted", "none": None}
_SIDES = {"below": "below", "<": "below", "least": "least", "at least": "least", ">=": "least"}


class ConfusionGrid(View):
    """Where a classifier is right and wrong, class by class.

    A tile is read by position: its rows say what is, its columns what was said. The page holds the counts
    at 1,001 thresholds, so a move of a slider is drawn there at once; the choice then becomes the wish
    `session.thresholds`. Counts at thresholds chosen in Python, between those positions, are exact too: the
    kernel sends them. A click on a cell opens its samples and the curves of its class.

    Parameters
    ----------
    source : a Session, whose `scores` are followed, or Scores, or Detections: boxes are found, missed or false, and
        there are no true negatives.
    X : with Scores, the N samples they are of, to be looked at; with Detections, the pictures. A Session has its own.
    thresholds : with Scores, one threshold, or one for each class, by position or name; None: 0.5, of a
        multiclass task the likeliest class. A Session has its own.
    sort : "given", "name", "threshold", or a metric ("f1", "precision", "recall", "specificity", "matthews",
        "jaccard", "accuracy", "balanced_accuracy", "kappa", "support", "predicted"), lowest first; "-f1"
        highest first. An order is kept when the numbers change, until somebody sorts again.
    table : whether the table of all classes is shown beside the tiles.
    normalise : what the shade of a cell, and the share beside its count, are of: "true" its row, "predicted"
        its column, "all" all samples of the class, None: counts alone.
    filter : which classes are shown: ("f1", "below", 0.5), ("support", "least", 10), ("predicted", "below",
        1); None: all. It stands, as the order does, until somebody filters again.
    columns : the metrics of the table, "all" of them, or None for precision, recall, F1 and support.
    matrix : of a multiclass task, whether the C x C matrix is shown in place of the tiles.
    """

    _esm = module("confusion")
    _css = style("confusion", "boxes.css")
    watches = ("scores", "thresholds", "iou_threshold", "selected_sample", "past_scores")
    #: None of a view that was refused, which Python will close.
    detail: ClassDetail | None = None

    counts = Bytes(help="C x 2 x 1001: [tp, fp] at threshold k / 1000, by `pack_counts`").tag(sync=True)
    width = Int(1, help="bytes that hold a count: 1, 2 or 4").tag(sync=True)
    totals = Bytes(help="C x 2 uint32, C order: [positives, negatives] known").tag(sync=True)
    exact = Bytes(help="C x 2 uint32, C order: [tp, fp] at `thresholds`").tag(sync=True)
    thresholds = List(
        Float(), help="one threshold for all classes, or C; [] for the likeliest class"
    ).tag(sync=True)
    names = List(Unicode(), help="the C class names").tag(sync=True)
    iou = Float(0.5, help="of boxes, the overlap from which on one counts as found").tag(sync=True)
    opened = Dict(help="of boxes, the picture that is open: number, name, size, marks").tag(sync=True)
    opened_pixels = Bytes(help="uint8, that picture, H x W x channels").tag(sync=True)
    matrix = Bytes(help="multiclass: C x C uints of `matrix_width` bytes: rows what it is").tag(sync=True)
    matrix_width = Int(1, help="bytes of a count of the matrix: 1, 2 or 4").tag(sync=True)
    about = Dict(help="task, samples, validation, step or None, note, unknown, low and high").tag(sync=True)
    empty = Unicode(help="what to do where there is nothing to show").tag(sync=True)
    look = Dict(help="what was chosen last, in the form of `read_look`").tag(sync=True)
    best = Dict(
        help="of the thresholds chosen last: metric, bound, class (-1: all), step, samples, warnings, asked, "
        "and lists of C: thresholds, chosen, reported, low, high, positives, with a bound chance; or {}"
    ).tag(sync=True)
    metrics = List(help="the table of metrics, as `Metric.sent` tells of each").tag(sync=True)
    # Of the class that is pinned.
    quadrant = Dict(help="class, or -1; cell: 0 tn, 1 fp, 2 fn, 3 tp, 4 to check, or -1").tag(sync=True)
    sample_page = Int(help="which page of samples is shown").tag(sync=True)
    listed = Dict(help="class, cell, total, page, first, form, columns, note, rule").tag(sync=True)
    cards = List(help="number, name, score, true, said, unknown, kind, size, values, text").tag(sync=True)
    card_pixels = Bytes(help="uint8, the images of `cards` in a row, H x W x channels each").tag(sync=True)
    selected_sample = Int(None, allow_none=True, help="number of the chosen sample").tag(sync=True)
    class_facts = Dict(help="roc_auc, average_precision, brier, ece, bins [bin, n, score, is]").tag(sync=True)
    class_curve = Bytes(help="K x 3 float64: threshold falling, true, false positives").tag(sync=True)
    mistakes = Dict(help="class, missed, instead [class, said, wrongly, known], sets [true, said, n]").tag(sync=True)
    past = Bytes(help="E x C x 4 uints of `past_width` bytes: tn, fp, fn, tp").tag(sync=True)
    past_width = Int(1, help="bytes of a count of the past: 1, 2 or 4").tag(sync=True)
    past_moments = List(help="[step, epoch, line] of each of the E evaluations").tag(sync=True)
    past_line = Unicode(help="the line of the run that is under way").tag(sync=True)

    def __init__(
        self,
        source: Session | Scores | Detections,
        X: Any = None,
        *,
        thresholds: Thresholds = None,
        sort: str = "given",
        table: bool = False,
        normalise: str | None = "true",
        filter: tuple[str, str, float] | None = None,
        columns: str | Sequence[str] | None = None,
        matrix: bool = False,
    ) -> None:
        if isinstance(source, Detections):
            source = source.scores()
        if not isinstance(source, (Session, Scores)):
            raise TypeError(
                f"ConfusionGrid shows a Session, Scores or Detections: {name_kind(source)} given. "
                "For arrays: ConfusionGrid(Scores(y_true, y_score, classes))."
            )
        self.session = source if isinstance(source, Session) else None
        if self.session is not None and thresholds is not None:
            raise ValueError("A Session has thresholds of its own: set session.thresholds.")
        self._alone = source if isinstance(source, Scores) else None
        self._chosen: float | list[float] | None = None if source.task == "multiclass" else 0.5
        self._boxes = isinstance(source, BoxScores) or source.task == "detection"
        self._look = self._fitting(read_look(source.task, sort, table, normalise, filter, columns, matrix))
        self._counted: tuple[Scores, dict[str, Any]] | None = None
        self._best: dict[str, Any] = {}
        if thresholds is not None:
            self._choose(thresholds)
        self.detail = ClassDetail(self.session, lambda: self.scores, self._thresholds, X, self.refresh)
        # The page's own intervals know no groups, and would be too narrow; boxes go by pictures.
        alone = {} if not self._boxes and (self._alone or self.session.samples).groups is None else {"share": None}
        super().__init__(self.session, metrics=[metric.sent() | alone for metric in list_metrics(not self._boxes)])

    @property
    def scores(self) -> Scores | None:
        """The Scores that are shown, or None before the first evaluation."""
        return self._alone if self._alone is not None or self.session is None else self.session.scores

    def project(self) -> dict[str, Any]:
        """Return the picture: counts at every position and at the thresholds."""
        picture = {"look": dict(self._look), **self.detail.project()}
        if (scores := self.scores) is None:
            return {"empty": self._nothing(), **picture}
        thresholds = self._thresholds()
        return {
            **self._counts_of(scores), **picture, "empty": "", "best": self._best,
            "iou": scores.iou if isinstance(scores, BoxScores) else 0.5,
            "exact": scores.confusion(thresholds)[:, ::-1, 1].astype(np.uint32).tobytes(),
            "thresholds": [] if thresholds is None else _finite(np.atleast_1d(np.asarray(thresholds, float))),
        }  # fmt: skip

    def wish(self, name: str, value: Any) -> None:
        """Take thresholds, the best ones, another look, or ask the detail."""
        if self.detail.wish(name, value):
            pass
        elif name == "thresholds":
            self._choose(value)
        elif name == "iou":
            self._choose_iou(value)
        elif name == "look":
            self._look = self._fitting(read_look(self.scores and self.scores.task, **value))
        elif name == "best":
            self._choose_best(value)
        else:
            super().wish(name, value)
        self.refresh()

    def figure(self) -> Figure:
        """Draw the tiles at their thresholds, or the matrix, as seaborn heatmaps."""
        from ...core.figures.confusion import matrix_figure
        from ...core.scoring.confusion_figure import confusion_figure

        return self._drawn_by(confusion_figure, matrix_figure)

    def picture(self) -> Figure:
        """Return the same drawn without seaborn, whose import takes seconds."""
        from ...core.figures.confusion import matrix_picture
        from ...core.scoring.confusion_figure import confusion_tiles

        return self._drawn_by(confusion_tiles, matrix_picture)

    def to_frame(self) -> pd.DataFrame:
        """Return the table that is shown, one row a class.

        Order, filter and columns are those that were chosen. Where they are shown, the 95 % Wilson intervals
        stand beside a metric as NAME_low and NAME_high; a column `threshold` comes first, but beside the
        matrix, where each sample is of its likeliest class. For macro and micro see `scores.averages`. Empty
        before the first evaluation.
        """
        import pandas as pd

        scores, look = self.scores, self._look
        if scores is None:
            return pd.DataFrame(columns=["threshold", *look["columns"]]).rename_axis("class")
        thresholds = None if look["matrix"] else self._thresholds()
        frame = scores.metrics(thresholds, interval="wilson" if look["intervals"] else None)
        columns = [f"{name}{end}" for name in look["columns"] for end in ("", "_low", "_high")]
        columns = [
            name for name in columns
            if name in frame and (name in look["columns"] or not frame[name].isna().all())
        ]  # fmt: skip
        if isinstance(scores, BoxScores):
            frame["average_precision"] = scores.average_precision()
            columns = [name for name in columns if name in frame] + ["average_precision"]
        elif scores.unknown.any():
            columns.append("unknown")
        if (limits := scores.read_thresholds(thresholds)) is not None:
            columns.insert(0, "threshold")
            frame["threshold"] = limits
        return frame.iloc[self._classes(scores)][columns]

    def class_figure(self, cls: int | str) -> Figure:
        """Draw precision-recall, ROC and reliability of a class, by name or number."""
        from ...core.figures.confusion import class_figure

        scores = self.scores
        if scores is None:
            raise ValueError("There are no scores yet: evaluate first (session.evaluate()).")
        return class_figure(scores, cls, self._thresholds())

    def close(self) -> None:
        """Stop following the session and let the samples go."""
        if self.detail is not None:
            self.detail.close()
        super().close()

    # -- inside

    def _thresholds(self) -> float | list[float] | None:
        return self._chosen if self.session is None else self.session.thresholds

    def _choose(self, value: Any) -> None:
        """Take a threshold, or one a class; None: the task's rule."""
        chosen, scores = value, self.scores
        if isinstance(value, bool) or (value is None and scores is not None and scores.task != "multiclass"):
            raise ValueError(f"Thresholds must be numbers: {value!r} given.")
        if scores is not None and (limits := scores.read_thresholds(value)) is not None and value is not None:
            single = read_number(value) is not None or len(value) == 1
            chosen = float(limits[0]) if single else limits.tolist()
        if self.session is None:
            self._chosen = chosen
        else:
            self.session.thresholds = chosen

    def _fitting(self, look: dict[str, Any]) -> dict[str, Any]:
        """Return the look; ValueError where boxes have no such metric."""
        for name in (look["sort"].removeprefix("-"), (look["filter"] or {}).get("metric")):
            if self._boxes and name in METRICS and not METRICS[name].is_of(False):
                known = ", ".join(metric.name for metric in list_metrics(False))
                raise ValueError(f"Boxes have no {METRICS[name].label}, as there are no true negatives: give {known}.")
        return look

    def _choose_iou(self, value: Any) -> None:
        """Judge the same boxes at another overlap."""
        if self.session is not None:
            self.session.iou_threshold = value
        elif isinstance(self._alone, BoxScores):
            self._alone = self._alone.detections.scores(read_iou(value))

    def _choose_best(self, asked: Any) -> None:
        """Take the best thresholds of one half, judged on the other."""
        scores = self.scores
        if scores is None or not isinstance(asked, dict):
            raise ValueError("Thresholds are chosen on scores: there are none before the first evaluation.")
        cls = asked.get("class", -1)
        if isinstance(cls, bool) or not isinstance(cls, int) or not -1 <= cls < scores.n_classes:
            raise ValueError(f"There is no class {cls!r}: they count from 0 to {scores.n_classes - 1}.")
        found = scores.best_thresholds(
            asked.get("metric", "f1"), asked.get("constraint"), confidence=asked.get("confidence"),
            classes=None if cls < 0 else [cls], beta=asked.get("beta", 1.0), holdout=_HELD_OUT,
        )  # fmt: skip
        values = _finite(np.asarray(found, float))
        if cls >= 0:
            now = scores.read_thresholds(0.5 if self._thresholds() is None else self._thresholds())
            values = [values[c] if c == cls else float(now[c]) for c in range(scores.n_classes)]
        # JSON has no NaN: None is what is not defined.
        columns = {name: getattr(found, name) for name in ("chosen", "reported", "low", "high", "chance")}
        lists = {
            name: [float(value) if math.isfinite(value) else None for value in column]
            for name, column in columns.items() if column is not None
        }  # fmt: skip
        self._best = {
            "metric": f"F{found.beta:g}" if found.metric == "fbeta" else METRICS[found.metric].label, **lists,
            "class": cls, "thresholds": values, "positives": found.positives.tolist(),
            "bound": (found.constraint or "").replace(">=", "≥"), "asked": asked.get("asked", 0),
            "samples": scores.n_samples, "step": self._step(), "warnings": list(found.warnings),
        }  # fmt: skip
        self._choose(values)

    def _classes(self, scores: Scores) -> np.ndarray:
        """Return the numbers of the classes that are shown, in their order."""
        matrix, thresholds = self._look["matrix"], self._thresholds()
        confusion = scores.confusion(None if matrix else thresholds)
        only = None if matrix else self._only()
        return order_classes(scores, confusion, self._look["sort"], thresholds=thresholds, only=only)

    def _only(self) -> tuple[str, str, float] | None:
        chosen = self._look["filter"]
        return None if chosen is None else (chosen["metric"], chosen["side"], chosen["value"])

    def _counts_of(self, scores: Scores) -> dict[str, Any]:
        """Return what depends on the scores alone, kept from call to call."""
        if self._counted is None or self._counted[0] is not scores:
            counts = scores.counts_at(POSITIONS)
            totals = np.stack([scores.positives, scores.negatives], axis=1)
            said = scores.detections.found_scores if isinstance(scores, BoxScores) else scores.y_score
            low, high = _finite(np.array([said.min(), said.max()] if said.size else [0, 0], float))
            evaluation = None if self.session is None else self.session.evaluation
            about = {
                "task": scores.task, "samples": scores.n_samples, "validation": self.session is not None,
                "step": self._step(), "note": "" if evaluation is None else evaluation.note,
                "low": low, "high": high, "unknown": describe_unknown(scores.unknown, scores.n_samples),
            }  # fmt: skip
            if isinstance(scores, BoxScores):
                about |= _about_boxes(scores)
            picture = {
                "counts": pack_counts(counts, totals), "width": counts.itemsize, "names": list(scores.classes),
                "totals": totals.astype(np.uint32).tobytes(), "about": about, "matrix": b"",
            }  # fmt: skip
            if scores.task == "multiclass":
                matrix = scores.matrix()
                matrix = matrix.astype(np.min_scalar_type(matrix.max(initial=0)))
                picture |= {"matrix": matrix.tobytes(), "matrix_width": matrix.itemsize}
            self._counted = scores, picture
        return self._counted[1]

    def _step(self) -> int | None:
        evaluations = [] if self.session is None else self.session.record.evaluations
        return evaluations[-1]["step"] if evaluations else None

    def _nothing(self) -> str:
        session = self.session
        if session is None:
            return "There is nothing to show any more: the view was closed."
        if session.task not in ("multilabel", "multiclass", "binary", "detection"):
            kinds = "multilabel, multiclass and binary tasks, and detections"
            return f"A {session.task} task has no confusion: this view is for {kinds}."
        if not session.has_valid:
            return "No validation data. Pass valid=(X, y) to the Session."
        if session.evaluation is not None:
            return "The last evaluation gave no scores: the output must be N x C, one row a sample, and labels 0 and 1."
        when, every = "", session.evaluate_every
        if every == "epoch":
            when = f", at the end of epoch {max(1, session.epoch)}"
        elif every is not None:
            when = f", once it has trained for {every}" if isinstance(every, str) else f", at step {every:,}"
        return f"Appears after the first evaluation{when} (session.evaluate() does it now)."

    def _drawn_by(self, draw: Any, draw_matrix: Any) -> Figure:
        scores, look = self.scores, self._look
        if scores is None:
            from ...core.base.canvas import GREY, new_figure

            figure = new_figure(6.4, 0.6)
            figure.text(0.01, 0.5, self._nothing(), fontsize=9, color=GREY, va="center")
            return figure
        normalise = None if look["normalise"] == "none" else look["normalise"]
        if look["matrix"] and scores.task == "multiclass":
            return draw_matrix(scores, normalise=normalise, order=self._classes(scores))
        return draw(scores, self._thresholds(), sort=look["sort"], normalise=normalise, only=self._only())


def _about_boxes(scores: BoxScores) -> dict[str, Any]:
    """Return what a page says of boxes instead of samples."""
    precision, mean = scores.average_precision(), scores.mean_precision
    return {
        "task": "detection", "iou": scores.iou, "unknown": "", "pictures": scores.detections.n_images,
        "true": int(scores.positives.sum()), "map": None if math.isnan(mean) else mean,
        "precision": [None if np.isnan(value) else float(value) for value in precision],
    }  # fmt: skip


def _finite(values: np.ndarray) -> list[float]:
    return np.clip(values, -_LARGEST, _LARGEST).tolist()


# -- the look: order, shade, filter and table


def metric_names() -> list[str]:
    """Name the metrics by which a grid is sorted and filtered."""
    return [metric.name for metric in list_metrics()]


def read_sort(wanted: Any) -> str:
    """Read an order: one of `list_sorts()`, "-" in front turns it."""
    if not isinstance(wanted, str) or wanted.removeprefix("-") not in list_sorts():
        near = did_you_mean(wanted, list_sorts()) if isinstance(wanted, str) else ""
        raise ValueError(
            f"A confusion grid cannot be sorted by {wanted!r}: give one of {', '.join(list_sorts())}.{near}"
        )
    return wanted


def read_normalise(wanted: Any) -> str | None:
    """Read what a cell is a share of: one of `NORMALISE`."""
    wanted = _ALIASES.get(wanted, wanted) if isinstance(wanted, str) else wanted
    if wanted is not None and wanted not in NORMALISE:
        raise ValueError(
            f"A confusion grid cannot be normalised by {wanted!r}: give 'true' (its row), 'predicted' (its "
            "column), 'all' or None."
        )
    return wanted


def read_metric_columns(wanted: Any) -> list[str]:
    """Return the columns of the table, in the order of the menu."""
    if wanted is None:
        return list(COLUMNS)
    if wanted == "all":
        return metric_names()
    names = list(wanted) if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]
    unknown = [repr(name) for name in names if name not in metric_names()]
    if unknown or not names:
        given = unknown[0] if unknown else "no column"
        raise ValueError(f"The table has no column {given}: choose from {', '.join(metric_names())}.")
    return [name for name in metric_names() if name in names]


def read_filter(wanted: Any) -> dict[str, Any] | None:
    """Read a filter: None for all, or as ("f1", "below", 0.5)."""
    if wanted is None:
        return None
    if isinstance(wanted, Mapping):
        parts: Sequence[Any] = [wanted.get(name) for name in ("metric", "side", "value")]
    else:
        parts = wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]
    number = parts[2] if len(parts) == 3 else None
    fits = isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number)
    if not fits or parts[0] not in metric_names() or parts[1] not in _SIDES:
        raise ValueError(
            f"A confusion grid cannot be filtered by {wanted!r}: give a metric, 'below' or 'least', and a "
            f"number, as ('f1', 'below', 0.5). The metrics are {', '.join(metric_names())}."
        )
    return {"metric": parts[0], "side": _SIDES[parts[1]], "value": float(number)}


def read_look(
    task: str | None, sort: Any = "given", table: Any = False, normalise: Any = "true", filter: Any = None,
    columns: Any = None, matrix: Any = False, intervals: Any = True, each: Any = None, more: Any = False,
) -> dict[str, Any]:  # fmt: skip
    """Read a whole look in the form of the page.

    `task` is None where there are no scores yet; `each`, a threshold for each class, where the thresholds
    say it; `more` is whether the rarer controls are unfolded. A ValueError says in a sentence what something
    cannot be, and what it may.
    """
    for name, flag in (("table", table), ("matrix", matrix)):
        if not isinstance(flag, bool):
            raise ValueError(f"{name}={flag!r}: True or False is wanted.")
    if matrix and task not in (None, "multiclass"):
        raise ValueError(
            f"A {task} task has no matrix of one class against another: only a multiclass task has one."
        )
    return {
        "sort": read_sort(sort), "table": bool(table), "normalise": read_normalise(normalise) or "none",
        "filter": read_filter(filter), "columns": read_metric_columns(columns),
        "intervals": bool(intervals), "each": None if each is None else bool(each), "matrix": bool(matrix),
        "more": bool(more),
    }  # fmt: skip
