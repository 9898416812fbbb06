"""The Figure of one layer's output: tiles, lines, a matrix, bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..base.canvas import BLUE, GREY, INK, ORANGE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from ..pictures.picture import Picture
    from ..pictures.thumbnail import Thumbnail
    from ..pictures.tiles import Tiles

#: A map that is zero everywhere, and a value that is not finite.
_DEAD, _BROKEN = "#d9dde2", "#b3261e"
#: Tiles are at most so many times wider than high on the page, or the other way round.
_SLENDER = 3.0


def signed_colors() -> Colormap:
    """Return the colours of activations: orange below zero, blue above."""
    from matplotlib.colors import LinearSegmentedColormap

    scale = LinearSegmentedColormap.from_list(
        "signed", ["#8a3d00", "#e08a35", "#f5f6f8", "#6f9fd8", "#0f3f86"], N=255
    )
    return scale.with_extremes(bad=_BROKEN)


def activation_figure(
    picture: Picture | None,
    title: str = "",
    *,
    per: Literal["layer", "map"] = "layer",
    shown: Thumbnail | None = None,
    reason: str = "",
    width: float = 8.0,
) -> Figure:
    """Return the Figure of `picture`, `width` inches wide.

    Parameters
    ----------
    picture : what to draw; None where there is nothing, for `reason`.
    title : the line above.
    per : whether the colours span the largest value of the layer, or of each map.
    shown : the sample's input, drawn on the left.
    reason : a sentence, in place of the picture.
    """
    beside = shown is not None and shown.image is not None
    figure = new_figure(
        width, 1.2 if picture is None else _height(picture, width * (0.78 if beside else 1.0))
    )
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK)
    axes = figure.subplots(1, 2, width_ratios=[0.22, 0.78]) if beside else [figure.subplots()]
    if beside and shown is not None:
        axes[0].imshow(shown.image, interpolation="nearest")
        axes[0].set_title("input", fontsize=8, color=GREY, loc="left")
        axes[0].set_anchor("N")
        axes[0].axis("off")
    main = axes[-1]
    if picture is None:
        main.axis("off")
        main.text(0, 0.5, reason or "nothing to draw", wrap=True, fontsize=9, color=INK)
    elif picture.tiles is None:
        _draw_bars(main, picture)
    elif picture.kind == "lines":
        _draw_lines(main, picture, picture.tiles, per)
    elif picture.kind == "rgb":
        _draw_rgb(main, picture, picture.tiles, per)
    else:
        _draw_tiles(figure, main, picture, picture.tiles, per)
    return figure


def mosaic(picture: Picture, columns: int, per: Literal["layer", "map"] = "layer") -> np.ndarray:
    """Lay tiles side by side as shares of the largest value.

    Shares are -1..1, nan where not finite, and masked between the tiles.
    """
    drawn = picture.tiles
    if drawn is None:
        raise ValueError("A picture of bars has no tiles.")
    count, height, width = drawn.maps.shape
    gap = max(1, round(max(height, width) / 14))
    rows = math.ceil(count / columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    sheet = np.ma.masked_all(shape, dtype=np.float32)
    limit = drawn.scale if per == "map" else np.full(count, drawn.scale.max())
    values = drawn.values() / np.where(limit > 0, limit, 1)[:, None, None]
    for index, value in enumerate(values):
        row, column = divmod(index, columns)
        top, left = row * (height + gap), column * (width + gap)
        sheet[top : top + height, left : left + width] = value
    return sheet


def _columns(drawn: Tiles, depth: int = 1) -> int:
    count, height, width = drawn.maps.shape
    aspect = width / depth / height
    # About twice as wide as high, whatever the form of the maps.
    return max(1, min(count, round(math.sqrt(2.0 * count / aspect))))


def _height(picture: Picture, width: float) -> float:
    if picture.tiles is None:
        return 2.6
    count, height, across = picture.tiles.maps.shape
    if picture.kind == "lines":
        return 0.9 + min(8.0, max(1.2, 0.35 * math.sqrt(1.5 * count)))
    if picture.kind == "rgb":
        across //= 3
    columns = _columns(picture.tiles, 3 if picture.kind == "rgb" else 1)
    ratio = math.ceil(count / columns) * height / (columns * across)
    return 0.9 + min(9.0, max(0.8, min(ratio, _SLENDER) * width * 0.85))


def _draw_tiles(
    figure: Figure, axes: Axes, picture: Picture, drawn: Tiles, per: Literal["layer", "map"]
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    columns = _columns(drawn)
    sheet = mosaic(picture, columns, per)
    scale = signed_colors()
    gaps = np.ma.getmaskarray(sheet)
    rgba = scale((np.nan_to_num(sheet.filled(0.0)) + 1) / 2)
    rgba[np.isnan(sheet.filled(0.0))] = scale.get_bad()
    rgba[gaps, 3] = 0
    axes.imshow(rgba, interpolation="nearest", aspect="auto" if len(drawn.maps) == 1 else "equal")
    _, height, width = drawn.maps.shape
    gap = max(1, round(max(height, width) / 14))
    for index in np.flatnonzero(drawn.dead):
        row, column = divmod(int(index), columns)
        corner = (column * (width + gap) - 0.5, row * (height + gap) - 0.5)
        axes.add_patch(Rectangle(corner, width, height, facecolor=_DEAD, edgecolor="none"))
    _bare(axes)
    if len(drawn.maps) == 1 and picture.kind in ("sequence", "attention"):
        axes.set_ylabel(picture.axes[1], fontsize=8, color=GREY)
    dead = int(drawn.dead.sum())
    _say_below(axes, picture, f"{dead} of {len(drawn.maps)} zero everywhere (grey)" if dead else "")
    peak = picture.peak or 1.0
    limits = Normalize(-peak, peak) if per == "layer" else Normalize(-1, 1)
    bar = figure.colorbar(ScalarMappable(limits, scale), ax=axes, shrink=0.8, pad=0.01, fraction=0.03)
    bar.ax.tick_params(labelsize=7, colors=GREY)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if not ((drawn.maps > 0) & (drawn.maps < 128)).any():
        bar.ax.set_ylim(0, limits.vmax)
    if per == "map":
        bar.set_label("share of each map's largest value", fontsize=7, color=GREY)


def _say_below(axes: Axes, picture: Picture, first: str = "") -> None:
    by = "" if picture.by == "index" else f"sorted by {picture.by}"
    axes.set_xlabel("; ".join(filter(None, [first, by, picture.note])), fontsize=8, color=GREY, loc="left")


def _draw_rgb(axes: Axes, picture: Picture, drawn: Tiles, per: Literal["layer", "map"]) -> None:
    count, height, across = drawn.maps.shape
    width, columns = across // 3, _columns(drawn, 3)
    limit = drawn.scale if per == "map" else np.full(count, drawn.scale.max())
    values = (
        drawn.values().reshape(count, height, width, 3) / np.where(limit > 0, limit, 1)[:, None, None, None]
    )
    rows, gap = math.ceil(count / columns), max(1, round(height / 14))
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.float32)
    for index, value in enumerate(values):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        # Grey is zero.
        sheet[top : top + height, left : left + width, :3] = np.nan_to_num((value + 1) / 2, nan=0.0)
        sheet[top : top + height, left : left + width, 3] = 1
    axes.imshow(sheet, interpolation="nearest")
    _bare(axes)
    _say_below(axes, picture)


def _draw_lines(axes: Axes, picture: Picture, drawn: Tiles, per: Literal["layer", "map"]) -> None:
    from matplotlib.collections import LineCollection

    count, _, length = drawn.maps.shape
    columns = 1 if count == 1 else max(2, round(math.sqrt(count / 1.5)))
    limit = drawn.scale if per == "map" else np.full(count, drawn.scale.max())
    values = drawn.values()[:, 0] / np.where(limit > 0, limit, 1)[:, None]
    x = np.linspace(0.04, 0.96, length)
    corners = [(index % columns, -(index // columns)) for index in range(count)]
    lines = [np.column_stack([x + left, 0.45 * value + top]) for value, (left, top) in zip(values, corners)]
    zeros = [[(left + 0.04, top), (left + 0.96, top)] for left, top in corners]
    axes.add_collection(LineCollection(zeros, colors="#e3e6ea", linewidths=0.6))
    axes.add_collection(LineCollection(lines, colors=BLUE, linewidths=0.9))
    axes.set_xlim(0, columns)
    axes.set_ylim(0.5 - math.ceil(count / columns), 0.5)
    _bare(axes)
    _say_below(axes, picture, f"{picture.axes[2]} from left to right, to ±{picture.peak:.3g}")


def _bare(axes: Axes) -> None:
    axes.set_anchor("NW")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _draw_bars(axes: Axes, picture: Picture) -> None:
    values = np.nan_to_num(np.asarray(picture.bars), nan=0.0, posinf=0.0, neginf=0.0)
    places = np.arange(len(values)) * picture.group
    colours = np.where(values < 0, ORANGE, BLUE)
    axes.bar(places, values, width=0.85 * picture.group, color=colours, align="edge")
    axes.axhline(0, color=GREY, linewidth=0.6)
    broken = int((~np.isfinite(picture.bars)).sum()) if picture.bars is not None else 0
    words = ["unit", picture.note, f"{broken} not finite" if broken else ""]
    axes.set_xlabel("; ".join(filter(None, words)), fontsize=8, color=GREY, loc="left")
    axes.tick_params(labelsize=7, colors=GREY)
    axes.spines[["top", "right"]].set_visible(False)
