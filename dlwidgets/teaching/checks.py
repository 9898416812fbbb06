"""Plain sentences for arguments that cannot be met."""

from __future__ import annotations

import operator
from collections.abc import Sequence


def check_integer(name: str, value: object, *, least: int, most: int | None = None) -> int:
    """Check that an argument is an integer in a range."""
    wanted = (
        f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"
    )
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} is {value!r}; give {wanted}.") from None
    if isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; give {wanted}.")
    if number < least or (most is not None and number > most):
        raise ValueError(f"{name} is {number}; give {wanted}.")
    return number


def count_classes(classes: int | Sequence[str]) -> int:
    """Count classes given by number or by names."""
    if isinstance(classes, str):
        raise TypeError(
            f"classes is the single string {classes!r}; give the names as a list, or their number."
        )
    return check_integer("classes", len(classes) if isinstance(classes, Sequence) else classes, least=1)
