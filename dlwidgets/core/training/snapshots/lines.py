"""The lines of a run: the ways it went, to be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ...base.history import History
from ...base.ledger import Entry
from .snapshot import Snapshot

if TYPE_CHECKING:
    import pandas as pd

#: (step, changes): after so many steps, with so many of the line's changes in force.
Place = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Branch:
    """A line that was left: what it measured, and its changes.

    Attributes
    ----------
    name, parent : its name, and that of the line it parted from; None for the first.
    from_step : the step after which it parted; 0 for the first.
    steps : how many steps it has in all, those of its parents before that included.
    record : its history as columns, from step 1.
    changes : the ledger's entries in force on it, in order, from step 0.
    settings : the controls as they were at its end.
    kept : whether its last state is in memory; where not, it is trained anew on the way back to it.
    note : why it ended, where it did not end by itself.
    """

    name: str
    parent: str | None
    from_step: int
    steps: int
    record: History = field(repr=False)
    changes: tuple[Entry, ...] = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)
    kept: bool = True
    note: str = ""

    def history(self) -> pd.DataFrame:
        """Return the history as a data frame: see `Session.history`."""
        return self.record.frame()


class Comparison(NamedTuple):
    """Two lines side by side.

    Attributes
    ----------
    settings : a row for each control that differs at their ends, a column for each line.
    history : indexed by step; columns (measure, line): loss, valid_loss and the metrics of each.
    """

    settings: pd.DataFrame
    history: pd.DataFrame


def compare_lines(one: Branch, other: Branch) -> Comparison:
    """Compare two lines by settings and history."""
    import pandas as pd

    pair = (one, other)
    differ = [
        name for name in one.settings if name in other.settings and one.settings[name] != other.settings[name]
    ]
    settings = pd.DataFrame({
        branch.name: pd.Series([branch.settings[name] for name in differ], differ, object) for branch in pair
    })
    settings.index.name = "setting"
    left_out = ("epoch", "lr", "batch_size", "grad_norm", "seconds", "clipped_norm", "clipped")
    frames = {branch.name: branch.history() for branch in pair}
    measures = [name for name in frames[one.name].columns if name not in left_out]
    measures += [name for name in frames[other.name].columns if name not in (*left_out, *measures)]
    columns = {
        (measure, name): frame[measure]
        for measure in measures for name, frame in frames.items() if measure in frame
    }  # fmt: skip
    history = pd.DataFrame(columns)
    if columns:
        history.columns = pd.MultiIndex.from_tuples(columns, names=["measure", "line"])
    history.index.name = "step"
    return Comparison(settings, history)


@dataclass(eq=False)
class Line:
    """A line as the timeline keeps it.

    Attributes
    ----------
    place : where it parted from its parent.
    changes : its entries in force from step 0 on, those of its parents before it parted included.
    ancestors : name -> the place up to which a snapshot of that line is also one of this.
    end, history, settings, tip, note : set when it is left.
    """

    name: str
    parent: str | None = None
    place: Place = (0, 0)
    changes: list[Entry] = field(default_factory=list)
    ancestors: dict[str, Place] = field(default_factory=dict)
    end: Place = (0, 0)
    history: History | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    tip: Snapshot | None = None
    note: str = ""

    def holds(self, snapshot: Snapshot) -> bool:
        """Say whether a snapshot is a state that this line went through."""
        if snapshot.line == self.name:
            return True
        limit = self.ancestors.get(snapshot.line)
        return limit is not None and snapshot.place <= limit

    def went_through(self, line: str, step: int) -> bool:
        """Say whether that step of another line is this line's too."""
        return line == self.name or step <= self.ancestors.get(line, (-1, 0))[0]

    def fork(self, name: str, place: Place) -> Line:
        """Return a line that parts from this one at `place`."""
        ancestors = {one: min(limit, place) for one, limit in self.ancestors.items()}
        ancestors[self.name] = place
        return Line(name, self.name, place, self.changes[: place[1]], ancestors)

    def changes_before(self, step: int) -> int:
        """Count the changes that were in force in a step."""
        return sum(entry.step < step for entry in self.changes)

    def branch(self, kept: bool) -> Branch:
        """Return the line, which must have been left, for others."""
        return Branch(
            self.name, self.parent, self.place[0], self.end[0], self.history or History(),
            tuple(self.changes), dict(self.settings), kept, self.note,
        )  # fmt: skip
