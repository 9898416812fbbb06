"""Per-layer statistics of one training step: norms of weights and gradients, how far the weights moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .walk import walk


@dataclass(frozen=True)
class LayerStats:
    """What a step did to each layer that owns trainable parameters; arrays are float32, one value a layer."""

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


class LayerProbe:
    """Measures one step: `before()` after backward, `after()` after the optimizer's step.

    Between the two it holds a copy of the trainable weights; nothing of it stays.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._weights: list[torch.Tensor] = []
        self._kept: list[torch.Tensor] = []
        self._gradients: list[torch.Tensor] = []
        self._owners: list[int] = []
        self._paths: list[str] = []

    @torch.no_grad()
    def before(self) -> None:
        """Keep what the step will change."""
        self._weights, self._owners, self._paths = [], [], []
        seen: set[int] = set()
        for place in walk(self._model):
            own = [
                p for p in place.module.parameters(recurse=False) if p.grad is not None and id(p) not in seen
            ]
            # A tied tensor belongs to the first layer that has it.
            seen.update(id(p) for p in own)
            if own:
                self._owners += [len(self._paths)] * len(own)
                self._paths.append(place.path)
                self._weights += own
        self._gradients = [_dense(p.grad) for p in self._weights]  # type: ignore[arg-type]
        self._norms = torch._foreach_norm(self._gradients) if self._gradients else []
        self._kept = [p.detach().clone() for p in self._weights]

    @torch.no_grad()
    def after(self, step: int = 0) -> LayerStats:
        """Return what the step has changed, and let everything kept go."""
        weights = [p.detach() for p in self._weights]
        if not weights:
            none = np.empty(0, np.float32)
            return LayerStats(step, [], none, none, none, none.astype(bool))
        moved = torch._foreach_norm(torch._foreach_sub(weights, self._kept))
        sizes = torch._foreach_norm(weights)
        weight, grad, update = (self._by_layer(norms) for norms in (sizes, self._norms, moved))
        self._kept, self._gradients, self._norms, self._weights = [], [], [], []
        ratio = np.divide(update, weight, out=np.full_like(update, np.nan), where=weight > 0)
        return LayerStats(step, self._paths, weight, grad, ratio, np.isfinite(weight) & np.isfinite(grad))

    def _by_layer(self, norms: list[torch.Tensor]) -> np.ndarray:
        """Return the norm over each layer's tensors together: the root of the sum of squares."""
        squares = torch.stack([n.float() for n in norms]).double().cpu().numpy() ** 2
        return np.sqrt(np.bincount(self._owners, weights=squares, minlength=len(self._paths))).astype(
            np.float32
        )


def _dense(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.to_dense() if gradient.is_sparse else gradient
