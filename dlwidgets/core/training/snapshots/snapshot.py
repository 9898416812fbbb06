"""A snapshot: the complete state of a run between two steps, copied so that no later step changes it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...base.state import Stateful, state_arrays

#: Why a snapshot is taken; those that thinning spares before others come first.
WHY = ("start", "change", "epoch", "left", "time")
#: The same in words.
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
    changes : how many of the line's changes were in force.
    why : "start", "change" (taken before one), "epoch" (its end), "time", or "left" (the end of a line).
    line : the name of the line on which it was taken.
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
        """Put the state of all parts back; return what could not be had, in clauses.

        Raises
        ------
        ValueError : in a clause, why there is no way back; all parts are as before.
        """
        said = []
        for name, part in parts.items():
            if name in self.parts and (clause := part.install(self.parts[name])):
                said.append(clause)
        return said
