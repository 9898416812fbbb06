"""The functional operations that are wanted beside the layers of a model, and where they stand among them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..base.outputs import named_tensors
from ..layers.axes import sample_axis
from .cap import Keeper
from .functional import DoesNotTrace, Operation, Traced
from .layer_choice import no_such_layer
from .result import Activations
from .saturation import limits_of


class Between:
    """Which operations are wanted; traces the model only where some are.

    Attributes
    ----------
    untraced : why there are none, a sentence, though all were asked for; or "".

    Raises
    ------
    ValueError : an operation is named that there is none of, or the model does not trace.
    """

    def __init__(
        self, model: nn.Module, inputs: Any, modules: Mapping[str, nn.Module], names: list[str], every: bool
    ) -> None:
        self.untraced = ""
        self._modules, self._inputs = modules, inputs
        self._wanted: list[str] = []
        self._traced: Traced | None = None
        self._found: list[tuple[str, tuple[str, ...]]] = []
        if not names and not every:
            return
        try:
            self._traced = Traced(model, inputs)
        except DoesNotTrace as error:
            if names:
                raise ValueError(f"{no_such_layer(names[0], modules)} {error}") from None
            self.untraced = str(error)
            return
        known = self._traced.names
        for name in names:
            matches = [one for one in known if fnmatch.fnmatchcase(one, name)]
            if not matches:
                raise ValueError(no_such_layer(name, modules, known))
            self._wanted += matches
        self._wanted = known if every else list(dict.fromkeys(self._wanted))

    def run(self, keeper: Keeper, found: Activations) -> None:
        """Run the traced model, and let `keeper` hold what the wanted operations give."""
        if self._traced is None:
            return
        given: set[str] = set()

        def receive(operation: Operation) -> None:
            given.add(operation.name)
            # Never under the path of a layer.
            start = f"{operation.name}()" if operation.name in self._modules else operation.name
            for number, ((suffix, tensor), axis) in enumerate(zip(operation.found, operation.channels)):
                key = start + (suffix if number else "")
                rows = sample_axis(nn.Identity(), tensor.shape, keeper.samples, suffix, axis)
                keeper.add(key, tensor, rows, axis)
                found.kinds[key], found.axes[key] = operation.kind, axis
                found.limits[key] = limits_of(operation.kind)
                self._found.append((key, operation.after))

        output = self._traced.run(self._inputs, self._wanted, receive)
        if not _same(output, found.output):
            self.untraced = (
                "The traced model gives another output than the model itself, as where its forward depends "
                "on numbers that it was not traced with: take the operations between its layers with care."
            )
        for name in self._wanted:
            if name not in given and self._named(name):
                found.missing[name] = "gives no tensor"

    def placed(self, keys: Sequence[str]) -> list[str]:
        """Return the keys of layers and operations, each operation behind the last layer before it."""
        order, known, placed = list(keys), set(keys), set()
        for key, after in self._found:
            place = 0
            for number in range(len(after) - 1, -1, -1):
                call = after[: number + 1].count(after[number])
                name = after[number] if call == 1 else f"{after[number]}#{call}"
                if name in known:
                    place = order.index(name) + 1
                    break
            # Behind operations that ran before it in the same place.
            while place < len(order) and order[place] in placed:
                place += 1
            order.insert(place, key)
            placed.add(key)
        return order

    def _named(self, name: str) -> bool:
        return self._traced is not None and len(self._wanted) < len(self._traced.names)


def _same(one: Any, other: Any) -> bool:
    left = [tensor for _, tensor in named_tensors(one)]
    right = [tensor for _, tensor in named_tensors(other)]
    if not left or not right:
        return True  # an output of a class of its own cannot be compared
    return all(
        a.shape == b.shape and torch.allclose(a.double(), b.double(), 1e-3, 1e-4, equal_nan=True)
        for a, b in zip(left, right)
        if not a.is_complex()
    )
