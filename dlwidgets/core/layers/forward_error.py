"""Why a forward failed: the layer, its input, the likely cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.pooling import _AvgPoolNd, _MaxPoolNd

from .kinds import SPACE, dtype_name, shape_words
from .operations import TensorOperation
from .trace import Failure
from .walk import kind_of


@dataclass(frozen=True)
class FailureReason:
    """What was found.

    Attributes
    ----------
    sentence : for the person who wrote the model.
    certain : whether the layer's own numbers prove it, so that the model cannot run.
    """

    sentence: str
    certain: bool


def explain(failure: Failure, module: nn.Module) -> FailureReason:
    """Return why the forward failed in `module`, the layer at `failure.path`."""
    where = f"{failure.path} ({kind_of(module)})" if failure.path else kind_of(module)
    given = list(failure.inputs.values())
    if given and (said := _of_layer(module, given)):
        wants, cause = said
        return FailureReason(f"{where} {wants}, but was given {_shapes(given[:1])}: {cause}.", True)
    operation = failure.operation
    if operation is not None and (reason := _of_operation(operation)):
        return FailureReason(f"In the forward of {where}, {reason}.", True)
    lines = str(failure.error).strip().splitlines()
    words = (lines[0].rstrip(".") if lines else "") or type(failure.error).__name__
    if isinstance(failure.error, TypeError) and "argument" in words:
        return FailureReason(
            f"{where} was called with other arguments than its forward takes: {words}.", False
        )
    on = f", given {_shapes(given)}" if given else ""
    return FailureReason(f"{where} failed{on}: {words}.", False)


def _shapes(tensors: Sequence[torch.Tensor]) -> str:
    return ", ".join(shape_words(tensor.shape) for tensor in tensors)


# -- what layers want: (what it wants, the likely cause), or None where the input is as wanted

_Said = tuple[str, str] | None


def _of_layer(module: nn.Module, given: Sequence[torch.Tensor]) -> _Said:
    for kinds, rule in _RULES:
        if isinstance(module, kinds) and (said := rule(module, given)):
            return said
    return _types(module, given)


def _linear(module: Any, given: Sequence[torch.Tensor]) -> _Said:
    shape, want = tuple(given[0].shape), module.in_features
    if not shape or shape[-1] == want:
        return None
    wants = f"wants {want:,} features in the last axis (its weight is {shape_words(module.weight.shape)})"
    flat = prod(shape[1:])
    if len(shape) > 2 and flat == want:
        return wants, f"nn.Flatten() is missing before it, and makes {want:,} of {shape_words(shape[1:])}"
    if len(shape) == 4 and shape[1] == want:
        return (
            wants,
            "the maps are not pooled: nn.AdaptiveAvgPool2d(1) and nn.Flatten() before it give the channels",
        )
    if len(shape) > 3:
        return wants, f"the maps are not flattened: put nn.Flatten() before it and set in_features={flat}"
    if len(shape) == 2 and shape[0] == want:
        return wants, "the axes seem to be swapped: the batch comes first"
    return wants, f"set in_features={shape[-1]}, or let what comes before it put out {want:,}"


def _convolution(module: Any, given: Sequence[torch.Tensor]) -> _Said:
    shape, channels, axes = tuple(given[0].shape), module.in_channels, SPACE[len(module.kernel_size)]
    wants = f"wants {shape_words(('N', channels, *axes))}"
    batched, bare = len(axes) + 2, len(axes) + 1
    if len(shape) == bare and shape[0] != channels:
        if channels == 1:
            return wants, "the axis of the one channel is missing: x.unsqueeze(1) adds it"
        if shape[-1] == channels:
            return wants, "the channels come last: x.movedim(-1, 0)[None] puts them where torch wants them"
        return wants, "an axis is missing, either that of the batch or that of the channels"
    if len(shape) not in (bare, batched):
        if len(shape) == 2:
            return wants, "it seems to be flattened already: put the convolution before the flattening"
        few = len(shape) < bare
        return (
            wants,
            f"an axis is {'missing' if few else 'too many'} ({len(shape)} axes instead of {batched})",
        )
    if len(shape) == batched and shape[1] != channels:
        if shape[-1] == channels:
            order = ", ".join(map(str, (0, batched - 1, *range(1, batched - 1))))
            return (
                wants,
                f"the channels come last, as in other frameworks: x.permute({order}) puts them second",
            )
        return wants, f"set in_channels={shape[1]}, or let what comes before it put out {channels} channels"
    if isinstance(module, _ConvTransposeNd):
        return None
    return _too_small(shape[-len(axes) :], module.kernel_size, module.padding, module.dilation)


def _pool(module: Any, given: Sequence[torch.Tensor]) -> _Said:
    axes = int(type(module).__name__[-2]) if type(module).__name__[-2:-1].isdigit() else 2
    shape = tuple(given[0].shape)
    if len(shape) < axes + 1:
        return f"wants {shape_words(('N', 'C', *SPACE[axes]))}", "an axis is missing"
    return _too_small(shape[-axes:], module.kernel_size, module.padding, getattr(module, "dilation", 1))


def _too_small(size: Sequence[int], kernel: Any, padding: Any, dilation: Any) -> _Said:
    if isinstance(padding, str):
        return None
    kernel, padding, dilation = (
        tuple(value) if isinstance(value, (tuple, list)) else (value,) * len(size)
        for value in (kernel, padding, dilation)
    )
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    if all(s + 2 * p >= r for s, p, r in zip(size, padding, reach)):
        return None
    wants = f"wants maps of at least {shape_words(max(1, r - 2 * p) for r, p in zip(reach, padding))}"
    return wants, "they have shrunk too far: larger inputs, fewer poolings, smaller strides or some padding"


def _norm(module: Any, given: Sequence[torch.Tensor]) -> _Said:
    shape, want, kind = tuple(given[0].shape), module.num_features, type(module).__name__
    right = {"1d": (2, 3), "2d": (4,), "3d": (5,)}.get(kind[-2:])
    if "InstanceNorm" in kind and right is not None:
        right = {"1d": (2, 3), "2d": (3, 4), "3d": (4, 5)}[kind[-2:]]
    wants = f"wants {want} channels in axis 1"
    if right is not None and len(shape) not in right:
        end = {2: "1d", 3: "1d", 4: "2d", 5: "3d"}.get(len(shape))
        meant = f"for {len(shape)} axes {kind[:-2]}{end} is meant" if end else "the number of axes is wrong"
        return f"wants {' or '.join(map(str, right))} axes", meant
    if len(shape) > 1 and shape[1] != want and "InstanceNorm" not in kind:
        if shape[-1] == want:
            return wants, "the channels come last: move them to axis 1"
        return wants, f"set num_features={shape[1]}"
    return None


def _layer_norm(module: Any, given: Sequence[torch.Tensor]) -> _Said:
    want, shape = tuple(module.normalized_shape), tuple(given[0].shape)
    if shape[-len(want) :] == want:
        return None
    return (
        f"wants {shape_words(want)} at the end of the shape",
        f"set normalized_shape={list(shape[-len(want) :])}",
    )


def _group_norm(module: Any, given: Sequence[torch.Tensor]) -> _Said:
    shape = tuple(given[0].shape)
    if len(shape) > 1 and shape[1] != module.num_channels:
        return f"wants {module.num_channels} channels in axis 1", f"set num_channels={shape[1]}"
    return None


def _recurrent(module: Any, given: Sequence[torch.Tensor]) -> _Said:
    shape, want = tuple(given[0].shape), module.input_size
    axes = "N×L" if module.batch_first else "L×N"
    wants = f"wants {axes}×{want}"
    if len(shape) not in (2, 3):
        return wants, "the sequence needs 3 axes (2 without a batch)"
    if shape[-1] != want:
        if shape[1] == want:
            return wants, "the features stand in axis 1: x.transpose(1, 2) moves them to the end"
        return wants, f"set input_size={shape[-1]}, or let what comes before it put out {want}"
    return None


def _attention(module: Any, given: Sequence[torch.Tensor]) -> _Said:
    query = tuple(given[0].shape)
    if query and query[-1] != module.embed_dim:
        return f"wants {module.embed_dim} features in the last axis", f"set embed_dim={query[-1]}"
    return None


def _embedding(module: Any, given: Sequence[torch.Tensor]) -> _Said:
    numbers, last = given[0], module.num_embeddings - 1
    if numbers.dtype not in (torch.int32, torch.int64):
        return (
            "wants whole numbers (torch.long)",
            f"they are {dtype_name(numbers.dtype)}; x.long() makes them whole",
        )
    if numbers.numel() and type(numbers) is torch.Tensor and not numbers.is_meta:
        low, high = int(numbers.min()), int(numbers.max())
        if low < 0 or high > last:
            wrong = low if low < 0 else high
            return (
                f"wants numbers from 0 to {last:,}",
                f"{wrong:,} is among them; set num_embeddings above the largest",
            )
    return None


def _types(module: nn.Module, given: Sequence[torch.Tensor]) -> _Said:
    weight = next((w for w in module._parameters.values() if w is not None and w.is_floating_point()), None)
    if weight is None or not given or given[0].dtype == weight.dtype or given[0].is_complex():
        return None
    ours, theirs = dtype_name(weight.dtype), dtype_name(given[0].dtype)
    cure = "x.float() / 255 for an image" if given[0].dtype == torch.uint8 else f"x.to(torch.{ours})"
    return f"has weights of {ours}", f"its values are {theirs}; {cure} turns them"


_RULES: tuple[tuple[Any, Callable[[Any, Sequence[torch.Tensor]], _Said]], ...] = (
    (nn.Linear, _linear),
    (_ConvNd, _convolution),
    ((_MaxPoolNd, _AvgPoolNd), _pool),
    (_NormBase, _norm),
    (nn.LayerNorm, _layer_norm),
    (nn.GroupNorm, _group_norm),
    (nn.RNNBase, _recurrent),
    (nn.MultiheadAttention, _attention),
    (nn.Embedding, _embedding),
)


# -- operations outside of torch's layers


def _of_operation(operation: TensorOperation) -> str | None:
    tensors, name = operation.tensors, operation.name.split(".")[-1].strip("_")
    if len(tensors) < 1:
        return None
    first = tuple(tensors[0].shape)
    if name == "cat":
        axis = operation.args[1] if len(operation.args) > 1 else 0
        return _joined([tuple(tensor.shape) for tensor in tensors if tensor.numel()], axis)
    if name in ("view", "reshape", "unsafe_view"):
        target = operation.args[1]
        return (
            f"{shape_words(first)} ({prod(first):,} values) does not fit into the shape {tuple(target)}"
            + _viewed(first, target)
        )
    if len(tensors) < 2:
        return None
    second = tuple(tensors[1].shape)
    if name in ("mm", "bmm", "addmm", "baddbmm"):
        if "add" in name and len(tensors) > 2:
            first, second = second, tuple(tensors[2].shape)
        if first and len(second) > 1 and first[-1] != second[-2]:
            inner = f"{first[-1]} and {second[-2]} must be equal"
            return f"{shape_words(first)} cannot be multiplied with {shape_words(second)}: {inner}"
        return None
    if name in _ELEMENTWISE and (axis := _differing(first, second)) is not None:
        one, other = first[axis], second[axis]
        cause = "an axis of theirs has another size"
        if len(first) == len(second) >= 3 and axis == 1 - len(first):
            cause = "their channels differ; on a shortcut a 1×1 convolution brings them to the same number"
        elif len(first) == len(second) >= 3:
            cause = "their maps differ in size: compare strides and paddings on both ways"
        both = f"{shape_words(first)} and {shape_words(second)}"
        return f"{_ELEMENTWISE[name]} {both} fails ({one} against {other}): {cause}"
    return None


_ELEMENTWISE = {
    "add": "adding",
    "sub": "subtracting",
    "mul": "multiplying",
    "div": "dividing",
    "where": "choosing between",
}


def _differing(first: Sequence[int], second: Sequence[int]) -> int | None:
    """Find the axis, from the end, where shapes do not broadcast."""
    for axis in range(-1, -min(len(first), len(second)) - 1, -1):
        if first[axis] != second[axis] and 1 not in (first[axis], second[axis]):
            return axis
    return None


def _joined(shapes: Sequence[tuple[int, ...]], axis: int) -> str | None:
    for other in shapes[1:]:
        both = f"{shape_words(shapes[0])} and {shape_words(other)}"
        if len(other) != len(shapes[0]):
            return f"{both} cannot be joined: they differ in their number of axes"
        at = axis % len(other)
        wrong = [i for i, (a, b) in enumerate(zip(shapes[0], other)) if a != b and i != at]
        if wrong:
            i = wrong[0]
            return (
                f"{both} cannot be joined along axis {at}: "
                f"axis {i} differs ({shapes[0][i]} against {other[i]})"
            )
    return None


def _viewed(shape: Sequence[int], target: Any) -> str:
    numbers = [int(size) for size in target]
    if len(numbers) == 2 and numbers[0] in (-1, shape[0]) and len(shape) > 1:
        return f": a sample has {prod(shape[1:]):,} values, not {numbers[1]:,}"
    return ""
