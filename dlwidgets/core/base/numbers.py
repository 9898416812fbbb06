"""Numbers and durations as people write them: read and formatted."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeVar

T = TypeVar("T")

_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    "ms": 0.001,
}
_DURATION = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*", re.IGNORECASE)


def read_optional(value: Any, read: Callable[[Any], T | None], refusal: str) -> T | None:
    """Return None for None, else what `read` makes; raise ValueError(refusal)."""
    if value is None:
        return None
    if (found := read(value)) is None:
        raise ValueError(refusal)
    return found


def read_number(value: Any) -> float | None:
    """Return a real number as float; None for anything else, as True."""
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0 and hasattr(value, "item"):
        value = value.item()
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else None


def read_fraction(value: Any) -> float | None:
    """Return a number from 0 to below 1; None for anything else."""
    number = read_number(value)
    return number if number is not None and 0 <= number < 1 else None


def read_integer(value: Any) -> int | None:
    """Return a whole number; None for anything else, as True."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def read_count(value: Any) -> int | None:
    """Return a whole number, 1 or more; None for anything else."""
    number = read_integer(value)
    return number if number is not None and number >= 1 else None


def read_duration(text: str) -> str | None:
    """Return a duration in seconds, "90 s" for "1.5 min", or None."""
    found = _DURATION.fullmatch(text)
    unit = _SECONDS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        return None
    seconds = float(found[1]) * unit
    return f"{seconds:.12g} s" if seconds > 0 and math.isfinite(seconds) else None


def to_seconds(value: Any) -> float | None:
    """Return the seconds of what `read_duration` returned; None for anything else."""
    return float(value[:-2]) if isinstance(value, str) and value.endswith(" s") else None


def format_rate(value: float) -> str:
    """Format a learning rate with two digits: 2.8e-4."""
    mantissa, power = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(power)}" if value else "0"


def format_number(value: float) -> str:
    """Format a number with three significant digits: 0.0320, 12.3, 1,234, 2.80e-5."""
    if not 1e-3 <= abs(value) < 1e6 and value:
        mantissa, power = f"{value:.2e}".split("e")
        return f"{mantissa}e{int(power)}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if value else "0"
