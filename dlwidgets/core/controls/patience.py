"""Early stopping: a run ends once a metric has not become better for a number of evaluations."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import nn

from ..base.words import pluralize

#: Of these less is better; of any other metric, more.
_LESS = ("valid_loss", "mean_absolute_error")


class EarlyStopping(NamedTuple):
    """When to stop (Prechelt 1998, "Early Stopping - But When?").

    `patience` evaluations in a row in which `metric` was not better than its best by more than `min_delta`;
    with `restore`, the weights of the best evaluation are then put back.
    """

    metric: str = "valid_loss"
    patience: int = 5
    min_delta: float = 0.0
    restore: bool = False


class Stopping:
    """Follows the evaluations of a run, and says when it is to stop.

    Attributes
    ----------
    rule : when to stop; None: never.
    best, best_step : the best value so far, and after how many steps it was seen; None before any.
    waited : evaluations since.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.put(None)

    def put(self, rule: EarlyStopping | None) -> None:
        """Stop by another rule; the counting begins anew."""
        self.rule = rule
        self.best: float | None = None
        self.best_step: int | None = None
        self.waited = 0
        self._weights: dict[str, torch.Tensor] = {}

    def after(self, value: float | None, step: int) -> str | None:
        """Take in an evaluation; return why to stop, in a sentence, or None to go on.

        To be called with the weights that were evaluated in the model. Where the run goes on after a stop,
        the counting begins anew.

        Parameters
        ----------
        value : of the metric; None or NaN is never better.
        """
        rule = self.rule
        if rule is None:
            return None
        if value is not None and not math.isnan(value) and self._better(value):
            self.best, self.best_step, self.waited = value, step, 0
            if rule.restore:
                self._weights = {name: t.detach().clone() for name, t in self._model.state_dict().items()}
            return None
        self.waited += 1
        if self.waited < rule.patience:
            return None
        best = "was never a number" if self.best is None else f"was best after step {self.best_step}"
        figure = "" if self.best is None else f" ({self.best:.4g})"
        return (
            f"Stopped early after step {step}: {rule.metric} {best}{figure}, "
            f"{pluralize(self.waited, 'evaluation')} ago."
        )

    @torch.no_grad()
    def restore(self) -> bool:
        """Put the weights and buffers of the best evaluation back; return whether there are any."""
        now = self._model.state_dict()
        for name, kept in self._weights.items():
            if name in now and now[name].shape == kept.shape:
                now[name].copy_(kept)
        return bool(self._weights)

    def state(self) -> dict[str, Any]:
        """Return the rule, the counting, and the best weights where they are kept."""
        rule = None if self.rule is None else tuple(self.rule)
        counting = {"best": self.best, "best_step": self.best_step, "waited": self.waited}
        return {"rule": rule, **counting, "weights": dict(self._weights)}

    def install(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.put(None if state["rule"] is None else EarlyStopping(*state["rule"]))
        self.best, self.best_step, self.waited = state["best"], state["best_step"], state["waited"]
        now = self._model.state_dict()
        self._weights = {
            name: kept.to(now[name].device if name in now else kept.device, copy=True)
            for name, kept in state["weights"].items()
        }

    def _better(self, value: float) -> bool:
        rule, best = self.rule, self.best
        if rule is None or best is None:
            return True
        return value < best - rule.min_delta if rule.metric in _LESS else value > best + rule.min_delta
