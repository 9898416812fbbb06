"""The Figures of a study: ablation, top samples, attribution, spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.canvas import BLUE, GREY, INK, LINE, ORANGE, new_figure
from ..base.words import fill_text
from .activations import signed_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def ablation_figure(rows: Sequence[Sequence[Any]], title: str = "", *, share: bool = True) -> Figure:
    """Draw the scores of each class before and after an ablation.

    Parameters
    ----------
    rows : (name, before, after) of each class; None for what is not finite.
    share : whether the scores are probabilities, so that the axis is 0 to 1.
    """
    figure = new_figure(6.4, 0.8 + 0.24 * max(1, len(rows)))
    axes = _titled(figure, title)
    for place, (_name, before, after, *_) in enumerate(rows):
        one, other = (math.nan if value is None else value for value in (before, after))
        axes.plot([one, other], [place, place], color=GREY, linewidth=1.5)
        axes.plot(one, place, "o", color=GREY, markerfacecolor="white", markersize=5)
        axes.plot(other, place, "o", color=BLUE if other >= one else ORANGE, markersize=5)
        beside = axes.get_yaxis_transform()
        axes.text(1.02, place, f"{one:.2f} → {other:.2f}", transform=beside, va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [str(row[0]) for row in rows], fontsize=8)
    axes.invert_yaxis()
    if share:
        axes.set_xlim(0, 1)
    axes.set_xlabel("probability" if share else "output", fontsize=8)
    axes.grid(axis="x", color=LINE)
    axes.tick_params(labelsize=8, length=0)
    return figure


def top_samples_figure(
    images: np.ndarray | None, tiles: Sequence[dict[str, Any]], title: str = "", columns: int = 6
) -> Figure:
    """Draw the samples that drive a channel most, places marked.

    Parameters
    ----------
    images : uint8, tiles x h x w x 3; None where the samples are no images.
    tiles : `sample`, `value`, `box` (shares: left, top, width, height, or None), `line` or `words` of each.
    """
    from matplotlib.patches import Rectangle

    columns = max(1, min(columns, len(tiles)))
    rows = max(1, math.ceil(len(tiles) / columns))
    figure = new_figure(1.15 * columns, 0.5 + 1.3 * rows)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK)
    for number, axes in enumerate(np.ravel(figure.subplots(rows, columns, squeeze=False))):
        axes.set_axis_off()
        if number >= len(tiles):
            continue
        tile, box = tiles[number], tiles[number]["box"]
        value = "not finite" if tile["value"] is None else f"{tile['value']:.3g}"
        axes.set_title(f"{tile['sample']:,} · {value}", fontsize=8, color=GREY)
        if images is not None:
            height, width = images.shape[1:3]
            axes.imshow(images[number], interpolation="nearest")
            if box is not None and len(box) == 4:
                left, top, across, down = box
                axes.add_patch(
                    Rectangle(
                        (left * width - 0.5, top * height - 0.5), across * width, down * height,
                        fill=False, edgecolor=ORANGE, linewidth=1.5,
                    )
                )  # fmt: skip
        elif tile.get("line"):
            axes.plot(tile["line"], color=BLUE, linewidth=1)
            if box is not None and len(box) == 2:
                last = len(tile["line"]) - 1
                axes.axvspan(box[0] * last, (box[0] + box[1]) * last, color=ORANGE, alpha=0.3)
        else:
            words = fill_text(tile.get("words", ""), 18)
            axes.text(0.5, 0.5, words, ha="center", va="center", fontsize=7, in_layout=False)
    return figure


def attribution_figure(
    values: np.ndarray, image: np.ndarray | None, title: str = "", opacity: float = 0.8
) -> Figure:
    """Return where the model looked, laid over the input.

    Parameters
    ----------
    values : float, h x w: positive where it speaks for the class, negative against it; 1 x n gives bars.
    image : uint8, H x W x 3; None where the input is no image.
    """
    figure = new_figure(4.4, 3.8 if min(values.shape) > 1 else 2.2)
    axes = _titled(figure, title)
    peak = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    if values.shape[0] == 1:
        colours = [BLUE if value >= 0 else ORANGE for value in values[0]]
        axes.bar(np.arange(values.shape[1]), values[0], color=colours, width=0.9)
        axes.tick_params(labelsize=8)
        return figure
    axes.set_axis_off()
    height, width = values.shape if image is None else image.shape[:2]
    place = (-0.5, width - 0.5, height - 0.5, -0.5)
    if image is not None:
        axes.imshow(image, extent=place, interpolation="nearest")
    alpha = np.clip(np.nan_to_num(np.abs(values)) / peak, 0, 1) * (opacity if image is not None else 1.0)
    smooth = "bilinear" if image is not None and values.shape != image.shape[:2] else "nearest"
    drawn = axes.imshow(
        values, extent=place, cmap=signed_colors(), vmin=-peak, vmax=peak, alpha=alpha, interpolation=smooth
    )
    figure.colorbar(drawn, ax=axes, shrink=0.8).ax.tick_params(labelsize=8)
    return figure


def spread_figure(
    shares: np.ndarray,
    steps: Sequence[Sequence[int]],
    reach: float,
    mean: Sequence[float | None],
    title: str = "",
) -> Figure:
    """Draw the spread over time, by the logarithm of each share.

    Parameters
    ----------
    shares : columns x bins, the low end first.
    steps : first and last step of each column.
    reach : the bins span -reach..reach.
    mean : of each column; None where there is none.
    """
    figure = new_figure(6.4, 2.6)
    axes = _titled(figure, title)
    filled = np.flatnonzero(shares.any(0))
    bins = shares.shape[1]
    low = min(int(filled.min(initial=bins)), bins // 2 - 1)
    high = max(int(filled.max(initial=0)), bins // 2)
    edges = np.linspace(-reach, reach, bins + 1)
    with np.errstate(divide="ignore"):
        depth = np.where(shares > 0, np.clip(1 + np.log10(shares) / 4, 0.02, 1), 0)
    axes.imshow(
        depth[:, low : high + 1].T, origin="lower", aspect="auto", cmap=signed_colors(), vmin=-1, vmax=1,
        interpolation="nearest", extent=(-0.5, len(shares) - 0.5, edges[low], edges[high + 1]),
    )  # fmt: skip
    values = [math.nan if one is None else one for one in mean]
    axes.step(range(len(values)), values, where="mid", color=ORANGE, linewidth=1.2)
    axes.axhline(0, color=GREY, linewidth=0.8)
    shown = sorted({0, len(steps) // 2, len(steps) - 1}) if len(steps) else []
    axes.set_xticks(shown, [f"step {steps[i][0]:,}" for i in shown], fontsize=8)
    axes.set_ylabel("value", fontsize=8)
    axes.tick_params(labelsize=8)
    return figure


def sentence_figure(words: str, title: str = "") -> Figure:
    """Return a sentence in place of a picture."""
    figure = new_figure(6.4, 1.2)
    axes = _titled(figure, title)
    axes.set_axis_off()
    axes.text(0, 0.5, words, fontsize=9, color=INK, wrap=True, transform=axes.transAxes)
    return figure


def _titled(figure: Figure, title: str) -> Axes:
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return axes
