"""What a Keras model adds to a loss and to a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def list_added_losses(model: Any) -> list[torch.Tensor]:
    """Return what regularizers and `add_loss` gave in the last call, as scalars."""
    return [one if not one.ndim else one.sum() for one in model.losses]


def list_constraints(model: Any) -> list[Callable[[], None]]:
    """Return what holds each weight that trains within its constraint, as `kernel_constraint`.

    Keras applies them when the optimizer has moved the weights.
    """

    def constrain(variable: Any) -> Callable[[], None]:
        return lambda: variable.assign(variable.constraint(variable))

    return [constrain(one) for one in model.trainable_variables if one.constraint is not None]
