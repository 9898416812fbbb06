"""One look into a model: a sample's input, what one layer makes of it, and what the model says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .activations import ForwardFailed, activations
from .choosing import layer_paths
from .pictures import Picture, one_sample, picture
from .thumbnails import Thumbnail, thumbnail
from .tiles import BUDGET, Tiles, tiles

#: The bytes that one enlarged map may take.
_CLOSE = 65_536

_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh,
)  # fmt: skip
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Look:
    """What was seen of one layer on one sample.

    Attributes
    ----------
    layer : the path that was asked for.
    kind : the class name of the layer.
    part : which of `parts` is shown: the first tensor, a further one ("[1]"), a further call ("#2").
    tensor : one sample's output, without batch axis; None where there is none.
    picture : how it is drawn; None where there is nothing to draw, for the reason in `reason`.
    scores : vector of the model's scores; None where its output is no tensor of one row.
    is_output : whether the layer puts out what the model puts out, so that its units are the classes.
    """

    layer: str
    kind: str = ""
    part: str = ""
    parts: tuple[str, ...] = ()
    tensor: torch.Tensor | None = None
    picture: Picture | None = None
    reason: str = ""
    input: Thumbnail = Thumbnail("none")
    scores: Any = None
    is_output: bool = False

    def close_up(self, number: int) -> Tiles | None:
        """Return map `number` alone, as sharp as 64 KB allow; None where the picture is as sharp."""
        drawn = None if self.picture is None else self.picture.tiles
        if self.tensor is None or drawn is None or drawn.block == (1, 1) or not 0 <= number < len(drawn.maps):
            return None
        sample = self.tensor
        if self.picture is not None and self.picture.kind == "volume":
            sample = sample.select(-3, sample.shape[-3] // 2).reshape(-1, *sample.shape[-2:])
        sample = sample[None] if sample.ndim == 2 else sample
        made = tiles(sample[number : number + 1], budget=_CLOSE)
        return None if made.block == drawn.block else made


def look(
    model: nn.Module,
    inputs: Any,
    layer: str,
    part: str = "",
    budget: int = BUDGET,
    scores: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Look:
    """Look at what `layer` puts out for `inputs`, a batch of one, and leave the model as it was.

    Never raises on account of the model: what went wrong is in `.reason`, a sentence.

    Parameters
    ----------
    part : which tensor of the layer, as the rest of its key in `activations` ("", "[1][0]", "#2"); an unknown
        one falls back to the first.
    budget : the bytes that the maps may take.
    scores : turns the model's output into scores, such as a softmax; None: the output is taken as it is.
    """
    seen = thumbnail(inputs)
    try:
        module = layer_paths(model).get(layer)
        found = activations(model, inputs, [layer])
    except (ForwardFailed, ValueError) as error:
        return Look(layer, reason=str(error), input=seen)
    said = found.output
    if isinstance(said, torch.Tensor) and said.ndim in (1, 2) and len(said) == 1 and said.is_floating_point():
        said = (scores(said) if scores is not None else said)[0].float().cpu()
    else:
        said = None
    kind = type(module).__name__
    keys = found.parts(layer)
    if not keys:
        return Look(layer, kind, reason=f"{layer or kind} {found.missing[layer]}.", input=seen, scores=said)
    parts = tuple(key[len(layer) :] for key in keys)
    part = part if part in parts else parts[0]
    tensor = found[layer + part]
    try:
        drawn = picture(tensor, module, budget)
    except ValueError as error:
        return Look(layer, kind, part, parts, reason=str(error), input=seen, scores=said)
    same = isinstance(found.output, torch.Tensor) and torch.equal(found.output, tensor)
    return Look(layer, kind, part, parts, one_sample(tensor, module), drawn, "", seen, said, same)


def first_choice(model: nn.Module) -> str:
    """Return the layer to look at where nobody chose: the first convolution's activation, or the first layer.

    The activation is the first one that follows the convolution before another convolution does.
    """
    leaves = {p: m for p, m in layer_paths(model).items() if next(m.children(), None) is None}
    chosen = ""
    for path, module in leaves.items():
        if chosen and isinstance(module, _ACTIVATIONS):
            return path
        if isinstance(module, _CONVOLUTIONS):
            if chosen:
                break
            chosen = path
    return chosen or next(iter(leaves), "")
