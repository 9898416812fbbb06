"""Label smoothing laid over a loss that itself stays as it is."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn import functional as F

from .task import Task


class SmoothedLoss:
    """The loss of training: the task's, with a wished label smoothing.

    Evaluations keep the loss that was given, so that its values before and after a change can be compared.
    """

    def __init__(self, task: Task, custom: bool = False) -> None:
        self._task, self._custom = task, custom
        self.wish: float | None = None
        self._loss: Callable[[Any, Any], Any] | None = None

    @property
    def loss(self) -> Callable[[Any, Any], Any] | None:
        """The loss in the task's stead; None: the task's own."""
        return self._loss

    @property
    def value(self) -> float | None:
        """The smoothing in force; None where the loss has none."""
        if self._custom:
            return None
        if self.wish is not None:
            return self.wish
        if self._task.loss is F.cross_entropy:
            return 0.0
        own = getattr(self._task.loss, "label_smoothing", None)
        return float(own) if isinstance(own, (int, float)) else None

    def put(self, wish: float | None) -> None:
        """Put a smoothing in force; None is the loss's own.

        Raises
        ------
        ValueError : the loss has no label smoothing, in a clause.
        """
        own = self._task.loss
        if wish is not None and self.value is None:
            name = "the loss is what training_step= returns, which" if self._custom else self._task.loss_name
            raise ValueError(f"{name} has no label smoothing: CrossEntropyLoss has")
        self.wish, self._loss = wish, None
        if wish is None:
            return
        if own is F.cross_entropy:
            self._loss = functools.partial(F.cross_entropy, label_smoothing=wish)
        elif isinstance(own, nn.Module):
            made = copy.copy(own)  # shares the weights of the classes
            made.label_smoothing = wish  # type: ignore[assignment]
            self._loss = made
