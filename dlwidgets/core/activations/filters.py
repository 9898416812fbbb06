"""The weights of a layer as pictures, and those behind a unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..base.isolation import run_forward
from ..base.outputs import between_transforms, outside_transforms
from ..base.slices import pause
from ..base.trees import call_model, tree_map, tree_tensors
from ..layers.axes import channel_axis
from ..layers.framework import acts_as, framework_of
from ..layers.walk import kind_of
from ..pictures.picture import Kind, Picture, Sort, make_bars, stack_maps
from ..pictures.statistics import compute_statistics
from ..pictures.tiles import BUDGET, MOST
from .forward_pass import on_device_of

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
#: Activation functions.
ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh,
)  # fmt: skip
#: Layers that hand on each unit by itself, so that unit 3 of theirs is unit 3 of the layer before.
ELEMENTWISE = (
    *ACTIVATIONS, nn.LogSigmoid, nn.Threshold, nn.Softshrink, nn.Hardshrink, nn.Tanhshrink, nn.Dropout,
    nn.AlphaDropout, nn.Identity, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.Softmax, nn.LogSoftmax, nn.Dropout1d,
    nn.Dropout2d, nn.Dropout3d,
)  # fmt: skip
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
    picture : how they are drawn; None where there are none, for `reason`, a clause that follows a name.
    weight : a copy of the weights, as they were; None where they are very many.
    channels, channel : how many input channels one can choose among, 0 for none; which of them is shown.
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
    channels_last: bool = False,
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
    by, order, at_slice : as for `make_picture`.
    image : (C, h, w) of what a dense layer looks at; else it is taken for a vector.
    channels_last : whether the vector that was made of the image has its channels last.
    part : which of the layer's matrices, see `weight_parts`.
    """
    draw: Draw = partial(stack_maps, budget=budget)
    if any(weight.is_meta for weight in layer.parameters(recurse=False)):
        return Filters(reason="has its weights elsewhere, and has them brought only while it runs")
    if acts_as(layer, nn.MultiheadAttention):
        return _attention(layer, draw)
    if isinstance(layer, nn.RNNBase) or framework_of(layer).gates_of(layer) is not None:
        return _gates(layer, draw, part)
    weight = weight_of(layer, part)
    if weight is None:
        return Filters(reason=f"has no weights of its own ({kind_of(layer)})")
    if weight.numel() == 0:
        return Filters(reason="has no weights: they are empty")
    weight = whole(weight)
    # Training writes into the weights themselves.
    weight = kept = weight.clone() if weight.numel() <= _MOST_KEPT else weight
    if isinstance(layer, _TRANSPOSED):
        # Filters first, as those of a plain convolution.
        weight = weight.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)
    convolves = acts_as(layer, CONVOLUTIONS)
    if acts_as(layer, nn.Linear) and weight.ndim == 2 and len(image) == 3:
        weight = _as_images(weight, image, channels_last)
    draw = partial(draw, by=by, order=order, shape=tuple(weight.shape), found=compute_statistics(weight))
    if weight.ndim <= 1:
        found = Filters(make_bars(weight))
    elif weight.ndim == 2:
        axes = ("map", "row", "entry") if acts_as(layer, nn.Embedding) else ("map", "unit", "input")
        note = f"the first {MOST} of {len(weight):,} rows" if len(weight) > 2 * MOST else ""
        rows = weight[:MOST].clone() if note else weight
        found = Filters(draw("sequence", axes, rows[None], note=note))
    elif convolves and weight.ndim == 3:
        kind: Kind = "lines" if weight.shape[1] == 1 else "maps"
        found = Filters(draw(kind, ("filter", "input channel", "position"), weight))
    elif (convolves or acts_as(layer, nn.Linear)) and weight.ndim == 4:
        found = _images(weight, channel, draw, budget)
    elif convolves and weight.ndim == 5:
        depth = weight.shape[2]
        at = depth // 2 if at_slice is None else min(max(0, at_slice), depth - 1)
        draw = partial(draw, slices=(depth, at))
        note = f"slice {at} of {depth} (0 is the first)"
        found = _one_channel("volume", weight[:, :, at], channel, draw, note)
    else:
        maps = weight.reshape(-1, *weight.shape[-2:])
        found = Filters(draw("maps", ("filter", "row", "column"), maps, shape=tuple(maps.shape)))
    return replace(found, weight=kept if kept.numel() <= _MOST_KEPT else None)


def weight_of(layer: nn.Module, part: int = 0) -> torch.Tensor | None:
    """Return a layer's own weight, outputs first; or None.

    `part` is the number of the one that is meant among `weight_parts`.
    """
    kernels = framework_of(layer).kernels_of(layer)
    if kernels is not None:
        return next(iter([*kernels.values()][part:] or kernels.values()), None)
    weight = getattr(layer, "weight", None)
    # A quantised layer has a method of this name.
    weight = weight() if callable(weight) and not isinstance(weight, torch.Tensor) else weight
    return weight if isinstance(weight, torch.Tensor) else None


def weight_parts(layer: nn.Module) -> tuple[str, ...]:
    """Return the names of a layer's weights; () of one alone.

    A recurrent layer has one for its input and one for its own past; a separable convolution two kernels.
    """
    if isinstance(layer, nn.RNNBase) or framework_of(layer).gates_of(layer) is not None:
        return ("[input]", "[state]")
    names = [name for name, kernel in (framework_of(layer).kernels_of(layer) or {}).items() if kernel.ndim > 1]
    return tuple(f"[{name}]" for name in names) if len(names) > 1 else ()


def _as_images(rows: torch.Tensor, image: tuple[int, ...], channels_last: bool) -> torch.Tensor:
    """Return flattened images, N x n, as images again."""
    if not channels_last:
        return rows.reshape(len(rows), *image)
    return rows.reshape(len(rows), *image[1:], image[0]).movedim(-1, 1)


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


def _gates(layer: nn.Module, draw: Draw, part: int) -> Filters:
    name = "weight_hh_l0" if part else "weight_ih_l0"
    weight = getattr(layer, name, None)
    names = next((gates for kind, gates in _GATES.items() if isinstance(layer, kind)), ("state",))
    if (gates := framework_of(layer).gates_of(layer)) is not None:
        name, names, weight = ("kernel", "recurrent_kernel")[part], gates[0], gates[1 + part]
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2:
        return Filters(reason="has no weights that can be shown")
    maps = weight.detach().clone().unflatten(0, (len(names), -1))
    axes = ("gate", "unit", "past unit" if part else "input")
    of = " of the first layer" if isinstance(layer, nn.RNNBase) else ""
    note = f"{name}: {'the past state' if part else 'the input'}{of}"
    return Filters(draw("maps", axes, maps, shape=tuple(weight.shape), note=note, names=names))


def _attention(layer: Any, draw: Draw) -> Filters:
    names, axes = ("query", "key", "value"), ("matrix", "unit", "input")
    if own := framework_of(layer).attention_of(layer):
        # Beside each other as far as they are of one size: fewer heads may share keys and values.
        shown = {name: one for name, one in own.items() if one.shape == own["query"].shape}
        note = "the queries' matrix alone" if len(shown) == 1 else ""
        return Filters(draw("maps", axes, torch.stack([*shown.values()]), names=tuple(shown), note=note))
    if layer.in_proj_weight is not None:
        maps = layer.in_proj_weight.detach().clone().unflatten(0, (3, -1))
        return Filters(draw("maps", axes, maps, names=names))
    # Where keys or values have a width of their own, only the queries' matrix is sure to be square.
    query = layer.q_proj_weight.detach().clone()[None]
    return Filters(draw("maps", axes, query, names=names[:1], note="the queries' matrix alone"))


@dataclass(frozen=True)
class Incoming:
    """The layer behind a layer's numbers: itself, or before elementwise ones.

    `shape` is, for `nn.Linear`, that of what each unit looks at: (C, h, w) where that was an image before it
    was flattened ((1, h, w) where it was a matrix), else (n,). `channels_last` is whether it had them last.
    """

    path: str
    module: nn.Module
    shape: tuple[int, ...] = ()
    channels_last: bool = False

    def weights(self, unit: int) -> torch.Tensor | None:
        """Return one unit of a Linear in `shape`, or None."""
        weight = weight_of(self.module)
        if not acts_as(self.module, nn.Linear) or weight is None or weight.is_meta or not 0 <= unit < len(weight):
            return None
        row = whole(weight)[unit]
        return _as_images(row[None], self.shape, self.channels_last)[0] if len(self.shape) == 3 else row.reshape(-1)


def whole(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight detached and, where it is shared out, put together."""
    weight = weight.detach()
    return weight.full_tensor() if hasattr(weight, "full_tensor") else weight


def find_incoming(
    eager: nn.Module, modules: Mapping[str, nn.Module], inputs: Any, layer: str, part: str = ""
) -> Incoming | None:
    """Find the layer that weighed the numbers of `layer`.

    None where the layer was not called, works on no tensor, or got what it works on from no layer. `eager`,
    which `isolate_model` has yielded, runs once; `part` is the rest of the layer's key in `activations`, as
    "#2" for its second call.
    """
    leaves = {path: module for path, module in modules.items() if next(module.children(), None) is None}
    #: Path, first argument and output of each call.
    calls: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    def note(path: str, _module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        pause()
        if args and isinstance(args[0], torch.Tensor) and isinstance(output, torch.Tensor):
            with between_transforms():
                given, made = (outside_transforms(tensor).detach() for tensor in (args[0], output))
            calls.append((path, given, made))

    inputs = on_device_of(eager, inputs)

    def listen() -> None:
        calls.clear()
        with ExitStack() as stack:
            for path, module in leaves.items():
                stack.enter_context(module.register_forward_hook(partial(note, path)))
            call_model(eager, tree_map(torch.clone, inputs))

    try:
        run_forward(eager, listen)
    except Exception:  # noqa: BLE001 - what the model cannot do is said by the look itself
        return None
    own = [at for at, (path, _, _) in enumerate(calls) if path == layer]
    number = int(part[1:].split("[")[0]) if part.startswith("#") else 1
    if len(own) < number:
        return None
    at = own[number - 1]
    path, given, _ = calls[at]
    while acts_as(leaves[path], ELEMENTWISE):
        # The call that made what this one was given.
        before = next((one for one in range(at - 1, -1, -1) if _equal(calls[one][2], given)), None)
        if before is None:
            return None
        at = before
        path, given, _ = calls[at]
    if not acts_as(leaves[path], nn.Linear):
        return Incoming(path, leaves[path])
    shape: tuple[int, ...] = (given.shape[-1],)
    last = False
    before_it = [(leaves[one], made) for one, _, made in reversed(calls[:at])]
    for maker, made in (*before_it, *((eager, one) for one in tree_tensors(inputs))):
        image = given.ndim == 2 and made.ndim in (3, 4) and made.shape[-1] * made.shape[-2] > 1
        if image and made.numel() == given.numel() and _equal(made.flatten(1), given):
            # Channels by positions, or steps by units, are one map.
            shape = (1, *made.shape[1:]) if made.ndim == 3 else tuple(made.shape[1:])
            if last := made.ndim == 4 and channel_axis(maker, made) == 3:
                shape = (shape[-1], *shape[:-1])
            break
    return Incoming(path, leaves[path], shape, last)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    same = one.shape == other.shape
    return same and (one.data_ptr() == other.data_ptr() or torch.equal(one, other.to(one.dtype)))
