"""Stands for data that another loop brings itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from .batches import Batches, SourceState


class HostedBatches(Batches):
    """Counts the batches of data that only another loop has.

    Attributes
    ----------
    each : how many batches an epoch has; None where that is not known.
    taken : how many of the epoch under way were taken.
    why_not_kept : why no state of the run can be put back, in a clause; "" where it can.
    """

    def __init__(self, batch_size: int = 32, each: int | None = None) -> None:
        super().__init__(batch_size, SourceState())
        self.each, self.taken, self.why_not_kept = each, 0, ""

    @property
    def midway(self) -> bool:
        return self.taken > 0

    def steps_left(self) -> int | None:
        return None if self.each is None else max(0, self.each - self.taken)

    def steps_in_epoch(self) -> int | None:
        return self.each

    def take(self) -> NoReturn:
        raise ValueError("The session has no training data of its own: pass train=(X, y) to train by it.")

    def peek(self, count: int) -> NoReturn:
        self.take()

    def put_back(self) -> None:
        pass

    def sweep(self, batch_size: int) -> Iterator[Any]:
        self.take()

    def state(self) -> dict[str, Any]:
        if self.why_not_kept:
            raise ValueError(self.why_not_kept)
        return {"taken": self.taken}

    def install(self, state: dict[str, Any]) -> None:
        """Stay: the other loop goes on in its data where it is."""
