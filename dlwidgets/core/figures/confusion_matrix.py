"""The confusion matrix of a multiclass task as a Figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..base.canvas import GREY, INK, new_figure
from ..scoring.confusion_figure import compute_shares, percent, short, two_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..scoring.scores import Scores

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
    scores
        Of a multiclass task.
    normalise
        What the shade is the root of the share of: "true" the row, "predicted" the column, "all" all samples,
        None: the largest count.
    order
        The numbers of the classes in the order of rows and columns; default as given.

    Raises
    ------
    ValueError
        A task that has no matrix of one class against another.
    """
    import seaborn

    shade, counts, names = _prepared(scores, normalise, order)
    many = len(names)
    cell = 0.62 if many <= 12 else max(0.14, 0.42 - 0.007 * (many - 12)) if many <= _NAMED else 8 / many
    figure = new_figure(max(3.6, cell * many + 1.6), max(2.8, cell * many + 1.4))
    ax = figure.add_subplot()
    annotated: NDArray[np.object_] | bool = False
    if many <= _NUMBERED:
        annotated = _texts(counts, normalise, with_shares=many <= 12)
    seaborn.heatmap(
        shade, ax=ax, cmap=two_colors(), vmin=-1, vmax=1, cbar=False, square=True,
        linewidths=0.8 if many <= _NAMED else 0, linecolor="white", annot=annotated, fmt="",
        annot_kws={"size": 8 if many <= 12 else 6.5, "color": INK, "linespacing": 1.1},
        xticklabels=names if many <= _NAMED else False, yticklabels=names if many <= _NAMED else False,
    )  # fmt: skip
    _labelled(figure, ax, counts, normalise)
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
    for spine in ax.spines.values():
        spine.set_visible(False)
    if many <= 12:
        for (i, j), text in np.ndenumerate(_texts(counts, None, with_shares=False)):
            ax.text(j, i, text, ha="center", va="center", fontsize=7.5, color=INK)
    _labelled(figure, ax, counts, normalise)
    return figure


def _prepared(
    scores: Scores, normalise: str | None, order: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
    """Return shade (negative where wrong), counts and names, in order."""
    matrix = scores.matrix()
    order = np.arange(len(matrix)) if order is None else order
    counts = matrix[np.ix_(order, order)]
    sign = np.where(np.eye(len(counts), dtype=bool), 1, -1)
    names = [scores.classes[c].replace("$", r"\$") for c in order]
    names = [name if len(name) <= 18 else name[:17] + "…" for name in names]
    # A mistake is rare among the many cells of its row: the root lets it be seen.
    return np.sqrt(np.nan_to_num(compute_shares(counts, normalise))) * sign, counts, names


def _texts(counts: NDArray[np.int64], normalise: str | None, *, with_shares: bool) -> NDArray[np.object_]:
    part = compute_shares(counts, normalise)
    texts = np.empty(counts.shape, object)
    for at, n in np.ndenumerate(counts):
        share = percent(part[at]) if with_shares and normalise and n else ""
        texts[at] = (f"{short(n)}\n{share}" if share else short(n)) if n else ""
    return texts


def _labelled(figure: Figure, ax: Axes, counts: NDArray[np.int64], normalise: str | None) -> None:
    right = np.trace(counts) / max(1, counts.sum())
    samples = f"{int(counts.sum()):,} samples · {len(counts)} classes · accuracy {right:.3f}"
    ax.tick_params(length=0, labelsize=8, labelcolor=GREY)
    ax.tick_params(axis="y", rotation=0)
    shade = _SHARES.get(normalise or "", "count, against the largest")
    ax.set_xlabel(f"said to be, by the highest score · shade: root of the {shade}", fontsize=8.5, color=GREY)
    ax.set_ylabel("what it is", fontsize=8.5, color=GREY)
    figure.suptitle(samples, fontsize=9.5, color=INK)
