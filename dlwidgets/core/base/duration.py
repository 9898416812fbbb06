"""A length of time as people write it, "30 s" or "2 min", read into seconds."""

from __future__ import annotations

import math
import re
from typing import Any

_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    "ms": 0.001,
}
_FORM = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*", re.IGNORECASE)


def read_time(text: str) -> str | None:
    """Return a length of time in one form, "90 s" for "1.5 min"; None where it is none, or is 0."""
    found = _FORM.fullmatch(text)
    unit = _UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        return None
    seconds = float(found[1]) * unit
    return f"{seconds:.12g} s" if seconds > 0 and math.isfinite(seconds) else None


def seconds_of(value: Any) -> float | None:
    """Return the seconds of what `read_time` returned; None for anything else."""
    return float(value[:-2]) if isinstance(value, str) and value.endswith(" s") else None
