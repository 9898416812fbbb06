"""A schedule in a script: torch's scheduler as in any tutorial, or on a stand-in where a slider or warm-up is over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from .ledger import Entry
from .schedules import CLASSES, NAMES, is_scheduler
from .script_draft import Draft
from .script_sources import Unwritable, lambda_source
from .script_text import table

_CLASS = '''
class Schedule:
    """A scheduler on a stand-in of the optimizer: its rates times a factor are those of the optimizer."""

    def __init__(self, make, rates, unit, warmup=0, most=None, factor=1.0):
        groups = [
            {**group, "params": [torch.zeros(1)], "lr": rate}
            for group, rate in zip(optimizer.param_groups, rates)
        ]
        for group in groups:
            group.pop("initial_lr", None)
        self.stand_in = type(optimizer)(groups)
        self.scheduler = make(self.stand_in)
        self.start = [group["lr"] for group in self.stand_in.param_groups]
        self.unit, self.warmup, self.most, self.factor = unit, warmup, most, factor
        self.taken = self.advanced = 0
        self.write()

    def rates(self):
        """Return what the scheduler has for the next step, or the warm-up before it."""
        if self.taken < self.warmup:
            return [rate * ((self.taken + 1) / (self.warmup + 1)) for rate in self.start]
        return [group["lr"] for group in self.stand_in.param_groups]

    def set(self, rate, leader=0):
        """Make the rate of the next step so, and those that come larger or smaller by the same factor."""
        now = self.rates()[leader]
        self.factor = rate / (now or self.start[leader])
        self.write()
        if now:
            optimizer.param_groups[leader]["lr"] = rate

    def stepped(self):
        """Take notice of a step."""
        self.taken += 1
        if self.unit == "step":
            self.advance()
        self.write()

    def epoch_ended(self):
        """Take notice of the end of an epoch."""
        if self.unit == "epoch":
            self.advance()
        self.write()

    def advance(self, *metric):
        """Step the scheduler, after the warm-up and before its end."""
        if (self.warmup and self.taken <= self.warmup) or self.advanced == self.most:
            return
        self.stand_in.step()
        self.scheduler.step(*metric)
        self.advanced += 1

    def write(self):
        """Give the optimizer its rates, and what else the scheduler cycles."""
        for group, stand_in, rate in zip(optimizer.param_groups, self.stand_in.param_groups, self.rates()):
            group["lr"] = rate * self.factor
            for name in {CYCLED}:
                group[name] = stand_in[name]
'''


class Schedules:
    """The lines of a run's schedules.

    It is written as in any tutorial where one schedule was in force, from some step to the end, and nothing was laid
    over it; else with a class of a few lines, which is what a session does.
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
            entry.name in ("lr", "optimizer") and entry.step >= min(begins, default=0) for entry in draft.changes
        )
        self.plain = self.used and len(entries) + (self.first is not None) == 1 and not over and not any(
            wish[1].get("warmup") for wish in plans
        )
        self._cycles = bool(draft.origin.cycled or draft.loop.rate.cycled)
        self._on = False
        self._units = {self._unit(wish) for wish in plans}

    def begin(self) -> None:
        """Contribute the schedule that the run begins with, and what a step does for it."""
        draft = self._draft
        if not self.used:
            return
        if not self.plain:
            names = ["betas", "momentum"] if self._cycles else []
            own = [name for name in names if name in draft.origin.groups[0]]
            text = _CLASS.strip("\n")
            if not own:
                text = text[: text.index("            for name in {CYCLED}")].rstrip("\n")
                text = text.replace("its rates, and what else the scheduler cycles.", "its rates.")
            draft.definitions.append(text.replace("{CYCLED}", repr(own)))
        if self.first is None:
            draft.setup.append("schedule = None" if not self.plain else "scheduler = None")
        else:
            draft.setup.append(self._text(self.first, draft.origin.began, 1.0))
        self._each_step()

    def change(self, entry: Entry, rates: Sequence[float], factor: float) -> list[str]:
        """Return the lines of another schedule.

        Parameters
        ----------
        rates, factor : where it begins, and what is laid over it.
        """
        if entry.applied is None:
            return ["schedule = None"]
        return self._text(entry.applied, rates, factor).splitlines()

    def _text(self, wish: tuple[Any, Mapping[str, Any]], rates: Sequence[float], factor: float) -> str:
        what, settled = wish[0], dict(wish[1])
        unit, warmup = settled.pop("unit", "step"), settled.pop("warmup", 0)
        length, _ = settled.pop("over", None), settled.pop("metric", None)
        made = self._made(what, settled)
        if self.plain:
            return f"scheduler = {made('optimizer')}"
        most = self._last(what, length)
        more = f", warmup={warmup}" if warmup else ""
        more += f", most={most}" if most is not None else ""
        more += f", factor={factor!r}" if factor != 1.0 else ""
        rates = [float(rate) for rate in rates]
        return f"schedule = Schedule(\n    lambda optimizer: {made('optimizer')},\n    {rates!r}, {unit!r}{more},\n)".replace("'", '"')

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
            raise Unwritable("the schedule is a scheduler that was made elsewhere: pass a factory that makes it")
        if getattr(what, "__name__", "") == "<lambda>":
            source = lambda_source(what)
            sources._resolve(source, what)
            sources.definitions["make_scheduler"] = f"make_scheduler = {source}"
            return lambda optimizer: f"make_scheduler({optimizer})"
        name = sources.use(what)
        return lambda optimizer: f"{name}({optimizer})"

    def _value(self, value: Any) -> str:
        if callable(value):
            if getattr(value, "__name__", "") == "<lambda>":
                source = lambda_source(value)
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
            draft.epoch_end += _guarded(guard, name, [f"{step}(float(np.mean(losses_of_epoch)))", *self._write()])
            draft.epoch_end.append("losses_of_epoch.clear()")
            metrics -= {"loss"}
        if metrics:
            self._fed(metrics, step, guard, name)
        if not self.plain:
            draft.after += _guarded(guard, name, ["schedule.stepped()"])
            draft.epoch_end += _guarded(guard, name, ["schedule.epoch_ended()"]) if "epoch" in units else []
            return
        most = None
        for wish in [self.first, *(e.applied for e in draft.changes if e.name == "schedule")]:
            if wish is not None:
                most = self._last(wish[0], wish[1].get("over"))
        lines = ["scheduler.step()"]
        if most is not None and draft.steps > most:
            lines = [f"if scheduler.last_epoch < {most}:", "    scheduler.step()"]
        if "step" in units:
            draft.after += _guarded(guard, name, lines)
        if "epoch" in units:
            draft.epoch_end += _guarded(guard, name, lines)

    def _write(self) -> list[str]:
        return [] if self.plain else ["schedule.write()"]

    def _fed(self, metrics: set[str], step: str, guard: bool, name: str) -> None:
        if len(metrics) > 1:
            raise Unwritable("two schedules waited for different metrics")
        metric, draft = next(iter(metrics)), self._draft
        due = draft.loop.rate._due
        found = {
            row["step"]: repr(float(row[metric])) for row in draft.loop.history.evaluations
            if metric in row and row["step"] in due
        }  # fmt: skip
        draft.setup.append(f"# What the evaluations on the validation data found.\n{table(metric, found)}")
        draft.after_count += [
            f"if step in {metric}" + (f" and {name} is not None:" if guard else ":"),
            f"    {step}({metric}[step])", *(f"    {line}" for line in self._write()),
        ]  # fmt: skip


def _guarded(guard: bool, name: str, lines: list[str]) -> list[str]:
    return [f"if {name} is not None:", *(f"    {line}" for line in lines)] if guard else lines
