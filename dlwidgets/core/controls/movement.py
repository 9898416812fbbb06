"""The numbers of the optimizer as controls: rate, momentum, betas, decay."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from torch.optim import Optimizer

from ..base.ledger import Entry
from ..base.numbers import read_fraction, read_number, read_optional
from ..base.state import Reference, dereference
from .control import Control, Panel, PanelRow, Writer, parse_number
from .parameter_groups import GroupValue


class MovementWriter(Writer):
    """Writes the optimizer and its numbers, together for all these controls."""

    def change(self, entry: Entry) -> list[str]:
        return self.script.movement.change(entry)


def name_in_wish(wish: Any) -> Any:
    """Return the name in a wish for an optimizer or schedule."""
    if wish is None:
        return None
    return wish[0] if isinstance(wish[0], str) else getattr(wish[0], "__name__", type(wish[0]).__name__)


def read_non_negative(value: Any) -> float | None:
    """Return a finite number, 0 or more; None for anything else."""
    number = read_number(value)
    return number if number is not None and math.isfinite(number) and number >= 0 else None


class LearningRate(Control):
    """The rate of the next step, or the one a schedule scales."""

    name = "lr"
    default = 1e-3
    aliases = ("learning_rate", "rate")
    of_the_step = True
    bounds = "positive"
    writer = MovementWriter

    def read(self, value: Any) -> float:
        if (number := read_non_negative(value)) is None:
            raise ValueError(f"lr={value!r}: a learning rate is a number, 0 or more, such as 1e-3.")
        return number

    def now(self) -> float | None:
        return self.loop.rate.value

    def wish(self) -> float | None:
        return self.loop.rate.base

    def follows(self) -> dict[str, Any]:
        """Return the schedule in words, its rate, and the multiplier on it."""
        rate = self.loop.rate
        return {
            "schedule_in_words": rate.words, "scheduled_lr": rate.scheduled, "lr_multiplier": rate.multiplier,
        }  # fmt: skip

    def put(self, value: float) -> str | None:
        return self.loop.rate.set(value)


class OptimizerNumber(Control):
    """A number of the parameter groups; None is the optimizer's own."""

    of_the_step = True
    bounds = "any"
    writer = MovementWriter
    _kept: ClassVar[tuple[str, ...]] = ("_value", "_own")

    def optimizer_changed(self) -> None:
        self._value = GroupValue(self.loop.optimizer, self.name)
        #: The optimizer's own.
        self._own: Any = self._value.value

    def now(self) -> Any:
        return self._value.value

    def check_not_cycled(self) -> None:
        """Refuse to change a number that the schedule cycles."""
        rate = self.loop.rate
        if rate.plan is not None and rate.cycled:
            raise ValueError(
                f"the schedule {rate.plan.name} cycles it: "
                f'its option "cycle_momentum": False leaves {self.name} alone'
            )

    def state(self) -> Any:
        return Reference([getattr(self, name) for name in self._kept])

    def install(self, state: Any) -> None:
        if (kept := dereference(state)) is None:
            self.optimizer_changed()
        else:
            for name, value in zip(self._kept, kept):
                setattr(self, name, value)


def ready_for_momentum(optimizer: Optimizer) -> None:
    """Create RMSprop's momentum buffers.

    It makes them only with the first step, and fails without once it has a momentum.
    """
    for group in optimizer.param_groups:
        if type(optimizer).__name__ == "RMSprop" and group["momentum"] > 0:
            for parameter in group["params"]:
                state = optimizer.state.get(parameter)
                if state and "momentum_buffer" not in state:
                    state["momentum_buffer"] = parameter.detach().new_zeros(parameter.shape)


def _nesterov(panel: Panel, on: Any) -> Any:
    name, options = panel.shown("optimizer")
    return name, {**options, "nesterov": bool(on)}


class Momentum(OptimizerNumber):
    """The momentum of SGD, RMSprop and Muon."""

    name = "momentum"
    aliases = ("mu",)
    rows = (
        PanelRow("optimizer", "Momentum", there=lambda panel: panel.applied.get("momentum") is not None),
        PanelRow(
            "optimizer", "Nesterov", "flag", lambda value: bool(value and value[1].get("nesterov")),
            _nesterov, control="optimizer", part="nesterov",
            there=lambda panel: name_in_wish(panel.shown("optimizer")) == "SGD",
        ),
    )  # fmt: skip

    def read(self, value: Any) -> float | None:
        wanted = "a number from 0 to below 1 is wanted, as 0.9, or None."
        return read_optional(value, read_fraction, f"momentum={value!r}: {wanted}")

    def put(self, value: float | None) -> None:
        optimizer = self.loop.optimizer
        if self._own is None:
            if value is None:
                return
            raise ValueError(
                f"{type(optimizer).__name__} has no momentum: SGD, RMSprop and Muon have one"
                + ("; here betas is what you want" if "betas" in optimizer.param_groups[0] else "")
            )
        self.check_not_cycled()
        self._value.set(self._own if value is None else value)
        ready_for_momentum(optimizer)


def _typed_betas(_panel: Panel, text: Any) -> Any:
    parts = str(text).replace("(", " ").replace(")", " ").replace(",", " ").split()
    return tuple(map(parse_number, parts)) or None


class Betas(OptimizerNumber):
    """The decay rates of Adam's averages of gradients and their squares."""

    name = "betas"
    aliases = ("beta",)
    rows = (
        PanelRow(
            "optimizer", "Betas", wish=_typed_betas,
            show=lambda value: value and ", ".join(f"{one:g}" for one in value),
            there=lambda panel: panel.applied.get("betas") is not None,
        ),
    )  # fmt: skip
    _kept = ("_own",)

    def optimizer_changed(self) -> None:
        #: The optimizer's own, of each group.
        self._own = [group.get("betas") for group in self.loop.optimizer.param_groups]

    def read(self, value: Any) -> tuple[float, ...] | None:
        if value is None:
            return None
        try:
            numbers = [read_fraction(one) for one in value]
        except TypeError:
            numbers = []
        if len(numbers) < 2 or None in numbers:
            raise ValueError(
                f"betas={value!r}: two numbers from 0 to below 1 are wanted, as (0.9, 0.999), or None."
            )
        return tuple(numbers)  # type: ignore[arg-type]

    def now(self) -> tuple[float, ...] | None:
        group = self.loop.optimizer.param_groups[0]
        return tuple(map(float, group["betas"])) if "betas" in group else None

    def put(self, value: tuple[float, ...] | None) -> None:
        optimizer = self.loop.optimizer
        kind = type(optimizer).__name__
        if self._own[0] is None:
            if value is None:
                return
            raise ValueError(
                f"{kind} has no betas: Adam and its kin (AdamW, NAdam, RAdam, Adamax) have them"
                + ("; here momentum is what you want" if "momentum" in optimizer.param_groups[0] else "")
            )
        if value is not None and len(value) != len(self._own[0]):
            raise ValueError(f"{kind} has {len(self._own[0])} betas")
        self.check_not_cycled()
        for group, own in zip(optimizer.param_groups, self._own):
            group["betas"] = own if value is None else value


class WeightDecay(OptimizerNumber):
    """The weight decay: plain L2, or decoupled with AdamW.

    Attributes
    ----------
    asked : what a person asked for, which holds for the next optimizer too; None: its own.
    """

    name = "weight_decay"
    aliases = ("wd", "l2")
    rows = (PanelRow("optimizer", "Weight decay", hint="Plain L2; of AdamW decoupled from the gradient"),)
    asked: float | None = None
    _kept = ("_value", "_own", "asked")

    def read(self, value: Any) -> float | None:
        wanted = "a number, 0 or more, is wanted, or None for the optimizer's own."
        return read_optional(value, read_non_negative, f"weight_decay={value!r}: {wanted}")

    def put(self, value: float | None) -> None:
        if self._own is None:
            if value is None:
                return
            raise ValueError(f"{type(self.loop.optimizer).__name__} has no weight decay")
        wanted = self._own if value is None else value
        if wanted == self._value.value:
            return  # the ledger says nothing of it: the next optimizer must not know of it either
        self.asked = value
        self._value.set(wanted)

    @classmethod
    def headline(cls, panel: Panel) -> str:
        decay = panel.applied.get("weight_decay")
        return f"decay {decay:.3g}" if decay else ""
