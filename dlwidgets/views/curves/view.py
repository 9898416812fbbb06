"""Curves: training and validation loss, learning rate and gradient norm, live."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from traitlets import Bool, Bytes, Float, Int, List, Unicode

from ...core.base.buckets import Curve, EvaluationSeries, common_steps
from ...core.base.words import name_kind
from ...core.controls.patterns import describe_trainable
from ...core.doctor.finding import Finding
from ...core.training.snapshots.snapshot import REASONS
from ...session import Session
from ..journey import Journey
from ..limits import Restrictions
from ..view import View, module, style, vendored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...core.base.history import History
    from ...core.training.snapshots.timeline import Branch

#: Buckets a curve is drawn with: about one for each pixel and a half of a notebook's width.
_BUCKETS = 400
#: Changes of one control closer together than this are one mark, to a person one change [steps; s, by hand].
_NEAR, _SOON = 20, 1.0
#: How many lines that were left are drawn, the newest, and with how many buckets each.
_PAST, _PALE = 4, 120
#: How many named losses are drawn.
_PARTS = 8
#: The largest step that float32 holds exactly.
_LARGEST = 2**24


class Curves(View):
    """Shows losses, learning rate and gradient norm over the steps.

    Of the training loss all steps are drawn, as a band and its mean; of the validation loss each evaluation.
    Lines that were left, by a rewind or a try, stay as pale curves of their training loss.

    Drag to zoom, double-click to see all again; while zoomed, the kernel sends that stretch in full detail.
    On the rail below stand the states that are kept and what was changed; its handle, dragged, takes the run
    back to a step, where it pauses. What came after stays as a pale line.

    Parameters
    ----------
    session : the session whose run is drawn.
    rewind : whether the rail takes the run back, or only shows.
    restrictions : those of a training panel beside it, which hold for the weights of named losses too.
    """

    _esm = vendored("uPlot.iife.min.js") + module("curves")
    _css = style("vendor", "curves")
    AHEAD, BEAT, CALM = 10, 3, ("snapshots",)
    watches = ("applied", "pulse", "evaluation", "status", "line", "snapshots", "findings", "selected_step")

    _LAYOUT = "float32, 4 x n in C order: step, least, greatest, mean of each bucket"
    train = Bytes(help=f"training loss: {_LAYOUT}").tag(sync=True)
    rate = Bytes(help=f"learning rate: {_LAYOUT}").tag(sync=True)
    norm = Bytes(help=f"gradient norm before clipping: {_LAYOUT}").tag(sync=True)
    valid = Bytes(help="validation loss: float32, 2 x n in C order: step, loss").tag(sync=True)
    past = Bytes(help="training loss of lines left: float32, 3 x n: line, step, mean").tag(sync=True)
    names = List(help="the names of those lines, by number").tag(sync=True)
    reach = Int(help="the last step of any line that is drawn").tag(sync=True)
    marks = List(help="changes: [step, words], in order").tag(sync=True)
    kept = List(help="states that are kept: [step, why], in order").tag(sync=True)
    found = List(help="what the doctor found and lasts: [step, severity and title], in order").tag(sync=True)
    chosen = Int(None, allow_none=True, help="the step that is marked; None for none").tag(sync=True)
    able = Bool(True, help="whether the rail takes the run back").tag(sync=True)
    busy = Unicode(help="what is under way, in words").tag(sync=True)
    said = Unicode(help="why the run was not taken back, one sentence").tag(sync=True)
    named_losses = List(help="named losses: [name, weight, or None where it is not in the sum]").tag(sync=True)
    part_lines = Bytes(help="float32, 3 x n: number of the loss, step, mean").tag(sync=True)
    part_valid = Bytes(help="float32, 3 x n: number of the loss, step, validation loss").tag(sync=True)
    clip = Float(None, allow_none=True, help="the norm gradients are clipped at").tag(sync=True)
    window = List(help="[first, last] step shown in detail; empty: all").tag(sync=True)
    steps = Int(help="steps taken").tag(sync=True)

    def __init__(
        self, session: Session, *, rewind: bool = True, restrictions: Restrictions | None = None
    ) -> None:
        if not isinstance(session, Session):
            raise TypeError(f"Curves wants a Session, not {name_kind(session)}: dlwidgets.Curves(session).")
        if not isinstance(rewind, bool):
            raise TypeError(f"rewind={rewind!r}: True or False is wanted.")
        self._follow(session)
        self._seen: list[int] = []
        self._marked: tuple[str, int, list[list[Any]]] = ("", 0, [])
        self._able, self._restrictions = rewind, restrictions or Restrictions()
        self._journey = Journey("curves", self.refresh)
        super().__init__(session)

    def project(self) -> dict[str, Any]:
        session = self.session
        if session is None:
            return {}
        if session.record is not self._record:
            self._follow(session)  # the run was taken back, or to another line
        first, last = self._seen or (1, None)
        curves = {name: _bytes(curve.buckets(first, last, _BUCKETS)) for name, curve in self._curves.items()}
        branches = list(session.branches)[-_PAST:]
        return {
            **curves,
            "valid": _bytes(self._evaluated.within(*self._seen)),
            "marks": self._marks(session),
            "kept": [[step, REASONS.get(why, why)] for step, why in session.snapshots],
            "found": found_at(session.findings), "chosen": session.selected_step,
            "able": self._able, "busy": self._journey.busy, "said": self._journey.said,
            "clip": _norm_limit(session), "window": list(self._seen), "steps": session.steps,
            "past": self._past(branches, first, last), "names": [branch.name for branch in branches],
            **self._parts(session, first, last),
            "reach": max([session.steps, *(branch.steps for branch in branches)]),
        }  # fmt: skip

    def wish(self, name: str, value: Any) -> None:
        """Zoom to steps ([] for all), go back, or weigh a loss."""
        if name == "window":
            self._seen = _stretch(value)
            if not self._seen and self.session is not None:
                self.session.selected_step = None
            return self.refresh()
        if name == "weight":
            return self._weigh(value)
        if name != "rewind":
            return super().wish(name, value)
        if not self._able:
            raise ValueError("This rail only shows: it was made with rewind=False.")
        if type(value) is not int:
            raise ValueError(f"The number of a step is wanted to go back to, not {value!r}.")
        if self.session is not None:
            self._journey.begin(self.session, f"Going back to step {value:,}", lambda run: run.rewind(value))

    def figure(self) -> Figure:
        """Draw the curves of the steps shown as a Figure."""
        from ...core.figures.curves import curves_figure

        session, clip, past = self.session, self.clip, []
        if session is not None:
            if session.record is not self._record:
                self._follow(session)  # no page may have asked since
            clip, past = _norm_limit(session), list(session.branches)[-_PAST:]
            self._marks(session)
        marked = [(step, words) for step, words in self._marked[2]]
        return curves_figure(self._record, marked, tuple(self._seen) or None, clip, past)

    def _note(self, change: Any) -> None:
        if change["name"] == "selected_step" and change["new"] is not None and self.session is not None:
            self._seen = around(change["new"], self.session.steps, self._seen)
        super()._note(change)

    def _marks(self, session: Session) -> list[list[Any]]:
        # A line's changes only grow, and seldom.
        line, changes = session.line, session.line_changes
        if self._marked[:2] != (line, len(changes)):
            self._marked = line, len(changes), marks(changes)
        return self._marked[2]

    def _past(self, branches: list[Branch], first: int, last: int | None) -> bytes:
        """Return each past line's loss from where it left the present one."""
        known, rows = self._left, []
        # A session's branches are new objects each time it is asked; their histories stay.
        self._left = {
            branch.record: known.get(branch.record)
            or (Curve(branch.record.columns["loss"]), common_steps(branch.record, self._record))
            for branch in branches
        }
        for number, branch in enumerate(branches):
            curve, parted = self._left[branch.record]
            found = curve.buckets(max(first, parted), last or branch.steps, _PALE)
            rows.append((np.full(len(found.step), number), found.step, found.mean))
        return _bytes(tuple(np.concatenate(row) for row in zip(*rows))) if rows else b""

    def _weigh(self, asked: Any) -> None:
        """Give a named loss another weight from the next step on."""
        session = self.session
        if session is None:
            return
        weights = dict(session.applied.get("loss_weights") or {})
        if not isinstance(asked, (list, tuple)) or len(asked) != 2 or asked[0] not in weights:
            raise ValueError(f"A named loss and its weight are wanted, not {asked!r}.")
        self._restrictions.ask(session, {"loss_weights": {**weights, asked[0]: asked[1]}}, "curves")
        self.refresh()

    def _parts(self, session: Session, first: int, last: int | None) -> dict[str, Any]:
        """Return the named losses, their weights and their curves."""
        names, record = self._record.named_losses[:_PARTS], self._record
        weights = session.applied.get("loss_weights") or {}
        lines, valid = [], []
        for number, name in enumerate(names):
            if name not in self._of_parts:
                column = f"loss_{name}"
                self._of_parts[name] = Curve(record.columns[column]), EvaluationSeries(record, f"valid_{column}")
            curve, evaluated = self._of_parts[name]
            found, (steps, losses) = curve.buckets(first, last, _PALE), evaluated.within(*self._seen)
            lines.append((np.full(len(found.step), number), found.step, found.mean))
            valid.append((np.full(len(steps), number), steps, losses))
        return {
            "named_losses": [[name, weights.get(name)] for name in names],
            **{
                trait: _bytes(tuple(np.concatenate(row) for row in zip(*rows))) if rows else b""
                for trait, rows in (("part_lines", lines), ("part_valid", valid))
            },
        }  # fmt: skip

    def _follow(self, session: Session) -> None:
        self._record = record = session.record
        columns = {"train": "loss", "rate": "lr", "norm": "grad_norm"}
        self._curves = {name: Curve(record.columns[column]) for name, column in columns.items()}
        self._evaluated = EvaluationSeries(record)
        #: Name of a loss that is a part of the whole -> its curve, and that of its evaluations.
        self._of_parts: dict[str, tuple[Curve, EvaluationSeries]] = {}
        #: History of a line that was left -> its curve, and the last step in common with this one.
        self._left: dict[History, tuple[Curve, int]] = {}


def _norm_limit(session: Session) -> float | None:
    clip = session.applied.get("clip")
    return clip[1] if clip and clip[0] == "norm" else None


def _bytes(rows: tuple[np.ndarray, ...]) -> bytes:
    # What is too large for float32 becomes infinite, and a gap in the page.
    with np.errstate(over="ignore"):
        return np.stack(rows).astype(np.float32).tobytes()


def _stretch(wanted: Any) -> list[int]:
    """Read the steps to be shown: [first, last], or [] for all."""
    if wanted is None or wanted == []:
        return []
    numbers = wanted if isinstance(wanted, (list, tuple)) else ()
    if len(numbers) != 2 or not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
        raise ValueError(f"The curves can show the steps [first, last], or all of them, [], not {wanted!r}.")
    first = min(max(1, round(min(numbers))), _LARGEST - 1)
    return [first, max(first + 1, min(round(max(numbers)), _LARGEST))]


def around(step: int, steps: int, seen: list[int]) -> list[int]:
    """Return what is to be shown, with a step well in sight."""
    wide = max(20, steps // 20)
    if steps <= 4 * wide or (seen and seen[0] < step < seen[1]):
        return seen
    return _stretch([step - wide, step + wide])


def found_at(findings: Sequence[Finding]) -> list[list[Any]]:
    """Return what lasts as [step, words], by step."""
    lasting = sorted((one for one in findings if one.until is None), key=lambda one: one.step)
    return [[one.step, f"{one.severity}: {one.title}"] for one in lasting]


def marks(changes: list[Any], most: int = 300) -> list[list[Any]]:
    """Return the ledger's last `most` applied changes as [step, words].

    What was rejected is left out. A drag, or a key held down, is one change; changes at one step are one.
    """
    moves: list[Any] = []
    for entry in changes:
        if entry.rejected:
            continue
        before = moves[-1] if moves else None
        if before is not None and (before.name, before.by) == (entry.name, entry.by):
            by_hand = entry.by != "code" and entry.time - before.time <= _SOON
            if by_hand or entry.step - before.step <= _NEAR:
                moves.pop()
        moves.append(entry)
    made: dict[int, list[str]] = {}
    for entry in moves:
        if entry.name == "trainable":
            words = describe_trainable(entry.applied) or "trains as it was made"
        else:
            # Of a rate under a schedule what was asked for: in force is another with each step.
            value = entry.asked if entry.name == "lr" else entry.applied
            words = f"{entry.name.replace('_', ' ')} → {_short(value)}"
        made.setdefault(entry.step, []).append(f"{words} ({entry.by})")
    return [[step, ", ".join(words)] for step, words in made.items()][-most:]


def _short(value: Any) -> str:
    if value is None:
        return "off"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(one)}" for name, one in list(value.items())[:3])
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Mapping):
        return _short(value[0])  # an optimizer or a schedule: its settings are in the ledger
    if isinstance(value, (tuple, list)):
        return " ".join(_short(part) for part in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)
