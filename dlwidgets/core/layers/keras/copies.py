"""Copies of Keras layers, attribute by attribute.

Keras's own way is to save and load, which nothing fake survives.
"""

from __future__ import annotations

import copy
import inspect
import types
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn

from ...base.held import PLAIN
from ..framework import is_layer

#: Attributes that a copy does without: where a layer stands in graphs, which lead to layers of other models.
_GRAPH = ("_inbound_nodes", "_outbound_nodes")


class LayerCopies:
    """Makes the copies of a model's layers.

    Parameters
    ----------
    memo : id -> copy of all that has one already, as of `copy.deepcopy`; those of the layers are added.
    other : makes the copy of a tensor outside the memo.
    """

    def __init__(self, memo: dict[int, Any], other: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._memo, self._other = memo, other
        self._kept: list[Any] = []  # what is made on the way, as a bound method, keeps its id so long

    def add(self, layers: list[Any]) -> None:
        """Copy layers and all that is in them."""
        fresh = [one for one in layers if id(one) not in self._memo]
        for one in fresh:
            self._memo[id(one)] = object.__new__(type(one))
        for one in fresh:
            self._fill(one)

    def _fill(self, one: Any) -> Any:
        made = self._memo[id(one)]
        for name, value in vars(one).items():
            vars(made)[name] = [] if name in _GRAPH else self._copy(value)
        if isinstance(one, nn.Module) and not one.built and _builds_by_a_run(one):
            # So that each layer inside is built by its own first call, in the forward that is followed.
            vars(made)["built"] = True
        if (tracked := vars(made).get("stored_ids")) is not None:  # a Tracker knows by their ids what it has
            tracked.update((name, {id(one) for one in made.config[name][1]}) for name in tracked)
        return made

    def _copy(self, value: Any) -> Any:
        if type(value) in PLAIN:
            return value
        if (known := self._memo.get(id(value))) is not None:
            return known
        kind = type(value)
        if isinstance(value, torch.Tensor):
            made = self._other(value)
        elif isinstance(value, (list, dict, set)):
            return self._container(value)
        elif isinstance(value, tuple):
            parts = [self._copy(one) for one in value]
            made = kind(*parts) if hasattr(value, "_fields") else tuple(parts)
        elif isinstance(value, types.MethodType):
            bound = value.__self__
            made = types.MethodType(value.__func__, self._copy(bound)) if self._is_copied(bound) else value
        elif isinstance(value, types.FunctionType):
            made = self._function(value)
        elif self._is_copied(value):
            self._memo[id(value)] = object.__new__(kind)
            return self._fill(value)
        elif isinstance(value, (types.ModuleType, inspect.Signature)) or _keras_names(kind):
            made = value
        else:
            return copy.deepcopy(value, self._memo)
        self._memo[id(value)] = made
        self._kept.append(value)
        return made

    def _is_copied(self, value: Any) -> bool:
        """Say whether an object holds layers or their state."""
        names = _keras_names(type(value))
        if "SymbolicArguments" in names:
            return any(self._is_copied(one) for one in value._flat_arguments)
        return not names.isdisjoint(_COPIED)

    def _container(self, value: Any) -> Any:
        """Copy a list, dict or set.

        Those of Keras would have their tracker take in what is put into them.
        """
        made = type(value).__new__(type(value))
        self._memo[id(value)] = made
        if isinstance(value, list):
            list.extend(made, map(self._copy, value))
        elif isinstance(value, set):
            set.update(made, map(self._copy, value))
        else:
            for key, one in value.items():
                dict.__setitem__(made, key, self._copy(one))
        for name, one in getattr(value, "__dict__", {}).items():
            vars(made)[name] = self._copy(one)
        return made

    def _function(self, function: types.FunctionType) -> types.FunctionType:
        """Copy a function that has caught a layer, as each layer's `build`."""
        caught = [_content(cell) for cell in function.__closure__ or ()]
        own = [getattr(one, "__self__", one) for one in caught]
        if not any(id(one) in self._memo and is_layer(type(one)) for one in own):
            return function
        cells = tuple(types.CellType(self._copy(one)) if is_layer(type(owner)) else cell
                      for one, owner, cell in zip(caught, own, function.__closure__ or ()))  # fmt: skip
        made = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, function.__defaults__, cells
        )
        made.__kwdefaults__ = function.__kwdefaults__
        vars(made).update(vars(function))
        return made


#: The classes of Keras whose objects belong to one layer.
_COPIED = frozenset({"Operation", "Variable", "SeedGenerator", "Node", "Tracker"})


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _builds_by_a_run(layer: Any) -> bool:
    """Say whether a layer is built by a run on made-up shapes."""
    return layer._obj_type() == "Sequential" or getattr(layer.build, "_is_default", False)


@cache
def _keras_names(kind: type) -> frozenset[str]:
    """Return the names of Keras's classes that a class is made from."""
    return frozenset(one.__name__ for one in kind.__mro__ if one.__module__.startswith("keras."))

