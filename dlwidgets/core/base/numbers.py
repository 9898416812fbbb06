"""Numbers as people give them, of python, numpy or torch: read, or None where they are not of the kind."""

from __future__ import annotations

import operator
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeVar

import torch

T = TypeVar("T")


def optional(value: Any, read: Callable[[Any], T | None], refusal: str) -> T | None:
    """Return None for None, else what `read` makes of the value.

    Raises
    ------
    ValueError : with the sentence `refusal`, it is not of the kind.
    """
    found = None if value is None else read(value)
    if value is not None and found is None:
        raise ValueError(refusal)
    return found


def number_of(value: Any) -> float | None:
    """Return a real number as float; None for anything else, as True."""
    if isinstance(value, torch.Tensor) and value.ndim == 0 and value.dtype is not torch.bool:
        value = value.item()
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0 and hasattr(value, "item"):
        value = value.item()
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None


def fraction(value: Any) -> float | None:
    """Return a number from 0 to below 1."""
    number = number_of(value)
    return number if number is not None and 0 <= number < 1 else None


def whole(value: Any) -> int | None:
    """Return a whole number; None for True too."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def count(value: Any) -> int | None:
    """Return a whole number, 1 or more."""
    number = whole(value)
    return number if number is not None and number >= 1 else None
