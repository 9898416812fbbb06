"""Plain values as Python literals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

_CONSTANTS = (bool, int, float, complex, str, bytes, type(None), type(...))
_PLAIN = (bool, int, float, str, bytes, type(None), torch.dtype, torch.Size)


class Unwritable(ValueError):
    """Something that a script cannot say; why, in a clause."""


def is_plain(value: Any) -> bool:
    """Say whether a value consists of numbers, texts and the like."""
    if isinstance(value, (tuple, list)):
        return all(map(is_plain, value))
    return isinstance(value, _PLAIN)


def format_literal(value: Any) -> str | None:
    """Return the Python expression for a plain value; None for any other."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if type(value) in _CONSTANTS:
        return repr(value)
    if type(value) in (list, tuple, set, frozenset, dict):
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
        written = all(format_literal(part) is not None and math.inf not in [part] for part in parts)
        return repr(value) if written else None
    if isinstance(value, (torch.dtype, torch.Size)):
        return repr(value)
    if isinstance(value, torch.device):
        return f"torch.{value!r}"
    if isinstance(value, np.generic):
        return format_literal(value.item())
    return None
