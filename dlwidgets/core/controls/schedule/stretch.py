"""Schedules stretched to end with a run whose length has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .plan import NAMES, Ahead, SchedulePlan, Wish

#: A scheduler is stepped to its place again, at most so often, which takes two seconds; one that would have
#: to be stepped more stays as it is.
_MAX_STEPS = 300_000


def stretch_wish(
    wish: Wish, plan: SchedulePlan, taken: int, ahead: Ahead, rates: Sequence[Any]
) -> Wish | None:
    """Return a wish whose schedule ends with the run.

    None where it does so already. What is left of the curve spreads over the steps that are left of the
    run, and what lies behind is as much of the whole as before: after u of n steps, with r to come, it has
    n' = r n / (n - u) in all and n' - r of them behind. A warm-up that is under way goes on as it is.

    Parameters
    ----------
    plan : what it is now; one that is not fitted to the run, or counts epochs, stays as it is.
    taken : the steps of it that were taken.
    rates : those of the parameter groups where it began.
    """
    rest, kind = ahead.steps, NAMES.get(plan.name)
    if kind is None or not plan.fitted or plan.unit != "step" or plan.length is None or not rest:
        return None
    warming = plan.warmup - taken
    if warming > 0:
        length, at = rest - warming, taken
    else:
        left = plan.length + warming
        if left <= 0:
            return None  # it is over: the rate stays where it is
        length = round(rest * plan.length / left)
        at = plan.warmup + length - rest
    if length < 1 or length > _MAX_STEPS or (length == plan.length and at == taken):
        return None
    options = {name: one for name, one in wish[1].items() if name not in ("unit", "warmup", "over", "metric")}
    resolved: dict[str, Any] = {"unit": "step", "warmup": plan.warmup, "over": length, "at": at}
    made = kind.fitted(length, [float(rate) for rate in rates])
    return wish[0], {name: one for name, one in resolved.items() if one} | made | options
