"""Side by side: settings to try, and what lines came to."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.base.numbers import read_count
from ...session import Session
from .limits import Restrictions
from .presets import describe_wishes

if TYPE_CHECKING:
    from ...core.training.snapshots.timeline import Branch

#: Controls whose values can be tried against one another, and what a page calls them.
TRIED = {
    "lr": "Learning rate", "batch_size": "Batch size", "weight_decay": "Weight decay", "momentum": "Momentum",
    "clip": "Clip norm",
}  # fmt: skip
#: Over how many of its last steps the training loss of a line is averaged.
_LAST = 20
#: Steps of a try where nobody says otherwise, and how many values it may have.
STEPS, _MOST = 50, 6


def suggested(session: Session, control: str) -> str:
    """Suggest two values to try, the first the one in force."""
    now = session.applied.get(control)
    if control == "lr":
        # The rate that was asked for: the schedule is over it in each try.
        return f"{session.lr:.3g}, {session.lr / 10:.3g}" if session.lr else "0.001, 0.0001"
    if control == "batch_size":
        return f"{now}, {max(1, now // 4)}"
    if control == "clip":
        return f"off, {now[1]:.3g}" if now else "off, 1"
    if control == "momentum":
        return f"{now or 0:.3g}, {0.9 if not now or now < 0.9 else 0.99:.3g}"
    return f"{now or 0:.3g}, {max(10 * (now or 0), 0.01):.3g}"


def settings_of(
    session: Session, restrictions: Restrictions, control: str, values: str, steps: Any
) -> tuple[int, list[dict[str, Any]]]:
    """Read how many steps to try, and the settings, from text.

    A ValueError says what cannot be read, or is not allowed in this panel.
    """
    if control not in TRIED:
        raise ValueError(f"{control!r} cannot be tried here: there are {', '.join(TRIED)}.")
    for name in (control, "rewind"):
        if name in restrictions.locked:
            raise ValueError(f"{name} is locked in this panel.")
    length = read_count(_number(str(steps)))
    if length is None:
        raise ValueError(f"{steps!r} steps: a whole number, 1 or more, is wanted.")
    words = [word for word in re.split(r"[,;\s]+", values.strip()) if word]
    if not 2 <= len(words) <= _MOST:
        raise ValueError(f"Two to {_MOST} values to try are wanted, with commas between, as 0.001, 0.0001.")
    found = [session.read_wish(control, None if word == "off" else _number(word)) for word in words]
    for value in found:
        if why := restrictions.why_not(control, value):
            raise ValueError(why)
    return length, [{control: value} for value in found]


def in_progress(session: Session) -> str:
    """Return the trial under way in words; "" for none."""
    for number, trial in enumerate(session.trials, 1):
        if trial.line and not trial.ended:
            which = f"{number} of {len(session.trials)}: {describe_wishes(trial.settings)}"
            return f"Trying {which}, step {trial.taken:,} of {trial.steps:,}"
    return ""


def _number(word: str) -> Any:
    try:
        number = float(word)
    except ValueError:
        return word
    return int(number) if number.is_integer() and "." not in word and "e" not in word.lower() else number


class Standings:
    """What each line came to, as rows.

    Settings are compared with the line under way, and kept until it changes.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, str]] = {}

    def rows(self, session: Session) -> list[dict[str, Any]]:
        """Return the line under way, then the others, newest first."""
        here = {
            "name": session.line, "here": True, "words": "this line", "steps": session.steps,
            **_measured(session.record, 0), "note": "",
        }  # fmt: skip
        return [here, *(self._row(session, branch) for branch in reversed(session.branches))]

    def _row(self, session: Session, branch: Branch) -> dict[str, Any]:
        # The settings of a line that was left stay as they are; those of this one change with the ledger.
        moment, name = (session.line, len(session.line_changes), branch.steps), branch.name
        known = self._known.get(name)
        if known is None or known[0] != moment:
            differ = session.compare(branch).settings
            words = describe_wishes(dict(differ[name])) if name in differ else ""
            known = self._known[name] = moment, words or "the same settings"
        return {
            "name": name, "here": False, "words": known[1], "steps": branch.steps - branch.from_step,
            **_measured(branch.record, branch.from_step), "note": branch.note,
        }  # fmt: skip


def _measured(record: Any, since: int) -> dict[str, float | None]:
    """Return a line's late training loss and last validation loss."""
    losses = record.columns["loss"].values[since:][-_LAST:]
    late = [row for row in record.evaluations if row["step"] > since and "valid_loss" in row]
    return {
        "loss": finite(np.mean(losses)) if len(losses) else None,
        "valid": finite(late[-1]["valid_loss"]) if late else None,
    }


def finite(value: Any) -> float | None:
    """Return a number, None where JSON has none."""
    return float(value) if math.isfinite(value) else None
