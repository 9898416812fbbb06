"""The state of a run and its controls as a Figure: a small table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import BLUE, GREY, INK, ORANGE, blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def panel_figure(run: dict[str, Any], error: str, asked: dict[str, Any], applied: dict[str, Any]) -> Figure:
    """Return a Figure with the run's state on top and, for each control, what was asked and what is in force."""
    figure = blank(6.4, 1.7)
    axes = figure.subplots()
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 6)
    axes.text(0, 5.4, run.get("title", ""), fontsize=11, fontweight="bold", color=INK)
    state = f"{run.get('status', '')} · epoch {run.get('epoch', 0)} of {run.get('epochs', 0)} · step {run.get('steps', 0):,}"
    axes.text(1, 5.4, state, fontsize=9, color=ORANGE if error else BLUE, ha="right")
    axes.text(0, 4.5, run.get("about", ""), fontsize=9, color=GREY)
    for row, (name, label) in enumerate((("lr", "Learning rate"), ("batch_size", "Batch size"), ("clip", "Clip gradients"))):
        y = 3.2 - row
        axes.text(0, y, label, fontsize=9, color=INK)
        axes.text(0.45, y, f"asked {words(asked.get(name))}", fontsize=9, color=INK)
        axes.text(1, y, f"in force {words(applied.get(name))}", fontsize=9, color=GREY, ha="right")
    if error:
        axes.text(0, 0.1, error, fontsize=8, color=ORANGE, wrap=True)
    return figure


def words(value: Any) -> str:
    """Return the value of a control in words: 0.001, 64, norm 1, off."""
    if value is None:
        return "off"
    if isinstance(value, (tuple, list)):
        return " ".join(words(part) for part in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
