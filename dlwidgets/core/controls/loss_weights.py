"""The weights of named losses, as a control."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..base.isolation import eval_mode, run_forward, use_device
from ..base.ledger import Entry
from ..base.numbers import read_number
from ..base.words import did_you_mean, quote_error, quote_names
from ..data.own_loss import shorten_name
from ..data.reduction import LossCalls
from .control import Control, Panel, PanelRow, Writer


class LossWeightsWriter(Writer):
    """A dict at the head, by the names that are returned."""

    at_head = True

    def begin(self) -> None:
        names = self.script.loop.objective.names
        if self.script.weighs:
            first = {names.get(name, name): weight for name, weight in (self.first or {}).items()}
            self.script.settings.append(f"loss_weights = {first!r}  # of the losses that are summed")
        self._now = dict(self.first or {})

    def change(self, entry: Entry) -> list[str]:
        names, wanted = self.script.loop.objective.names, entry.applied or {}
        moved = {name: one for name, one in wanted.items() if self._now.get(name, 1.0) != one}
        self._now = dict(wanted)
        return [f"loss_weights[{names.get(name, name)!r}] = {weight!r}" for name, weight in moved.items()]


def _show(value: Any) -> Any:
    return ", ".join(f"{name} {weight:g}" for name, weight in value.items()) if isinstance(value, Mapping) else value


def _wish(panel: Panel, text: Any) -> Any:
    """Return typed weights, as "box 0.05, class 1", by name."""
    found: dict[str, Any] = {}
    for part in filter(None, map(str.strip, str(text).replace(";", ",").split(","))):
        name, _, number = part.replace("=", " ").replace(":", " ").rpartition(" ")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            return str(text)
    return found or None


class LossWeights(Control):
    """The weight of each named loss in the sum that training minimises.

    Of a step or a model that returns several: see `data.own_loss.gather_losses`. In the history and in evaluations
    each named loss stands without its weight, and so does "valid_loss", so that it can be compared over a change; the
    "loss" of a step is the sum with the weights.
    """

    name = "loss_weights"
    aliases = ("loss_weight", "loss_factors", "weights_of_losses")
    of_the_step = True
    writer = LossWeightsWriter
    rows = (
        PanelRow(
            "regularisation", "Loss weights", show=_show, wish=_wish, empty="1 each",
            hint='What each named loss counts in the sum, as "box 0.05, class 1"; empty: 1 each',
            there=lambda panel: len(panel.applied.get("loss_weights") or ()) > 1,
        ),
    )  # fmt: skip

    def read(self, value: Any) -> dict[str, float] | None:
        if value is None:
            return None
        wanted = 'a weight for each named loss is wanted, as {"box": 0.05}, or None for 1 each'
        if not isinstance(value, Mapping):
            raise TypeError(f"loss_weights={value!r}: {wanted}.")
        found = {}
        for name, weight in value.items():
            number = read_number(weight)
            if number is None or not 0 <= number < math.inf:
                raise ValueError(f"loss_weights has {weight!r} for {name!r}: a number, 0 or more, is wanted.")
            found[shorten_name(name)] = number
        if self.steering is not None and self.loop.objective.names and (why := self._find_unknown(found)):
            raise ValueError(f"loss_weights: {why}.")
        return found

    def _find_unknown(self, weights: Mapping[str, float]) -> str:
        """Say in a clause which name no loss has; "" for none."""
        known = self.loop.objective.names
        name = next((name for name in weights if name not in known), None)
        if name is None:
            return ""
        hint = did_you_mean(name, known)
        said = f"no loss is called {name!r}" + (f" (did{hint.removeprefix(' Did')})" if hint else "")
        return f"{said}: there are {quote_names(known)}"

    def now(self) -> dict[str, float] | None:
        """Return the weight of each loss; None without names."""
        objective = self.loop.objective
        return {name: objective.weights.get(name, 1.0) for name in objective.names} or None

    def wish(self) -> dict[str, float] | None:
        return dict(self.loop.objective.weights) or None

    def put(self, value: dict[str, float] | None) -> None:
        objective = self.loop.objective
        if value:
            if not objective.names:
                self._try()
            if why := self._find_unknown(value):
                raise ValueError(why)
        objective.weights = {name: weight for name, weight in (value or {}).items() if weight != 1}

    def _try(self) -> None:
        """Have the names told by a batch; leave no trace."""
        loop, objective = self.loop, self.loop.objective
        alone = "the loss is one number: weights are of several, which a step or a model returns by name"
        try:
            with use_device(loop.model, objective.device), eval_mode(loop.model), objective.preserve_companions():
                batch = objective.to_device(loop.batches.preview(4))
                run_forward(loop.model, lambda: objective.measure(batch, LossCalls(4)))
        except Exception as error:
            why = quote_error(error).rstrip(".")
            said = f"which losses there are is known once a step was taken; before, it fails: {why}"
            raise ValueError(said) from error
        if not objective.names:
            inside = "the step sums its losses itself: have it return the parts alone, as {'box': ..., 'class': ...}"
            raise ValueError(inside if objective.form else alone)

    def state(self) -> dict[str, Any]:
        objective = self.loop.objective
        return {"weights": dict(objective.weights), "names": dict(objective.names)}

    def install(self, state: dict[str, Any]) -> None:
        objective = self.loop.objective
        objective.weights, objective.names = dict(state["weights"]), {**state["names"], **objective.names}

    @classmethod
    def headline(cls, panel: Panel) -> str:
        value = panel.applied.get("loss_weights") or {}
        moved = {name: weight for name, weight in value.items() if weight != 1}
        return f"losses × {_show(moved)}" if moved else ""
