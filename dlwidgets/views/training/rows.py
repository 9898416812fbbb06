"""The folded rows of the training panel, declared by the controls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...core.controls.control import Panel, PanelRow
from ...core.controls.steering import CONTROLS
from ...session import Session

#: The sections in their order: name -> label.
SECTIONS = {
    "optimizer": "Optimizer", "schedule": "Schedule", "regularisation": "Regularisation", "run": "Run",
}  # fmt: skip


def rows_of(session: Session) -> dict[str, PanelRow]:
    """Return key -> row of a session's controls, each naming its control."""
    rows = [
        row if row.control else replace(row, control=control.name)
        for control in CONTROLS
        for row in control.rows
    ]
    return {row.key: row for row in rows if session.has_trait(row.control)}


def text_of(value: Any) -> str:
    """Return what a row shows as text: 0.01, 1e-05, 64."""
    if value is None or value is False:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def fact_of(row: PanelRow, panel: Panel) -> str:
    """Return the value in force beside a row: "0.01", "on", "off"."""
    if row.control not in panel.applied:
        return ""
    value = panel.applied[row.control]
    shown = row.show(value)
    if row.kind == "flag":
        return "on" if shown else "off"
    if (said := row.fact(panel, value)) is not None:
        return said
    if isinstance(shown, int) and not isinstance(shown, bool):
        return f"{shown:,}"
    return text_of(shown) or "off"


def headline_of(section: str, panel: Panel) -> str:
    """Return what a closed section says of itself."""
    found = [
        control.headline(panel)
        for control in CONTROLS
        if any(row.section == section for row in control.rows) and panel.session.has_trait(control.name)
    ]
    return " · ".join(filter(None, found)) or "off"
