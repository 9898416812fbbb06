"""The weights of a layer as pictures: filters, what dense units look at, gates, matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from ..layers.walk import kind_of
from ..pictures.picture import Picture, Sort, make_bars, stack_maps
from ..pictures.statistics import compute_statistics
from ..pictures.tiles import BUDGET, MOST

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
#: Weights up to this many are copied whole.
_MOST_KEPT = 16_000_000
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
    """Return the weights of `layer` as a picture, copied, so that training does not change them.

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
    if isinstance(layer, (nn.MultiheadAttention, nn.RNNBase)):
        return _several(layer, budget, part)
    weight = _weight(layer)
    if weight is None:
        return Filters(reason=f"has no weights of its own ({kind_of(layer)})")
    if weight.numel() == 0:
        return Filters(reason="has no weights: they are empty")
    # Training writes into the weights themselves.
    kept = weight.clone() if weight.numel() <= _MOST_KEPT else None
    found = _as_filters(
        layer,
        weight if kept is None else kept,
        channel,
        budget,
        by=by,
        order=order,
        at_slice=at_slice,
        image=image,
    )
    return replace(found, weight=kept)


def _as_filters(
    layer: nn.Module,
    weight: torch.Tensor,
    channel: int,
    budget: int,
    *,
    by: Sort,
    order: Sequence[int] | None,
    at_slice: int | None,
    image: tuple[int, ...],
) -> Filters:
    if isinstance(layer, _TRANSPOSED):
        weight = _outputs_first(weight, layer.groups)
    if isinstance(layer, (*_CONVOLUTIONS, *_TRANSPOSED)) and weight.ndim >= 3:
        return _convolution(weight, channel, budget, by, order, at_slice)
    if isinstance(layer, nn.Linear) and weight.ndim == 2 and len(image) == 3:
        return _images(weight.reshape(len(weight), *image), channel, budget, by, order)
    if weight.ndim <= 1:
        return Filters(make_bars(weight))
    if weight.ndim == 2:
        axes = ("map", "row", "entry") if isinstance(layer, nn.Embedding) else ("map", "unit", "input")
        note = f"the first {MOST} of {len(weight):,} rows" if len(weight) > 2 * MOST else ""
        rows = weight[:MOST].clone() if note else weight
        whole, found = tuple(weight.shape), compute_statistics(weight)
        return Filters(stack_maps("sequence", axes, rows[None], budget, shape=whole, found=found, note=note))
    maps = weight.reshape(-1, *weight.shape[-2:])
    return Filters(stack_maps("maps", ("filter", "row", "column"), maps, budget, by=by, order=order))


def _weight(layer: nn.Module) -> torch.Tensor | None:
    found = getattr(layer, "weight", None)
    # A quantised layer has a method of this name.
    found = found() if callable(found) and not isinstance(found, torch.Tensor) else found
    return found.detach() if isinstance(found, torch.Tensor) and not found.is_meta else None


def _outputs_first(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """Return the weights of a transposed convolution as those of a plain one: filters first."""
    inside = weight.unflatten(0, (groups, -1)).transpose(1, 2)
    return inside.flatten(0, 1)


def _convolution(
    weight: torch.Tensor,
    channel: int,
    budget: int,
    by: Sort,
    order: Sequence[int] | None,
    at_slice: int | None,
) -> Filters:
    shape, found = tuple(weight.shape), compute_statistics(weight)
    if weight.ndim == 3:
        kind = "lines" if weight.shape[1] == 1 else "maps"
        axes = ("filter", "input channel", "position")
        return Filters(stack_maps(kind, axes, weight, budget, shape=shape, found=found, by=by, order=order))
    if weight.ndim == 4:
        return _images(weight, channel, budget, by, order)
    channels, depth = weight.shape[1], weight.shape[2]
    channel = min(max(0, channel), channels - 1)
    at = depth // 2 if at_slice is None else min(max(0, at_slice), depth - 1)
    made = stack_maps(
        "volume", ("filter", "row", "column"), weight[:, channel, at], budget,
        shape=shape, found=found, by=by, order=order, slices=(depth, at),
        note="; ".join(filter(None, [_of(channel, channels), f"slice {at} of {depth} (0 is the first)"])),
    )  # fmt: skip
    return Filters(made, None, channels if channels > 1 else 0, channel)


def _images(
    weight: torch.Tensor, channel: int, budget: int, by: Sort, order: Sequence[int] | None
) -> Filters:
    count, channels, height, width = weight.shape
    shape, found = tuple(weight.shape), compute_statistics(weight)
    axes = ("filter", "row", "column")
    if channels == 3:
        note, step = "the three input channels as red, green and blue; grey is zero", 1
        while min(count, MOST) * 3 * -(-height // step) * -(-width // step) > budget:
            step += 1
        if step > 1:
            weight = F.avg_pool2d(weight.float(), step, ceil_mode=True, count_include_pad=False)
            note = f"{note}; each pixel is the mean of {step} × {step}"
        # The three beside each other in each column, so that they share a filter's scale.
        maps = weight.movedim(1, 3).flatten(2)
        return Filters(
            stack_maps("rgb", axes, maps, budget, shape=shape, found=found, by=by, order=order, note=note)
        )
    channel = min(max(0, channel), channels - 1)
    made = stack_maps(
        "maps", axes, weight[:, channel], budget,
        shape=shape, found=found, by=by, order=order, note=_of(channel, channels),
    )  # fmt: skip
    return Filters(made, None, channels if channels > 1 else 0, channel)


def _of(channel: int, channels: int) -> str:
    return f"input channel {channel} of {channels}" if channels > 1 else ""


def _several(layer: nn.Module, budget: int, part: int) -> Filters:
    if isinstance(layer, nn.MultiheadAttention):
        return _attention(layer, budget)
    name = "weight_hh_l0" if part else "weight_ih_l0"
    weight = getattr(layer, name, None)
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2:
        return Filters(reason="has no weights that can be shown")
    names = next((gates for kind, gates in _GATES.items() if isinstance(layer, kind)), ("state",))
    maps = weight.detach().clone().unflatten(0, (len(names), -1))
    axes = ("gate", "unit", "past unit" if part else "input")
    note = f"{name}: {'the past state' if part else 'the input'} of the first layer"
    return Filters(stack_maps("maps", axes, maps, budget, shape=tuple(weight.shape), note=note, names=names))


def _attention(layer: nn.MultiheadAttention, budget: int) -> Filters:
    names, axes = ("query", "key", "value"), ("matrix", "unit", "input")
    if layer.in_proj_weight is not None:
        maps = layer.in_proj_weight.detach().clone().unflatten(0, (3, -1))
        return Filters(stack_maps("maps", axes, maps, budget, names=names))
    # Where keys or values have a width of their own, only the queries' matrix is sure to be square.
    query = layer.q_proj_weight.detach().clone()[None]
    return Filters(stack_maps("maps", axes, query, budget, names=names[:1], note="the queries' matrix alone"))
