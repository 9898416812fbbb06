"""A data set at a glance: its first images with their labels, or how frequent its classes are."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.base.canvas import BLUE, INK, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def contact_sheet(images: np.ndarray, has: np.ndarray, classes: Sequence[str], across: int = 8) -> Figure:
    """Draw n x channels x H x W images, under each the names of its classes (`has`, n x C booleans)."""
    across = min(across, len(images))
    down = -(-len(images) // across)
    captions = [", ".join(np.array(classes, dtype=object)[row]) or "none" for row in has]
    wrapped = [textwrap.fill(caption, 18) for caption in captions]
    lines = max(caption.count("\n") + 1 for caption in wrapped)
    figure = new_figure(1.25 * across, (1.25 + 0.13 * lines) * down)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, image, caption in zip(axes, images, wrapped, strict=False):
        picture = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.text(0.5, -0.04, caption, transform=axis.transAxes, ha="center", va="top", fontsize=7, color=INK)
    return figure


def frequencies(share: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draw which share of the samples has each class, as labelled bars in the order of the classes."""
    figure = new_figure(4.8, 0.6 + 0.22 * len(classes))
    axis = figure.subplots()
    bars = axis.barh(range(len(classes)), 100 * share, color=BLUE, height=0.7)
    axis.bar_label(bars, labels=[f"{100 * s:.3g} %" for s in share], padding=3, fontsize=8, color=INK)
    axis.set_yticks(range(len(classes)), classes, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, min(100, 100 * float(share.max()) * 1.2 + 1))
    axis.set_xticks([])
    axis.set_title("share of samples that have the class", fontsize=9, loc="left", color=INK)
    axis.tick_params(length=0)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    return figure
