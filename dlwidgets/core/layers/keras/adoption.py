"""A Keras model on the torch backend as a well-formed module.

Keras makes each layer an `nn.Module`, but Sequential and Functional models keep theirs in lists, and every built layer
registers all variables below it in one ParameterDict. Here each layer gets its own: sub-layers in `_modules`, weights
in `_parameters`, moving statistics and seed states in `_buffers`, so that `named_modules`, `named_parameters`,
`state_dict` and hooks find what stands in the model, once. Keras itself reads none of these three.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import nn

from ...base.trees import CALLS
from .calls import call


def register_layers(model: Any) -> Any:
    """Register the layers of a Keras model in it; return it."""
    if not isinstance(model, nn.Module):
        from .mirror import mirror

        return mirror(model)
    if type(model) not in CALLS:
        CALLS[type(model)] = call
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        layer = waiting.pop()
        if id(layer) not in seen:
            seen.add(id(layer))
            waiting.extend(_register(layer))
    return model


def counterpart(layer: Any) -> type:
    """Return the torch class that does the same, or `nn.Module`."""
    names = (one.__name__ for one in type(layer).__mro__ if one.__module__.startswith("keras."))
    return next((_COUNTERPARTS[name] for name in names if name in _COUNTERPARTS), nn.Module)


def statistics_counted(layer: Any) -> list[torch.Tensor]:
    """List the buffers that `count_params()` counts: no seed states."""
    return [variable._value for variable in getattr(layer, "_non_trainable_variables", ())]


@cache
def is_layer(kind: type) -> bool:
    """Say whether a class is a layer of Keras."""
    return any(one.__module__ == "keras.src.layers.layer" for one in kind.__mro__)


_COUNTERPARTS: dict[str, type] = {
    "Dense": nn.Linear, "EinsumDense": nn.Linear, "Embedding": nn.Embedding,
    "Conv1D": nn.Conv1d, "Conv2D": nn.Conv2d, "Conv3D": nn.Conv3d,
    "DepthwiseConv1D": nn.Conv1d, "DepthwiseConv2D": nn.Conv2d,
    "Conv1DTranspose": nn.ConvTranspose1d, "Conv2DTranspose": nn.ConvTranspose2d, "Conv3DTranspose": nn.ConvTranspose3d,
    "BatchNormalization": nn.BatchNorm2d, "LayerNormalization": nn.LayerNorm, "GroupNormalization": nn.GroupNorm,
    "Dropout": nn.Dropout, "SpatialDropout1D": nn.Dropout1d, "SpatialDropout2D": nn.Dropout2d,
    "SpatialDropout3D": nn.Dropout3d,
    "MaxPooling1D": nn.MaxPool1d, "MaxPooling2D": nn.MaxPool2d, "MaxPooling3D": nn.MaxPool3d,
    "AveragePooling1D": nn.AvgPool1d, "AveragePooling2D": nn.AvgPool2d, "AveragePooling3D": nn.AvgPool3d,
    "ReLU": nn.ReLU, "LeakyReLU": nn.LeakyReLU, "PReLU": nn.PReLU, "ELU": nn.ELU, "Softmax": nn.Softmax,
    "LSTM": nn.LSTM, "GRU": nn.GRU, "SimpleRNN": nn.RNN, "MultiHeadAttention": nn.MultiheadAttention,
    "Flatten": nn.Flatten,
}  # fmt: skip


def _register(layer: nn.Module) -> list[nn.Module]:
    """Register what a layer holds; return the modules in it."""
    if not is_layer(type(layer)):  # a torch module that Keras wraps
        return [one for one in layer._modules.values() if one is not None]
    inside = _inside(layer)
    own = getattr(layer, "module", None)
    if isinstance(own, nn.Module) and not is_layer(type(own)):  # a TorchModuleWrapper: its variables are those of `own`
        inside["module"] = own
    else:
        for name, variable in _named(layer._trainable_variables):
            layer._parameters[name] = variable._value
        for name, variable in _named([*layer._non_trainable_variables, *(g.state for g in layer._seed_generators)]):
            layer._buffers[name] = variable._value
    if list(layer._modules.items()) != list(inside.items()):
        # Keras finds them by their attributes still, as `_functional` and `_torch_params`.
        layer.__dict__.update((name, one) for name, one in layer._modules.items() if inside.get(name) is not one)
        layer._modules.clear()
        layer._modules.update(inside)
    return [*inside.values()]


def _inside(layer: Any) -> dict[str, nn.Module]:
    """Return name -> sub-layer, in the order in which Keras has them."""
    attributes = {id(value): name for name, value in (*vars(layer).items(), *layer._modules.items())
                  if isinstance(value, nn.Module) and not name.startswith("_")}  # fmt: skip
    listed = getattr(layer, "_operations", None) or layer._layers  # a Functional model's are in the order of the graph
    found: dict[str, nn.Module] = {}
    for one in listed:
        if isinstance(one, nn.Module) and type(one).__name__ != "InputLayer" and one not in found.values():
            name = attributes.get(id(one), one.name).replace(".", "_")
            found[_fresh(name, found)] = one
    return found


def _named(variables: Any) -> Iterator[tuple[str, Any]]:
    taken: dict[str, Any] = {}
    for variable in variables:
        name = _fresh(variable.name.replace(".", "_"), taken)
        taken[name] = variable
        if isinstance(variable._value, torch.Tensor):
            yield name, variable


def _fresh(name: str, taken: Any) -> str:
    """Return a name that is not taken: "dense", "dense_1"."""
    number, fresh = 0, name
    while fresh in taken:
        number += 1
        fresh = f"{name}_{number}"
    return fresh
