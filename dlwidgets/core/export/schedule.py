"""The lines of a schedule: plain torch, or a small class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from ..base.ledger import Entry
from ..controls.schedule.plan import CLASSES, NAMES, Wish, is_scheduler, max_advances, split_options
from .draft import Draft
from .sources import Unwritable
from .text import format_table, indent

#: A line with a mark stays where what the mark names is needed.
_CLASS = '''
class Schedule:
    """A scheduler that steps a stand-in of the optimizer{WHAT}."""

    def __init__(self, make, rates{OPTIONS}):
        groups = [
            {**group, "params": [torch.zeros(1)], "lr": rate}
            for group, rate in zip(optimizer.param_groups, rates)  #? whole
            for group, rate in zip(self.own_groups(), rates)  #? scales
        ]
        for group in groups:
            group.pop("initial_lr", None)
        self.stand_in = type(optimizer)(groups)
        self.scheduler = make(self.stand_in)
        self.start = [group["lr"] for group in self.stand_in.param_groups]  #? warmup slider
        self.warmup, self.taken = warmup, 0  #? warmup
        self.most, self.advanced = most, 0  #? most
        self.factor = factor  #? slider
        self.unit = unit  #? units
        self.cycled = cycled  #? cycles
        self.write()

    def rates(self):
        """Return what the scheduler has for the next step{OR}."""
        if self.taken < self.warmup:  #? warmup
            return [rate * ((self.taken + 1) / (self.warmup + 1)) for rate in self.start]  #? warmup
        return [group["lr"] for group in self.stand_in.param_groups]

    def own_groups(self):  #? scales
        """Return the first group of each of the schedule's rates."""  #? scales
        numbers = [number for number, _ in scales]  #? scales
        return [optimizer.param_groups[numbers.index(number)] for number in sorted(set(numbers))]  #? scales
  #? scales
    def set(self, rate, leader=0):  #? slider
        """Set the rate of the next step, and scale all that come after it."""  #? slider
        now = self.rates()[leader]  #? slider
        self.factor = rate / (now or self.start[leader])  #? slider
        self.write()  #? slider
        if now:  #? slider
            for group, (number, scale) in zip(optimizer.param_groups, scales):  #? scaledslider
                if number == leader:  #? scaledslider
                    group["lr"] = rate * scale  #? scaledslider
            optimizer.param_groups[leader]["lr"] = rate  #? wholeslider
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
        rates = self.rates()  #? scales
        for group, (number, scale) in zip(optimizer.param_groups, scales):  #? scales
            stand_in, rate = self.stand_in.param_groups[number], rates[number]  #? scaledcycles
            rate = rates[number]  #? scaledstraight
        groups = zip(optimizer.param_groups, self.stand_in.param_groups, self.rates())  #? wholecycles
        for group, stand_in, rate in groups:  #? wholecycles
        for group, rate in zip(optimizer.param_groups, self.rates()):  #? wholestraight
            group["lr"] = rate * self.factor * scale  #? scaledslider
            group["lr"] = rate * scale  #? scaledbare
            group["lr"] = rate * self.factor  #? wholeslider
            group["lr"] = rate  #? wholebare
            for name in self.cycled:  #? cycles
                group[name] = stand_in[name]  #? kept
                if name in group:  #? swapped
                    group[name] = stand_in[name]  #? swapped
                elif "betas" in group:  # what SGD calls momentum  #? swapped
                    group["betas"] = (stand_in["momentum"], *group["betas"][1:])  #? swapped
                elif "momentum" in group:  #? swapped
                    group["momentum"] = stand_in["betas"][0]  #? swapped
'''


def _class_text(needs: set[str]) -> str:
    """Return the class with the lines that are needed: "warmup", "most", "slider"."""
    needs = needs | (set() if "slider" in needs else {"bare"})
    needs |= ({"kept"} if "swapped" not in needs else set()) if "cycles" in needs else {"straight"}
    needs -= set() if "cycles" in needs else {"swapped"}
    # Whether the groups have factors on their rates decides of some lines together with another need.
    scaled = "scaled" if "scales" in needs else "whole"
    needs |= {scaled} | {f"{scaled}{need}" for need in ("slider", "bare", "cycles", "straight") if need in needs}
    lines = []
    for line in _CLASS.strip("\n").splitlines():
        text, mark, wanted = line.partition("  #? ")
        if not mark or needs & set(wanted.split()):
            lines.append(text.rstrip())

    def join(words: dict[str, str], between: str = "") -> str:
        return between.join(text for need, text in words.items() if need in needs)

    extras = join({"warmup": "a warm-up before it", "slider": "a factor over it"}, " and ")
    limits = join({"warmup": "after the warm-up", "most": "before its end"}, " and ")
    filled = {
        "WHAT": f", with {extras}" if extras else "",
        "OPTIONS": join({
            "warmup": ", warmup=0", "most": ", most=None", "slider": ", factor=1.0", "units": ', unit="step"',
            "cycles": ", cycled=()",
        }),
        "OR": join({"warmup": ", or the warm-up before it"}),
        "UNLESS": f", {limits}" if limits else "",
        "CYCLES": join({"cycles": ", and what else the scheduler cycles"}),
    }  # fmt: skip
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
        starts, self._wishes = [step for step, _ in begins], [wish for _, wish in begins]
        self._units = set(map(_unit_of, self._wishes))
        self._warms_up = any(wish[1].get("warmup") for wish in self._wishes)
        #: Whether a scheduler would be stepped beyond its end, where the rate is to stay.
        self._outlasts = any(
            (most := max_advances(wish[0], wish[1].get("over"))) is not None and end - start > most
            for (start, wish), end in zip(begins, [*starts[1:], draft.steps])
        )
        #: Whether the groups have factors on their rates, beside a schedule.
        self.scales = bool(begins) and any(one is not None for one in draft.ever("lr_scale"))
        ended = any(entry.applied is None for entry in entries)
        #: Whether there is none in force for some steps.
        self._optional = self._first is None or ended
        first = min(starts, default=0)
        changed = any(one.name in ("lr", "optimizer") and one.step >= first for one in draft.changes)
        stretched = any(wish[1].get("at") for wish in self._wishes)
        differ = len(self._wishes) > 1 and (self._outlasts or ended or len(self._units) > 1)
        scaled = self._first is not None and draft.origin.factor != 1.0
        unusual = changed or self._warms_up or stretched or differ or scaled or self.scales
        self._plain = bool(begins) and not unusual
        self._name = "scheduler" if self._plain else "schedule"
        self._needs: set[str] = {"scales"} if self.scales else set()
        self._begun = False

    def begin(self, cycled: Sequence[str]) -> None:
        """Write the first schedule, which changes `cycled` along."""
        if self._wishes:
            first = f"{self._name} = None"
            if self._first is not None:
                origin = self._draft.origin
                first = self._text(self._first, origin.began, origin.factor, cycled)
            self._draft.setup.append(first)
            self._write_steps()

    def finish(self, slider: bool) -> None:
        """Write the class, if it is used, with its needed lines.

        `slider` says whether a rate was set while one was in force.
        """
        if self._wishes and not self._plain:
            needs = self._needs | ({"slider"} if slider else set())
            needs |= {"swapped"} if self._draft.changed("optimizer") else set()
            self._draft.definitions.append(_class_text(needs))

    def change(
        self, entry: Entry, rates: Sequence[float], factor: float, cycled: Sequence[str]
    ) -> list[str]:
        """Return the lines of another schedule, from where it begins.

        `cycled` are the settings that it changes beside the rate.
        """
        if entry.applied is None:
            return [f"{self._name} = None"]
        lines = self._text(entry.applied, rates, factor, cycled).splitlines()
        return lines + (["losses_of_epoch.clear()"] if entry.applied[1].get("metric") == "loss" else [])

    def _text(self, wish: Wish, rates: Sequence[float], factor: float, cycled: Sequence[str]) -> str:
        options, warmup, length, at = split_options(wish)
        made = self._scheduler_text(wish[0], options)
        rates = [float(rate) for rate in rates]
        if self._plain:
            again, self._begun = self._begun, True
            lines = [f"scheduler = {made}"]
            if again and len(rates) == 1:
                head = "optimizer.param_groups[0]"
                lines = [f'{head}["lr"] = {rates[0]!r}', f'{head}.pop("initial_lr", None)', *lines]
            elif again:
                lines = [
                    f"for group, rate in zip(optimizer.param_groups, {rates!r}):",
                    '    group["lr"] = rate', '    group.pop("initial_lr", None)', *lines,
                ]  # fmt: skip
            return "\n".join(lines)
        most = max_advances(wish[0], length)
        more = f", warmup={warmup}" if warmup else ""
        more += f", most={most}" if most is not None else ""
        more += f", factor={factor!r}" if factor != 1.0 else ""
        unit = _unit_of(wish)
        more += f', unit="{unit}"' if len(self._units) > 1 and unit != "step" else ""
        more += f", cycled={list(cycled)!r}" if cycled else ""
        needed = {
            "warmup": warmup, "most": most is not None, "slider": factor != 1.0, "at": at > warmup,
            "cycles": cycled, "units": len(self._units) > 1,
        }  # fmt: skip
        self._needs |= {name for name, needs in needed.items() if needs}
        lines = [f"schedule = Schedule(\n    lambda optimizer: {made},\n    {rates!r}{more},\n)"]
        # What takes a stretched schedule to its place.
        if at and warmup:
            lines.append(f"schedule.taken = {at}")
        if at > warmup:
            lines.append(f"schedule.skip({at - warmup})  # as far along as it was")
        elif at:
            lines.append("schedule.write()")
        return "\n".join(lines)

    def _scheduler_text(self, what: Any, options: dict[str, Any]) -> str:
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
            call = f"{head}(optimizer"
            for name, value in options.items():
                call += f", {name}={sources.use_function(value) if callable(value) else repr(value)}"
            return f"{call})"
        if is_scheduler(what):
            raise Unwritable(
                "the schedule is a scheduler that was made elsewhere: pass a factory that makes it"
            )
        name = sources.use_function(what)
        if getattr(what, "__name__", "") == "<lambda>":
            sources.definitions["make_scheduler"] = f"make_scheduler = {name}"
            name = "make_scheduler"
        return f"{name}(optimizer)"

    def _write_steps(self) -> None:
        """Write what advances the schedule after steps, epochs and evaluations."""
        draft, units = self._draft, self._units
        advance = f"{self._name}.{'step' if self._plain else 'advance'}"
        if "loss" in units:
            draft.sources.imports.add("import numpy as np")
            draft.setup.append("losses_of_epoch = []")
            draft.after.append("losses_of_epoch.append(loss.item())")
            # All batches of an epoch may be left out.
            some = ["losses_of_epoch"] if draft.changed("skip") else []
            mean = [f"{advance}(float(np.mean(losses_of_epoch)))"]
            draft.epoch_end += [*self._guard(mean, "loss", some), "losses_of_epoch.clear()"]
        for metric in sorted(units - {"step", "epoch", "loss"}):
            due = draft.loop.rate.due_steps
            found = {
                row["step"]: repr(float(row[metric])) for row in draft.loop.history.evaluations
                if metric in row and row["step"] in due
            }  # fmt: skip
            table = format_table(metric, found)
            draft.setup.append(f"# What the evaluations on the validation data found.\n{table}")
            fed = [f"{advance}({metric}[step])"]
            draft.after_count += self._guard(fed, metric, [f"step in {metric}"])
        lines = [f"{advance}()"]
        if self._plain:
            wish = self._wishes[-1]
            most = max_advances(wish[0], wish[1].get("over"))
            if most is not None and self._outlasts:
                lines = [f"if scheduler.last_epoch < {most}:", "    scheduler.step()"]
            draft.after += self._guard(lines) if "step" in units else []
        else:
            # A warm-up counts the steps.
            each = ["schedule.taken += 1"] if self._warms_up else []
            if units == {"step"}:
                each += lines
            elif "step" in units:
                each += ['if schedule.unit == "step":', *map(indent, lines), "else:", "    schedule.write()"]
            else:
                each.append("schedule.write()")
            draft.after += self._guard(each)
        if "epoch" in units:
            draft.epoch_end += self._guard(lines, "epoch")

    def _guard(self, lines: list[str], unit: str = "", tests: Sequence[str] = ()) -> list[str]:
        """Return lines that are run where a schedule is in force."""
        tests = [*tests, *([f"{self._name} is not None"] if self._optional else [])]
        tests += [f'schedule.unit == "{unit}"'] if unit and len(self._units) > 1 and not self._plain else []
        return [f"if {' and '.join(tests)}:", *map(indent, lines)] if tests else lines


def _unit_of(wish: Wish) -> str:
    """Return what a schedule counts, or the metric that it waits for."""
    return wish[1].get("metric") or wish[1].get("unit") or "step"
