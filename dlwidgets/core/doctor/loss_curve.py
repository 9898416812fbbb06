"""A run's losses as rules read them: level, noise, progress."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

#: Controls that change what a loss means: what came before is not to be compared with what comes after.
ANEW = ("loss_function", "loss_weights", "label_smoothing", "dropout", "input_scaling", "reinitialise", "head")
#: Steps of a block, whose median is the loss there; blocks that are looked at, from all of the run; steps "of late".
BLOCK, _BLOCKS, RECENT = 5, 64, 200
#: Batches from which on the loss of the very first one says where the run began.
_SURE = 8


@dataclass(frozen=True)
class LossCurve:
    """The losses since they last changed their meaning.

    All is relative: losses times a number, or, where some are negative, plus a number, give the same answers.

    Attributes
    ----------
    recent : the last 200, float64, all finite.
    steps : how many there are.
    first, least, now : medians of the first 5, of the 5 where it is least before the last 10, and the lower quartile
        of the last 10.
    origin : the loss before any step; NaN where a single batch of it says too little.
    zero : 0; where losses are negative, as far below the least as that is below the first.
    """

    recent: np.ndarray
    steps: int
    first: float
    least: float
    now: float
    origin: float
    zero: float

    @classmethod
    def of(cls, losses: np.ndarray, since: int = 0, batch_size: float = 1) -> LossCurve | None:
        """Return the curve of a run's losses; None of under 10.

        Parameters
        ----------
        losses : of each step, float64; NaN where there was none.
        since : the step after which they last changed their meaning.
        batch_size : samples of the first step.
        """
        part = losses[since:]
        part = part if math.isfinite(part[-2 * RECENT :].sum()) else part[np.isfinite(part)]
        if (count := len(part)) < 2 * BLOCK:
            return None
        starts = np.linspace(0, count - BLOCK, min(_BLOCKS, count // BLOCK)).astype(int)
        blocks = np.sort(part[starts[:, None] + np.arange(BLOCK)], axis=1)
        medians, noise = blocks[:, BLOCK // 2], np.sort(blocks[:, -1] - blocks[:, 0])[len(blocks) // 4]
        first, now = medians[0], np.sort(part[-2 * BLOCK :])[BLOCK // 2]
        least = medians[: max(1, np.searchsorted(starts, count - 2 * BLOCK, "right"))].min()
        lowest = min(blocks[:, 0].min(), now)
        zero = 0.0 if lowest >= 0 else least - max(first - least, 2 * noise)
        origin = part[0] if not since and batch_size >= _SURE else math.nan
        return cls(part[-RECENT:], count, *map(float, (first, least, now, origin, zero)))

    def height(self, level: float) -> float:
        """Return how far a loss is above zero."""
        return level - self.zero

    def trend(self, last: int = RECENT) -> tuple[float, float]:
        """Return by which share the loss changed of late, and how surely.

        Returns
        -------
        tuple of float
            The mean of the last third of these steps minus that of the first, over the height of the first; and over
            its standard error (Welch's t): beyond -3 or 3 it is no noise.
        """
        losses = self.recent[-last:]
        third = len(losses) // 3
        one, other = losses[:third], losses[-third:]
        change = float(other.mean() - one.mean())
        error = math.sqrt((one.var() + other.var()) / max(1, third - 1))
        share = change / (self.height(float(one.mean())) or math.inf)
        return share, change / error if error else math.copysign(math.inf if change else 0.0, change)
