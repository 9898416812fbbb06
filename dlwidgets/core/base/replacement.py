"""The first tensor in whatever a layer puts out, replaced by another."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from .outputs import parts


def first_replaced(output: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return `output` with `change(its first tensor)` in its place, in containers of the same kinds.

    `output` itself is not changed. None where it holds no tensor.
    """
    if isinstance(output, torch.Tensor):
        return change(output)
    if isinstance(output, Mapping):
        names: list[Any] = list(output)
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        names = list(output._fields)
    elif isinstance(output, (tuple, list)):
        names = list(range(len(output)))
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        names = [field.name for field in dataclasses.fields(output)]
    else:
        names = []
    for name in names:
        keyed = isinstance(output, Mapping) or isinstance(name, int)
        old = output[name] if keyed else getattr(output, name)
        if next(parts(old), None) is not None:
            return _with(output, name, first_replaced(old, change))
    return None


def _with(output: Any, name: Any, new: Any) -> Any:
    if isinstance(output, Mapping):
        made = copy.copy(output)
        made[name] = new  # type: ignore[index]
        return made
    if hasattr(output, "_fields"):
        return output._replace(**{name: new})
    if isinstance(output, (tuple, list)):
        return type(output)(new if number == name else one for number, one in enumerate(output))
    return dataclasses.replace(output, **{name: new})
