"""Journeys of a run, which may take steps, off the page's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..session import Session
from .hosts import start_where_shown


class Journey:
    """One journey at a time to another place of the run.

    Parameters
    ----------
    by : whose name stands in the ledger.
    changed : called, on any thread, when `busy` or `said` has changed.

    Attributes
    ----------
    busy : what is under way, in words; "" where nothing is.
    said : why the last one did not arrive, one sentence; "" where it did.
    """

    def __init__(self, by: str, changed: Callable[[], None]) -> None:
        self.busy, self.said = "", ""
        self._by, self._changed = by, changed

    def begin(self, session: Session, words: str, work: Callable[[Session], Any]) -> bool:
        """Have `work(session)` done; False where another one is still under way."""
        if self.busy:
            return False
        self.busy, self.said = words, ""

        def go() -> None:
            said = ""
            try:
                with session.by(self._by):
                    work(session)
            except Exception as error:  # noqa: BLE001 - said beside what was pressed
                said = str(error) or type(error).__name__
            self.busy, self.said = "", said
            self._changed()

        if not start_where_shown(go, "dlwidgets-going-back"):
            go()
        self._changed()
        return True
