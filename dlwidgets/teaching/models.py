"""Small models for the course, with modules named for the layer table."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor, nn

from .data import check_integer

#: What `pretrained()` loads, and its checksum.
WEIGHTS = Path(__file__).parent / "weights" / "fashion.safetensors"
SHA256 = "bbc31be4ad9a005f1fb9f6a08903ea236c465f97686f812c36a8d8273d0261d5"


def count_classes(classes: int | Sequence[str]) -> int:
    """Count classes given by number or by names."""
    if isinstance(classes, str):
        wanted = "give the names as a list, or their number"
        raise TypeError(f"classes is the single string {classes!r}; {wanted}.")
    return check_integer("classes", len(classes) if isinstance(classes, Sequence) else classes, least=1)


class SmallCNN(nn.Module):
    """The first convolutional network: three stages and a multilabel head.

    Made for `collages()`, good for any images from 8 x 8 upward, since the head pools what it gets to 4 x 4.
    Each stage halves the image, and all but the first double its channels. 33,658 parameters for 10 classes
    of grey images.

    Parameters
    ----------
    classes : the number of classes, or their names.
    channels : 1 for grey, 3 for colour images.
    width : channels after the first stage.
    dropout : the share of the head's inputs that is dropped in training.

    Input N x channels x H x W; output N x classes logits (no sigmoid: the loss applies it).
    """

    def __init__(
        self, classes: int | Sequence[str], channels: int = 1, width: int = 16, dropout: float = 0.2
    ) -> None:
        super().__init__()
        outputs = count_classes(classes)
        channels, width = check_integer("channels", channels, least=1), check_integer("width", width, least=1)
        self.stage1 = _stage(channels, width)
        self.stage2 = _stage(width, 2 * width)
        self.stage3 = _stage(2 * width, 4 * width)
        self.head = _head(nn.AdaptiveAvgPool2d(4), dropout, 4 * width * 16, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        return self.head(self.stage3(self.stage2(self.stage1(images))))


def _stage(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    # The norm that follows has a bias of its own.
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    norm, pool = nn.BatchNorm2d(outputs), nn.MaxPool2d(2)
    return nn.Sequential(OrderedDict(conv=conv, norm=norm, relu=nn.ReLU(), pool=pool))


def _head(pool: nn.Module, dropout: float, inputs: int, outputs: int) -> nn.Sequential:
    parts = {"pool": pool, "flatten": nn.Flatten(), "dropout": nn.Dropout(dropout)}
    return nn.Sequential(OrderedDict(parts, linear=nn.Linear(inputs, outputs)))


class FashionNet(nn.Module):
    """Four stages, then a head: the network of `pretrained()`.

    The head reads the mean of each of the last maps, so that images of any size from 16 x 16 on will do. 105,346
    parameters for 10 classes, of which 104,376 in the backbone.

    Parameters
    ----------
    classes, channels : as of `SmallCNN`.
    width : channels after the first stage; the later ones have two, three and four times as many.

    Input N x channels x H x W; output N x classes logits.
    """

    def __init__(self, classes: int | Sequence[str] = 10, channels: int = 1, width: int = 24) -> None:
        super().__init__()
        outputs = count_classes(classes)
        channels, width = check_integer("channels", channels, least=1), check_integer("width", width, least=1)
        widths = [channels, width, 2 * width, 3 * width, 4 * width]
        stages = {f"stage{nth}": _stage(*widths[nth - 1 : nth + 1]) for nth in range(1, 5)}
        self.backbone = nn.Sequential(OrderedDict(stages))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(4 * width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        return self.head(self.flatten(self.pool(self.backbone(images))))


def pretrained() -> FashionNet:
    """Return a `FashionNet` that knows Fashion-MNIST, in eval mode.

    Its weights come with dlwidgets, and nothing is downloaded. `weights/README.md`, beside this file, says what it
    learnt from, how well, and what that is worth on other pictures. To have it tell other things apart, give it
    another head: `dlw.with_head(model, classes)`.

    Raises
    ------
    RuntimeError : the file of the weights is not the one that was published.
    """
    raw = WEIGHTS.read_bytes()
    if (found := hashlib.sha256(raw).hexdigest()) != SHA256:
        wanted = f"{len(raw):,} bytes with the SHA-256 sum {found}, {SHA256} is wanted"
        raise RuntimeError(f"{WEIGHTS} is damaged: {wanted}. Install dlwidgets anew.")
    model = FashionNet()
    model.load_state_dict(load(raw))
    return model.eval()


class MLP(nn.Module):
    """A plain network for tables: linear layers with ReLU and dropout.

    Parameters
    ----------
    inputs : features of a sample; samples of more axes (an image) are flattened first.
    outputs : the number of classes, or their names.
    hidden : units of each hidden layer; ``()`` gives logistic regression.
    dropout : the share of each hidden layer that is dropped in training.

    Input N x inputs; output N x outputs logits.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int | Sequence[str],
        hidden: Sequence[int] = (128, 64),
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        widths = [check_integer("inputs", inputs, least=1)]
        widths += [check_integer("hidden", units, least=1) for units in hidden]
        self.flatten = nn.Flatten()
        self.hidden = nn.ModuleList(
            nn.Sequential(OrderedDict(linear=nn.Linear(a, b), relu=nn.ReLU(), dropout=nn.Dropout(dropout)))
            for a, b in zip(widths, widths[1:])
        )
        self.head = nn.Linear(widths[-1], count_classes(outputs))

    def forward(self, samples: Tensor) -> Tensor:
        """Return the logits of a batch of samples."""
        values = self.flatten(samples)
        for layer in self.hidden:
            values = layer(values)
        return self.head(values)


class ChestNet(nn.Module):
    """A little residual network for grey images from 32 x 32 on.

    A stem that halves the image twice, six residual blocks in three widths, and a head on the maximum of each
    map: a finding anywhere in the image counts, however small. 175,486 parameters for 14 classes.

    Parameters
    ----------
    classes, channels, dropout : as of `SmallCNN`.
    width : channels of the stem and the first blocks; the later ones have two and four times as many.

    Input N x channels x H x W; output N x classes logits.
    """

    def __init__(
        self, classes: int | Sequence[str] = 14, channels: int = 1, width: int = 16, dropout: float = 0.2
    ) -> None:
        super().__init__()
        outputs = count_classes(classes)
        channels, width = check_integer("channels", channels, least=1), check_integer("width", width, least=1)
        self.stem = _stage(channels, width, kernel=5, stride=2)
        self.blocks = nn.Sequential(
            Residual(width, width),
            Residual(width, width),
            Residual(width, 2 * width, stride=2),
            Residual(2 * width, 2 * width),
            Residual(2 * width, 4 * width, stride=2),
            Residual(4 * width, 4 * width),
        )
        self.head = _head(nn.AdaptiveMaxPool2d(1), dropout, 4 * width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        return self.head(self.blocks(self.stem(images)))


class Residual(nn.Module):
    """Two convolutions added to their input (He et al. 2016, CVPR).

    Where the shape changes, a 1 x 1 convolution carries the input across.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(outputs)))
        self.relu2 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """Return N x outputs x H/stride x W/stride maps."""
        change = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(maps)))))
        return self.relu2(self.shortcut(maps) + change)


class TinyTransformer(nn.Module):
    """A small transformer that says of which kind a sentence is.

    Words and their places become vectors, two blocks of attention mix them, and a head reads the mean over the
    words (Vaswani et al. 2017, NeurIPS; norms first, as Xiong et al. 2020, ICML). Made for `sentences()`.
    19,365 parameters.

    Parameters
    ----------
    classes : the number of classes, or their names.
    words : different tokens; token 0 fills the end of a sentence and is not looked at.
    length : tokens of the longest sentence.
    width, heads, blocks : numbers in a vector, heads that share them, and blocks.
    dropout : the share of what each half of a block adds that is dropped in training.

    Input N x length whole numbers; output N x classes logits.
    """

    def __init__(
        self, classes: int | Sequence[str] = 5, words: int = 48, length: int = 16, width: int = 32, heads: int = 4,
        blocks: int = 2, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        outputs, width = count_classes(classes), check_integer("width", width, least=1)
        self.words = nn.Embedding(check_integer("words", words, least=2), width, padding_idx=0)
        self.places = nn.Embedding(check_integer("length", length, least=1), width)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, dropout) for _ in range(check_integer("blocks", blocks, least=1))
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of a batch of sentences."""
        empty = tokens == 0
        values = self.words(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            values = block(values, empty)
        there = (~empty).unsqueeze(2)
        return self.head((self.norm(values) * there).sum(1) / there.sum(1).clamp(min=1))


class TransformerBlock(nn.Module):
    """Adds attention, then two layers for each word, to its input."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(linear1=nn.Linear(width, 2 * width), relu=nn.ReLU(), linear2=nn.Linear(2 * width, width))
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, empty: Tensor) -> Tensor:
        """Mix N x length x width; `empty` places are not looked at."""
        normed = self.norm1(values)
        mixed, _ = self.attention(normed, normed, normed, key_padding_mask=empty, need_weights=False)
        values = values + self.dropout(mixed)
        return values + self.dropout(self.mlp(self.norm2(values)))
