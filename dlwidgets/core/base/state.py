"""The state of a run's parts as plain data, copied and compared."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_NUMBERS = (bool, int, float, str, type(None))


@runtime_checkable
class Stateful(Protocol):
    """A part of a run whose state can be read and restored.

    One that depends on evaluations may have `evaluated(found)` too: while steps are taken again evaluations
    are not made again, and it is called with "valid_loss" and the metrics that were found then.
    """

    def state(self) -> Any:
        """Return the state as plain data; `Reference` holds what is not.

        Plain are None, numbers, texts, bytes, tensors, numpy arrays, and tuples, lists and dicts of them.
        Tensors and arrays may be those in use: whoever asks copies what it keeps.
        """

    def install(self, state: Any) -> str | None:
        """Restore a state; return a clause on what is missing, or None.

        Tensors in use are written into, so that they stay the same objects. Nothing of `state` may be kept
        without a copy: it serves again. May raise `ValueError` with a clause, everything as before.
        """


class Reference:
    """An object that a state holds by reference: replaced, never changed inside.

    It goes into memory only. On disk it is left out, and `install` gets None in its place.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def dereference(reference: Any) -> Any:
    """Return the object of a `Reference`; None for anything else."""
    return reference.value if isinstance(reference, Reference) else None


class StateCopier:
    """Copies states to the CPU; unchanged tensors share their last copy.

    Unchanged is the same object, of the same version and with the same bits: the version alone misses what
    is written through `.data` or a numpy array, and to compare costs no more than to copy.
    """

    def __init__(self) -> None:
        self._last: dict[int, tuple[Any, int, Any]] = {}

    def __call__(self, state: Any) -> Any:
        """Return a copy of a state that no later step changes."""
        if isinstance(state, torch.Tensor):
            made = self._known(state)
            if made is None or not same_bits(state, made):
                made = state.detach().to("cpu", copy=True)
                if len(self._last) > 10_000:
                    self._last = {key: one for key, one in self._last.items() if one[0]() is not None}
                self._last[id(state)] = weakref.ref(state), _version(state), weakref.ref(made)
            return made
        if isinstance(state, (*_NUMBERS, bytes, Reference)):
            return state
        if type(state) is dict:
            return {key: self(value) for key, value in state.items()}
        if type(state) in (list, tuple):
            # The state of Python's generator is a tuple of 625 numbers.
            if type(state) is tuple and _only_numbers(state):
                return state
            return type(state)(map(self, state))
        if isinstance(state, np.ndarray):
            return state.copy()
        try:
            return Reference(copy.deepcopy(state))
        except Exception:  # noqa: BLE001 - what cannot be copied is no state that changes
            return Reference(state)

    def new_bytes(self, state: Any) -> int:
        """Estimate the bytes of a copy, beside what it shares."""
        found = {id(tensor): tensor for tensor in state_arrays(state)}
        return sum(tensor.nbytes for tensor in found.values() if self._known(tensor) is None)

    def _known(self, tensor: Any) -> torch.Tensor | None:
        last = self._last.get(id(tensor))
        known = last is not None and last[0]() is tensor and last[1] == _version(tensor)
        return last[2]() if known else None


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Compare two tensors bit for bit: -0.0 is not 0.0."""
    one, other = one.detach(), other.detach().to(one.device)
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.is_complex():
        one, other = torch.view_as_real(one), torch.view_as_real(other)
    kind = _INTEGERS.get(one.element_size())
    if kind is None or one.layout is not torch.strided or one.is_quantized:
        return False
    return torch.equal(one.view(kind), other.view(kind))


def same_state(one: Any, other: Any) -> bool:
    """Compare two states bit for bit; references are left out."""
    if isinstance(one, Reference) or isinstance(other, Reference):
        return True
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return same_bits(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_state(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same_state, one, other))
    return one == other or (one != one and other != other)


def state_arrays(state: Any) -> Iterator[torch.Tensor | np.ndarray]:
    """Yield the tensors and arrays in a state."""
    if isinstance(state, (torch.Tensor, np.ndarray)):
        yield state
    elif isinstance(state, dict) or (isinstance(state, (list, tuple)) and not _only_numbers(state)):
        for value in state.values() if isinstance(state, dict) else state:
            yield from state_arrays(value)


def read_attributes(owner: Any) -> dict[str, Any]:
    """Return an object's public numbers, flags and texts, but for `training`."""
    return {
        name: value for name, value in vars(owner).items()
        if type(value) in _NUMBERS and name != "training" and not name.startswith("_")
    }  # fmt: skip


def write_attributes(owner: Any, values: dict[str, Any]) -> None:
    """Put back the attributes that `read_attributes` returned."""
    now = vars(owner)
    for name, value in values.items():
        if name in now and type(now[name]) in _NUMBERS and now[name] != value:
            setattr(owner, name, value)


def _only_numbers(state: Any) -> bool:
    return bool(state) and set(map(type, state)) <= {int, float}
