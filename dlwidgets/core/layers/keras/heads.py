"""Layers of Keras drawn anew where they stand, also for other outputs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

#: The attribute that counts a layer's outputs, by kind.
_SIZES = {"Dense": "units", "BaseConv": "filters", "BaseConvTranspose": "filters"}


def count_outputs(layer: Any) -> int | None:
    """Return how many values a layer puts out, or None."""
    name = _size_name(layer)
    return getattr(layer, name) if name else None


def is_drawable(layer: Any) -> bool:
    """Say whether a layer's own weights can be drawn anew."""
    return bool(_own(layer)) and layer.built and _config(layer) is not None


def draw(layer: Any, outputs: int | None = None) -> None:
    """Draw a layer's own weights by its initialisers, from torch's random numbers.

    With `outputs` it puts out so many values from then on, and trains.
    """
    config = {**_config(layer), **({_size_name(layer): outputs} if outputs is not None else {})}
    with _drawn_from_torch():
        fresh = type(layer).from_config(config)
        fresh.build(*layer._build_shapes_dict.values())
    for old, new in zip(_own(layer), _own(fresh)):
        if outputs is None:
            old.assign(new)
        else:
            old._value, old._shape = torch.nn.Parameter(new._value.detach().to(old._value.device)), new._shape
    if outputs is not None:
        setattr(layer, _size_name(layer), outputs)
        layer.trainable = True


def take_parameters(layers: Iterable[Any]) -> None:
    """Have variables be the parameters that stand in their layers."""
    for layer in layers:
        for name, variable in ((one.name, one) for one in layer._trainable_variables):
            stands = layer._parameters.get(name)
            if stands is not None and stands is not variable._value:
                variable._value, variable._shape = stands, tuple(stands.shape)
                if (size := _size_name(layer)) and name == "bias":
                    setattr(layer, size, len(stands))


def renew_shapes(models: Iterable[Any]) -> None:
    """Have graphs say the shapes that layers put out, inner first."""
    from keras import tree

    for model in [*models][::-1]:
        graph = getattr(model, "_functional", None) or model
        by_depth = getattr(graph, "_nodes_by_depth", {})
        for node in (node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]):
            if not node.is_input:
                made = node.operation.compute_output_spec(*node.arguments.args, **node.arguments.kwargs)
                for tensor, spec in zip(node.outputs, tree.flatten(made)):
                    tensor._shape = spec.shape


def fit_activation(layer: Any, outputs: int) -> Any:
    """Return the activation that suits so many outputs."""
    from keras import activations

    name = getattr(layer.activation, "__name__", "")
    if name == "softmax" and outputs == 1:
        return activations.sigmoid
    return activations.softmax if name == "sigmoid" and count_outputs(layer) == 1 and outputs > 1 else layer.activation


def _size_name(layer: Any) -> str:
    kinds = [kind.__name__ for kind in type(layer).__mro__ if kind.__module__.startswith("keras.")]
    return next((_SIZES[kind] for kind in kinds if kind in _SIZES), "")


def _own(layer: Any) -> list[Any]:
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def _config(layer: Any) -> dict[str, Any] | None:
    """Return what a layer can be made anew from, or None."""
    try:
        return layer.get_config() if layer._build_shapes_dict else None
    except (NotImplementedError, AttributeError):
        return None


@contextmanager
def _drawn_from_torch() -> Iterator[None]:
    """Draw the seeds of initialisers, which are Python's random numbers, from torch's."""
    kept = random.getstate()
    random.seed(int(torch.randint(2**31, (1,))))
    try:
        yield
    finally:
        random.setstate(kept)
