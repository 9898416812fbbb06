"""One step seen closely: its batch, its samples' losses, its moves."""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..base.isolation import preserve_model, preserve_modes, preserve_random_state, run_forward
from ..base.trees import tree_map
from ..data.batches import batch_length
from ..data.task import unpack_batch
from ..layers.walk import walk
from ..pictures.thumbnail import make_thumbnail

if TYPE_CHECKING:
    from .loop import Loop

#: How many samples are shown, those with the largest loss, and the longest side of their pictures [pixels].
_SHOWN, _SIDE = 12, 32


@dataclass(frozen=True)
class LayerStep:
    """What a step did to a layer's parameters, as L2 norms."""

    path: str
    grad_norm: float
    weight_norm: float
    moved: float


@dataclass(frozen=True)
class Step:
    """What a step did.

    Attributes
    ----------
    step : its number, from 1.
    losses : float32, one for each sample of the batch, before the weights moved; None where not to be told.
    why_not : why not, in a clause.
    shown : numbers of the samples with the largest losses in the batch, largest first; the first ones where
        losses are not known.
    images : uint8, samples x H x W x 3, of those shown; None where inputs are no images.
    layers : in the model's order; those that are frozen are left out.
    """

    step: int
    losses: np.ndarray | None
    why_not: str
    shown: tuple[int, ...]
    images: np.ndarray | None
    layers: tuple[LayerStep, ...]


class Microscope:
    """Looks at the next step: `before()` it, and `after()` it.

    The loss of each sample is computed within the step, once its batch is there and before the model has seen
    it, in the same modes and with the same random numbers, which are then put back, as are the model's
    buffers. So no batch is drawn ahead, whatever it comes from.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._next: int | None = None
        self._kept: dict[int, torch.Tensor] = {}

    def before(self) -> None:
        """Keep what the step will change, and have its batch looked at."""
        loop = self._loop
        self._next = loop.steps + 1
        self._kept = {id(p): p.detach().clone() for p in loop.model.parameters() if p.requires_grad}
        self._losses, self._why_not, self._shown, self._images = None, "", (), None
        loop.look_next(self._look)

    def after(self) -> Step | None:
        """Return what the step did; None where another was taken, or none."""
        step = self._next
        if step is None or self._loop.steps != step:
            return None
        layers = tuple(self._moves())
        self._next, self._kept = None, {}
        return Step(step, self._losses, self._why_not, self._shown, self._images, layers)

    def _look(self, batch: Any, count: int) -> None:
        """Look at the step's first batch, of `count`."""
        try:
            with preserve_random_state(), preserve_modes(self._loop.model):
                self._losses, self._why_not = self._each(batch)
            if count > 1 and self._losses is not None:
                self._why_not = f"of the first of {count} batches"
            size = batch_length(batch)
            order = np.arange(size) if self._losses is None else np.argsort(-self._losses, kind="stable")
            self._shown = tuple(map(int, order[:_SHOWN]))
            self._images = self._pictures(batch)
        except Exception as error:  # noqa: BLE001 - said; the step itself is taken, and tells of its own errors
            self._why_not = f"{type(error).__name__}: {error}"

    @torch.no_grad()
    def _each(self, batch: Any) -> tuple[np.ndarray | None, str]:
        objective = self._loop.objective
        if objective.given:
            what = "a custom step" if objective.custom is not None else "the model"
            return None, f"{what} returns one loss for the batch"
        each = reduce_nothing(objective.smoothing.loss or objective.task.loss)
        if each is None:
            return None, f"{objective.task.loss_name} has no reduction='none'"
        with preserve_model(self._loop.model), self._loop.precision.forward():
            losses, _, _ = run_forward(objective.model, lambda: objective.compute(batch, each))
        count = batch_length(batch)
        if not isinstance(losses, torch.Tensor) or not losses.ndim or len(losses) != count:
            return None, f"{objective.task.loss_name} tells no loss for each sample"
        return losses.float().reshape(count, -1).mean(1).cpu().numpy(), ""

    def _pictures(self, batch: Any) -> np.ndarray | None:
        objective, found = self._loop.objective, []
        inputs = batch if objective.custom is not None else unpack_batch(batch, objective.target)[0]
        for number in self._shown:
            one = make_thumbnail(tree_map(lambda tensor, n=number: tensor[n : n + 1], inputs))
            if one.image is None:
                return None
            pixels = torch.from_numpy(one.image).permute(2, 0, 1)[None].float()
            if (step := math.ceil(max(pixels.shape[2:]) / _SIDE)) > 1:
                pixels = F.avg_pool2d(pixels, step, ceil_mode=True, count_include_pad=False)
            found.append(pixels[0].permute(1, 2, 0).round().to(torch.uint8).numpy())
        return np.stack(found) if found and len({image.shape for image in found}) == 1 else None

    @torch.no_grad()
    def _moves(self) -> list[LayerStep]:
        kept, found = dict(self._kept), []
        for layer in walk(self._loop.model):
            # A parameter counts once, in the first of its layers.
            pairs = [(p, kept.pop(id(p), None)) for p in layer.module._parameters.values() if p is not None]
            own = [(p, old) for p, old in pairs if old is not None and old.shape == p.shape]
            if own := [(p, old) for p, old in own if p.grad is not None]:
                weights, grads = _norm([p for p, _ in own]), _norm([p.grad for p, _ in own])
                moved = _norm([p - old.to(p.device) for p, old in own])
                found.append(LayerStep(layer.path, grads, weights, moved / weights if weights else math.nan))
        return found


def reduce_nothing(loss: Any) -> Any:
    """Return one of torch's losses with `reduction='none'`; None without one."""
    if isinstance(loss, functools.partial):
        return reduce_nothing(loss.func) and functools.partial(loss, reduction="none")
    if isinstance(loss, nn.Module):
        if not isinstance(getattr(loss, "reduction", None), str):
            return None
        made = copy.copy(loss)
        made.reduction = "none"
        return made
    if getattr(F, getattr(loss, "__name__", ""), None) is loss:
        return functools.partial(loss, reduction="none")
    return None


def _norm(tensors: list[torch.Tensor]) -> float:
    dense = [tensor.coalesce().values() if tensor.is_sparse else tensor.detach() for tensor in tensors]
    norms = [torch.linalg.vector_norm(tensor) for tensor in dense]
    return float(torch.linalg.vector_norm(torch.stack([norm.float().cpu() for norm in norms])))
