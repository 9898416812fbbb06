"""Evidence: what was measured of a run, as rules read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.history import History
from ..base.ledger import Entry
from .loss_curve import ANEW, LossCurve

if TYPE_CHECKING:
    from ..data.task import Task
    from ..layers.probes import LayerStats
    from ..scoring.scores import Scores
    from ..training.proof import Proof
    from .data_facts import DataFacts
    from .model_facts import ModelFacts
    from .preflight import Preflight
    from .producer import Producer

_NONE = np.empty(0)


@dataclass(frozen=True)
class FailedStep:
    """A step not taken because a number is not finite.

    Attributes
    ----------
    step : the number of that step, from 1.
    sentence : what was said of it.
    batch_is_finite : whether its inputs and targets are all finite.
    producer : what first made such a number; None where it cannot be told.
    """

    step: int
    sentence: str
    batch_is_finite: bool = True
    producer: Producer | None = None


@dataclass(frozen=True)
class Evidence:
    """What was measured of a run; nobody writes to it.

    Attributes
    ----------
    step : steps taken.
    record : every step's loss, rate, gradient norm; evaluations.
    looks, unmeasured : what the newest looks at the layers measured, in order; why there can be none, or "".
    settings : what is in force, by the name of a control.
    changes : the changes of the line, in order.
    task : what is learnt, with which loss; None where a rule is tried by itself.
    epochs, steps_in_epoch : epochs completed; steps of one, None where the data does not say.
    has_valid : whether there is validation data.
    scores : those of the last evaluation, or None.
    waited : the share (0..1) of the last steps' time that the loader was waited for; None unknown.
    failure : the step that was not taken last; None where the last one was.
    unzeroed : optimizers of the training step's own whose gradients it never zeroes, by name.
    model, data : what was found of the model and the data before the first step; None where not looked at.
    data_elsewhere : whether another loop alone has the data.
    proof : the last comparison of what is frozen with then; None where nothing is frozen, or none was made.
    movers : name -> what may move a frozen tensor that has moved, and the remedy for it: see `find_mover`.
    preflight : what a batch tried on a copy of the model showed; None where none was tried.
    """

    step: int = 0
    record: History = field(default_factory=History)
    looks: Sequence[LayerStats] = ()
    unmeasured: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    changes: Sequence[Entry] = ()
    task: Task | None = None
    epochs: int = 0
    steps_in_epoch: int | None = None
    has_valid: bool = False
    scores: Scores | None = None
    waited: float | None = None
    failure: FailedStep | None = None
    unzeroed: tuple[str, ...] = ()
    model: ModelFacts | None = None
    data: DataFacts | None = None
    data_elsewhere: bool = False
    preflight: Preflight | None = None
    proof: Proof | None = None
    movers: Mapping[str, tuple[str, str] | None] = field(default_factory=dict)

    def column(self, name: str, last: int | None = None) -> np.ndarray:
        """Return a column of the history, float64: all, or the `last`."""
        column = self.record.columns.get(name)
        values = _NONE if column is None else column.values[: self.step]
        return values if last is None else values[max(0, len(values) - last) :]

    def needs_looks(self, count: int, looks: Sequence[LayerStats] | None = None) -> str:
        """Say why there are fewer looks at layers; "" otherwise."""
        if len(self.looks if looks is None else looks) >= count:
            return ""
        return self.unmeasured or f"needs {'a look' if count == 1 else f'{count} looks'} at the layers"

    @property
    def losses(self) -> np.ndarray:
        """The training loss of each step."""
        return self.column("loss")

    @cached_property
    def curve(self) -> LossCurve | None:
        """The losses since they last changed their meaning; None of under 10."""
        sizes = self.column("batch_size")
        return LossCurve.of(self.losses, self.changed(*ANEW), sizes[0] if len(sizes) else 1)

    @property
    def valid_losses(self) -> tuple[np.ndarray, np.ndarray]:
        """(steps, losses) of the last evaluations, 256 at most."""
        rows = self.record.evaluations[-256:]
        found = np.array([[row["step"], row.get("valid_loss", np.nan)] for row in rows], float).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def changed(self, *names: str) -> int:
        """Return the step after which one of these was last changed."""
        return max(self._last_changes.get(name, 0) for name in names)

    @cached_property
    def _last_changes(self) -> dict[str, int]:
        """The step of each control's last change, of the newest 1,000."""
        return {one.name: one.step for one in self.changes[-1000:] if not one.rejected}
