"""YOLOv7-tiny: a detector with a backbone, a head, and its own loss."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.scoring.boxes import clip_boxes, suppress_overlaps
from .data import check_integer
from .models import count_classes
from .yolo_loss import Grid, YoloLoss, check_targets

#: Width and height in pixels of three boxes for each stride, found on COCO, as in darknet's yolov7-tiny.cfg.
ANCHORS = (((10, 13), (16, 30), (33, 23)), ((30, 61), (62, 45), (59, 119)), ((116, 90), (156, 198), (373, 326)))
STRIDES = (8, 16, 32)
#: Of these boxes, the best of an image, overlaps are suppressed; and so many are returned at most, as for COCO.
_CANDIDATES, _MOST = 1000, 300
#: What pads an image: grey, as in darknet.
_GREY = 0.5


class YoloV7Tiny(nn.Module):
    """YOLOv7-tiny, a detector (Wang, Bochkovskiy and Liao 2022, arXiv 2207.02696).

    Written from the paper and from darknet's public-domain yolov7-tiny.cfg. 6,228,762 parameters for 80 classes, of
    which 2,464,416 are in `backbone`; the rest is `head`. It is called as torchvision's detectors are::

        losses = model.train()(images, targets)      # {"box": ..., "objectness": ..., "class": ...}
        sum(losses.values()).backward()
        found = model.eval()(images)                 # [{"boxes": ..., "labels": ..., "scores": ...}, ...]

    or, step by step, ``maps = model.maps(images)``, ``model.loss(maps, targets)``, ``model.decode(maps)``.

    Parameters
    ----------
    classes : the number of classes, or their names; labels are 0 to classes - 1, and there is no background class.
    width : what the channels of all layers are multiplied by. At 0.25 (383,544 parameters for 3 classes) `shapes()` is
        learned in half a minute on a CPU, to an AP of 0.93 to 0.96 at IoU 0.5 (at 1.0: 0.98, in two): 250 batches of
        16, AdamW at a rate that rises to 0.01 (at 1.0: 0.005) in the first fifth and falls to 0 by a cosine.
    anchors : three (width, height) in pixels for each stride (8, 16, 32).
    channels : 1 for grey, 3 for colour images.
    confidence : what a score must reach for a box to be returned; ranking and curves need the low ones too.
    iou : a box that overlaps more with a better one of its class is suppressed.

    Images are floats N x channels x H x W of any size, or a list of such images of different sizes; they are padded to
    multiples of 32 at the right and at the bottom, so boxes keep their pixels. Targets are one dict for each image:
    "boxes" n x 4 (x1 y1 x2 y2 in pixels) and "labels" n int64; n may be 0.
    """

    def __init__(
        self, classes: int | Sequence[str] = 80, width: float = 1.0, anchors: Any = ANCHORS, channels: int = 3, *,
        confidence: float = 0.01, iou: float = 0.6,
    ) -> None:  # fmt: skip
        super().__init__()
        if not 0 < width <= 4:
            raise ValueError(f"width is {width!r}; give a factor above 0, such as 0.25, and 4 at most.")
        self.classes, self.channels = count_classes(classes), check_integer("channels", channels, least=1)
        self.width, self.confidence, self.iou = width, confidence, iou
        sizes = _read_anchors(anchors)
        self.anchors = tuple(tuple(map(tuple, level)) for level in sizes.tolist())
        self.register_buffer("anchor_sizes", sizes, persistent=False)
        self.backbone = YoloBackbone(channels, width)
        self.head = YoloHead(self.classes, width)

    def forward(self, images: Tensor | Sequence[Tensor], targets: Sequence[dict[str, Tensor]] | None = None) -> Any:
        """Return losses in train mode, in eval mode boxes; without targets maps."""
        batch, sizes = self.stack(images)
        maps = self._maps(batch)
        if not self.training:
            return self.decode(maps, sizes=sizes)
        return maps if targets is None else self.loss(maps, targets)

    def maps(self, images: Tensor | Sequence[Tensor]) -> list[Tensor]:
        """Return the raw predictions at strides 8, 16 and 32.

        Each is N x 3 anchors x rows x columns x (5 + classes); the last axis is x, y, width, height, objectness, and a
        logit for each class.
        """
        return self._maps(self.stack(images)[0])

    def loss(self, maps: list[Tensor], targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the weighted losses "box", "objectness" and "class" of raw predictions.

        Their sum is what is trained: each has been multiplied by its published weight already. See `YoloLoss`.

        Raises
        ------
        ValueError, TypeError : what is wrong with a target, in a sentence.
        """
        grid = self._grid(maps)
        truth = check_targets(targets, len(maps[0]), self.classes, grid.extent)
        return YoloLoss(grid)(_flatten(maps), *(one.to(grid.device) for one in truth))

    @torch.no_grad()
    def decode(
        self, maps: list[Tensor], confidence: float | None = None, iou: float | None = None,
        sizes: Sequence[tuple[int, int]] | None = None,
    ) -> list[dict[str, Tensor]]:  # fmt: skip
        """Return boxes, labels and scores for each image, best first.

        They are read from raw predictions. The score is that of an object times that of its likeliest class.
        `confidence` and `iou` are the model's own unless given; `sizes` are the (height, width) of the images before
        they were padded, to which boxes are cut.
        """
        confidence = self.confidence if confidence is None else confidence
        iou, grid, values = self.iou if iou is None else iou, self._grid(maps), _flatten(maps)
        scores, labels = (values[..., 5:].sigmoid() * values[..., 4:5].sigmoid()).max(-1)
        found = []
        for nth, (height, width) in enumerate(sizes or [grid.extent] * len(values)):
            likely = torch.nonzero(scores[nth] >= confidence)[:, 0]
            best = likely[scores[nth, likely].sort(descending=True, stable=True).indices[:_CANDIDATES]]
            boxes = clip_boxes(grid.decode(values[nth, best], best), height, width)
            solid = (boxes[:, 2:] > boxes[:, :2]).all(1)
            best, boxes = best[solid], boxes[solid]
            kept = suppress_overlaps(boxes, scores[nth, best], labels[nth, best], iou)[:_MOST]
            best = best[kept]
            found.append({"boxes": boxes[kept], "labels": labels[nth, best], "scores": scores[nth, best]})
        return found

    def reset_classifier(self, classes: int | Sequence[str]) -> None:
        """Predict other classes: draw their part anew, keep all else.

        What the predictions say of boxes and objects stays bit for bit; only the rows of the classes are new. An
        optimizer made before holds the old ones.
        """
        outputs = count_classes(classes)
        for name, prediction in self.head.predictions.items():
            self.head.predictions[name] = prediction.for_classes(outputs)
        self.classes = outputs

    def stack(self, images: Tensor | Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Return images as one padded batch, and the (height, width) of each.

        Raises
        ------
        TypeError, ValueError : images are not floats, or not channels x height x width.
        """
        for image in images:
            if not isinstance(image, Tensor) or not image.is_floating_point():
                kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
                raise TypeError(f"An image is {kind}; give float tensors, such as images / 255.")
            if image.ndim != 3 or len(image) != self.channels:
                raise ValueError(
                    f"An image has shape {tuple(image.shape)}; give {self.channels} channels x height x width"
                    + (", with the channels first." if image.ndim == 3 else ", and a batch of such.")
                )
        if not len(images):
            raise ValueError("There is no image in the batch; give one at least.")
        sizes = [tuple(image.shape[1:]) for image in images]
        down, across = (-(-max(one) // STRIDES[-1]) * STRIDES[-1] for one in zip(*sizes))
        if isinstance(images, Tensor) and sizes[0] == (down, across):
            return images, sizes
        padded = [F.pad(one, (0, across - one.shape[2], 0, down - one.shape[1]), value=_GREY) for one in images]
        return torch.stack(padded), sizes

    def _maps(self, batch: Tensor) -> list[Tensor]:
        found = self.head(self.backbone(batch))
        return [one.unflatten(1, (len(self.anchors[0]), -1)).permute(0, 1, 3, 4, 2) for one in found]

    def _grid(self, maps: list[Tensor]) -> Grid:
        return Grid([tuple(one.shape[2:4]) for one in maps], self.anchor_sizes, STRIDES)

    def extra_repr(self) -> str:
        """Say how many classes it predicts."""
        return f"classes={self.classes}"


class YoloBackbone(nn.Module):
    """The features of an image, from coarse to coarser.

    A stem that halves the image twice, and four ELAN blocks with a maximum pool between two. Returns the maps at
    strides 8, 16 and 32, of 128, 256 and 512 channels times `width`.
    """

    def __init__(self, channels: int = 3, width: float = 1.0) -> None:
        super().__init__()
        c32, c64, c128, c256, c512 = (_scale(c, width) for c in (32, 64, 128, 256, 512))
        self.stem = nn.Sequential(OrderedDict(conv1=_conv(channels, c32, 3, 2), conv2=_conv(c32, c64, 3, 2)))
        self.stage1 = Elan(c64, c32, c64)
        self.pool1 = nn.MaxPool2d(2)
        self.stage2 = Elan(c64, c64, c128)
        self.pool2 = nn.MaxPool2d(2)
        self.stage3 = Elan(c128, c128, c256)
        self.pool3 = nn.MaxPool2d(2)
        self.stage4 = Elan(c256, c256, c512)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps at strides 8, 16 and 32."""
        stride8 = self.stage2(self.pool1(self.stage1(self.stem(images))))
        stride16 = self.stage3(self.pool2(stride8))
        return stride8, stride16, self.stage4(self.pool3(stride16))


class YoloHead(nn.Module):
    """What makes predictions of features: pyramids of pools and maps, predictions.

    Maps go from coarse to fine (Lin et al. 2017, "Feature pyramid networks") and back (Liu et al. 2018, "Path
    aggregation network"), and a last convolution and a prediction follow at each stride.
    """

    def __init__(self, classes: int, width: float = 1.0) -> None:
        super().__init__()
        c32, c64, c128, c256, c512 = (_scale(c, width) for c in (32, 64, 128, 256, 512))
        self.pools = SpatialPyramid(c512, c256)
        self.reduce16 = _conv(c256, c128)
        self.lateral16 = _conv(c256, c128)
        self.up16 = Elan(2 * c128, c64, c128)
        self.reduce8 = _conv(c128, c64)
        self.lateral8 = _conv(c128, c64)
        self.up8 = Elan(2 * c64, c32, c64)
        self.shrink16 = _conv(c64, c128, 3, 2)
        self.down16 = Elan(2 * c128, c64, c128)
        self.shrink32 = _conv(c128, c256, 3, 2)
        self.down32 = Elan(2 * c256, c128, c256)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        widths = (c64, c128), (c128, c256), (c256, c512)
        self.last = nn.ModuleDict({f"stride{s}": _conv(a, b, 3) for s, (a, b) in zip(STRIDES, widths)})
        self.predictions = nn.ModuleDict(
            {f"stride{s}": Prediction(b, classes, s) for s, (_, b) in zip(STRIDES, widths)}
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return predictions N x 255 (at 80 classes) x rows x columns."""
        stride8, stride16, stride32 = features
        pooled = self.pools(stride32)
        fine16 = self.up16(torch.cat([self.lateral16(stride16), self.upsample(self.reduce16(pooled))], 1))
        fine8 = self.up8(torch.cat([self.lateral8(stride8), self.upsample(self.reduce8(fine16))], 1))
        fine16 = self.down16(torch.cat([self.shrink16(fine8), fine16], 1))
        fine32 = self.down32(torch.cat([self.shrink32(fine16), pooled], 1))
        maps = zip(self.last, (fine8, fine16, fine32))
        return [self.predictions[stride](self.last[stride](one)) for stride, one in maps]


class Elan(nn.Module):
    """Efficient layer aggregation: four convolutions, each heard by the last."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, hidden)
        self.conv2 = _conv(inputs, hidden)
        self.conv3 = _conv(hidden, hidden, 3)
        self.conv4 = _conv(hidden, hidden, 3)
        self.merge = _conv(4 * hidden, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same size with `outputs` channels."""
        side, first = self.conv1(maps), self.conv2(maps)
        second = self.conv3(first)
        return self.merge(torch.cat([side, first, second, self.conv4(second)], 1))


class SpatialPyramid(nn.Module):
    """Maximum pools of 5, 9 and 13, beside a way around them.

    Spatial pyramid pooling (He et al. 2014) in a cross-stage partial block (Wang et al. 2020, "CSPNet").
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.around = _conv(inputs, outputs)
        self.reduce = _conv(inputs, outputs)
        self.pool5, self.pool9, self.pool13 = (nn.MaxPool2d(side, 1, side // 2) for side in (5, 9, 13))
        self.mix = _conv(4 * outputs, outputs)
        self.merge = _conv(2 * outputs, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same size with `outputs` channels."""
        reduced = self.reduce(maps)
        pooled = [pool(reduced) for pool in (self.pool13, self.pool9, self.pool5)]
        return self.merge(torch.cat([self.around(maps), self.mix(torch.cat([*pooled, reduced], 1))], 1))


class Prediction(nn.Module):
    """A 1 x 1 convolution between two learned vectors.

    The first is added to its input, the other multiplies its output: the implicit knowledge of Wang, Yeh and Liao 2021,
    "You only learn one representation". Biases begin where few places hold an object, 8 in an image of 640 x 640, and
    no class is favoured (Lin et al. 2017, "Focal loss for dense object detection", section 4.1).
    """

    def __init__(self, inputs: int, classes: int, stride: int, anchors: int = 3) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(1, inputs, 1, 1) * 0.02)
        self.conv = nn.Conv2d(inputs, anchors * (5 + classes), 1)
        self.scale = nn.Parameter(1 + torch.randn(1, anchors * (5 + classes), 1, 1) * 0.02)
        self.anchors, self.stride = anchors, stride
        self._favour_none()

    def reset_parameters(self) -> None:
        """Draw all of it anew, as it was made."""
        with torch.no_grad():
            self.shift.normal_(0, 0.02)
            self.conv.reset_parameters()
            self.scale.normal_(1, 0.02)
        self._favour_none()

    def _favour_none(self) -> None:
        with torch.no_grad():
            bias = self.conv.bias.view(self.anchors, -1)
            bias[:, 4] += torch.tensor(8 / (640 / self.stride) ** 2).logit()
            bias[:, 5:] += torch.tensor(0.6 / (bias.shape[1] - 5)).logit()

    def forward(self, maps: Tensor) -> Tensor:
        """Return N x anchors (5 + classes) x rows x columns."""
        return self.conv(maps + self.shift) * self.scale

    def for_classes(self, classes: int) -> nn.Module:
        """Return one for so many classes, their rows drawn anew."""
        new = Prediction(self.conv.in_channels, classes, self.stride, self.anchors).to(self.shift).train(self.training)
        new.shift = self.shift
        with torch.no_grad():
            for name in ("conv.weight", "conv.bias", "scale"):
                kept, drawn = (
                    one.get_parameter(name).view(self.anchors, one.conv.out_channels // self.anchors, -1)
                    for one in (self, new)
                )
                drawn[:, :5] = kept[:, :5]
        return new


def _scale(channels: int, width: float) -> int:
    return max(4, round(channels * width / 4) * 4)


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    norm, leaky = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03), nn.LeakyReLU(0.1)
    return nn.Sequential(OrderedDict(conv=conv, norm=norm, leaky=leaky))


def _read_anchors(anchors: Any) -> Tensor:
    given = torch.as_tensor(anchors, dtype=torch.float32).clone()
    if given.shape != (len(STRIDES), 3, 2) or not (given > 0).all():
        raise ValueError(
            f"anchors have shape {tuple(given.shape)}; give three pairs of a width and a height in pixels for each of "
            f"the strides {', '.join(map(str, STRIDES))}: 3 x 3 x 2 numbers above 0."
        )
    return given


def _flatten(maps: list[Tensor]) -> Tensor:
    """Return maps as N x places x (5 + classes), in float32."""
    return torch.cat([one.flatten(1, 3) for one in maps], 1).float()
