"""Rows of words as a table, in text and in HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .words import measure_text


@dataclass(frozen=True, repr=False)
class FactTable:
    """A table of words to be read.

    `str(table)` is the table as text; a notebook shows it as HTML.

    Attributes
    ----------
    rows : the cells of each row, as many in each.
    heads : the names of the columns; none: the first cell of a row says what the others are.
    title : the line above; "" for none.
    remarks : sentences below.
    """

    rows: Sequence[Sequence[str]]
    heads: Sequence[str] = ()
    title: str = ""
    remarks: Sequence[str] = ()

    def __str__(self) -> str:
        body = [row for row in (self.heads, *self.rows) if row]
        widths = [max(map(measure_text, column)) for column in zip(*body)]
        indent = "  " if self.title else ""
        drawn = [
            (indent + "  ".join(cell + " " * (width - measure_text(cell)) for cell, width in zip(row, widths))).rstrip()
            for row in body
        ]
        return "\n".join([*filter(None, [self.title]), *drawn, *self.remarks])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def cell(words: str, tag: str = "td") -> str:
            return f'<{tag} style="text-align:left;vertical-align:top">{escape(words)}</{tag}>'

        heads = "".join(cell(words, "th") for words in self.heads)
        first = "td" if self.heads else "th"
        body = "".join(f"<tr>{cell(row[0], first)}{''.join(map(cell, row[1:]))}</tr>" for row in self.rows)
        title = f"<b>{escape(self.title)}</b>" if self.title else ""
        said = "<br>".join(map(escape, self.remarks))
        return (
            f'<div style="overflow-x:auto">{title}<table style="font-variant-numeric:tabular-nums">'
            f"{f'<thead><tr>{heads}</tr></thead>' if heads else ''}<tbody>{body}</tbody></table>"
            f"{f'<small>{said}</small>' if said else ''}</div>"
        )
