"""The lines of all controls in an exported script."""

from __future__ import annotations

from typing import Any

from ..base.literals import Unwritable
from ..controls.control import Writer
from .draft import Draft
from .movement import Movement


class ControlLines:
    """The lines of all controls, each asked in turn.

    One without a writer raises, so that no script is silently another run.

    Parameters
    ----------
    resized : the line that changes the batch size: see `data.Supply`.
    """

    def __init__(self, draft: Draft, resized: str | None) -> None:
        self._draft = draft
        draft.resized, draft.movement = resized or "batch_size = {}", Movement(draft)
        self._writers: dict[str, Writer] = {}
        for control in draft.controls:
            if control.writer is None:
                raise Unwritable(f"the control {control.name!r} has no writer yet")
            self._writers[control.name] = control.writer(control.name, draft)
        unknown = {entry.name for entry in draft.changes} - {*self._writers, "skip"}
        if unknown:
            raise Unwritable(
                f"the control {sorted(unknown)[0]!r} was changed, for which there is no writer yet"
            )

    def begin(self) -> dict[int, list[str]]:
        """Write what precedes the loop; return step -> lines of its changes."""
        draft, lines = self._draft, dict[int, list[str]]()
        draft.movement.begin()
        for writer in self._writers.values():
            writer.begin()
        for writer in self._writers.values():
            for step, before in writer.before().items():
                lines.setdefault(step, []).extend(before)
        for entry in draft.changes:
            # One at the head has the value of the first step there; a skip has a place of its own.
            if entry.name == "skip" or (entry.step == 0 and self._writers[entry.name].at_head):
                continue
            made = self._writers[entry.name].change(entry)
            if entry.step == 0:
                draft.setup += made
            else:
                lines.setdefault(entry.step, []).extend(made)
        for writer in self._writers.values():
            writer.finish()
        draft.movement.finish()
        return lines

    def first(self, name: str) -> Any:
        """Return a setting as the first step has it."""
        return self._writers[name].first
