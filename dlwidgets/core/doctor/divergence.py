"""What a run does by itself when it diverges."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.numbers import format_number, format_rate
from ..training.loop import HELPS, Diverged, NotFinite
from .course import find_last_good, find_trouble, has_exploded, of_one_loss
from .finding import Finding

if TYPE_CHECKING:
    from ..scoring.evaluation import NotFiniteOutput
    from ..training.run import Run

#: How often a run goes back and on by itself, and how many steps in a row it leaves out.
_REWINDS, _SKIPS = 3, 10


class Divergence:
    """Does what `on_divergence` says, on the training thread between two steps.

    "pause": the run goes back to the last good snapshot and pauses there. "rewind": it goes on from there with a
    tenth of the rate, three times in a run at most. "go on": a step that is not finite is left out, ten in a row at
    most. Where the loss was on its course right up to the step that failed, or the batch is to blame, going back
    would cure nothing: then, and where nothing is kept from before, the run fails where it is.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._rewinds: tuple[int, int] = (0, 0)
        self._skipped: tuple[int, int] = (-1, 0)

    def see_to_failure(self, error: NotFinite | NotFiniteOutput) -> bool:
        """Say whether a step that is not finite was seen to."""
        run, number = self._run, self._run.loop.steps + 1
        if run.wish("on_divergence") == "go on":
            return isinstance(error, NotFinite) and self._leave_out(error)
        finding, losses = Finding("loss_not_finite", "high", "", "", step=number), self._losses
        if not error.batch_is_finite or find_trouble(finding, losses) == number:
            return False
        return self._go_back(finding, copy.copy(error))

    def see_to_explosion(self) -> bool:
        """Say whether a finite loss has exploded, and that was seen to."""
        run, losses = self._run, self._losses
        if run.wish("on_divergence") == "go on" or not has_exploded(losses):
            return False
        steps = run.loop.steps
        finding = Finding("loss_diverging", "high", "", "", step=steps)
        begins = find_trouble(finding, losses)
        risen = f"{format_number(np.nanmin(losses[: begins - 1]))} → {format_number(losses[-1])}"
        return self._go_back(finding, Diverged(f"The loss exploded: {risen} in step {steps:,}. {HELPS} Then resume."))

    def _leave_out(self, error: BaseException) -> bool:
        steps, count = self._run.loop.steps, self._skipped[1] if self._skipped[0] == self._run.loop.steps else 0
        if count >= _SKIPS:
            return False
        self._skipped = steps, count + 1
        self._run.skip("doctor", str(error).split(". ")[0])
        return True

    def _go_back(self, finding: Finding, error: Any) -> bool:
        run, losses = self._run, self._losses
        step = find_last_good(finding, losses, (step for step, _ in run.timeline.snapshots))
        if step is None:
            return False
        begins, line, count = find_trouble(finding, losses), run.timeline.line.name, self._count()
        note, rate = f"the loss left its course in step {begins:,}", run.steering["lr"].wish()
        try:
            if run.wish("on_divergence") == "rewind" and count < _REWINDS and rate:
                # Not what is in force there: the rate may have been lowered right there before, and not enough.
                run.go_back(step, note, lambda: {"lr": _tenth(min(rate, run.steering["lr"].wish() or rate))})
                self._rewinds = run.orders.runs, count + 1
                lower = format_rate(run.steering["lr"].wish() or 0.0)
                said = str(error).split(". ")[0]
                run.note(f"{said}. The run went back to step {step:,} and on with the rate {lower}.")
            else:
                where = f"The run went back to step {step:,}, from before the loss rose, and waits there"
                error.args = (f"{error} {where}; what came after is kept as {line!r}.",)
                run.go_back(step, note, error=error)
        except Exception:  # noqa: BLE001 - there is no way back: all is as it was, and the run fails where it is
            return False
        return True

    @property
    def _losses(self) -> np.ndarray:
        return of_one_loss(self._run.loop.history.columns["loss"].values, self._run.timeline.line.changes)

    def _count(self) -> int:
        """Count how often this run went back and on by itself."""
        return self._rewinds[1] if self._rewinds[0] == self._run.orders.runs else 0


def _tenth(rate: float) -> float:
    return float(f"{0.1 * rate:.6g}")
