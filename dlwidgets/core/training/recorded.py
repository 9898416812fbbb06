"""What a session has written down: history, ledger, clipped steps, and how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..base.history import History
from ..base.ledger import Entry
from ..controls.clipping import clipping
from .microscope import Microscope
from .progress import progress
from .trainer import Trainer

if TYPE_CHECKING:
    import pandas as pd


class Recorded:
    """The records of a session; whoever inherits has `_trainer`, `epochs`, `evaluate_every`, `has_valid`."""

    _trainer: Trainer
    epochs: int
    evaluate_every: Any
    has_valid: bool

    def history(self) -> pd.DataFrame:
        """Return a data frame with a row for each step: epoch, loss, lr, batch_size, grad_norm, seconds.

        `grad_norm` is the gradients' L2 norm before clipping; NaN in steps where nobody needed it and it was
        not measured, to save time. Once clipping was on, `clipped_norm` is that after it, and `clipped` 1
        where the step was clipped. `lr` is the rate that the step was taken with. Rows of steps
        after which the model was evaluated hold `valid_loss` and the metrics too; a dict of losses has a
        column `loss_NAME` for each.
        """
        return self._trainer.loop.history.frame()

    def clipping(self, last: int = 200) -> dict[str, Any]:
        """Return how many of the `last` steps were clipped: steps (with clipping), clipped, share (0..1)."""
        return clipping(self.record, last)

    @property
    def record(self) -> History:
        """The history as growing columns, for views: see `core.base.history.History`."""
        return self._trainer.loop.history

    def ledger(self) -> pd.DataFrame:
        """Return a data frame, a row a change: time, step, name, asked, applied, by, rejected, note."""
        return self._trainer.steering.ledger.frame()

    def waits(self, name: str) -> bool:
        """Say whether the wish `name` has changed and is neither in force nor rejected yet."""
        return self._trainer.waits(name)

    def microscope(self) -> Microscope:
        """Return what looks closely at the next step: batch, losses of its samples, what moved how far.

        `session.at_step(scope.before)`, then `session.step()`, then `scope.after()`: see `Microscope`.
        """
        return Microscope(self._trainer.loop)

    @property
    def changes(self) -> list[Entry]:
        """The ledger's entries, in order."""
        return self._trainer.steering.ledger.entries

    def progress(self) -> dict[str, Any]:
        """Return where the run is: epoch, epochs, steps, total, share (0..1), rate (steps/s), left (s)."""
        goal = self._trainer.orders.goal
        every = self.evaluate_every if self.has_valid else None
        return progress(
            self._trainer.loop, self._trainer.orders.began + self.epochs if goal is None else goal, every
        )
