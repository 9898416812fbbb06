"""Findings as a Figure: what is wrong, why, and its evidence."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..base.canvas import BLUE, GREEN, GREY, INK, LINE, ORANGE, new_figure
from ..doctor.examination import Check
from ..doctor.finding import Chart, Finding
from ..doctor.remedies import describe_remedies
from ..doctor.report import MARKS, describe_checks, describe_time

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: A line's height, and the page's width [inch]; so many characters fit beside a chart, and in the whole width.
_LINE, _WIDTH, _BESIDE, _ACROSS = 0.19, 9.0, 105, 150
#: The colour of a severity.
_INK = {"high": "#b3261e", "medium": ORANGE, "low": GREY}


def doctor_figure(findings: Sequence[Finding], checks: Sequence[Check], most: int = 12) -> Figure:
    """Draw findings, each with its evidence, and the checks in a line.

    Of those that are over only the titles are drawn; `most` findings in all.
    """
    blocks = [_lines(one) for one in findings[:most]]
    left_out = len(findings) - len(blocks)
    foot = [f"… and {left_out} more."] if left_out else []
    foot += textwrap.wrap(describe_checks(checks), _ACROSS)
    if not findings:
        foot.insert(0, "Doctor: nothing found.")
    tall = 0.6 + sum(len(lines) + 0.8 for lines in blocks) + len(foot)
    figure = new_figure(_WIDTH, tall * _LINE)
    figure.set_layout_engine("none")
    at = 0.8
    for one, lines in zip(findings, blocks):
        for number, (text, size, ink, weight) in enumerate(lines):
            y = 1 - (at + number) / tall
            figure.text(0.02, y, text, fontsize=size, color=ink, fontweight=weight, va="center")
        if one.until is None and one.chart is not None:
            low, high = 1 - (at + len(lines) - 0.6) / tall, 1 - (at - 0.3) / tall
            _draw_chart(figure.add_axes((0.74, low + 0.9 / tall, 0.24, max(0.01, high - low - 0.9 / tall))), one.chart)
            figure.text(0.74, low, one.chart.label, fontsize=7, color=GREY, va="bottom")
        at += len(lines) + 0.8
    for number, text in enumerate(foot):
        figure.text(0.02, 1 - (at + number) / tall, text, fontsize=8, color=GREY, va="center")
    return figure


def _lines(finding: Finding) -> list[tuple[str, float, str, str]]:
    """Return a finding's lines: text, size, colour, weight."""
    title = f"{MARKS[finding.severity]} {finding.severity}: {finding.title}"
    if finding.until is not None:
        return [(f"{title} ({describe_time(finding)})", 8, GREY, "normal")]
    wrapped = textwrap.wrap(title, _BESIDE - 20)
    lines = [(text, 9.5, _INK[finding.severity] if not i else INK, "bold") for i, text in enumerate(wrapped)]
    told = [f"{finding.sentence} {describe_time(finding).capitalize()}.", finding.why]
    lines += [(text, 8, INK, "normal") for one in told for text in textwrap.wrap(one, _BESIDE)]
    if what := describe_remedies(finding):
        lines += [(text, 8, GREY, "normal") for text in textwrap.wrap(f"May help: {what}", _BESIDE)]
    # A chart takes some lines.
    return lines + [("", 8, INK, "normal")] * max(0, 4 - len(lines) if finding.chart is not None else 0)


def _draw_chart(axes: Axes, chart: Chart) -> None:
    values = np.where(np.isfinite(chart.values), chart.values, np.nan)
    if chart.kind == "bars":
        axes.bar(np.arange(len(values)), values, color=BLUE, alpha=0.5)
    else:
        axes.plot(values, color=BLUE, linewidth=1.2, marker="o" if np.isfinite(values).sum() == 1 else None)
        known = values[np.isfinite(values)]
        if len(known) and known.min() > 0 and known.max() > 50 * known.min():
            axes.set_yscale("log")
    if chart.limit is not None and np.isfinite(chart.limit):
        axes.axhline(chart.limit, color=GREEN, linewidth=0.8, linestyle="--")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.set_xticks([])
    axes.tick_params(colors=GREY, labelsize=6, length=0)
    axes.locator_params(axis="y", nbins=3) if axes.get_yscale() == "linear" else None
