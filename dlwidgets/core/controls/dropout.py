"""Dropout rates found in a model, and a wish laid over them."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from ..base.numbers import read_fraction, read_optional
from ..layers.walk import uncompiled
from .by_pattern import ByPattern, read_by_pattern, setting_of


class Dropping:
    """Sets the rates of a model's dropout layers, and gives back those it was made with.

    Dropout layers are `nn.Dropout`, its kin for channels, and alpha dropout; rates that other layers keep as
    a number of their own, as `nn.LSTM`, stay.

    Attributes
    ----------
    choice : pattern -> rate, or None where it stays as made; None: the model as it was made.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.choice: ByPattern | None = None
        #: id -> the layer and the rate it was made with, of those that a pattern means.
        self._own: dict[int, tuple[_DropoutNd, float]] = {}

    def layers(self) -> dict[str, _DropoutNd]:
        """Return path -> dropout layer, in the model's order."""
        found = uncompiled(self._model).named_modules()
        return {path: module for path, module in found if isinstance(module, _DropoutNd)}

    def rates(self) -> dict[str, float]:
        """Return path -> the rate in force."""
        return {path: module.p for path, module in self.layers().items()}

    def read(self, value: Any) -> ByPattern | None:
        """Return a wish in one form: a rate for all, pattern -> rate, or None.

        Raises
        ------
        ValueError, TypeError : one sentence on what does not fit.
        """
        return read_by_pattern(self._model, "dropout", value, self.layers(), "dropout layer", _rate)

    def put(self, choice: ByPattern | None) -> str | None:
        """Put a choice in force, and return in words what changed."""
        changed = []
        for path, module in self.layers().items():
            own = self._own.get(id(module), (module, module.p))
            wanted = setting_of(choice, path, None)
            rate = own[1] if wanted is None else wanted
            if rate != module.p:
                changed.append(f"{path or 'the model'} {module.p:g} to {rate:g}")
                module.p = rate
            if wanted is None:
                self._own.pop(id(module), None)
            else:
                self._own[id(module)] = own
        self.choice = choice
        more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
        return ", ".join(changed[:4]) + more or None

    def state(self) -> dict[str, Any]:
        """Return the choice, and the rates that the layers it means were made with."""
        layers = self.layers().items()
        own = {path: self._own[id(module)][1] for path, module in layers if id(module) in self._own}
        return {"choice": None if self.choice is None else dict(self.choice), "own": own}

    def install(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        layers = self.layers()
        for path, layer in layers.items():
            if id(layer) in self._own and path not in state["own"]:
                layer.p = self._own[id(layer)][1]
        self._own = {id(layers[p]): (layers[p], rate) for p, rate in state["own"].items() if p in layers}
        self.put(None if state["choice"] is None else ByPattern(state["choice"]))


def _rate(value: Any) -> float | None:
    return read_optional(
        value,
        read_fraction,
        f"dropout has the rate {value!r}: a share of what is dropped, 0 or more and below 1, is wanted.",
    )
