"""Norms of each layer's weights, gradients and update in a training step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from .walk import Layer, walk

if TYPE_CHECKING:
    from .dead_units import DeadUnits


@dataclass(frozen=True)
class LayerStats:
    """What a step did to each trainable layer; float32 arrays by layer."""

    #: The step they were measured in, from 1.
    step: int
    paths: list[str]
    #: ‖w‖, the L2 norm of the layer's own weights after the step.
    weight_norm: np.ndarray
    #: ‖g‖, the L2 norm of their gradient, as the optimizer saw it.
    grad_norm: np.ndarray
    #: ‖Δw‖ / ‖w‖; about 1e-3 is usual (Karpathy, CS231n notes, "ratio of weights:updates").
    update_ratio: np.ndarray
    #: Whether weights and gradients are all finite.
    finite: np.ndarray
    #: The dead units of the activations in the batch of this step; None where they were not looked at.
    dead: DeadUnits | None = None
    #: Seconds and steps from the look before to this one; None of a first look.
    every: float | None = None
    between: int | None = None
    #: The share of the time that looking took of late, 0..1; None of a first look.
    share: float | None = None


class LayerProbe:
    """Measures one step: `before()` after backward, `after()` after the optimizer's step.

    Between the two it holds a copy of the trainable weights; nothing of it stays. A tensor that several
    layers share belongs to the first of them; a layer without gradients, or frozen, is left out.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._let_go()

    def _let_go(self) -> None:
        self._weights: list[torch.Tensor] = []
        self._kept: list[torch.Tensor] = []
        self._norms: Sequence[torch.Tensor] = []
        self._owners: list[int] = []
        self._paths: list[str] = []

    @torch.no_grad()
    def before(self, layers: Sequence[Layer] | None = None) -> None:
        """Keep what the step will change; `layers` saves another walk."""
        self._let_go()
        seen: set[int] = set()
        for layer in walk(self._model) if layers is None else layers:
            own = [p for p in layer.module._parameters.values() if p is not None and id(p) not in seen]
            own = [p for p in own if p.requires_grad and p.grad is not None]
            seen.update(map(id, own))
            if own:
                self._owners += [len(self._paths)] * len(own)
                self._paths.append(layer.path)
                self._weights += own
        if self._weights:
            # The values of a sparse gradient have its norm.
            grads = [p.grad.coalesce().values() if p.grad.is_sparse else p.grad for p in self._weights]
            self._norms = _norms(grads)
            self._kept = [p.detach().clone() for p in self._weights]

    @torch.no_grad()
    def after(self, step: int = 0) -> LayerStats:
        """Return what the step has changed, and let everything kept go."""
        weights = [p.detach() for p in self._weights]
        if not weights:
            none = np.empty(0, np.float32)
            return LayerStats(step, [], none, none, none, none.astype(bool))
        torch._foreach_sub_(self._kept, weights)  # the sign does not matter to a norm
        weight, grad, update = map(self._by_layer, (_norms(weights), self._norms, _norms(self._kept)))
        with np.errstate(invalid="ignore"):  # infinite by infinite is NaN
            ratio = np.divide(update, weight, out=np.full_like(update, np.nan), where=weight > 0)
        found = LayerStats(step, self._paths, weight, grad, ratio, np.isfinite(weight) & np.isfinite(grad))
        self._let_go()
        return found

    def stopped(self, step: int = 0) -> LayerStats:
        """Measure a step that was not taken: without ratios."""
        self.before()
        found = self.after(step)
        return dataclasses.replace(found, update_ratio=np.full_like(found.update_ratio, np.nan))

    def _by_layer(self, norms: Sequence[torch.Tensor]) -> np.ndarray:
        """Return each layer's norm: the root of the sum of squares."""
        if len({norm.device for norm in norms}) > 1:
            norms = [norm.cpu() for norm in norms]
        # Once to the CPU, and there to double: Apple's devices have none.
        squares = torch.stack(list(norms)).cpu().double().numpy() ** 2
        summed = np.bincount(self._owners, weights=squares, minlength=len(self._paths))
        return np.sqrt(summed).astype(np.float32)


def _norms(tensors: list[torch.Tensor]) -> Sequence[torch.Tensor]:
    """Return L2 norms in float32, where half precision cannot overflow."""
    found = list(tensors)
    for dtype in {tensor.dtype for tensor in tensors}:
        places = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
        half = dtype in (torch.float16, torch.bfloat16)
        norms = torch._foreach_norm([tensors[i] for i in places], 2, dtype=torch.float32 if half else None)
        for i, norm in zip(places, norms):
            found[i] = norm.float()
    return found
