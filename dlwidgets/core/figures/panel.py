"""The state of a run and its controls as a Figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..base.canvas import BLUE, GREEN, GREY, INK, LINE, ORANGE, new_figure
from ..base.numbers import format_rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The controls: name -> label.
_CONTROLS = {"lr": "Learning rate", "batch_size": "Batch size", "clip": "Clip gradients"}


#: The height of a row of what else is in force, and of all above it [in].
_ROW, _TOP = 0.19, 1.5


def panel_figure(
    run: dict[str, Any],
    error: str,
    asked: dict[str, Any],
    applied: dict[str, Any],
    others: Sequence[tuple[str, str]] = (),
) -> Figure:
    """Draw a run's state and, for each control, asked and applied.

    Parameters
    ----------
    run : title, about, status, epoch, epochs, steps, share (0..1 or None), as they are known.
    error : why the run failed; "" where it did not.
    asked, applied : control -> value, for lr, batch_size and clip.
    others : what else is in force, (label, value in words), in two columns below.
    """
    above = _TOP + (0.3 if error else 0.0)
    below = _ROW * -(-len(others) // 2)
    figure = new_figure(6.4, above + below)
    figure.set_layout_engine("none")
    _two_columns(figure, others, below / (above + below))
    axes = figure.add_axes((0.015, below / (above + below), 0.97, above / (above + below)))
    axes.axis("off")
    axes.set_xlim(0, 1)
    bottom = 0.0 if error else 0.9
    axes.set_ylim(bottom, 6)
    axes.text(0, 5.4, run.get("title", ""), fontsize=11, fontweight="bold", color=INK, va="center")
    words = [
        run.get("status", ""),
        f"epoch {run.get('epoch', 0)} of {run.get('epochs', 0)}",
        f"step {run.get('steps', 0):,}",
    ]
    ink = ORANGE if error else BLUE
    axes.text(1, 5.4, " · ".join(words), fontsize=9, color=ink, ha="right", va="center")
    axes.text(0, 4.6, run.get("about", ""), fontsize=9, color=GREY, va="center")
    axes.plot([0, 1], [4.1, 4.1], color=LINE, linewidth=2, solid_capstyle="butt")
    axes.plot([0, run.get("share") or 0], [4.1, 4.1], color=BLUE, linewidth=2, solid_capstyle="butt")
    for row, (name, label) in enumerate(_CONTROLS.items()):
        y, same = 3.4 - 0.85 * row, asked.get(name) == applied.get(name)
        axes.text(0, y, label, fontsize=9, color=INK, va="center")
        axes.text(
            0.3,
            y,
            format_value(name, asked.get(name)),
            fontsize=9,
            fontweight="bold",
            color=INK,
            va="center",
        )
        words, ink = f"in force {format_value(name, applied.get(name))}", GREEN if same else GREY
        axes.text(1, y, words, fontsize=9, color=ink, ha="right", va="center")
    if error:
        axes.text(0, 0.5, f"▲ {error}", fontsize=8.5, color=ORANGE, wrap=True, va="center")
    return figure


def _two_columns(figure: Figure, rows: Sequence[tuple[str, str]], share: float) -> None:
    """Write names and values into the lower `share` of the figure."""
    count = -(-len(rows) // 2)
    for number, (label, words) in enumerate(rows):
        column, row = divmod(number, count)
        left, y = 0.015 + 0.5 * column, share * (1 - (row + 0.4) / count)
        figure.text(left, y, label, fontsize=8, color=GREY, va="center")
        figure.text(left + 0.47, y, words, fontsize=8, color=INK, ha="right", va="center")


def format_value(name: str, value: Any) -> str:
    """Format the value of a control: 1.0e-3, 64, norm 1, off."""
    if value is None:
        return "off"
    if name == "lr":
        return format_rate(value)
    if isinstance(value, (tuple, list)):
        return f"{value[0]} {value[1]:.3g}"
    return f"{value:,}"
