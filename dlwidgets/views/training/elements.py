"""Buttons and main controls of a training panel, as marimo's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

if TYPE_CHECKING:
    from .view import TrainingPanel

#: How many values a logarithmic slider of marimo has in each power of ten.
_VALUES = 20


def build_elements(panel: TrainingPanel, names: Sequence[str]) -> list[Any]:
    """Return rows that show a run, its buttons, and the named controls.

    Marimo shows no ipywidgets: each element moves the panel's own control, so that limits, locks and what is said of a
    wish are the same. It does not follow what code sets: what is in force stands in the status line and the curves.
    """
    import marimo

    step, stop, undo = (one for one in panel.bar.children[1].children if one.description in ("Step", "Stop", "Undo"))
    press = marimo.ui.button(
        label="Start or pause", kind="success", tooltip="Train in the background; pause after the step being taken",
        on_change=lambda _: panel._press("toggle"),
    )  # fmt: skip
    buttons = [press, *(_mirror_button(marimo, one) for one in (step, stop, undo))]
    rows = [panel._head, marimo.hstack(buttons, justify="start")]
    controls = [mirror_control(widget) for name in names for widget in _WIDGETS[name](panel)]
    return rows + [marimo.hstack(controls, justify="start", wrap=True, gap=1.5)] * bool(controls)


#: Control -> the widgets of a panel that set it.
_WIDGETS: dict[str, Any] = {
    "lr": lambda panel: (panel.lr,), "batch_size": lambda panel: (panel.batch_size,),
    "clip": lambda panel: (panel.clip, panel.limit),
}  # fmt: skip


def _mirror_button(marimo: Any, button: ipywidgets.Button) -> Any:
    return marimo.ui.button(label=button.description, tooltip=button.tooltip, on_change=lambda _: button.click())


def mirror_control(widget: Any) -> Any:
    """Return marimo's element that sets a control as people would."""
    import marimo

    def move(value: Any) -> None:
        widget.value = value

    shared = {"label": widget.description, "on_change": move, "disabled": widget.disabled}
    if isinstance(widget, ipywidgets.ToggleButtons):
        options = {str(label): value for label, value in widget.options}
        chosen = next(label for label, value in options.items() if value == widget.value)
        return marimo.ui.radio(options, chosen, inline=True, **shared)
    if isinstance(widget, ipywidgets.SelectionSlider):
        steps = [*widget.options]
    else:
        powers = range(round(widget.min * _VALUES), round(widget.max * _VALUES) + 1)
        rounded = (float(f"{10 ** (power / _VALUES):.2g}") for power in powers)
        low, high = 10**widget.min * (1 - 1e-9), 10**widget.max * (1 + 1e-9)
        steps = sorted({*(one for one in rounded if low <= one <= high), widget.value})
    return marimo.ui.slider(steps=steps, value=widget.value, debounce=True, show_value=True, **shared)
