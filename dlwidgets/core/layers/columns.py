"""The columns of a layer table as data and as text: a frame, CSV and Markdown, in the order that is shown."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from .kinds import by
from .summary_text import remark, type_words

if TYPE_CHECKING:
    import pandas as pd

    from .probes import LayerStats
    from .summary import Row, Summary

#: Each column of the table, and what it is called where it is data; "spark" is a picture and no data.
COLUMNS: dict[str, tuple[str, ...]] = {
    "layer": ("layer",), "type": ("type",), "input": ("input",), "output": ("output",),
    "params": ("parameters",), "bytes": ("parameter_bytes",), "dtype": ("dtype",), "macs": ("macs",),
    "activations": ("activation_bytes",), "calls": ("calls",), "weight": ("weight_norm",),
    "grad": ("grad_norm",), "ratio": ("update_ratio",), "dead": ("dead_units", "units"), "spark": (),
    "trains": ("trainable",),
}  # fmt: skip
#: Those about training, which only a session has.
LIVE = ("weight", "grad", "ratio", "dead", "spark")
#: What is shown where nobody has chosen.
USUAL = (
    "layer", "type", "output", "params", "macs", "activations", "weight", "grad", "ratio", "dead", "spark",
    "trains",
)  # fmt: skip
#: What a table can be sorted by; "-params" is the largest first.
SORTS = ("tree", *(name for name in COLUMNS if name != "spark"))
_TEXT = ("layer", "type", "input", "output", "dtype", "trainable")
_MEANT = {
    "path": "layer", "name": "layer", "kind": "type", "class": "type", "input_shape": "input",
    "shape": "output", "output_shape": "output", "parameters": "params", "parameter_bytes": "bytes",
    "memory": "activations", "flops": "macs", "activation_bytes": "activations", "weight_norm": "weight",
    "grad_norm": "grad", "gradient": "grad", "update_ratio": "ratio", "dead_units": "dead",
    "sparks": "spark", "trainable": "trains", "frozen": "trains",
}  # fmt: skip


def read_columns(given: Any, live: bool = True) -> list[str] | None:
    """Return the names of columns, "layer" first; None, for those that fit, stays None.

    Raises
    ------
    TypeError, ValueError : one sentence on what is no column, with what was perhaps meant.
    """
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"columns is a list of names, as ['type', 'params']: {given!r} given.")
    found = ["layer"]
    for name in given:
        if name not in COLUMNS:
            raise ValueError(f"A layer table has no column {name!r}.{_hint(name)}")
        if name in LIVE and not live:
            raise ValueError(f"The column {name!r} is about training: LayerTable(session, ...) has it.")
        if name not in found:
            found.append(name)
    return found


def usual(live: bool) -> list[str]:
    """Return the columns that are shown where nobody has chosen, with a session or without."""
    return [name for name in USUAL if live or name not in LIVE]


def _hint(name: Any) -> str:
    key = str(name).lower()
    near = [_MEANT[key]] if key in _MEANT else difflib.get_close_matches(key, [*COLUMNS, *_MEANT], n=1)
    if near:
        return f" Did you mean {_MEANT.get(near[0], near[0])!r}?"
    return f" There are {', '.join(COLUMNS)}."


def output_of_a_sample(row: Row, batch: int | None) -> str:
    """Return an output's shape, without a batch axis where it has one: "16×64×64"; "" without output."""
    return _of_a_sample(row.output_shape, batch)


def input_of_a_sample(row: Row, batch: int | None) -> str:
    """Return the shape of what a layer is given, without a batch axis; "" where it is given no tensor."""
    return _of_a_sample(row.input_shape, batch)


def _of_a_sample(shape: tuple[int, ...] | None, batch: int | None) -> str:
    if shape is None:
        return ""
    return by(shape[1:] if batch is not None and len(shape) > 1 and shape[0] == batch else shape)


def told(row: Row) -> str:
    """Return class, telling arguments and remark of a layer in one: "Conv2d 3×3 (called 2 times)"."""
    said = remark(row)
    return " ".join(filter(None, [type_words(row) if row.path else "", f"({said})" if said else ""]))


class Table:
    """The rows of a summary with what was measured of them, to be put in order and written.

    Parameters
    ----------
    table : the summary.
    stats : what was measured last, or None.
    trains : by path, "yes", "no" or "partly", where that is newer than the summary's.
    """

    def __init__(
        self, table: Summary, stats: LayerStats | None = None, trains: Mapping[str, str] | None = None
    ) -> None:
        self._table, self._trains = table, trains or {}
        self._places, self._dead = {}, {}
        self._stats = stats
        if stats is not None:
            self._places = {path: place for place, path in enumerate(stats.paths)}
            if stats.dead is not None:
                numbers = zip(stats.dead.dead.tolist(), stats.dead.units.tolist())
                self._dead = dict(zip(stats.dead.paths, numbers))

    def rows(self, sort: str = "tree") -> list[Row]:
        """Return the rows as shown: the tree, or, sorted, those with own weights or without layers inside."""
        key, rows = sort.removeprefix("-"), self._table.rows
        if key == "tree":
            return list(rows)
        holds = [rows[i + 1].depth > row.depth if i + 1 < len(rows) else False for i, row in enumerate(rows)]
        flat = [row for row, others in zip(rows, holds) if not others or row.own_parameters]
        value = self._order(key)
        known = [row for row in flat if value(row) is not None]
        # A stable sort keeps equal ones in the tree's order, whichever way.
        known.sort(key=value, reverse=sort.startswith("-"))
        return known + [row for row in flat if value(row) is None]

    def frame(self, columns: Sequence[str], sort: str = "tree") -> pd.DataFrame:
        """Return the rows as a data frame; what is not known is NaN or None."""
        import pandas as pd

        names, cells = self._cells(columns, sort)
        return pd.DataFrame(cells, columns=names)

    def csv(self, columns: Sequence[str], sort: str = "tree") -> str:
        """Return the rows as comma-separated values (RFC 4180, lines ended by a line feed)."""
        names, cells = self._cells(columns, sort)
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([written(cell) for cell in line] for line in cells)
        return out.getvalue()

    def markdown(self, columns: Sequence[str], sort: str = "tree") -> str:
        """Return the rows as a Markdown table, numbers to the right."""
        names, cells = self._cells(columns, sort)
        rule = ["---" if name in _TEXT else "---:" for name in names]
        lines = [names, rule, *([_escaped(written(cell)) for cell in line] for line in cells)]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    # -- inside

    def _cells(self, columns: Sequence[str], sort: str) -> tuple[list[str], list[list[Any]]]:
        names = [name for column in columns for name in COLUMNS[column]]
        return names, [[self._value(row, name) for name in names] for row in self.rows(sort)]

    def _value(self, row: Row, name: str) -> Any:
        batch = self._table.batch
        if name in ("weight_norm", "grad_norm", "update_ratio"):
            place = self._places.get(row.path)
            return None if place is None else float(getattr(self._stats, name)[place])
        if name in ("dead_units", "units"):
            known = self._dead.get(row.path)
            return None if known is None else known[name == "units"]
        words: dict[str, Callable[[], Any]] = {
            "layer": lambda: row.path or row.name,
            "type": lambda: told(row),
            "input": lambda: input_of_a_sample(row, batch),
            "output": lambda: output_of_a_sample(row, batch),
            "dtype": lambda: row.dtype or "",
            "trainable": lambda: self._trains.get(row.path, row.trainable),
        }
        return words[name]() if name in words else getattr(row, name)

    def _order(self, key: str) -> Callable[[Row], Any]:
        """Return what rows are put in order by; None is not known and comes last."""
        if key in ("layer", "type", "dtype"):
            words = {"layer": lambda row: row.path, "type": lambda row: f"{row.kind} {row.detail}"}
            return lambda row: _natural(words[key](row) if key in words else row.dtype or "")
        if key in ("input", "output"):
            # By how many numbers a sample has.
            sizes = {"": None, "scalar": None}
            return lambda row: sizes.get(
                (shape := self._value(row, key)), prod(map(int, re.findall(r"\d+", shape)))
            )
        if key == "trains":
            ranks = {"yes": 0, "partly": 1, "no": 2}
            return lambda row: ranks.get(self._value(row, "trainable"))
        if key == "dead":
            return lambda row: (
                None if (known := self._dead.get(row.path)) is None else known[0] / max(1, known[1])
            )
        name = COLUMNS[key][0]
        return lambda row: None if _missing(value := self._value(row, name)) else value


def written(value: Any) -> str:
    """Return a value as it stands in CSV: whole numbers in full, others in five digits, "" for none."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    mantissa, power = f"{value:.4e}".split("e")
    return f"{mantissa}e{int(power)}"


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _escaped(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text).replace("|", "\\|")


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key by which "2" comes before "10", and marks before digits before letters, as in browsers."""
    return [
        (1, int(part), "") if part.isdigit() else (2, 0, part) if part.isalpha() else (0, -ord(part), "")
        for part in re.findall(r"\d+|\D", text.casefold())
    ]
