"""Weights that a model holds where torch does not look for them."""

from __future__ import annotations

import argparse
import functools
import types
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..base.held import parts_of
from ..base.words import pluralize
from .framework import PACKAGES
from .walk import kind_of, numel_of

#: How deep lists in lists are searched.
_DEEPEST = 3
_OWN = frozenset(vars(nn.Module()))


@dataclass(frozen=True)
class Unregistered:
    """An attribute whose weights are no parameters of the model."""

    path: str  #: The attribute, as "encoder.layers".
    holder: str  #: What it is: "list", "tuple", "dict", "set", "tensor", or the class of an object.
    modules: tuple[nn.Module, ...]  #: The layers in it.
    weights: tuple[torch.Tensor, ...]  #: All weights in it that would train.

    def sentence(self, used: bool = False) -> str:
        """Say what follows from it, and what to do."""
        count = sum(map(numel_of, self.weights))
        kinds = Counter(map(kind_of, self.modules))
        what = " and ".join(f"{number} {kind}" for kind, number in kinds.items())
        what = what or pluralize(len(self.weights), "parameter")
        wanted = ("Module" if self.modules else "Parameter") + ("Dict" if self.holder == "dict" else "List")
        if self.holder == "tensor":
            held, cure = "is a plain tensor", f"self.{self.path} = nn.Parameter(...)"
        elif self.holder not in ("list", "tuple", "dict", "set"):
            held, cure = f"is an object ({self.holder}) with {what}", "an nn.Module"
        else:
            kind = "dict" if self.holder == "dict" else "list" if self.holder == "set" else self.holder
            held, cure = f"is a plain {kind} of {what}", f"nn.{wanted}(...)"
        return (
            f"{self.path} {held}, which torch does not look into: its {count:,} weights are "
            f"{'used, but ' if used else ''}never trained, saved or moved to another device. Make it {cure}."
        )


def find_unregistered(modules: Mapping[str, nn.Module]) -> list[Unregistered]:
    """Find weights in plain lists, tuples and dicts of modules, by path.

    Those that would not train anyhow, as of a teacher that is frozen, are left out.
    """
    kept = [*modules.values()]
    known = {id(module) for module in kept} | {
        id(tensor) for module in kept for tensor in (*module._parameters.values(), *module._buffers.values())
    }
    found = []
    for path, module in modules.items():
        if isinstance(module, torch.jit.ScriptModule) or type(module).__module__.partition(".")[0] in PACKAGES:
            continue
        for name, value in list(vars(module).items()):
            if name in _OWN or isinstance(value, nn.Module):
                continue
            layers, weights = _in(value, known, type(module).__module__)
            if any(weight.requires_grad for weight in weights):
                known.update(map(id, (*layers, *weights)))
                plain = (one.__name__ for one in (dict, list, tuple) if isinstance(value, one))
                other = "set" if isinstance(value, (set, frozenset)) else type(value).__name__
                kind = "tensor" if isinstance(value, torch.Tensor) else next(plain, other)
                place = f"{path}.{name}" if path else name
                found.append(Unregistered(place, kind, tuple(layers), tuple(weights)))
    return found


def _in(value: Any, known: set[int], file: str) -> tuple[list[nn.Module], list[torch.Tensor]]:
    layers, weights = {}, {}
    for part in _parts(value, file):
        if id(part) in known:
            continue
        if isinstance(part, nn.Module):
            layers[id(part)] = part
            weights.update((id(weight), weight) for weight in part.parameters() if id(weight) not in known)
        elif part.requires_grad and part.is_leaf:
            weights[id(part)] = part
    return list(layers.values()), list(weights.values())


def _parts(value: Any, file: str, depth: int = 0) -> Iterator[nn.Module | torch.Tensor]:
    """Yield layers and tensors in containers and in people's own objects."""
    if isinstance(value, (nn.Module, torch.Tensor)):
        if not (isinstance(value, torch.Tensor) and is_lazy(value)):
            yield value
        return
    within: Iterable[Any] = ()
    if isinstance(value, Mapping):
        within = value.values()
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        within = value
    elif isinstance(value, (types.MethodType, functools.partial)):
        bound = isinstance(value, types.MethodType)
        within = [value.__self__] if bound else [value.func, *value.args, *value.keywords.values()]
    elif _is_own(type(value), file):
        within = [part for held in parts_of(value) if isinstance(held, Mapping) for part in held.values()]
    if depth < _DEEPEST:
        for part in within:
            yield from _parts(part, file, depth + 1)


def _is_own(kind: type, file: str) -> bool:
    """Say whether a model's author made a class."""
    house = kind.__module__.partition(".")[0]
    return kind in (types.SimpleNamespace, argparse.Namespace) or house == file.partition(".")[0] != "torch"
