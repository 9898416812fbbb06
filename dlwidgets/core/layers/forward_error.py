"""Why a forward failed: the layer, its input, the likely cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.pooling import _AvgPoolNd, _MaxPoolNd

from ..base.trees import tree_tensors
from ..base.words import quote_error
from .framework import framework_of
from .kinds import SPACE, dtype_name, shape_words
from .operations import LOOKUPS, TensorOperation, values_of
from .trace import Failure
from .walk import kind_of, walk


class FailureReason(NamedTuple):
    """Why a forward failed, for the person who wrote the model."""

    sentence: str
    #: Whether the layer's own numbers prove it, so that the model cannot run.
    certain: bool


def explain(failure: Failure, modules: Mapping[str, nn.Module], whole: Sequence[Any]) -> FailureReason:
    """Return why the forward failed, whose layers are `modules` by path.

    `whole` are the shapes of the model's inputs.
    """
    shapes = [tuple(tensor.shape) for tensor in failure.inputs.values()]
    ours = framework_of(modules[""])
    if (said := ours.explain_call(failure.error, modules, failure.path, shapes, whole)) is not None:
        return FailureReason(*said)
    module = modules[failure.path]
    where = f"{failure.path} ({kind_of(module)})" if failure.path else kind_of(module)
    given = list(failure.inputs.values())
    if given and (said := _of_layer(module, given[0])):
        wants, cause = said
        return FailureReason(f"{where} {wants}, but was given {_shapes(given[:1])}: {cause}.", True)
    operation = failure.operation
    if operation is not None and (reason := _of_operation(operation)):
        return FailureReason(f"In the forward of {where}, {reason}.", True)
    words = quote_error(failure.error).rstrip(".")
    said = "failed" + (f", given {_shapes(given)}" if given else "")
    if isinstance(failure.error, TypeError) and "argument" in words:
        said = "was called with other arguments than its forward takes"
    elif "does not require grad" in words:
        words += "; it differentiates by its input, and must begin with x = x.requires_grad_()"
    return FailureReason(f"{where} {said}: {words}.", False)


def explain_foreign(error: BaseException, model: nn.Module, inputs: Any) -> str:
    """Say why a model of another framework fails; "" of torch's."""
    shapes = [tuple(tensor.shape) for tensor in tree_tensors(inputs)]
    modules = {layer.path: layer.module for layer in walk(model)}
    said = framework_of(modules[""]).explain_call(error, modules, "", shapes, shapes)
    return "" if said is None else said[0]


def _shapes(tensors: Sequence[torch.Tensor]) -> str:
    return ", ".join(shape_words(tensor.shape) for tensor in tensors)


# -- what layers want: (what it wants, the likely cause), or None where the input is as wanted

_Said = tuple[str, str] | None


def _of_layer(module: Any, given: torch.Tensor) -> _Said:
    shape = tuple(given.shape)
    said = next((rule(module, shape) for kinds, rule in _RULES if isinstance(module, kinds)), None)
    looks_up = isinstance(module, (nn.Embedding, nn.EmbeddingBag))
    if said is None and looks_up:
        said = _embedding(module, given)
    weights = (w for w in module._parameters.values() if w is not None)
    weight = next((w for w in weights if w.is_floating_point() or w.is_complex()), None)
    # A layer of one's own may do with numbers what it likes.
    own = not type(module).__module__.startswith("torch.") and not given.is_floating_point()
    if said or looks_up or own or weight is None:
        return said
    if given.dtype == weight.dtype or (given.is_complex() and not weight.is_complex()):
        return None
    ours, theirs = dtype_name(weight.dtype), dtype_name(given.dtype)
    cure = "x.float() / 255 for an image" if given.dtype == torch.uint8 else f"x.to(torch.{ours})"
    return f"has weights of {ours}", f"its values are {theirs}; {cure} turns them"


def _linear(module: Any, shape: Sequence[int]) -> _Said:
    want = module.in_features
    if not shape or shape[-1] == want:
        return None
    flat = prod(shape[1:])
    if len(shape) > 2 and flat == want:
        cause = f"nn.Flatten() is missing before it, and makes {want:,} of {shape_words(shape[1:])}"
    elif len(shape) == 4 and shape[1] == want:
        cause = (
            "the maps are not pooled: nn.AdaptiveAvgPool2d(1) and nn.Flatten() before it give the channels"
        )
    elif len(shape) > 3:
        cause = f"the maps are not flattened: put nn.Flatten() before it and set in_features={flat}"
    elif len(shape) == 2 and shape[0] == want:
        cause = "the axes seem to be swapped: the batch comes first"
    else:
        cause = f"set in_features={shape[-1]}, or let what comes before it put out {want:,}"
    return (
        f"wants {want:,} features in the last axis (its weight is {shape_words(module.weight.shape)})",
        cause,
    )


def _convolution(module: Any, shape: Sequence[int]) -> _Said:
    channels, axes = module.in_channels, SPACE[len(module.kernel_size)]
    batched, last = len(axes) + 2, bool(shape) and shape[-1] == channels
    if len(shape) == batched - 1 and shape[0] != channels:
        cause = "an axis is missing, either that of the batch or that of the channels"
        if channels == 1:
            cause = "the axis of the one channel is missing: x.unsqueeze(1) adds it"
        elif last:
            cause = "the channels come last: x.movedim(-1, 0)[None] puts them where torch wants them"
    elif len(shape) not in (batched - 1, batched):
        few = "missing" if len(shape) < batched else "too many"
        cause = f"an axis is {few} ({len(shape)} axes instead of {batched})"
        if len(shape) == 2:
            cause = "it seems to be flattened already: put the convolution before the flattening"
    elif len(shape) == batched and shape[1] != channels:
        cause = f"set in_channels={shape[1]}, or let what comes before it put out {channels} channels"
        if last:
            order = ", ".join(map(str, (0, batched - 1, *range(1, batched - 1))))
            cause = f"the channels come last, as in other frameworks: x.permute({order}) puts them second"
    elif isinstance(module, _ConvTransposeNd):
        return None
    else:
        return _too_small(shape[-len(axes) :], module.kernel_size, module.padding, module.dilation)
    return f"wants {shape_words(('N', channels, *axes))}", cause


def _pool(module: Any, shape: Sequence[int]) -> _Said:
    axes = int(type(module).__name__[-2]) if type(module).__name__[-2:-1].isdigit() else 2
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


def _norm(module: Any, shape: Sequence[int]) -> _Said:
    want, kind = module.num_features, type(module).__name__
    instance = "InstanceNorm" in kind
    right = {"1d": (2, 3), "2d": (4,), "3d": (5,)}.get(kind[-2:])
    if instance and right is not None:
        right = {"1d": (2, 3), "2d": (3, 4), "3d": (4, 5)}[kind[-2:]]
    if right is not None and len(shape) not in right:
        end = {2: "1d", 3: "1d", 4: "2d", 5: "3d"}.get(len(shape))
        meant = f"for {len(shape)} axes {kind[:-2]}{end} is meant" if end else "the number of axes is wrong"
        return f"wants {' or '.join(map(str, right))} axes", meant
    if len(shape) < 2 or shape[1] == want or instance:
        return None
    last = shape[-1] == want
    cause = "the channels come last: move them to axis 1" if last else f"set num_features={shape[1]}"
    return f"wants {want} channels in axis 1", cause


def _other_size(module: Any, shape: Sequence[int]) -> _Said:
    if isinstance(module, nn.LayerNorm):
        want, given = tuple(module.normalized_shape), tuple(shape[-len(module.normalized_shape) :])
        if given != want:
            return f"wants {shape_words(want)} at the end of the shape", f"set normalized_shape={list(given)}"
    elif isinstance(module, nn.GroupNorm):
        if len(shape) > 1 and shape[1] != module.num_channels:
            return f"wants {module.num_channels} channels in axis 1", f"set num_channels={shape[1]}"
    elif shape and shape[-1] != module.embed_dim:
        return f"wants {module.embed_dim} features in the last axis", f"set embed_dim={shape[-1]}"
    return None


def _recurrent(module: Any, shape: Sequence[int]) -> _Said:
    want = module.input_size
    wants = f"wants {'N×L' if module.batch_first else 'L×N'}×{want}"
    if len(shape) not in (2, 3):
        return wants, "the sequence needs 3 axes (2 without a batch)"
    if shape[-1] == want:
        return None
    if shape[1] == want:
        return wants, "the features stand in axis 1: x.transpose(1, 2) moves them to the end"
    return wants, f"set input_size={shape[-1]}, or let what comes before it put out {want}"


def _embedding(module: Any, numbers: torch.Tensor) -> _Said:
    if numbers.dtype not in (torch.int32, torch.int64):
        cause = f"they are {dtype_name(numbers.dtype)}; x.long() makes them whole"
        return "wants whole numbers (torch.long)", cause
    wants = f"wants numbers from 0 to {module.num_embeddings - 1:,}"
    said = _out_of_range(values_of(numbers), module.num_embeddings)
    return (wants, f"{said}; set num_embeddings above the largest") if said else None


def _out_of_range(numbers: Any, rows: int) -> str:
    """Say which numbers have no row in a table, or ""."""
    if type(numbers) is not torch.Tensor or numbers.is_meta or not numbers.numel():
        return ""
    bad = (numbers < 0) | (numbers >= rows)
    count = int(bad.sum())
    if not count:
        return ""
    low, high = int(numbers.min()), int(numbers.max())
    said = f"{low if low < 0 else high:,} is among them"
    if count > 1:
        said += f", {count:,} are outside"
    at = bad.nonzero()[0].tolist()
    where = f", the first in row {at[0]}" if at else ""
    return said + where + (f", column {at[1]}" if len(at) == 2 else "")


_RULES: tuple[tuple[Any, Callable[[Any, Sequence[int]], _Said]], ...] = (
    (nn.Linear, _linear),
    (_ConvNd, _convolution),
    ((_MaxPoolNd, _AvgPoolNd), _pool),
    (_NormBase, _norm),
    (nn.RNNBase, _recurrent),
    ((nn.LayerNorm, nn.GroupNorm, nn.MultiheadAttention), _other_size),
)


# -- operations outside of torch's layers

_ELEMENTWISE = dict(
    add="adding", sub="subtracting", mul="multiplying", div="dividing", where="choosing between"
)


def _of_operation(operation: TensorOperation) -> str | None:
    shapes = [tuple(tensor.shape) for tensor in operation.tensors]
    name = operation.name.split(".")[-1].strip("_")
    if not shapes:
        return None
    first = shapes[0]
    if operation.name in LOOKUPS:
        said, rows = _out_of_range(values_of(operation.tensors[1]), first[0]), first[0]
        return f"a table of {rows:,} has rows for the numbers 0 to {rows - 1:,}: {said}" if said else None
    if name == "cat":
        axis = operation.args[1] if len(operation.args) > 1 else 0
        return _joined([shape for shape in shapes if prod(shape)], axis)
    if name in ("view", "reshape", "unsafe_view"):
        target = tuple(map(int, operation.args[1]))
        said = f"{shape_words(first)} ({prod(first):,} values) does not fit into the shape {target}"
        if len(target) == 2 and target[0] in (-1, first[0]) and len(first) > 1:
            said += f": a sample has {prod(first[1:]):,} values, not {target[1]:,}"
        return said
    if len(shapes) < 2:
        return None
    if name in ("mm", "bmm", "addmm", "baddbmm"):
        first, second = shapes[1:3] if "add" in name and len(shapes) > 2 else shapes[:2]
        if first and len(second) > 1 and first[-1] != second[-2]:
            inner = f"{first[-1]} and {second[-2]} must be equal"
            return f"{shape_words(first)} cannot be multiplied with {shape_words(second)}: {inner}"
        return None
    # The axis, from the end, where the shapes do not broadcast.
    pairs = enumerate(zip(reversed(first), reversed(shapes[1])), 1)
    place, sizes = next(((i, pair) for i, pair in pairs if pair[0] != pair[1] and 1 not in pair), (0, ()))
    if name not in _ELEMENTWISE or not place:
        return None
    cause = "an axis of theirs has another size"
    if len(first) == len(shapes[1]) >= 3:
        cause = "their maps differ in size: compare strides and paddings on both ways"
        if place == len(first) - 1:
            cause = "their channels differ; on a shortcut a 1×1 convolution brings them to the same number"
    both = f"{shape_words(first)} and {shape_words(shapes[1])}"
    return f"{_ELEMENTWISE[name]} {both} fails ({sizes[0]} against {sizes[1]}): {cause}"


def _joined(shapes: Sequence[tuple[int, ...]], axis: int) -> str | None:
    for other in shapes[1:]:
        both = f"{shape_words(shapes[0])} and {shape_words(other)}"
        if len(other) != len(shapes[0]):
            return f"{both} cannot be joined: they differ in their number of axes"
        at = axis % len(other)
        for i, (a, b) in enumerate(zip(shapes[0], other)):
            if a != b and i != at:
                return f"{both} cannot be joined along axis {at}: axis {i} differs ({a} against {b})"
    return None
