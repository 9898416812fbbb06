"""What every part of a run that can be taken back to an earlier state offers: its state as plain data."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_NUMBERS = (bool, int, float, str, type(None))


@runtime_checkable
class Stateful(Protocol):
    """A part of a run whose whole state can be read off, and put back, between two steps.

    A new control joins by having these two methods and being named in `Run.parts`. One that depends on
    evaluations may have `evaluated(found)` too: while steps are taken again evaluations are not made again,
    and it is called with "valid_loss" and the metrics that were found then.
    """

    def state(self) -> Any:
        """Return the state as plain data: see `Kept` for what is not plain.

        Plain are None, bool, int, float, str, bytes, tensors, numpy arrays, and tuples, lists and dicts of
        them. The tensors and arrays may be those in use: whoever asks copies what it keeps.
        """

    def install(self, state: Any) -> str | None:
        """Take over what `state()` returned earlier; return in a clause what could not be had, or None.

        Tensors in use are written into, so that they stay the same objects. Nothing of `state` may be kept
        without a copy: it serves again. May raise `ValueError` with a clause, everything as before.
        """


class Kept:
    """A thing in a state that is kept by reference: one that is replaced and never changed inside.

    It goes into memory only. On disk it is left out, and `install` gets None in its place.
    """

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing


def thing(kept: Any) -> Any:
    """Return what was kept; None where it was not."""
    return kept.thing if isinstance(kept, Kept) else None


class Copier:
    """Copies states; a tensor that has not changed since it was last copied shares that copy.

    Copies lie in the CPU's memory. A tensor counts as unchanged when it is the same object, of the same
    version and with the same bits: the version alone misses what is written through `.data` or a numpy
    array, and to compare costs no more than to copy.
    """

    def __init__(self) -> None:
        self._last: dict[int, tuple[Any, int, Any]] = {}

    def __call__(self, state: Any) -> Any:
        """Return a copy of a state that no later step changes."""
        if isinstance(state, torch.Tensor):
            return self._tensor(state)
        if isinstance(state, (*_NUMBERS, bytes, Kept)):
            return state
        if type(state) is dict:
            return {key: self(value) for key, value in state.items()}
        if type(state) in (list, tuple):
            return _sequence(state, self)
        if isinstance(state, np.ndarray):
            return state.copy()
        try:
            return Kept(copy.deepcopy(state))
        except Exception:  # noqa: BLE001 - a thing that cannot be copied is no state that changes
            return Kept(state)

    def fresh(self, state: Any) -> int:
        """Return the bytes that a copy of `state` will take beside what is shared, as far as can be told."""
        found = {id(tensor): tensor for tensor in tensors_of(state)}
        return sum(tensor.nbytes for tensor in found.values() if self._known(tensor) is None)

    def _known(self, tensor: Any) -> torch.Tensor | None:
        last = self._last.get(id(tensor))
        if last is None or last[0]() is not tensor or last[1] != _version(tensor):
            return None
        return last[2]()

    def _tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        made = self._known(tensor)
        if made is not None and same_bits(tensor, made):
            return made
        made = tensor.detach().to("cpu", copy=True)
        if len(self._last) > 10_000:
            self._last = {key: one for key, one in self._last.items() if one[0]() is not None}
        self._last[id(tensor)] = weakref.ref(tensor), _version(tensor), weakref.ref(made)
        return made


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Say whether two tensors hold the same bits: -0.0 is not 0.0, and NaN is itself."""
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
    """Say whether two states are the same, bit for bit; what is kept by reference is left out."""
    if isinstance(one, Kept) or isinstance(other, Kept):
        return True
    if type(one) is not type(other) and not (
        isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
    ):
        return False
    if isinstance(one, torch.Tensor):
        return same_bits(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_state(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same_state, one, other))
    return one == other or (one != one and other != other)


def tensors_of(state: Any) -> Iterator[torch.Tensor | np.ndarray]:
    """Yield the tensors and arrays in a state."""
    if isinstance(state, (torch.Tensor, np.ndarray)):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from tensors_of(value)
    elif isinstance(state, (list, tuple)) and not _only_numbers(state):
        for value in state:
            yield from tensors_of(value)


def numbers_of(owner: Any) -> dict[str, Any]:
    """Return the public attributes of an object that are numbers, flags or texts, but for `training`."""
    return {
        name: value for name, value in vars(owner).items()
        if type(value) in _NUMBERS and name != "training" and not name.startswith("_")
    }  # fmt: skip


def put_numbers(owner: Any, numbers: dict[str, Any]) -> None:
    """Give an object back the attributes that `numbers_of` returned."""
    now = vars(owner)
    for name, value in numbers.items():
        if name in now and type(now[name]) in _NUMBERS and now[name] != value:
            setattr(owner, name, value)


def _sequence(state: Any, each: Callable[[Any], Any]) -> Any:
    # The state of Python's generator is a tuple of 625 numbers.
    if type(state) is tuple and _only_numbers(state):
        return state
    return type(state)(each(value) for value in state)


def _only_numbers(state: Any) -> bool:
    return bool(state) and set(map(type, state)) <= {int, float}
