"""The momentum of an optimizer as a control."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from ..base.numbers import read_fraction, read_optional
from .control import Panel, PanelRow
from .optimizer_number import OptimizerNumber, name_in_wish


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
        self.set(self._own if value is None else value)
        ready_for_momentum(optimizer)
