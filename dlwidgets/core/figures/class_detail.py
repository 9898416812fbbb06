"""One class as a Figure: precision-recall, ROC and reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.canvas import BLUE, GREY, INK, LINE, ORANGE, new_figure
from ..scoring.inputs import class_number
from ..scoring.one_class import sample_curve, summarize_class

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    from ..scoring.scores import Scores


def class_figure(scores: Scores, cls: int | str, thresholds: ArrayLike | None = 0.5) -> Figure:
    """Draw precision-recall, ROC and reliability of one class.

    A point is at the threshold. Dashed is what guessing gives; for reliability, a score that means what it
    says. The bars are the samples of each bin.

    Parameters
    ----------
    cls : the name of a class, or its number.
    thresholds : one, or one a class; None: of a multiclass task the likeliest class is said.

    Raises
    ------
    ValueError : there is no such class.
    """
    c = class_number(scores, cls)
    confusion = scores.confusion(0.5 if thresholds is None and scores.task != "multiclass" else thresholds)[c]
    found, curve = summarize_class(scores, c), sample_curve(scores, c)
    positives, negatives = int(scores.positives[c]), int(scores.negatives[c])
    figure = new_figure(8.4, 2.9)
    pr, roc, reliability = figure.subplots(1, 3)
    _precision_recall(pr, curve, confusion, positives, negatives)
    _roc(roc, curve, confusion, positives, negatives)
    limit = None if thresholds is None else np.broadcast_to(np.ravel(thresholds), (scores.n_classes,))[c]
    _reliability(reliability, found["bins"], limit)
    named = (
        (pr, "Precision-recall", "AP", "average_precision"),
        (roc, "ROC", "AUC", "roc_auc"),
        (reliability, "Reliability", "ECE", "ece"),
    )
    for ax, title, short, name in named:
        value = "n/a" if found[name] is None else f"{found[name]:.3f}"
        ax.set_title(f"{title}  {short} {value}", fontsize=9, color=INK, loc="left")
    at = "" if limit is None else f" · threshold {limit:.3g}"
    # A dollar sign would start a formula.
    name = scores.classes[c].replace("$", r"\$")
    known = f"{positives + negatives:,} known, {positives:,} of them positive"
    figure.suptitle(f"{name} · {known}{at}", fontsize=9.5, color=INK)
    return figure


def _precision_recall(ax: Axes, curve: NDArray, confusion: NDArray, positives: int, negatives: int) -> None:
    _square(ax, "recall", "precision")
    if not positives:
        return _say(ax, "no positives known")
    # Once all are found, lower thresholds only add what is wrong.
    curve = curve[: int(np.argmax(curve[:, 1] == positives)) + 1]
    tp, fp = curve[:, 1], curve[:, 2]
    recall, precision = np.append(0.0, tp / positives), tp / np.maximum(tp + fp, 1)
    ax.step(recall, np.append(precision[:1], precision), where="pre", color=BLUE, linewidth=1.5)
    ax.axhline(positives / (positives + negatives), color=GREY, linewidth=0.8, linestyle=(0, (3, 3)))
    said = confusion[:, 1].sum()
    if said:
        _point(ax, confusion[1, 1] / positives, confusion[1, 1] / said)
    return None


def _roc(ax: Axes, curve: NDArray, confusion: NDArray, positives: int, negatives: int) -> None:
    _square(ax, "false positive rate", "recall")
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (3, 3)))
    if not positives or not negatives:
        return _say(ax, "no negatives known" if positives else "no positives known")
    tp, fp = np.append(0.0, curve[:, 1]) / positives, np.append(0.0, curve[:, 2]) / negatives
    ax.plot(fp, tp, color=BLUE, linewidth=1.5)
    _point(ax, confusion[0, 1] / negatives, confusion[1, 1] / positives)
    return None


def _reliability(ax: Axes, bins: list[list[Any]], limit: float | None) -> None:
    _square(ax, "score", "share that is")
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=(0, (3, 3)))
    if not bins:
        return _say(ax, "no labels known")
    number, samples, score, share = map(np.array, zip(*bins))
    ax.bar(number / 10, 0.25 * samples / samples.max(), width=0.09, align="edge", color=BLUE, alpha=0.25)
    ax.plot(score, share, color=BLUE, linewidth=1.5, marker="o", markersize=3.5)
    if limit is not None and 0 <= limit <= 1:
        ax.axvline(limit, color=ORANGE, linewidth=1.2)
    return None


def _square(ax: Axes, across: str, up: str) -> None:
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.04)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.tick_params(length=0, labelsize=8, labelcolor=GREY)
    ax.grid(color=LINE, linewidth=0.8)
    ax.set_axisbelow(True)
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.set_xlabel(across, fontsize=8, color=GREY)
    ax.set_ylabel(up, fontsize=8, color=GREY)


def _point(ax: Axes, x: float, y: float) -> None:
    ax.plot([x], [y], marker="o", markersize=7, color=ORANGE, markeredgecolor="white", linestyle="")


def _say(ax: Axes, words: str) -> None:
    ax.text(0.5, 0.5, words, fontsize=8, color=GREY, ha="center", va="center")
