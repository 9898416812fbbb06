"""The decay rates of Adam and its kin as a control."""

from __future__ import annotations

from typing import Any

from ..base.numbers import read_fraction
from .control import Panel, PanelRow, parse_number
from .optimizer_number import OptimizerNumber


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
        self._own = [group.get("betas") for group in self.loop.rate.groups.param_groups]

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
        group = self.loop.rate.groups.param_groups[0]
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
        groups = self.loop.rate.groups
        for group, own in zip(groups.param_groups, self._own):
            group["betas"] = own if value is None else value
        groups.spread()
