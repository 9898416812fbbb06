"""The columns of a layer table, as data frame, CSV and Markdown."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Iterable, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from .kinds import shape_words
from .summary_text import remark, type_words

if TYPE_CHECKING:
    import pandas as pd

    from .probes import LayerStats
    from .summary import Row, Summary


class TableColumn(NamedTuple):
    """A column of the layer table, in page, figure and texts."""

    key: str  #: What code calls it.
    #: Its heading, and what that means.
    label: str
    title: str
    data: tuple[str, ...]  #: What its parts are called where they are data; () for a picture.
    live: bool = False  #: Whether it is about training, which only a session has.
    usual: bool = True  #: Whether it is shown where nobody has chosen.


COLUMNS = {
    column.key: column
    for column in (
        TableColumn("layer", "layer", "the layers as a tree", ("layer",)),
        TableColumn("type", "type", "class, and what tells it from others of its kind", ("type",)),
        TableColumn(
            "input", "input", "shape of what it is given, without the batch axis", ("input",), usual=False
        ),
        TableColumn("output", "output", "shape of the output, without the batch axis", ("output",)),
        TableColumn(
            "params", "params",
            "parameters of the layer and all inside it; the bar is its share of the model's", ("parameters",),
        ),
        TableColumn("bytes", "bytes", "memory of the parameters", ("parameter_bytes",), usual=False),
        TableColumn(
            "dtype", "dtype", "type of the numbers in its parameters, or in its output", ("dtype",),
            usual=False,
        ),
        TableColumn(
            "macs", "MACs",
            "multiply-accumulates of one forward pass of a batch; the bar is its share of the model's",
            ("macs",),
        ),
        TableColumn(
            "activations", "activations",
            "bytes of the outputs of one batch; the bar is its share of the model's", ("activation_bytes",),
        ),
        TableColumn("calls", "calls", "how often it runs in one forward pass", ("calls",), usual=False),
        TableColumn("weight", "‖w‖", "L2 norm of the weights", ("weight_norm",), live=True),
        TableColumn("grad", "‖grad‖", "L2 norm of the gradient", ("grad_norm",), live=True),
        TableColumn(
            "ratio", "Δw / w",
            "how far a step moves the weights, as a share of their norm; about 1e-3 is usual",
            ("update_ratio",), live=True,
        ),
        TableColumn(
            "dead", "dead", "share of the units (channels or features) that put out nothing in a whole batch",
            ("dead_units", "units"), live=True,
        ),
        TableColumn("spark", "last minutes", "Δw / w of the last minutes, on a log scale", (), live=True),
        TableColumn("trains", "trains", "✓ trains, ❄ frozen, ◐ in part", ("trainable",)),
    )
}  # fmt: skip
#: What a table can be sorted by; "-params" is the largest first.
SORTS = ("tree", *(key for key, column in COLUMNS.items() if column.data))
_TEXT = ("layer", "type", "input", "output", "dtype", "trainable")
_MEANT = {
    "path": "layer", "name": "layer", "kind": "type", "class": "type", "input_shape": "input",
    "shape": "output", "output_shape": "output", "parameters": "params", "parameter_bytes": "bytes",
    "memory": "activations", "flops": "macs", "activation_bytes": "activations", "weight_norm": "weight",
    "grad_norm": "grad", "gradient": "grad", "update_ratio": "ratio", "dead_units": "dead",
    "sparks": "spark", "trainable": "trains", "frozen": "trains",
}  # fmt: skip


def read_columns(given: Any, live: bool = True) -> list[str] | None:
    """Read names of columns, "layer" first; None, for those that fit, stays.

    Raises TypeError, ValueError: one sentence on what is no column, with what was perhaps meant.
    """
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"columns is a list of names, as ['type', 'params']: {given!r} given.")
    found = ["layer"]
    for name in given:
        if name not in COLUMNS:
            key = str(name).lower()
            near = [key] if key in _MEANT else difflib.get_close_matches(key, [*COLUMNS, *_MEANT], n=1)
            hint = f"There are {', '.join(COLUMNS)}."
            if near:
                hint = f"Did you mean {_MEANT.get(near[0], near[0])!r}?"
            raise ValueError(f"A layer table has no column {name!r}. {hint}")
        if COLUMNS[name].live and not live:
            raise ValueError(f"The column {name!r} is about training: LayerTable(session, ...) has it.")
        if name not in found:
            found.append(name)
    return found


def usual_columns(live: bool) -> list[str]:
    """Return the columns shown by default, with a session or without."""
    return [key for key, column in COLUMNS.items() if column.usual and (live or not column.live)]


def sample_shape(shape: tuple[int, ...] | None, batch: int | None) -> str:
    """Return a shape without its batch axis, "16×64×64"; "" for None."""
    if shape is None:
        return ""
    return shape_words(shape[1:] if batch is not None and len(shape) > 1 and shape[0] == batch else shape)


def type_and_remark(row: Row) -> str:
    """Return type and remark of a layer: "Conv2d 3×3 (called 2 times)"."""
    said = remark(row)
    return " ".join(filter(None, [type_words(row) if row.path else "", f"({said})" if said else ""]))


class ColumnData:
    """Sorts and writes rows of a summary with what was measured."""

    def __init__(self, table: Summary, stats: LayerStats | None = None) -> None:
        self.rows, self._batch, self._stats = table.rows, table.batch, stats
        self._places = {path: place for place, path in enumerate(stats.paths if stats is not None else ())}
        #: path -> (dead units, units).
        self._dead: dict[str, tuple[int, int]] = {}
        if stats is not None and (dead := stats.dead) is not None:
            self._dead = dict(zip(dead.paths, zip(dead.dead.tolist(), dead.units.tolist())))

    def sorted_rows(self, sort: str = "tree") -> list[Row]:
        """Return the rows in the order shown.

        Sorted, only those with weights of their own, or without layers inside.
        """
        key, rows = sort.removeprefix("-"), self.rows
        if key == "tree":
            return list(rows)
        holds = [rows[i + 1].depth > row.depth if i + 1 < len(rows) else False for i, row in enumerate(rows)]
        flat = [row for row, others in zip(rows, holds) if not others or row.own_parameters]
        value = partial(self._rank, key)
        known = [row for row in flat if value(row) is not None]
        # A stable sort keeps equal ones in the tree's order, whichever way.
        known.sort(key=value, reverse=sort.startswith("-"))
        return known + [row for row in flat if value(row) is None]

    def frame(self, columns: Sequence[str], rows: Sequence[Row]) -> pd.DataFrame:
        """Return rows as a data frame; unknown values are NaN or None."""
        import pandas as pd

        names, cells = self._cells(columns, rows)
        return pd.DataFrame(cells, columns=names)

    def csv(self, columns: Sequence[str], rows: Sequence[Row]) -> str:
        """Return rows as CSV (RFC 4180, lines ended by a line feed)."""
        names, cells = self._cells(columns, rows)
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([written(cell) for cell in line] for line in cells)
        return out.getvalue()

    def markdown(self, columns: Sequence[str], rows: Sequence[Row]) -> str:
        """Return rows as a Markdown table, numbers to the right."""
        names, cells = self._cells(columns, rows)
        rule = ["---" if name in _TEXT else "---:" for name in names]
        texts = [
            [re.sub(r"\s*\n\s*", " ", written(cell)).replace("|", "\\|") for cell in line] for line in cells
        ]
        return "".join(f"| {' | '.join(line)} |\n" for line in [names, rule, *texts])

    def _cells(self, columns: Sequence[str], rows: Sequence[Row]) -> tuple[list[str], list[list[Any]]]:
        names = [name for column in columns for name in COLUMNS[column].data]
        return names, [[self._value(row, name) for name in names] for row in rows]

    def _value(self, row: Row, name: str) -> Any:
        """Return a row's value in a column; None where it is unknown."""
        match name:
            case "layer":
                return row.path or row.name
            case "type":
                return type_and_remark(row)
            case "input":
                return sample_shape(row.input_shape, self._batch)
            case "output":
                return sample_shape(row.output_shape, self._batch)
            case "dtype":
                return row.dtype or ""
            case "weight_norm" | "grad_norm" | "update_ratio":
                place = self._places.get(row.path)
                return None if place is None else float(getattr(self._stats, name)[place])
            case "dead_units" | "units":
                known = self._dead.get(row.path)
                return None if known is None else known[name == "units"]
        return getattr(row, name)

    def _rank(self, key: str, row: Row) -> Any:
        """Return what a row is sorted by; None is unknown."""
        value = self._value(row, COLUMNS[key].data[0])
        match key:
            case "layer" | "type" | "dtype":
                return _natural({"layer": row.path, "type": f"{row.kind} {row.detail}"}.get(key, value))
            case "input" | "output":
                return prod(map(int, value.split("×"))) if value not in ("", "scalar") else None
            case "trains":
                return {"yes": 0, "partly": 1, "no": 2}.get(row.trainable)
            case "dead":
                return None if value is None else value / max(1, self._value(row, "units"))
        return value if value == value else None  # NaN, which alone differs from itself, is unknown too


def written(value: Any) -> str:
    """Write a value for CSV: integers in full, floats in five digits."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    mantissa, power = f"{value:.4e}".split("e")
    return f"{mantissa}e{int(power)}"


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key that puts "2" before "10", as browsers do."""
    return [
        (1, int(part), "") if part.isdigit() else (2, 0, part) if part.isalpha() else (0, -ord(part), "")
        for part in re.findall(r"\d+|\D", text.casefold())
    ]
