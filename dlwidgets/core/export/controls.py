"""What each control contributes to a script: how it begins, its changes, and what of a step it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..base.ledger import Entry
from .clipping import Clipping
from .draft import Draft
from .moving import Moving
from .regimen import Regimen
from .sources import Unwritable
from .trainable import Trainable

#: What `Steering.in_force` has that follows from others.
_DERIVED = ("schedule_in_words", "scheduled_lr", "lr_multiplier")
#: What is a variable at the head of the script, which has the value that the first step has.
_BEGIN = ("batch_size", "threads", "clip", "accumulate")


class Controls:
    """The controls of a run, each asked in turn for its lines.

    A control is a method or an object with `begin()`, which contributes what the script has before its loop,
    and `change(entry)`, which returns the lines of a change. One that is not named here raises, so that no
    script is silently another run.

    Parameters
    ----------
    resized : the line that changes the batch size: see `script_data.Supply`.
    """

    def __init__(self, draft: Draft, resized: str | None) -> None:
        self._draft, self._resized = draft, resized or "batch_size = {}"
        self._clip, self._moving = Clipping(draft), Moving(draft)
        self._trainable, self._regimen = Trainable(draft, self._moving.shadow), Regimen(draft)
        self._changes: dict[str, Callable[[Entry], list[str]]] = {
            "batch_size": self._batch_size,
            "threads": self._threads,
            "clip": self._clip.change,
            "trainable": self._trainable.change,
            **self._moving.changes,
            **self._regimen.changes,
        }
        known = {*self._changes, *_DERIVED}
        unwritten = [name for name in draft.origin.settings if name not in known]
        if unwritten:
            raise Unwritable(f"the control {unwritten[0]!r} has no writer yet")
        unknown = {entry.name for entry in draft.changes} - {*self._changes, "skip"}
        if unknown:
            raise Unwritable(
                f"the control {sorted(unknown)[0]!r} was changed, for which there is no writer yet"
            )

    def begin(self) -> dict[int, list[str]]:
        """Contribute what comes before the loop; return step -> the lines of the changes made after it."""
        self._moving.begin()
        self._trainable.begin()
        self._clip.begin()
        self._regimen.begin()
        draft, lines = self._draft, dict[int, list[str]]()
        for step, kept in self._regimen.best().items():
            lines.setdefault(step, []).extend(kept)
        for entry in draft.changes:
            if entry.name == "skip" or (entry.step == 0 and entry.name in _BEGIN):
                continue  # in its place where the script begins, or of its own
            made = self._changes[entry.name](entry)
            if entry.step == 0:
                draft.setup += made
            else:
                lines.setdefault(entry.step, []).extend(made)
        self._clip.step()
        self._moving.finish()
        return lines

    def first(self, name: str) -> Any:
        """Return a setting as the first step has it."""
        value = self._draft.origin.settings[name]
        for entry in self._draft.changes:
            if entry.name == name and entry.step == 0:
                value = entry.applied
        return value

    def _batch_size(self, entry: Entry) -> list[str]:
        return [self._resized.format(entry.applied)]

    def _threads(self, entry: Entry) -> list[str]:
        return [f"torch.set_num_threads({entry.applied})"]
