"""Layers by name: what a path, a glob or a type means."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from ..layers.framework import acts_as, adopt, describe_no_module, framework_of, handed_over
from ..layers.walk import kind_of, walk
from .attention import ATTENTION

#: What a node of torch.fx may be called, or a glob over such names.
_OPERATION = re.compile(r"[A-Za-z_*?][\w*?]*")
#: Layers inside a layer of which its weights are made, or in which they are packed.
_MAKES_WEIGHTS = frozenset({"parametrizations", "_packed_params"})
#: How one names layers: a path, a glob over paths, a module type, a layer itself, or several of these.
Layers = str | type | nn.Module | Iterable["str | type | nn.Module"] | None


def layer_paths(model: nn.Module) -> dict[str, nn.Module]:
    """Return path -> layer, the model itself under "".

    A layer used under two paths is listed under both, a compiled model as what it was compiled from. What is
    no module is a TypeError.
    """
    model = adopt(model)
    if not isinstance(model, nn.Module):
        raise TypeError(f"activations wants a torch.nn.Module, {describe_no_module(model)}.")
    return {layer.path: layer.module for layer in walk(model)}


def paths_of(modules: Mapping[str, nn.Module], layer: Any) -> list[str]:
    """Return the paths of a layer itself, or of its framework's name.

    [] for any other way to name it; a layer that is not in the model is a ValueError.
    """
    if isinstance(layer, str):
        named = (at for at, one in modules.items() if at and framework_of(one).given_name(one) == layer)
        return [] if layer in modules else [*named]
    if isinstance(layer, type) or not (isinstance(layer, nn.Module) or framework_of(layer).given_name(layer)):
        return []
    found = [path for path, module in modules.items() if module is layer or handed_over(module) is layer]
    if not found:
        name = framework_of(layer).given_name(layer)
        raise ValueError(f"{kind_of(layer)}{f' {name!r}' if name else ''} is no layer of this model.")
    return found[:1]


def by_path(modules: Mapping[str, nn.Module], layers: Layers) -> Layers:
    """Return `layers` with layers and their own names as paths."""
    if layers is None or isinstance(layers, type):
        return layers
    single = isinstance(layers, (str, nn.Module)) or not isinstance(layers, Iterable)
    if single or framework_of(layers).given_name(layers):
        layers = [layers]  # type: ignore[list-item]
    found: list[Any] = []
    for layer in layers:
        end = ATTENTION if isinstance(layer, str) and layer.endswith(ATTENTION) else ""
        paths = paths_of(modules, layer.removesuffix(end) if isinstance(layer, str) else layer)
        found += [f"{path}{end}" for path in paths] or [layer]
    return found


def choose(modules: Mapping[str, nn.Module], layers: Layers) -> list[str]:
    """Return the paths that `layers` means; None: all that hold no others.

    TypeError: a layer is named by something else than text or a type; ValueError: no layer matches.
    """
    # A layer used under two paths is meant once, unless it is asked for by its other path.
    first = {id(module): path for path, module in reversed(modules.items())}
    once = {path: module for path, module in modules.items() if first[id(module)] == path}
    if layers is None:
        return leaves(once)
    if isinstance(layers, (str, type)) or not isinstance(layers, Iterable):
        layers = [layers]
    wanted: dict[str, None] = {}
    for layer in layers:
        if isinstance(layer, str):
            # A path is itself, whatever it looks like as a glob.
            matches = [layer] if layer in modules else matching(once, layer)
            if not matches:
                raise ValueError(no_such_layer(layer, modules))
        elif isinstance(layer, type):
            matches = [
                path for path, module in once.items()
                if isinstance(handed_over(module), layer) or acts_as(module, layer)
            ]  # fmt: skip
            if not matches:
                kinds = ", ".join(dict.fromkeys(kind_of(module) for module in modules.values()))
                raise ValueError(f"The model has no layer of type {layer.__name__}; it has {kinds}.")
        else:
            raise TypeError(f"A layer is named by its path, a glob, a module type or itself, not by {layer!r}.")
        wanted.update(dict.fromkeys(matches))
    return list(wanted)


def is_leaf(module: nn.Module) -> bool:
    """Say whether a layer holds no others, beside its weights' makers.

    One that its framework makes of others, as attention, is one as well.
    """
    return framework_of(module).is_whole(module) or all(name in _MAKES_WEIGHTS for name, _ in module.named_children())


def leaves(modules: Mapping[str, nn.Module]) -> list[str]:
    """Return the paths of the layers that hold no others."""
    parts = tuple(f"{path}." for path, module in modules.items() if path and framework_of(module).is_whole(module))
    return [path for path, module in modules.items() if is_leaf(module) and not path.startswith(parts)]


def matching(names: Iterable[str], glob: str) -> list[str]:
    """Return the names that a glob means; their case counts everywhere."""
    return [name for name in names if fnmatch.fnmatchcase(name, glob)]


def _listed(layers: Layers) -> list[str | type] | None:
    """Return layers as a list; None for all, or a type."""
    if layers is None or isinstance(layers, type) or not isinstance(layers, Iterable):
        return None
    return [layers] if isinstance(layers, str) else list(layers)


def split_attention(layers: Layers) -> tuple[Layers, list[str]]:
    """Split names of layers from those of attention weights.

    The latter lose their end: "heads.*[attention]" becomes "heads.*".
    """
    if (given := _listed(layers)) is None:
        return layers, []
    ends = [layer for layer in given if isinstance(layer, str) and layer.endswith(ATTENTION)]
    return [one for one in given if one not in ends], [one.removesuffix(ATTENTION) for one in ends]


def split_operations(modules: Mapping[str, nn.Module], layers: Layers) -> tuple[Layers, list[str]]:
    """Split names of layers from those that operations may have.

    ["conv1", "add", "features.9"] becomes ["conv1", "features.9"], which no operation is called, and ["add"].
    """
    if (given := _listed(layers)) is None:
        return layers, []
    names = [one for one in given if isinstance(one, str) and _OPERATION.fullmatch(one)]
    others = [one for one in names if one not in modules and not matching(modules, one)]
    return [layer for layer in given if layer not in others], others


def no_such_layer(layer: str, modules: Mapping[str, nn.Module], operations: Iterable[str] = ()) -> str:
    """Say that there is no such layer, with names close to it."""
    paths = [*(path for path in modules if path), *operations]
    close = difflib.get_close_matches(layer, paths, n=3, cutoff=0.5)
    # "conv1" is close to "features.stem.conv1" in a person's eyes, though not in letters.
    ends = [path for path in paths if path.rsplit(".", 1)[-1] == layer.rsplit(".", 1)[-1]]
    near = list(dict.fromkeys([*ends[:3], *close]))[:3]
    if near:
        return f"The model has no layer {layer!r}; close to it are {', '.join(map(repr, near))}."
    some = ", ".join(map(repr, paths[:5])) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
    return f"The model has no layer {layer!r}; it has {some or 'no layers inside'}."
