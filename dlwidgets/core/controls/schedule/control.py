"""The schedule of the learning rate, as a control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...base.ledger import Entry
from ..control import Control, Panel, PanelRow, parse_number
from ..movement import MovementWriter, name_in_wish, ready_for_momentum
from .plan import NAMES, Wish

_LASTING = tuple(name for name in NAMES if name != "plateau")


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


def _length(_panel: Panel, wish: Any) -> str | None:
    # Drawn out, its whole length is no number of steps that are taken.
    return "to the end" if wish and wish[1].get("at") else None


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
            "over", "Length", _LASTING, hint="How many steps or epochs it takes; empty: the run's",
            empty="the run", fact=_length,
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
        """Return the schedule in force as a wish that leaves nothing open."""
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
        """Put a schedule in force once more, as it was then."""
        if entry.by == "run":
            self.loop.rate.renew(entry.applied)
        else:
            self.loop.rate.begin(entry.asked, entry.applied)
        ready_for_momentum(self.loop.optimizer)

    def run_begins(self, run: int) -> None:
        rate, ledger = self.loop.rate, self.steering.ledger
        before = rate.resolved
        note = rate.run_begins(run)
        if not note and rate.resolved != before and any(one.name == "schedule" for one in ledger.entries):
            # What the ledger says of the schedule would not be so any more.
            note = f"fitted to the run: {rate.words}"
        if note:
            ledger.add(Entry(self.loop.steps, "schedule", rate.wish, rate.resolved, "run", note))

    def install(self, state: Any) -> str | None:
        return self.loop.rate.install(state, self.loop.optimizer)

    @classmethod
    def headline(cls, panel: Panel) -> str:
        return str(panel.applied.get("schedule_in_words") or _name_of(panel.asked.get("schedule")))
