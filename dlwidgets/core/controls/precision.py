"""Mixed precision: a forward pass in half as many bits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

from ..base.ledger import Entry
from ..base.words import did_you_mean
from .control import Control, Panel, PanelRow, Unwritable, Writer

PRECISIONS = ("full", "bf16", "fp16")
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_FULL = contextlib.nullcontext()
#: What people call a precision.
_SYNONYMS = {
    "float32": "full", "fp32": "full", "32": "full", "none": "full", "off": "full", "bfloat16": "bf16",
    "bf16-mixed": "bf16", "float16": "fp16", "half": "fp16", "16": "fp16", "16-mixed": "fp16",
}  # fmt: skip


class MixedPrecision:
    """Casts the forward pass of training (`torch.autocast`), nothing else.

    "bf16" has float32's range and needs nothing else. "fp16" has a small range: the loss is scaled up, so
    that small gradients are not lost, and steps whose gradients overflow are left out while the scale adapts
    (Micikevicius et al. 2018, `torch.amp.GradScaler`); `skipped` counts them.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.mode, self.skipped = device, "full", 0
        self._scaler: torch.amp.GradScaler | None = None
        #: Told in a sentence of what a person should know.
        self.note: Callable[[str], None] = lambda sentence: None

    def put(self, mode: str) -> str | None:
        """Put a mode in force, as `Control.put`."""
        if mode == self.mode:
            return None
        if why := why_not(mode, self.device):
            raise ValueError(why)
        self.mode = mode
        self._scaler = torch.amp.GradScaler(self.device.type) if mode == "fp16" else None
        return "evaluations and predictions stay in full precision" if mode != "full" else None

    def forward(self) -> contextlib.AbstractContextManager[Any]:
        """Return what the loss is to be computed in."""
        full = self.mode == "full"
        return _FULL if full else torch.autocast(self.device.type, dtype=_DTYPES[self.mode])

    def backward(self, loss: torch.Tensor) -> None:
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def unscale(self, optimizer: Optimizer) -> None:
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)

    def abandon(self) -> None:
        """Forget a step that failed: its gradients may be unscaled already."""
        if self._scaler is not None:
            with contextlib.suppress(AssertionError):  # nothing was scaled yet
                self._scaler.update(self._scaler.get_scale())

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
        """Skip a step with overflowing gradients, and lower the scale.

        Returns what the history keeps of it; None without a scale, or where it is 1 or less already: then
        not the scale made the gradients overflow.
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
        self.put(state["mode"])
        self.skipped = state["skipped"]
        if self._scaler is not None and state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])


def why_not(mode: str, device: torch.device) -> str | None:
    """Return why a device cannot compute in a mode, or None."""
    if mode == "full" or (mode == "bf16" and device.type == "cpu"):
        return None
    if mode == "fp16" and device.type == "cpu":
        return 'fp16 needs a CUDA device, and training is on the CPU: "bf16" works there'
    if device.type != "cuda":
        return f"mixed precision is for CUDA devices and the CPU, and training is on {device.type}"
    if mode == "bf16" and not torch.cuda.is_bf16_supported():
        return 'this CUDA device has no bf16: "fp16" works there'
    return None


class PrecisionWriter(Writer):
    """The autocast in which the loss is computed."""

    def begin(self) -> None:
        modes, script = set(self.ever), self.script
        if modes == {"full"}:
            return
        if "fp16" in modes:
            raise Unwritable("it was computed in fp16, whose scale depends on the device")
        enabled = ", enabled=mixed" if script.changed("precision") else ""
        if enabled:
            script.settings.append(f"mixed = {self.at_first != 'full'}  # whether in bfloat16")
        kind = script.device.partition(":")[0]
        script.context = f'with torch.autocast("{kind}", dtype=torch.bfloat16{enabled}):'

    def change(self, entry: Entry) -> list[str]:
        return [f"mixed = {entry.applied != 'full'}"]


class Precision(Control):
    """In which precision the forward pass of training computes."""

    name = "precision"
    default = "full"
    aliases = ("amp", "mixed_precision")
    loop_part = "precision"
    writer = PrecisionWriter
    rows = (PanelRow("run", "Precision", "choice", wish=lambda _, word: word, choices=lambda _: PRECISIONS),)

    def read(self, value: Any) -> str:
        key = "full" if value is None else str(value).lower().removeprefix("torch.")
        mode = _SYNONYMS.get(key, key)
        if mode not in PRECISIONS:
            hint = did_you_mean(key, [*PRECISIONS, *_SYNONYMS])
            raise ValueError(f"precision={value!r} is none of {', '.join(PRECISIONS)}.{hint}")
        return mode

    def now(self) -> str:
        return self.loop.precision.mode

    def put(self, value: str) -> str | None:
        return self.loop.precision.put(value)

    @classmethod
    def headline(cls, panel: Panel) -> str:
        mode = panel.applied.get("precision", "full")
        return mode if mode != "full" else ""
