"""What objects remember beside parameters: counters, lists, arrays, variables."""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ..base.held import is_shared, names_in

_NUMBERS = (bool, int, float, str, bytes, type(None))
#: Of a container of more entries nothing is kept, nor of an array of more values.
_MANY, _LARGE = 1_000, 1_000_000
#: Attributes that torch keeps of each module.
_OF_TORCH = frozenset(vars(nn.Module()))
#: Stands for a tensor, which is kept by itself.
_TENSOR = "\0tensor"


class Variables:
    """The variables that a function has caught or assigns to."""

    def __init__(self, function: types.FunctionType) -> None:
        self._cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
        self._globals, self._names = function.__globals__, names_in(function.__code__)[1]

    def read(self) -> dict[str, Any]:
        """Return the variables that have a value."""
        found = {name: self._globals[name] for name in self._names if name in self._globals}
        for name, cell in self._cells.items():
            try:
                found[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
        return found

    def write(self, name: str, value: Any) -> None:
        """Assign to a variable."""
        if name in self._cells:
            self._cells[name].cell_contents = value
        else:
            self._globals[name] = value


def remembers(one: Any) -> bool:
    """Say whether an object is one whose memory can be read."""
    if isinstance(one, np.ndarray):
        return one.dtype.kind in "biuf" and one.size <= _LARGE
    contained = isinstance(one, (dict, list, deque, Variables))
    return contained or (hasattr(one, "__dict__") and not is_shared(one))


def entries_of(one: Any) -> dict[Any, Any]:
    """Return what an object holds by key: attributes, entries or variables."""
    if isinstance(one, Variables):
        return one.read()
    if isinstance(one, dict):
        return one
    if isinstance(one, Mapping):
        return dict(one)
    if isinstance(one, (list, tuple, deque)):
        return dict(enumerate(one))
    own = vars(one)
    return {key: own[key] for key in own if key not in _OF_TORCH} if isinstance(one, nn.Module) else own


def read_memory(one: Any) -> Any:
    """Return what an object remembers as plain data, None for nothing."""
    if isinstance(one, np.ndarray):
        return one
    entries = entries_of(one)
    if len(entries) > _MANY:
        return None
    kept = {
        key: value.item() if isinstance(value, np.generic) else value for key, value in entries.items()
        if isinstance(key, (str, int)) and _is_kept(one, key, value)
    }  # fmt: skip
    kept = {key: _TENSOR if isinstance(value, torch.Tensor) else value for key, value in kept.items()}
    # Of a list, all or nothing: numbers are but places in it.
    return None if isinstance(one, (list, deque)) and len(kept) < len(entries) else kept


def write_memory(
    one: Any, kept: Any, tensor: Callable[[Any], torch.Tensor | None], split: Collection[int] = ()
) -> None:
    """Put back what `read_memory` returned.

    Tensors that fit are left, for whoever knows them to write into; others, and those of the identities
    `split`, are made of what `tensor(key)` returns, None where it is not known.
    """
    if isinstance(one, np.ndarray):
        if isinstance(kept, np.ndarray) and kept.shape == one.shape and one.flags.writeable:
            one[...] = kept
        return
    now = entries_of(one)
    made = dict(kept)
    for key in [key for key, value in kept.items() if type(value) is str and value == _TENSOR]:
        then, here = tensor(key), now.get(key)
        fits = isinstance(here, torch.Tensor) and then is not None and id(here) not in split
        fits = fits and (here.shape, here.dtype) == (then.shape, then.dtype)
        made[key] = here if fits or then is None else then.clone()
    if isinstance(one, (list, deque)):
        if len(now) <= _MANY and all(_is_kept(one, key, value) for key, value in now.items()):
            one.clear()
            one.extend(made.values())
        return
    for key, value in made.items():
        if key in now and not _is_kept(one, key, now[key]):
            continue
        if isinstance(one, Variables):
            one.write(key, value)
        elif isinstance(one, dict) or key in now:
            # Past what watches over the attributes, as a frozen class does.
            (one if isinstance(one, dict) else vars(one))[key] = value
    for key in [*now] if isinstance(one, dict) else ():
        if key not in kept and _is_kept(one, key, now[key]):
            del one[key]


def _is_kept(one: Any, key: Any, value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return True
    if not isinstance(value, (*_NUMBERS, np.number)):
        return False
    # A private flag may belong to what no file holds, as that a file is open.
    private = not isinstance(one, (dict, list, deque, Variables)) and str(key).startswith("_")
    return not private or type(value) in (int, float)
