"""The weights of a layer as pictures: filters, gates, matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from ..layers.walk import kind_of
from ..pictures.picture import Kind, Picture, Sort, make_bars, stack_maps
from ..pictures.statistics import compute_statistics
from ..pictures.tiles import BUDGET, MOST

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
#: Weights up to this many are copied whole.
_MOST_KEPT = 16_000_000
#: `stack_maps` with its budget, and the order where there is one.
Draw = Callable[..., Picture]
#: The gates of recurrent layers, in the order of torch's documentation.
_GATES = {nn.LSTM: ("input", "forget", "cell", "output"), nn.GRU: ("reset", "update", "new")}


@dataclass(frozen=True)
class Filters:
    """The weights of a layer, ready to be drawn.

    Attributes
    ----------
    picture : how they are drawn; None where there are none, for the reason in `reason`.
    weight : a copy of the weights, as they were; None where they are very many.
    channels : how many input channels one can choose among; 0 where there is no choice.
    channel : the input channel that is shown.
    reason : why there is nothing to show, a clause to follow the layer's name.
    """

    picture: Picture | None = None
    weight: torch.Tensor | None = None
    channels: int = 0
    channel: int = 0
    reason: str = ""


def filters(
    layer: nn.Module,
    channel: int = 0,
    budget: int = BUDGET,
    *,
    by: Sort = "index",
    order: Sequence[int] | None = None,
    at_slice: int | None = None,
    image: tuple[int, ...] = (),
    part: int = 0,
) -> Filters:
    """Draw the weights of `layer`, copied, so that training changes nothing.

    A convolution shows a tile for each filter: over three input channels in their colours (grey is zero),
    else of the chosen input channel; a 1-D one shows input channel by position, a 3-D one a slice. A dense
    layer shows what each unit looks at, as an image where it was one, else the matrix of units by inputs; an
    embedding its matrix; attention the matrices of query, key and value; a recurrent layer its gates; a norm
    its weights as bars.

    Parameters
    ----------
    channel : the input channel to show; beyond the last, the last.
    budget : the bytes that the tiles may take.
    by, order, at_slice : as for `picture`.
    image : (C, h, w) of what a dense layer looks at; else it is taken for a vector.
    part : which of a recurrent layer's matrices: 0 what it makes of its input, 1 of its own past.
    """
    draw: Draw = partial(stack_maps, budget=budget)
    if isinstance(layer, nn.MultiheadAttention):
        return _attention(layer, draw)
    if isinstance(layer, nn.RNNBase):
        return _gates(layer, draw, part)
    weight, draw = _weight(layer), partial(draw, by=by, order=order)
    if weight is None:
        return Filters(reason=f"has no weights of its own ({kind_of(layer)})")
    if weight.numel() == 0:
        return Filters(reason="has no weights: they are empty")
    # Training writes into the weights themselves.
    kept = weight.clone() if weight.numel() <= _MOST_KEPT else None
    found = _as_filters(layer, weight if kept is None else kept, channel, draw, at_slice, image, budget)
    return replace(found, weight=kept)


def _as_filters(
    layer: nn.Module,
    weight: torch.Tensor,
    channel: int,
    draw: Draw,
    at_slice: int | None,
    image: tuple[int, ...],
    budget: int,
) -> Filters:
    if isinstance(layer, _TRANSPOSED):
        # Filters first, as those of a plain convolution.
        weight = weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)
    axes = ("filter", "row", "column")
    if isinstance(layer, CONVOLUTIONS):
        draw = partial(draw, shape=tuple(weight.shape), found=compute_statistics(weight))
        if weight.ndim == 3:
            kind: Kind = "lines" if weight.shape[1] == 1 else "maps"
            return Filters(draw(kind, ("filter", "input channel", "position"), weight))
        if weight.ndim == 4:
            return _images(weight, channel, draw, budget)
        if weight.ndim == 5:
            depth = weight.shape[2]
            at = depth // 2 if at_slice is None else min(max(0, at_slice), depth - 1)
            note = f"slice {at} of {depth} (0 is the first)"
            draw = partial(draw, slices=(depth, at))
            return _one_channel("volume", weight[:, :, at], channel, draw, note)
    if isinstance(layer, nn.Linear) and weight.ndim == 2 and len(image) == 3:
        images = weight.reshape(len(weight), *image)
        draw = partial(draw, shape=tuple(images.shape), found=compute_statistics(weight))
        return _images(images, channel, draw, budget)
    if weight.ndim <= 1:
        return Filters(make_bars(weight))
    if weight.ndim == 2:
        axes = ("map", "row", "entry") if isinstance(layer, nn.Embedding) else ("map", "unit", "input")
        note = f"the first {MOST} of {len(weight):,} rows" if len(weight) > 2 * MOST else ""
        rows = weight[:MOST].clone() if note else weight
        whole, found = tuple(weight.shape), compute_statistics(weight)
        return Filters(stack_maps("sequence", axes, rows[None], budget, shape=whole, found=found, note=note))
    return Filters(draw("maps", axes, weight.reshape(-1, *weight.shape[-2:])))


def _weight(layer: nn.Module) -> torch.Tensor | None:
    found = getattr(layer, "weight", None)
    # A quantised layer has a method of this name.
    found = found() if callable(found) and not isinstance(found, torch.Tensor) else found
    return found.detach() if isinstance(found, torch.Tensor) and not found.is_meta else None


def _images(weight: torch.Tensor, channel: int, draw: Draw, budget: int) -> Filters:
    count, channels, height, width = weight.shape
    if channels != 3:
        return _one_channel("maps", weight, channel, draw)
    note, step = "the three input channels as red, green and blue; grey is zero", 1
    while min(count, MOST) * 3 * -(-height // step) * -(-width // step) > budget:
        step += 1
    if step > 1:
        weight = F.avg_pool2d(weight.float(), step, ceil_mode=True, count_include_pad=False)
        note = f"{note}; each pixel is the mean of {step} × {step}"
    # The three beside each other in each column, so that they share a filter's scale.
    maps = weight.movedim(1, 3).flatten(2)
    return Filters(draw("rgb", ("filter", "row", "column"), maps, note=note))


def _one_channel(kind: Kind, weight: torch.Tensor, channel: int, draw: Draw, note: str = "") -> Filters:
    """Draw one input channel of filters x channels x rows x columns."""
    channels = weight.shape[1]
    channel = min(max(0, channel), channels - 1)
    of = f"input channel {channel} of {channels}" if channels > 1 else ""
    note = "; ".join(filter(None, [of, note]))
    made = draw(kind, ("filter", "row", "column"), weight[:, channel], note=note)
    return Filters(made, None, channels if channels > 1 else 0, channel)


def _gates(layer: nn.RNNBase, draw: Draw, part: int) -> Filters:
    name = "weight_hh_l0" if part else "weight_ih_l0"
    weight = getattr(layer, name, None)
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2:
        return Filters(reason="has no weights that can be shown")
    names = next((gates for kind, gates in _GATES.items() if isinstance(layer, kind)), ("state",))
    maps = weight.detach().clone().unflatten(0, (len(names), -1))
    axes = ("gate", "unit", "past unit" if part else "input")
    note = f"{name}: {'the past state' if part else 'the input'} of the first layer"
    return Filters(draw("maps", axes, maps, shape=tuple(weight.shape), note=note, names=names))


def _attention(layer: nn.MultiheadAttention, draw: Draw) -> Filters:
    names, axes = ("query", "key", "value"), ("matrix", "unit", "input")
    if layer.in_proj_weight is not None:
        maps = layer.in_proj_weight.detach().clone().unflatten(0, (3, -1))
        return Filters(draw("maps", axes, maps, names=names))
    # Where keys or values have a width of their own, only the queries' matrix is sure to be square.
    query = layer.q_proj_weight.detach().clone()[None]
    return Filters(draw("maps", axes, query, names=names[:1], note="the queries' matrix alone"))
