"""Settings by pattern: name or glob -> value; the last counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from torch import nn

from ..base.frozen_dict import FrozenDict
from ..base.words import did_you_mean
from .patterns import WHOLE_MODEL, FreezableParts

T = TypeVar("T")


class ByPattern(FrozenDict[Any]):
    """Pattern -> setting; the last one that matches counts."""

    instead = "This wish is replaced as a whole, as by {**session.dropout, 'features': 0.2}."


def read_by_pattern(
    model: nn.Module, name: str, value: Any, names: Iterable[str], what: str, read: Callable[[Any], Any]
) -> ByPattern | None:
    """Return a wish in one form, None for nothing.

    Parameters
    ----------
    name : of the wish.
    value : one setting for all; or a dict of pattern (or module) -> setting, read in order; None.
    names : what of the model can be meant, by dotted names.
    what : such a thing in words, as "dropout layer".
    read : reads one setting; raises ValueError.

    Raises
    ------
    ValueError, TypeError : one sentence on what does not fit.
    """
    if value is None or (isinstance(value, Mapping) and not value):
        return None
    names = list(names)
    if not isinstance(value, Mapping):
        value = {"*": value}
    found = {}
    for key, setting in value.items():
        pattern = (key or "*") if isinstance(key, str) else FreezableParts(model).pattern_for(key)
        if not any(matches(pattern, one) for one in names):
            raise ValueError(f"{name} has {pattern!r}, which means no {what}.{_hint(pattern, names)}")
        found[pattern] = read(setting)
    return ByPattern(found)


def matches(pattern: str, name: str) -> bool:
    """Say whether a pattern matches a dotted name or its layer."""
    if pattern in WHOLE_MODEL:
        return True
    parts = name.split(".")
    around = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return any(one == pattern or fnmatchcase(one, pattern) for one in around)


def setting_of(choice: Mapping[str, T] | None, name: str, otherwise: T) -> T:
    """Return the setting of a name; `otherwise` where no pattern matches."""
    found = otherwise
    for pattern, setting in (choice or {}).items():
        if matches(pattern, name):
            found = setting
    return found


def single_setting(choice: Mapping[str, Any] | None) -> Any:
    """Return the one setting of the model; "by layer" for several."""
    if choice is None:
        return None
    return choice["*"] if len(choice) == 1 and "*" in choice else "by layer"


def _hint(pattern: str, names: list[str]) -> str:
    some = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return did_you_mean(pattern, names, f" There are {some}." if names else " The model has none.")
