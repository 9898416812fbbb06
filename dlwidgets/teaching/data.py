"""A data set of the course: two parts, classes, and its origin."""

from __future__ import annotations

import operator
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..core.base.canvas import BLUE, INK, new_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TASKS = ("multilabel", "multiclass", "binary", "detection")


def check_integer(name: str, value: object, *, least: int, most: int | None = None) -> int:
    """Return an argument's integer, or raise a sentence."""
    wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; give a whole number {wanted}.")
    if number < least or (most is not None and number > most):
        raise ValueError(f"{name} is {number}; give a whole number {wanted}.")
    return number


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """A data set ready for a session: `dlw.Session(model, train=data.train, valid=data.valid, ...)`.

    Parameters
    ----------
    name : the function that made it, such as ``"collages"``.
    train, valid : pairs ``(X, y)`` on the CPU; X float32 (tokens: int64) of shape N x ..., y float32 of shape
        N x C (1 = has the label) for a multilabel task; for detection y is a list of N dicts, "boxes" n x 4 (x1 y1 x2
        y2 in pixels) and "labels" n whole numbers. No sample is in both parts.
    classes : the C names, in the order of the columns of y.
    task : one of ``"multilabel"``, ``"multiclass"`` (y of N whole numbers), ``"binary"`` (y of N or N x 1
        zeros and ones; two names, that of 0 first), ``"detection"``.
    about : a paragraph: what it is, where from, under which licence, how it was split.

    Raises
    ------
    ValueError : the parts, the labels or the names do not fit one another.
    """

    name: str
    train: tuple[Tensor, Any]
    valid: tuple[Tensor, Any]
    classes: tuple[str, ...]
    task: str
    about: str

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; it must be one of {', '.join(TASKS)}.")
        for part in ("train", "valid"):
            X, y = getattr(self, part)
            count, shape = len(self.classes), tuple(getattr(y, "shape", ()))
            sizes = f"{len(X):,} inputs and {len(y):,} targets"
            if len(X) != len(y):
                raise ValueError(f"{part} has {sizes}; give one target per input.")
            if self.task == "multilabel" and (len(shape) != 2 or shape[1] != count):
                wanted = f"{count} class names need N x {count}"
                raise ValueError(f"{part} has targets of shape {shape}; {wanted}.")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample, without the batch axis."""
        return tuple(self.train[0].shape[1:])

    def describe(self) -> pd.DataFrame:
        """Return one row per class: its samples in each part, and shares."""
        import pandas as pd

        table = pd.DataFrame(index=pd.Index(self.classes, name="class"))
        for part in ("train", "valid"):
            table[part] = self._has(part).sum(0).long().numpy()
            table[f"{part}_share"] = self._has(part).mean(0).numpy()
        return table

    def figure(self, samples: int = 24, part: str = "train") -> Figure:
        """Draw a part's first images with labels, or its class frequencies."""
        if part not in ("train", "valid"):
            raise ValueError(f"part is {part!r}; it must be 'train' or 'valid'.")
        X, has = getattr(self, part)[0], self._has(part).bool().numpy()
        if X.ndim == 4:
            boxes = [one["boxes"] for one in getattr(self, part)[1][:samples]] if self.task == "detection" else ()
            return _draw_images(X[:samples].numpy(), has[:samples], self.classes, boxes)
        return _draw_frequencies(has.mean(0), self.classes)

    def _has(self, part: str) -> Tensor:
        """Return N x C zeros and ones: which sample has which class."""
        _, y = getattr(self, part)
        if self.task == "detection":
            numbers = torch.arange(len(self.classes))
            return torch.stack([(one["labels"][:, None] == numbers).any(0) for one in y]).float()
        multilabel = self.task == "multilabel"
        return (y if multilabel else one_hot(y.long().reshape(-1), len(self.classes))).float()

    def __repr__(self) -> str:
        (X, y), (Xv, _) = self.train, self.valid
        shape, kind = "×".join(map(str, self.input_shape)), str(X.dtype).removeprefix("torch.")
        sizes = f"{len(self.classes)} classes, {len(X):,} to train on, {len(Xv):,} to validate"
        lines = [
            f"{self.name}: {self.task}, {sizes}",
            f"  input    {shape} {kind}, {float(X.min()):.3g} to {float(X.max()):.3g}",
        ]
        if self.task == "multilabel":
            lines.append(f"  labels   {float(y.sum(1).mean()):.2g} per sample on average")
        if self.task == "detection":
            lines.append(f"  boxes    {sum(len(one['boxes']) for one in y) / len(y):.2g} per image on average")
        names = textwrap.wrap(", ".join(self.classes), 90)
        lines += [f"  classes  {names[0]}", *(" " * 11 + more for more in names[1:])]
        lines += textwrap.wrap(self.about, 100, initial_indent="  ", subsequent_indent="  ")
        return "\n".join(lines)


def _draw_images(
    images: np.ndarray, has: np.ndarray, classes: Sequence[str], boxes: Sequence[Tensor] = ()
) -> Figure:
    """Draw images with boxes and their classes' names (`has`, n x C)."""
    across = min(8, len(images))
    down = -(-len(images) // across)
    named = (", ".join(np.array(classes, dtype=object)[row]) or "none" for row in has)
    wrapped = [textwrap.fill(caption, 18) for caption in named]
    lines = max(caption.count("\n") + 1 for caption in wrapped)
    figure = new_figure(1.25 * across, (1.25 + 0.13 * lines) * down)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, image, caption in zip(axes, images, wrapped):
        picture = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.text(0.5, -0.04, caption, transform=axis.transAxes, ha="center", va="top", fontsize=7, color=INK)
    for axis, corners in zip(axes, boxes):
        # matplotlib has the middle of the first pixel at 0, its left edge at -0.5.
        for x1, y1, x2, y2 in (corners - 0.5).tolist():
            line = {"color": "white", "linewidth": 0.8, "scalex": False, "scaley": False}
            axis.plot((x1, x2, x2, x1, x1), (y1, y1, y2, y2, y1), **line)
    return figure


def _draw_frequencies(share: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draw the share of each class as labelled bars, in order."""
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
