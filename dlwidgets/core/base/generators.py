"""The random generators that a dataset, a sampler or a layer holds as its own: found, read and put back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

_KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_NONE = (str, bytes, int, float, type, torch.Tensor, np.ndarray)
_DEEP, _MANY = 4, 64


class Generators:
    """The generators that some objects hold in their attributes, those of their parts included.

    Parameters
    ----------
    owners : objects to look into, four levels deep; arrays, frames and long lists are passed over.
    """

    def __init__(self, *owners: Any) -> None:
        self._found: list[Any] = []
        self._seen: set[int] = set()
        for owner in owners:
            self._look(owner, _DEEP)

    def state(self) -> list[Any]:
        """Return where each generator is."""
        return [_state(generator) for generator in self._found]

    def install(self, state: list[Any]) -> None:
        """Put each generator where it was; left alone where there are others than then."""
        if len(state) == len(self._found):
            for generator, one in zip(self._found, state):
                _install(generator, one)

    def _look(self, owner: Any, depth: int) -> None:
        if id(owner) in self._seen or isinstance(owner, _NONE):
            return
        self._seen.add(id(owner))
        if isinstance(owner, _KINDS):
            self._found.append(owner)
        elif depth:
            if isinstance(owner, dict):
                parts = list(owner.values())
            elif isinstance(owner, (list, tuple)):
                parts = list(owner)
            else:
                parts = list(getattr(owner, "__dict__", {}).values())
            if len(parts) <= _MANY:
                for part in parts:
                    self._look(part, depth - 1)


def _state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state()
    return generator.getstate()


def _install(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)
