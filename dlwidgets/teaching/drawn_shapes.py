"""`shapes()`: pictures of one to four drawn shapes, each with its box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core.base.words import did_you_mean
from .data import Data, check_integer

#: Half the side of a shape, in shares of the picture.
SMALLEST, LARGEST = 0.08, 0.2
#: The share of the smaller of two boxes that may lie in the other.
_HIDDEN = 0.3
#: So many places are tried for a shape, before it is left out.
_TRIES = 8
#: So many pictures at the beginning have nothing wrong.
_LOOKED_AT = 8

ABOUT = """Pictures of {size}×{size} pixels, drawn from seed {seed}: 1 to {most} shapes at random places, of any size,
colour and order, some hiding a part of another, on a shaded background with noise. Each has a box around all of it in
pixels, x1 y1 x2 y2, and a label, the number of its class. The two parts are independent draws. Part of dlwidgets, same
licence (BSD-3-Clause)."""


@dataclass(frozen=True, eq=False)
class Shapes:
    """The shapes on n pictures, n x k arrays, painted in order."""

    kind: np.ndarray  #: The number of the class; -1 where nothing is drawn.
    x: np.ndarray  #: The centre, in pixels from the left.
    y: np.ndarray
    half: np.ndarray  #: Half of width and height.


def shapes(
    n_train: int = 1000, n_valid: int = 200, size: int = 96,
    classes: Sequence[str] = ("circle", "square", "triangle"), seed: int = 0, *,
    most: int = 4, noise: float = 0.05, wrong: str | None = None,
) -> Data:  # fmt: skip
    """Draw pictures of shapes, with boxes, to learn detection on.

    Each has 1 to `most` of them. Made for `YoloV7Tiny`: nothing to download, and a detector of a quarter of its width
    needs a few minutes on a CPU.

    Parameters
    ----------
    n_train, n_valid : pictures in each part.
    size : height and width in pixels, 32 to 1024.
    classes : of "circle", "square", "triangle", "diamond", "cross" and "ring" those that are drawn.
    seed : the same seed gives the same pictures; the global random streams are neither read nor moved.
    most : shapes on one picture at most, 1 to 16.
    noise : standard deviation of the noise, where 1 is the range from black to white.
    wrong : what is wrong with the boxes of the training part, for lessons: "shares" (all are in shares of the picture,
        and not in pixels), "outside" (one in ten lies beside the picture), "no area" (one in ten is a line) or
        "class" (one in ten has a class that is not there).

    Returns
    -------
    Data : X of N x 3 x size x size, float32 in 0..1; targets a list of N dicts, "boxes" n x 4 float32 (x1 y1 x2 y2 in
        pixels) and "labels" n int64; task "detection".

    Raises
    ------
    TypeError, ValueError : an argument is out of its range.
    """
    n_train = check_integer("n_train", n_train, least=1)
    n_valid = check_integer("n_valid", n_valid, least=1)
    size = check_integer("size", size, least=32, most=1024)
    seed, most = check_integer("seed", seed, least=0), check_integer("most", most, least=1, most=16)
    if not 0 <= noise <= 1:
        raise ValueError(f"noise is {noise}; give a standard deviation between 0 and 1.")
    _check_names(classes, wrong)
    parts = []
    for stream, n in enumerate((n_train, n_valid)):
        random = np.random.default_rng([seed, stream])
        plan = plan_shapes(n, size, len(classes), most, random)
        X = paint_shapes(plan, size, classes, noise, random)
        parts.append((torch.from_numpy(X), list_targets(plan)))
    if wrong is not None:
        WRONG[wrong](parts[0][1], size, len(classes), np.random.default_rng([seed, 2]))
    about = " ".join(ABOUT.format(size=size, seed=seed, most=most).split())
    return Data("shapes", *parts, tuple(classes), "detection", about)


def _check_names(classes: Sequence[str], wrong: str | None) -> None:
    if isinstance(classes, str) or not len(classes):
        raise ValueError(f"classes is {classes!r}; give a list of names out of {', '.join(DISTANCE)}.")
    for name in classes:
        if name not in DISTANCE:
            known = ", ".join(DISTANCE)
            raise ValueError(f"There is no shape {name!r}: there are {known}.{did_you_mean(name, DISTANCE)}")
    if wrong is not None and wrong not in WRONG:
        raise ValueError(f"wrong is {wrong!r}; give one of {', '.join(WRONG)}.{did_you_mean(str(wrong), WRONG)}")


def plan_shapes(n: int, size: int, classes: int, most: int, random: np.random.Generator) -> Shapes:
    """Choose shapes for n pictures, of which none hides most of another."""
    wanted = random.integers(1, most + 1, n)
    kind = np.where(np.arange(most) < wanted[:, None], random.integers(0, classes, (n, most)), -1)
    half = size * random.uniform(SMALLEST, LARGEST, (n, most))
    # Within the picture, with a pixel around.
    tries = random.random((2, n, most, _TRIES)) * (size - 2 * half[..., None] - 2) + half[..., None] + 1
    x, y = tries[..., 0]
    for nth in range(1, most):
        at, side = tries[:, :, nth, None], half[:, nth, None, None]
        before = np.stack([x, y])[:, :, :nth, None]
        apart = side + half[:, :nth, None] - np.abs(at - before)
        common = np.minimum(apart, 2 * np.minimum(side, half[:, :nth, None])).clip(0).prod(0)
        hidden = common / (4 * np.minimum(side, half[:, :nth, None]) ** 2) * (kind[:, :nth, None] >= 0)
        free = (hidden <= _HIDDEN).all(1)
        first = free.argmax(1)
        x[:, nth], y[:, nth] = tries[:, np.arange(n), nth, first]
        kind[~free.any(1), nth] = -1
    return Shapes(kind, x, y, half)


def paint_shapes(
    plan: Shapes, size: int, classes: Sequence[str], noise: float, random: np.random.Generator
) -> np.ndarray:
    """Paint planned shapes: n x 3 x H x W in 0..1."""
    n, most = plan.kind.shape
    pictures = _paint_ground(n, size, random)
    colours = _draw_colours((n, most), random)
    centres = np.arange(size, dtype=np.float32) + 0.5
    for nth in range(most):
        for number, name in enumerate(classes):
            rows = np.flatnonzero(plan.kind[:, nth] == number)
            x, y, half = (one[rows, nth, None, None].astype(np.float32) for one in (plan.x, plan.y, plan.half))
            inside = DISTANCE[name](np.abs(centres - x), centres[:, None] - y, half)
            cover = (0.5 - inside).clip(0, 1)[:, None]  # edges half a pixel soft
            pictures[rows] += cover * (colours[rows, nth, :, None, None] - pictures[rows])
    pictures += noise * random.standard_normal(pictures.shape, dtype=np.float32)
    return pictures.clip(0, 1)


def list_targets(plan: Shapes) -> list[dict[str, Tensor]]:
    """Return one dict of boxes and labels for each picture."""
    corners = np.stack([plan.x - plan.half, plan.y - plan.half, plan.x + plan.half, plan.y + plan.half], -1)
    boxes, kinds = torch.from_numpy(corners.astype(np.float32)), torch.from_numpy(plan.kind)
    return [{"boxes": box[kind >= 0], "labels": kind[kind >= 0]} for box, kind in zip(boxes, kinds)]


def _paint_ground(n: int, size: int, random: np.random.Generator) -> np.ndarray:
    """Return n dark pictures, each shaded from corner to corner."""
    ends = random.uniform(0, 0.35, (4, n, 3, 1, 1)).astype(np.float32)
    way = np.linspace(0, 1, size, dtype=np.float32)
    left = ends[0] + (ends[1] - ends[0]) * way[:, None]
    right = ends[2] + (ends[3] - ends[2]) * way[:, None]
    return left + (right - left) * way


def _draw_colours(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Draw colours of any hue, each bright in a channel or two."""
    hue = random.random((*shape, 1), dtype=np.float32) + np.array([0, 1 / 3, 2 / 3], dtype=np.float32)
    return 0.6 + 0.4 * np.cos(2 * np.pi * hue)


# -- how far a point is from the edge of a shape, in pixels; inside it is below 0. `x` counts from the middle in either
#    direction, `y` down.


def _circle(x: np.ndarray, y: np.ndarray, half: np.ndarray) -> np.ndarray:
    return np.sqrt(x * x + y * y) - half


def _square(x: np.ndarray, y: np.ndarray, half: np.ndarray) -> np.ndarray:
    return np.maximum(x, np.abs(y)) - half


def _triangle(x: np.ndarray, y: np.ndarray, half: np.ndarray) -> np.ndarray:
    # The sides fall by 2 down for 1 across.
    return np.maximum(y - half, (2 * x - y - half) / np.float32(5**0.5))


def _diamond(x: np.ndarray, y: np.ndarray, half: np.ndarray) -> np.ndarray:
    return (x + np.abs(y) - half) / np.float32(2**0.5)


def _cross(x: np.ndarray, y: np.ndarray, half: np.ndarray) -> np.ndarray:
    y = np.abs(y)
    return np.maximum(np.maximum(x, y) - half, np.minimum(x, y) - 0.35 * half)


def _ring(x: np.ndarray, y: np.ndarray, half: np.ndarray) -> np.ndarray:
    return np.abs(np.sqrt(x * x + y * y) - 0.75 * half) - 0.25 * half


DISTANCE: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": _circle, "square": _square, "triangle": _triangle, "diamond": _diamond, "cross": _cross, "ring": _ring,
}  # fmt: skip


# -- what is wrong, for lessons


def _spoil_some(
    change: Callable[[dict[str, Tensor], int, int, int], None],
) -> Callable[[list[dict[str, Tensor]], int, int, np.random.Generator], None]:
    """Return what changes one box in ten, but not the first.

    The first pictures are right, as those that one looks at are; one of the last picture is wrong in any case.
    """

    def spoil(targets: list[dict[str, Tensor]], size: int, classes: int, random: np.random.Generator) -> None:
        for number, target in enumerate(targets):
            for nth in range(len(target["labels"])):
                drawn = random.random() < 0.1 and number >= _LOOKED_AT
                if drawn or (number == len(targets) - 1 and nth == 0):
                    change(target, nth, size, classes)

    return spoil


def _write_shares(targets: list[dict[str, Tensor]], size: int, classes: int, random: np.random.Generator) -> None:
    for target in targets:
        target["boxes"] /= size


def _move_outside(target: dict[str, Tensor], nth: int, size: int, classes: int) -> None:
    target["boxes"][nth, 0::2] += size


def _flatten_box(target: dict[str, Tensor], nth: int, size: int, classes: int) -> None:
    target["boxes"][nth, 2] = target["boxes"][nth, 0]


def _leave_classes(target: dict[str, Tensor], nth: int, size: int, classes: int) -> None:
    target["labels"][nth] = classes


#: name -> what spoils targets in place.
WRONG: dict[str, Callable[[list[dict[str, Tensor]], int, int, np.random.Generator], None]] = {
    "shares": _write_shares, "outside": _spoil_some(_move_outside), "no area": _spoil_some(_flatten_box),
    "class": _spoil_some(_leave_classes),
}  # fmt: skip
