"""Images with boxes, in the convention of torchvision's detectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from ..base.trees import tree_map
from ..base.words import pluralize

#: In memory so many targets are looked through at most.
_MOST = 20_000


def is_target(value: Any) -> bool:
    """Say whether this is the target of an image, with boxes."""
    return isinstance(value, Mapping) and "boxes" in value


def is_target_list(value: Any) -> bool:
    """Say whether this is a list of the targets of images."""
    return isinstance(value, (list, tuple)) and len(value) > 0 and any(map(is_target, value))


def holds_targets(batch: Any) -> bool:
    """Say whether a batch has lists of such targets."""
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (tuple, list)) else ()
    return any(map(is_target_list, parts))


def is_sample(item: Any) -> bool:
    """Say whether this is one image with its target."""
    pair = isinstance(item, (tuple, list)) and len(item) == 2 and is_target(item[1])
    return pair and not isinstance(item[0], (list, tuple, Mapping))


def collate_detection(samples: list) -> tuple:
    """Return images, stacked where of one size, and a list of targets."""
    images = [torch.as_tensor(image) for image, _ in samples]
    if len({image.shape for image in images}) == 1:
        images = torch.stack(images)
    targets = []
    for _, target in samples:
        target = dict(target)
        target["boxes"] = torch.as_tensor(target["boxes"], dtype=torch.float32)
        if "labels" in target:
            target["labels"] = torch.as_tensor(target["labels"], dtype=torch.int64)
        targets.append(target)
    return images, targets


class UnequalSamples(ValueError):
    """Samples differ in shape, and so cannot be stacked."""


def collate(samples: list[Any]) -> Any:
    """Make a batch of samples, those with boxes as detectors take them.

    Raises TypeError: an image is no tensor. UnequalSamples: they cannot be stacked.
    """
    if not is_sample(samples[0]):
        try:
            return default_collate(samples)
        except RuntimeError as error:
            if "equal size" not in str(error):
                raise
            raise UnequalSamples(
                "samples of different shapes make no batch: pass a DataLoader with a collate_fn= that pads, packs or "
                "lists them, as torch.nn.utils.rnn.pad_sequence(items, batch_first=True) does."
            ) from error
    strange = next((image for image, _ in samples if not isinstance(image, (torch.Tensor, np.ndarray))), None)
    if strange is not None:
        raise TypeError(
            f"an image is of type {type(strange).__name__}: have the Dataset return tensors, channels x height x width."
        )
    return collate_detection(samples)


def join_images(images: Any) -> Any:
    """Return a list of images as one batch, or as one argument.

    Images of one size are stacked; others are a tuple that holds the list, which a model is given as it is.
    """
    if not isinstance(images, (list, tuple)) or not all(isinstance(one, torch.Tensor) for one in images):
        return images
    return torch.stack(list(images)) if len({one.shape for one in images}) == 1 else (list(images),)


class DetectionSamples(Dataset):
    """Images in memory, each with a dict of its boxes and labels.

    Parameters
    ----------
    images : N x C x H x W, or a list of C x H x W.
    targets : a dict for each image, with "boxes", n x 4: x1 y1 x2 y2 in pixels, and "labels", n.
    """

    def __init__(self, images: Any, targets: Sequence[Mapping[str, Any]], dtype: torch.dtype | None = None) -> None:
        self.images, self.targets, self.dtype = images, targets, dtype

    @classmethod
    def read(cls, images: Any, targets: Sequence[Any], name: str) -> DetectionSamples:
        """Read images and targets; ValueError says what does not fit."""
        if len(images) != len(targets):
            raise ValueError(
                f"{name} has {pluralize(len(images), 'image')} but {pluralize(len(targets), 'target')}: one dict of "
                "boxes and labels for each image is wanted."
            )
        made = cls(images, targets)
        for number in range(min(len(made), _MOST)):
            check_sample(made[number], f"Sample {number} of {name}")
        return made

    @classmethod
    def from_pairs(cls, pairs: Iterable[Any], name: str) -> DetectionSamples:
        """Read a list of (image, target)."""
        pairs = list(pairs)
        return cls.read([image for image, _ in pairs], [target for _, target in pairs], name)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Mapping[str, Any]]:
        image = torch.as_tensor(self.images[index])
        return (image.to(self.dtype) if self.dtype and image.is_floating_point() else image), self.targets[index]

    def cast(self, dtype: torch.dtype) -> DetectionSamples:
        """Return the same with the images' real numbers in that dtype."""
        return DetectionSamples(self.images, self.targets, dtype)


def check_sample(sample: Any, what: str, classes: Sequence[str] | None = None) -> None:
    """Raise ValueError where an image or its target is none.

    `what` names the sample; the labels are numbers of `classes`.
    """
    image, target = sample
    shape = tuple(getattr(image, "shape", ()))
    if len(shape) != 3:
        given = f"has shape {shape}" if shape else f"is of type {type(image).__name__}"
        raise ValueError(f"{what}: the image {given}; a tensor of 3 axes is wanted, channels x height x width.")
    if shape[-1] in (1, 3) and shape[0] not in (1, 3, 4):
        raise ValueError(
            f"{what}: the image has shape {shape}, with the channels last: pass image.permute(2, 0, 1), channels first."
        )
    missing = [key for key in ("boxes", "labels") if not isinstance(target, Mapping) or key not in target]
    if missing:
        has = f", which has {', '.join(map(repr, target))}" if isinstance(target, Mapping) else ""
        raise ValueError(
            f'{what}: the target lacks {missing[0]!r}{has}: a dict with "boxes", n x 4, and "labels", n, is wanted.'
        )
    boxes, labels = torch.as_tensor(target["boxes"]), torch.as_tensor(target["labels"])
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        empty = " An image without any has torch.zeros(0, 4)." if not boxes.numel() else ""
        raise ValueError(
            f"{what}: boxes has shape {tuple(boxes.shape)}; n x 4 is wanted, x1 y1 x2 y2 in pixels for each.{empty}"
        )
    if labels.shape != boxes.shape[:1]:
        raise ValueError(
            f"{what}: {pluralize(len(boxes), 'box')} and labels of shape {tuple(labels.shape)}: one label "
            "for each box is wanted."
        )
    if labels.numel() and labels.is_floating_point() and bool((labels != labels.floor()).any()):
        raise ValueError(f"{what}: labels are not whole numbers: each is the number of a class.")
    check_labels(labels, what, classes)


def check_labels(labels: torch.Tensor, what: str, classes: Sequence[str] | None) -> None:
    """Raise ValueError where a label is the number of no class."""
    if not labels.numel():
        return
    low, high, count = int(labels.min()), int(labels.max()), len(classes or ())
    if low < 0 or (classes and high >= count):
        one = low if low < 0 else high
        wanted = f"from 0 to {count - 1}, the numbers of classes=" if classes else "0 or more"
        hint = ""
        if classes and low >= 1 and high == count:
            hint = ' Where 0 is the background, as in torchvision\'s detectors, classes= begins with "background".'
        raise ValueError(f"{what}: the label {one} is the number of no class: labels are {wanted}.{hint}")


def check_batch(images: Any, targets: Any, name: str, classes: Sequence[str] | None = None) -> None:
    """Raise ValueError where a batch is none of images with boxes."""
    if isinstance(images, torch.Tensor) and images.ndim != 4:
        raise ValueError(
            f"{name} has images of shape {tuple(images.shape)} a batch: N x channels x height x width is wanted."
        )
    if not isinstance(targets, (list, tuple)):
        raise ValueError(
            f"{name} has targets of type {type(targets).__name__}: a list with a dict of boxes and labels for each "
            "image is wanted."
        )
    if len(images) != len(targets):
        raise ValueError(f"{name}: a batch has {len(images)} images and {pluralize(len(targets), 'target')}.")
    for number, sample in enumerate(zip(images, targets)):
        check_sample(sample, f"Sample {number} of {name}", classes)


def holds_detections(output: Any) -> bool:
    """Say whether an output is detections: dicts of boxes and scores."""
    return isinstance(output, (list, tuple)) and all(
        isinstance(one, Mapping) and {"boxes", "scores", "labels"} <= one.keys() for one in output
    )


def on_cpu(output: Any) -> list[dict[str, torch.Tensor]]:
    """Return detections on the CPU, as a list of dicts."""
    return [dict(tree_map(lambda tensor: tensor.detach().cpu(), one)) for one in output]
