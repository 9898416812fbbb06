"""A Keras model on the torch backend as a well-formed module.

Keras makes each layer an `nn.Module`, but Sequential and Functional models keep theirs in lists, and every built layer
registers all variables below it in one ParameterDict. Here each layer gets its own: sub-layers in `_modules`, weights
in `_parameters`, moving statistics and seed states in `_buffers`, so that `named_modules`, `named_parameters`,
`state_dict` and hooks find what stands in the model, once. Keras itself reads none of these three.
"""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import nn

from ...base.held import FOREIGN, STILL
from ...base.trees import CALLS
from ..framework import is_layer
from .calls import call

# To look through them takes seconds.
FOREIGN.update(("keras", "absl", "optree"))


def register_layers(model: Any) -> Any:
    """Register the layers of a Keras model in it; return it."""
    if not isinstance(model, nn.Module) or hasattr(type(model), "stands_for"):
        from .mirror import mirror

        return mirror(model)
    if type(model) not in CALLS:
        CALLS[type(model)] = call
        STILL.update(_still_kinds())
    if (optimizer := getattr(model, "optimizer", None)) is not None:
        STILL.add(type(optimizer))
    known = vars(model).get("_dlwidgets_adopted")
    if known is None or not known.holds(model):
        _visit(model, _register)
        vars(model)["_dlwidgets_adopted"] = _Adopted(model)
    return model


class _Adopted:
    """What was registered in a model, and what it was registered by.

    The objects themselves, since an identity alone may be given to another one later.
    """

    def __init__(self, model: nn.Module) -> None:
        self._found = _list_found(model)

    def holds(self, model: nn.Module) -> bool:
        """Say whether nothing is another one since."""
        found = _list_found(model)
        return len(found) == len(self._found) and all(map(operator.is_, found, self._found))

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """Return None: a copy is to be adopted itself."""


STILL.add(_Adopted)


def _list_found(model: nn.Module) -> list[Any]:
    """List what decides how layers are registered, and how they are."""
    found: list[Any] = []

    def look(layer: Any) -> list[nn.Module]:
        modules = layer._modules
        found.append(layer)
        if not is_layer(type(layer)):
            return [one for one in modules.values() if one is not None]
        for held in (modules, layer._parameters, layer._buffers):
            found.extend(held)
            found.extend(held.values())
        state = vars(layer)
        found.append(state.get("_operations"))
        for one in state["_layers"]:
            found.extend((one, one.name))
        for held in (state["_trainable_variables"], state["_non_trainable_variables"]):
            for one in held:
                found.extend((one, one._value))
        for one in state["_seed_generators"]:
            found.extend((one, one.state._value))
        return [*modules.values()]

    _visit(model, look)
    return found


def _visit(model: nn.Module, look: Callable[[nn.Module], list[nn.Module]]) -> None:
    """Look at each module once; `look` returns those in it."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        layer = waiting.pop()
        if id(layer) not in seen:
            seen.add(id(layer))
            waiting.extend(look(layer))


def counterpart(layer: Any) -> type:
    """Return the torch class that does the same, or `nn.Module`."""
    names = (one.__name__ for one in type(layer).__mro__ if one.__module__.startswith("keras."))
    found = next((_COUNTERPARTS[name] for name in names if name in _COUNTERPARTS), nn.Module)
    return _FUNCTIONS.get(getattr(layer.activation, "__name__", ""), nn.Module) if found is nn.Identity else found


def put_value(layer: Any, name: str, value: nn.Parameter) -> None:
    """Have the variable of a registered weight hold another tensor."""
    old = layer._parameters[name]
    next(one for one in _variables_of(layer) if one._value is old)._value = value
    layer._parameters[name] = value


def statistics_counted(layer: Any) -> list[torch.Tensor]:
    """List the buffers that `count_params()` counts: no seed states."""
    variables = getattr(layer, "_non_trainable_variables", ())
    if hasattr(type(layer), "stands_for"):
        return [*layer._buffers.values()][: len(variables)]
    return [variable._value for variable in variables]


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
    "GlobalAveragePooling1D": nn.AdaptiveAvgPool1d, "GlobalAveragePooling2D": nn.AdaptiveAvgPool2d,
    "GlobalAveragePooling3D": nn.AdaptiveAvgPool3d, "GlobalMaxPooling1D": nn.AdaptiveMaxPool1d,
    "GlobalMaxPooling2D": nn.AdaptiveMaxPool2d, "GlobalMaxPooling3D": nn.AdaptiveMaxPool3d,
    "SeparableConv1D": nn.Conv1d, "SeparableConv2D": nn.Conv2d, "AlphaDropout": nn.AlphaDropout,
    "GaussianDropout": nn.Dropout, "GaussianNoise": nn.Dropout, "RMSNormalization": nn.RMSNorm,
    "LSTM": nn.LSTM, "GRU": nn.GRU, "SimpleRNN": nn.RNN, "RNN": nn.RNNBase,
    "MultiHeadAttention": nn.MultiheadAttention, "GroupedQueryAttention": nn.MultiheadAttention, "Flatten": nn.Flatten,
    "Activation": nn.Identity,  # by its function
}  # fmt: skip
#: What a layer Activation does, by the name of its function.
_FUNCTIONS: dict[str, type] = {
    "linear": nn.Identity, "relu": nn.ReLU, "relu6": nn.ReLU6, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU,
    "selu": nn.SELU, "celu": nn.CELU, "gelu": nn.GELU, "silu": nn.SiLU, "mish": nn.Mish, "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid, "softplus": nn.Softplus, "softsign": nn.Softsign, "softmax": nn.Softmax,
    "log_softmax": nn.LogSoftmax, "hard_silu": nn.Hardswish, "hard_sigmoid": nn.Hardsigmoid, "hard_tanh": nn.Hardtanh,
}  # fmt: skip


@cache
def _still_kinds() -> tuple[type, ...]:
    """Return the kinds of Keras's objects that describe layers and graphs."""
    from keras.src import initializers
    from keras.src.backend import KerasTensor
    from keras.src.dtype_policies import DTypePolicy
    from keras.src.layers.input_spec import InputSpec
    from keras.src.ops.node import Node
    from keras.src.ops.symbolic_arguments import SymbolicArguments
    from keras.src.saving.serialization_lib import SerializableDict
    from keras.src.utils.tracking import Tracker

    drawing = [one for one in vars(initializers).values() if isinstance(one, type)]
    kept = KerasTensor, DTypePolicy, InputSpec, Node, SymbolicArguments, SerializableDict, Tracker
    return *kept, *drawing, inspect.Signature


def _register(layer: nn.Module) -> list[nn.Module]:
    """Register what a layer holds; return the modules in it."""
    if not is_layer(type(layer)):  # a torch module that Keras wraps
        return [one for one in layer._modules.values() if one is not None]
    here = (*vars(layer).items(), *layer._modules.items())
    attributes = {name: one for name, one in here if isinstance(one, nn.Module)}
    own = attributes.get("module")
    if own is not None and not is_layer(type(own)):  # a TorchModuleWrapper: its variables are those of `own`
        inside, trained, beside = {"module": own}, {}, {}
    else:
        inside, kept, others = name_parts(layer, attributes)
        trained, beside = ({name: one._value for name, one in part.items()} for part in (kept, others))
    # All variables inside: Keras makes a module of them where there is none yet, which would be walked over.
    if "_torch_params" in attributes or "_torch_params" not in vars(layer):
        vars(layer)["_torch_params"] = {one.path: one._value for one in layer.variables}
    # What stood there is found by its attribute still, as `_functional` and `_query_dense`.
    by_name = layer._obj_type() in ("Sequential", "Functional")
    for name, one in attributes.items():
        gone = by_name and name.startswith(getattr(one, "name", "\0"))  # registered here, and taken out since
        if name not in inside and not gone:
            vars(layer).setdefault(name, one)
    if not by_name:
        # Keras saves what it finds by attributes: a layer of a list must not be one, or the file would not fit.
        vars(layer).update((name, None) for name in inside if name not in attributes)
    # Put in whole, and last: another thread may be calling the model, and finds its layers at any moment.
    for place, wanted in (("_modules", inside), ("_parameters", trained), ("_buffers", beside)):
        held = vars(layer)[place]
        if [*held] != [*wanted] or any(held[name] is not one for name, one in wanted.items()):
            vars(layer)[place] = wanted
    return [*inside.values()]


def name_parts(layer: Any, attributes: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return name -> sub-layer, trained variable and other variable.

    So they are named on each backend. `attributes` are the layers among the layer's own.
    """
    inside = _name_layers(layer, attributes)
    # A wrapper, as SpectralNormalization, has the kernel of what it wraps for its own as well.
    lower = {id(one) for sub in layer._flatten_layers(include_self=False) for one in _variables_of(sub)}
    ours = [one for one in _variables_of(layer) if id(one) not in lower and one._value is not None]
    names = _name_variables(layer, ours, inside)
    kept = {id(one) for one in layer._trainable_variables}
    return (
        inside,
        {name: one for name, one in names.items() if id(one) in kept},
        {name: one for name, one in names.items() if id(one) not in kept},
    )


def _name_layers(layer: Any, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return name -> sub-layer, in the order in which Keras has them.

    A layer of a subclassed model is named by its attribute, so that it has the same name in the next process: Keras
    numbers those without a name of their own.
    """
    # By the first of its names, where it has several.
    registered = getattr(layer, "_modules", attributes)  # which torch's backend alone has
    names = [*attributes.keys() - registered.keys(), *reversed(registered)]
    public = {id(attributes[name]): name for name in names if name in attributes and not name.startswith("_")}
    by_name = layer._obj_type() in ("Sequential", "Functional")
    places = {} if by_name else dict(_find_places({**vars(layer), **attributes}, ""))
    # A Functional model has some in the order of the graph, and those set beside it.
    listed = {id(one): one for one in (*getattr(layer, "_operations", ()), *layer._layers) if is_layer(type(one))}
    found: dict[str, nn.Module] = {}
    for one in listed.values():
        if type(one).__name__ == "InputLayer":
            continue
        name = public.get(id(one))
        if name is None or name in found:
            name = places.get(id(one)) if _is_numbered(one) else None
            name = (name or one.name).replace(".", "_")
            name += "_" * (registered.get(name) is not one and _is_written(layer, name))
            name = _fresh(name, {**found, **dict.fromkeys(public.values())})
        found[name] = one
    return found


#: Attributes in which Keras, torch and TensorFlow keep track of layers.
_TRACKED = ("_layers", "_modules", "_self_")


def _find_places(held: Any, start: str) -> Iterator[tuple[int, str]]:
    """Yield layers in attributes and lists, by identity, with places: "blocks_0"."""
    for key, one in held.items() if isinstance(held, dict) else enumerate(held):
        name = f"{start}_{key}" if start else str(key).lstrip("_")
        if isinstance(one, nn.Module) or is_layer(type(one)):
            yield id(one), name
        elif isinstance(one, (list, tuple, dict)) and not str(key).startswith(_TRACKED):
            yield from _find_places(one, name)


def _is_numbered(layer: Any) -> bool:
    """Say whether Keras gave a layer its name."""
    from keras.src.utils.naming import to_snake_case

    return re.fullmatch(re.escape(to_snake_case(type(layer).__name__)) + r"(_\d+)?", layer.name) is not None


def _name_variables(layer: Any, variables: list[Any], inside: dict[str, nn.Module]) -> dict[str, Any]:
    """Return name -> variable.

    No name is that of an attribute that is something else: it could not be set any more.
    """
    found: dict[str, Any] = {}
    for one in variables:
        name = one.name.replace(".", "_")
        if name in vars(layer) and vars(layer)[name] is not one:  # as the mean of Normalization
            name = next((key for key, value in vars(layer).items() if value is one), f"{name}_")
        found[_fresh(name, {**inside, **found})] = one
    return found


def _variables_of(layer: Any) -> list[Any]:
    """List a layer's own variables: trained, others, states of seed generators."""
    states = [one.state for one in layer._seed_generators]
    return [*layer._trainable_variables, *layer._non_trainable_variables, *states]


#: Attributes that Keras sets in `compile` and `fit`.
_SET_LATER = frozenset({"optimizer", "history", "stop_training", "stop_evaluating", "stop_predicting"})


def _is_written(layer: Any, name: str) -> bool:
    """Say whether an attribute is set at times, as no module is."""
    found = getattr(type(layer), name, None)
    return name in vars(layer) or name in _SET_LATER or getattr(found, "fset", None) is not None


def _fresh(name: str, taken: Any) -> str:
    """Return a name that is not taken: "dense", "dense_1"."""
    number, fresh = 0, name
    while fresh in taken:
        number += 1
        fresh = f"{name}_{number}"
    return fresh
