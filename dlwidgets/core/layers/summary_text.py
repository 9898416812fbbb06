"""A Summary as text and as HTML, with repeated blocks folded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from .kinds import shape_words

if TYPE_CHECKING:
    from .summary import Row, Summary

_HEADS = ("layer", "type", "output", "params", "MACs", "activations", "trains", "")
_RIGHT = (2, 3, 4, 5)
#: Known of a model that was followed alone; left out where no layer has them.
_FOLLOWED = (2, 4, 5)
#: Most lines of the HTML: beyond them pages grow slow, and notebooks large.
_MOST = 300
#: A name longer than this would push the numbers off the screen.
_WIDEST = 44


def count(number: float, unit: str = "") -> str:
    """Return a count in three digits: "432", "1.21 M", "38.4 kB"."""
    size, prefix = float(number), 0
    while abs(size) >= 999.5 and prefix < 5:
        size, prefix = size / 1000, prefix + 1
    if not prefix:
        return f"{number:g} {unit}".rstrip()
    digits = 2 if abs(size) < 9.995 else 1 if abs(size) < 99.95 else 0
    return f"{size:.{digits}f} {'kMGTP'[prefix - 1]}{unit}"


def output_words(row: Row) -> str:
    """Return a layer's output shapes: "1×64×16×16"; "" for none."""
    shapes = [shape_words(shape) for _, shape in row.outputs]
    return ", ".join(shapes[:2]) + (f" and {len(shapes) - 2} more" if len(shapes) > 2 else "")


def type_words(row: Row) -> str:
    """Return class and arguments, "Conv2d 3×3"; of the model, arguments alone."""
    return f"{row.kind} {row.detail}".rstrip() if row.path else row.detail


def remark(row: Row) -> str:
    """Return notes, calls and ties of a layer in words."""
    words = [row.note] if row.note else []
    if row.calls > 1:
        words.append(f"called {row.calls} times")
    if row.tied_to is not None:
        words.append(f"tied to {row.tied_to or 'the model'}")
    return "; ".join(words)


def ran(row: Row) -> bool:
    """Say whether a layer, or something in it, was called."""
    return bool(row.calls or row.macs or row.activation_bytes)


@dataclass(frozen=True)
class TableLine:
    """A line of the printed table; with `like`, several equal rows."""

    row: Row
    like: tuple[Row, ...] = ()


def fold_repeats(rows: Sequence[Row]) -> list[TableLine]:
    """Fold siblings that are equal throughout into one line."""
    ends, signs = _subtrees(rows)
    found: list[TableLine] = []
    place = 0
    while place < len(rows):
        found.append(TableLine(rows[place]))
        place += 1
        if place == len(rows):
            break
        depth, start = rows[place].depth, place - 1
        while start > 0 and rows[start].depth > depth:
            start -= 1
        # Behind the end of a block its equals may follow.
        same, after = [], place
        if rows[start].depth == depth and ends[start] == place:
            while after < len(rows) and rows[after].depth == depth and signs[after] == signs[start]:
                same.append(rows[after])
                after = ends[after]
        if after - place > 1:
            found.append(TableLine(rows[start], tuple(same)))
            place = after
    return found


def first_lines(every: Sequence[TableLine], most: int) -> Sequence[TableLine]:
    """Return at most `most` lines, down to some depth."""
    for depth in range(max(line.row.depth for line in every), 0, -1):
        shown = [line for line in every if line.row.depth <= depth]
        if len(shown) <= most:
            return shown
    return [line for line in every if line.row.depth <= 1][:most]


def _subtrees(rows: Sequence[Row]) -> tuple[list[int], list[int]]:
    """Return each row's end, and a number that equal blocks share."""
    ends, signs = [0] * len(rows), [0] * len(rows)
    numbers: dict[tuple[object, ...], int] = {}
    for place in reversed(range(len(rows))):
        row, after, inner = rows[place], place + 1, []
        while after < len(rows) and rows[after].depth > row.depth:
            inner.append((rows[after].name, signs[after]))
            after = ends[after]
        sign = (
            row.kind, row.detail, row.outputs, row.parameters, row.trainable, row.macs, row.calls, row.note,
            row.tied_parameters, tuple(inner),
        )  # fmt: skip
        ends[place], signs[place] = after, numbers.setdefault(sign, len(numbers))
    return ends, signs


def _cells(line: TableLine) -> tuple[str, ...]:
    row = line.row
    indent = "  " * row.depth
    numbers = line.like or (row,)
    sums = [count(sum(one.parameters for one in numbers)), "", ""]
    if ran(row):
        sums[1] = count(sum(one.macs for one in numbers))
        sums[2] = count(sum(one.activation_bytes for one in numbers), "B")
    if line.like:
        first, last = line.like[0].name, line.like[-1].name
        name = first if first == last else f"{first} … {last}"
        times = f"×{len(line.like)}, the same" if len(line.like) > 1 else "the same"
        return indent + name, times, "", *sums, row.trainable, ""
    name = indent + row.name
    name = name if len(name) <= _WIDEST else name[: _WIDEST - 1] + "…"
    return name, type_words(row), output_words(row), *sums, row.trainable, remark(row)


def _columns(body: Sequence[Sequence[str]]) -> list[int]:
    """Return which columns are shown."""
    followed = any(cells[i] for cells in body for i in _FOLLOWED)
    return [i for i in range(len(_HEADS)) if followed or i not in _FOLLOWED]


def totals(table: Summary) -> str:
    """Return the last line: parameters, MACs, memory."""
    words = [f"{table.total_parameters:,} parameters ({count(table.parameter_bytes, 'B')})"]
    if table.trainable_parameters != table.total_parameters:
        words.append(f"{table.trainable_parameters:,} of them trainable")
    if table.masked_parameters:
        words.append(f"{table.masked_parameters:,} of them masked")
    if any(map(ran, table.rows)) or table.inputs:
        more = "at least " if table.uncounted or not table.complete else ""
        words.append(f"{more}{count(table.total_macs)} MACs")
        words.append(f"{count(table.activation_bytes, 'B')} of activations")
    return ", ".join(words)


def remarks(table: Summary) -> list[str]:
    """Return what is to be known about the numbers, in sentences."""
    found = list(table.notes)
    if table.uncounted:
        names = ", ".join(
            f"{name.removeprefix('aten.').strip('_')} (in {', '.join(path or 'the model' for path in at[:3])})"
            for name, at in table.uncounted.items()
        )
        found.append(f"Not in the MACs, as there is no formula for them: {names}.")
    return found


def head(table: Summary) -> str:
    """Return the first line: the model and what it was followed with."""
    given = ", ".join(shape_words(shape) for shape in table.inputs)
    return table.rows[0].kind + (f" on {given}" if given else "")


def text(table: Summary) -> str:
    """Return the table as text."""
    body = [_HEADS, *map(_cells, fold_repeats(table.rows))]
    widths = {i: max(len(cells[i]) for cells in body) for i in _columns(body[1:])}

    drawn = [
        "  ".join(f"{cells[i]:{'>' if i in _RIGHT else '<'}{width}}" for i, width in widths.items()).rstrip()
        for cells in body
    ]
    rule = "─" * max(map(len, drawn))
    said = [f"! {table.error}"] if table.error else []
    return "\n".join(
        [head(table), *said, rule, drawn[0], rule, *drawn[1:], rule, totals(table), *remarks(table)]
    )


def html(table: Summary) -> str:
    """Return the table as HTML; a long one down to some depth."""
    every = fold_repeats(table.rows)
    shown = first_lines(every, _MOST)
    body = list(map(_cells, shown))
    columns = _columns(body)

    def cell(i: int, words: str, tag: str = "td") -> str:
        align, stripped, pad = "right" if i in _RIGHT else "left", words.lstrip(), ""
        if i == 0 and tag == "td":
            pad = f";padding-left:{0.5 + 0.5 * (len(words) - len(stripped)):g}em"
        return f'<{tag} style="text-align:{align};white-space:nowrap{pad}">{escape(stripped)}</{tag}>'

    rows = "".join("<tr>" + "".join(cell(i, cells[i]) for i in columns) + "</tr>" for cells in body)
    heads = "".join(cell(i, _HEADS[i], "th") for i in columns)
    error, said = "", remarks(table)
    if table.error:
        error = f'<p style="border-left:3px solid #a85507;padding:4px 10px">{escape(table.error)}</p>'
    if len(shown) < len(every):
        left = len(every) - len(shown)
        said.insert(0, f"{left:,} more lines are left out: a LayerTable folds and searches them all.")
    after = "".join(f"<br>{escape(words)}" for words in said)
    return (
        f'<div style="overflow-x:auto"><b>{escape(head(table))}</b>{error}'
        f'<table style="font-variant-numeric:tabular-nums"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        f"<small>{escape(totals(table))}{after}</small></div>"
    )
