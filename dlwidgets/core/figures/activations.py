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

    colours = ["#8a3d00", "#e08a35", "#f5f6f8", "#6f9fd8", "#0f3f86"]
    return LinearSegmentedColormap.from_list("signed", colours, N=255).with_extremes(bad=_BROKEN)


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
    picture : what to draw; None where there is nothing, for `reason`, a sentence.
    per : whether the colours span the largest value of the layer, or of each map.
    shown : the sample's input, drawn on the left.
    """
    image = None if shown is None else shown.image
    share = 1.0 if image is None else 0.78
    figure = new_figure(width, 1.2 if picture is None else _height(picture, width * share))
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold", color=INK)
    if image is None:
        main = figure.subplots()
    else:
        beside, main = figure.subplots(1, 2, width_ratios=[1 - share, share])
        beside.imshow(image, interpolation="nearest")
        beside.set_title("input", fontsize=8, color=GREY, loc="left")
        beside.set_anchor("N")
        beside.axis("off")
    if picture is None:
        main.axis("off")
        main.text(0, 0.5, reason or "nothing to draw", wrap=True, fontsize=9, color=INK)
    elif picture.tiles is None:
        _draw_bars(main, picture)
    else:
        main.set_anchor("NW")
        main.set_xticks([])
        main.set_yticks([])
        main.spines[:].set_visible(False)
        limit = picture.tiles.scale if per == "map" else picture.tiles.scale.max()
        shares = picture.tiles.values() / np.where(limit > 0, limit, 1).reshape(-1, 1, 1)
        draw = {"lines": _draw_lines, "rgb": _draw_filters}.get(picture.kind, _draw_maps)
        said = draw(main, picture, picture.tiles, shares)
        by = "" if picture.by == "index" else f"sorted by {picture.by}"
        main.set_xlabel("; ".join(filter(None, [said, by, picture.note])), fontsize=8, color=GREY, loc="left")
        if draw is _draw_maps:
            _draw_scale(main, picture, picture.tiles, per)
    return figure


def _columns(drawn: Tiles, depth: int = 1) -> int:
    count, height, width = drawn.maps.shape
    # About twice as wide as high, whatever the form of the maps.
    return max(1, min(count, round(math.sqrt(2.0 * count * height * depth / width))))


def _height(picture: Picture, width: float) -> float:
    if picture.tiles is None:
        return 2.6
    count, height, across = picture.tiles.maps.shape
    if picture.kind == "lines":
        return 0.9 + min(8.0, max(1.2, 0.35 * math.sqrt(1.5 * count)))
    depth = 3 if picture.kind == "rgb" else 1
    columns = _columns(picture.tiles, depth)
    ratio = math.ceil(count / columns) * height / (columns * (across // depth))
    return 0.9 + min(9.0, max(0.8, min(ratio, _SLENDER) * width * 0.85))


def _mosaic(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Lay RGBA tiles side by side, transparent between them."""
    count, height, width, _ = tiles.shape
    gap = max(1, round(max(height, width) / 14))
    rows = math.ceil(count / columns)
    sheet = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.float32)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def _draw_maps(axes: Axes, picture: Picture, drawn: Tiles, shares: np.ndarray) -> str:
    from matplotlib.colors import to_rgba

    tiles = signed_colors()((shares + 1) / 2)
    tiles[drawn.dead] = to_rgba(_DEAD)
    aspect = "auto" if len(tiles) == 1 else "equal"
    axes.imshow(_mosaic(tiles, _columns(drawn)), interpolation="nearest", aspect=aspect)
    if len(tiles) == 1 and picture.kind in ("sequence", "attention"):
        axes.set_ylabel(picture.axes[1], fontsize=8, color=GREY)
    dead = int(drawn.dead.sum())
    return f"{dead} of {len(tiles)} zero everywhere (grey)" if dead else ""


def _draw_scale(axes: Axes, picture: Picture, drawn: Tiles, per: Literal["layer", "map"]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    peak = (picture.peak or 1.0) if per == "layer" else 1.0
    colours = ScalarMappable(Normalize(-peak, peak), signed_colors())
    bar = axes.figure.colorbar(colours, ax=axes, shrink=0.8, pad=0.01, fraction=0.03)
    bar.ax.tick_params(labelsize=7, colors=GREY)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if not ((drawn.maps > 0) & (drawn.maps < 128)).any():
        bar.ax.set_ylim(0, peak)
    if per == "map":
        bar.set_label("share of each map's largest value", fontsize=7, color=GREY)


def _draw_filters(axes: Axes, picture: Picture, drawn: Tiles, shares: np.ndarray) -> str:
    # Three colours beside each other in each column; grey is zero.
    colours = np.nan_to_num((shares.reshape(*shares.shape[:2], -1, 3) + 1) / 2, nan=0.0)
    tiles = np.concatenate([colours, np.ones_like(colours[..., :1])], axis=-1)
    axes.imshow(_mosaic(tiles, _columns(drawn, 3)), interpolation="nearest")
    return ""


def _draw_lines(axes: Axes, picture: Picture, drawn: Tiles, shares: np.ndarray) -> str:
    from matplotlib.collections import LineCollection

    count, _, length = shares.shape
    columns = 1 if count == 1 else max(2, round(math.sqrt(count / 1.5)))
    x = np.linspace(0.04, 0.96, length)
    corners = [(index % columns, -(index // columns)) for index in range(count)]
    lines = [
        np.column_stack([x + left, 0.45 * value + top]) for value, (left, top) in zip(shares[:, 0], corners)
    ]
    zeros = [[(left + 0.04, top), (left + 0.96, top)] for left, top in corners]
    axes.add_collection(LineCollection(zeros, colors="#e3e6ea", linewidths=0.6))
    axes.add_collection(LineCollection(lines, colors=BLUE, linewidths=0.9))
    axes.set_xlim(0, columns)
    axes.set_ylim(0.5 - math.ceil(count / columns), 0.5)
    return f"{picture.axes[2]} from left to right, to ±{picture.peak:.3g}"


def _draw_bars(axes: Axes, picture: Picture) -> None:
    bars = np.asarray(picture.bars)
    values = np.where(np.isfinite(bars), bars, 0.0)
    places, colours = np.arange(len(values)) * picture.group, np.where(values < 0, ORANGE, BLUE)
    axes.bar(places, values, width=0.85 * picture.group, color=colours, align="edge")
    axes.axhline(0, color=GREY, linewidth=0.6)
    broken = int((~np.isfinite(bars)).sum())
    words = ["unit", picture.note, f"{broken} not finite" if broken else ""]
    axes.set_xlabel("; ".join(filter(None, words)), fontsize=8, color=GREY, loc="left")
    axes.tick_params(labelsize=7, colors=GREY)
    axes.spines[["top", "right"]].set_visible(False)
