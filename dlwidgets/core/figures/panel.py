"""The state of a run and its controls as a Figure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
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
    above, rows = _TOP + (0.3 if error else 0.0), -(-len(others) // 2)
    figure = new_figure(6.4, above + _ROW * rows)
    figure.set_layout_engine("none")
    share = _ROW * rows / (above + _ROW * rows)
    for number, (label, words) in enumerate(others):
        column, row = divmod(number, rows)
        left, y = 0.015 + 0.5 * column, share * (1 - (row + 0.4) / rows)
        figure.text(left, y, label, fontsize=8, color=GREY, va="center")
        figure.text(left + 0.47, y, words, fontsize=8, color=INK, ha="right", va="center")
    axes = figure.add_axes((0.015, share, 0.97, 1 - share))
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(0.0 if error else 0.9, 6)
    write = partial(axes.text, fontsize=9, va="center")
    write(0, 5.4, run.get("title", ""), fontsize=11, fontweight="bold", color=INK)
    epoch, steps = f"epoch {run.get('epoch', 0)} of {run.get('epochs', 0)}", f"step {run.get('steps', 0):,}"
    status = " · ".join([run.get("status", ""), epoch, steps])
    write(1, 5.4, status, color=ORANGE if error else BLUE, ha="right")
    write(0, 4.6, run.get("about", ""), color=GREY)
    axes.plot([0, 1], [4.1, 4.1], color=LINE, linewidth=2, solid_capstyle="butt")
    axes.plot([0, run.get("share") or 0], [4.1, 4.1], color=BLUE, linewidth=2, solid_capstyle="butt")
    for row, (name, label) in enumerate(_CONTROLS.items()):
        y, same = 3.4 - 0.85 * row, asked.get(name) == applied.get(name)
        write(0, y, label, color=INK)
        write(0.3, y, format_value(name, asked.get(name)), fontweight="bold", color=INK)
        in_force = f"in force {format_value(name, applied.get(name))}"
        write(1, y, in_force, color=GREEN if same else GREY, ha="right")
    if error:
        write(0, 0.5, f"▲ {error}", fontsize=8.5, color=ORANGE, wrap=True)
    return figure


def format_value(name: str, value: Any) -> str:
    """Format the value of a control: 1.0e-3, 64, norm 1, off."""
    if value is None:
        return "off"
    if name == "lr":
        return format_rate(value)
    return f"{value[0]} {value[1]:.3g}" if isinstance(value, (tuple, list)) else f"{value:,}"
