"""The curves of a run as a Figure: loss, learning rate, gradient norm over the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..curves import Curve
from ..history import History
from . import BLUE, GREY, INK, ORANGE, blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curves_figure(history: History, changes: list[tuple[int, str]] | None = None) -> Figure:
    """Return loss, learning rate and gradient norm of `history` over the steps.

    Parameters
    ----------
    changes : (step, words) of what was changed, marked on top of the loss.
    """
    figure = blank(6.4, 4.2)
    loss, rate, norm = figure.subplots(3, 1, sharex=True, height_ratios=[4, 1, 1])
    if not len(history):
        loss.text(0.5, 0.5, "No step taken yet: session.start() trains.", ha="center", va="center", color=GREY,
                  transform=loss.transAxes)
    train = Curve(history.columns["loss"]).buckets(most=800)
    loss.fill_between(train.step, train.low, train.high, color=BLUE, alpha=0.25, linewidth=0)
    loss.plot(train.step, train.mean, color=BLUE, linewidth=1.4)
    _name_end(loss, train.step, train.mean, "train", BLUE)
    valid = [(row["step"], row["valid_loss"]) for row in list(history.evaluations)]
    if valid:
        steps, values = zip(*valid)
        loss.plot(steps, values, color=ORANGE, linewidth=1.4, marker="o", markersize=2.5)
        _name_end(loss, steps, values, "valid", ORANGE)
    for step, _ in changes or []:
        loss.plot([step], [1.0], marker="v", markersize=5, color=ORANGE, transform=loss.get_xaxis_transform(), clip_on=False)
    for axes, name, column in ((rate, "LR", "lr"), (norm, "‖grad‖", "grad_norm")):
        part = Curve(history.columns[column]).buckets(most=800)
        axes.plot(part.step, part.mean, color=INK, linewidth=1.0)
        _name_end(axes, part.step, part.mean, "", INK)
        axes.set_ylabel(name, color=GREY, rotation=0, ha="right", va="center")
    loss.set_ylabel("loss", color=GREY)
    norm.set_xlabel("step", color=GREY)
    for axes in (loss, rate, norm):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=GREY, labelsize=8)
        axes.margins(x=0.01)
    return figure


def _name_end(axes, x, y, name: str, color: str) -> None:  # type: ignore[no-untyped-def]
    """Write name and last value at the end of the curve: no legend to look up."""
    if len(x):
        axes.annotate(f"{name} {float(y[-1]):.3g}".strip(), (float(x[-1]), float(y[-1])), xytext=(4, 0),
                      textcoords="offset points", va="center", fontsize=8, color=color, annotation_clip=False)
