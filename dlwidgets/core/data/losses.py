"""Another loss for a task, tried before it is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..base.trees import slice_rows
from .reduction import Reduction
from .session_data import try_loss
from .task import KnownLabelsLoss, Task, ignored_class, infer_task


def change_loss(task: Task, loss: Callable[[Any, Any], Any], targets: Any, output: Any, named: bool) -> Task:
    """Return a task with another loss, tried on a few samples.

    Parameters
    ----------
    targets : those of all samples, or of the first; the output is that of the first of them.
    named : whether the loss was made from a name: it leaves out the class number that the one before did.

    Raises
    ------
    ValueError : in a sentence, the loss does not fit.
    """
    for one, what in ((task.loss, "The loss that was given"), (loss, f"{type(loss).__name__}")):
        if isinstance(one, nn.Module) and any(p.requires_grad for p in one.parameters()):
            raise ValueError(
                f"{what} has parameters that the optimizer is to move: it can be given as loss= of a Session only."
            )
    if named and (ignored := ignored_class(task.loss)) is not None and hasattr(loss, "ignore_index"):
        loss.ignore_index = ignored  # type: ignore[attr-defined]
    found = replace(task, loss=loss)
    if task.name != "custom":
        masked = isinstance(task.loss, KnownLabelsLoss)
        met = task.loss.met if masked else task.because.endswith("where unknown")  # type: ignore[union-attr]
        found = infer_task(
            targets, output, task=task.name, loss=loss, classes=task.classes,
            unknown=met or (None if masked else False), channels_last=task.channels_last,
        )  # fmt: skip
    count = len(output) if isinstance(output, torch.Tensor) else 4
    reduction = try_loss(found, slice_rows(targets, 0, count), output)
    known = Reduction(masked=True) if isinstance(found.loss, KnownLabelsLoss) else reduction
    return replace(found, because=task.because, reduction=known)
