"""FineTunePanel: what trains, at which rate, from when on; and proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from traitlets import Dict, List, Unicode

from ...core.base.words import name_kind
from ...core.controls.patterns import FreezableParts
from ...core.controls.unfreeze_at import GRADUAL
from ...core.layers.blocks import Block, list_blocks, trained_numbers
from ...core.layers.split import Split
from ...core.training.starts import USUAL_EPOCHS
from ...session import Session
from ..journey import Journey
from ..limits import Restrictions
from ..view import View, module, style
from .packing import letters_of, mode_of, pack_begun, pack_blocks, pack_proof, pack_proofs, pack_starts

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

#: What folds away.
FOLDS = ("rates", "timetable", "proofs", "starts")
#: So many rows of a table are shown; a decay from layer to layer may have hundreds.
_ROWS = 20
#: The factor on the rate of a backbone that was trained before.
GENTLE = 0.1


class FineTunePanel(View):
    """Shows what of a model trains, and steers that while it trains.

    A bar over the depth of the model has a column for each block: what trains, what is frozen, how many parameters.
    A click freezes or unfreezes a block; the slider below freezes all up to a place; buttons train the head alone, all,
    or all with the backbone at a tenth of the rate. Below stand, folded, the rates of groups, the timetable of
    unfreezing, the proofs that what is frozen stays as it was, and head only, all and from scratch side by side.

    Parameters
    ----------
    session : the session that is steered.
    limits : control -> (least, greatest) that the panel allows, as `TrainingPanel` has them.
    locked : names of controls that only show: "trainable", "lr_scale", "unfreeze_at", "rewind".
    """

    _esm = module("finetune")
    _css = style("finetune")
    BEAT = 10
    watches = (
        "pulse", "status", "applied", "rejected", "trainable", "lr_scale", "unfreeze_at", "trials", "start_trials",
        "line", "branches",
    )  # fmt: skip

    blocks = List(help="[label, whole name, kind, parameters, whether of the head] of each, from the input on").tag(
        sync=True
    )
    states = Unicode(help="a letter a block: y trains, n is frozen, p is partly").tag(sync=True)
    about = Dict(
        help="parameters, trained; splits: whether there is a head, and because: why; mode: head, all, gentle or "
        "none; rates: that of each block, None where it has several"
    ).tag(sync=True)
    rates = Dict(
        help="rows (name, paths, factor, rate, trains), more: left out, base: the rate, others: to be added, range"
    ).tag(sync=True)
    timetable = Dict(help="rows (name, paths, number, unit, done), more: left out, others: to be added").tag(sync=True)
    proof = Dict(help="last: holds, words, digest, drifts, or empty; count: of all; past, newest first").tag(sync=True)
    starts = Dict(help="words, measure, rows of starts; seconds: about what an epoch of all three takes").tag(sync=True)
    moment = Dict(
        help="busy: what is under way; comparing: whether starts are; locked; said: section -> why not; waiting; line"
    ).tag(sync=True)
    opened = List(help="the folds that are open").tag(sync=True)

    def __init__(
        self,
        session: Session,
        *,
        limits: Mapping[str, Any] | None = None,
        locked: Iterable[str] = (),
        restrictions: Restrictions | None = None,
    ) -> None:
        if not isinstance(session, Session):
            given = name_kind(session)
            raise TypeError(f"FineTunePanel wants a Session, not {given}: dlwidgets.FineTunePanel(session).")
        #: The ranges and locks that hold here.
        self.restrictions = restrictions or Restrictions(limits, locked)
        self.restrictions.followers.append(self.refresh)
        self._journey = Journey("finetune", self._on_journey)
        #: Section -> why what was asked for there was refused.
        self._said: dict[str, str] = {}
        self._open: list[str] = []
        #: The parameters of the model when its blocks were found, these, and the split.
        self._found: tuple[tuple[int, ...], list[Block], Split] | None = None
        #: Pattern -> the parameters that it means; walking over a large model takes milliseconds.
        self._meant: dict[str, list[nn.Parameter]] = {}
        #: What trained where the run is, or was left.
        self._seen: dict[str, Any] = {}
        #: The trials of starts that were packed last, and what they became.
        self._tried: tuple[Any, dict[str, Any]] = (None, {})
        super().__init__(session)

    # -- the picture

    def project(self) -> dict[str, Any]:
        session = self.session
        if session is None:
            return {}
        blocks, split = self._blocks(session)
        proof = session.proof
        # While starts are tried, the model is as one of them; all else is told as where the run was left.
        if session.status != "trying" or not self._seen:
            states = letters_of(blocks)
            self._seen = {"states": states, "about": self._about(session, blocks, states, split)}
        return {
            "blocks": pack_blocks(blocks), **self._seen,
            "rates": self._rates(session, blocks, split), "timetable": self._timetable(session, blocks, split),
            "proof": {
                "last": {} if proof is None else pack_proof(proof),
                "past": pack_proofs(session.record.proofs) if "proofs" in self._open else [],
                "count": len(session.record.proofs),
            },
            "starts": self._starts(session), "moment": self._moment(session), "opened": list(self._open),
        }  # fmt: skip

    def _blocks(self, session: Session) -> tuple[list[Block], Split]:
        """Return blocks and split, found anew for other parameters."""
        known = tuple(map(id, session.module.parameters()))
        if self._found is None or self._found[0] != known:
            split = session.split
            self._found, self._meant = (known, list_blocks(session.module, split.head), split), {}
        return self._found[1:]

    def _about(self, session: Session, blocks: list[Block], states: str, split: Split) -> dict[str, Any]:
        return {
            "rates": self._block_rates(session, blocks), "parameters": sum(one.parameters for one in blocks),
            "trained": sum(trained_numbers(one.tensors) for one in blocks), "because": split.because,
            "mode": mode_of(states, blocks, session.lr_scale, _gentle(split)), "splits": bool(split),
        }  # fmt: skip

    def _block_rates(self, session: Session, blocks: list[Block]) -> list[float | None]:
        """Return the rate of each block; None where it has several."""
        rates = {
            id(tensor): group.get("lr") for group in session.optimizer.param_groups for tensor in group["params"]
        }
        found = [{rates.get(id(tensor)) for tensor in one.tensors} for one in blocks]
        return [float(one) if len(several) == 1 and (one := several.pop()) is not None else None for several in found]

    def _flags(self, session: Session, patterns: Iterable[str]) -> list[bool]:
        """Return whether each parameter that patterns mean trains."""
        if missing := [one for one in patterns if one not in self._meant]:
            parts = FreezableParts(session.module)
            for one in missing:
                self._meant[one] = [parts.tensors[at] for at in parts.match(one) if at < len(parts.tensors)]
        return [tensor.requires_grad for one in patterns for tensor in self._meant[one]]

    def _rates(self, session: Session, blocks: list[Block], split: Split) -> dict[str, Any]:
        base, scale = session.applied["lr"], dict(session.lr_scale or {})
        found = _together(scale, split)
        rows = [
            {"name": name, "paths": paths, "factor": scale[paths[0]], "rate": base * scale[paths[0]],
             "trains": any(self._flags(session, paths))}
            for name, paths in found[:_ROWS]
        ]  # fmt: skip
        return {
            "rows": rows, "more": len(found[_ROWS:]), "base": base, "others": _choices(blocks, split, scale),
            "range": list(self.restrictions.ranges.get("lr_scale", (1e-3, 10.0))),
        }  # fmt: skip

    def _timetable(self, session: Session, blocks: list[Block], split: Split) -> dict[str, Any]:
        table = dict(session.unfreeze_at or {})
        rows, found = [], _together(table, split)
        for name, paths in found[:_ROWS]:
            number, unit = _when(table[paths[0]])
            done = all(self._flags(session, paths))
            rows.append({"name": name, "paths": paths, "number": number, "unit": unit, "done": done})
        return {"rows": rows, "more": len(found[_ROWS:]), "others": _choices(blocks, split, table)}

    def _starts(self, session: Session) -> dict[str, Any]:
        """Return starts under way, or what came of the last."""
        cost = session.estimate_starts()
        under_way = session.trials if session.status == "trying" and self._comparing(session) else ()
        tried = session.start_trials
        if under_way:
            done = pack_begun(under_way)
            return {"words": "", "measure": "", "rows": done, "seconds": cost, "usual": USUAL_EPOCHS}
        key = tried, len(session.branches)
        if self._tried[0] != key:
            self._tried = key, {} if tried is None else pack_starts(tried, session.branches)
        return {**self._tried[1], "seconds": cost, "usual": USUAL_EPOCHS}

    def _comparing(self, session: Session) -> bool:
        """Say whether the trials under way are starts."""
        return bool(session.trials) and all("trainable" in one.settings for one in session.trials)

    def _moment(self, session: Session) -> dict[str, Any]:
        trying = session.status == "trying"
        names = ("trainable", "lr_scale", "unfreeze_at")
        said = {_SECTIONS[name]: session.rejected[name] for name in names if name in session.rejected}
        return {
            "busy": self._journey.busy or ("Settings are being tried" if trying else ""),
            "comparing": trying and self._comparing(session),
            "locked": [name for name in (*names, "rewind") if name in self.restrictions.locked],
            "said": {**said, **{section: why for section, why in self._said.items() if why}},
            "waiting": [_SECTIONS[name] for name in names if session.waits(name)],
            "line": session.line,
        }  # fmt: skip

    def figure(self) -> Figure:
        """Draw the bar, the rates, the timetable, the proof and the starts."""
        from ...core.figures.finetune import finetune_figure

        session = self.session
        if session is None:
            return finetune_figure((), None, None)
        blocks, _ = self._blocks(session)
        return finetune_figure(
            blocks, session.proof, session.start_trials, session.branches, dict(session.lr_scale or {}),
            dict(session.unfreeze_at or {}),
        )  # fmt: skip

    # -- what a person asks for

    def wish(self, name: str, value: Any) -> None:
        """Freeze, set rates and times, compare, or fold."""
        session = self.session
        if session is None:
            return
        if name == "opened":
            self._open = [one for one in map(str, value) if one in FOLDS]
        elif name in _WISHES:
            section, do = _WISHES[name]
            self._said.pop(section, None)
            try:
                do(self, session, value)
            except (ValueError, TypeError, RuntimeError) as error:
                self._said[section] = str(error)
        else:
            return super().wish(name, value)
        self.refresh()

    def _allow(self, name: str, value: Any = None) -> None:
        if why := self.restrictions.why_not(name, value):
            raise ValueError(why)

    def _steer(self, session: Session, wishes: Mapping[str, Any]) -> None:
        """Wish for what is not so already, unless one is refused."""
        read = {name: session.read_wish(name, value) for name, value in wishes.items()}
        for name, value in read.items():
            self._allow(name, value)
        changed = {name: value for name, value in read.items() if getattr(session, name) != value}
        self.restrictions.ask(session, changed, "finetune")

    def _set_block(self, session: Session, value: Any) -> None:
        number, trains = value
        self._allow("trainable")
        with session.by("finetune"):
            paths = self._blocks(session)[0][int(number)].paths
            (session.unfreeze if trains else session.freeze)(*paths)

    def _freeze_up_to(self, session: Session, value: Any) -> None:
        blocks = self._blocks(session)[0][: int(value)]
        self._steer(session, {"trainable": {"*": True, **{path: False for one in blocks for path in one.paths}}})

    def _set_mode(self, session: Session, value: Any) -> None:
        split = self._blocks(session)[1]
        if value != "all" and not split:
            raise ValueError(split.because)
        if value == "head":
            return self._steer(session, {"unfreeze_at": None, "trainable": list(split.head)})
        scale = _gentle(split) if value == "gentle" else None
        self._steer(session, {"unfreeze_at": None, "trainable": {"*": True}, "lr_scale": scale})

    def _set_factor(self, session: Session, value: Any) -> None:
        self._steer(session, {"lr_scale": _with_row(session.lr_scale, *value)})

    def _set_time(self, session: Session, value: Any) -> None:
        self._steer(session, {"unfreeze_at": _with_row(session.unfreeze_at, *value)})

    def _unfreeze_gradually(self, session: Session, _value: Any) -> None:
        self._steer(session, {"unfreeze_at": (GRADUAL, "1 epoch")})

    def _compare(self, session: Session, value: Any) -> None:
        self._allow("rewind")
        self._allow("trainable")
        epochs = int(value) if str(value).strip().isdigit() else value
        words = "Training from each start"
        self._journey.begin(session, words, lambda run: run.compare_starts(epochs=epochs))

    def _end(self, session: Session, _value: Any) -> None:
        session.pause(wait=False)

    def _take(self, session: Session, value: Any) -> None:
        self._allow("rewind")
        if (tried := session.start_trials) is not None:
            self._journey.begin(session, f"Going to the end of {value!r}", lambda _: tried.take(value))

    def _on_journey(self) -> None:
        if self._journey.said:
            self._said["starts"] = self._journey.said
        self.refresh()

    def close(self) -> None:
        """Stop following the session and remove the view from every page."""
        if self.session is not None and self.refresh in self.restrictions.followers:
            self.restrictions.followers.remove(self.refresh)
        super().close()


#: Beside what a wish of these controls is answered.
_SECTIONS = {"trainable": "bar", "lr_scale": "rates", "unfreeze_at": "timetable"}
#: What a page may ask for: name -> where a refusal stands, and what is done.
_WISHES: dict[str, tuple[str, Callable[[FineTunePanel, Session, Any], None]]] = {
    "block": ("bar", FineTunePanel._set_block), "upto": ("bar", FineTunePanel._freeze_up_to),
    "mode": ("bar", FineTunePanel._set_mode), "factor": ("rates", FineTunePanel._set_factor),
    "time": ("timetable", FineTunePanel._set_time), "gradually": ("timetable", FineTunePanel._unfreeze_gradually),
    "compare": ("starts", FineTunePanel._compare), "end": ("starts", FineTunePanel._end),
    "take": ("starts", FineTunePanel._take),
}  # fmt: skip


def _gentle(split: Split) -> dict[str, float]:
    """Return the factors with which a backbone is changed but little."""
    return dict.fromkeys(split.backbone, GENTLE)


def _together(table: Mapping[str, Any], split: Split) -> list[tuple[str, list[str]]]:
    """Return a table's rows; a backbone set as one is one row."""
    one = len(split.backbone) > 1 and len({table.get(path) for path in split.backbone}) == 1
    whole = list(split.backbone) if one and split.backbone[0] in table else []
    rows = [("backbone", whole)] if whole else []
    return rows + [(path, [path]) for path in table if path not in whole]


def _with_row(table: Mapping[str, Any] | None, paths: list[str], value: Any) -> dict[str, Any] | None:
    """Return a table with another value at some paths, or without."""
    row = {} if value is None else dict.fromkeys(paths, value)
    # What is there keeps its place: the last pattern that means a parameter counts.
    kept = {name: row.pop(name, one) for name, one in (table or {}).items() if name not in paths or value is not None}
    return {**kept, **row} or None


def _choices(blocks: Iterable[Block], split: Split, table: Mapping[str, Any]) -> list[list[Any]]:
    """Return [name, paths] of what a table has no row of."""
    whole = [["backbone", list(split.backbone)]] if len(split.backbone) > 1 else []
    every = whole + [[one.title, list(one.paths)] for one in blocks]
    return [one for one in every if not any(path in table for path in one[1])]


def _when(value: int | str) -> tuple[int, str]:
    """Return a time of the timetable as a number and its unit."""
    return (value, "step") if isinstance(value, int) else (int(value.split()[0].replace(",", "")), "epoch")
