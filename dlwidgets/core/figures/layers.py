"""The layer table as a Figure: the first rows of the tree, as deep as there is room for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from . import BLUE, GREY, INK, ORANGE, blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..probes import LayerStats
    from ..summary import Row, Summary

#: Heads, the place of each column as a share of the width, and how it is aligned.
_COLUMNS = (
    ("layer", 0.0, "left"), ("type", 0.25, "left"), ("output", 0.535, "right"), ("params", 0.66, "right"),
    ("MACs", 0.75, "right"), ("‖grad‖", 0.84, "right"), ("Δw / w", 0.94, "right"), ("trains", 1.0, "right"),
)  # fmt: skip
_TRAINS = {"yes": "yes", "no": "frozen", "partly": "partly", "": ""}
#: A row's height, and the page's width [inch].
_ROW, _WIDTH = 0.2, 9.0
#: Between these a step usually moves a layer's weights.
_USUAL = (1e-4, 1e-2)


def layer_figure(table: Summary | None, stats: LayerStats | None = None, most: int = 40) -> Figure:
    """Return the Figure of a Summary, with the live numbers where there are any.

    Parameters
    ----------
    table : the summary; None gives a Figure that says there is none yet.
    stats : what was measured last.
    most : most rows; the tree is drawn as deep as they allow.
    """
    if table is None:
        figure = blank(6.4, 0.6)
        figure.text(0.01, 0.5, "The layers are being looked at.", fontsize=9, color=GREY, va="center")
        return figure
    rows = first_rows(table.rows, most)
    left_out = len(table.rows) - len(rows)
    below = _below(table, left_out)
    lines = 3 + len(rows) + 2 * len(below)
    figure = blank(_WIDTH, lines * _ROW)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.01, 0, 0.98, 1))
    axes.set_xlim(0, 1)
    axes.set_ylim(lines, 0)
    axes.axis("off")
    axes.text(0, 0.7, _headline(table), fontsize=9.5, fontweight="bold", color=INK, va="center")
    for name, x, side in _COLUMNS:
        axes.text(x, 2, name, fontsize=8, color=GREY, ha=side, va="center")
    axes.plot([0, 1], [2.5, 2.5], color=GREY, linewidth=0.6)
    live = {} if stats is None else {path: i for i, path in enumerate(stats.paths)}
    for line, row in enumerate(rows, 3):
        place = live.get(row.path)
        ratio = None if stats is None or place is None else float(stats.update_ratio[place])
        grad = None if stats is None or place is None else float(stats.grad_norm[place])
        cells = (
            _cut("    " * row.depth + row.name, 26), _cut(_kind(row), 30) if row.path else "", _shape(row),
            _count(row.parameters), _count(row.macs) if row.macs else "",
            "" if grad is None else f"{grad:.2g}", "" if ratio is None else _ratio(ratio), _TRAINS[row.trainable],
        )  # fmt: skip
        for (name, x, side), text in zip(_COLUMNS, cells):
            colour = GREY if name in ("type", "output") else INK
            if name == "Δw / w" and text.startswith(("▲", "▼")):
                colour = ORANGE
            axes.text(x, line, text, fontsize=8, color=colour, ha=side, va="center")
        share = row.parameters / table.total_parameters if table.total_parameters else 0
        axes.barh(line, -0.05 * share, left=0.605, height=0.4, color=BLUE, alpha=0.45)
    for at, text in enumerate(below):
        axes.text(0, 3.3 + len(rows) + 2 * at, text, fontsize=8, color=GREY, va="center", wrap=True)
    return figure


def first_rows(rows: list[Row], most: int) -> list[Row]:
    """Return the rows down to the greatest depth at which at most `most` are left, or the first `most`."""
    for depth in range(max(row.depth for row in rows), 1, -1):
        shown = [row for row in rows if row.depth <= depth]
        if len(shown) <= most:
            return shown
    return [row for row in rows if row.depth <= 1][:most]


def _headline(table: Summary) -> str:
    all_train = table.trainable_parameters == table.total_parameters
    trains = "all trainable" if all_train else f"{table.trainable_parameters:,} trainable"
    words = [table.name, f"{table.total_parameters:,} parameters ({trains})"]
    if table.total_macs:
        words.append(f"{_count(table.total_macs)} MACs")
    if table.activation_bytes:
        words.append(f"{_count(table.activation_bytes, 'B')} activations")
    first = table.rows[0].input_shape
    return " · ".join(words) + (f", for a batch of {first[0]}" if first else "")


def _below(table: Summary, left_out: int) -> list[str]:
    words = [f"… and {left_out:,} more layers."] if left_out else []
    if table.error:
        words.append(table.error)
    if table.uncounted:
        words.append("Not in the MACs, for want of a formula: " + ", ".join(table.uncounted) + ".")
    return words


def _kind(row: Row) -> str:
    return f"{row.kind} {row.detail}".strip() + (f" ({row.note})" if row.note else "")


def _shape(row: Row) -> str:
    return "×".join(map(str, row.output_shape[1:])) or "1" if row.output_shape is not None else ""


def _ratio(ratio: float) -> str:
    if not math.isfinite(ratio):
        return "–" if math.isnan(ratio) else "▲ ∞"
    mark = "▲ " if ratio > _USUAL[1] else "▼ " if ratio < _USUAL[0] else ""
    return mark + f"{ratio:.1e}".replace("e-0", "e-").replace("e+0", "e")


def _count(number: float, unit: str = "") -> str:
    if number < 1000:
        return f"{number:g} {unit}".rstrip()
    power = min(5, int(math.log10(number) / 3 + 1e-9))
    value = number / 1000**power
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {'kMGTP'[power - 1]}{unit}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
