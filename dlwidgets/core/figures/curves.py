"""The curves of a run as a Figure: losses, rate, gradient norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.buckets import Curve, EvaluationSeries, common_steps
from ..base.canvas import BLUE, GREEN, GREY, INK, LINE, ORANGE, new_figure
from ..base.history import History
from ..base.numbers import format_number, format_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure

    from ..training.snapshots.timeline import Branch


def curves_figure(
    history: History,
    changes: list[tuple[int, str]] | None = None,
    window: tuple[int, int] | None = None,
    clip: float | None = None,
    past: Sequence[Branch] = (),
) -> Figure:
    """Return loss, learning rate and gradient norm of `history` over the steps.

    Parameters
    ----------
    changes : (step, words) of what was changed, marked on top of the loss.
    window : the first and the last step shown; None: all.
    clip : the norm that gradients are clipped at, drawn where given.
    past : lines that were left, drawn pale from where each parted.
    """
    if not len(history):
        figure = new_figure(6.4, 0.6)
        words = "No step taken yet: session.start() trains."
        figure.text(0.01, 0.5, words, fontsize=9, color=GREY, va="center")
        return figure
    named = history.named_losses[:8] if len(history.named_losses) > 1 else ()
    figure = new_figure(6.4, 4.9 if named else 3.9)
    # Places by hand: finding them by drawing all texts twice takes as long as the drawing.
    figure.set_layout_engine("none")
    places = {"left": 0.1, "right": 0.865, "top": 0.93, "bottom": 0.11, "hspace": 0.16}
    ratios = [4, *([2] if named else []), 1, 1]
    loss, *some, lr, norm = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios, gridspec_kw=places)
    first, last = window or (1, max(1, len(history), *(branch.steps for branch in past)))
    for branch in past:
        parted = common_steps(branch.record, history)
        left = Curve(branch.record.columns["loss"]).buckets(max(first, parted), last, 400)
        loss.plot(left.step, _known(left.mean), color=GREY, alpha=0.5, linewidth=1)
    train = Curve(history.columns["loss"]).buckets(first, last, 800)
    loss.fill_between(train.step, _known(train.low), _known(train.high), color=BLUE, alpha=0.25, linewidth=0)
    ends = [_line(loss, train.step, train.mean, "train", BLUE)]
    steps, values = EvaluationSeries(history).within(first, last)
    seen = (steps >= first) & (steps <= last)
    marker = {"marker": "o", "markersize": 3} if seen.sum() <= 60 else {}
    ends.append(_line(loss, steps, values, "valid", ORANGE, **marker))
    if len(drawn := _values(loss)):
        own = np.concatenate([train.mean, values[seen]])
        low, high = drawn.min(), _top(own[np.isfinite(own)], drawn.max())
        if low == high or 0 <= low < 0.6 * high:
            loss.set_ylim(min(0.0, 1.25 * low), max(1.06 * high, 0.0) or 1.0)
        elif high < drawn.max():
            loss.set_ylim(top=high)
    for step, _ in changes or []:
        if first - 1 <= step <= last:
            loss.plot([step], [1.0], marker="v", markersize=5, color=ORANGE, clip_on=False,
                      transform=loss.get_xaxis_transform())  # fmt: skip
    parts = {name: Curve(history.columns[name]).buckets(first, last, 800) for name in ("lr", "grad_norm")}
    # A rate holds for whole steps: between two of them it jumps.
    rates = _line(lr, parts["lr"].step, parts["lr"].mean, "", INK, format_rate, drawstyle="steps-pre")
    norms = [_line(norm, parts["grad_norm"].step, parts["grad_norm"].mean, "", INK, color=GREY)]
    if clip is not None and len(parts["grad_norm"].step):
        ends_at = np.array([first, last])
        norms.append(_line(norm, ends_at, np.full(2, clip), "clip", GREEN, linestyle="--"))
    lines = []
    for number, name in enumerate(named):
        one = Curve(history.columns[f"loss_{name}"]).buckets(first, last, 400)
        style = {"linestyle": "--"} if number > 3 else {}
        lines.append(_line(some[0], one.step, one.mean, name, (BLUE, ORANGE, GREEN, INK)[number % 4], **style))
    titles = [(loss, "loss", 1.05), *((axes, "parts", 0.9) for axes in some), (lr, "LR", 0.5), (norm, "‖grad‖", 0.5)]
    for axes, name, height in titles:
        beside = {"ha": "right", "va": "center", "transform": axes.transAxes}
        axes.text(-0.012, height, name, color=GREY, fontsize=8, **beside)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(LINE)
        axes.tick_params(colors=GREY, labelsize=8, length=0)
    for axes in (*some, lr, norm):
        axes.spines["bottom"].set_visible(False)
        drawn = _values(axes)
        if len(drawn) and drawn.min() > 0:
            air = max(1.12, (2.2 * drawn.min() / drawn.max()) ** 0.5)
            axes.set_yscale("log")
            axes.set_ylim(drawn.min() / air, drawn.max() * air)
        axes.set_yticks([], minor=False)
        axes.set_yticks([], minor=True)
    loss.grid(axis="y", color=LINE, linewidth=0.6)
    loss.set_axisbelow(True)
    norm.set_xlabel("step", color=GREY, fontsize=8)
    norm.locator_params(axis="x", integer=True)
    loss.set_xlim(first - 1, max(last, first + 1))
    _name(loss, ends, 0.07)
    for axes in some:
        _name(axes, lines, 0.15)
    _name(lr, [rates], 0.3)
    _name(norm, norms, 0.3)
    return figure


def apart(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Move heights `gap` apart, within bounds, as little as possible.

    Least squares with an order kept: the pool-adjacent-violators algorithm.
    """
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    blocks: list[list[float]] = []
    for rank, index in enumerate(order):
        blocks.append([wanted[index] - rank * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    room = max(low, high - (len(wanted) - 1) * gap)
    placed, rank = list(wanted), 0
    for block in blocks:
        at = min(room, max(low, float(np.mean(block))))
        for _ in block:
            placed[order[rank]] = at + rank * gap
            rank += 1
    return placed


def _top(own: np.ndarray, high: float) -> float:
    """Return the top of the losses: a left line flattens none."""
    return min(high, own.max() + 1.5 * max(np.ptp(own), abs(own.max()))) if len(own) else high


def _known(values: np.ndarray) -> np.ndarray:
    """Return the values with NaN, a gap, in place of the infinite."""
    return np.where(np.isfinite(values), values, np.nan)


def _line(
    axes: Any,
    x: np.ndarray,
    y: np.ndarray,
    name: str,
    ink: str,
    form: Callable[[float], str] = format_number,
    **style: Any,
) -> tuple[float, str, str] | None:
    """Draw a curve; return its end as (height, words, colour), or None."""
    y = _known(y)
    kept = np.flatnonzero(np.isfinite(y))
    if not len(kept):
        return None
    if len(kept) == 1:
        style = {"marker": "o", "markersize": 3, **style}
    axes.plot(x, y, **{"color": ink, "linewidth": 1.3, **style})
    last = float(y[kept[-1]])
    return last, f"{name} {form(last)}".strip(), ink


def _values(axes: Any) -> np.ndarray:
    """Return all finite heights that are drawn."""
    values = np.concatenate([np.empty(0), *(np.asarray(line.get_ydata(), float) for line in axes.lines)])
    return values[np.isfinite(values)]


def _name(axes: Any, ends: list[tuple[float, str, str] | None], gap: float) -> None:
    """Write names and last values where the curves end."""
    there = [end for end in ends if end is not None]
    place = axes.transData + axes.transAxes.inverted()
    heights = [float(place.transform((0.0, height))[1]) for height, *_ in there]
    for (_, words, ink), height in zip(there, apart(heights, gap, 0.02, 0.98)):
        beside = {"transform": axes.transAxes, "va": "center", "clip_on": False}
        axes.text(1.01, height, words, fontsize=8, color=ink, **beside)
