"""The layer table as a Figure, with repeated blocks folded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..base.canvas import BLUE, GREY, INK, ORANGE, new_figure
from ..base.words import cut_text
from ..layers.columns import COLUMNS, sample_shape
from ..layers.summary_text import (
    TableLine,
    count,
    first_lines,
    fold_repeats,
    ran,
    remark,
    remarks,
    type_words,
)  # fmt: skip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..layers.probes import LayerStats
    from ..layers.summary import Summary

#: Columns, with the place of each as a share of the width, and how it is aligned.
_FIRST = (("layer", 0.0, "left"), ("type", 0.25, "left"), ("output", 0.58, "right"), ("params", 0.7, "right"))
_STILL = (("macs", 0.8, "right"), ("activations", 0.91, "right"), ("trains", 1.0, "right"))
_LIVE = (
    ("macs", 0.77, "right"), ("grad", 0.825, "right"), ("ratio", 0.895, "right"), ("dead", 0.95, "right"),
    ("trains", 1.0, "right"),
)  # fmt: skip
_TRAINS = {"yes": "yes", "no": "frozen", "partly": "partly"}
#: A line's height, and the page's width [inch]; so many characters fit the width.
_LINE, _WIDTH, _ACROSS = 0.2, 9.0, 150
#: Between these a step usually moves a layer's weights.
_USUAL = (1e-4, 1e-2)
#: From this share of dead units on a layer stands out ("as much as 40 % of your network", CS231n notes).
MANY_DEAD = 0.4


def layer_figure(table: Summary | None, stats: LayerStats | None = None, most: int = 40) -> Figure:
    """Draw a Summary, with what was measured last where there is any.

    Without a table, the Figure says that there is none yet. The tree is drawn as deep as `most` lines allow.
    """
    if table is None:
        figure = new_figure(6.4, 0.6)
        figure.text(0.01, 0.5, "The layers are being looked at.", fontsize=9, color=GREY, va="center")
        return figure
    every = fold_repeats(table.rows)
    shown = first_lines(every, most)
    left_out = len(every) - len(shown)
    said = [(f"… and {left_out:,} more lines.", GREY)] if left_out else []
    said += [(table.error, ORANGE)] if table.error else []
    said += [(text, GREY) for text in remarks(table)]
    heights = [0.9 * (1 + len(text) // _ACROSS) for text, _ in said]
    tall = 3.0 + len(shown) + sum(heights)
    figure = new_figure(_WIDTH, tall * _LINE)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.01, 0, 0.98, 1))
    axes.set_xlim(0, 1)
    axes.set_ylim(tall, 0)
    axes.axis("off")
    axes.text(0, 0.8, table_headline(table), fontsize=9.5, fontweight="bold", color=INK, va="center")
    columns = (*_FIRST, *(_STILL if stats is None else _LIVE))
    for name, x, side in columns:
        axes.text(x, 2, COLUMNS[name].label, fontsize=8, color=GREY, ha=side, va="center")
    axes.plot([0, 1], [2.5, 2.5], color=GREY, linewidth=0.6)
    for at, line in enumerate(shown, 3):
        parameters = sum(row.parameters for row in line.like or (line.row,))
        cells = {**_cells(line, table.batch), "params": count(parameters), **_live_cells(line, stats)}
        for name, x, side in columns:
            text = cells.get(name, "")
            colour = GREY if name in ("type", "output") else ORANGE if text[:1] in ("▲", "▼") else INK
            axes.text(x, at, text, fontsize=8, color=colour, ha=side, va="center")
        share = parameters / (table.total_parameters or 1)
        axes.barh(at, -0.05 * share, left=0.64, height=0.4, color=BLUE, alpha=0.45)
    below = 2.8 + len(shown)
    for (text, colour), height in zip(said, heights):
        axes.text(0, below, text, fontsize=8, color=colour, va="top", wrap=True)
        below += height
    return figure


def table_headline(table: Summary) -> str:
    """Return the totals: "SmallCNN · 33,658 parameters · 1.52 M MACs ..."."""
    some, whole = table.trainable_parameters, table.total_parameters
    trained = "all trainable" if some == whole else f"{some:,} trainable" if some else "none trainable"
    words = [table.name, f"{whole:,} parameters" + (f" ({trained})" if whole else "")]
    if table.total_macs:
        least = "at least " if table.uncounted or not table.complete else ""
        words.append(f"{least}{count(table.total_macs)} MACs")
    if table.activation_bytes:
        words.append(f"{count(table.activation_bytes, 'B')} activations")
    batch = f", for a batch of {table.batch}" if table.batch is not None and len(words) > 2 else ""
    return " · ".join(words) + batch


def _cells(line: TableLine, batch: int | None) -> dict[str, str]:
    row, like = line.row, line.like
    name, kind, output = row.name, type_words(row), sample_shape(row.output_shape, batch)
    if like:
        name = f"{like[0].name} – {like[-1].name}" if len(like) > 1 else like[0].name
        kind, output = f"×{len(like)}, as the one before", ""
    elif said := remark(row):
        kind = f"{kind} ({said})"
    every = like or (row,)
    return {
        "layer": cut_text("    " * row.depth + name, 28),
        "type": cut_text(kind, 36),
        "output": cut_text(output, 20),
        "macs": count(sum(one.macs for one in every)) if row.macs else "",
        "activations": count(sum(one.activation_bytes for one in every), "B") if ran(row) else "",
        "trains": _TRAINS.get(row.trainable, ""),
    }


def _live_cells(line: TableLine, stats: LayerStats | None) -> dict[str, str]:
    cells: dict[str, str] = {}
    if stats is None or line.like:
        return cells
    if line.row.path in stats.paths:
        at = stats.paths.index(line.row.path)
        cells["grad"] = f"{float(stats.grad_norm[at]):.2g}"
        ratio = float(stats.update_ratio[at])
        mark = "▲ " if ratio > _USUAL[1] else "▼ " if ratio < _USUAL[0] else ""
        mantissa, _, power = f"{ratio:.1e}".partition("e")
        cells["ratio"] = "–" if math.isnan(ratio) else f"{mark}{mantissa}e{int(power)}" if power else "▲ ∞"
    if stats.dead is not None and line.row.path in stats.dead.paths:
        at = stats.dead.paths.index(line.row.path)
        share = float(stats.dead.dead[at]) / max(1, int(stats.dead.units[at]))
        cells["dead"] = f"{'▲ ' if share >= MANY_DEAD else ''}{100 * share:.0f} %"
    return cells

