"""Snapshots: complete states of a run, kept within a memory budget."""

from __future__ import annotations

import bisect
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...base.state import Stateful, state_arrays

#: Why a snapshot is taken, in words.
REASONS = {
    "start": "start", "change": "before a change", "epoch": "end of an epoch", "left": "end of a line",
    "time": "on the way",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of every part of a run after `step` steps.

    Attributes
    ----------
    step : optimizer steps taken.
    changes, line : how many of the line's changes were in force; the name of the line.
    why : "start", "change" (taken before one), "epoch" (its end), "time", or "left" (the end of a line).
    parts : name -> state, as `Stateful.state` returned it; the tensors are shared with other snapshots.
    """

    step: int
    changes: int
    why: str
    line: str
    parts: Mapping[str, Any]
    time: float = field(default_factory=time.time)
    #: id -> bytes of each tensor and array in it.
    sizes: Mapping[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        sizes = {id(tensor): tensor.nbytes for tensor in state_arrays(dict(self.parts))}
        object.__setattr__(self, "sizes", sizes)

    @property
    def bytes(self) -> int:
        """The memory of its tensors, shared ones included."""
        return sum(self.sizes.values())

    @property
    def place(self) -> tuple[int, int]:
        """(step, changes): where it is on its line."""
        return self.step, self.changes

    def install(self, parts: Mapping[str, Stateful]) -> list[str]:
        """Put all parts back; return what could not be had, in clauses.

        Raises
        ------
        ValueError : in a clause, why there is no way back; all parts are as before.
        """
        said = [part.install(self.parts[name]) for name, part in parts.items() if name in self.parts]
        return [clause for clause in said if clause]


#: How much more a snapshot before a change, or of an epoch's end, is worth than one taken as time went by.
_WORTH = {"change": 2.0, "epoch": 2.0}


class Ring:
    """Keeps snapshots by step, thinned out with age to a budget.

    Where one has to go, it is the one whose absence leaves the smallest gap for its age: the least
    (next step - step before) / (now - its own step), those before a change and of an epoch's end counting
    double. So the gaps grow in proportion to the age: with 2 log2(steps) + 3 or more kept, none that
    thinning made is longer than twice the age at its near end. The first and the newest of the line that
    is under way are spared; with room for one only, it is the newest. What was left of other lines goes
    first, the oldest first, their ends (`why` "left") last of it.

    Parameters
    ----------
    budget : bytes that all tensors may take together; those that snapshots share count once.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        #: What the snapshots take.
        self.bytes = 0
        self._all: list[Snapshot] = []
        self._holders: Counter[int] = Counter()
        #: Whether a snapshot is of the line that is under way.
        self.ours: Callable[[Snapshot], bool] = lambda snapshot: True
        #: Told of each that goes.
        self.dropped: Callable[[Snapshot], None] = lambda snapshot: None

    def __iter__(self) -> Iterator[Snapshot]:
        return iter(tuple(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def add(self, snapshot: Snapshot) -> bool:
        """Add a snapshot, thin out, and say whether it is kept."""
        bisect.insort(self._all, snapshot, key=lambda one: one.place)
        for key, size in snapshot.sizes.items():
            self.bytes += 0 if self._holders[key] else size
            self._holders[key] += 1
        self._thin(0, snapshot)
        return snapshot in self._all

    def make_room(self, size: int) -> None:
        """Thin out until `size` more bytes fit."""
        if size <= self.budget:
            self._thin(size, None)

    def drop(self, snapshot: Snapshot) -> None:
        """Let a snapshot go."""
        self._all.remove(snapshot)
        self.dropped(snapshot)
        for key, size in snapshot.sizes.items():
            self._holders[key] -= 1
            if not self._holders[key]:
                del self._holders[key]
                self.bytes -= size

    def _thin(self, room: int, newest: Snapshot | None) -> None:
        while self._all and self.bytes + room > self.budget:
            self.drop(self._least(newest))

    def _least(self, newest: Snapshot | None) -> Snapshot:
        """Return the snapshot that is missed least."""
        ours = [one for one in self._all if self.ours(one)]
        others = [one for one in self._all if not self.ours(one)]
        if others:
            return min(others, key=lambda one: (one.why == "left", one.time))
        spare = [one for one in ours[1:-1] if one is not newest]
        if not spare and newest is None:
            return ours[-1]  # room is made for what will be the newest
        if not spare:
            # Two at most are left: the start goes before the newest, and the one that is added last of all.
            return next((one for one in ours if one is not newest), self._all[0])
        now = ours[-1].step
        gaps = {id(one): after.step - before.step for before, one, after in zip(ours, ours[1:], ours[2:])}

        def worth(one: Snapshot) -> tuple[float, float]:
            return gaps[id(one)] / max(1, now - one.step) * _WORTH.get(one.why, 1.0), one.time

        return min(spare, key=worth)
