"""The label smoothing of the training loss, as a control."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..base.ledger import Entry
from ..base.numbers import read_fraction, read_optional
from .control import Control, Panel, PanelRow, Unwritable, Writer


class LabelSmoothingWriter(Writer):
    """The smoothing of the loss, where it is not the loss's own."""

    def begin(self) -> None:
        wanted, own = self.at_first, self.script.task_at(None).loss
        if own is not None and wanted is not None and wanted != getattr(own, "label_smoothing", None):
            self.script.setup += self._smoothed(wanted, own)

    def change(self, entry: Entry) -> list[str]:
        return self._smoothed(entry.applied, self.script.task_at(entry).loss)

    def _smoothed(self, value: Any, own: Any) -> list[str]:
        if not isinstance(own, nn.Module):
            raise Unwritable("the label smoothing of a function was changed")
        return [f"loss_function.label_smoothing = {value!r}"]


class LabelSmoothing(Control):
    """The label smoothing of the training loss; evaluations keep theirs."""

    name = "label_smoothing"
    aliases = ("smoothing",)
    bounds = "any"
    writer = LabelSmoothingWriter
    rows = (
        PanelRow(
            "regularisation", "Label smoothing",
            why_not=lambda panel: "the loss has none" if panel.applied.get("label_smoothing") is None else "",
        ),
    )  # fmt: skip

    def read(self, value: Any) -> float | None:
        wanted = "a number from 0 to below 1 is wanted, as 0.1, or None."
        return read_optional(value, read_fraction, f"label_smoothing={value!r}: {wanted}")

    def now(self) -> float | None:
        return self.loop.objective.smoothing.value

    def put(self, value: float | None) -> None:
        if value != self.now():
            self.loop.objective.smoothing.put(value)

    def state(self) -> Any:
        return self.loop.objective.smoothing.wish

    def install(self, state: Any) -> None:
        self.loop.objective.smoothing.put(state)

    @classmethod
    def headline(cls, panel: Panel) -> str:
        value = panel.applied.get("label_smoothing")
        return f"smoothing {value:g}" if value else ""
