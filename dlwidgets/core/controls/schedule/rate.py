"""The learning rate in force: the schedule's, times a person's factor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from ...base.state import Reference, dereference
from ...base.words import pluralize
from ..group_value import GroupValue
from .forecast import RateForecast, forecast_rates
from .plan import Ahead, Plan, Wish, is_plain, is_scheduler, settle
from .scheduler import ActiveSchedule, cycle, cycled_in, stand_in
from .stretch import stretched
from .wish import read_schedule


class Rate:
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
    factor, ratios : what a person laid over the schedule: for all groups, and for each beside that.
    uncycled_groups : of each group, what the schedule cycles beside the rate as it was before.
    due_steps : the steps after which an evaluation was due: what a person asked for between says nothing to it.
    begins_run : says whether the next step begins another run.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.wish: Wish | None = None
        self.ahead: Callable[[], Ahead] = lambda: Ahead(None, 1)
        self.valid = False
        self.begins_run: Callable[[], bool] = lambda: False
        self._own = GroupValue(optimizer, "lr")
        self._scheduled: ActiveSchedule | None = None
        # The factor of all groups, and that of each beside it.
        self.factor, self.ratios = 1.0, []
        self._written: list[float] = []
        self.uncycled_groups: list[dict[str, Any]] = []
        self._run, self._end = 0, None
        self._losses: list[float] = []
        # Steps after which an evaluation was due: what a person asked for between says nothing to a schedule.
        self.due_steps: set[int] = set()
        self._fed = 0

    # -- what is in force

    @property
    def plan(self) -> Plan | None:
        """The schedule in force, every number settled."""
        return None if self._scheduled is None else self._scheduled.plan

    @property
    def value(self) -> float | None:
        """The leading group's rate; None where the optimizer has none."""
        return self._own.value

    @property
    def scheduled(self) -> float | None:
        """The schedule's rate for the next step, without a person's factor."""
        if self._scheduled is None:
            return self.value
        return float(self._scheduled.rates()[self._own.leader])

    @property
    def multiplier(self) -> float:
        """What the person makes of the schedule: applied / scheduled."""
        return 1.0 if self._scheduled is None else self.factor * self.ratios[self._own.leader]

    @property
    def base(self) -> float | None:
        """The rate that the schedule scales: the person's "learning rate"."""
        return self.value if self._scheduled is None else self._began() * self.multiplier

    @property
    def leader(self) -> int:
        """The number of the leading parameter group."""
        return self._own.leader

    @property
    def began(self) -> list[Any]:
        """The groups' rates where the schedule began; empty without one."""
        return [] if self._scheduled is None else self._scheduled.began

    @property
    def words(self) -> str:
        """The schedule in words, "constant" without one."""
        return "constant" if self.plan is None else self.plan.words

    @property
    def settled(self) -> Wish | None:
        """The schedule in force as a wish with every number resolved."""
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
        """The leading group's settings from before the schedule cycled them."""
        return self.uncycled_groups[self._own.leader] if self.uncycled_groups else {}

    @property
    def scheduler(self) -> Any:
        """torch's scheduler, on a stand-in of the optimizer; None without a schedule."""
        return None if self._scheduled is None else self._scheduled.scheduler

    # -- any thread

    def read(self, value: Any) -> Wish | None:
        """Read a wish for a schedule, tried on a stand-in optimizer.

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
        """Set the rate of the next step, and scale a schedule's curve.

        Under a schedule `value` is its base, the rate that it begins from.

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
        self.factor = value / began / self.ratios[self._own.leader]
        self._write()
        return None if self.scheduled else "the schedule has a rate of 0 here, which stays 0"

    def begin(self, wish: Wish | None, settled: Wish | None = None) -> str:
        """Begin a schedule with the next step; return it in words.

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
        rates = self.starting_rates()
        made = self._made(wish, rates, settled)
        self._let_go()
        return self._install(wish, made)

    def stepped(self, loss: float) -> None:
        """Advance the schedule after a step with this batch loss."""
        if self._scheduled is None:
            return
        if self._scheduled.plan.metric == "loss":
            self._losses.append(loss)
        self._notice()
        self._scheduled.stepped()
        self._write()

    def epoch_ended(self) -> None:
        """Advance the schedule after an epoch."""
        if self._scheduled is None:
            return
        self._notice()
        self._scheduled.epoch_ended()
        if self._losses:
            self._scheduled.fed(float(np.mean(self._losses)))
            self._losses = []
        self._write()

    def evaluated(self, found: Mapping[str, float], step: int) -> str | None:
        """Feed a due evaluation to the schedule; return what it lacks."""
        scheduled = self._scheduled
        if scheduled is None or scheduled.plan.metric in (None, "loss"):
            return None
        if scheduled.plan.metric not in found:
            return (
                f"The schedule waits for {scheduled.plan.metric!r}, which the evaluation does not measure: "
                f"it measures {', '.join(found)}."
            )
        self.due_steps.add(step)
        self._fed = step
        self._notice()
        scheduled.fed(found[scheduled.plan.metric])
        self._write()
        return None

    def retaken(self, found: Mapping[str, float], step: int) -> None:
        """Feed the evaluation of a retaken step, if it was due."""
        if step in self.due_steps and step > self._fed:
            self.evaluated(found, step)

    @property
    def ended(self) -> str:
        """Why the scheduler raised and stopped, in a sentence, or ""."""
        if self._scheduled is None or not self._scheduled.ended:
            return ""
        return f"The schedule stays where it is, since its scheduler said: {self._scheduled.ended}"

    def rebind(self, optimizer: Optimizer) -> None:
        """Go on with another optimizer, at the rates of its groups."""
        old, self.optimizer = self._own, optimizer
        self._own = GroupValue(optimizer, "lr")
        if self._scheduled is None:
            return
        groups = optimizer.param_groups
        if len(self.ratios) != len(groups):
            self._written = [self._written[old.leader]] * len(groups)
            self.ratios = [self.ratios[old.leader]] * len(groups)
        self.uncycled_groups = [{key: group[key] for key in cycled_in(group, self.cycled)} for group in groups]
        # Groups of other proportions than those before keep theirs.
        self._notice()
        for number in range(len(groups) if self.cycled else 0):
            cycle(self.optimizer.param_groups[number], self._scheduled.settings(number))
        self._written = [float(group["lr"]) for group in groups]

    # -- with a run that begins, or becomes longer or shorter

    def coming(self, points: int = 200) -> RateForecast:
        """Forecast the rates to the end of the run; change nothing.

        Where the next step begins another run, they are those of that run, with which a schedule begins anew.
        """
        rate, scheduled, ahead, leader = self.value, self._scheduled, self.ahead(), self._own.leader
        anew = None
        if scheduled is not None and scheduled.taken and self.begins_run() and self._other_end(ahead):
            anew = self._anew()
        if anew is None:
            return forecast_rates(rate, self.multiplier, scheduled, leader, ahead, points)
        rate = float(anew.rates()[leader] * self.multiplier)
        found = forecast_rates(rate, self.multiplier, anew, leader, ahead, points)
        return replace(found, note=found.note or "The next run begins the schedule anew.")

    def run_begins(self, run: int) -> str:
        """Fit a schedule to a run that begins; return a note.

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
        """Begin the schedule anew, with the person's factor as it is."""
        made = self._anew(settled)
        if made is None or self.wish is None:
            return ""
        return self._install(self.wish, made, self.factor, self.ratios)

    def stretch(self) -> str:
        """Stretch a fitted schedule to end with the run; return a note.

        Its curve stays, and the place on it: the rest is drawn out, or in.
        """
        scheduled = self._scheduled
        if scheduled is None or self.wish is None:
            return ""
        settled = stretched(self.wish, scheduled.plan, scheduled.taken, self.ahead(), scheduled.began)
        if settled is None or not self.renew(settled):
            return ""
        options = settled[1]
        return (
            f"stretched to end with the run: {settled[0]} over {pluralize(options['over'], 'step')}, "
            f"{options.get('at', 0):,} of them behind"
        )

    # -- as a part of a run

    def state(self) -> dict[str, Any]:
        """Return all that stands nowhere but here: see `base.state.Stateful`."""
        state: dict[str, Any] = {"own": self._own.state(), "name": None, "fed": self._fed}
        if self._scheduled is not None:
            plan = self._scheduled.plan
            state |= {
                "name": plan.name, "plan": plan.plain(), "made": Reference((self.wish, plan)),
                "wish": list(self.wish) if is_plain(self.wish) else None,  # type: ignore[arg-type]
                "scheduled": self._scheduled.state(), "began": self._scheduled.began,
                "multiplier": self.factor, "ratios": list(self.ratios), "before": self.uncycled_groups,
                "written": list(self._written), "end": self._end, "losses": list(self._losses),
            }  # fmt: skip
        return state

    def install(self, state: dict[str, Any], optimizer: Optimizer) -> str | None:
        """Restore a state and its optimizer, which was restored already."""
        self.optimizer = optimizer
        self._own = GroupValue(optimizer, "lr")
        self._own.install(state["own"])
        self._fed = state["fed"]
        if state["name"] is None:
            self._scheduled, self.wish, self.factor, self.uncycled_groups = None, None, 1.0, []
            return None
        wish, plan = dereference(state["made"]) or self._again(state)
        if plan is None:
            self._scheduled, self.wish, self.factor, self.uncycled_groups = None, None, 1.0, []
            return f"the schedule ({state['name']}) was made by code: set session.schedule again"
        scheduled = ActiveSchedule(plan, dereference(state["scheduled"]["home"]) or optimizer, state["began"])
        scheduled.install(state["scheduled"])
        self._scheduled, self.wish = scheduled, wish
        self.factor, self.ratios = state["multiplier"], list(state["ratios"])
        self.uncycled_groups = [dict(one) for one in state["before"]]
        self._written, self._end = list(state["written"]), state["end"]
        self._losses = list(state["losses"])
        return None

    # -- inside

    def _other_end(self, ahead: Ahead) -> bool:
        """Say whether the schedule was fitted to a run that ends elsewhere."""
        plan = self.plan
        return plan is not None and plan.fitted and ahead.end(plan.unit) != self._end and ahead.epochs >= 1

    def _anew(self, settled: Wish | None = None) -> ActiveSchedule | None:
        """Return the schedule from its beginning, or None."""
        if self._scheduled is None or self.wish is None:
            return None
        began = self._scheduled.began
        if len(began) != len(self.ratios):
            began = [began[min(self._own.leader, len(began) - 1)]] * len(self.ratios)
        try:
            return self._made(self.wish, began, settled)
        except ValueError:
            return None

    def _again(self, state: dict[str, Any]) -> tuple[Wish | None, Plan | None]:
        """Return the schedule of a state that came from disk."""
        if state["wish"] is not None and state["plan"] is not None:
            return (state["wish"][0], dict(state["wish"][1])), Plan.of(state["plan"])
        if self.plan is not None and self.plan.name == state["name"]:
            return self.wish, self.plan
        return None, None

    def _made(self, wish: Wish, rates: list[Any] | None = None, settled: Wish | None = None) -> ActiveSchedule:
        """Return a schedule that begins at these rates."""
        rates = self.starting_rates() if rates is None else rates
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
                plan = replace(plan, options=known, warmup=warmup, length=length, at=at)
            return ActiveSchedule(plan, optimizer, rates, clean)
        finally:
            # A factory may know the optimizer itself, and its scheduler write into it.
            for group, was in zip(optimizer.param_groups, kept):
                if group.keys() != was.keys():
                    was["params"] = group["params"]
                    group.clear(), group.update(was)

    def starting_rates(self) -> list[Any]:
        """Return the rates that a new schedule begins from."""
        groups = self.optimizer.param_groups
        rates = [group.get("lr", 0.0) for group in groups]
        old = self._scheduled
        if old is not None and (old.warming or self._used_up):
            start = old.start if old.warming else old.began
            rates = [
                start[min(i, len(start) - 1)] * self.factor * ratio for i, ratio in enumerate(self.ratios)
            ]
        return [rate.clone() if isinstance(rate, torch.Tensor) else rate for rate in rates]

    @property
    def _used_up(self) -> bool:
        """Whether the schedule has left next to nothing of the rate."""
        old, began = self._scheduled, self._began()
        if old is None or self.factor == 0:
            return False
        return float(old.rates()[min(self._own.leader, len(old.began) - 1)]) < 1e-3 * began

    def _began(self) -> float:
        """Return the leading group's rate where the schedule began."""
        rates = [] if self._scheduled is None else self._scheduled.began
        return float(rates[min(self._own.leader, len(rates) - 1)]) if rates else 0.0

    def _install(
        self, wish: Wish, made: ActiveSchedule, multiplier: float = 1.0, ratios: list[float] | None = None
    ) -> str:
        groups = self.optimizer.param_groups
        before = self.uncycled_groups if ratios is not None else []
        self.wish, self._scheduled, self._losses = wish, made, []
        self.factor, self.ratios = multiplier, ratios or [1.0] * len(groups)
        self.uncycled_groups = before or [
            {key: group[key] for key in cycled_in(group, self.cycled)} for group in groups
        ]
        self._end = self.ahead().end(made.plan.unit)
        self._written = []
        self._write()
        said = made.plan.words
        return f"{said}; it cycles {' and '.join(made.cycled)} as well" if made.cycled else said

    def _let_go(self) -> str:
        """End the schedule at its rate, and restore what it cycled."""
        if self._scheduled is None:
            return ""
        words = [f"{key} is {_number(value)} again" for key, value in (self.uncycled_groups or [{}])[0].items()]
        for group, before in zip(self.optimizer.param_groups, self.uncycled_groups):
            group.update(before)
        own = GroupValue(self.optimizer, "lr")
        if own.value:
            self._own = own
        self._scheduled, self.wish, self.factor, self.uncycled_groups = None, None, 1.0, []
        return "".join(f"; {word}" for word in words)

    def _raws(self) -> list[tuple[Any, float]]:
        """Return each group's scheduled rate, and its factor beside the multiplier."""
        rates = self._scheduled.rates()  # type: ignore[union-attr]
        if len(rates) != len(self.ratios):
            rates = [rates[min(self._own.leader, len(rates) - 1)]] * len(self.ratios)
        return list(zip(rates, self.ratios))

    def _notice(self) -> None:
        """Treat a rate written into the optimizer by hand as set."""
        for number, (group, written) in enumerate(zip(self.optimizer.param_groups, self._written)):
            if group["lr"] != written:
                now = float(group["lr"])
                raw = float(self._raws()[number][0])
                if raw and self.factor:
                    self.ratios[number] = now / raw / self.factor

    def _write(self) -> None:
        """Write the next step's rates, and what else is cycled."""
        cycled = self.cycled
        for number, (raw, ratio) in enumerate(self._raws()):
            self._put(number, float(raw * self.factor * ratio))
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
