"""What Keras says of inputs that do not fit, in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import isqrt, prod
from typing import Any

from torch import nn

from ..framework import handed_over
from ..kinds import SPACE, shape_words
from ..walk import kind_of
from .input_shapes import Shape, input_shapes
from .unbuilt import has_class

#: What Keras prints bold inside of its account of a call, and the names and shapes in what it says.
_BOLD = re.compile(r"\x1b\[1m(.*?)\x1b\[0m", re.DOTALL)
_NAME = re.compile(r"""[Ll]ayer ['"]([^'"]+)['"]""")
_SHAPE = re.compile(
    r"(?:received input with shape|Full shape received:|found shape=|incompatible shape|(?:input|inputs) shape=)"
    r"\s*(?:torch\.Size\(\[|\(|\[)([\dNone, ]*)"
)
#: How a layer says that maps have become smaller than its kernel.
_SMALL = ("greater than actual input size", "output size would be", "output size is too small")
#: What a convolution that is not built yet says while it is, which names no layer.
_BUILDING = (*_SMALL, "kernel shape must have the same length")
_Said = tuple[str, str] | None


def explain_inputs(
    error: BaseException, modules: Mapping[str, nn.Module], path: str, given: Sequence[Shape], whole: Sequence[Shape]
) -> tuple[str, bool]:
    """Say why a call failed, and whether shapes and weights prove it.

    Parameters
    ----------
    modules : path -> layer, of the whole model.
    path : the layer that was called last; "" for the model.
    given, whole : the shapes of what that layer was given, and of what the model was.
    """
    words, model = bare_words(error), handed_over(modules[""])
    if (named := _named_in(words, modules)) is None and path == "":
        named = _unnamed(words, modules)
    place = path if named is None else named
    where = f"{place} ({kind_of(modules[place])})" if place else kind_of(modules[place])
    for sign, said in _OTHERS.items():
        if sign in words:
            return f"{where}: {said(model, words)}.", True
    if (said := _of_inputs(model, whole, words)) is not None:
        return f"{where}{' fails' if place else ''}: {said}.", True
    shape = _shape_in(words) or (tuple(given[0]) if given and place in (path, named) else ())
    if len(whole) == 1 and shape[1:] == tuple(whole[0][1:]):  # a batch of another size may have built it
        shape = tuple(whole[0])
    if shape and (wants := _of_layer(handed_over(modules[place]), shape, words)):
        return f"{where} {wants[0]}, but was given {_words(shape)}: {wants[1]}.", True
    said = f"failed, given {', '.join(map(_words, given))}" if given else "failed"
    return f"{where} {said}: {' '.join(words.split()).rstrip('.')}.", False


def _named_in(words: str, modules: Mapping[str, nn.Module]) -> str | None:
    """Return the path of the layer that an error names, or None."""
    named = {getattr(handed_over(one), "name", None): path for path, one in modules.items()}
    return next((named[one] for one in _NAME.findall(words) if one in named), None)


def _unnamed(words: str, modules: Mapping[str, nn.Module]) -> str | None:
    """Return the path of the layer whose error names none, or None."""
    layers = [(path, handed_over(one)) for path, one in modules.items()]
    if "index out of range" in words:
        tables = [path for path, one in layers if has_class(one, "Embedding")]
        return tables[0] if len(tables) == 1 else None
    if not any(sign in words.lower() for sign in _BUILDING):
        return None
    return next((path for path, one in layers if hasattr(one, "rank") and not one.built), None)


def _shape_in(words: str) -> Shape:
    if (told := _SHAPE.search(words)) is None:
        return ()
    return tuple(None if part == "None" else int(part) for part in told[1].replace(" ", "").split(",") if part)


def _of_inputs(model: Any, whole: Sequence[Shape], words: str) -> str | None:
    """Say which input the model was not built for, or None."""
    known, name = input_shapes(model), "the model"
    shape = tuple(whole[0]) if len(whole) == 1 else ()
    if isinstance(known, (dict, list)):
        if (told := re.search(r"[Ii]nput (\d+) with name '([^']*)'", words)) is None:
            return None
        listed = known if isinstance(known, dict) else dict(enumerate(known))
        key = told[2] if told[2] in listed else int(told[1])
        known, shape, name = listed.get(key), _shape_in(words), f"its input {told[2]!r}"
    if not isinstance(known, tuple) or not shape or not (cause := _compare(known, shape)):
        return None
    return f"{name} wants {_words(known)}, but was given {_words(shape)}: {cause}"


def bare_words(error: BaseException) -> str:
    """Return what an error says, without its account of the call."""
    text = str(error).strip()
    return bold[-1].strip() if (bold := _BOLD.findall(text)) else text


def first_channels(layer: Any, shape: Shape) -> str:
    """Say that pictures seem to have their channels first; "" if not.

    `layer` is a convolution that has met no shape yet, and would take any.
    """
    rank = getattr(layer, "rank", 0)
    if rank != 2 or getattr(layer, "data_format", "") != "channels_last" or len(shape) != 4:
        return ""
    if not _looks_first(shape):
        return ""
    return f"the channels come second, as in torch's models: {_moved(4)} puts them last"


def _looks_first(shape: Shape) -> bool:
    """Say whether the channels of pictures seem to come before their rows."""
    return shape[1] in (1, 3, 4) and shape[2] == shape[3] and (shape[3] or 0) > 4


def _moved(axes: int) -> str:
    order = ", ".join(map(str, (0, *range(2, axes), 1)))
    return f"X.permute({order}), of an array X.transpose({order}),"


def _words(shape: Sequence[Any]) -> str:
    """Return a shape in words; what is open is a letter."""
    inner = "HW" if len(shape) == 4 else "LMN"
    letters = ["N", *inner, *"DEFG"]
    return shape_words(letters[place] if size is None else size for place, size in enumerate(shape))


def _compare(known: Shape, given: Shape) -> str:
    """Say how an input differs from the known one; "" if not."""
    fits = [known, *([known[:-1]] if known[-1] == 1 else [])]  # Keras adds a last axis of one
    if any(len(one) == len(given) and all(a in (None, b) for a, b in zip(one[1:], given[1:])) for one in fits):
        return "" if given != known[1:] else "the axis of the samples is missing: X[None] adds it"
    inner = known[1:]
    if given == inner or len(given) == len(inner) and all(a in (None, b) for a, b in zip(inner, given)):
        return "the axis of the samples is missing: X[None] adds it"
    if None in inner:
        return ""
    sizes = prod(inner)
    if len(given) == len(known) >= 4 and given[1] == known[-1] and given[2:] == known[1:-1]:
        return f"the channels come second, as in torch's models: {_moved(len(known))} puts them last"
    if len(given) == len(known) == 3 and given[1:] == inner[::-1]:
        return "the axes are swapped: X.swapaxes(1, 2) puts them right"
    alike = [size for size in given[1:] if size != 1] == [size for size in inner if size != 1]
    if prod(one or 0 for one in given[1:]) == sizes and (alike or 2 in (len(given), len(known))):
        flat = "they are flattened: " if len(given) == 2 else ""
        return f"{flat}X.reshape(-1, {', '.join(map(str, inner))}) makes that of them"
    if len(given) == len(known) >= 3 and given[1:-1] == known[1:-1]:
        return _other_channels(given[-1], known[-1], given[1:])
    if len(given) == len(known) == 4 and _looks_first(given):
        line = f"keras.Input({(given[2], given[3], given[1])})"
        return f"the channels seem to come second: {_moved(4)} puts them last, and {line} makes the model for them"
    if len(given) == len(known):
        line = f"keras.Input({given[1:]})"
        return f"bring them to that size, or make the model for theirs, {line}"
    few = "missing" if len(given) < len(known) else "too many"
    return f"an axis is {few}, {len(given)} in place of {len(known)}"


def _other_channels(given: int | None, wanted: int | None, sample: Shape) -> str:
    if given == 3 and wanted == 1:
        return f"they are in colour: make them gray, or make the model for 3 channels, keras.Input({sample})"
    if given == 1 and wanted == 3:
        return "they are gray: keras.ops.repeat(X, 3, axis=-1) gives them three channels, or make the model for one"
    return f"make the model for {given} in the last axis, or let the data have {wanted}"


# -- what layers want: (what it wants, the likely cause), or None where the input is as wanted


def _of_layer(layer: Any, shape: Shape, words: str) -> _Said:
    if has_class(layer, "Embedding"):
        among = re.match(r"-?[\d,]+ is among", words)
        cause = f"{among[0] if among else 'others are among'} them; set input_dim above the largest"
        return f"wants whole numbers from 0 to {layer.input_dim - 1:,}", cause
    rule = next((one for kind, one in _RULES.items() if has_class(layer, kind)), None)
    said = None if rule is None else rule(layer, shape)
    return said or _too_small(layer, shape, words)


def _channels(layer: Any) -> int | None:
    spec = getattr(layer, "input_spec", None)
    return next(iter((getattr(spec, "axes", None) or {}).values()), None)


def _convolution(layer: Any, shape: Shape) -> _Said:
    channels, axes, first = _channels(layer), SPACE[layer.rank], layer.data_format == "channels_first"
    named = ("N", channels or "C", *axes) if first else ("N", *axes, channels or "C")
    wants, last = f"wants {shape_words(named)}", shape[-1]
    if len(shape) == len(named):
        own = shape[1] if first else last
        if channels is None or own == channels:
            return (wants, cause) if (cause := first_channels(layer, shape)) else _last_channels(wants, shape, first)
        if not first and shape[1] == channels:
            return wants, f"the channels come second, as in torch's models: {_moved(len(shape))} puts them last"
        if first and last == channels:
            return _last_channels(wants, shape, first)
        return wants, _other_channels(own, channels, shape[1:])
    if len(shape) == len(named) - 1:
        sample = channels not in (None, 1) and last == channels or channels is None and last in (1, 3)
        if sample:
            return wants, "the axis of the samples is missing: X[None] adds it"
        return wants, f"the axis of the channels is missing: {'X[:, None]' if first else 'X[..., None]'} adds it"
    if len(shape) == 2 and layer.rank == 2 and last:
        side = isqrt(last // (channels or 1))
        if side * side * (channels or 1) == last:
            sizes = (channels or 1, side, side) if first else (side, side, channels or 1)
            line = ", ".join(map(str, sizes))
            return wants, f"they are flattened: X.reshape(-1, {line}) makes pictures of them"
    if len(shape) == 2:
        return wants, "they are flattened: put the convolution before the flattening"
    few = "missing" if len(shape) < len(named) else "too many"
    return wants, f"an axis is {few}, {len(shape)} in place of {len(named)}"


def _last_channels(wants: str, shape: Shape, first: bool) -> _Said:
    """Say that pictures have their channels last where they are wanted first."""
    if not first or shape[-1] not in (1, 3, 4) and shape[1] == shape[-1]:
        return None
    order = ", ".join(map(str, (0, len(shape) - 1, *range(1, len(shape) - 1))))
    return wants, f"the channels come last: X.permute({order}), of an array X.transpose({order}), puts them second"


def _dense(layer: Any, shape: Shape) -> _Said:
    want = _channels(layer)
    if want is None:
        return ("wants N×features", "the axis of the samples is missing: X[None] adds it") if len(shape) < 2 else None
    if shape[-1] == want:
        return None
    flat = prod(size or 0 for size in shape[1:])
    if len(shape) > 2 and flat == want:
        cause = f"keras.layers.Flatten() is missing before it, and makes {want:,} of {_words(shape[1:])}"
    elif len(shape) == 2 and shape[0] == want:
        cause = "the axes seem to be swapped: the batch comes first"
    elif len(shape) == 1:
        cause = "the axis of the samples is missing: X[None] adds it"
    else:
        cause = f"let what comes before it put out {want:,}, or make the model for inputs of this size"
    return f"wants {want:,} features in the last axis", cause


def _recurrent(layer: Any, shape: Shape) -> _Said:
    cell = getattr(layer, "cell", None)
    kernel = getattr(cell, "kernel", None)
    want = kernel.shape[0] if kernel is not None else None
    wants = f"wants N×L×{want or 'features'}"
    if len(shape) == 2:
        cause = (
            "an axis is missing: X[..., None] makes sequences of one feature of them, an Embedding vectors of tokens"
        )
        return wants, cause
    if len(shape) != 3:
        return wants, f"an axis is too many, {len(shape)} in place of 3"
    if want is None or shape[-1] == want:
        return None
    if shape[1] == want:
        return wants, "the features come before the steps: X.swapaxes(1, 2) puts them last"
    return wants, f"let what comes before it put out {want}, or make the model for {shape[-1]}"


def _normalised(layer: Any, shape: Shape) -> _Said:
    want = _channels(layer)
    if want is None or len(shape) < 2 or (axis := layer.axis) >= len(shape) or shape[axis] == want:
        return None
    said = f"wants {want} in {'the last axis' if axis == -1 else f'axis {axis}'}"
    if axis == -1 and shape[1] == want and len(shape) >= 4:
        return said, f"the channels come second, as in torch's models: {_moved(len(shape))} puts them last"
    return said, "let what comes before it put out as many"


def _pool(layer: Any, shape: Shape) -> _Said:
    axes = SPACE.get(int(kind_of(layer)[-2]) if kind_of(layer)[-2:-1].isdigit() else 2, ("H", "W"))
    first = getattr(layer, "data_format", "") == "channels_first"
    if len(shape) == len(axes) + 2:
        return None
    missing = "X[:, None]" if first else "X[..., None]"
    named = ("N", "C", *axes) if first else ("N", *axes, "C")
    cause = f"the axis of the channels is missing: {missing} adds it"
    if len(shape) != len(axes) + 1:
        cause = f"an axis is {'missing' if len(shape) < len(named) else 'too many'}"
    return f"wants {shape_words(named)}", cause


def _too_small(layer: Any, shape: Shape, words: str) -> _Said:
    kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if not kernel or not any(sign in words.lower() for sign in _SMALL):
        return None
    kernel = kernel if isinstance(kernel, tuple) else (kernel,) * (len(shape) - 2)
    spread = getattr(layer, "dilation_rate", 1)
    spread = spread if isinstance(spread, (tuple, list)) else (spread,) * len(kernel)
    least = shape_words(step * (size - 1) + 1 for size, step in zip(kernel, spread))
    cause = "they have shrunk too far: larger inputs, fewer poolings, smaller strides or padding='same'"
    return f"wants maps of at least {least}", cause


def _reshape(layer: Any, shape: Shape) -> _Said:
    want, given = prod(layer.target_shape), prod(size or 0 for size in shape[1:])
    if min(layer.target_shape, default=0) < 0 or want == given:
        return None
    cause = f"let what comes before it put out {want:,} values a sample, not {given:,}"
    return f"makes {shape_words(layer.target_shape)} of {want:,} values", cause


_RULES: dict[str, Callable[[Any, Shape], _Said]] = {
    "BaseConv": _convolution, "BaseConvTranspose": _convolution, "BaseDepthwiseConv": _convolution,
    "BaseSeparableConv": _convolution, "Dense": _dense, "RNN": _recurrent, "Bidirectional": _recurrent,
    "BatchNormalization": _normalised, "BasePooling": _pool, "BaseGlobalPooling": _pool,
    "Reshape": _reshape,
}  # fmt: skip


# -- what has no shape of its own to tell it by


def _names(model: Any) -> str:
    shapes = input_shapes(model)
    if isinstance(shapes, dict):
        return "it takes a dict, {" + ", ".join(f"{name!r}: {_words(one)}" for name, one in shapes.items()) + "}"
    if isinstance(shapes, list):
        return f"it takes {len(shapes)} inputs, {', '.join(map(_words, shapes))}, as a list"
    return f"it takes one input, {_words(shapes)}" if shapes else "it takes other inputs"


def _undefined(model: Any, words: str) -> str:
    return (
        "a shape of None was met (Keras: “Undefined shapes are not supported”), as of KerasTensor(shape=None), "
        "or of a compute_output_shape that returns nothing: write it as a tuple, its batch None, as (None, 28, 28, 1)"
    )


def _configured(model: Any, words: str) -> str:
    kept = re.search(r"input shape \(([^)]*)\)", words)
    shape = f", ({kept[1]})" if kept else ""
    return f"an earlier call has given it the shape of its inputs for good{shape}: make the model anew"


_OTHERS: dict[str, Callable[[Any, str], str]] = {
    "Undefined shapes are not supported": _undefined,
    "has already been configured to use input shape": _configured,
    "doesn't match the expected structure": lambda model, words: (
        f"other inputs were given than it has: {_names(model)}"
    ),
    "input tensors.": lambda model, words: f"other inputs were given than it has: {_names(model)}",
    "Missing data for input": lambda model, words: f"an input is missing: {_names(model)}",
    "Invalid dtype: str": lambda model, words: (
        "texts are no numbers: keras.layers.TextVectorization or StringLookup, outside the model, turns them"
    ),
    "isn't built": lambda model, words: "it is not built yet: call it once on a batch, model(X[:1])",
}
