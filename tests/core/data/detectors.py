"""A detector in torchvision's convention, small enough for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class ToyDetector(nn.Module):
    """Says for each cell of a grid whether a box is centred there, which, and of what class."""

    def __init__(self, classes: int = 3, cells: int = 4) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(cells)
        )
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Conv2d(8, 5 + classes, 1)
        self.cells = cells

    def forward(self, images: Any, targets: Any = None) -> Any:
        stacked = [images] if isinstance(images, torch.Tensor) else [image[None] for image in images]
        maps = torch.cat([self.head(self.dropout(self.backbone(image))) for image in stacked])
        maps = maps.flatten(2).transpose(1, 2)  # image x cell x values
        if self.training:
            if targets is None:
                raise ValueError("In training mode, targets should be passed")
            return self.losses(images, maps, targets)
        return [self.detections(image, one) for image, one in zip(images, maps)]

    def losses(self, images: Any, maps: torch.Tensor, targets: Any) -> dict[str, torch.Tensor]:
        there, boxes, kinds = torch.zeros(maps.shape[:2]), [], []
        for number, (image, target) in enumerate(zip(images, targets)):
            size = torch.tensor([image.shape[2], image.shape[1]]).repeat(2)
            for box, label in zip(target["boxes"] / size, target["labels"]):
                x, y = ((box[:2] + box[2:]) / 2 * self.cells).long().clamp(0, self.cells - 1).tolist()
                cell = maps[number, y * self.cells + x]
                there[number, y * self.cells + x] = 1
                boxes.append(F.l1_loss(cell[1:5].sigmoid(), box))
                kinds.append(F.cross_entropy(cell[5:][None], label[None]))
        return {
            "loss_box": torch.stack([*boxes, maps.sum() * 0]).sum() / max(1, len(boxes)),
            "loss_objectness": F.binary_cross_entropy_with_logits(maps[..., 0], there),
            "loss_class": torch.stack([*kinds, maps.sum() * 0]).sum() / max(1, len(kinds)),
        }

    def detections(self, image: torch.Tensor, cells: torch.Tensor) -> dict[str, torch.Tensor]:
        size = torch.tensor([image.shape[2], image.shape[1]]).repeat(2)
        scores, labels = (cells[:, :1].sigmoid() * cells[:, 5:].softmax(1)).max(1)
        kept = scores.argsort(descending=True)[:5]
        return {"boxes": cells[kept, 1:5].sigmoid() * size, "scores": scores[kept], "labels": labels[kept]}


def pictures(count: int = 12, sizes: tuple[int, ...] = (16,), seed: int = 0) -> tuple[list[torch.Tensor], list[Any]]:
    """Return noise with bright rectangles, and where these are: 0 to 2 in each."""
    drawn = torch.Generator().manual_seed(seed)
    images, targets = [], []
    for number in range(count):
        size = sizes[number % len(sizes)]
        image, boxes, labels = torch.rand(3, size, size, generator=drawn) * 0.2, [], []
        for _ in range(number % 3):
            x, y = torch.randint(0, size - 6, (2,), generator=drawn).tolist()
            label = int(torch.randint(0, 3, (1,), generator=drawn))
            image[label, y : y + 5, x : x + 6] += 0.8
            boxes.append([x, y, x + 6, y + 5])
            labels.append(label)
        boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        targets.append({"boxes": boxes, "labels": torch.tensor(labels, dtype=torch.int64)})
        images.append(image)
    return images, targets


class RectangleFinder(nn.Module):
    """Finds what is bright in a picture, and learns in a few steps how large a box is to be around it."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 4, 3, padding=1)
        self.size = nn.Parameter(torch.tensor(0.5))

    def forward(self, images: torch.Tensor, targets: Any = None) -> Any:
        maps, found = self.look(images), [self.find(image) for image in images]
        if not self.training:
            return found
        off = [(one["boxes"][:1] - target["boxes"][:1]).abs().mean() for one, target in zip(found, targets)]
        return {"loss_box": torch.stack(off).mean() / 10, "loss_maps": 1e-3 * maps.square().mean()}

    def find(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        rows, columns = (image.amax(0) > 0.5).nonzero().T
        corners = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
        middle = (corners[:2] + corners[2:]).repeat(2) / 2
        box = middle + (corners - middle) * self.size
        label = image.flatten(1).mean(1).argmax()
        score = 0.5 + 0.4 * image[0, 0, 0]  # some number of the picture
        return {"boxes": box[None], "labels": label[None], "scores": score[None]}


def rectangles(count: int = 16, seed: int = 0) -> tuple[torch.Tensor, list[Any]]:
    """Return pictures of 32 x 32 with a bright rectangle, in every fourth two, and where these are."""
    drawn = torch.Generator().manual_seed(seed)
    images, targets = torch.rand(count, 3, 32, 32, generator=drawn) * 0.2, []
    for number, image in enumerate(images):
        label, boxes = number % 3, []
        for at in range(1 + (number % 4 == 3)):
            x, y = torch.randint(1, 8, (2,), generator=drawn).tolist()
            x, y = x + 14 * at, y + 14 * at
            image[label, y : y + 8, x : x + 10] += 0.8
            boxes.append([x, y, x + 10, y + 8])
        labels = torch.full((len(boxes),), label)
        targets.append({"boxes": torch.tensor(boxes, dtype=torch.float32), "labels": labels})
    return images, targets
