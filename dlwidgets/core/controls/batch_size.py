"""The batch size, as a control."""

from __future__ import annotations

from typing import Any

from ..base.ledger import Entry
from ..base.numbers import read_count
from .control import Control, Writer


class BatchSizeWriter(Writer):
    """The variable at the head, or the loader's own attribute."""

    at_head = True

    def change(self, entry: Entry) -> list[str]:
        return [self.script.resized.format(entry.applied)]


class BatchSize(Control):
    """How many samples a batch has."""

    name = "batch_size"
    default = 32
    aliases = ("batchsize", "bs")
    of_the_step = changes_length = True
    bounds = "positive"
    touches = ("accumulate", "lr", "schedule")
    writer = BatchSizeWriter

    def read(self, value: Any) -> int:
        if (number := read_count(value)) is None:
            raise ValueError(f"batch_size={value!r}: a whole number of samples, 1 or more, is wanted.")
        return number

    def now(self) -> int:
        return self.loop.batches.batch_size

    def put(self, value: int) -> str | None:
        batches = self.loop.batches
        if value == batches.batch_size:
            return None
        if why := batches.why_not(value):
            raise ValueError(why)
        batches.batch_size = value
        return batches.note()
