"""Dropout rates found in a model, and a wish laid over them."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..base.ledger import Entry
from ..base.numbers import read_fraction, read_optional
from ..layers.framework import framework_of
from ..layers.structure import expression_of
from ..layers.walk import module_at, uncompiled
from .control import Control, Panel, PanelRow, Writer
from .patterns import ByPattern, list_few, read_by_pattern, setting_of, single_setting


class DropoutRates:
    """Sets and restores the rates of a model's dropout layers.

    They are `nn.Dropout`, its kin for channels, and alpha dropout, and those of Keras; what a recurrent layer keeps as
    a number stays.

    Attributes
    ----------
    choice : pattern -> rate, or None where it stays as made; None: the model as it was made.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.choice: ByPattern | None = None
        #: id -> the layer and the rate it was made with, of those that a pattern means.
        self._own: dict[int, tuple[nn.Module, float]] = {}

    def layers(self) -> dict[str, nn.Module]:
        """Return path -> dropout layer, in the model's order."""
        found = uncompiled(self._model).named_modules()
        return {path: module for path, module in found if framework_of(module).dropout_rate_of(module)}

    def rates(self) -> dict[str, float]:
        """Return path -> the rate in force."""
        return {path: _rate(module) for path, module in self.layers().items()}

    def own(self) -> dict[str, float]:
        """Return path -> the rate that the layer was made with."""
        return {path: self._own.get(id(layer), (layer, _rate(layer)))[1] for path, layer in self.layers().items()}

    def put(self, choice: ByPattern | None) -> str | None:
        """Put a choice in force, and return in words what changed."""
        changed = []
        for path, module in self.layers().items():
            own = self._own.get(id(module), (module, _rate(module)))
            wanted = setting_of(choice, path)
            rate = own[1] if wanted is None else wanted
            if rate != _rate(module):
                changed.append(f"{path or 'the model'} {_rate(module):g} to {rate:g}")
                setattr(module, framework_of(module).dropout_rate_of(module), rate)
            if wanted is None:
                self._own.pop(id(module), None)
            else:
                self._own[id(module)] = own
        self.choice = choice
        return list_few(changed) or None

    def state(self) -> dict[str, Any]:
        """Return the choice, and the rates it replaced."""
        layers = self.layers().items()
        own = {path: self._own[id(module)][1] for path, module in layers if id(module) in self._own}
        return {"choice": None if self.choice is None else dict(self.choice), "own": own}

    def install(self, state: dict[str, Any]) -> None:
        layers = self.layers()
        for path, layer in layers.items():
            if id(layer) in self._own and path not in state["own"]:
                setattr(layer, framework_of(layer).dropout_rate_of(layer), self._own[id(layer)][1])
        self._own = {id(layers[p]): (layers[p], rate) for p, rate in state["own"].items() if p in layers}
        self.put(None if state["choice"] is None else ByPattern(state["choice"]))


def _rate(layer: nn.Module) -> float:
    return getattr(layer, framework_of(layer).dropout_rate_of(layer))


class DropoutWriter(Writer):
    """The rates of layers, set where a change means them."""

    def __init__(self, name: str, script: Any) -> None:
        super().__init__(name, script)
        self._now, self._own = dict(script.origin.dropouts), script.loop.dropout.own()

    def change(self, entry: Entry) -> list[str]:
        lines = []
        for path, now in self._now.items():
            wanted = setting_of(entry.asked, path)
            rate = self._own[path] if wanted is None else wanted
            if rate != now:
                layer = module_at(self.script.model, path)
                name = framework_of(layer).dropout_rate_of(layer)
                lines.append(f"{expression_of(self.script.model, path)}.{name} = {rate!r}")
                self._now[path] = rate
        return lines


class Dropout(Control):
    """The rates of the model's dropout layers."""

    name = "dropout"
    aliases = ("dropout_rate",)
    bounds = "any"
    loop_part = "dropout"
    writer = DropoutWriter
    rows = (
        PanelRow(
            "regularisation", "Dropout", show=single_setting, empty="as made",
            why_not=lambda panel: "" if DropoutRates(panel.session.module).layers() else "no dropout layer",
            hint="The rate of all dropout layers; empty: as the model was made",
        ),
    )  # fmt: skip

    def read(self, value: Any) -> ByPattern | None:
        def read_rate(rate: Any) -> float | None:
            wanted = "a share of what is dropped, 0 or more and below 1, is wanted."
            return read_optional(rate, read_fraction, f"dropout has the rate {rate!r}: {wanted}")

        layers = self.loop.dropout.layers()
        choice = read_by_pattern(self.loop.model, self.name, value, layers, "dropout layer", read_rate)
        for path, layer in layers.items():
            if setting_of(choice, path) and (why := framework_of(layer).refuse_dropout(layer)):
                raise ValueError(f"dropout: {path!r} {why}.")
        return choice

    def now(self) -> ByPattern | None:
        return self.loop.dropout.choice

    def put(self, value: ByPattern | None) -> str | None:
        return self.loop.dropout.put(value)

    @classmethod
    def headline(cls, panel: Panel) -> str:
        value = single_setting(panel.applied.get("dropout"))
        return f"dropout {value:.6g}" if isinstance(value, float) else f"dropout {value}" if value else ""
