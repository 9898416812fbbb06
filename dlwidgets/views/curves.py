"""Curves: training and validation loss, learning rate and gradient norm, live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from ..core.curves import Buckets, Curve
from ..session import Session
from .view import View, module, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Buckets a curve is drawn with: about one for each pixel and a half of a notebook's width.
_BUCKETS = 400
#: Changes closer together than this many steps are one mark: a drag of a slider is one change to a person.
_NEAR = 20


class Curves(View):
    """Loss (train: all steps as a band with their mean; valid: each evaluation), learning rate, gradient norm.

    Drag to zoom, double-click to see all again; while zoomed, the kernel sends that stretch in full detail.

    Parameters
    ----------
    session : the session whose run is drawn.
    """

    _esm = module("vendor/uPlot.iife.min.js", "curves.js")
    _css = style("vendor/uPlot.min.css", "curves.css")
    watches = ("pulse", "evaluation", "status")

    _LAYOUT = "float32, 4 x n in C order: step, least, greatest, mean of each bucket"
    train = traitlets.Bytes(help=f"training loss: {_LAYOUT}").tag(sync=True)
    rate = traitlets.Bytes(help=f"learning rate: {_LAYOUT}").tag(sync=True)
    norm = traitlets.Bytes(help=f"gradient norm before clipping: {_LAYOUT}").tag(sync=True)
    valid = traitlets.Bytes(help="validation loss: float32, 2 x n in C order: step, loss").tag(sync=True)
    marks = traitlets.List(help="changes: [step, words], in order").tag(sync=True)
    clip = traitlets.Float(None, allow_none=True, help="the norm gradients are clipped at, or None").tag(sync=True)
    window = traitlets.List(help="[first, last] step shown in detail; empty: all").tag(sync=True)
    steps = traitlets.Int(0, help="steps taken").tag(sync=True)

    def __init__(self, session: Session) -> None:
        if not isinstance(session, Session):
            raise TypeError(f"Curves wants a Session, not {type(session).__name__}: dlwidgets.Curves(session).")
        self._record = session.record
        self._curves = {name: Curve(session.record.columns[name]) for name in ("loss", "lr", "grad_norm")}
        self._seen: list[int] = []
        super().__init__(session)

    def project(self) -> dict[str, Any]:
        session = self.session
        if session is None:
            return {}
        first, last = self._seen or (1, None)
        picture = {name: curve.buckets(first, last, _BUCKETS) for name, curve in self._curves.items()}
        evaluations = list(session.record.evaluations)
        valid = np.array([[row["step"] for row in evaluations], [row["valid_loss"] for row in evaluations]], np.float32)
        clip = session.applied.get("clip")
        return {
            "train": _bytes(picture["loss"]),
            "rate": _bytes(picture["lr"]),
            "norm": _bytes(picture["grad_norm"]),
            "valid": valid.tobytes(),
            "marks": marks(session.changes),
            "clip": clip[1] if clip and clip[0] == "norm" else None,
            "window": list(self._seen),
            "steps": len(session.record),
        }

    def wish(self, name: str, value: Any) -> None:
        if name != "window":
            return super().wish(name, value)
        if value:
            first, last = (int(round(float(number))) for number in value)
            self._seen = [max(1, first), max(first + 1, last)]
        else:
            self._seen = []
        self.refresh()

    def figure(self) -> Figure:
        from ..core.figures.curves import curves_figure

        changes = [] if self.session is None else [(step, words) for step, words in marks(self.session.changes)]
        return curves_figure(self._record, changes)


def _bytes(buckets: Buckets) -> bytes:
    return np.stack(buckets).astype(np.float32).tobytes()


def marks(changes: list[Any], most: int = 100) -> list[list[Any]]:
    """Return the ledger's applied changes as [step, words], a drag as one, the last `most` of them."""
    found: list[list[Any]] = []
    names: list[str] = []
    for entry in list(changes):
        if entry.rejected:
            continue
        if found and names[-1] == entry.name and entry.step - found[-1][0] <= _NEAR:
            found[-1][0] = entry.step
        else:
            found.append([entry.step, ""])
            names.append(entry.name)
        found[-1][1] = f"{entry.name.replace('_', ' ')} → {_short(entry.applied)} ({entry.by})"
    return found[-most:]


def _short(value: Any) -> str:
    if value is None:
        return "off"
    if isinstance(value, (tuple, list)):
        return " ".join(_short(part) for part in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
