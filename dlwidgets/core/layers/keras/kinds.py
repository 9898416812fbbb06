"""Keras's own layers: their telling arguments, and the input each wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from torch import nn

from ..framework import acts_as, handed_over, is_layer
from ..kinds import SPACE, WantedInput, shape_words
from ..walk import Layer

#: Layers that act otherwise in training.
_BY_MODE = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)


def describe_arguments(layer: Any) -> str:
    """Return a layer's telling arguments in short: "3×3 /2, relu"."""
    names = [one.__name__ for one in type(layer).__mro__ if one.__module__.startswith("keras.src.layers.")]
    said = []
    if (tell := next((_ARGUMENTS[name] for name in names if name in _ARGUMENTS), None)) is not None:
        with suppress(AttributeError, TypeError):  # a class made from it may have others
            said.append(tell(layer))
    if callable(activation := getattr(layer, "activation", None)) and _tells_activation(layer, names):
        said.append(getattr(activation, "__name__", type(activation).__name__))
    if getattr(layer, "lora_enabled", False):
        said.append(f"LoRA of rank {layer.lora_rank}")
    if getattr(layer, "quantization_mode", None):
        said.append(layer.quantization_mode)
    return ", ".join(word for word in said if word)


def wanted_by(layer: Any) -> WantedInput | None:
    """Return the input that a built layer wants; None where unknown."""
    names = {one.__name__ for one in type(layer).__mro__}
    if "Embedding" in names:
        most = layer.input_dim - 1
        return WantedInput("N×L", ("L",), True, f"whole numbers from 0 to {most:,}")
    sizes = getattr(getattr(layer, "input_spec", None), "axes", None) or {}
    if len(sizes) != 1 or next(iter(sizes)) not in (-1, 1):
        return None
    size, space = next(iter(sizes.values())), SPACE.get(getattr(layer, "rank", 0), ())
    sample = (size, *space) if 1 in sizes else (*space, size)
    return WantedInput(shape_words(("N", *sample)), sample)


def say_deaf(layers: Sequence[Layer]) -> list[str]:
    """Say which layers never learn that the model trains.

    Keras's `fit` passes `training=True` where the model's own `call` takes it; the layers inside have it from there.
    """
    model = handed_over(layers[0].module)
    function = getattr(type(model).call, "__code__", None) if is_layer(type(model)) else None
    if function is None or model._call_has_training_arg or "training" in str((function.co_names, function.co_consts)):
        return []
    modules = ((layer, handed_over(layer.module)) for layer in layers if not layer.again)
    idle = [f"{layer.path} ({layer.kind})" for layer, one in modules if acts_as(one, _BY_MODE) and is_layer(type(one))]
    if not idle:
        return []
    more = f" and {len(idle) - 2} more" if len(idle) > 2 else ""
    return [
        f"{layers[0].kind}.call takes no training, so that {' and '.join(idle[:2])}{more} "
        f"{'acts' if len(idle) == 1 else 'act'} in training as in inference, in Keras's fit as well. Write it as "
        "call(self, inputs, training=None)."
    ]


def _tells_activation(layer: Any, names: list[str]) -> bool:
    """Say whether an activation is not the one that is always there."""
    usual = {"LSTM": "tanh", "GRU": "tanh", "SimpleRNN": "tanh", "ConvLSTM": "tanh"}
    usual |= {f"{name}Cell": function for name, function in usual.items()}
    wanted = next((usual[name] for name in names if name in usual), "linear")
    return getattr(layer.activation, "__name__", "") != wanted


def _convolution(layer: Any) -> str:
    words = [shape_words(layer.kernel_size)]
    if any(step != 1 for step in layer.strides):
        words.append(f"/{_one(layer.strides)}")
    groups, kernel = getattr(layer, "groups", 1), getattr(layer, "_kernel", None)
    if groups > 1:
        words.append("depthwise" if kernel is not None and kernel.shape[-2] == 1 else f"{groups} groups")
    if getattr(layer, "depth_multiplier", 1) > 1:
        words.append(f"{layer.depth_multiplier} filters a channel")
    if any(step != 1 for step in layer.dilation_rate):
        words.append(f"dilated {_one(layer.dilation_rate)}")
    return " ".join(words)


def _pooling(layer: Any) -> str:
    apart = "" if tuple(layer.strides) == tuple(layer.pool_size) else f" /{_one(layer.strides)}"
    return shape_words(layer.pool_size) + apart


def _recurrence(layer: Any) -> str:
    words = ["backwards"] * bool(layer.go_backwards) + ["stateful"] * bool(layer.stateful)
    words += [f"dropout {rate:g}"] if (rate := getattr(layer, "dropout", 0)) else []
    return ", ".join(words)


def _margins(layer: Any) -> str:
    margins = getattr(layer, "padding", None) or getattr(layer, "cropping", None)
    flat = [side for one in margins for side in (one if isinstance(one, (tuple, list)) else (one,))]
    return str(flat[0]) if len(set(flat)) == 1 else " ".join(map(str, flat))


def _axis(layer: Any) -> str:
    axes = (layer.axis,) if isinstance(layer.axis, int) else tuple(layer.axis)
    return "" if axes == (-1,) else f"over {'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__)).replace("<lambda>", "lambda")


def _range(value: Any) -> str:
    """Write a factor of an augmentation: "±0.1", "0.8 to 1.2"."""
    low, high = value if isinstance(value, (tuple, list)) else (-value, value)
    return f"±{high:g}" if low == -high else f"{low:g} to {high:g}"


def _one(values: tuple[Any, ...]) -> str:
    return str(values[0]) if len(set(values)) == 1 else shape_words(values)


#: What tells a layer from others of its class, by the nearest of its classes that is named here.
_ARGUMENTS: dict[str, Callable[[Any], str]] = {
    "BaseConv": _convolution, "BaseConvTranspose": _convolution, "BaseDepthwiseConv": _convolution,
    "BaseSeparableConv": _convolution,
    "BasePooling": _pooling, "BaseAdaptivePooling": lambda layer: "to " + shape_words(layer.output_size),
    "Dropout": lambda layer: f"{layer.rate:g}", "AlphaDropout": lambda layer: f"{layer.rate:g}",
    "GaussianDropout": lambda layer: f"{layer.rate:g}", "GaussianNoise": lambda layer: f"{layer.stddev:g}",
    "BaseSpatialDropout": lambda layer: f"{layer.rate:g}",
    "EinsumDense": lambda layer: layer.equation.replace("->", "→"),
    "Embedding": lambda layer: f"of {layer.input_dim:,}" + ", 0 masked" * bool(layer.mask_zero),
    "MultiHeadAttention": lambda layer: f"{layer.num_heads} heads",
    "GroupedQueryAttention": lambda layer: f"{layer.num_query_heads} heads, {layer.num_key_value_heads} of keys",
    "BatchNormalization": _axis, "LayerNormalization": _axis, "Concatenate": _axis,
    "GroupNormalization": lambda layer: f"{layer.groups} groups",
    "LeakyReLU": lambda layer: f"{layer.negative_slope:g}", "ELU": lambda layer: f"{layer.alpha:g}",
    "ReLU": lambda layer: f"up to {layer.max_value:g}" if layer.max_value is not None else "",
    "Softmax": _axis, "RNN": _recurrence, "ConvLSTM": lambda layer: shape_words(layer.cell.kernel_size),
    "Bidirectional": lambda layer: "" if layer.merge_mode == "concat" else f"{layer.merge_mode or 'not'} merged",
    "UpSampling1D": lambda layer: f"× {layer.size}", "UpSampling2D": lambda layer: "× " + shape_words(layer.size),
    "UpSampling3D": lambda layer: "× " + shape_words(layer.size),
    "ZeroPadding1D": _margins, "ZeroPadding2D": _margins, "ZeroPadding3D": _margins,
    "Cropping1D": _margins, "Cropping2D": _margins, "Cropping3D": _margins,
    "Reshape": lambda layer: "to " + shape_words("·" if size == -1 else size for size in layer.target_shape),
    "Permute": lambda layer: "to " + ", ".join(map(str, layer.dims)), "RepeatVector": lambda layer: f"× {layer.n}",
    "Lambda": lambda layer: _name_of(layer.function), "Masking": lambda layer: f"{layer.mask_value:g}",
    "Rescaling": lambda layer: f"× {layer.scale:.3g}" + (f" {layer.offset:+g}" if layer.offset else "")
    if isinstance(layer.scale, (int, float)) and isinstance(layer.offset, (int, float)) else "",
    "Resizing": lambda layer: f"to {layer.height}×{layer.width}",
    "CenterCrop": lambda layer: f"to {layer.height}×{layer.width}",
    "RandomCrop": lambda layer: f"to {layer.height}×{layer.width}",
    "RandomFlip": lambda layer: str(layer.mode).replace("_", " "),
    "RandomRotation": lambda layer: _range(layer.factor), "RandomContrast": lambda layer: _range(layer.factor),
    "RandomBrightness": lambda layer: _range(layer.factor), "RandomZoom": lambda layer: _range(layer.height_factor),
    "RandomTranslation": lambda layer: f"{_range(layer.height_factor)}, {_range(layer.width_factor)}",
}  # fmt: skip
