"""A schedule that begins anew with a run of another length, and the rates that are to come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..group_value import GroupValue
from .forecast import Coming, look_ahead
from .plan import Ahead, Plan, Wish
from .scheduler import Scheduled


class Renewable:
    """What of a `Rate` lets its schedule begin anew with a run, where it was fitted to one that ended elsewhere."""

    wish: Wish | None
    plan: Plan | None
    value: float | None
    multiplier: float
    words: str
    ahead: Callable[[], Ahead]
    begins_run: Callable[[], bool]
    _scheduled: Scheduled | None
    _own: GroupValue
    _factor: float
    _ratios: list[float]
    _run: int
    _end: int | None
    _made: Callable[..., Scheduled]
    _install: Callable[..., str]

    def coming(self, points: int = 200) -> Coming:
        """Return the rates to the end of the run, at `points` steps at most; nothing is touched by it.

        Where the next step begins another run, they are those of that run, with which a schedule begins anew.
        """
        rate, scheduled, ahead, leader = self.value, self._scheduled, self.ahead(), self._own.leader
        anew = None
        if scheduled is not None and scheduled.taken and self.begins_run() and self._other_end(ahead):
            anew = self._anew()
        if anew is None:
            return look_ahead(rate, self.multiplier, scheduled, leader, ahead, points)
        rate = float(anew.rates()[leader] * self.multiplier)
        found = look_ahead(rate, self.multiplier, anew, leader, ahead, points)
        return replace(found, note=found.note or "The next run begins the schedule anew.")

    def run_begins(self, run: int) -> str:
        """Fit a schedule of the run's length to a run that begins; return what is to be said of it.

        Parameters
        ----------
        run : the number of the run.
        """
        scheduled, new = self._scheduled, run != self._run
        self._run = run
        if scheduled is None or not (new or not scheduled.taken):
            return ""
        ahead = self.ahead()
        if not self._other_end(ahead):
            return ""
        said = self.renew()
        return f"begins anew with the run: {said}" if said and ahead.done[0] else ""

    def renew(self, settled: Wish | None = None) -> str:
        """Have the schedule begin anew where it began, with the person's factor over it as it is."""
        made = self._anew(settled)
        if made is None or self.wish is None:
            return ""
        return self._install(self.wish, made, self._factor, self._ratios)

    # -- inside

    def _other_end(self, ahead: Ahead) -> bool:
        """Say whether the schedule was fitted to a run that ends elsewhere."""
        plan = self.plan
        return plan is not None and plan.fitted and ahead.end(plan.unit) != self._end and ahead.epochs >= 1

    def _anew(self, settled: Wish | None = None) -> Scheduled | None:
        """Return the schedule as it begins where it began; None without one, or where that cannot be."""
        if self._scheduled is None or self.wish is None:
            return None
        began = self._scheduled.began
        if len(began) != len(self._ratios):
            began = [began[min(self._own.leader, len(began) - 1)]] * len(self._ratios)
        try:
            return self._made(self.wish, began, settled)
        except ValueError:
            return None
