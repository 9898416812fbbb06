"""The loss of YOLOv7: who answers for which box, and how well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.scoring.boxes import box_ciou, convert_to_centres, convert_to_corners, paired_iou

#: iou_normalizer, obj_normalizer and cls_normalizer of darknet's yolov7-tiny.cfg.
WEIGHTS = {"box": 0.05, "objectness": 1.0, "class": 0.5}
#: The objectness of fine maps weighs more: they have four times the places, and most are empty.
_BALANCE = (4.0, 1.0, 0.4)
#: A box and an anchor fit where neither side is more than so many times the other.
_RATIO = 4.0
#: The weight of the overlap beside the class in the cost, and how many overlaps make the number of places:
#: lambda and the top 10 of Ge et al. 2021, "YOLOX", section 2.2.
_LAMBDA, _TOP = 3.0, 10


class Grid:
    """The places of predictions, those of all strides in one row.

    A place is an anchor in a cell of the map of a stride; anchors first, then rows, then columns, as `maps` are when
    they are flattened. `cells` P x 2 (column, row), `anchors` P x 2 in pixels, `strides` P x 1, `levels` P.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]], anchors: Tensor, strides: Sequence[int]) -> None:
        anchors = anchors.float()  # half precision does not hold the places of a large map
        self.shapes, self.by_level, self.device = shapes, anchors, anchors.device
        self.extent = (shapes[0][0] * strides[0], shapes[0][1] * strides[0])
        self.stride = anchors.new_tensor(strides)
        each, cells, sides, levels = anchors.shape[1], [], [], []
        for level, (rows, columns) in enumerate(shapes):
            y, x = (torch.arange(count, device=self.device, dtype=anchors.dtype) for count in (rows, columns))
            cell = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
            cells.append(cell.expand(each, -1, -1, -1).reshape(-1, 2))
            sides.append(anchors[level, :, None, None].expand(-1, rows, columns, -1).reshape(-1, 2))
            levels.append(torch.full((each * rows * columns,), level, device=self.device))
        self.counts = [len(one) for one in cells]
        self.cells, self.anchors, self.levels = torch.cat(cells), torch.cat(sides), torch.cat(levels)
        self.strides = self.stride[self.levels, None]

    def decode(self, values: Tensor, places: Tensor) -> Tensor:
        """Return corners in pixels of raw predictions at places.

        values : ... x (4 or more). A centre lies within half a cell around its cell, a side between 0 and 4 times its
        anchor (Wang, Bochkovskiy and Liao 2021, "Scaled-YOLOv4"; scale_x_y=2 and new_coords=1 in darknet).
        """
        shares = 2 * values[..., :4].sigmoid()
        centres = (shares[..., :2] - 0.5 + self.cells[places]) * self.strides[places]
        return convert_to_corners(torch.cat([centres, shares[..., 2:].square() * self.anchors[places]], -1))

    def candidates(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places that might answer for each box.

        They are T x 27, of which not all are real: T x 27 booleans say so. At each stride those anchors whose width and
        height differ from the box's by less than a factor of 4, in the cell of its centre and the nearer neighbour at
        either axis (YOLOv7, section 5.1, as of YOLOv5).
        """
        box = convert_to_centres(boxes)
        ratio = box[:, None, None, 2:] / self.by_level
        fits = torch.maximum(ratio, 1 / ratio).amax(-1) < _RATIO  # T x levels x anchors
        size = torch.tensor([(columns, rows) for rows, columns in self.shapes], device=self.device)
        exact = box[:, None, :2] / self.stride[:, None]
        cell = torch.minimum(exact.floor().long(), size - 1)
        side = torch.where(exact - cell < 0.5, -1, 1)
        step = torch.tensor([[0, 0], [1, 0], [0, 1]], device=self.device)
        cell = cell[:, :, None] + step * side[:, :, None]  # T x levels x 3 cells x 2
        inside = ((cell >= 0) & (cell < size[:, None])).all(-1)
        cell = torch.minimum(cell.clamp(min=0), size[:, None] - 1)
        first = torch.tensor([sum(self.counts[:level]) for level in range(len(self.counts))], device=self.device)
        flat = first[:, None] + cell[..., 1] * size[:, None, 0] + cell[..., 0]
        ahead = size.prod(1)[:, None, None] * torch.arange(self.by_level.shape[1], device=self.device)[:, None]
        places = flat[:, :, None] + ahead
        return places.flatten(1), (fits[..., None] & inside[:, :, None]).flatten(1)


@dataclass(frozen=True)
class YoloLoss:
    """How far predictions are from the boxes, in three parts.

    Each part is multiplied by its entry of `WEIGHTS`.

    box : 1 - complete IoU, its mean over the places that answer for a box, summed over the strides.
    objectness : binary cross-entropy at all places; the target is the complete IoU of what a place predicts where it
        answers for a box, else 0. The mean over the places of a stride weighs 4, 1 and 0.4. It may
        rise while boxes begin to fit, since its target does.
    class : binary cross-entropy of each class at the places that answer, its mean.

    Others scale objectness by the share that an image has of 640 x 640 pixels, and class by the share that the classes
    have of 80. Here they weigh what they do there, whatever the image and the classes: with so little weight both were
    learned too late (`shapes()`, 400 steps at a quarter of the width: AP at IoU 0.5 of 0.74 in place of 0.99).

    Who answers: of the candidates of a box (`Grid.candidates`) as many as the sum of their ten best IoUs says, those
    of the lowest cost, class and -3 log IoU; a place that two boxes want goes to the one of lower cost. That is SimOTA
    (Ge et al. 2021, "YOLOX", section 2.2), by which YOLOv7 refines its candidates; a box chooses among its own.
    """

    grid: Grid

    def __call__(self, values: Tensor, boxes: Tensor, labels: Tensor, image: Tensor) -> dict[str, Tensor]:
        """Return the weighted losses of raw predictions.

        values N x places x (5 + classes), boxes T x 4 in pixels, labels T, image T: which of the N each box belongs to.
        """
        box, place = self.assign(values.detach(), boxes, labels, image)
        chosen = values[image[box], place]
        level = F.one_hot(self.grid.levels[place], len(_BALANCE)).to(values)
        share = (level / level.sum(0).clamp(min=1)).sum(1)  # so that a sum is a mean at each stride
        iou = box_ciou(self.grid.decode(chosen, place), boxes[box])
        wanted = values.new_zeros(values.shape[:2])
        wanted[image[box], place] = iou.detach().clamp(min=0)
        truth = F.one_hot(labels[box], values.shape[2] - 5).to(values)
        said = F.binary_cross_entropy_with_logits(chosen[:, 5:], truth, reduction="none")
        objects = F.binary_cross_entropy_with_logits(values[..., 4], wanted, reduction="none").mean(0)
        parts = zip(objects.split(self.grid.counts), _BALANCE)
        return {
            "box": WEIGHTS["box"] * ((1 - iou) * share).sum(),
            "objectness": WEIGHTS["objectness"] * sum(one.mean() * weight for one, weight in parts),
            "class": WEIGHTS["class"] * (said.mean(1) * share).sum(),
        }

    def assign(self, values: Tensor, boxes: Tensor, labels: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return which box is answered for where; no place twice."""
        places, real = self.grid.candidates(boxes)
        chosen = values[image[:, None], places]
        iou = paired_iou(self.grid.decode(chosen, places), boxes[:, None]) * real
        # Of what is no number the loss below is none either; this one would raise an error.
        likely = (chosen[..., 5:].sigmoid() * chosen[..., 4:5].sigmoid()).sqrt().nan_to_num()
        truth = F.one_hot(labels, values.shape[2] - 5)[:, None].expand_as(likely).to(likely)
        cost = F.binary_cross_entropy(likely, truth, reduction="none").sum(-1) - _LAMBDA * (iou + 1e-8).log()
        cost = cost.masked_fill(~real, torch.inf)
        number = iou.topk(_TOP).values.sum(1).int().clamp(min=1)
        rank = cost.argsort(dim=1, stable=True).argsort(dim=1)
        box, slot = torch.nonzero((rank < number[:, None]) & real, as_tuple=True)
        place, cost = places[box, slot], cost[box, slot]
        key = image[box] * values.shape[1] + place
        order = cost.argsort(stable=True)
        order = order[key[order].argsort(stable=True)]
        first = torch.ones_like(order, dtype=torch.bool)
        first[1:] = key[order[1:]] != key[order[:-1]]
        return box[order[first]], place[order[first]]


def check_targets(
    targets: Sequence[Mapping[str, Any]], images: int, classes: int, extent: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the boxes, labels and image numbers of a batch's targets.

    Raises
    ------
    ValueError, TypeError : what is wrong with the first target that does not do, in a sentence.
    """
    if isinstance(targets, Mapping) or len(targets) != images:
        count = "one dict" if isinstance(targets, Mapping) else f"{len(targets)} targets"
        raise ValueError(f"There are {count} for {images} images; give a list of one dict for each image.")
    for nth, target in enumerate(targets):
        if not isinstance(target, Mapping) or not {"boxes", "labels"} <= set(target):
            raise TypeError(f"Target {nth} of the batch is no dict with boxes and labels; give both for each image.")
        boxes, labels = target["boxes"], target["labels"]
        if boxes.ndim != 2 or boxes.shape[1] != 4 or labels.shape != boxes.shape[:1]:
            raise ValueError(
                f"Target {nth} of the batch has boxes of shape {tuple(boxes.shape)} and labels of "
                f"{tuple(labels.shape)}; give n x 4 and n, and 0 x 4 and 0 where there is no box."
            )
    counts = torch.tensor([len(target["labels"]) for target in targets])
    boxes = torch.cat([target["boxes"] for target in targets]).float()
    labels = torch.cat([target["labels"] for target in targets])
    image = torch.arange(images).repeat_interleave(counts).to(boxes.device)
    _check_labels(labels, classes)
    _check_boxes(boxes, image, extent)
    return boxes, labels.long(), image


def _check_labels(labels: Tensor, classes: int) -> None:
    if labels.numel() and (labels.is_floating_point() or labels.dtype == torch.bool):
        raise TypeError(f"labels are {labels.dtype}; give whole numbers, the classes of the boxes.")
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        raise ValueError(
            f"A box has label {int(labels[wrong][0])}, but there are {classes} classes, 0 to {classes - 1} without one "
            "for the background: make the model for more classes, or count the labels from 0."
        )


def _check_boxes(boxes: Tensor, image: Tensor, extent: tuple[int, int]) -> None:
    """Raise a sentence about the first box that could not be learned."""
    if not len(boxes):
        return
    height, width = extent
    size, centre = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
    limits = boxes.new_tensor([width, height])
    shares = (boxes >= 0).all() & (boxes <= 1).all()
    faults = {
        "is not finite: look for a division by zero where boxes are made": ~boxes.isfinite().all(1),
        "lies within 1 pixel, as all of the batch: boxes are in shares of the image; multiply them by its width and "
        "height": shares.expand(len(boxes)),
        "has no area: give x1 < x2 and y1 < y2 (corners, not a corner and a size), or leave it out":
            (size <= 0).any(1),
        f"has its centre outside of the image of {width} x {height} pixels: are x and y exchanged, or was the image "
        "made smaller and its boxes were not?": ((centre < 0) | (centre > limits)).any(1),
    }  # fmt: skip
    for said, wrong in faults.items():
        if wrong.any():
            nth = int(wrong.nonzero()[0])
            box = ", ".join(f"{value:.4g}" for value in boxes[nth].tolist())
            raise ValueError(f"Box [{box}] of image {int(image[nth])} of the batch {said}.")
