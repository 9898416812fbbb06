"""The loss of a model on a batch, its task's or custom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..base.trees import call_model, tree_map, tree_tensors
from .smoothed_loss import SmoothedLoss
from .task import Task, scalar_loss, unpack_batch


class Objective:
    """The loss of `model` on a batch, on `device`.

    Parameters
    ----------
    step : `(model, batch) -> loss or dict of losses`, in the task's stead.
    target : the entry of a dict batch that is the target.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        device: torch.device,
        step: Callable[[nn.Module, Any], Any] | None = None,
        target: str | None = None,
    ) -> None:
        self.model, self.task, self.device, self.custom, self.target = model, task, device, step, target
        #: The loss of training in the task's stead, where one is wished for.
        self.smoothing = SmoothedLoss(task, step is not None)

    def to_device(self, batch: Any) -> Any:
        """Return a batch on the device where training computes."""
        device = self.device
        return tree_map(
            lambda tensor: tensor if tensor.device == device else tensor.to(device, non_blocking=True), batch
        )

    def loss(self, batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of a batch on the device, and its parts."""
        if self.custom is not None:
            return scalar_loss(self.custom(self.model, batch))
        loss, _, _ = self.compute(batch, self.smoothing.loss)
        return scalar_loss(loss)

    def compute(self, batch: Any, loss: Callable[[Any, Any], Any] | None = None) -> tuple[Any, Any, Any]:
        """Return loss, output and prepared targets of a batch; without custom steps.

        Parameters
        ----------
        loss : in the task's stead.
        """
        inputs, targets = unpack_batch(batch, self.target)
        output = call_model(self.model, inputs)
        targets = self.task.prepare(targets, output)
        return (loss or self.task.loss)(output, targets), output, targets  # type: ignore[misc]

    def find_nonfinite(self, batch: Any) -> str:
        """Say what in a batch is NaN or infinite; "" for nothing."""
        parts = {"batch": batch}
        if self.custom is None:
            parts = dict(zip(("inputs", "targets"), unpack_batch(batch, self.target)))
        for name, part in parts.items():
            if any(t.is_floating_point() and not bool(t.isfinite().all()) for t in tree_tensors(part)):
                return (
                    f"The {name} of this batch hold{'s' if name == 'batch' else ''} NaN or infinite values."
                )
        return ""
