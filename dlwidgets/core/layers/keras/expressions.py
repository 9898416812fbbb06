"""How a person writes what stands in a Keras model."""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from typing import Any

from torch import nn


def write_layer(holder: Any, layer: Any) -> str:
    """Return what is written after a holder for its layer."""
    if holder._obj_type() in ("Sequential", "Functional") and any(one is layer for one in holder.layers):
        return f".get_layer({layer.name!r})"
    places = (place for one, place in _find_places(vars(holder) | dict(holder._modules), "", 0) if one is layer)
    # The shortest is the attribute that a person gave it.
    found = min(places, key=lambda place: (place.startswith("._"), len(place)), default=None)
    if found is not None:
        return found
    return f"._layers[{next(number for number, one in enumerate(holder._layers) if one is layer)}]"


def write_variable(layer: Any, tensor: Any) -> str:
    """Return what is written after a layer for its variable."""
    names = [name for name, one in vars(layer).items() if getattr(one, "_value", None) is tensor]
    for one in layer.weights:
        if one._value is tensor and getattr(getattr(layer, one.name, None), "_value", None) is tensor:
            names.insert(0, one.name)
    usable = [name for name in names if name.isidentifier() and not keyword.iskeyword(name)]
    public = [name for name in usable if not name.startswith("_")]
    if public or usable:
        return f".{(public or usable)[0]}"
    return f".variables[{next(number for number, one in enumerate(layer.variables) if one._value is tensor)}]"


def public_name(item: Any) -> str | None:
    """Return the name by which people know something of Keras: "keras.layers.Dense"."""
    from keras.src.api_export import get_name_from_symbol

    try:
        name = get_name_from_symbol(item)
    except TypeError:
        return None
    return name.replace("keras.src.", "keras.") if isinstance(name, str) else None


def _find_places(held: Any, start: str, depth: int) -> Iterator[tuple[Any, str]]:
    """Yield the layers in attributes, lists and dicts, with what is written."""
    pairs = held.items() if isinstance(held, dict) else enumerate(held)
    for key, one in pairs:
        if depth == 0 and (not str(key).isidentifier() or key in ("_layers", "_modules", "_functional", "_operations")):
            continue
        place = f".{key}" if depth == 0 else f"{start}[{key!r}]"
        if isinstance(one, nn.Module):
            yield one, place
        elif isinstance(one, (list, tuple, dict)) and depth < 3:
            yield from _find_places(one, place, depth + 1)
