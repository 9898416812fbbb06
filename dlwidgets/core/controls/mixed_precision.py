"""Mixed precision: where the forward pass computes with half as many bits, and what that asks of a step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

PRECISIONS = ("full", "bf16", "fp16")
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_FULL = contextlib.nullcontext()


class Precision:
    """Casts the forward pass of training (`torch.autocast`); weights and evaluations stay as they are.

    "bf16" has float32's range and needs nothing else. "fp16" has a small range: the loss is scaled up, so
    that small gradients are not lost, and steps whose gradients overflow are left out while the scale adapts
    (Micikevicius et al. 2018, `torch.amp.GradScaler`).

    Attributes
    ----------
    mode : "full", "bf16" or "fp16".
    skipped : how many steps were left out.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.mode, self.skipped = device, "full", 0
        self._scaler: torch.amp.GradScaler | None = None
        #: Told in a sentence of what a person should know.
        self.note: Callable[[str], None] = lambda sentence: None

    def put(self, mode: str) -> str | None:
        """Put a mode in force, and return what is to be said of it.

        Raises
        ------
        ValueError : why the device cannot, in a clause.
        """
        if mode == self.mode:
            return None
        if why := why_not(mode, self.device):
            raise ValueError(why)
        self.mode = mode
        self._scaler = torch.amp.GradScaler(self.device.type) if mode == "fp16" else None
        return "evaluations and predictions stay in full precision" if mode != "full" else None

    def forward(self) -> contextlib.AbstractContextManager[Any]:
        """Return what the loss is to be computed in."""
        if self.mode == "full":
            return _FULL
        return torch.autocast(self.device.type, dtype=_DTYPES[self.mode])

    def backward(self, loss: torch.Tensor) -> None:
        """Compute the gradients of a loss, of a scaled one where the mode asks for that."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def unscale(self, optimizer: Optimizer) -> None:
        """Take the scale out of the gradients."""
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> dict[str, float]:
        """Move the weights; return what the history keeps of it."""
        if self._scaler is None:
            optimizer.step()
            return {}
        try:
            self._scaler.step(optimizer)
        finally:
            self._scaler.update()
        return {"skipped": 0.0}

    def skip(self) -> dict[str, float] | None:
        """Leave out a step whose gradients are not finite, and lower the scale; None where that is no help.

        Returns
        -------
        dict or None
            What the history keeps of it; None without a scale, or where it is 1 or less already: then not
            the scale made the gradients overflow.
        """
        if self._scaler is None:
            return None
        scale = self._scaler.get_scale()
        self._scaler.update()
        if scale <= 1:
            return None
        self.skipped += 1
        self.note(
            "Steps whose gradients overflow in fp16 are left out while the scale of the loss adapts: "
            "history() marks them as skipped."
        )
        return {"skipped": 1.0}

    def state(self) -> dict[str, Any]:
        """Return the mode, the scale and how it came to be."""
        scaler = None if self._scaler is None else self._scaler.state_dict()
        return {"mode": self.mode, "skipped": self.skipped, "scaler": scaler}

    def install(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.put(state["mode"])
        self.skipped = state["skipped"]
        if self._scaler is not None and state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])


def why_not(mode: str, device: torch.device) -> str | None:
    """Say in a clause why a device cannot compute in a mode; None if it can."""
    if mode == "full" or (mode == "bf16" and device.type == "cpu"):
        return None
    if mode == "fp16" and device.type == "cpu":
        return 'fp16 needs a CUDA device, and training is on the CPU: "bf16" works there'
    if device.type != "cuda":
        return f"mixed precision is for CUDA devices and the CPU, and training is on {device.type}"
    if mode == "bf16" and not torch.cuda.is_bf16_supported():
        return 'this CUDA device has no bf16: "fp16" works there'
    return None
