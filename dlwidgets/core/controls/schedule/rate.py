"""The learning rate in force: what the schedule has, times what the person at the slider makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from ..group_value import GroupValue
from .plan import Ahead, Plan, Wish, is_scheduler, settle
from .rate_state import RateState
from .renewal import Renewable
from .scheduler import Scheduled, cycle, cycled_in, stand_in
from .stretch import Stretchable
from .wish import read_schedule


class Rate(RateState, Stretchable, Renewable):
    """The rate of an optimizer's groups: scheduled x multiplier = applied.

    Without a schedule, the rate is the number in the optimizer. A schedule begins from the rate that is in
    force then. `set(x)` makes the rate x from the next step on, and all that the schedule brings after it
    larger or smaller by the same factor; the scheduler itself never sees this factor, so that it works with
    every scheduler. A rate that a person writes into the groups by hand counts as set so.

    Attributes
    ----------
    optimizer : whose groups are written to.
    wish, plan : the schedule asked for, and what became of it; None without one.
    ahead : returns what of the run lies ahead.
    valid : whether there is validation data.
    begins_run : says whether the next step begins another run.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.wish: Wish | None = None
        self.ahead: Callable[[], Ahead] = lambda: Ahead(None, 1)
        self.valid = False
        self.begins_run: Callable[[], bool] = lambda: False
        self._own = GroupValue(optimizer, "lr")
        self._scheduled: Scheduled | None = None
        # The factor of all groups, and that of each beside it.
        self._factor, self._ratios = 1.0, []
        self._written: list[float] = []
        self._before: list[dict[str, Any]] = []
        self._run, self._end = 0, None
        self._losses: list[float] = []
        # Steps after which an evaluation was due: what a person asked for between says nothing to a schedule.
        self._due: set[int] = set()
        self._fed = 0

    # -- what is in force

    @property
    def plan(self) -> Plan | None:
        """The schedule in force, every number settled."""
        return None if self._scheduled is None else self._scheduled.plan

    @property
    def value(self) -> float | None:
        """The rate of the leading group, read off the optimizer; None where it has no rate."""
        return self._own.value

    @property
    def scheduled(self) -> float | None:
        """What the schedule alone would have for the next step; the rate in force without a schedule."""
        if self._scheduled is None:
            return self.value
        return float(self._scheduled.rates()[self._own.leader])

    @property
    def multiplier(self) -> float:
        """What the person makes of the schedule: applied / scheduled."""
        return 1.0 if self._scheduled is None else self._factor * self._ratios[self._own.leader]

    @property
    def base(self) -> float | None:
        """The rate that the schedule scales, in the person's words "the learning rate"; without one that in force."""
        return self.value if self._scheduled is None else self._began() * self.multiplier

    @property
    def words(self) -> str:
        """The schedule in words, "constant" without one."""
        return "constant" if self.plan is None else self.plan.words

    @property
    def settled(self) -> Wish | None:
        """The schedule in force as a wish that leaves nothing open; None without one."""
        if self.plan is None or self.wish is None:
            return None
        plan, names = self.plan, ("unit", "warmup", "over", "metric", "at")
        options = zip(names, (plan.unit, plan.warmup, plan.length, plan.metric, plan.at))
        return self.wish[0], {name: one for name, one in options if one} | plan.options

    @property
    def cycled(self) -> tuple[str, ...]:
        """What the schedule changes along with the rate, as ("momentum",)."""
        return () if self._scheduled is None else self._scheduled.cycled

    @property
    def uncycled(self) -> dict[str, Any]:
        """What the leading group has in place of what is cycled, once it is not any more."""
        return self._before[self._own.leader] if self._before else {}

    @property
    def scheduler(self) -> Any:
        """torch's scheduler, on a stand-in of the optimizer; None without a schedule."""
        return None if self._scheduled is None else self._scheduled.scheduler

    # -- any thread

    def read(self, value: Any) -> Wish | None:
        """Return a wish for a schedule in one form, tried on a stand-in of the optimizer.

        Raises
        ------
        ValueError : one sentence on what is wrong.
        """
        wish = read_schedule(value)
        if wish is not None:
            try:
                self._made(wish)
            except ValueError as why:
                said = repr(wish[0]) if isinstance(wish[0], str) else "this scheduler"
                raise ValueError(f"schedule: {said} cannot be had: {why}.") from None
        return wish

    # -- between two steps

    def set(self, value: float) -> str | None:
        """Make `value` the rate from the next step on, or the base of the schedule, whose curve it scales.

        Returns what is to be said of it.

        Raises
        ------
        ValueError : why that cannot be, in a clause.
        """
        if self._scheduled is None:
            self._own.set(value)
            return None
        began = self._began()
        if not began:
            raise ValueError("the schedule begins from a rate of 0, which no factor makes larger")
        self._factor = value / began / self._ratios[self._own.leader]
        self._write()
        return None if self.scheduled else "the schedule has a rate of 0 here, which stays 0"

    def begin(self, wish: Wish | None, settled: Wish | None = None) -> str:
        """Put a schedule in force from the next step on; return in words what it is.

        It begins from the rate in force; in a warm-up from the one that leads up to; and where the last
        schedule has left less than a thousandth, from the base of that.

        Parameters
        ----------
        settled : what it became when it was asked for the first time, where it is to be the same again.

        Raises
        ------
        ValueError : why that cannot be, in a clause; all is as before.
        """
        if wish is None:
            if self._scheduled is None:
                return ""
            held = self._let_go()
            return f"the rate stays at {self.value:g}" + held
        if self.value is None:
            raise ValueError(f"{type(self.optimizer).__name__} has no learning rate")
        rates = self._beginning()
        made = self._made(wish, rates, settled)
        self._let_go()
        return self._install(wish, made)

    def stepped(self, loss: float) -> None:
        """Take notice that a step was taken, of a batch with this loss."""
        if self._scheduled is None:
            return
        if self._scheduled.plan.metric == "loss":
            self._losses.append(loss)
        self._notice()
        self._scheduled.stepped()
        self._write()

    def epoch_ended(self) -> None:
        """Take notice that an epoch ended."""
        if self._scheduled is None:
            return
        self._notice()
        self._scheduled.epoch_ended()
        if self._losses:
            self._scheduled.fed(float(np.mean(self._losses)))
            self._losses = []
        self._write()

    def evaluated(self, found: Mapping[str, float], step: int) -> str | None:
        """Take notice of what an evaluation that was due after so many steps found; say what it lacks."""
        scheduled = self._scheduled
        if scheduled is None or scheduled.plan.metric in (None, "loss"):
            return None
        if scheduled.plan.metric not in found:
            return (
                f"The schedule waits for {scheduled.plan.metric!r}, which the evaluation does not measure: "
                f"it measures {', '.join(found)}."
            )
        self._due.add(step)
        self._fed = step
        self._notice()
        scheduled.fed(found[scheduled.plan.metric])
        self._write()
        return None

    def retaken(self, found: Mapping[str, float], step: int) -> None:
        """Take notice of what was evaluated after a step that is behind once more, if it was due then."""
        if step in self._due and step > self._fed:
            self.evaluated(found, step)

    @property
    def ended(self) -> str:
        """Why the scheduler is stepped no more, a sentence; "" where it is."""
        if self._scheduled is None or not self._scheduled.ended:
            return ""
        return f"The schedule stays where it is, since its scheduler said: {self._scheduled.ended}"

    def rebind(self, optimizer: Optimizer) -> None:
        """Go on with another optimizer, whose groups have the rates that they are to have next."""
        old, self.optimizer = self._own, optimizer
        self._own = GroupValue(optimizer, "lr")
        if self._scheduled is None:
            return
        groups = optimizer.param_groups
        if len(self._ratios) != len(groups):
            self._written = [self._written[old.leader]] * len(groups)
            self._ratios = [self._ratios[old.leader]] * len(groups)
        self._before = [{key: group[key] for key in cycled_in(group, self.cycled)} for group in groups]
        # Groups of other proportions than those before keep theirs.
        self._notice()
        for number in range(len(groups) if self.cycled else 0):
            cycle(self.optimizer.param_groups[number], self._scheduled.settings(number))
        self._written = [float(group["lr"]) for group in groups]

    # -- inside

    def _made(self, wish: Wish, rates: list[Any] | None = None, settled: Wish | None = None) -> Scheduled:
        """Return a schedule that begins at these rates; the optimizer may be swapped meanwhile."""
        rates = self._beginning() if rates is None else rates
        ahead = self.ahead()
        clean = ahead.done[0] > 0
        if is_scheduler(wish[0]) and getattr(wish[0], "optimizer", None) is not self.optimizer:
            raise ValueError(
                "the scheduler was made for another optimizer: pass a factory, as "
                "lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 30)"
            )
        optimizer, own = self.optimizer, not isinstance(wish[0], (str, type)) and not is_scheduler(wish[0])
        kept = [dict(group) for group in optimizer.param_groups] if own else []
        try:
            plan = settle(
                wish, ahead, [float(rate) for rate in rates],
                lambda: stand_in(optimizer, rates, clean), self.valid,
            )  # fmt: skip
            if settled is not None:
                known = dict(settled[1])
                known.pop("unit", None)
                known.pop("metric", None)
                warmup, length, at = known.pop("warmup", 0), known.pop("over", None), known.pop("at", 0)
                plan = dataclasses.replace(plan, options=known, warmup=warmup, length=length, at=at)
            return Scheduled(plan, optimizer, rates, clean)
        finally:
            # A factory may know the optimizer itself, and its scheduler write into it.
            for group, was in zip(optimizer.param_groups, kept):
                if group.keys() != was.keys():
                    was["params"] = group["params"]
                    group.clear(), group.update(was)

    def _beginning(self) -> list[Any]:
        """Return the rates that a new schedule begins from."""
        groups = self.optimizer.param_groups
        rates = [group.get("lr", 0.0) for group in groups]
        old = self._scheduled
        if old is not None and (old.warming or self._used_up):
            start = old.start if old.warming else old.began
            rates = [
                start[min(i, len(start) - 1)] * self._factor * ratio for i, ratio in enumerate(self._ratios)
            ]
        return [rate.clone() if isinstance(rate, torch.Tensor) else rate for rate in rates]

    @property
    def _used_up(self) -> bool:
        """Whether the schedule has left next to nothing of the rate."""
        old, began = self._scheduled, self._began()
        if old is None or self._factor == 0:
            return False
        return float(old.rates()[min(self._own.leader, len(old.began) - 1)]) < 1e-3 * began

    def _began(self) -> float:
        """Return the leading group's rate that the schedule began from, without the person's factor."""
        rates = [] if self._scheduled is None else self._scheduled.began
        return float(rates[min(self._own.leader, len(rates) - 1)]) if rates else 0.0

    def _install(
        self, wish: Wish, made: Scheduled, multiplier: float = 1.0, ratios: list[float] | None = None
    ) -> str:
        groups = self.optimizer.param_groups
        before = self._before if ratios is not None else []
        self.wish, self._scheduled, self._losses = wish, made, []
        self._factor, self._ratios = multiplier, ratios or [1.0] * len(groups)
        self._before = before or [
            {key: group[key] for key in cycled_in(group, self.cycled)} for group in groups
        ]
        self._end = self.ahead().end(made.plan.unit)
        self._written = []
        self._write()
        said = made.plan.words
        return f"{said}; it cycles {' and '.join(made.cycled)} as well" if made.cycled else said

    def _let_go(self) -> str:
        """End the schedule, the rate staying where it is; put back what it cycled."""
        if self._scheduled is None:
            return ""
        words = [f"{key} is {_number(value)} again" for key, value in (self._before or [{}])[0].items()]
        for group, before in zip(self.optimizer.param_groups, self._before):
            group.update(before)
        own = GroupValue(self.optimizer, "lr")
        if own.value:
            self._own = own
        self._scheduled, self.wish, self._factor, self._before = None, None, 1.0, []
        return "".join(f"; {word}" for word in words)

    def _raws(self) -> list[tuple[Any, float]]:
        """Return each group's scheduled rate, and its factor beside the multiplier."""
        rates = self._scheduled.rates()  # type: ignore[union-attr]
        if len(rates) != len(self._ratios):
            rates = [rates[min(self._own.leader, len(rates) - 1)]] * len(self._ratios)
        return list(zip(rates, self._ratios))

    def _notice(self) -> None:
        """Take a rate that a person wrote into the optimizer by hand as one that was set."""
        for number, (group, written) in enumerate(zip(self.optimizer.param_groups, self._written)):
            if group["lr"] != written:
                now = float(group["lr"])
                raw = float(self._raws()[number][0])
                if raw and self._factor:
                    self._ratios[number] = now / raw / self._factor

    def _write(self) -> None:
        """Put the rates of the next step in force, and what else the schedule changes."""
        cycled = self.cycled
        for number, (raw, ratio) in enumerate(self._raws()):
            self._put(number, float(raw * self._factor * ratio))
            if cycled:  # type: ignore[union-attr]
                cycle(self.optimizer.param_groups[number], self._scheduled.settings(number))

    def _put(self, number: int, value: float) -> None:
        group = self.optimizer.param_groups[number]
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(value)
            value = float(group["lr"])
        else:
            group["lr"] = value
        self._written[number : number + 1] = [value]


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)
