"""The exponential moving average (EMA) of the weights, which evaluations and predictions can use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class Averaging:
    """Averages the weights after each step, and never touches those that train.

    The recipe is that of `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)`, bit
    for bit: the first step's weights are taken over, then `average += (1 - decay) * (weights - average)`.
    Buffers, as BatchNorm's running statistics, are not averaged: they are those of the model, as there.

    Attributes
    ----------
    decay : what remains of the average at each step; None: there is none.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.decay: float | None = None
        self._weights: list[nn.Parameter] = []
        self._averages: list[torch.Tensor] = []

    @property
    def on(self) -> bool:
        """Whether there is an average to be used: it is on, and a step was taken since."""
        return bool(self._averages)

    def put(self, decay: float | None) -> None:
        """Average with this decay from the next step on; with another one the average goes on."""
        self.decay = decay
        if decay is None:
            self._weights, self._averages = [], []

    def renew(self) -> None:
        """Take notice that the model's tensors, or where they are, may have changed."""
        if not self._averages:
            return
        known = {id(weight): average for weight, average in zip(self._weights, self._averages)}
        self._weights = [*self._model.parameters()]
        self._averages = [
            known[id(weight)].to(weight.device)
            if id(weight) in known and known[id(weight)].shape == weight.shape
            else weight.detach().clone()
            for weight in self._weights
        ]

    def update(self) -> None:
        """Take the weights of a step in."""
        # Asked in every step: to enter no_grad takes longer than all else that a step asks beside the weights.
        if self.decay is not None:
            self._update()

    @torch.no_grad()
    def _update(self) -> None:
        if not self._averages:
            self._weights = [*self._model.parameters()]
            self._averages = [weight.detach().clone() for weight in self._weights]
            return
        alike: dict[Any, tuple[list[torch.Tensor], list[torch.Tensor]]] = {}
        for average, weight in zip(self._averages, self._weights):
            ours, theirs = alike.setdefault((weight.device, weight.dtype), ([], []))
            ours.append(average)
            theirs.append(weight)
        for (_, dtype), (ours, theirs) in alike.items():
            if dtype.is_floating_point or dtype.is_complex:
                torch._foreach_lerp_(ours, theirs, 1 - self.decay)
            else:
                for average, weight in zip(ours, theirs):
                    average.copy_(weight)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the model have the averaged weights, without a copy; give it back its own."""
        own = [weight.data for weight in self._weights] if self._averages else []
        try:
            for weight, average in zip(self._weights, self._averages):
                weight.data = average
            yield
        finally:
            for weight, kept in zip(self._weights, own):
                weight.data = kept

    def state(self) -> dict[str, Any]:
        """Return the decay and the averages by name."""
        names = {id(weight): name for name, weight in self._model.named_parameters()}
        averages = {
            names[id(weight)]: average
            for weight, average in zip(self._weights, self._averages)
            if id(weight) in names
        }
        return {"decay": self.decay, "averages": averages}

    @torch.no_grad()
    def install(self, state: dict[str, Any]) -> None:
        """Take over a state; a parameter that it does not know begins anew."""
        kept: dict[str, torch.Tensor] = state["averages"]
        self.put(state["decay"])
        if not kept:
            self._weights, self._averages = [], []
            return
        named = [*self._model.named_parameters()]
        self._weights = [weight for _, weight in named]
        self._averages = [
            (kept[name] if name in kept else weight.detach()).to(weight.device, copy=True)
            for name, weight in named
        ]
