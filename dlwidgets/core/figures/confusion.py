"""The confusion of classes as Figures: the matrix, and one class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.canvas import BLUE, GREY, INK, LINE, ORANGE, new_figure
from ..base.words import cut_names, pluralize
from ..scoring.confusion_figure import compute_shares, percent, short, two_colors
from ..scoring.detections import BoxScores
from ..scoring.inputs import class_number
from ..scoring.one_class import sample_curve, summarize_class

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..scoring.scores import Scores, Thresholds

#: Up to so many classes each cell holds its number, and each class its name.
_NUMBERED, _NAMED = 25, 60
_SHARES = {"true": "share of its row", "predicted": "share of its column", "all": "share of all samples"}


def matrix_figure(
    scores: Scores, *, normalise: str | None = "true", order: NDArray[np.int64] | None = None
) -> Figure:
    """Draw the matrix as a seaborn heatmap, ready to be printed.

    Blue is right, orange wrong. Up to 25 classes each cell holds its count and, up to 12, its share.

    Parameters
    ----------
    scores : of a multiclass task; another has no such matrix, a ValueError.
    normalise : what the shade is the root of the share of: "true" the row, "predicted" the column, "all" all
        samples, None: the largest count.
    order : the numbers of the classes in the order of rows and columns; None: as given.
    """
    import seaborn

    shade, counts, names = _prepared(scores, normalise, order)
    many = len(names)
    cell = 0.62 if many <= 12 else max(0.14, 0.42 - 0.007 * (many - 12)) if many <= _NAMED else 8 / many
    figure = new_figure(max(3.6, cell * many + 1.6), max(2.8, cell * many + 1.4))
    ax = figure.add_subplot()
    seaborn.heatmap(
        shade, ax=ax, cmap=two_colors(), vmin=-1, vmax=1, cbar=False, square=True,
        linewidths=0.8 if many <= _NAMED else 0, linecolor="white", fmt="",
        annot=_texts(counts, normalise if many <= 12 else None) if many <= _NUMBERED else False,
        annot_kws={"size": 8 if many <= 12 else 6.5, "color": INK, "linespacing": 1.1},
        xticklabels=names if many <= _NAMED else False, yticklabels=names if many <= _NAMED else False,
    )  # fmt: skip
    _label(figure, ax, counts, normalise)
    return figure


def matrix_picture(
    scores: Scores, *, normalise: str | None = "true", order: NDArray[np.int64] | None = None
) -> Figure:
    """Draw the matrix without seaborn, whose import takes seconds."""
    shade, counts, names = _prepared(scores, normalise, order)
    many = len(names)
    figure = new_figure(5.2, 4.6)
    ax = figure.add_subplot()
    ax.imshow(shade, cmap=two_colors(), vmin=-1, vmax=1, interpolation="nearest")
    ticks = range(many) if many <= 30 else []
    ax.set_xticks(ticks, [names[i] for i in ticks], rotation=90)
    ax.set_yticks(ticks, [names[i] for i in ticks])
    ax.spines[:].set_visible(False)
    if many <= 12:
        for (i, j), text in np.ndenumerate(_texts(counts)):
            ax.text(j, i, text, ha="center", va="center", fontsize=7.5, color=INK)
    _label(figure, ax, counts, normalise)
    return figure


def _prepared(
    scores: Scores, normalise: str | None, order: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
    """Return shade (negative where wrong), counts and names, in order."""
    matrix = scores.matrix()
    order = np.arange(len(matrix)) if order is None else order
    counts = matrix[np.ix_(order, order)]
    sign = np.where(np.eye(len(counts), dtype=bool), 1, -1)
    names = cut_names([scores.classes[c] for c in order], 18)
    # A mistake is rare among the many cells of its row: the root lets it be seen.
    return np.sqrt(np.nan_to_num(compute_shares(counts, normalise))) * sign, counts, names


def _texts(counts: NDArray[np.int64], normalise: str | None = None) -> NDArray[np.object_]:
    """Write each count but zero, with its share below where wanted."""
    shares = compute_shares(counts, normalise)
    texts = np.empty(counts.shape, object)
    for at, n in np.ndenumerate(counts):
        texts[at] = "\n".join(filter(None, [short(n), percent(shares[at]) if normalise else ""])) if n else ""
    return texts


def _label(figure: Figure, ax: Axes, counts: NDArray[np.int64], normalise: str | None) -> None:
    right = np.trace(counts) / max(1, counts.sum())
    samples = f"{int(counts.sum()):,} samples · {len(counts)} classes · accuracy {right:.3f}"
    ax.tick_params(length=0, labelsize=8, labelcolor=GREY)
    ax.tick_params(axis="y", rotation=0)
    shade = _SHARES.get(normalise or "", "count, against the largest")
    ax.set_xlabel(f"said to be, by the highest score · shade: root of the {shade}", fontsize=8.5, color=GREY)
    ax.set_ylabel("what it is", fontsize=8.5, color=GREY)
    figure.suptitle(samples, fontsize=9.5, color=INK)


def class_figure(scores: Scores, cls: int | str, thresholds: Thresholds = None) -> Figure:
    """Draw precision-recall, ROC and reliability of one class.

    A point is at the threshold. Dashed is what guessing gives; for reliability, a score that means what it
    says. The bars are the samples of each bin.

    Parameters
    ----------
    cls : the name of a class, or its number.
    thresholds : one, or one a class; None: 0.5, of a multiclass task the likeliest class.

    Raises
    ------
    ValueError : there is no such class.
    """
    c = class_number(scores, cls)
    limits, confusion = scores.read_thresholds(thresholds), scores.confusion(thresholds)[c]
    boxes, curve = isinstance(scores, BoxScores), sample_curve(scores, c)
    found = {"average_precision": float(scores.average_precision()[c])} if boxes else summarize_class(scores, c)
    positives, negatives = int(scores.positives[c]), int(scores.negatives[c])
    limit = None if limits is None else limits[c]
    kinds = [
        ("recall", "precision", "Precision-recall", "AP", "average_precision"),
        ("false positive rate", "recall", "ROC", "AUC", "roc_auc"),
        ("score", "share that is", "Reliability", "ECE", "ece"),
    ][: 1 if boxes else 3]
    figure = new_figure(3.6 if boxes else 8.4, 2.9)
    axes = figure.subplots(1, len(kinds), squeeze=False)[0]
    _draw_precision_recall(axes[0], curve, confusion, positives, None if boxes else negatives)
    if not boxes:
        _draw_roc(axes[1], curve, confusion, positives, negatives)
        _draw_reliability(axes[2], found["bins"], limit)
    for ax, (across, up, title, short_title, name) in zip(axes, kinds):
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.tick_params(length=0, labelsize=8, labelcolor=GREY)
        ax.grid(color=LINE, linewidth=0.8)
        ax.set_axisbelow(True)
        ax.spines[:].set_visible(False)
        ax.set_xlabel(across, fontsize=8, color=GREY)
        ax.set_ylabel(up, fontsize=8, color=GREY)
        value = "n/a" if found[name] is None else f"{found[name]:.3f}"
        ax.set_title(f"{title}  {short_title} {value}", fontsize=9, color=INK, loc="left")
    at = " · by the likeliest class" if limit is None else f" · threshold {limit:.3g}"
    known = f"{positives + negatives:,} known, {positives:,} of them positive"
    known = f"{pluralize(positives, 'true box')} · IoU {scores.iou:g}" if boxes else known
    figure.suptitle(f"{scores.classes[c]} · {known}{at}", fontsize=9.5, color=INK)
    return figure


_DASHED: dict[str, Any] = {"color": GREY, "linewidth": 0.8, "linestyle": (0, (3, 3))}
_POINT: dict[str, Any] = {
    "marker": "o", "markersize": 7, "color": ORANGE, "markeredgecolor": "white", "linestyle": "",
}  # fmt: skip


def _draw_precision_recall(
    ax: Axes, curve: NDArray, confusion: NDArray, positives: int, negatives: int | None
) -> None:
    if not positives:
        return _say(ax, "no positives known")
    # Once all are found, lower thresholds only add what is wrong.
    curve = curve[: np.searchsorted(curve[:, 1], positives) + 1]
    tp, fp = curve[:, 1], curve[:, 2]
    recall, precision = np.append(0.0, tp / positives), tp / np.maximum(tp + fp, 1)
    ax.step(recall, np.append(precision[:1], precision), where="pre", color=BLUE, linewidth=1.5)
    if negatives is not None:  # guessing finds no boxes
        ax.axhline(positives / (positives + negatives), **_DASHED)
    said = confusion[:, 1].sum()
    if said:
        ax.plot([confusion[1, 1] / positives], [confusion[1, 1] / said], **_POINT)
    return None


def _draw_roc(ax: Axes, curve: NDArray, confusion: NDArray, positives: int, negatives: int) -> None:
    ax.plot([0, 1], [0, 1], **_DASHED)
    if not positives or not negatives:
        return _say(ax, "no negatives known" if positives else "no positives known")
    tp, fp = np.append(0.0, curve[:, 1]) / positives, np.append(0.0, curve[:, 2]) / negatives
    ax.plot(fp, tp, color=BLUE, linewidth=1.5)
    ax.plot([confusion[0, 1] / negatives], [confusion[1, 1] / positives], **_POINT)
    return None


def _draw_reliability(ax: Axes, bins: list[list[Any]], limit: float | None) -> None:
    ax.plot([0, 1], [0, 1], **_DASHED)
    if not bins:
        return _say(ax, "no labels known")
    number, samples, score, share = map(np.array, zip(*bins))
    ax.bar(number / 10, 0.25 * samples / samples.max(), width=0.09, align="edge", color=BLUE, alpha=0.25)
    ax.plot(score, share, color=BLUE, linewidth=1.5, marker="o", markersize=3.5)
    if limit is not None and 0 <= limit <= 1:
        ax.axvline(limit, color=ORANGE, linewidth=1.2)
    return None


def _say(ax: Axes, words: str) -> None:
    ax.text(0.5, 0.5, words, fontsize=8, color=GREY, ha="center", va="center")
