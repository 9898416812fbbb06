"""Keras models without shapes: who wants one, and what to type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..framework import handed_over, is_layer
from ..kinds import shape_words
from ..walk import Layer
from .input_shapes import example_shape, input_shapes, open_sizes


def find_unbuilt(layers: Sequence[Layer]) -> Layer | None:
    """Return a model's first layer that needs a shape, or None.

    Keras's `model.built` does not tell: `build(28)`, or a `build` of one's own that does nothing, sets it while no
    layer is built. A layer that a model never calls needs none: the model has been called, and has weights.
    """
    model, own = _keras(layers[0]), [one for one in layers if is_layer(type(_keras(one))) and _builds(_keras(one))]
    if is_layer(type(model)):
        called = model.built and model._called and model.weights
    else:  # a torch module around layers of Keras
        called = any(_keras(one).built and _keras(one)._called for one in own)
    waiting = [] if called else [one for one in own if not _keras(one).built]
    # A model asks the layers inside for their shapes; one without any makes its weights itself.
    return next((one for one in waiting if not _is_model(_keras(one)) or not _keras(one)._layers), None)


def say_unbuilt(layers: Sequence[Layer], call: str = "summary") -> str:
    """Say which layer needs a shape, and what to write.

    "" where the model is built. `call` is how the function is reached that takes a batch; "" for none.
    """
    if (first := find_unbuilt(layers)) is None:
        return ""
    model = _keras(layers[0])
    shape, sizes = _likely_shape(layers, first)
    if is_sequential(model) and not model.layers:
        return "The Sequential has no layers yet: model.add(keras.layers.Dense(10)) adds one."
    waits = f"{_place(first)} is its first layer that needs" if first.path else "it needs"
    said = f"{layers[0].kind} is not built yet: {waits} a shape."
    said += "".join(f" {one}" for one in (_say_built_nothing(model), *idle_shapes(layers)) if one)
    needed, line = _needed(model), "Call it once, model(X[:1])"
    if is_sequential(model):
        line = f"Begin it with keras.Input({shape})"
    elif len(needed) > 1:
        line, sizes = f"Call it once, model({', '.join(f'{name}[:1]' for name in needed)})", ""
    elif not is_layer(type(model)):
        sizes = ""
    elif model.built or not _builds(model):
        line += f" or model(keras.ops.zeros({(1, *shape)}))"
    else:
        line += f", or write model.build({(None, *shape)})"
    line += f", with your own {sizes}" if sizes else ""
    batch = f"({', '.join(needed)})" if len(needed) > 1 else "X[:1]"
    return f"{said} {line}{f'; or pass a batch here, {call}(model, {batch})' if call else ''}."


def say_open(layers: Sequence[Layer], call: str = "summary") -> str:
    """Say which sizes a built model leaves open; "" for none."""
    model = _keras(layers[0])
    if not is_layer(type(model)) or not (shapes := open_sizes(model)):
        return ""
    shape = shapes[0][1:]
    letters = iter("HWDT" if len(shape) > 2 else "LMN")
    named = [next(letters) if size is None else size for size in shape]
    own = " and ".join(one for one in named if isinstance(one, str))
    sizes = f"({', '.join(map(str, named))}{',' * (len(named) == 1)})"
    return (
        f"{layers[0].kind} takes inputs of any {own}, as {shape_words(('N', *named))}, so there are no shapes. "
        f"Pass a batch, {call}(model, X[:1]), or the shape of one sample, {call}(model, input_shape={sizes}) "
        f"with your own {own}."
    )


def idle_shapes(layers: Sequence[Layer]) -> list[str]:
    """Say which layers of a model have an `input_shape=` that does nothing.

    Keras asks the first layer of a Sequential for it, and no other.
    """
    asked = {id(one.layers[0]) for one in map(_keras, layers) if is_sequential(one) and one.layers}
    return [
        f"input_shape={_argument(_keras(layer))} does nothing in {_place(layer)}: Keras asks the first layer of a "
        "Sequential alone for it."
        for layer in layers
        if not layer.again and _argument(_keras(layer)) is not None and id(_keras(layer)) not in asked
    ]


def _likely_shape(layers: Sequence[Layer], first: Layer) -> tuple[tuple[int, ...], str]:
    """Return the shape to write, and what is to be replaced."""
    given = (_argument(_keras(one)) for one in layers[: layers.index(first) + 1])
    if (shape := next(filter(None, given), None)) is not None:
        return shape, ""
    # A part that is built, as a pretrained base, says what it takes.
    for one in layers[1 : layers.index(first)]:
        if isinstance(shape := input_shapes(_keras(one)), tuple) and None not in shape[1:]:
            return shape[1:], ""
    before = [type(_keras(one)).__name__ for one in layers[: layers.index(first)]]
    return example_shape(_keras(first), flattened="Flatten" in before)


def _needed(model: Any) -> list[str]:
    """Return the names of the inputs that a model needs."""
    if not is_layer(type(model)):
        return []
    every = model._call_signature.parameters.values()
    free = [one for one in every if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD) and one.default is one.empty]
    return [one.name for one in free if one.name not in ("training", "mask")]


def _say_built_nothing(model: Any) -> str:
    """Say what a `build` did that built no layer."""
    if not is_layer(type(model)) or not model.built:
        return ""
    given = next(iter((model._build_shapes_dict or {}).values()), None)
    if given is not None and not isinstance(given, (tuple, list)):
        return f"model.build({given!r}) has built nothing: {given!r} is no shape."
    return "model.build() has marked it as built, and has built none of its layers: Keras does that by a first call."


def _place(layer: Layer) -> str:
    return f"{layer.path} ({layer.kind})" if layer.path else f"the model ({layer.kind})"


def _keras(layer: Layer) -> Any:
    return handed_over(layer.module)


def _builds(layer: Any) -> bool:
    """Say whether a layer has a `build` that makes something."""
    return not getattr(layer.build, "_is_default", False)


def _argument(layer: Any) -> tuple[int, ...] | None:
    """Return what a layer was given as `input_shape=`, or None."""
    given = getattr(layer, "_input_shape_arg", None)
    return tuple(given) if isinstance(given, (tuple, list)) else None


def has_class(layer: Any, name: str) -> bool:
    """Say whether a layer is of a class of Keras."""
    return any(one.__name__ == name and one.__module__.startswith("keras.") for one in type(layer).__mro__)


def _is_model(layer: Any) -> bool:
    return has_class(layer, "Model")


def is_sequential(layer: Any) -> bool:
    """Say whether a layer is a Sequential."""
    return has_class(layer, "Sequential")
