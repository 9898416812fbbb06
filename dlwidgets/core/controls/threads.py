"""The number of threads that torch computes with, as a control."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch

from ..base.ledger import Entry
from ..base.machine import choose_threads
from ..base.numbers import read_count
from .control import Control, PanelRow, Writer

if TYPE_CHECKING:
    from .steering import Steering


class ThreadsWriter(Writer):
    """The call that sets them."""

    at_head = True

    def change(self, entry: Entry) -> list[str]:
        return [f"torch.set_num_threads({entry.applied})"]


class Threads(Control):
    """How many threads torch uses in training."""

    name = "threads"
    aliases = ("num_threads",)
    bounds = "positive"
    writer = ThreadsWriter
    rows = (
        PanelRow(
            "run", "Threads",
            hint="Threads that torch computes with; empty: as many as there are CPUs to be had",
        ),
    )  # fmt: skip

    def __init__(self, steering: Steering | None = None) -> None:
        super().__init__(steering)
        if steering is not None:
            # Asked here: on the training thread torch tells what is in force there.
            self._usual = choose_threads()[0]
            self._threads = steering.asked_threads or self._usual

    def read(self, value: Any) -> int | None:
        number = None if value is None else read_count(value)
        # More, and the system may refuse the threads: GNU OpenMP then ends the process.
        most = max(64, os.cpu_count() or 1)
        if value is not None and (number is None or number > most):
            wanted = f"a whole number of threads, 1 to {most}, is wanted, or None."
            raise ValueError(f"threads={value!r}: {wanted}")
        return number

    def now(self) -> int:
        return self._threads

    def put(self, value: int | None) -> str | None:
        wanted = self._usual if value is None else value
        if wanted == self._threads:
            return None
        self._threads = wanted
        torch.set_num_threads(wanted)  # of this thread, which trains; given back with all that is borrowed
        return "sums are taken in another order: from here on the last bits of the weights may differ"

    def state(self) -> int:
        return self._threads

    def install(self, state: int) -> None:
        self.put(state)
