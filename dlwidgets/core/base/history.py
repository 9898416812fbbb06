"""The measurements of a run, step by step, in columns that grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

#: The columns of every step, in the order of the data frame.
STEP_COLUMNS = ("epoch", "loss", "lr", "batch_size", "grad_norm", "seconds")


class GrowingColumn:
    """A column of float64 that grows by doubling.

    One thread appends, any thread reads `values`: what it got never changes, since a full array is
    replaced and filled rows are not written again.
    """

    def __init__(self) -> None:
        self._array = np.empty(1024)
        self._length = 0

    @classmethod
    def from_values(cls, values: np.ndarray) -> GrowingColumn:
        """Return a column that holds a copy of `values`."""
        made = cls()
        made.extend(values)
        return made

    def append(self, value: float) -> None:
        """Add one value; NaN stands for "not measured"."""
        if self._length == len(self._array):
            self._reserve(self._length + 1)
        self._array[self._length] = value
        self._length += 1

    def extend(self, values: np.ndarray) -> None:
        """Add many values."""
        length = self._length + len(values)
        if length > len(self._array):
            self._reserve(length)
        self._array[self._length : length] = values
        self._length = length

    def _reserve(self, length: int) -> None:
        grown = np.empty(max(length, 2 * len(self._array)))
        grown[: self._length] = self.values
        self._array = grown

    @property
    def values(self) -> np.ndarray:
        """All values so far, without a copy: not to be written to."""
        return self._array[: self._length]

    def __len__(self) -> int:
        return self._length


class History:
    """The steps and the evaluations of a run.

    The loop alone writes it, anybody reads. Step numbers count from 1: row i of the columns is step i + 1.

    Attributes
    ----------
    columns : name -> `GrowingColumn`, one value a step; NaN where nothing was measured.
    evaluations : dicts of "step", "valid_loss" and metrics, in order.
    proofs : the fields of each `core.training.proof.Proof`, in order.
    seconds : what the steps have taken in all.
    """

    def __init__(self) -> None:
        self.columns = {name: GrowingColumn() for name in STEP_COLUMNS}
        self.evaluations: list[dict[str, Any]] = []
        self.proofs: list[dict[str, Any]] = []
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self.columns["loss"])

    @property
    def named_losses(self) -> tuple[str, ...]:
        """Names of the losses that are summed; () of one alone."""
        return tuple(name.removeprefix("loss_") for name in self.columns if name.startswith("loss_"))

    def step(self, **values: float) -> None:
        """Record one training step; a new name opens a column."""
        columns = self.columns
        if len(values) != len(columns) or values.keys() != columns.keys():
            for name in [name for name in values if name not in columns]:
                # A new dict: another thread may be walking the old one.
                unmeasured = GrowingColumn.from_values(np.full(len(self), np.nan))
                self.columns = {**self.columns, name: unmeasured}
            columns = self.columns
            values = {name: values.get(name, np.nan) for name in columns}
        for name, value in values.items():
            columns[name].append(value)
        self.seconds += values["seconds"]

    def evaluation(self, step: int, **values: float) -> None:
        """Record an evaluation after `step` steps, replacing one that was there."""
        if self.evaluations and self.evaluations[-1]["step"] == step:
            self.evaluations[-1] = {"step": step, **values}
        else:
            self.evaluations.append({"step": step, **values})

    def proof(self, row: dict[str, Any]) -> None:
        """Record a proof, replacing one of the same step."""
        self.proofs = [*(one for one in self.proofs if one["step"] < row["step"]), row]

    def upto(self, step: int) -> History:
        """Return a copy up to step `step` and the evaluation after it."""
        other = History()
        for name, column in self.columns.items():
            other.columns[name] = GrowingColumn.from_values(column.values[:step])
        other.evaluations = [row for row in self.evaluations if row["step"] <= step]
        other.proofs = [row for row in self.proofs if row["step"] <= step]
        other.seconds = float(np.sum(other.columns["seconds"].values))
        return other

    def rate(self, window: float = 2.0) -> float | None:
        """Return the steps per second of the last `window` seconds, or None."""
        seconds = self.columns["seconds"].values
        if not len(seconds):
            return None
        total = np.cumsum(seconds[-512:][::-1])
        count = min(int(np.searchsorted(total, window)) + 1, len(total))
        return float(count / total[count - 1]) if total[count - 1] > 0 else None

    def frame(self) -> pd.DataFrame:
        """Return steps and evaluations as a data frame, indexed by step."""
        import pandas as pd

        length = min(len(column) for column in self.columns.values())
        data = {name: column.values[:length].copy() for name, column in self.columns.items()}
        frame = pd.DataFrame(data, index=pd.RangeIndex(1, length + 1, name="step"))
        evaluations = [row for row in self.evaluations if row["step"] <= length]
        if evaluations:
            # An evaluation before the first step has a row of its own: step 0, of no epoch and no samples.
            frame = frame.join(pd.DataFrame(evaluations).set_index("step"), how="outer")
        whole = ["epoch", "batch_size"]
        frame[whole] = frame[whole].fillna(0).astype("int64")
        return frame
