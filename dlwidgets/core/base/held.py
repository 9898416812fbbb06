"""What objects hold: containers, tensors, arrays, generators, found through attributes."""

from __future__ import annotations

import functools
import random
import types
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

#: The kinds of random generators that an object may hold.
GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
#: Of the variables of a notebook or file that a function reads, those of these kinds are taken as held by it.
_DATA = (list, dict, set, deque, torch.Tensor, np.ndarray, *GENERATORS)
#: What holds nothing that could change; and packages whose objects other threads may be using.
_PLAIN = (str, bytes, int, float, complex, bool, type(None), range, torch.dtype, torch.device, torch.Size)
_SHARED = {
    "threading", "_thread", "queue", "asyncio", "multiprocessing", "concurrent", "logging", "weakref", "io",
}  # fmt: skip
#: How deep is searched, and how many entries are looked into; of longer ones none is.
_DEEP, _MANY = 4, 1_000


def find_held(owners: Iterable[Any], locked: bool = False) -> Iterator[Any]:
    """Yield what the owners hold, and themselves, each object once.

    Attributes and entries are followed four levels deep, and from each module anew. What belongs to several
    threads (whatever has a lock) is passed over, unless `locked`.
    """
    seen: set[int] = set()
    waiting = [(owner, _DEEP) for owner in owners]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, _PLAIN) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, (type, types.ModuleType)) or type(one).__module__.partition(".")[0] in _SHARED:
            continue
        if isinstance(one, nn.Module):
            depth = _DEEP
        parts = _parts_of(one)
        attributes = {} if isinstance(one, nn.Module) else getattr(one, "__dict__", {})
        if not locked and any(type(value).__module__ in ("threading", "_thread") for value in attributes.values()):
            continue
        yield one
        if depth and len(parts) <= _MANY:
            waiting += [(part, depth - 1) for part in parts]


def _parts_of(one: Any) -> list[Any]:
    if isinstance(one, dict):
        return list(one.values())
    if isinstance(one, (list, tuple, set, frozenset, deque)):
        return list(one)
    if isinstance(one, types.FunctionType):
        return []
    if isinstance(one, (np.ndarray, *GENERATORS)):
        return []
    # The attributes as a dict, which is a container of its own.
    parts: list[Any] = [named] if (named := getattr(one, "__dict__", None)) else []
    if isinstance(one, torch.Tensor):
        if hasattr(one, "__tensor_flatten__"):
            parts += [getattr(one, name) for name in one.__tensor_flatten__()[0]]
        parts += [one.grad] if one.is_leaf and one.grad is not None else []
    return parts


def caught_by(function: Any) -> list[Any]:
    """List what a function has caught, and the data it reads."""
    found: list[Any] = []
    while not isinstance(function, types.FunctionType):
        if isinstance(function, functools.partial):
            found += [*function.args, *function.keywords.values()]
            function = function.func
        elif isinstance(function, types.MethodType):
            found.append(function.__self__)
            function = function.__func__
        else:
            return [*found, function]
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not assigned yet
            continue
    known = function.__globals__
    read = (known.get(name) for name in function.__code__.co_names)
    return found + [value for value in read if isinstance(value, _DATA)]
