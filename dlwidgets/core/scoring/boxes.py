"""Boxes of a picture: overlaps, their gradients, conversions, suppression."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: So many boxes are compared with one another at once, best first, when overlaps are suppressed.
_BLOCK = 512


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union of each box with each.

    a, b : n x 4 and m x 4, corners x1 y1 x2 y2, of any unit. Returns n x m from 0 to 1. A box without area (of no
    width, or with corners exchanged) overlaps with nothing: 0 and never NaN, also its gradients.
    """
    return paired_iou(a[:, None], b)


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of pairs of boxes, ... x 4, which broadcast."""
    return _overlap(_numbers(a), _numbers(b))[0]


def box_ciou(a: Tensor, b: Tensor) -> Tensor:
    """Return the complete IoU of pairs of boxes, which a loss maximises.

    IoU, less the distance of the centres in shares of the diagonal of what encloses both, less how far the shapes
    differ, as equation 9 to 11 of Zheng et al., "Distance-IoU loss", AAAI 2020; the trade-off between the latter two
    is a number, through which no gradient flows. So boxes that do not touch have a gradient too.

    a, b : corners, ... x 4, which broadcast. Returns `...`, from above -2 to 1; finite, with finite gradients, also for
    boxes without area.
    """
    a, b = _numbers(a), _numbers(b)
    iou, (size_a, size_b) = _overlap(a, b)
    enclosing = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    diagonal = enclosing.square().sum(-1)
    between = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]).square().sum(-1) / 4
    shape = (_angle(size_a) - _angle(size_b)).square() * (4 / math.pi**2)
    with torch.no_grad():
        weight = shape / (1 - iou + shape).clamp(min=torch.finfo(iou.dtype).eps)
    return iou - between / diagonal.masked_fill(diagonal <= 0, 1) - weight * shape


def suppress_overlaps(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float = 0.5) -> Tensor:
    """Return which boxes stay, best first: non-maximum suppression per class.

    Goes through the boxes from the best score down, and drops each that overlaps by more than `iou` with one that
    stays and has the same label. Of equal scores the earlier box comes first.

    boxes : n x 4 corners; scores : n; labels : n. Returns int64 positions in `boxes`.
    """
    order = torch.sort(scores, descending=True, stable=True).indices
    kept = order[:0]
    for block in order.split(_BLOCK):
        block = block[~_overlapping(boxes, labels, kept, block, iou).any(0)]
        over = _overlapping(boxes, labels, block, block, iou).triu(1)
        stays = torch.ones(len(block), dtype=torch.bool, device=boxes.device)
        # What stays depends only on better boxes, so that one more is settled for good by each turn, mostly all.
        while not torch.equal(settled := ~(over & stays[:, None]).any(0), stays):
            stays = settled
        kept = torch.cat([kept, block[stays]])
    return kept


def clip_boxes(boxes: Tensor, height: float, width: float) -> Tensor:
    """Return boxes (... x 4 corners) with what is outside cut off."""
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def convert_to_corners(boxes: Tensor) -> Tensor:
    """Turn boxes ... x 4 of centre, width, height into corners."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)


def convert_to_centres(boxes: Tensor) -> Tensor:
    """Turn corners ... x 4 into boxes of centre, width, height."""
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], dim=-1)


def _numbers(boxes: Tensor) -> Tensor:
    # Areas of pixels overflow in half precision, and whole numbers have no share.
    exact = boxes.dtype in (torch.float32, torch.float64)
    return boxes if exact else boxes.float()


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the IoU of boxes that broadcast, and the sizes of both."""
    sizes = tuple((boxes[..., 2:] - boxes[..., :2]).clamp(min=0) for boxes in (a, b))
    common = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    inside = common.clamp(min=0).prod(-1)
    union = sizes[0].prod(-1) + sizes[1].prod(-1) - inside
    return inside / union.masked_fill(union <= 0, 1), sizes  # type: ignore[return-value]


def _angle(size: Tensor) -> Tensor:
    width, height = size.unbind(-1)
    return torch.atan2(width, height.masked_fill((width <= 0) & (height <= 0), 1))


def _overlapping(boxes: Tensor, labels: Tensor, one: Tensor, other: Tensor, iou: float) -> Tensor:
    same = labels[one][:, None] == labels[other]
    return same & (box_iou(boxes[one], boxes[other]) > iou)
