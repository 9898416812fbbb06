"""Ranges and locks that a teacher sets for what steers a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

from ..core.controls.near_names import name_hint
from ..core.controls.steering import CONTROLS, names_of
from ..session import Session

#: What can be locked beside the controls of a session.
OTHERS = ("presets", "undo", "rewind")


def lockable() -> tuple[str, ...]:
    """Return what can be locked: a panel's controls, and `OTHERS`."""
    shown = [control.name for control in CONTROLS if control.steers or control.rows]
    return (*shown, *OTHERS)


class Restrictions:
    """Ranges and locks of a panel, or of several side by side.

    They do not bind what code sets. Unknown names, and what is no range, are ValueErrors, in a sentence.

    Parameters
    ----------
    limits, locked : those of the beginning.
    """

    def __init__(self, limits: Mapping[str, Any] | None = None, locked: str | Iterable[str] = ()) -> None:
        #: Called when they have changed.
        self.followers: list[Callable[[], Any]] = []
        #: Control -> (least, greatest).
        self.ranges: dict[str, tuple[float, float]] = {}
        #: Names of controls, and of `OTHERS`.
        self.locked: frozenset[str] = frozenset()
        self.limit(limits or {})
        self.lock([locked] if isinstance(locked, str) else locked)

    def limit(self, ranges: Mapping[str, Any]) -> None:
        """Set ranges, all or none; None takes one away."""
        if not isinstance(ranges, Mapping):
            raise TypeError(f"limits={ranges!r}: a dict is wanted, as {{'lr': (1e-4, 1e-1)}}.")
        kept = self.ranges | {name: _range(name, value) for name, value in ranges.items()}
        self.ranges = {name: span for name, span in kept.items() if span is not None}
        self._tell()

    def lock(self, names: Iterable[str]) -> None:
        """Lock controls."""
        if not isinstance(names, Iterable):
            raise TypeError(f"locked={names!r}: names are wanted, as ['lr'].")
        self.locked = self.locked | {_known(name, "lock") for name in names}
        self._tell()

    def unlock(self, names: Iterable[str]) -> None:
        """Unlock controls; all of them without a name."""
        names = [_known(name, "unlock") for name in names]
        self.locked = self.locked - {*names} if names else frozenset()
        self._tell()

    def _tell(self) -> None:
        for follow in self.followers:
            follow()

    def ask(self, session: Session, wishes: Mapping[str, Any], by: str = "panel") -> None:
        """Write wishes in the name of a panel.

        A ValueError says that a rule of the panel refuses one, or the session: those before it are set.
        """
        for name, value in wishes.items():
            if why := self.why_not(name, value):
                raise ValueError(why)
        with session.by(by):
            for name, value in wishes.items():
                setattr(session, name, value)

    def why_not(self, name: str, value: Any) -> str:
        """Return why a value is refused, in a sentence, or ""."""
        if name in self.locked:
            return f"{name} is locked in this panel."
        span = self.ranges.get(name)
        for number in _numbers(value) if span is not None else ():
            if not span[0] <= number <= span[1]:
                return f"{name}={number:.4g} is outside what this panel allows: {span[0]:g} to {span[1]:g}."
        return ""


def _range(name: str, value: Any) -> tuple[float, float] | None:
    bounded = [control.name for control in CONTROLS if control.bounds is not None]
    if name not in bounded:
        if name in lockable():
            raise ValueError(f"{name} is no number that has a range: panel.lock({name!r}) locks it.")
        raise ValueError(f"A training panel has no {name!r}.{_hint(name, bounded)}")
    if value is None:
        return None
    try:
        low, high = (float(end) for end in value)
    except (TypeError, ValueError):
        raise ValueError(f"limits({name}={value!r}): (least, greatest) is wanted, as (1e-4, 1e-1).") from None
    # Their sliders are logarithmic, or they count.
    above = "above 0, " if name in names_of(bounds="positive") else ""
    if not low <= high or (above and low <= 0):
        raise ValueError(f"limits({name}={value!r}): two numbers {above}the least first, are wanted.")
    return low, high


def _known(name: str, verb: str) -> str:
    names = lockable()
    if name not in names:
        raise ValueError(f"{verb}({name!r}): a training panel has no {name!r}.{_hint(str(name), names)}")
    return name


def _hint(name: str, names: Iterable[str]) -> str:
    return name_hint(name, [*names]) or f" There are: {', '.join(names)}."


def _numbers(value: Any) -> list[float]:
    """Return the numbers in a wish, as of ("norm", 1.0)."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        return [number for one in value for number in _numbers(one)]
    return [float(value)] if isinstance(value, Real) and not isinstance(value, bool) else []
