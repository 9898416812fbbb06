"""ConfusionGrid: a 2 x 2 heatmap for each class, its mistakes at the threshold of the moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from ..core.figures.confusion import SORTS
from ..core.scoring.scores import Scores
from ..session import Session
from .view import View, module, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Thresholds that the page can go to by itself: 0, 0.001, ... 1.
POSITIONS = 1001
#: The largest number that the page is told for an infinite one, which JSON has not.
_LARGEST = 1e300


class ConfusionGrid(View):
    """Where a classifier is right and wrong, class by class, at any threshold.

    A tile is read by position: its rows say what is, its columns what was said. The page holds the counts
    at 1,001 thresholds, so a move of the slider is drawn there at once; the choice then becomes the wish
    `session.thresholds`. Counts at thresholds chosen in Python, between those positions or one for each
    class, are exact too: the kernel sends them.

    Parameters
    ----------
    source
        A Session, whose `scores` are followed, or Scores.
    thresholds
        With Scores: one threshold, or one for each class. A Session has its own.
    sort
        "given", "name", "f1", "precision", "recall" or "support", lowest first; "-f1" highest first. An
        order is kept when the numbers change, until somebody sorts again.
    table
        Whether the table of all classes is shown beside the tiles.
    """

    _esm = module("confusion_counts.js", "confusion_words.js", "confusion_tiles.js", "confusion.js")
    _css = style("confusion.css")
    watches = ("scores", "thresholds")

    counts = traitlets.Bytes(
        help="C x 2 x 1001 unsigned integers of `width` bytes, C order: [tp, fp] at threshold k / 1000"
    ).tag(sync=True)
    width = traitlets.Int(1, help="bytes of a count: 1, 2 or 4").tag(sync=True)
    totals = traitlets.Bytes(help="C x 2 uint32, C order: [positives, negatives] known").tag(sync=True)
    exact = traitlets.Bytes(help="C x 2 uint32, C order: [tp, fp] at `thresholds`").tag(sync=True)
    thresholds = traitlets.List(traitlets.Float(), help="one threshold for all classes, or C").tag(sync=True)
    names = traitlets.List(traitlets.Unicode(), help="the C class names").tag(sync=True)
    about = traitlets.Dict(help="task, samples, validation, step (or None), low and high (score)").tag(
        sync=True
    )
    empty = traitlets.Unicode("", help="what to do where there is nothing to show").tag(sync=True)
    look = traitlets.Dict(help="sort and table, as last chosen").tag(sync=True)

    def __init__(
        self,
        source: Session | Scores,
        *,
        thresholds: float | Sequence[float] | None = None,
        sort: str = "given",
        table: bool = False,
    ) -> None:
        # Also of a view that was refused, which Python will close.
        self.session = source if isinstance(source, Session) else None
        if not isinstance(source, (Session, Scores)):
            raise TypeError(
                f"ConfusionGrid shows a Session or Scores: {type(source).__name__} given. "
                "For arrays: ConfusionGrid(Scores(y_true, y_score, classes))."
            )
        if self.session is not None and thresholds is not None:
            raise ValueError("A Session has thresholds of its own: set session.thresholds.")
        self._alone = source if isinstance(source, Scores) else None
        self._chosen: float | list[float] = 0.5
        self._look = {"sort": _sort(sort), "table": bool(table)}
        self._counted: tuple[Scores, dict[str, Any]] | None = None
        if thresholds is not None:
            self._choose(thresholds)
        super().__init__(self.session)

    @property
    def scores(self) -> Scores | None:
        """The Scores that are shown, or None before the first evaluation."""
        return self._alone if self._alone is not None or self.session is None else self.session.scores

    def project(self) -> dict[str, Any]:
        """Return the picture: counts at every position, exact counts at the chosen thresholds, names."""
        scores = self.scores
        if scores is None:
            return {"empty": self._nothing(), "look": dict(self._look)}
        thresholds = self._thresholds()
        confusion = scores.confusion(thresholds)
        return {
            **self._counts_of(scores),
            "exact": confusion[:, ::-1, 1].astype(np.uint32).tobytes(),
            "thresholds": _finite(np.atleast_1d(np.asarray(thresholds, float))),
            "empty": "",
            "look": dict(self._look),
        }

    def wish(self, name: str, value: Any) -> None:
        """Take a threshold (or one for each class), or another look, from the page."""
        if name == "thresholds":
            self._choose(value)
        elif name == "look":
            self._look = {"sort": _sort(value.get("sort", "given")), "table": bool(value.get("table"))}
        else:
            super().wish(name, value)
        self.refresh()

    def figure(self) -> Figure:
        """Return the grid as seaborn heatmaps, at the thresholds and in the order that are shown."""
        from ..core.figures.confusion import confusion_figure

        return self._drawn_by(confusion_figure)

    def picture(self) -> Figure:
        """Return the same grid drawn without seaborn, whose import takes seconds."""
        from ..core.figures.confusion import confusion_tiles

        return self._drawn_by(confusion_tiles)

    # -- inside

    def _thresholds(self) -> float | Sequence[float]:
        return self._chosen if self.session is None else self.session.thresholds

    def _choose(self, value: Any) -> None:
        values = value if isinstance(value, (list, tuple, np.ndarray)) else [value]
        if not all(isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in values):
            raise ValueError(f"Thresholds must be numbers: {value!r} given.")
        chosen = [float(v) for v in values] if len(values) > 1 else float(values[0])
        # Whether they fit the classes is known best by who counts with them.
        if self.scores is not None:
            self.scores.confusion(chosen)
        if self._alone is None and self.session is not None:
            self.session.thresholds = chosen
        else:
            self._chosen = chosen

    def _counts_of(self, scores: Scores) -> dict[str, Any]:
        """Return what depends on the scores alone; kept, since thresholds change far more often."""
        if self._counted is None or self._counted[0] is not scores:
            counts = scores.counts_at(POSITIONS)
            totals = np.stack([scores.positives, scores.negatives], axis=1)
            low, high = _finite(np.array([scores.y_score.min(), scores.y_score.max()], float))
            about = {
                "task": scores.task, "samples": scores.n_samples, "validation": self.session is not None,
                "step": self._step(), "low": low, "high": high,
            }  # fmt: skip
            picture = {
                "counts": counts.tobytes(), "width": counts.itemsize, "names": list(scores.classes),
                "totals": totals.astype(np.uint32).tobytes(), "about": about,
            }  # fmt: skip
            self._counted = scores, picture
        return self._counted[1]

    def _step(self) -> int | None:
        evaluations = [] if self.session is None else self.session.record.evaluations
        return evaluations[-1]["step"] if evaluations else None

    def _nothing(self) -> str:
        session = self.session
        if session is None:
            return "There is nothing to show any more: the view was closed."
        if session.task not in ("multilabel", "multiclass", "binary"):
            return (
                f"A {session.task} task has no confusion: "
                "this view is for multilabel, multiclass and binary tasks."
            )
        if not session.has_valid:
            return "No validation data. Pass valid=(X, y) to the Session."
        if session.evaluation is not None:
            return "The last evaluation gave no scores: the output must be N x C, one row a sample."
        now = "session.evaluate() does it now"
        if session.evaluate_every is None:
            return f"Appears after the first evaluation ({now})."
        if session.evaluate_every == "epoch":
            return f"Appears after the first evaluation, at the end of epoch {max(1, session.epoch)} ({now})."
        return f"Appears after the first evaluation, at step {session.evaluate_every:,} ({now})."

    def _drawn_by(self, draw: Any) -> Figure:
        if self.scores is not None:
            return draw(self.scores, self._thresholds(), sort=self._look["sort"])
        from ..core.figures import GREY, blank

        figure = blank(6.4, 0.6)
        figure.text(0.01, 0.5, self._nothing(), fontsize=9, color=GREY, va="center")
        return figure


def _sort(wanted: Any) -> str:
    if not isinstance(wanted, str) or wanted.removeprefix("-") not in SORTS:
        raise ValueError(f"A confusion grid cannot be sorted by {wanted!r}: give one of {', '.join(SORTS)}.")
    return wanted


def _finite(values: np.ndarray) -> list[float]:
    return np.clip(values, -_LARGEST, _LARGEST).tolist()
