"""Inputs brought to where a model computes: arrays as tensors, in its own precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ..base.isolation import find_device
from ..base.trees import tree_map


def brought(model: nn.Module, inputs: Any) -> Any:
    """Return `inputs` (a tensor or array, a tuple or dict of them) on the model's device.

    Floating arrays take the dtype of the model's first floating parameter, tensors keep theirs.
    """
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())

    def tensor(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        made = torch.as_tensor(value)
        return made.to(dtype) if made.is_floating_point() else made

    if isinstance(inputs, Mapping):
        inputs = {key: tensor(value) for key, value in inputs.items()}
    elif isinstance(inputs, (tuple, list)):
        inputs = tuple(tensor(value) for value in inputs)
    device = find_device(model)
    return tree_map(lambda value: value.to(device), tensor(inputs))
