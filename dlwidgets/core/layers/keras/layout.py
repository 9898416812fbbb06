"""A Keras layer's channels, and its weights in torch's order."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

#: Layers that work along the last axis, whatever the axes before it.
_LAST = {
    "Dense", "EinsumDense", "Embedding", "RNN", "Bidirectional", "MultiHeadAttention", "GroupedQueryAttention",
    "Attention", "AdditiveAttention",
}  # fmt: skip
#: Layers behind which the axes are others than before.
_MOVES = {"Permute", "Reshape", "Flatten", "RepeatVector"}
#: The gates of recurrent layers, in the order of Keras's kernels.
_GATES = {"LSTM": ("input", "forget", "cell", "output"), "GRU": ("update", "reset", "new"), "SimpleRNN": ("state",)}
#: Activations that torch's functions have under other names.
_NAMES = {"hard_sigmoid": "hardsigmoid", "hard_tanh": "hardtanh"}


def is_own_kind(layer: Any) -> bool:
    """Say whether a layer is one of Keras's own, and no model."""
    return type(layer).__module__.startswith("keras.src.layers.")


def is_simple(layer: Any) -> bool:
    """Say whether a layer is Keras's own, and none of attention."""
    return is_own_kind(layer) and not type(layer).__module__.startswith("keras.src.layers.attention.")


def locate_channels(layer: Any, axes: int, given: int | None = None) -> int:
    """Return the axis of the channels in so many axes.

    These are at least two. `given` is the axis that they had in what the layer was given, where that had as many axes.
    """
    kinds = _kinds(layer)
    if "TimeDistributed" in kinds and axes > 2:
        return locate_channels(layer.layer, axes - 1) + 1
    axis, said = getattr(layer, "axis", None), getattr(layer, "data_format", None)
    if "RNN" in kinds and said == "channels_first":  # as ConvLSTM2D, of one state or of a sequence of them
        return axes - layer.rank - 1
    if kinds & _LAST or axes == 2:
        return axes - 1
    if kinds & {"BatchNormalization", "GroupNormalization"} and isinstance(axis, int):
        return axis % axes
    if said in ("channels_last", "channels_first"):
        return axes - 1 if said == "channels_last" else 1
    if given is not None and not kinds & _MOVES:
        return given
    # A model, as its layers have them.
    inner = (getattr(one, "data_format", None) for one in layer._flatten_layers(include_self=False))
    form = next(filter(None, inner), sys.modules["keras"].config.image_data_format())
    return 1 if form == "channels_first" and axes > 3 else axes - 1


def name_activation(layer: Any, suffix: str = "") -> tuple[str, int | None]:
    """Return the activation that a layer ends with, and its axis.

    The name is that of torch's function, "" for none; the axis is a softmax's.

    `suffix` is which tensor of its output it is: the second state of an LSTM, "[2]" or, of the other
    direction, "[4]", is its cell, which has none.
    """
    layer = getattr(layer, "forward_layer", layer)
    kinds = _kinds(layer)
    if "LSTM" in kinds and suffix in ("[2]", "[4]"):
        return "", None
    if "Softmax" in kinds:
        return ("softmax", layer.axis) if isinstance(layer.axis, int) else ("", None)
    if "ReLU" in kinds:
        return "relu6" if layer.max_value == 6 else "relu", None
    given = getattr(layer, "activation", None)
    name = getattr(given, "__name__", "")
    return ("", None) if not callable(given) or name == "linear" else (_NAMES.get(name, name), -1)


@contextmanager
def linear(layer: Any) -> Iterator[None]:
    """Have a layer hand on its numbers without its activation."""
    if "activation" not in vars(layer):
        # One that is nothing else, as Softmax.
        with layer.register_forward_hook(lambda _layer, given, _made: given[0]):
            yield
        return
    kept = layer.activation
    vars(layer)["activation"] = sys.modules["keras"].activations.linear
    try:
        yield
    finally:
        vars(layer)["activation"] = kept


def arrange_kernels(layer: Any) -> dict[str, torch.Tensor]:
    """Return weights by name: outputs first, then inputs, then places.

    A depthwise kernel has one input for each filter. Vectors, as a bias, are left out where there is a matrix.
    """
    own = {name: tensor for name, tensor in _own(layer) if name != "bias"}
    if not own and "RNN" in _kinds(layer):
        return arrange_kernels(layer.cell)
    return {name: _arrange(layer, name, tensor) for name, tensor in own.items() if tensor.ndim > 1} or own


def _arrange(layer: Any, name: str, kernel: torch.Tensor) -> torch.Tensor:
    kinds = _kinds(layer)
    if name == "depthwise_kernel" or (name == "kernel" and "BaseDepthwiseConv" in kinds):
        # Places x inputs x filters of each; those of one input stand beside each other, as in the output.
        return kernel.flatten(-2).movedim(-1, 0)[:, None]
    if "BaseConvTranspose" in kinds:
        return kernel.movedim((-2, -1), (0, 1))
    if "EinsumDense" in kinds and name == "kernel":
        letters, made = layer.equation.partition(",")[2].split("->")
        made_of = [at for at, letter in enumerate(letters) if letter not in made]
        makes = [at for at, letter in enumerate(letters) if letter in made]
        return kernel.permute(*makes, *made_of).flatten(len(makes)).flatten(0, len(makes) - 1)
    if name == "pointwise_kernel":  # at one place, of what the depthwise kernel makes
        return kernel.flatten(0, -2).T
    if name in ("kernel", "recurrent_kernel"):
        return kernel.movedim((-1, -2), (0, 1))
    return kernel.movedim(-1, 0) if name == "alpha" else kernel


def read_bias(layer: Any) -> torch.Tensor | None:
    """Return the bias of a layer, one number a unit, or None."""
    found = dict(_own(layer)).get("bias")
    return None if found is None else found.flatten()


def arrange_gates(layer: Any) -> tuple[tuple[str, ...], torch.Tensor, torch.Tensor] | None:
    """Return a recurrent layer's gates by name, and its matrices.

    These are (gates * units) x inputs, and x units. Of a Bidirectional
    layer those of the one that runs forward; None of any other layer.
    """
    layer = getattr(layer, "forward_layer", layer)
    names = next((gates for kind, gates in _GATES.items() if kind in _kinds(layer)), None)
    own = {} if names is None else dict(_own(layer.cell))
    return None if "kernel" not in own else (names, own["kernel"].T, own["recurrent_kernel"].T)


def arrange_attention(layer: Any) -> dict[str, torch.Tensor]:
    """Return attention's three matrices, (heads * units) x inputs; else {}."""
    parts = {name: getattr(layer, f"_{name}_dense", None) for name in ("query", "key", "value")}
    return {name: arrange_kernels(dense)["kernel"] for name, dense in parts.items() if dense is not None}


def _own(layer: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights that a layer holds itself, on any backend."""
    for variable in (*layer._trainable_variables, *layer._non_trainable_variables):
        value = variable._value
        yield (
            variable.name,
            value.detach() if isinstance(value, torch.Tensor) else torch.as_tensor(variable.numpy()),
        )


def _kinds(layer: Any) -> set[str]:
    """Return the names of Keras's classes that a layer's stands on."""
    return {one.__name__ for one in type(layer).__mro__ if one.__module__.startswith("keras.")}
