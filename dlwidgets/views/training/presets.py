"""Sets of wishes: presets, and settings to try side by side."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.base.numbers import format_rate, read_count
from ...session import Session
from ..limits import Restrictions

if TYPE_CHECKING:
    from ...core.training.snapshots.timeline import Branch
    from ...core.training.trials import Trial

#: A preset: the wishes, or what returns them for a session.
Preset = Mapping[str, Any] | Callable[[Session], Mapping[str, Any]]

#: Name -> preset. Wishes are made in this order; an optimizer comes before its rate.
PRESETS: dict[str, Preset] = {
    "Gentle: rate × 0.1": lambda session: {"lr": session.lr * 0.1},
    "Bold: rate × 3": lambda session: {"lr": session.lr * 3},
    "Adam 1e-3": {"optimizer": ("Adam", {}), "schedule": None, "lr": 1e-3},
    "AdamW 1e-3, one-cycle": {"optimizer": ("AdamW", {}), "lr": 1e-3, "schedule": ("one-cycle", {})},
    "SGD 0.1, momentum 0.9, cosine": {
        "optimizer": ("SGD", {"momentum": 0.9}), "lr": 0.1, "schedule": ("cosine", {}),
    },
    "Clip norm 1": {"clip": ("norm", 1.0)},
    "Plain: constant rate, no clipping": {"schedule": None, "clip": None},
}  # fmt: skip


def check_presets(presets: Any, session: Session) -> None:
    """Raise a sentence where presets are no wishes by name.

    What a function would return is not asked for before it is chosen.
    """
    if not isinstance(presets, Mapping):
        raise TypeError(f"presets={presets!r}: wishes by name are wanted, as {{'Gentle': {{'lr': 1e-4}}}}.")
    for title, preset in presets.items():
        if callable(preset):
            continue
        if not isinstance(title, str) or not isinstance(preset, Mapping):
            raise TypeError(f"presets has {title!r}: {preset!r}; wishes are wanted, as {{'lr': 1e-4}}.")
        for name, value in preset.items():
            try:
                session.read_wish(name, value)
            except (TypeError, ValueError) as why:
                raise ValueError(f"presets[{title!r}]: {why}") from None


def wishes_of(preset: Preset, session: Session) -> dict[str, Any]:
    """Return the wishes of a preset that a session knows."""
    made = preset(session) if callable(preset) else preset
    return {name: value for name, value in made.items() if session.has_trait(name)}


def preset_words(preset: Preset, session: Session) -> str:
    """Return what a preset sets, or why that cannot be told."""
    try:
        return describe_wishes(wishes_of(preset, session))
    except Exception as error:  # noqa: BLE001 - a preset of a person's own; said where it is chosen
        return str(error)


def describe_wishes(wishes: Mapping[str, Any]) -> str:
    """Return wishes in words: "lr 1e-3, schedule cosine"."""
    return ", ".join(
        f"{name} {format_rate(value) if name == 'lr' else _describe_value(value)}"
        for name, value in wishes.items()
    )


def _describe_value(value: Any) -> str:
    if value is None:
        return "off"
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[1], Mapping):
        options = ", ".join(f"{name} {one}" for name, one in value[1].items())
        return f"{value[0]} ({options})" if options else f"{value[0]}"
    if isinstance(value, (tuple, list)):
        return " ".join(f"{one:g}" if isinstance(one, float) else f"{one}" for one in value)
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"


# -- side by side

#: Controls whose values can be tried against one another, and what a page calls them.
TRIED = {
    "lr": "Learning rate", "batch_size": "Batch size", "weight_decay": "Weight decay", "momentum": "Momentum",
    "clip": "Clip norm",
}  # fmt: skip
#: Over how many of its last steps the training loss of a line is averaged.
_LAST = 20
#: Steps of a try where nobody says otherwise, and how many values it may have.
STEPS, _MOST = 50, 6


def _suggested(session: Session, control: str) -> str:
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
            which = f"{number} of {len(session.trials)}: {_title_of(trial)}"
            return f"Trying {which}, step {trial.taken:,} of {trial.steps:,}"
    return ""


def _number(word: str) -> Any:
    try:
        number = float(word)
    except ValueError:
        return word
    return int(number) if number.is_integer() and "." not in word and "e" not in word.lower() else number


class Standings:
    """What each line came to, its settings compared with the present one."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, str]] = {}
        #: What was tried on a line, in words.
        self._tried: dict[str, str] = {}

    def project(self, session: Session) -> dict[str, Any]:
        """Return what can be tried, and the lines, newest first."""
        self._tried |= {one.line: _title_of(one) for one in session.trials if one.line}
        tried = [[name, label] for name, label in TRIED.items() if name in session.applied]
        here = {
            "name": session.line, "here": True, "words": "this line", "steps": session.steps,
            **_measured(session.record, 0), "note": "",
        }  # fmt: skip
        return {
            "choices": [[name, label, _suggested(session, name)] for name, label in tried], "steps": STEPS,
            "last": _LAST,
            "rows": [
                here, *_tried_yet(session), *(self._row(session, branch) for branch in reversed(session.branches)),
            ],
        }  # fmt: skip

    def _row(self, session: Session, branch: Branch) -> dict[str, Any]:
        # The settings of a line that was left stay as they are; those of this one change with the ledger.
        moment, name = (session.line, len(session.line_changes), branch.steps), branch.name
        known = self._known.get(name)
        if known is None or known[0] != moment:
            differ = session.compare(branch).settings
            words = describe_wishes(dict(differ[name])) if name in differ else ""
            known = self._known[name] = moment, words or self._tried.get(name, "the same settings")
        return {
            "name": name, "here": False, "words": known[1], "steps": branch.steps - branch.from_step,
            **_measured(branch.record, branch.from_step), "note": branch.note,
        }  # fmt: skip


def _title_of(trial: Trial) -> str:
    """Return what is tried, by its name or its settings."""
    return trial.name or describe_wishes(trial.settings)


def _tried_yet(session: Session) -> list[dict[str, Any]]:
    """Return a row for each trial that has not ended, last first."""
    return [
        {"name": "", "here": False, "words": _title_of(trial), "steps": trial.taken,
         "of": trial.steps, "loss": None, "valid": None, "note": ""}
        for trial in reversed(session.trials) if not trial.ended
    ]  # fmt: skip


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
