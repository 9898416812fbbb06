"""What of a model trains, and three starts, as a Figure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..base.canvas import BLUE, GREEN, GREY, INK, LINE, ORANGE, new_figure
from ..base.words import cut_text
from ..layers.blocks import Block, trained_numbers
from ..layers.summary_text import count
from ..training.proof import Proof
from ..training.snapshots.timeline import Branch
from ..training.starts import StartTrials

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The page's width, the heights of the bar, of a line of text, and of the curves [inch].
_WIDTH, _BAR, _LINE, _CURVES = 9.0, 1.9, 0.2, 2.4
#: How each start is drawn, in order: colour and kind of line.
_STYLES = ((ORANGE, "--"), (BLUE, "-"), (GREY, ":"))


def finetune_figure(
    blocks: Sequence[Block],
    proof: Proof | None = None,
    tried: StartTrials | None = None,
    branches: Iterable[Branch] = (),
    scale: Mapping[str, float] | None = None,
    times: Mapping[str, Any] | None = None,
) -> Figure:
    """Draw what trains, what is set of it, and starts compared.

    Parameters
    ----------
    scale, times : pattern -> factor on the rate; pattern -> when it is unfrozen.
    """
    said = _lines(blocks, proof, scale or {}, times or {})
    said += [(text, INK) for text in textwrap.wrap(tried.sentence, 120)] if tried is not None else []
    lines = {branch.name: branch for branch in branches}
    curves = [(one, lines[one.line]) for one in tried.tried if one.line in lines and one.steps] if tried else []
    words, below = _LINE * len(said), _CURVES if curves else 0.0
    height = 0.1 + (_BAR if blocks else 0.0) + words + below
    figure = new_figure(_WIDTH, height)
    figure.set_layout_engine("none")
    if blocks:
        bottom = (words + below + 0.45) / height
        _draw_bar(figure.add_axes((0.03, bottom, 0.95, (_BAR - 0.6) / height)), blocks)
    for number, (text, ink) in enumerate(said):
        figure.text(0.03, (below + words - _LINE * (number + 0.5)) / height, text, fontsize=8.5, color=ink, va="center")
    if curves and tried is not None:
        axes = figure.add_axes((0.08, 0.42 / height, 0.74, (_CURVES - 0.6) / height))
        _draw_curves(axes, [
            (f"{one.name} {one.loss:.3g}", line.record.columns["loss"].values[tried.start : tried.start + one.steps])
            for one, line in curves
        ])  # fmt: skip
        axes.set_xlabel(f"steps from step {tried.start:,}: training loss", fontsize=8, color=GREY)
    return figure


def _lines(
    blocks: Sequence[Block], proof: Proof | None, scale: Mapping[str, float], times: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return what stands below the bar: text and colour of each line."""
    if not blocks:
        return [("There is no model with parameters to fine-tune.", GREY)]
    trained, whole = sum(trained_numbers(one.tensors) for one in blocks), sum(one.parameters for one in blocks)
    said = [(f"{trained:,} of {whole:,} parameters train. Hatched: frozen.", INK)]
    if scale:
        said.append((f"Rates: {', '.join(f'{name} × {one:g}' for name, one in scale.items())}", INK))
    if times:
        said.append((f"Unfrozen: {', '.join(f'{name} at {one}' for name, one in times.items())}", INK))
    if proof is not None and trained < whole:
        mark = "✓" if proof.holds else "▲"
        text = f"{mark} Epoch {proof.epoch:,}, step {proof.step:,}: {proof.sentence()}. Digest {proof.digest}"
        said += [(line, GREEN if proof.holds else ORANGE) for line in textwrap.wrap(text, 120)]
    return said


def _draw_bar(axes: Axes, blocks: Sequence[Block]) -> None:
    places, sizes = range(len(blocks)), [one.parameters for one in blocks]
    most, room = max(sizes) or 1, max(4, 100 // len(blocks))
    for place, one in zip(places, blocks):
        trains = one.trainable == "yes"
        axes.bar(place, 1, width=0.94, color="none", edgecolor=LINE, hatch=None if trains else "///", linewidth=0.8)
        colour, hatch = (BLUE, None) if trains else (LINE, "///")
        height = max(0.04, one.parameters / most)
        axes.bar(place, height, width=0.94, color=colour, edgecolor=GREY if hatch else BLUE, hatch=hatch, linewidth=0.6)
        axes.text(place, 1.06, count(one.parameters), fontsize=7.5, color=INK, ha="center")
    axes.set_xticks(places, [cut_text(one.label, room) for one in blocks], fontsize=7.5)
    axes.get_xticklabels()
    for label, one in zip(axes.get_xticklabels(), blocks):
        label.set_color(ORANGE if one.in_head else INK)
    axes.set_xlim(-0.5, len(blocks) - 0.5)
    axes.set_ylim(0, 1.2)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)


def _draw_curves(axes: Axes, curves: Sequence[tuple[str, Any]]) -> None:
    """Draw losses, each with its name at its end."""
    for (_, losses), (colour, kind) in zip(curves, _STYLES):
        axes.plot(range(1, len(losses) + 1), losses, color=colour, linestyle=kind, linewidth=1.3)
    axes.margins(x=0.01)
    low, high = axes.get_ylim()
    lowest = -1.0
    for number in sorted(range(len(curves)), key=lambda number: curves[number][1][-1]):
        name, losses = curves[number]
        lowest = max((losses[-1] - low) / (high - low), lowest + 0.11)
        axes.text(1.01, lowest, name, transform=axes.transAxes, fontsize=8.5, color=_STYLES[number][0], va="center")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=GREY, labelsize=8, length=0)
