"""The coming rates, drawn before and during a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .plan import Ahead
from .scheduler import ActiveSchedule


@dataclass(frozen=True, eq=False)
class RateForecast:
    """The coming rates, as far as they are known.

    Attributes
    ----------
    steps : int64, ascending: numbers of steps, as the history counts them.
    rates : float64: the rate that each of them will be taken with, of the leading parameter group.
    note : what is to be said of it, a sentence; "" where nothing is.
    """

    steps: np.ndarray
    rates: np.ndarray
    note: str = ""


def forecast_rates(
    rate: float | None,
    multiplier: float,
    scheduled: ActiveSchedule | None,
    leader: int,
    ahead: Ahead,
    points: int,
) -> RateForecast:
    """Return the rates to the end of the run, thinned out.

    Parameters
    ----------
    rate : the rate of the next step; None where the optimizer has none.
    multiplier : what the schedule's own rates are multiplied with.
    leader : the number of the group that is looked at.
    """
    first = ahead.done[0]
    if rate is None:
        return RateForecast(np.empty(0, np.int64), np.empty(0), "The optimizer has no rate.")
    count, note = ahead.steps, ""
    if count is None:
        length = None if scheduled is None or scheduled.plan.unit != "step" else scheduled.plan.length
        count = length or 1000
        note = f"The data does not say how many steps it has: {count:,} are shown."
    if count <= 0:
        return RateForecast(np.empty(0, np.int64), np.empty(0), "No step of the run is left.")
    offsets = np.unique(np.linspace(0, count - 1, max(2, min(points, count))).round().astype(np.int64))
    if scheduled is None:
        return RateForecast(first + 1 + offsets, np.full(len(offsets), rate), note)
    rates = scheduled.forecast(offsets.tolist(), leader, ahead)
    if scheduled.plan.unit == "epoch" and ahead.each is None:
        note = "The data does not say how many steps an epoch has: drawn as it is in this one."
    elif scheduled.plan.metric is not None:
        note = f"What comes depends on {scheduled.plan.metric}: drawn as if it went on getting better."
    elif len(rates) < len(offsets):
        note = f"Drawn up to step {first + 1 + int(offsets[len(rates) - 1]):,}." if rates else ""
    elif (end := scheduled.plan.length) is not None and scheduled.plan.unit == "step":
        over = first + scheduled.plan.warmup + end - scheduled.taken
        if over < first + count and scheduled.plan.max_advances is not None:
            note = f"The schedule ends with step {over:,}, the run with step {first + count:,}."
    made = np.array(rates) * multiplier
    if len(made) and offsets[0] == 0:
        made[0] = rate
    return RateForecast(first + 1 + offsets[: len(made)], made, note)
