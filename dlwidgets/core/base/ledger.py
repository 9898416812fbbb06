"""The ledger: every change asked for, and what became of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Entry:
    """One change, applied or rejected before step `step + 1`."""

    step: int
    name: str
    asked: Any
    applied: Any
    by: str
    #: Why it was rejected, or what is to be said of it; "" where nothing is.
    note: str = ""
    rejected: bool = False
    #: Seconds since 1970 (UTC).
    time: float = field(default_factory=time.time)
    #: The line of the run on which it was made.
    line: str = "main"


class Ledger:
    """Entries in order of application; only the loop adds to it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        #: The line under way.
        self.line = "main"

    def add(self, entry: Entry) -> None:
        """Add an entry to the line under way."""
        self.entries.append(replace(entry, line=self.line))

    def __len__(self) -> int:
        return len(self.entries)

    def frame(self) -> pd.DataFrame:
        """Return a data frame with a row for each entry."""
        import pandas as pd

        columns = ["time", "step", "name", "asked", "applied", "by", "rejected", "note", "line"]
        rows = [[getattr(entry, column) for column in columns] for entry in self.entries]
        frame = pd.DataFrame(rows, columns=columns).astype({"step": "int64", "rejected": bool})
        frame["time"] = pd.to_datetime(frame["time"], unit="s", utc=True)
        return frame
