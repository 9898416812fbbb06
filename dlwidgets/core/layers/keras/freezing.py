"""What trains of Keras layers, in Keras's own flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def follows(layer: Any) -> bool:
    """Say whether a layer's statistics follow what it sees in training."""
    kind = getattr(type(layer), "stands_for", type(layer))
    return any(one.__name__ == "BatchNormalization" for one in kind.__mro__)


def holds(layer: Any) -> bool:
    """Say whether a layer infers in training, by its own flag."""
    return follows(layer) and not layer.trainable


def settle(layers: Sequence[Any], held: Mapping[int, bool]) -> None:
    """Set the flags of layers, outer before inner, and of their variables.

    Variables follow `requires_grad`, and layers their variables. A layer with statistics stays as it is, unless
    `held` has its identity: then it is whether that holds them.
    """
    tensors = {id(one): tensor for layer in layers for one, tensor in _trained(layer)}
    flags = {id(one): (one, bool(tensors[id(one)].requires_grad)) for layer in layers for one, _ in _trained(layer)}

    def trains(layer: Any) -> bool:
        if follows(layer):
            return not held[id(layer)] if id(layer) in held else layer.trainable
        inside = [flags[id(one)][1] for one in layer.variables if id(one) in flags]
        return any(inside) if inside else layer.trainable

    wanted = [trains(layer) for layer in layers]
    for layer, on in zip(layers, wanted):
        if layer.trainable != on:
            layer.trainable = on  # and all inside, which comes later here
    for variable, on in flags.values():
        if variable.trainable != on or tensors[id(variable)].requires_grad != on:
            variable.trainable = on
            tensors[id(variable)].requires_grad_(on)  # which is a copy on TensorFlow and JAX


def _trained(layer: Any) -> list[tuple[Any, Any]]:
    """List the variables that a layer trains, each with its tensor."""
    if hasattr(type(layer), "stands_for"):
        return layer.trained_copies()
    return [(one, one._value) for one in layer._trainable_variables if one._value is not None]
