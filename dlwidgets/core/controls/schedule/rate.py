"""The learning rate in force, and its schedule as a control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from ...base.ledger import Entry
from ...base.state import Reference, dereference
from ...base.words import pluralize
from ..control import Control, Panel, PanelRow, parse_number
from ..momentum import ready_for_momentum
from ..optimizer_number import MovementWriter, name_in_wish
from ..parameter_groups import GroupValue, set_group
from ..scaled_groups import ScaledGroups
from . import plan as plans
from .plan import NAMES, Ahead, SchedulePlan, Wish
from .scheduler import OF_ANOTHER, ActiveSchedule, cycle, cycled_in, stand_in


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


class Rate:
    """The rate of an optimizer's groups: scheduled x multiplier = applied.

    Without a schedule, the rate is the number in the optimizer. A schedule begins from the rate that is in
    force then. `set(x)` makes the rate x from the next step on, and all that the schedule brings after it
    larger or smaller by the same factor; the scheduler itself never sees this factor, so that it works with
    every scheduler. A rate that a person writes into the groups by hand counts as set so. Wishes are read on
    any thread; all else is called between two steps.

    Attributes
    ----------
    optimizer, groups : whose own groups are written to; factors on the rate of parameters lie beneath them.
    active, wish : the schedule under way, and as it was asked for; None without one.
    ahead : returns what of the run lies ahead.
    valid : whether there is validation data.
    factor, ratios : what a person laid over the schedule: for all groups, and for each beside that.
    original_groups : of each group, what the schedule cycles beside the rate as it was before.
    due_steps : steps after which an evaluation was due; what a person asked for between is not fed.
    begins_run : says whether the next step begins another run.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.groups = optimizer, ScaledGroups(optimizer)
        self.ahead: Callable[[], Ahead] = lambda: Ahead(None, 1)
        self.valid = False
        self.begins_run: Callable[[], bool] = lambda: False
        self._own = GroupValue(self.groups, "lr")
        self._clear()
        self.ratios: list[float] = []
        self._written: list[float] = []
        self._losses: list[float] = []
        self.due_steps: set[int] = set()
        self._last_fed = self._run = 0
        self._end: int | None = None

    def _clear(self) -> None:
        self.active: ActiveSchedule | None = None
        self.wish: Wish | None = None
        self.factor, self.original_groups = 1.0, list[dict[str, Any]]()

    @property
    def plan(self) -> SchedulePlan | None:
        """The schedule in force, every number resolved."""
        return None if self.active is None else self.active.plan

    @property
    def value(self) -> float | None:
        """The leading group's rate; None where the optimizer has none."""
        return self._own.value

    @property
    def scheduled(self) -> float | None:
        """The schedule's rate for the next step, without a person's factor."""
        return self.value if self.active is None else float(self.active.rates()[self.leader])

    @property
    def multiplier(self) -> float:
        """What the person makes of the schedule: applied / scheduled."""
        return 1.0 if self.active is None else self.factor * self.ratios[self.leader]

    @property
    def base(self) -> float | None:
        """The rate that the schedule scales: the person's "learning rate"."""
        return self.value if self.active is None else self._starting_rate() * self.multiplier

    @staticmethod
    def base_in(state: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> float | None:
        """Return the `base` of a state, with the optimizer's groups then."""
        leader = state["own"]["leader"]
        if state["name"] is not None:
            return float(state["began"][leader]) * state["multiplier"] * state["ratios"][leader]
        return float(groups[leader]["lr"]) if "lr" in groups[leader] else None

    @property
    def leader(self) -> int:
        """The number of the leading parameter group."""
        return self._own.leader

    @property
    def began(self) -> list[Any]:
        """The groups' rates where the schedule began; empty without one."""
        return [] if self.active is None else self.active.began

    @property
    def words(self) -> str:
        """The schedule in words, "constant" without one."""
        return "constant" if self.plan is None else self.plan.words

    @property
    def resolved(self) -> Wish | None:
        """The schedule in force as a wish with every number resolved."""
        if self.plan is None or self.wish is None:
            return None
        plan, names = self.plan, ("unit", "warmup", "over", "metric", "at")
        options = zip(names, (plan.unit, plan.warmup, plan.length, plan.metric, plan.at))
        return self.wish[0], {name: one for name, one in options if one} | plan.options

    @property
    def cycled(self) -> tuple[str, ...]:
        """What the schedule changes along with the rate, as ("momentum",)."""
        return () if self.active is None else self.active.cycled

    @property
    def original_settings(self) -> dict[str, Any]:
        """The leading group's settings from before the schedule cycled them."""
        return self.original_groups[self.leader] if self.original_groups else {}

    def read(self, value: Any) -> Wish | None:
        """Read a wish for a schedule, tried on a stand-in optimizer."""
        wish = plans.read_schedule(value)
        if wish is not None:
            try:
                self._activate(wish)
            except ValueError as why:
                said = repr(wish[0]) if isinstance(wish[0], str) else "this scheduler"
                raise ValueError(f"schedule: {said} cannot be had: {why}.") from None
        return wish

    def set(self, value: float) -> str | None:
        """Set the rate of the next step, and scale a schedule's curve.

        Under a schedule `value` is its base, the rate that it begins from, refused where that is 0. Returns a
        note.
        """
        if self.active is None:
            self._own.set(value)
            self.groups.spread()
            return None
        began = self._starting_rate()
        if not began:
            raise ValueError("the schedule begins from a rate of 0, which no factor makes larger")
        self.factor = value / began / self.ratios[self.leader]
        self._write()
        return None if self.scheduled else "the schedule has a rate of 0 here, which stays 0"

    def scale(self, factor: float) -> None:
        """Scale the schedule's rates by another factor."""
        self.factor = factor
        self._write()

    def begin(self, wish: Wish | None, resolved: Wish | None = None) -> str:
        """Begin a schedule with the next step, as `Control.put`; return its words.

        It begins from the rate in force; in a warm-up from the one that leads up to; and where the last
        schedule has left less than a thousandth, from the base of that. `resolved` is what it became when it
        was asked for the first time, where it is to be the same again.
        """
        if wish is None:
            restored = self._end_schedule()
            return "" if restored is None else f"the rate stays at {self.value:g}{restored}"
        if self.value is None:
            raise ValueError(f"{type(self.optimizer).__name__} has no learning rate")
        made = self._activate(wish, self.starting_rates(), resolved)
        self._end_schedule()
        return self._install(wish, made)

    def after_step(self, loss: float) -> None:
        """Advance the schedule after a step with this batch loss."""
        self.groups.collect()
        if self.active is None:
            return
        if self.active.plan.metric == "loss":
            self._losses.append(loss)
        self._adopt_written_rates()
        self.active.after_step()
        self._write()

    def after_epoch(self) -> None:
        if self.active is None:
            return
        self._adopt_written_rates()
        self.active.after_epoch()
        if self._losses:
            self.active.feed_metric(float(np.mean(self._losses)))
            self._losses = []
        self._write()

    def after_evaluation(self, found: Mapping[str, float], step: int) -> str | None:
        """Feed a due evaluation to the schedule; return what it lacks."""
        scheduled = self.active
        if scheduled is None or scheduled.plan.metric in (None, "loss"):
            return None
        if scheduled.plan.metric not in found:
            return (
                f"The schedule waits for {scheduled.plan.metric!r}, which the evaluation does not measure: "
                f"it measures {', '.join(found)}."
            )
        self.due_steps.add(step)
        self._last_fed = step
        self._adopt_written_rates()
        scheduled.feed_metric(found[scheduled.plan.metric])
        self._write()
        return None

    def replay_evaluation(self, found: Mapping[str, float], step: int) -> None:
        """Feed the evaluation of a retaken step, if it was due."""
        if step in self.due_steps and step > self._last_fed:
            self.after_evaluation(found, step)

    @property
    def failure(self) -> str:
        """Why the scheduler raised and stopped, in a sentence, or ""."""
        why = "" if self.active is None else self.active.failure
        return why and f"The schedule stays where it is, since its scheduler said: {why}"

    def rebind(self, optimizer: Optimizer) -> None:
        """Go on with another optimizer, at the rates of its groups."""
        old, self.optimizer, self.groups = self._own, optimizer, ScaledGroups(optimizer)
        self._own = GroupValue(self.groups, "lr")
        if self.active is None:
            return
        groups = self.groups.param_groups
        if len(self.ratios) != len(groups):
            self._written = [self._written[old.leader]] * len(groups)
            self.ratios = [self.ratios[old.leader]] * len(groups)
        self.original_groups = self._cycled_settings()
        # Groups of other proportions than those before keep theirs.
        self._adopt_written_rates()
        for number in range(len(groups) if self.cycled else 0):
            cycle(groups[number], self.active.settings(number))
        self._written = [float(group["lr"]) for group in groups]

    def forecast(self, points: int = 200) -> RateForecast:
        """Forecast the rates to the run's end, thinned out.

        Where the next step begins another run, they are those of that run, with which a schedule begins anew.
        """
        scheduled, ahead, leader, rate = self.active, self.ahead(), self.leader, self.value
        first, count, note, anew = ahead.done[0], ahead.steps, "", ""
        if scheduled is not None and scheduled.taken and self.begins_run() and self._ends_elsewhere(ahead):
            if (restarted := self._restarted()) is not None:
                scheduled, anew = restarted, "The next run begins the schedule anew."
                rate = float(restarted.rates()[leader] * self.multiplier)
        if rate is None:
            return RateForecast(np.empty(0, np.int64), np.empty(0), "The optimizer has no rate.")
        if count is None:
            length = None if scheduled is None or scheduled.plan.unit != "step" else scheduled.plan.length
            count = length or 1000
            note = f"The data does not say how many steps it has: {count:,} are shown."
        if count <= 0:
            return RateForecast(np.empty(0, np.int64), np.empty(0), "No step of the run is left.")
        offsets = np.unique(np.linspace(0, count - 1, max(2, min(points, count))).round().astype(np.int64))
        if scheduled is None:
            return RateForecast(first + 1 + offsets, np.full(len(offsets), rate), note)
        plan, rates = scheduled.plan, scheduled.forecast(offsets.tolist(), leader, ahead)
        over = first + plan.warmup + (plan.length or 0) - scheduled.taken
        if plan.unit == "epoch" and ahead.each is None:
            note = "The data does not say how many steps an epoch has: drawn as it is in this one."
        elif plan.metric is not None:
            note = f"What comes depends on {plan.metric}: drawn as if it went on getting better."
        elif len(rates) < len(offsets):
            note = f"Drawn up to step {first + 1 + int(offsets[len(rates) - 1]):,}." if rates else ""
        elif plan.max_advances is not None and plan.unit == "step" and over < first + count:
            note = f"The schedule ends with step {over:,}, the run with step {first + count:,}."
        made = np.array(rates) * self.multiplier
        if len(made) and offsets[0] == 0:
            made[0] = rate
        return RateForecast(first + 1 + offsets[: len(made)], made, note or anew)

    def run_begins(self, run: int) -> str:
        """Fit a schedule to the `run`-th run, which begins; return a note."""
        scheduled, new, ahead = self.active, run != self._run, self.ahead()
        self._run = run
        if scheduled is None or not (new or not scheduled.taken) or not self._ends_elsewhere(ahead):
            return ""
        said = self.renew()
        return f"begins anew with the run: {said}" if said and ahead.done[0] else ""

    def renew(self, resolved: Wish | None = None) -> str:
        """Begin the schedule anew, with the person's factor as it is."""
        made = self._restarted(resolved)
        if made is None or self.wish is None:
            return ""
        return self._install(self.wish, made, self.factor, self.ratios)

    def stretch(self) -> str:
        """Stretch a fitted schedule to end with the run; return a note."""
        scheduled = self.active
        if scheduled is None or self.wish is None:
            return ""
        resolved = scheduled.plan.stretch(self.wish, scheduled.taken, self.ahead(), scheduled.began)
        if resolved is None or not self.renew(resolved):
            return ""
        length, behind = pluralize(resolved[1]["over"], "step"), resolved[1].get("at", 0)
        return f"stretched to end with the run: {resolved[0]} over {length}, {behind:,} of them behind"

    def state(self) -> dict[str, Any]:
        """Return all that stands nowhere but here: see `base.state.Stateful`."""
        state: dict[str, Any] = {"own": self._own.state(), "name": None, "fed": self._last_fed}
        if self.active is not None:
            plan = self.active.plan
            state |= {
                "name": plan.name, "plan": plan.to_dict(), "made": Reference((self.wish, plan)),
                "wish": list(self.wish) if plans.is_plain_wish(self.wish) else None,  # type: ignore[arg-type]
                "scheduled": self.active.state(), "began": self.active.began,
                "multiplier": self.factor, "ratios": list(self.ratios), "before": self.original_groups,
                "written": list(self._written), "end": self._end, "losses": list(self._losses),
            }  # fmt: skip
        return state

    def install(self, state: dict[str, Any], optimizer: Optimizer) -> str | None:
        """Restore a state and its optimizer, which was restored already."""
        if self.optimizer is not optimizer:
            self.optimizer, self.groups = optimizer, ScaledGroups(optimizer)
        self._own = GroupValue(self.groups, "lr")
        self._own.install(state["own"])
        self._last_fed = state["fed"]
        if state["name"] is None:
            self._clear()
            return None
        if (made := dereference(state["made"])) is not None:
            wish, plan = made
        elif state["wish"] is not None and state["plan"] is not None:  # from disk
            wish, plan = (state["wish"][0], dict(state["wish"][1])), SchedulePlan.from_dict(state["plan"])
        elif self.plan is not None and self.plan.name == state["name"]:
            wish, plan = self.wish, self.plan
        else:
            self._clear()
            return f"the schedule ({state['name']}) was made by code: set session.schedule again"
        home = dereference(state["scheduled"]["home"]) or optimizer
        scheduled = ActiveSchedule(plan, home, state["began"])
        scheduled.install(state["scheduled"])
        self.active, self.wish = scheduled, wish
        self.factor, self.ratios = state["multiplier"], list(state["ratios"])
        self.original_groups = [dict(one) for one in state["before"]]
        self._written, self._end = list(state["written"]), state["end"]
        self._losses = list(state["losses"])
        return None

    def _ends_elsewhere(self, ahead: Ahead) -> bool:
        """Say whether the schedule was fitted to a run that ends elsewhere."""
        plan = self.plan
        return plan is not None and plan.fitted and ahead.end(plan.unit) != self._end and ahead.epochs >= 1

    def _restarted(self, resolved: Wish | None = None) -> ActiveSchedule | None:
        """Return the schedule from its beginning, or None."""
        if self.active is None or self.wish is None:
            return None
        try:
            return self._activate(self.wish, self._for_each_group(self.active.began), resolved)
        except ValueError:
            return None

    def _activate(
        self, wish: Wish, rates: list[Any] | None = None, resolved: Wish | None = None
    ) -> ActiveSchedule:
        """Return a schedule that begins at these rates."""
        rates, ahead = self.starting_rates() if rates is None else rates, self.ahead()
        clean, optimizer, made_already = ahead.done[0] > 0, self.optimizer, plans.is_scheduler(wish[0])
        if made_already and getattr(wish[0], "optimizer", None) is not optimizer:
            raise ValueError(OF_ANOTHER)
        # A factory may know the optimizer itself, and its scheduler write into it.
        own = not isinstance(wish[0], (str, type)) and not made_already
        kept = [dict(group) for group in optimizer.param_groups] if own else []
        try:
            numbers = [float(rate) for rate in rates]
            plan = plans.resolve_schedule(
                wish, ahead, numbers, lambda: stand_in(optimizer, rates, clean, self.groups.param_groups), self.valid
            )
            if resolved is not None:
                options, warmup, length, at = plans.split_options(resolved)
                plan = replace(plan, options=options, warmup=warmup, length=length, at=at)
            return ActiveSchedule(plan, optimizer, rates, clean, self.groups.param_groups)
        finally:
            for group, was in zip(optimizer.param_groups, kept):
                if group.keys() != was.keys():
                    was["params"] = group["params"]
                    group.clear(), group.update(was)

    def starting_rates(self) -> list[Any]:
        """Return the rates that a new schedule begins from."""
        rates = [group.get("lr", 0.0) for group in self.groups.param_groups]
        if (old := self.active) is not None:
            left = float(old.rates()[min(self.leader, len(old.began) - 1)])
            used_up = self.factor != 0 and left < 1e-3 * self._starting_rate()
            if old.warming or used_up:
                start = old.start if old.warming else old.began
                pairs = enumerate(self.ratios)
                rates = [start[min(i, len(start) - 1)] * self.factor * ratio for i, ratio in pairs]
        return [rate.clone() if isinstance(rate, torch.Tensor) else rate for rate in rates]

    def _starting_rate(self) -> float:
        """Return the leading group's rate where the schedule began."""
        return float(self.began[min(self.leader, len(self.began) - 1)]) if self.began else 0.0

    def _install(
        self, wish: Wish, made: ActiveSchedule, multiplier: float = 1.0, ratios: list[float] | None = None
    ) -> str:
        groups = self.groups.param_groups
        before = self.original_groups if ratios is not None else []
        self.wish, self.active, self._losses = wish, made, []
        self.factor, self.ratios = multiplier, ratios or [1.0] * len(groups)
        self.original_groups = before or self._cycled_settings()
        self._end = self.ahead().end(made.plan.unit)
        self._write()
        said = made.plan.words
        return f"{said}; it cycles {' and '.join(made.cycled)} as well" if made.cycled else said

    def _cycled_settings(self) -> list[dict[str, Any]]:
        """Return of each group the settings that the schedule cycles."""
        groups = self.groups.param_groups
        return [{key: group[key] for key in cycled_in(group, self.cycled)} for group in groups]

    def _end_schedule(self) -> str | None:
        """End the schedule, restore what it cycled; None without one."""
        if self.active is None:
            return None
        words = [
            f"; {key} is {f'{value:g}' if isinstance(value, (int, float)) else value} again"
            for key, value in (self.original_groups or [{}])[0].items()
        ]
        for group, before in zip(self.groups.param_groups, self.original_groups):
            group.update(before)
        self.groups.spread()
        own = GroupValue(self.groups, "lr")
        if own.value:
            self._own = own
        self._clear()
        return "".join(words)

    def _for_each_group(self, rates: list[Any]) -> list[Any]:
        """Return rates for the present groups: the leading group's where needed."""
        count = len(self.ratios)
        return rates if len(rates) == count else [rates[min(self.leader, len(rates) - 1)]] * count

    def _adopt_written_rates(self) -> None:
        """Treat a rate written into the optimizer by hand as set."""
        for number, (group, written) in enumerate(zip(self.groups.param_groups, self._written)):
            if group["lr"] != written:
                raw = float(self._for_each_group(self.active.rates())[number])  # type: ignore[union-attr]
                if raw and self.factor:
                    self.ratios[number] = float(group["lr"]) / raw / self.factor

    def _write(self) -> None:
        """Write the next step's rates, and what else is cycled."""
        scheduled: ActiveSchedule = self.active  # type: ignore[assignment]
        rates, self._written = self._for_each_group(scheduled.rates()), []
        for number, (group, raw) in enumerate(zip(self.groups.param_groups, rates)):
            set_group(group, "lr", float(raw * self.factor * self.ratios[number]))
            self._written.append(float(group["lr"]))
            if scheduled.cycled:
                cycle(group, scheduled.settings(number))
        self.groups.spread()


def _name_of(wish: Any) -> str:
    return name_in_wish(wish) or "constant"


def _choose(panel: Panel, word: Any) -> Any:
    now = panel.asked.get("schedule")
    if word == "constant":
        return None
    if now and word == _name_of(now):
        return now
    kept = ("warmup", "unit") if now and word not in ("one-cycle", "plateau") else ()
    return word, {name: now[1][name] for name in kept if name in now[1]}


def _option(name: str, label: str, only: Sequence[str] = (), **more: Any) -> PanelRow:
    """Return the row of an option of the schedules named in `only`."""

    def wish(panel: Panel, text: Any) -> Any:
        now, value = panel.asked.get("schedule"), parse_number(text)
        if not now:
            return now
        options = {key: one for key, one in now[1].items() if key != name}
        return now[0], options if value is None else {**options, name: value}

    def there(panel: Panel) -> bool:
        now = panel.asked.get("schedule")
        return bool(now) and isinstance(now[0], str) and (not only or now[0] in only)

    return PanelRow(
        "schedule", label, "text", lambda value: value and value[1].get(name), wish,
        part=name, there=there, **more,
    )  # fmt: skip


class ScheduleControl(Control):
    """How the learning rate goes on, from the rate in force."""

    name = "schedule"
    aliases = (
        "scheduler", "lr_scheduler", "lr_schedule", "lr_decay", "learning_rate_schedule",
        "learning_rate_scheduler", "sched", "decay", "annealing",
    )  # fmt: skip
    touches = ("lr", "momentum", "betas")
    loop_part = "rate"
    writer = MovementWriter
    #: Whether a run has begun, or a step was tried.
    _begun = False
    rows = (
        PanelRow(
            "schedule", "Kind", "choice", _name_of, _choose,
            choices=lambda panel: [*dict.fromkeys(("constant", *NAMES, _name_of(panel.shown("schedule"))))],
            hint="How the rate goes on; it begins anew from the rate in force",
        ),
        _option(
            "warmup", "Warm-up", tuple(name for name in NAMES if name != "one-cycle"), unit="steps",
            hint="Steps in which the rate grows to where the schedule begins; below 1: a share of the run",
            empty="0",
        ),
        _option(
            "over", "Length", tuple(name for name in NAMES if name != "plateau"), empty="the run",
            hint="How many steps or epochs it takes; empty: the run's",
            # Drawn out, its whole length is no number of steps that are taken.
            fact=lambda panel, wish: "to the end" if wish and wish[1].get("at") else None,
        ),
        _option("gamma", "Factor", ("step", "exponential"), hint="What the rate is multiplied with"),
        _option("eta_min", "Lowest rate", ("cosine", "cosine restarts")),
        _option("max_lr", "Highest rate", ("one-cycle",)),
        _option("power", "Power", ("polynomial",)),
        _option("end_factor", "Ends at ×", ("linear",)),
        _option("patience", "Patience", ("plateau",), unit="evaluations"),
        _option("factor", "Factor", ("plateau",), hint="What the rate is multiplied with"),
    )  # fmt: skip

    def read(self, value: Any) -> Wish | None:
        return self.loop.rate.read(value)

    def now(self) -> Wish | None:
        return self.loop.rate.resolved

    def wish(self) -> Wish | None:
        return self.loop.rate.wish

    def put(self, value: Wish | None) -> str:
        said = self.loop.rate.begin(value)
        ready_for_momentum(self.loop.optimizer)  # which one-cycle changes along
        # What it begins from, or ends with, is the learning rate from here on.
        self.steering.adopted["lr"] = self.loop.rate.base
        return said

    def redo(self, entry: Entry) -> None:
        if entry.by == "run":
            self.loop.rate.renew(entry.applied)
        else:
            self.loop.rate.begin(entry.asked, entry.applied)
        ready_for_momentum(self.loop.optimizer)

    def run_begins(self, run: int) -> None:
        rate, ledger = self.loop.rate, self.steering.ledger
        before = rate.resolved
        note = rate.run_begins(run)
        known, self._begun = self._begun or bool(ledger.entries), True
        if not note and rate.resolved != before and known:
            # What ledger, origin or the first snapshot say of the schedule would not be so any more.
            note = f"fitted to the run: {rate.words}"
        if note:
            ledger.add(Entry(self.loop.steps, "schedule", rate.wish, rate.resolved, "run", note))

    def install(self, state: Any) -> str | None:
        return self.loop.rate.install(state, self.loop.optimizer)

    @classmethod
    def headline(cls, panel: Panel) -> str:
        return str(panel.applied.get("schedule_in_words") or _name_of(panel.asked.get("schedule")))
