"""What a Keras model adds to a loss and to a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class AddedLosses:
    """Lists what regularizers and `add_loss` gave in a model's last call.

    Keras walks over all layers for that; here it is asked only where some can have given any.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.renew()

    def renew(self) -> None:
        """Take notice that the model's layers may be others."""
        self._layers = self._model._flatten_layers()
        self._regularized = any(one.regularizer is not None for one in self._model.weights)

    def __call__(self) -> list[torch.Tensor]:
        """Return the losses as scalars, in Keras's order."""
        if not self._regularized and not any(layer._losses for layer in self._layers):
            return []
        return [one if not one.ndim else one.sum() for one in self._model.losses]


def list_constraints(model: Any) -> list[Callable[[], None]]:
    """Return what holds weights within their constraints while they train.

    So does `BaseOptimizer.apply` of Keras when it has moved the weights: what is frozen by then it leaves alone.
    """

    def constrain(variable: Any) -> Callable[[], None]:
        return lambda: variable.assign(variable.constraint(variable)) if variable.value.requires_grad else None

    return [constrain(one) for one in model.variables if one.constraint is not None]
