"""The lines of a schedule: plain torch, or a small class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from ..base.ledger import Entry
from ..controls.schedule.plan import CLASSES, NAMES, Wish, is_scheduler, max_advances, split_options
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
    extras = {"warmup": "a warm-up before it", "slider": "a factor over it"}
    what = [words for need, words in extras.items() if need in needs]
    conditions = {"warmup": "after the warm-up", "most": "before its end"}
    unless = [words for need, words in conditions.items() if need in needs]
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


class ScheduleLines:
    """The lines of a run's schedules.

    It is written as in any tutorial where one schedule was in force, from some step to the end, and nothing
    was laid over it; else with a class of a few lines, which is what a session does.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft, self._first = draft, draft.origin.schedule
        entries = [entry for entry in draft.changes if entry.name == "schedule"]
        begins = [(0, self._first), *((entry.step, entry.applied) for entry in entries)]
        begins = [(step, wish) for step, wish in begins if wish is not None]
        self._wishes = [wish for _, wish in begins]
        starts = [step for step, _ in begins]
        self._units = {wish[1].get("metric") or wish[1].get("unit") or "step" for wish in self._wishes}
        self._warms_up = any(wish[1].get("warmup") for wish in self._wishes)
        #: Whether a scheduler would be stepped beyond its end, where the rate is to stay.
        self._outlasts = any(
            (most := max_advances(wish[0], wish[1].get("over"))) is not None and end - start > most
            for (start, wish), end in zip(begins, [*starts[1:], draft.steps])
        )
        ended = any(entry.applied is None for entry in entries)
        #: Whether there is none in force for some steps.
        self._optional = self._first is None or ended
        first = min(starts, default=0)
        changed = any(one.name in ("lr", "optimizer") and one.step >= first for one in draft.changes)
        stretched = any(wish[1].get("at") for wish in self._wishes)
        self.plain = bool(self._wishes) and not (changed or self._warms_up or stretched)
        if len(self._wishes) > 1 and (self._outlasts or ended or len(self._units) > 1):
            self.plain = False
        self._name = "scheduler" if self.plain else "schedule"
        self._needs: set[str] = set()
        self._begun = False

    def begin(self) -> None:
        """Write the first schedule, and its part of each step."""
        draft = self._draft
        if not self._wishes:
            return
        if self._first is None:
            draft.setup.append(f"{self._name} = None")
        else:
            draft.setup.append(self._text(self._first, draft.origin.began, 1.0))
        self._write_steps()

    def finish(self, cycled: Sequence[str], slider: bool) -> None:
        """Write the class, if it is used, with its needed lines.

        Parameters
        ----------
        cycled : the settings that any of the schedules changes beside the rate.
        slider : whether a rate was set over a schedule.
        """
        if self._wishes and not self.plain:
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
            return [f"{self._name} = None"]
        return self._text(entry.applied, rates, factor).splitlines()

    def _text(self, wish: Wish, rates: Sequence[float], factor: float) -> str:
        options, warmup, length, at = split_options(wish)
        made = self._scheduler_text(wish[0], options)
        if self.plain:
            again, self._begun = self._begun, True
            return (_reset_text(rates) if again else "") + f"scheduler = {made}"
        most = max_advances(wish[0], length)
        more = f", warmup={warmup}" if warmup else ""
        more += f", most={most}" if most is not None else ""
        more += f", factor={factor!r}" if factor != 1.0 else ""
        needed = {"warmup": warmup, "most": most is not None, "slider": factor != 1.0, "at": at > warmup}
        self._needs |= {name for name, needs in needed.items() if needs}
        rates = [float(rate) for rate in rates]
        lines = [f"schedule = Schedule(\n    lambda optimizer: {made},\n    {rates!r}{more},\n)"]
        # What takes a stretched schedule to its place.
        if at and warmup:
            lines.append(f"schedule.taken = {at}")
        if at > warmup:
            lines.append(f"schedule.skip({at - warmup})  # as far along as it was")
        elif at:
            lines.append("schedule.write()")
        return "\n".join(lines)

    def _scheduler_text(self, what: Any, options: Mapping[str, Any]) -> str:
        """Return the expression that makes a scheduler for `optimizer`."""
        sources = self._draft.sources
        if isinstance(what, str):
            what = NAMES[what].scheduler if what in NAMES else CLASSES[what]
        if isinstance(what, type):
            sources.imports.add("import torch")
            if what is SWALR:
                head = "torch.optim.swa_utils.SWALR"
            elif vars(lr_scheduler).get(what.__name__) is what:
                head = f"torch.optim.lr_scheduler.{what.__name__}"
            else:
                head = sources.use(what)
            given = [f"{name}={self._value(value)}" for name, value in options.items()]
            return f"{head}({', '.join(['optimizer', *given])})"
        if is_scheduler(what):
            raise Unwritable(
                "the schedule is a scheduler that was made elsewhere: pass a factory that makes it"
            )
        if getattr(what, "__name__", "") == "<lambda>":
            sources.definitions["make_scheduler"] = f"make_scheduler = {self._value(what)}"
            return "make_scheduler(optimizer)"
        return f"{sources.use(what)}(optimizer)"

    def _value(self, value: Any) -> str:
        if not callable(value):
            return repr(value)
        sources = self._draft.sources
        if getattr(value, "__name__", "") != "<lambda>":
            return sources.use(value)
        source = find_lambda_source(value)
        sources._resolve(source, value)
        return source

    def _write_steps(self) -> None:
        """Write what advances the schedule after steps, epochs and evaluations."""
        draft, units = self._draft, self._units
        metrics = units - {"step", "epoch"}
        advance = f"{self._name}.{'step' if self.plain else 'advance'}"
        if "loss" in metrics:
            draft.sources.imports.add("import numpy as np")
            draft.setup.append("losses_of_epoch = []")
            draft.after.append("losses_of_epoch.append(loss.item())")
            draft.epoch_end += self._guarded([f"{advance}(float(np.mean(losses_of_epoch)))"])
            draft.epoch_end.append("losses_of_epoch.clear()")
            metrics -= {"loss"}
        if metrics:
            self._write_metric(metrics, advance)
        lines = [f"{advance}()"]
        if self.plain:
            wish = self._wishes[-1]
            most = max_advances(wish[0], wish[1].get("over"))
            if most is not None and self._outlasts:
                lines = [f"if scheduler.last_epoch < {most}:", "    scheduler.step()"]
            if "step" in units:
                draft.after += self._guarded(lines)
        else:
            if {"step", "epoch"} <= units:
                raise Unwritable("one schedule counted steps and another one epochs")
            # A warm-up counts the steps.
            counts = ["schedule.taken += 1"] if self._warms_up else []
            draft.after += self._guarded([*counts, *(lines if "step" in units else ["schedule.write()"])])
        if "epoch" in units:
            draft.epoch_end += self._guarded(lines)

    def _write_metric(self, metrics: set[str], advance: str) -> None:
        """Write the values of the metric that a scheduler waits for."""
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
            f"if step in {metric}" + (f" and {self._name} is not None:" if self._optional else ":"),
            f"    {advance}({metric}[step])",
        ]  # fmt: skip

    def _guarded(self, lines: list[str]) -> list[str]:
        if not self._optional:
            return lines
        return [f"if {self._name} is not None:", *(f"    {line}" for line in lines)]


def _reset_text(rates: Sequence[float]) -> str:
    """Return the lines that undo an earlier scheduler's settings."""
    if len(rates) == 1:
        head = "optimizer.param_groups[0]"
        return f'{head}["lr"] = {float(rates[0])!r}\n{head}.pop("initial_lr", None)\n'
    return (
        f"for group, rate in zip(optimizer.param_groups, {[float(rate) for rate in rates]!r}):\n"
        '    group["lr"] = rate\n    group.pop("initial_lr", None)\n'
    )
