"""The confusion grid as a Figure: a heatmap for each class."""

from __future__ import annotations

import textwrap
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ..base.canvas import BLUE, GREY, INK, ORANGE, new_figure
from ..base.words import cut_names, pluralize
from .metrics import METRICS, average_rates, compute_rate, describe_unknown, list_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..scoring.scores import Scores, Thresholds

#: What the shade of a cell is a share of: its row, its column, all samples of the class; None: of nothing.
NORMALISE = ("true", "predicted", "all", None)
_SHARES_OF_BOXES = {
    "true": "of the true; of false ones, of those said", "predicted": "of those said; of missed ones, of the true",
    "all": "of all",
}  # fmt: skip
_SHARES = {"true": "of its row", "predicted": "of its column", "all": "of all samples"}


def order_classes(
    scores: Scores,
    confusion: NDArray[np.int64],
    sort: str = "given",
    *,
    thresholds: Thresholds = None,
    only: tuple[str, str, float] | None = None,
) -> NDArray[np.int64]:
    """Return the classes in an order: the lowest first, undefined values last.

    "given" keeps the order of the classes, "name" goes by the alphabet, "threshold" by `thresholds`, the
    others by the metric; "-f1" puts the highest first. Classes that are equal keep their given order.
    `only` leaves out what does not pass: ("f1", "below", 0.5) or ("support", "least", 10), at least 10; a
    metric that is not defined passes neither.
    """
    key, falling = sort.removeprefix("-"), sort.startswith("-")
    if key not in list_sorts():
        known = ", ".join(list_sorts())
        raise ValueError(f"A confusion grid cannot be sorted by {sort!r}: give one of {known}.")
    numbers = np.arange(scores.n_classes)
    if key == "given":
        found = numbers[::-1] if falling else numbers
    elif key == "name":
        names = [name.casefold() for name in scores.classes]
        found = np.array(sorted(numbers, key=names.__getitem__, reverse=falling))
    else:
        limits = scores.read_thresholds(thresholds) if key == "threshold" else compute_rate(key, confusion)
        value = np.full(len(numbers), np.nan) if limits is None else limits
        # NaN is greater than all for argsort, so it stays last either way.
        found = np.argsort(-value if falling else value, kind="stable")
    if only is None:
        return found
    metric, side, limit = only
    value = compute_rate(metric, confusion)[found]
    return found[value < limit if side == "below" else value >= limit]


def list_sorts() -> tuple[str, ...]:
    """List what a grid can be sorted by."""
    return ("given", "name", *(metric.name for metric in list_metrics()), "threshold")


def confusion_figure(
    scores: Scores,
    thresholds: Thresholds = None,
    *,
    sort: str = "given",
    columns: int | None = None,
    normalise: str | None = "true",
    only: tuple[str, str, float] | None = None,
) -> Figure:
    """Return the grid as seaborn heatmaps, ready to be printed.

    Each cell holds its count and its share. Rows say what is, columns what was said; blue is right, orange
    wrong. Where the thresholds differ each tile says its own.

    Parameters
    ----------
    thresholds : one, or one for each class; None: 0.5, of a multiclass task the likeliest class.
    sort, only : which classes, in which order: see `order_classes`; default all as given.
    columns : tiles in a line; default so that the grid is wider than high and its lines are even.
    normalise : what shade and share are of: "true" the row, so that a rare class is read as easily as a
        common one, "predicted" the column, "all" all samples of the class, None counts alone.
    """
    import seaborn

    confusion = scores.confusion(thresholds)
    classes = order_classes(scores, confusion, sort, thresholds=thresholds, only=only)
    if not len(classes):
        return _nobody(scores, only)
    wide = min(12, round((3.5 * len(classes)) ** 0.5))
    columns = columns or ceil(len(classes) / ceil(len(classes) / wide))
    lines = ceil(len(classes) / columns)
    titles = _tile_titles(scores, confusion, thresholds, sort)
    tall = 1.38 if "\n" in titles[0] else 1.24
    figure = new_figure(max(4.4, 1.25 * columns + 0.7), tall * lines + 0.9)
    boxes = not scores.true_negatives
    colors, shade, written = two_colors(), _shade(confusion, normalise, boxes), _written(confusion, boxes)
    parts = compute_shares(confusion, normalise, boxes) if normalise else np.full(confusion.shape, np.nan)
    axes = figure.subplots(lines, columns, squeeze=False)
    # seaborn draws the whole figure after each heatmap to see whether labels overlap: seconds for 14
    # classes. What is not visible and not laid out is drawn in no time.
    layout = figure.get_layout_engine()
    figure.set_layout_engine("none")
    for ax in axes.flat:
        ax.set_visible(False)
    for place, (ax, c) in enumerate(zip(axes.flat, classes)):
        seaborn.heatmap(
            shade[c], ax=ax, cmap=colors, vmin=-1, vmax=1, cbar=False, linewidths=1.5, linecolor="white",
            annot=written[c], fmt="",
            annot_kws={"size": 8, "color": INK, "va": "bottom" if normalise else "center"},
            xticklabels=["no", "yes"] if place + columns >= len(classes) else False,
            yticklabels=["not", "is"] if place % columns == 0 else False,
        )  # fmt: skip
        for (i, j), part in np.ndenumerate(parts[c]):
            if not np.isnan(part):
                ax.text(j + 0.5, i + 0.57, percent(part), fontsize=6.5, color=INK, ha="center", va="top")
        ax.tick_params(length=0, labelsize=8, labelcolor=GREY, rotation=0)
        ax.set_title(titles[c], fontsize=8.5, color=INK, pad=3)
    for ax in axes.flat[: len(classes)]:
        ax.set_visible(True)
    figure.set_layout_engine(layout)
    shares = _SHARES_OF_BOXES if boxes else _SHARES
    said = f" · shade and %: share {shares[normalise]}" if normalise else " · shade: count"
    figure.supxlabel(f"said to be{said}", fontsize=9, color=GREY)
    figure.supylabel("what it is", fontsize=9, color=GREY)
    figure.suptitle(scores_headline(scores, confusion, thresholds), fontsize=9.5, color=INK)
    return figure


def confusion_tiles(
    scores: Scores,
    thresholds: Thresholds = None,
    *,
    sort: str = "given",
    most: int = 60,
    normalise: str | None = "true",
    only: tuple[str, str, float] | None = None,
) -> Figure:
    """Return the same grid without seaborn: many times faster, for previews.

    Of more than `most` classes the first `most` in the order `sort` are drawn, and the rest are counted.
    """
    from matplotlib.collections import PolyCollection

    confusion = scores.confusion(thresholds)
    passing = order_classes(scores, confusion, sort, thresholds=thresholds, only=only)
    classes = passing[:most]
    if not len(classes):
        return _nobody(scores, only)
    columns = min(len(classes), 7)
    lines = ceil(len(classes) / columns)
    titles = _tile_titles(scores, confusion, thresholds, sort)
    line = 3.1 if "\n" not in titles[0] else 3.5
    figure = new_figure(max(4.4, 1.1 * columns + 0.2), 0.95 * line / 3.1 * lines + 0.65)
    ax: Axes = figure.add_subplot()
    ax.set_axis_off()
    empty = not scores.true_negatives
    colors, shade, written = two_colors(), _shade(confusion, normalise, empty), _written(confusion, empty)
    boxes, fills = [], []
    for place, c in enumerate(classes):
        left, top = 2.35 * (place % columns), line * (place // columns)
        ax.text(left + 1, top - 0.12, titles[c], fontsize=7.5, color=INK, ha="center", va="bottom")
        for (i, j), text in np.ndenumerate(written[c]):
            x, y = left + j, top + i
            boxes.append([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)])
            fills.append(colors((shade[c, i, j] + 1) / 2))
            ax.text(x + 0.5, y + 0.52, text, fontsize=7.5, color=INK, ha="center", va="center")
    ax.add_collection(PolyCollection(boxes, facecolors=fills, edgecolors="white", linewidths=1))
    ax.set_xlim(-0.1, 2.35 * max(columns, 4) - 0.25)
    ax.set_ylim(line * lines - 0.9, -0.8 if line < 3.2 else -1.2)
    share = f"share {(_SHARES_OF_BOXES if empty else _SHARES)[normalise]}" if normalise else "count"
    reading = "top right: false · below: missed, found" if empty else "rows: is not, is · columns: said no, said yes"
    about = textwrap.wrap(f"{reading} · shade: {share}", int(15 * figure.get_figwidth()))
    figure.supxlabel("\n".join(about), fontsize=7, color=GREY)
    rest = len(passing) - len(classes)
    more = f" · and {rest} more {'class' if rest == 1 else 'classes'}" if rest else ""
    figure.suptitle(scores_headline(scores, confusion, thresholds) + more, fontsize=8.5, color=INK)
    return figure


def _nobody(scores: Scores, only: tuple[str, str, float] | None) -> Figure:
    figure = new_figure(6.4, 0.6)
    metric, side, limit = only or ("f1", "below", 0)
    word = "below" if side == "below" else "at least"
    said = f"None of {scores.n_classes:,} classes has {metric} {word} {limit:g}."
    figure.text(0.01, 0.5, said, fontsize=9, color=GREY, va="center")
    return figure


def scores_headline(scores: Scores, confusion: NDArray[np.int64], thresholds: Thresholds) -> str:
    """Say how many samples, by which rule, macro and micro F1."""
    limits, at = scores.read_thresholds(thresholds), "by the likeliest class"
    if limits is not None:
        low, high = limits.min(), limits.max()
        at = f"threshold {low:.3g}" if low == high else f"thresholds {low:.2g} to {high:.2g}"
    if scores.true_negatives and (unknown := describe_unknown(scores.unknown, scores.n_samples)):
        at = f"{unknown} · {at}"
    average = average_rates(confusion)
    if not scores.true_negatives:
        true = pluralize(int(scores.positives.sum()), "true box")
        at = f"{at} · IoU {scores.iou:g} · mAP {_rate(scores.mean_precision)}"  # type: ignore[attr-defined]
        return f"{true} · {at} · F1 macro {_rate(average['macro']['f1'])}"
    macro, micro = (_rate(average[name]["f1"]) for name in ("macro", "micro"))
    samples = "sample" if scores.n_samples == 1 else "samples"
    return f"{scores.n_samples:,} {samples} · {at} · F1 macro {macro}, micro {micro}"


def compute_shares(
    confusion: NDArray[np.int64], normalise: str | None, boxes: bool = False
) -> NDArray[np.float64]:
    """Return what share each cell of matrices is; NaN of nothing.

    "true" divides by the sum of the row, "predicted" of the column, "all" of the matrix, None by the largest
    count there is. Of `boxes` none is rightly not said, so false ones are a share of those said, and missed ones of
    the true.
    """
    if normalise is None:
        whole = np.array(confusion.max(initial=0))
    else:
        axes = {"true": -1, "predicted": -2, "all": (-2, -1)}[normalise]
        whole = confusion.sum(axis=axes, keepdims=True)
    whole = np.broadcast_to(whole, confusion.shape)
    if boxes and normalise in ("true", "predicted"):
        whole = whole.copy()
        whole[..., 0, 0] = 0
        whole[..., 0, 1], whole[..., 1, 0] = confusion[..., :, 1].sum(axis=-1), confusion[..., 1, :].sum(axis=-1)
    return np.divide(confusion, whole, out=np.full(confusion.shape, np.nan), where=whole > 0)


def _shade(confusion: NDArray[np.int64], normalise: str | None, boxes: bool = False) -> NDArray[np.float64]:
    """Return the share of each cell, negative where wrong."""
    return np.nan_to_num(compute_shares(confusion, normalise, boxes)) * np.array([[1, -1], [-1, 1]])


def two_colors() -> Colormap:
    """Return the colours from -1 (all wrong, orange) to 1 (right, blue)."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    wrong, right = ([0.7 * part + 0.3 for part in to_rgb(color)] for color in (ORANGE, BLUE))
    return LinearSegmentedColormap.from_list("right and wrong", [wrong, "#f6f4f1", right])


def _written(confusion: NDArray[np.int64], boxes: bool = False) -> NDArray[np.object_]:
    written = np.array([short(n) for n in confusion.ravel()], object).reshape(confusion.shape)
    if boxes:
        written[..., 0, 0] = ""  # what is no box was not counted
    return written


def short(n: float) -> str:
    """Write a count as a cell holds it: 1,488 or 1.21 M."""
    n = int(n)
    if n < 100_000:
        return f"{n:,}"
    unit, power = ("M", 1e6) if n >= 999_500 else ("k", 1e3)
    return f"{n / power:.3g} {unit}"


def percent(part: float) -> str:
    """Return a share as 93 %; "" where there is none."""
    if np.isnan(part):
        return ""
    if 0 < part < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= part < 1 else f"{100 * part:.0f} %"


def _tile_titles(
    scores: Scores, confusion: NDArray[np.int64], thresholds: Thresholds, sort: str
) -> list[str]:
    """Name each tile, with what it is sorted by, else F1."""
    key = sort.removeprefix("-")
    metric = key if key in METRICS else "f1"
    write = short if METRICS[metric].count else _rate
    names, values = cut_names(scores.classes, 13), compute_rate(metric, confusion)
    titles = [f"{name}  {write(value)}" for name, value in zip(names, values)]
    each = scores.read_thresholds(thresholds)
    if each is None or len(np.unique(each)) == 1:
        return titles
    return [f"{title}\nat {limit:.3f}" for title, limit in zip(titles, each)]


def _rate(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{value:.2f}"
