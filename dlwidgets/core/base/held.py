"""What objects hold: containers, tensors, arrays, generators, found through attributes."""

from __future__ import annotations

import array
import dis
import functools
import random
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

import numpy as np
import torch
from torch import nn

#: The kinds of random generators that an object may hold.
GENERATORS = (
    torch.Generator, np.random.Generator, np.random.BitGenerator, np.random.RandomState, random.Random,
)  # fmt: skip
#: What functools.lru_cache makes of a function.
CACHED = type(functools.lru_cache(len))
#: What keeps data beside the objects that use it.
CODE = (types.FunctionType, type, CACHED)
#: Numbers outside torch that are written in place.
ARRAYS = (np.ndarray, bytearray, array.array)
#: Of the variables of a notebook or file that a function reads, those of these kinds are taken as held by it.
_DATA = (list, dict, set, deque, torch.Tensor, *ARRAYS, *GENERATORS)
#: What holds nothing that could change; and packages whose objects other threads may be using.
PLAIN = frozenset({
    str, bytes, int, float, complex, bool, type(None), range, torch.dtype, torch.device, torch.Size,
})  # fmt: skip
_SHARED = {
    "threading", "_thread", "queue", "asyncio", "multiprocessing", "concurrent", "logging", "weakref", "io",
}  # fmt: skip
_OURS = __name__.partition(".")[0]
#: Packages whose functions and classes keep nothing of a model; an adapter enters its framework's.
FOREIGN = {"torch", "numpy", _OURS, *sys.stdlib_module_names}
#: Kinds of objects that no forward changes; the adapter of another framework enters its own.
STILL: set[type] = set()
#: How deep is searched; how many entries are looked into, of longer containers none; and how many objects.
_DEEP, _MANY, _MOST = 24, 10_000, 10_000


class Named(MutableMapping[str, Any]):
    """Some variables of an object, class, file or closure as a dict."""

    def __init__(self, owner: Any, names: Iterable[str]) -> None:
        self._owner, self._names = owner, tuple(names)

    def __getitem__(self, name: str) -> Any:
        try:
            return self._owner[name] if isinstance(self._owner, dict) else getattr(self._owner, name)
        except (AttributeError, ValueError):  # the latter of a closure's, not assigned yet
            raise KeyError(name) from None

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(self._owner, dict):
            self._owner[name] = value
        else:
            setattr(self._owner, name, value)

    def __delitem__(self, name: str) -> None:
        if isinstance(self._owner, dict):
            del self._owner[name]
        else:
            delattr(self._owner, name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


#: What has entries.
_PLACES = (dict, Named, list, tuple, set, frozenset, deque)


def find_held(
    owners: Iterable[Any], locked: bool = False, code: bool = True, left_out: Iterable[Any] = (),
    most: int = _MOST,
) -> Iterator[Any]:  # fmt: skip
    """Yield what the owners hold, and themselves, each object once.

    Attributes and entries are followed as deep as `_DEEP`, and from each module anew. With `code` functions
    and classes are followed to the data that they keep, have caught or read in their file, and to the
    functions that they call there. What belongs to several threads is passed over, unless `locked`. The
    nearest come first; after `most` objects, beside layers, tensors and containers, nothing is followed.
    """
    seen = set(map(id, left_out))
    waiting = deque((owner, _DEEP) for owner in owners)
    others = 0
    while waiting:
        one, depth = waiting.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, nn.Module):
            depth = _DEEP
        elif not isinstance(one, (torch.Tensor, *_PLACES)):
            others += 1
            if isinstance(one, types.ModuleType) or is_shared(one, locked):
                continue
        yield one
        if not code and isinstance(one, CODE):
            continue
        if depth and others <= most and len(parts := parts_of(one)) <= _MANY:
            waiting.extend([(part, depth - 1) for part in parts if type(part) not in PLAIN and type(part) not in STILL])


def raw_entries(one: MutableMapping[Any, Any]) -> dict[Any, Any]:
    """Return what a dict holds, whatever reading makes of it."""
    return dict(dict.items(one)) if isinstance(one, dict) and type(one) is not dict else dict(one)


def _house(one: Any) -> str:
    return str(getattr(one, "__module__", "") or "").partition(".")[0]


def is_shared(one: Any, locked: bool = False) -> bool:
    """Say whether threads share an object; one with a lock, unless `locked`."""
    if locked or _house(type(one)) in _SHARED:
        return _house(type(one)) in _SHARED
    attributes = getattr(one, "__dict__", {}).values()
    return _house(type(one)) == _OURS or any(type(value).__module__ == "threading" for value in attributes)


def parts_of(one: Any) -> list[Any]:
    """List what an object holds, its attributes as a dict."""
    if isinstance(one, (dict, Named)):
        return list(raw_entries(one).values())
    if isinstance(one, _PLACES):
        return list(one)
    if isinstance(one, torch.Tensor):
        inside = one.__tensor_flatten__()[0] if hasattr(one, "__tensor_flatten__") else ()
        parts = [getattr(one, name) for name in inside]
        parts += [one.grad] if one.is_leaf and one.grad is not None else []
        return parts + ([vars(one)] if vars(one) else [])
    if isinstance(one, type):
        return [] if _house(one) in FOREIGN else _parts_of_class(one)
    named = getattr(one, "__dict__", None)
    parts = [named] if isinstance(named, dict) else []
    if isinstance(one, types.FunctionType):
        return parts + ([] if _house(one) in FOREIGN else _caught_by(one))
    if isinstance(one, types.MethodType):
        return [one.__self__, one.__func__]
    if isinstance(one, functools.partial):
        return [*parts, one.func, *one.args, *one.keywords.values()]
    if isinstance(one, CACHED):
        return [one.__wrapped__]
    own = [kind for kind in type(one).__mro__ if _house(kind) not in FOREIGN]
    slots = [vars(kind).get("__slots__", ()) for kind in own]
    names = [name for some in slots for name in ((some,) if isinstance(some, str) else some)]
    return [*parts, *own[:1], *([Named(one, names)] if names else ())]


def _parts_of_class(one: type) -> list[Any]:
    """List the data in a class, and what its forward calls."""
    own = [kind for kind in one.__mro__ if _house(kind) not in FOREIGN]
    parts: list[Any] = []
    for kind in own:
        named = ((name, value) for name, value in vars(kind).items() if not name.startswith("__"))
        data = [name for name, value in named if type(value) in PLAIN or isinstance(value, _DATA)]
        parts += [Named(kind, data)] if data else []
    begin = ("forward", "__call__") if issubclass(one, nn.Module) else [n for kind in own for n in vars(kind)]
    waiting, called = list(begin), set()
    while waiting:
        if (name := waiting.pop()) in called:
            continue
        called.add(name)
        for function in (vars(kind)[name] for kind in own if name in vars(kind)):
            # That of a property, or of a class or static method.
            function = getattr(function, "fget", None) or getattr(function, "func", function)
            function = getattr(function, "__func__", function)
            if isinstance(function, (types.FunctionType, CACHED)):
                parts.append(function)
                code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
                waiting += names_in(code)[2] if code is not None else ()
    return parts


def _caught_by(function: types.FunctionType) -> list[Any]:
    """List what a function has caught, reads and calls."""
    parts: list[Any] = [Named(cell, ("cell_contents",)) for cell in function.__closure__ or ()]
    read, written, attributes = names_in(function.__code__)
    file, house = function.__globals__, _house(function)
    if written:
        parts.append(Named(file, written))
    for value in (file[name] for name in read if name in file):
        if isinstance(value, types.ModuleType) and value.__name__.partition(".")[0] not in FOREIGN:
            inside = (vars(value).get(name) for name in attributes)
            parts += [one for one in inside if isinstance(one, (types.FunctionType, CACHED, *_DATA))]
        elif isinstance(value, (types.FunctionType, CACHED, *_DATA)) or _house(type(value)) == house:
            parts.append(value)
        elif isinstance(value, type) and _house(value) == house:
            parts.append(value)
    return parts


@functools.lru_cache(4_096)
def names_in(code: types.CodeType) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return the names that code reads, writes, and of attributes."""
    read, written, attributes = set(), set(), set()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            read.add(step.argval)
        elif step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            written.add(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.add(step.argval)
        elif isinstance(step.argval, types.CodeType):
            for names, more in zip((read, written, attributes), names_in(step.argval)):
                names |= more
    return frozenset(read), frozenset(written), frozenset(attributes)
