"""LayerTable: a model as a tree of layers that folds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import traitlets
from torch import nn

from ...core.base.words import did_you_mean
from ...core.doctor.finding import Finding
from ...core.layers.columns import COLUMNS, SORTS, ColumnData, read_columns, sample_shape, usual_columns
from ...core.layers.framework import adopt, describe_no_module
from ...core.layers.probes import LayerStats
from ...core.layers.sparklines import Sparklines
from ...core.layers.summary import Summary, summary, with_trainable
from ...core.layers.summary_text import remark, remarks
from ...session import Session
from ..view import View, module, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_NO_SESSION = "Without a session nothing is frozen: LayerTable(session) freezes layers."
#: How long the table is waited for, so that it is there when the cell ends [s].
_FIRST = 3.0
#: Most bytes of the live numbers of one picture.
_BUDGET = 64_000
#: Row.trainable in one letter a row.
_LETTERS = {"yes": "y", "no": "n", "partly": "p", "": "-"}


class LayerTable(View):
    """Shows a model's layers: shapes, parameters, MACs, bytes, and their training.

    With a session the table follows `layer_stats` (weight and gradient norm, update-to-weight ratio and dead
    units of each layer) and `selected_layer`, which it also writes: a click on a row selects that layer for
    the whole session; a click on what says whether it trains freezes or unfreezes it with all inside, a click with
    Shift freezes all up to it (`freeze_to`). Its menu "Freeze" and the keys F and Shift+F do the same.

    Parameters
    ----------
    source : a Session, a torch.nn.Module or a Summary.
    input, input_shape, dtype : with a module: what it is given, as in `dlwidgets.summary`.
    columns : names of the columns to be shown, in order, of `layer, type, input, output, params, bytes,
        dtype, macs, activations, calls, weight, grad, ratio, dead, spark, trains`; None: the usual ones
        that fit.
    sort : what the rows are sorted by, a column's name, with "-" in front from the largest; "tree": not.

    Raises
    ------
    TypeError, ValueError : one sentence on what does not fit.
    """

    _esm = module("layers")
    _css = style("layers", "finding.css")
    watches = ("layer_stats", "selected_layer", "status", "applied", "rejected", "findings")

    rows = traitlets.List(
        help="[name, depth, type, detail, output shape, remark, tied, input shape, dtype, calls] of each "
        "layer, outer before inner"
    ).tag(sync=True)
    columns = traitlets.List(
        [[c.key, c.label, c.title, c.live, c.usual] for c in COLUMNS.values()],
        help="[key, label, title, about training, shown where nobody has chosen] of each column there is",
    ).tag(sync=True)
    sizes = traitlets.Bytes(
        help="float64, N x 5, C order: parameters, MACs, activation bytes with all inside; own parameters; "
        "parameter bytes"
    ).tag(sync=True)
    trains = traitlets.Unicode(help="a letter a row: y yes, n no, p partly, - has no parameters").tag(
        sync=True
    )
    reasons = traitlets.List(help="by what layers are frozen, in words, each once").tag(sync=True)
    why = traitlets.Bytes(help="uint8, N: the reason of each row, counted from 1; 0 where it trains").tag(sync=True)
    about = traitlets.Dict(help="name, totals, error and remarks of the summary; live").tag(sync=True)
    measured = traitlets.Bytes(help="int32, L: the rows that `stats` and `sparks` are about").tag(sync=True)
    stats = traitlets.Bytes(
        help="float32, L x 4, C order: weight norm, gradient norm, update ratio, finite (0 or 1)"
    ).tag(sync=True)
    sparks = traitlets.Bytes(
        help="uint8, L x K, C order, oldest first: update ratio 10 ** (-9 + 0.04 (q - 1)); 0 is a gap"
    ).tag(sync=True)
    dead = traitlets.Bytes(
        help="int32, D x 4, C order: row, dead units, all units, whether it is the activation itself (0 or 1)"
    ).tag(sync=True)
    moment = traitlets.Dict(
        help="status, step, K as points, since: the step of the oldest point; every: seconds and between: "
        "steps from look to look, share of the time it takes; asked: whether freezing waits; refused: why not"
    ).tag(sync=True)
    selected_layer = traitlets.Unicode(None, allow_none=True, help="path of the layer in view").tag(sync=True)
    found = traitlets.List(help="[path, severity, title] of layers of which something is found").tag(sync=True)
    look = traitlets.Dict(help="sort, the folds that a person has turned, columns or None").tag(sync=True)

    def __init__(
        self,
        source: Session | nn.Module | Summary,
        *,
        input: Any = None,
        input_shape: Sequence[Any] | None = None,
        dtype: torch.dtype | None = None,
        columns: Sequence[str] | None = None,
        sort: str = "tree",
    ) -> None:
        kind, known = type(source).__name__, (Session, nn.Module, Summary)
        if isinstance(source, type) and issubclass(source, (nn.Module, Session)):
            name = source.__name__
            raise TypeError(f"LayerTable got the class {name}: make one first, as LayerTable({name}(...)).")
        source = adopt(source)
        if not isinstance(source, known):
            given = describe_no_module(source) if isinstance(source, (str, Path)) else f"{kind} given"
            raise TypeError(f"LayerTable shows a Session, a torch.nn.Module or a Summary: {given}.")
        if not isinstance(source, nn.Module) and any(one is not None for one in (input, input_shape, dtype)):
            raise ValueError(
                f"A {kind} has its own input: input, input_shape and dtype belong to LayerTable(model, ...)."
            )
        self._selected: str | None = None
        self._look = _read_look({"sort": sort, "turned": [], "columns": columns}, isinstance(source, Session))
        self._sparks = Sparklines()
        self._future: Future[Summary] | None = None
        self._summary: Summary | None = None
        self._packed: dict[str, Any] = {}
        self._order: dict[str, int] = {}
        #: For which status, measured layers and freezing it was read what trains, and the table with that.
        self._trains: tuple[Any, ...] = ()
        #: By what rows are frozen: the traits of these names.
        self._whys: dict[str, Any] = {"reasons": [], "why": b""}
        #: What was frozen when the summary was made.
        self._made_under: Any = None
        #: The head that the model had then.
        self._made_with: Any = None
        if not isinstance(source, Session):
            if isinstance(source, nn.Module):
                source = summary(source, input, input_shape=input_shape, dtype=dtype)
            self._summary = source
            super().__init__()
            return
        session = source
        self._made_under = session.applied.get("trainable")
        self._made_with = session.applied.get("head")
        self._future = session.find_layers()
        wait([self._future], timeout=_FIRST)
        if session.layer_stats is not None:
            self._sparks.add(session.layer_stats, time.monotonic())
        super().__init__(session)
        if not self._future.done():
            self._future.add_done_callback(lambda _: self.refresh())

    # -- the picture

    @property
    def summary(self) -> Summary | None:
        """The Summary that is shown, or None while it is being made."""
        if self.session is not None and self.session.applied.get("head") != self._made_with:
            self._made_with, self._summary = self.session.applied.get("head"), None
            self._packed, self._trains = {}, ()
            self._future = self.session.find_layers()
            self._future.add_done_callback(lambda _: self.refresh())
        if self._summary is None and self._future is not None and self._future.done():
            self._summary = self._future.result()
        return self._summary

    def project(self) -> dict[str, Any]:
        """Return the table, made once, and the live numbers of now."""
        table, stats = self.summary, getattr(self.session, "layer_stats", None)
        picture: dict[str, Any] = {
            "selected_layer": self._selected if self.session is None else self.session.selected_layer,
            "look": dict(self._look), "found": found_in(getattr(self.session, "findings", ())),
            "moment": self._moment(None, 0),
        }
        if table is None:
            return picture
        static = self._static(table)
        status = getattr(self.session, "status", "")
        table = self._with_trainable(table, status, [] if stats is None else stats.paths)
        return {
            **picture,
            **static,
            "trains": "".join(_LETTERS[row.trainable] for row in table.rows),
            **self._whys,
            "about": {**static["about"], "trainable": table.trainable_parameters},
            **self._live(stats),
        }

    def wish(self, name: str, value: Any) -> None:
        """Select a layer, freeze some, keep the look, or send a copy."""
        if name == "selected_layer":
            if value is not None and value not in self._order:
                raise ValueError(f"The table has no layer {value!r}.")
            self._selected = value
            if self.session is not None:
                self.session.selected_layer = value
        elif name == "trainable":
            paths, trains = _read_trainable(value, self._order)
            if self.session is None:
                raise ValueError(_NO_SESSION)
            with self.session.by("layers"):
                (self.session.unfreeze if trains else self.session.freeze)(*paths)
        elif name == "freeze_to":
            if value not in self._order:
                raise ValueError(f"The table has no layer {value!r}.")
            if self.session is None:
                raise ValueError(_NO_SESSION)
            with self.session.by("layers"):
                self.session.freeze_to(value)
        elif name == "look":
            self._look = _read_look(value, self.session is not None)
        elif name == "copy":
            return self._answer_copy(value)
        else:
            super().wish(name, value)
        self.refresh()

    def figure(self) -> Figure:
        """Draw the tree as a Figure, as deep as it has room."""
        from ...core.figures.layers import layer_figure

        return layer_figure(self.summary, getattr(self.session, "layer_stats", None))

    def to_frame(self) -> pd.DataFrame:
        """Return all layers as a data frame, in columns and order shown."""
        return self._written(ColumnData.frame)

    def to_csv(self) -> str:
        """Return the table as comma-separated values, as its Copy button copies them."""
        return self._written(ColumnData.csv)

    def to_markdown(self) -> str:
        """Return what the table shows as a Markdown table."""
        return self._written(ColumnData.markdown)

    # -- inside

    def _note(self, change: Any) -> None:
        # The history is kept whether or not a page is open.
        if change["name"] == "layer_stats" and change["new"] is not None:
            self._sparks.add(change["new"], time.monotonic())
        super()._note(change)

    def _data(self) -> ColumnData:
        if self.summary is None and self._future is not None:
            wait([self._future])
        table = self.summary
        if table is None:
            raise RuntimeError("The table has no layers: its session was closed before they were looked at.")
        self._static(table)
        return ColumnData(self._with_trainable(table, "", []), getattr(self.session, "layer_stats", None))

    def _written(self, write: Callable[..., Any]) -> Any:
        data, columns = self._data(), self._look["columns"] or usual_columns(self.session is not None)
        return write(data, columns, data.sorted_rows(self._look["sort"]))

    def _answer_copy(self, value: Any) -> None:
        """Send the page rows as text: {number, kind, columns, rows by place}."""
        asked = value if isinstance(value, dict) else {}
        write = {"CSV": ColumnData.csv, "Markdown": ColumnData.markdown}.get(asked.get("kind", ""))
        columns, places = read_columns(asked.get("columns"), self.session is not None), asked.get("rows")
        if write is None or columns is None or not isinstance(places, list):
            raise ValueError(
                f"CSV or Markdown, columns and rows are wanted to be copied: {str(value)[:80]} given."
            )
        data = self._data()
        text = write(data, columns, [data.rows[place] for place in places])
        self.send({"copied": asked.get("number"), "text": text})

    def _moment(self, stats: LayerStats | None, points: int) -> dict[str, Any]:
        session = self.session
        about = {name: getattr(stats, name, None) for name in ("step", "every", "between", "share")}
        about["since"] = None if stats is None else self._sparks.since
        about |= {"status": "" if session is None else session.status, "points": points}
        refused = "" if session is None else session.rejected.get("trainable", "")
        asked = session is not None and session.trainable != session.applied.get("trainable") and not refused
        why_not = "" if session is None else session.why_not_measured
        return {**about, "asked": asked, "refused": refused, "why_not": why_not}

    def _static(self, table: Summary) -> dict[str, Any]:
        if not self._packed:
            rows = [
                [
                    r.name, r.depth, r.kind, r.detail, sample_shape(r.output_shape, table.batch), remark(r),
                    r.same_as is not None or r.tied_to is not None,
                    sample_shape(r.input_shape, table.batch), r.dtype or "", r.calls,
                ]
                for r in table.rows
            ]  # fmt: skip
            sizes = np.array([
                [r.parameters, r.macs, r.activation_bytes, r.own_parameters, r.parameter_bytes]
                for r in table.rows
            ], np.float64)  # fmt: skip
            about = {
                "name": table.name, "parameters": table.total_parameters, "macs": table.total_macs,
                "activations": table.activation_bytes, "bytes": table.parameter_bytes, "batch": table.batch,
                "least": bool(table.uncounted) or not table.complete, "error": table.error or "",
                "remarks": remarks(table), "trainable": table.trainable_parameters,
                "live": self.session is not None,
            }  # fmt: skip
            self._order = {row.path: i for i, row in enumerate(table.rows)}
            self._packed = {"rows": rows, "sizes": sizes.tobytes(), "about": about}
        return self._packed

    def _with_trainable(self, table: Summary, status: str, paths: list[str]) -> Summary:
        """Return the table with what trains, read anew after a change."""
        session = self.session
        wish = None if session is None else session.applied.get("trainable")
        if self._trains[:3] != (status, paths, wish):
            # Of a table that was just made nothing is out of date.
            if session is not None and (self._trains or self._made_under != wish):
                table = with_trainable(table, session.module)
            self._trains = (status, paths, wish, table)
            some = session is not None and any(row.trainable in ("no", "partly") for row in table.rows)
            self._whys = _number_reasons(table, session.why_frozen() if some else {})
        return self._trains[3]

    def _live(self, stats: LayerStats | None) -> dict[str, Any]:
        if stats is None:
            return dict.fromkeys(("measured", "stats", "sparks", "dead"), b"")
        known = [i for i, path in enumerate(stats.paths) if path in self._order]
        paths = [stats.paths[i] for i in known]
        columns = (stats.weight_norm, stats.grad_norm, stats.update_ratio, stats.finite)
        numbers = np.stack([np.asarray(column, np.float32)[known] for column in columns], axis=1)
        dead = np.empty((0, 4), np.int32)
        if stats.dead is not None:
            of = [self._order.get(path, -1) for path in stats.dead.paths]
            dead = np.array([of, stats.dead.dead, stats.dead.units, stats.dead.own], np.int32).T
            dead = np.ascontiguousarray(dead[dead[:, 0] >= 0])
        most = max(0, (_BUDGET - dead.nbytes) // max(1, len(known)) - numbers.itemsize * len(columns))
        sparks, points = self._sparks.packed(paths, most)
        return {
            "measured": np.array([self._order[path] for path in paths], np.int32).tobytes(),
            "stats": numbers.tobytes(),
            "sparks": sparks,
            "dead": dead.tobytes(),
            "moment": self._moment(stats, points),
        }


# ---------------------------------------------------------------------- words


def found_in(findings: Sequence[Finding]) -> list[list[str]]:
    """Return [path, severity, title] of what lasts in layers, worst first."""
    return [[one.layer, one.severity, one.title] for one in findings if one.layer is not None and one.until is None]


def _number_reasons(table: Summary, reasons: dict[str, str]) -> dict[str, Any]:
    """Return the traits that say by what each row is frozen."""
    known = {words: number for number, words in enumerate(dict.fromkeys(reasons.values()), 1)}
    numbers = (known.get(reasons.get(row.path, ""), 0) for row in table.rows)
    return {"reasons": [*known], "why": bytes(one if one < 256 else 0 for one in numbers) if known else b""}


def _read_look(value: Any, live: bool) -> dict[str, Any]:
    given = value if isinstance(value, dict) else {}
    sort, turned = given.get("sort"), given.get("turned")
    if not isinstance(sort, str) or sort.removeprefix("-") not in SORTS:
        known = ", ".join(SORTS)
        hint = did_you_mean(str(sort).lower(), SORTS)
        raise ValueError(f"A layer table cannot be sorted by {sort!r}: give one of {known}.{hint}")
    if not isinstance(turned, list) or not all(isinstance(key, str) for key in turned):
        raise ValueError(f"Folds are named by a list of text: {turned!r} given.")
    return {"sort": sort, "turned": turned, "columns": read_columns(given.get("columns"), live)}


def _read_trainable(value: Any, known: dict[str, int]) -> tuple[list[str], bool]:
    """Read [path or paths, true or false]: layers, and whether they train."""
    paths, trains = value if isinstance(value, list) and len(value) == 2 else (None, None)
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not paths or not isinstance(trains, bool):
        raise ValueError(f"[path, true or false] is wanted to freeze or unfreeze a layer: {value!r} given.")
    for path in paths:
        if path not in known:
            raise ValueError(f"The table has no layer {path!r}.")
    return paths, trains
