"""The lines of a schedule: plain torch, or a small class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from ..base.ledger import Entry
from ..controls.schedule.plan import CLASSES, NAMES, is_scheduler
from .draft import Draft
from .sources import Unwritable, find_lambda_source
from .text import format_table

#: A line with a mark stays where what the mark names is needed.
_CLASS = '''
class Schedule:
    """A scheduler that steps a stand-in of the optimizer{WHAT}."""

    def __init__(self, make, rates{OPTIONS}):
        groups = [
            {**group, "params": [torch.zeros(1)], "lr": rate}
            for group, rate in zip(optimizer.param_groups, rates)
        ]
        for group in groups:
            group.pop("initial_lr", None)
        self.stand_in = type(optimizer)(groups)
        self.scheduler = make(self.stand_in)
        self.start = [group["lr"] for group in self.stand_in.param_groups]  #? warmup slider
        self.warmup, self.taken = warmup, 0  #? warmup
        self.most, self.advanced = most, 0  #? most
        self.factor = factor  #? slider
        self.write()

    def rates(self):
        """Return what the scheduler has for the next step{OR}."""
        if self.taken < self.warmup:  #? warmup
            return [rate * ((self.taken + 1) / (self.warmup + 1)) for rate in self.start]  #? warmup
        return [group["lr"] for group in self.stand_in.param_groups]

    def set(self, rate, leader=0):  #? slider
        """Set the rate of the next step, and scale all that come after it."""  #? slider
        now = self.rates()[leader]  #? slider
        self.factor = rate / (now or self.start[leader])  #? slider
        self.write()  #? slider
        if now:  #? slider
            optimizer.param_groups[leader]["lr"] = rate  #? slider
  #? slider
    def skip(self, steps):  #? at
        """Step the scheduler so many times at once."""  #? at
        for _ in range(steps):  #? at
            self.advance()  #? at
  #? at
    def advance(self, *metric):
        """Step the scheduler{UNLESS}."""
        if self.warmup and self.taken <= self.warmup:  #? warmup
            return self.write()  #? warmup
        if self.advanced == self.most:  #? most
            return self.write()  #? most
        self.stand_in.step()
        self.scheduler.step(*metric)
        self.advanced += 1  #? most
        self.write()

    def write(self):
        """Give the optimizer its rates{CYCLES}."""
        groups = zip(optimizer.param_groups, self.stand_in.param_groups, self.rates())  #? cycles
        for group, stand_in, rate in groups:  #? cycles
        for group, rate in zip(optimizer.param_groups, self.rates()):  #? straight
            group["lr"] = rate * self.factor  #? slider
            group["lr"] = rate  #? bare
            for name in {CYCLED}:  #? cycles
                group[name] = stand_in[name]  #? cycles
'''


def class_text(needs: set[str], cycled: Sequence[str]) -> str:
    """Return the class with the lines that are needed: "warmup", "most", "slider"."""
    needs = needs | ({"cycles"} if cycled else {"straight"}) | (set() if "slider" in needs else {"bare"})
    lines = []
    for line in _CLASS.strip("\n").splitlines():
        text, mark, wanted = line.partition("  #? ")
        if not mark or needs & set(wanted.split()):
            lines.append(text.rstrip())
    options = {"warmup": ", warmup=0", "most": ", most=None", "slider": ", factor=1.0"}
    what = [
        words
        for need, words in (("warmup", "a warm-up before it"), ("slider", "a factor over it"))
        if need in needs
    ]
    unless = [
        words
        for need, words in (("warmup", "after the warm-up"), ("most", "before its end"))
        if need in needs
    ]
    filled = {
        "WHAT": (", with " + " and ".join(what)) if what else "",
        "OPTIONS": "".join(text for need, text in options.items() if need in needs),
        "OR": ", or the warm-up before it" if "warmup" in needs else "",
        "UNLESS": (", " + " and ".join(unless)) if unless else "",
        "CYCLES": ", and what else the scheduler cycles" if cycled else "",
        "CYCLED": repr(list(cycled)).replace("'", '"'),
    }
    text = "\n".join(lines)
    for name, words in filled.items():
        text = text.replace(f"{{{name}}}", words)
    return text


class Schedules:
    """The lines of a run's schedules.

    It is written as in any tutorial where one schedule was in force, from some step to the end, and nothing
    was laid over it; else with a class of a few lines, which is what a session does.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        entries = [entry for entry in draft.changes if entry.name == "schedule"]
        self.first = draft.origin.schedule
        self.used = self.first is not None or any(entry.applied is not None for entry in entries)
        plans = [wish for wish in (self.first, *(entry.applied for entry in entries)) if wish is not None]
        begins = [0] if self.first is not None else []
        begins += [entry.step for entry in entries if entry.applied is not None]
        over = any(
            entry.name in ("lr", "optimizer") and entry.step >= min(begins, default=0)
            for entry in draft.changes
        )
        self._units = {self._unit(wish) for wish in plans}
        self.plain = self.used and not over and not any(wish[1].get("warmup") for wish in plans)
        self.plain = self.plain and not any(wish[1].get("at") for wish in plans)
        ends = [*begins[1:], draft.steps]
        #: Whether a scheduler would be stepped beyond its end, where the rate is to stay.
        self._beyond = any(
            (most := self._last(wish[0], wish[1].get("over"))) is not None and end - begin > most
            for wish, begin, end in zip(plans, begins, ends)
        )
        let_go = any(entry.applied is None for entry in entries)
        if len(plans) > 1 and (self._beyond or let_go or len(self._units) > 1):
            self.plain = False
        self._needs: set[str] = set()
        self._begun = False

    def begin(self) -> None:
        """Write the first schedule, and its part of each step."""
        draft = self._draft
        if not self.used:
            return
        if self.first is None:
            draft.setup.append("schedule = None" if not self.plain else "scheduler = None")
        else:
            draft.setup.append(self._text(self.first, draft.origin.began, 1.0))
        self._each_step()

    def finish(self, cycled: Sequence[str], slider: bool) -> None:
        """Write the class, if it is used, with its needed lines.

        Parameters
        ----------
        cycled : the settings that any of the schedules changes beside the rate.
        slider : whether a rate was set over a schedule.
        """
        if self.used and not self.plain:
            if slider:
                self._needs.add("slider")
            self._draft.definitions.append(class_text(self._needs, cycled))

    def change(self, entry: Entry, rates: Sequence[float], factor: float) -> list[str]:
        """Return the lines of another schedule.

        Parameters
        ----------
        rates, factor : where it begins, and what is laid over it.
        """
        if entry.applied is None:
            return [f"{'scheduler' if self.plain else 'schedule'} = None"]
        return self._text(entry.applied, rates, factor).splitlines()

    def _text(self, wish: tuple[Any, Mapping[str, Any]], rates: Sequence[float], factor: float) -> str:
        what, settled = wish[0], dict(wish[1])
        warmup, _ = settled.pop("warmup", 0), settled.pop("unit", None)
        length, _ = settled.pop("over", None), settled.pop("metric", None)
        at = settled.pop("at", 0)
        made = self._made(what, settled)
        if self.plain:
            again, self._begun = self._begun, True
            return (self._anew(rates) if again else "") + f"scheduler = {made('optimizer')}"
        most = self._last(what, length)
        more = f", warmup={warmup}" if warmup else ""
        more += f", most={most}" if most is not None else ""
        more += f", factor={factor!r}" if factor != 1.0 else ""
        needed = {"warmup": warmup, "most": most is not None, "slider": factor != 1.0}
        self._needs |= {name for name, needs in needed.items() if needs}
        rates = [float(rate) for rate in rates]
        text = f"schedule = Schedule(\n    lambda optimizer: {made('optimizer')},\n    {rates!r}{more},\n)"
        return text + self._behind(at, warmup)

    def _behind(self, at: int, warmup: int) -> str:
        """Return the lines that take a stretched schedule to its place."""
        lines = [f"schedule.taken = {at}"] if at and warmup else []
        if at > warmup:
            self._needs.add("at")
            lines.append(f"schedule.skip({at - warmup})  # as far along as it was")
        elif at:
            lines.append("schedule.write()")
        return "".join(f"\n{line}" for line in lines)

    def _anew(self, rates: Sequence[float]) -> str:
        """Return the lines that undo an earlier scheduler's settings."""
        if len(rates) == 1:
            head = "optimizer.param_groups[0]"
            return f'{head}["lr"] = {float(rates[0])!r}\n{head}.pop("initial_lr", None)\n'
        return (
            f"for group, rate in zip(optimizer.param_groups, {[float(rate) for rate in rates]!r}):\n"
            '    group["lr"] = rate\n    group.pop("initial_lr", None)\n'
        )

    def _made(self, what: Any, options: Mapping[str, Any]) -> Any:
        sources = self._draft.sources
        if isinstance(what, str):
            what = NAMES[what].scheduler if what in NAMES else CLASSES[what]
        if isinstance(what, type):
            home = {SWALR: "torch.optim.swa_utils.SWALR"}.get(what)
            if home is None and vars(lr_scheduler).get(what.__name__) is what:
                home = f"torch.optim.lr_scheduler.{what.__name__}"
            sources.imports.add("import torch")
            head = home or sources.use(what)
            given = []
            for name, value in options.items():
                given.append(f"{name}={self._value(value)}")
            return lambda optimizer: f"{head}({', '.join([optimizer, *given])})"
        if is_scheduler(what):
            raise Unwritable(
                "the schedule is a scheduler that was made elsewhere: pass a factory that makes it"
            )
        if getattr(what, "__name__", "") == "<lambda>":
            source = find_lambda_source(what)
            sources._resolve(source, what)
            sources.definitions["make_scheduler"] = f"make_scheduler = {source}"
            return lambda optimizer: f"make_scheduler({optimizer})"
        name = sources.use(what)
        return lambda optimizer: f"{name}({optimizer})"

    def _value(self, value: Any) -> str:
        if callable(value):
            if getattr(value, "__name__", "") == "<lambda>":
                source = find_lambda_source(value)
                self._draft.sources._resolve(source, value)
                return source
            return self._draft.sources.use(value)
        return repr(value)

    def _last(self, what: Any, length: int | None) -> int | None:
        if not isinstance(what, str) or what not in NAMES or not NAMES[what].ends or length is None:
            return None
        return length - (NAMES[what].scheduler is lr_scheduler.OneCycleLR)

    def _unit(self, wish: tuple[Any, Mapping[str, Any]]) -> str:
        return wish[1].get("metric") or wish[1].get("unit") or "step"

    def _each_step(self) -> None:
        draft, units = self._draft, self._units
        guard = self.first is None or any(
            entry.name == "schedule" and entry.applied is None for entry in draft.changes
        )
        metrics = units - {"step", "epoch"}
        name = "scheduler" if self.plain else "schedule"
        step = f"{name}.{'advance' if not self.plain else 'step'}"
        if "loss" in metrics:
            draft.sources.imports.add("import numpy as np")
            draft.setup.append("losses_of_epoch = []")
            draft.after.append("losses_of_epoch.append(loss.item())")
            draft.epoch_end += _guarded(guard, name, [f"{step}(float(np.mean(losses_of_epoch)))"])
            draft.epoch_end.append("losses_of_epoch.clear()")
            metrics -= {"loss"}
        if metrics:
            self._fed(metrics, step, guard, name)
        if not self.plain:
            self._told(units, guard)
            return
        most = None
        for wish in [self.first, *(e.applied for e in draft.changes if e.name == "schedule")]:
            if wish is not None:
                most = self._last(wish[0], wish[1].get("over"))
        lines = ["scheduler.step()"]
        if most is not None and self._beyond:
            lines = [f"if scheduler.last_epoch < {most}:", "    scheduler.step()"]
        if "step" in units:
            draft.after += _guarded(guard, name, lines)
        if "epoch" in units:
            draft.epoch_end += _guarded(guard, name, lines)

    def _told(self, units: set[str], guard: bool) -> None:
        """Write the class's calls after steps and epochs."""
        draft = self._draft
        lines = ["schedule.taken += 1"] if "warmup" in self._warm() else []
        if {"step", "epoch"} <= units:
            raise Unwritable("one schedule counted steps and another one epochs")
        lines.append("schedule.advance()" if "step" in units else "schedule.write()")
        draft.after += _guarded(guard, "schedule", lines)
        if "epoch" in units:
            draft.epoch_end += _guarded(guard, "schedule", ["schedule.advance()"])

    def _warm(self) -> set[str]:
        entries = [entry for entry in self._draft.changes if entry.name == "schedule"]
        wishes = [self.first, *(entry.applied for entry in entries)]
        return {"warmup" for wish in wishes if wish is not None and wish[1].get("warmup")}

    def _fed(self, metrics: set[str], step: str, guard: bool, name: str) -> None:
        if len(metrics) > 1:
            raise Unwritable("two schedules waited for different metrics")
        metric, draft = next(iter(metrics)), self._draft
        due = draft.loop.rate.due_steps
        found = {
            row["step"]: repr(float(row[metric])) for row in draft.loop.history.evaluations
            if metric in row and row["step"] in due
        }  # fmt: skip
        draft.setup.append(
            f"# What the evaluations on the validation data found.\n{format_table(metric, found)}"
        )
        draft.after_count += [
            f"if step in {metric}" + (f" and {name} is not None:" if guard else ":"),
            f"    {step}({metric}[step])",
        ]  # fmt: skip


def _guarded(guard: bool, name: str, lines: list[str]) -> list[str]:
    return [f"if {name} is not None:", *(f"    {line}" for line in lines)] if guard else lines
