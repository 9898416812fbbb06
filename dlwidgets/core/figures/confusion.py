"""The confusion grid as a Figure: a 2 x 2 heatmap for each class."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ..scoring.counts import averaged, rates
from . import BLUE, GREY, INK, ORANGE, blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..scoring.scores import Scores

#: What a grid can be sorted by; with a leading "-" the other way round.
SORTS = ("given", "name", "f1", "precision", "recall", "support")
_TITLES = {"f1": "F1", "precision": "precision", "recall": "recall", "support": "support"}


def order(scores: Scores, confusion: NDArray[np.int64], sort: str = "given") -> NDArray[np.int64]:
    """Return the numbers of the classes in the order `sort`: the lowest first, undefined values last.

    "given" keeps the order of the classes, "name" goes by the alphabet, the others by the metric; "-f1"
    puts the highest first. Classes that are equal keep their given order.
    """
    key, falling = sort.removeprefix("-"), sort.startswith("-")
    if key not in SORTS:
        raise ValueError(f"A confusion grid cannot be sorted by {sort!r}: give one of {', '.join(SORTS)}.")
    if key == "given":
        numbers = np.arange(scores.n_classes)
        return numbers[::-1] if falling else numbers
    if key == "name":
        names = [name.casefold() for name in scores.classes]
        return np.array(sorted(range(len(names)), key=names.__getitem__, reverse=falling))
    value = scores.positives.astype(float) if key == "support" else rates(confusion)[key]
    # NaN is greater than all for argsort, so it stays last either way.
    return np.argsort(-value if falling else value, kind="stable")


def shown(sort: str) -> str:
    """Return the metric that tiles sorted by `sort` carry beside the name."""
    key = sort.removeprefix("-")
    return key if key in _TITLES else "f1"


def confusion_figure(
    scores: Scores,
    thresholds: float | Sequence[float] = 0.5,
    *,
    sort: str = "given",
    columns: int | None = None,
) -> Figure:
    """Return the grid as seaborn heatmaps, ready to be printed.

    Each cell holds its count. Rows say what is, columns what was said; blue is right, orange wrong, and the
    shade is the share of the row, so that a rare class is read as easily as a common one.

    Parameters
    ----------
    scores
        What to show.
    thresholds
        One, or one for each class.
    sort
        One of "given", "name", "f1", "precision", "recall", "support": lowest first; "-f1" highest first.
    columns
        Tiles in a line; default so that the grid is wider than high and its lines are even.
    """
    import seaborn

    confusion = scores.confusion(thresholds)
    classes = order(scores, confusion, sort)
    wide = min(12, round((3.5 * len(classes)) ** 0.5))
    columns = columns or ceil(len(classes) / ceil(len(classes) / wide))
    lines = ceil(len(classes) / columns)
    figure = blank(max(4.4, 1.25 * columns + 0.7), 1.2 * lines + 0.9)
    colors, shade = _colors(), _shade(confusion)
    titles = _tile_titles(scores, confusion, shown(sort))
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
            annot=_written(confusion[c]), fmt="", annot_kws={"size": 8, "color": INK},
            xticklabels=["no", "yes"] if place // columns == lines - 1 else False,
            yticklabels=["not", "is"] if place % columns == 0 else False,
        )  # fmt: skip
        ax.tick_params(length=0, labelsize=8, labelcolor=GREY, rotation=0)
        ax.set_title(titles[c], fontsize=8.5, color=INK, pad=3)
    for ax in axes.flat[: len(classes)]:
        ax.set_visible(True)
    figure.set_layout_engine(layout)
    figure.supxlabel("said to be", fontsize=9, color=GREY)
    figure.supylabel("what it is", fontsize=9, color=GREY)
    figure.suptitle(headline(scores, confusion, thresholds), fontsize=9.5, color=INK)
    return figure


def confusion_tiles(
    scores: Scores, thresholds: float | Sequence[float] = 0.5, *, sort: str = "given", most: int = 60
) -> Figure:
    """Return the same grid drawn on one pair of axes, without seaborn: many times faster, for previews.

    Of more than `most` classes the first `most` in the order `sort` are drawn, and the rest are counted.
    """
    from matplotlib.collections import PolyCollection

    confusion = scores.confusion(thresholds)
    classes = order(scores, confusion, sort)[:most]
    columns = min(len(classes), 7)
    lines = ceil(len(classes) / columns)
    figure = blank(max(4.4, 1.1 * columns + 0.2), 0.95 * lines + 0.65)
    ax: Axes = figure.add_subplot()
    ax.set_axis_off()
    colors, shade = _colors(), _shade(confusion)
    titles = _tile_titles(scores, confusion, shown(sort))
    boxes, fills = [], []
    for place, c in enumerate(classes):
        left, top = 2.35 * (place % columns), 3.1 * (place // columns)
        ax.text(left + 1, top - 0.12, titles[c], fontsize=7.5, color=INK, ha="center", va="bottom")
        for (i, j), text in np.ndenumerate(_written(confusion[c])):
            x, y = left + j, top + i
            boxes.append([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)])
            fills.append(colors((shade[c, i, j] + 1) / 2))
            ax.text(x + 0.5, y + 0.52, text, fontsize=7.5, color=INK, ha="center", va="center")
    ax.add_collection(PolyCollection(boxes, facecolors=fills, edgecolors="white", linewidths=1))
    ax.set_xlim(-0.1, 2.35 * max(columns, 4) - 0.25)
    ax.set_ylim(3.1 * lines - 0.9, -0.8)
    figure.supxlabel(
        "rows: is not, is · columns: said no, said yes · shade: share of the row", fontsize=7, color=GREY
    )
    rest = scores.n_classes - len(classes)
    more = f" · and {rest} more {'class' if rest == 1 else 'classes'}" if rest else ""
    figure.suptitle(headline(scores, confusion, thresholds) + more, fontsize=8.5, color=INK)
    return figure


def headline(scores: Scores, confusion: NDArray[np.int64], thresholds: float | Sequence[float]) -> str:
    """Return one line: how many samples, at which threshold, macro and micro F1."""
    values = np.unique(np.asarray(thresholds, float))
    at = (
        f"threshold {values[0]:.3g}"
        if len(values) == 1
        else f"thresholds {values[0]:.2g} to {values[-1]:.2g}"
    )
    average = averaged(confusion)
    macro, micro = (_rate(average[name]["f1"]) for name in ("macro", "micro"))
    samples = "sample" if scores.n_samples == 1 else "samples"
    return f"{scores.n_samples:,} {samples} · {at} · F1 macro {macro}, micro {micro}"


def _shade(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of its row of each cell, negative where wrong."""
    known = confusion.sum(axis=2, keepdims=True)
    share = np.divide(confusion, known, out=np.zeros(confusion.shape), where=known > 0)
    return share * np.array([[1, -1], [-1, 1]])


def _colors() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    def pale(color: str) -> tuple[float, ...]:
        return tuple(0.7 * part + 0.3 for part in to_rgb(color))

    return LinearSegmentedColormap.from_list("right and wrong", [pale(ORANGE), "#f6f4f1", pale(BLUE)])


def _written(confusion: NDArray[np.int64]) -> NDArray[np.object_]:
    return np.array([[_short(n) for n in row] for row in confusion], object)


def _short(n: int) -> str:
    if n < 100_000:
        return f"{n:,}"
    unit, power = ("M", 1e6) if n >= 999_500 else ("k", 1e3)
    return f"{n / power:.3g} {unit}"


def _tile_titles(scores: Scores, confusion: NDArray[np.int64], metric: str) -> list[str]:
    if metric == "support":
        values = [_short(n) for n in scores.positives]
    else:
        values = [_rate(value) for value in rates(confusion)[metric]]
    # A dollar sign would start a formula.
    names = [(name if len(name) <= 13 else name[:12] + "…").replace("$", r"\$") for name in scores.classes]
    return [f"{name}  {value}" for name, value in zip(names, values)]


def _rate(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{value:.2f}"
