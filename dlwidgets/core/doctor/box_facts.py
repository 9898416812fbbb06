"""BoxFacts: what the boxes of a detection batch hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..base.trees import tree_tensors

#: Keys under which boxes stand in a target.
_KEYS = ("boxes", "bboxes", "bbox")
#: How far beyond the image a box may reach: a share of its side, from rounding.
_SLACK = 0.01


@dataclass(frozen=True)
class BoxFacts:
    """What the boxes of a batch, or of all samples, hold.

    Attributes
    ----------
    count : how many there are.
    form : "rows" (class, x, y, width, height), as YOLO has them, which are shares of the image; "corners" (x1, y1, x2,
        y2) in pixels, as a detector takes them; "" where nobody said.
    high : the largest coordinate.
    outside, empty : how many reach beyond the image; have no area.
    image : (height, width) of the first image; None where it is not known.
    unnumbered, label : how many have a label that is the number of no class, and the first of these labels.
    classes : how many there are; None where nobody said.
    first : what is wrong ("outside", "empty", "unnumbered") -> the number of the first image with such a box.
    """

    count: int
    form: str
    high: float
    outside: int
    empty: int
    image: tuple[int, int] | None = None
    unnumbered: int = 0
    label: int = 0
    classes: int | None = None
    first: Mapping[str, int] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The unit that is wrong; "" where it is right."""
        if self.form == "rows":
            return "pixels" if self.high > 1.5 else ""
        return "shares" if self.form == "corners" and self.high <= 1 and max(self.image or (1,)) > 1 else ""


def find_boxes(batch: Any, inputs: Any) -> BoxFacts | None:
    """Find boxes in a batch of images; None where there are none.

    Known are n x 4 under "boxes", corners (x1, y1, x2, y2) or a corner and size, in pixels or in shares of the
    image; and rows of 5, or of 6 that begin with the image's number, with a class and centre and size.
    """
    image = next((tuple(t.shape[-2:]) for t in tree_tensors(inputs) if t.ndim in (3, 4)), None)
    if batch is None or image is None:
        return None
    named = [one.detach().float() for one in _named(batch) if one.ndim == 2 and one.shape[1] == 4 and len(one)]
    if named:
        return _of_corners(torch.cat(named), image)
    given = {id(one) for one in tree_tensors(inputs)}
    rows = [found for one in tree_tensors(batch) if id(one) not in given and (found := _rows(one)) is not None]
    return _of_centres(torch.cat(rows), image) if rows else None


def measure_targets_of_detector(
    images: Any, targets: Sequence[Mapping[str, Any]], classes: int | None
) -> BoxFacts | None:
    """Measure boxes that a detector is given; None where there are none.

    `images` are N x C x H x W or a list of C x H x W; `targets` a dict for each, with "boxes", n x 4 corners in pixels,
    and "labels", n numbers of `classes`.
    """
    if not len(targets):
        return None
    boxes = [torch.as_tensor(one["boxes"]).detach().float().cpu() for one in targets]
    counts = torch.tensor([len(one) for one in boxes])
    if not int(counts.sum()):
        return None
    sizes = torch.tensor([tuple(image.shape[-2:]) for image in images])
    which = torch.arange(len(boxes)).repeat_interleave(counts)
    corners, labels = torch.cat(boxes), torch.cat([torch.as_tensor(one["labels"]).cpu() for one in targets])
    limit = sizes[which].flip(1)
    first, last = corners[:, :2], corners[:, 2:]
    wrong = {
        "outside": ((first < -_SLACK * limit) | (last > (1 + _SLACK) * limit)).any(1),
        "empty": ~(last > first).all(1),
        "unnumbered": (labels < 0) | (labels >= (classes or torch.inf)),
    }
    seen = {name: int(which[some.nonzero()[0, 0]]) for name, some in wrong.items() if some.any()}
    strange = labels[wrong["unnumbered"]].tolist()
    return BoxFacts(
        len(corners), "corners", float(corners.max()), int(wrong["outside"].sum()), int(wrong["empty"].sum()),
        tuple(sizes[0].tolist()), len(strange), *map(int, strange[:1] or [0]), classes, seen,
    )  # fmt: skip


def _named(tree: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors that stand under a key for boxes."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if key in _KEYS and isinstance(value, torch.Tensor):
                yield value
            else:
                yield from _named(value)
    elif isinstance(tree, (tuple, list)):
        for value in tree:
            yield from _named(value)


def _rows(tensor: torch.Tensor) -> torch.Tensor | None:
    """Return the boxes of rows with a class, unpadded, or None."""
    if not tensor.is_floating_point() or tensor.ndim not in (2, 3) or tensor.shape[-1] not in (5, 6):
        return None
    rows = tensor.detach().float().reshape(-1, tensor.shape[-1])
    rows = rows[(rows[:, -4:] > 0).any(1)]
    classes = rows[:, :-4]
    if not len(rows) or not bool(((classes >= 0) & (classes == classes.floor())).all()):
        return None
    return rows[:, -4:]


def _of_centres(boxes: torch.Tensor, image: tuple[int, ...]) -> BoxFacts:
    high = float(boxes.max())
    centre, size = boxes[:, :2], boxes[:, 2:]
    limit = torch.tensor([image[1], image[0]]) if high > 1.5 else torch.ones(2)
    limit = limit.to(boxes)
    beyond = (centre - size / 2 < -_SLACK * limit) | (centre + size / 2 > (1 + _SLACK) * limit)
    return BoxFacts(
        len(boxes), "rows", high, int(beyond.any(1).sum()), int((size <= 0).any(1).sum()), (image[0], image[1])
    )


def _of_corners(boxes: torch.Tensor, image: tuple[int, ...]) -> BoxFacts:
    high = float(boxes.max())
    first, last = boxes[:, :2], boxes[:, 2:]
    turned = (last <= first).any(1)
    sizes = high <= 1 or float(turned.float().mean()) > 0.5  # or shares, whose form does not show
    empty = (last <= 0).any(1) if sizes else turned
    limit = torch.ones(2) if high <= 1 else torch.tensor([image[1], image[0]])
    limit = limit.to(boxes)
    end = first + last if sizes and high > 1 else last
    beyond = (first < -_SLACK * limit) | (end > (1 + _SLACK) * limit)
    return BoxFacts(len(boxes), "", high, int(beyond.any(1).sum()), int(empty.sum()), (image[0], image[1]))
