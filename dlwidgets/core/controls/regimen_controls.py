"""The controls of what a step has beside the plain loop: see `core.controls.regimen`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..base.words import did_you_mean, pluralize
from . import wishes
from .moving import Rejected
from .patience import EarlyStopping

if TYPE_CHECKING:
    from ..training.loop import Loop
    from .by_pattern import ByPattern

#: What an evaluation finds of each task, beside the loss.
_METRICS = {
    "multiclass": ("accuracy", "macro_f1"), "multilabel": ("macro_f1",), "binary": ("macro_f1",),
    "regression": ("mean_absolute_error",),
}  # fmt: skip


class RegimenControls:
    """Those controls of `Steering` that switch on what the plain loop does not have."""

    CONTROLS = (
        "accumulate", "normalise", "dropout", "label_smoothing", "ema", "precision", "early_stopping",
    )  # fmt: skip
    #: What they are in a plain loop.
    PLAIN = dict.fromkeys(CONTROLS) | {"accumulate": 1, "precision": "full"}

    _loop: Loop
    #: Whether anything is evaluated.
    evaluates = False

    def regimen(self) -> dict[str, Any]:
        """Return what is in force."""
        now = self._loop.regimen
        return {
            "accumulate": now.groups.count,
            "normalise": now.normalising.choice,
            "dropout": now.dropping.choice,
            "label_smoothing": now.smoothing.value,
            "ema": now.averaging.decay,
            "precision": now.precision.mode,
            "early_stopping": now.stopping.rule,
        }

    def effective_batch(self) -> int:
        """Return how many samples a step has: those of its batch, times the batches it accumulates."""
        return self._loop.batches.batch_size * self._loop.regimen.groups.count

    def read_wish(self, name: str, value: Any) -> Any:
        """Return a wish for one of these controls in one form.

        Raises
        ------
        TypeError, ValueError : one sentence on what does not fit.
        """
        if name == "normalise":
            return self._loop.regimen.normalising.read(value)
        if name == "dropout":
            return self._loop.regimen.dropping.read(value)
        read = getattr(wishes, f"read_{name}")(value)
        if name == "early_stopping" and read is not None:
            _check_metric(read.metric, self._loop.objective.task.name)
        return read

    def begin(self, name: str, value: Any) -> str:
        """Put in force what a session is made with; it is no change, and not in the ledger.

        Raises
        ------
        TypeError, ValueError : one sentence on what does not fit.
        """
        try:
            return getattr(self, f"_put_{name}")(self.read_wish(name, value)) or ""
        except Rejected as why:
            raise ValueError(f"{name}={value!r}: {why}.") from None

    def _put_accumulate(self, value: int) -> str | None:
        groups = self._loop.regimen.groups
        if value == groups.count:
            return None
        groups.count = value
        return f"{pluralize(self.effective_batch(), 'sample')} a step"

    def _put_normalise(self, value: ByPattern | None) -> str:
        return self._tried(lambda: self._loop.regimen.normalising.put(value, self._loop.optimizer), anew=True)

    def _put_dropout(self, value: ByPattern | None) -> str | None:
        return self._loop.regimen.dropping.put(value)

    def _put_label_smoothing(self, value: float | None) -> None:
        smoothing = self._loop.regimen.smoothing
        if value != smoothing.value:
            self._tried(lambda: smoothing.put(value))

    def _put_ema(self, value: float | None) -> str | None:
        before, averaging = self._loop.regimen.averaging.decay, self._loop.regimen.averaging
        averaging.put(value)
        if value is not None and before is None:
            return "evaluations and predictions use the averaged weights"
        return "evaluations and predictions use the weights as they are" if value is None and before else None

    def _put_precision(self, value: str) -> str | None:
        return self._tried(lambda: self._loop.regimen.precision.put(value))

    def _put_early_stopping(self, value: EarlyStopping | None) -> str | None:
        if value is not None and not self.evaluates:
            raise Rejected("there is no validation data to tell when to stop")
        self._loop.regimen.stopping.put(value)
        return None

    def _tried(self, work: Any, anew: bool = False) -> Any:
        try:
            said = work()
        except ValueError as why:
            raise Rejected(str(why)) from None
        if anew:
            self._loop.refresh()
        return said


def _check_metric(metric: str, task: str) -> None:
    known = ("valid_loss", *_METRICS.get(task, ()))
    if metric not in known:
        hint = did_you_mean(metric, known)
        raise ValueError(
            f"early_stopping has the metric {metric!r}; evaluations have {', '.join(known)}.{hint}"
        )
