"""A Summary as text for a terminal, and as a plain HTML table for places without widgets."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .summary import Row, Summary

_HEADS = ("layer", "type", "output", "params", "MACs", "activations", "trains")
_TRAINS = {"yes": "yes", "no": "frozen", "partly": "partly", "": ""}


def as_text(table: Summary) -> str:
    """Return the table in columns of fixed width, with totals and, where there is one, the error."""
    lines = [_HEADS, *(_cells(row) for row in table.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEADS))]
    words = ["  ".join(
        cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))
    ).rstrip() for line in lines]  # fmt: skip
    rule = "─" * max(map(len, words))
    return "\n".join([words[0], rule, *words[1:], rule, *_ends(table)])


def as_html(table: Summary) -> str:
    """Return the table as HTML; all text is escaped."""
    def line(cells: tuple[str, ...], tag: str) -> str:
        styles = ["text-align:left;white-space:pre", "text-align:left", *["text-align:right"] * 5]
        return "<tr>" + "".join(
            f'<{tag} style="{style}">{escape(cell)}</{tag}>' for cell, style in zip(cells, styles)
        ) + "</tr>"

    body = "".join(line(_cells(row), "td") for row in table.rows)
    ends = "<br>".join(escape(end) for end in _ends(table))
    return f"<table><thead>{line(_HEADS, 'th')}</thead><tbody>{body}</tbody></table><p>{ends}</p>"


def _cells(row: Row) -> tuple[str, ...]:
    kind = f"{row.kind} {row.detail}".strip() + (f" ({row.note})" if row.note else "") + (" (tied)" if row.shared else "")
    return (
        "  " * row.depth + row.name,
        kind if row.path else "",
        "×".join(map(str, row.output_shape[1:])) if row.output_shape else "",
        count(row.parameters),
        count(row.macs) if row.macs else "",
        size(row.activation_bytes) if row.activation_bytes else "",
        _TRAINS[row.trainable],
    )


def _ends(table: Summary) -> list[str]:
    trainable = "all" if table.trainable_parameters == table.total_parameters else f"{table.trainable_parameters:,}"
    ends = [f"{table.total_parameters:,} parameters ({trainable} trainable), {size(table.parameter_bytes)}"]
    if table.total_macs:
        batch = table.rows[0].input_shape
        of = f", for a batch of {batch[0]}" if batch else ""
        ends[0] += f" · {count(table.total_macs)} MACs, {size(table.activation_bytes)} of activations{of}"
    if table.uncounted:
        ends.append("MACs not counted: " + ", ".join(f"{name} (×{times})" for name, times in table.uncounted.items()))
    if table.how and "real" in table.how:
        ends.append(table.how)
    if table.error:
        ends.append(table.error)
    return ends


def count(number: int) -> str:
    """Return a count with three digits: 432, 1.21 M."""
    value = float(number)
    if value < 1000:
        return str(number)
    for unit in ("k", "M", "G", "T", "P"):
        value /= 1000
        if value < 999.5:
            break
    return f"{value:.2f} {unit}" if value < 9.995 else f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"


def size(number: int) -> str:
    """Return bytes with three digits in powers of 1,000: 432 B, 9.10 MB."""
    text = count(number)
    return f"{text} B" if number < 1000 else f"{text}B"
