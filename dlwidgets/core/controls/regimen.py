"""What a step can have beside the plain loop: accumulation, mixed precision, normalisation, averaging..."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.optim import Optimizer

from ..data.batches import Batches
from ..data.objective import Objective
from .dropout import Dropping
from .gradient_accumulation import Groups
from .mixed_precision import Precision
from .patience import Stopping
from .weight_average import Averaging
from .weight_normalisation import Normalising

_AS_IT_IS = nullcontext()


class Regimen:
    """The parts of a step that are off unless they are wished for; each says itself what it does.

    They are changed between two steps. Switched off, none of them touches a number.
    """

    def __init__(self, objective: Objective, batches: Batches) -> None:
        model = objective.model
        #: Returns how many steps were taken.
        self.steps: Callable[[], int] = lambda: 0
        self.groups = Groups(batches)
        self.precision = Precision(objective.device)
        self.normalising = Normalising(model)
        self.dropping = Dropping(model)
        self.averaging = Averaging(model)
        self.stopping = Stopping(model)
        self.smoothing = objective.smoothing

    def renew(self) -> None:
        """Take notice that the model's tensors may have changed."""
        self.normalising.renew()
        self.averaging.renew()

    def step(self, optimizer: Optimizer) -> dict[str, float]:
        """Move the weights, and do what follows a move; return what the history keeps of it."""
        kept = self.precision.step(optimizer)
        self.normalising.project()
        self.averaging.update()
        return kept

    def evaluated(self, figures: dict[str, float]) -> str | None:
        """Take in what an evaluation of the weights of now found; return why to stop, or None."""
        rule = self.stopping.rule
        if rule is None:
            return None
        with self.looking():
            return self.stopping.after(figures.get(rule.metric), self.steps())

    def looking(self) -> AbstractContextManager[None]:
        """Return what the model is to be looked at in: it has the averaged weights, where there are any."""
        return self.averaging.used() if self.averaging.on else _AS_IT_IS

    def weights(self, averaged: bool = True) -> dict[str, torch.Tensor]:
        """Return the model's state dict as its class makes it, averaged where that is on."""
        with self.averaging.used() if averaged else nullcontext():
            model = self.normalising.model
            found = self.normalising.plain(model.state_dict())
            return {
                name: value.detach().clone() if isinstance(value, torch.Tensor) else value
                for name, value in found.items()
            }

    def restore_best(self) -> str:
        """Put the best weights back where early stopping is to, and count anew; return what is to be said."""
        rule, back = self.stopping.rule, False
        if rule is not None and rule.restore and (back := self.stopping.restore()):
            decay = self.averaging.decay
            self.averaging.put(None)
            self.averaging.put(decay)
        self.stopping.put(rule)
        return " Its weights were put back." if back else ""

    def state(self) -> dict[str, Any]:
        """Return the state of all parts but normalisation, which has to be there before the weights are."""
        return {
            "groups": self.groups.state(), "precision": self.precision.state(),
            "dropping": self.dropping.state(), "averaging": self.averaging.state(),
            "stopping": self.stopping.state(), "smoothing": self.smoothing.wish,
        }  # fmt: skip

    def install(self, state: dict[str, Any]) -> None:
        """Take over a state; model, optimizer and data have been put back already."""
        for name in ("groups", "precision", "dropping", "averaging", "stopping"):
            getattr(self, name).install(state[name])
        self.smoothing.put(state["smoothing"])


class Form:
    """Which weights are normalised, as a part of a run: put back before the optimizer and the weights."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def state(self) -> dict[str, Any]:
        """Return the state of `Normalising`."""
        return self._loop.regimen.normalising.state()

    def install(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self._loop.regimen.normalising.install(state, self._loop.optimizer)
        self._loop.refresh()
