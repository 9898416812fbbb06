"""What trains of Keras layers, in Keras's own flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def follows(layer: Any) -> bool:
    """Say whether a layer's statistics follow what it sees in training."""
    return any(kind.__name__ == "BatchNormalization" for kind in type(layer).__mro__)


def holds(layer: Any) -> bool:
    """Say whether a layer infers in training, by its own flag."""
    return follows(layer) and not layer.trainable


def settle(layers: Sequence[Any], held: Mapping[int, bool]) -> None:
    """Set the flags of layers, outer before inner, and of their variables.

    Variables follow `requires_grad`, and layers their variables. A layer with statistics stays as it is, unless
    `held` has its identity: then it is whether that holds them.
    """
    flags = {id(one): (one, bool(one._value.requires_grad)) for layer in layers for one in layer._trainable_variables
             if one._value is not None}  # fmt: skip

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
        if variable.trainable != on or variable._value.requires_grad != on:
            variable.trainable = on
