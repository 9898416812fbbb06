"""The folded sections of the training panel: controls, presets, history, last step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from traitlets import Bool, Bytes, Dict, List

from ...core.controls.control import Panel, PanelRow
from ...core.controls.steering import CONTROLS
from ...core.training.microscope import Microscope, Step
from ...core.training.snapshots.snapshot import REASONS
from ...session import Session
from ..journey import Journey
from ..limits import OTHERS, Restrictions
from ..view import module, style
from .presets import Preset, Standings, finite, in_progress, preset_words, settings_of, wishes_of
from .status import PanelPart

#: The sections of rows in their order, and those beside them: name -> label.
SECTIONS = {
    "optimizer": "Optimizer", "schedule": "Schedule", "regularisation": "Regularisation", "run": "Run",
}  # fmt: skip
_MORE = {
    "rate": "Find a rate", "presets": "Presets", "past": "Go back", "lines": "Side by side", "step": "Last step",
    "notes": "What the session chose",
}  # fmt: skip
#: What the suggestions of a search are called.
_SUGGESTED = {"minimum_tenth": "a tenth of the minimum"}


class Sections(PanelPart):
    """Folded sections of controls, each row as its control declares it.

    Which sections are open is kept here, so that a page that is loaded again shows them as they were.
    """

    _esm = module("training/sections.js")
    _css = style("training/sections.css")
    AHEAD, BEAT, CALM = 8, 10, ("snapshots",)
    watches = (
        "pulse", "applied", "rejected", "status", "epochs", "evaluate_every", "evaluate_samples", "notes",
        "snapshots", "branches", "line", "rate_search",
    )  # fmt: skip
    opened = List(help='the open sections, and "more" where a line unfolds them all').tag(sync=True)
    form = List(help="sections: name, label, rows (see PanelRow)").tag(sync=True)
    rows = Dict(help="key -> value, choices, fact, kind, why, there, off, locked").tag(sync=True)
    sums = Dict(help="section -> what it says while it is closed").tag(sync=True)
    rates = Dict(help="scheduled, multiplier, applied, coming (step, rate), note").tag(sync=True)
    presets = List(help="name, what it sets in words").tag(sync=True)
    past = Dict(help="snapshots (step, why), branches (name, steps), busy, locked (names)").tag(sync=True)
    lines = Dict(help="choices (control, label, values), steps, last, rows: see `Standings`").tag(sync=True)
    search = Dict(help="rates, losses, smoothed, suggestions (name, rate), note of the last search for a rate").tag(
        sync=True
    )
    taken = Dict(help="step, numbers, layers, losses, why_not, shown, shape of thumbs").tag(sync=True)
    thumbs = Bytes(help="uint8, samples x height x width x 3: the shown samples").tag(sync=True)
    said = Dict(help="section -> why a button of it did not do what it says").tag(sync=True)
    notes = List(help="what the session chose by itself, in sentences").tag(sync=True)
    running = Bool(help="whether steps are being taken").tag(sync=True)

    #: Told what comes of going back, in a sentence; "" where all went well.
    report: Callable[[str], None] = staticmethod(lambda sentence: None)

    def __init__(self, session: Session, restrictions: Restrictions, presets: Mapping[str, Preset]) -> None:
        self._restrictions, self._presets = restrictions, dict(presets)
        self._rows = rows_of(session)
        #: Wishes as they were last set; for those of which a session gives another thing back when read.
        self._asked: dict[str, Any] = {}
        #: Refused at once: key of a row -> (what was typed, why).
        self._refused: dict[str, tuple[Any, str]] = {}
        self._open: list[str] = []
        self._messages: dict[str, str] = {}
        self._journey, self._standings = Journey("panel", self._on_journey), Standings()
        self._working_section = "past"
        self._microscope: Microscope | None = None
        self._examined: Step | None = None
        self._coming_rates: tuple[Any, list[list[float]], str] = (None, [], "")
        super().__init__(session, part="sections")
        self._controls = sorted({field.control for field in self._rows.values()})
        session.observe(self._on_wish, names=self._controls)
        session.observe(self._on_pulse, names=["pulse"])

    # -- what is shown

    def project(self) -> dict[str, Any]:
        session = self.session
        if session is None:
            return {}
        state = self._state(session)
        form: dict[str, list[dict[str, Any]]] = {name: [] for name in SECTIONS | _MORE}
        for key, row in self._rows.items():
            told = {name: getattr(row, name) for name in ("label", "kind", "unit", "hint", "empty")}
            form[row.section].append({"key": key, **told})
        left = len(session.branches)
        shows_step = "step" in self._open and session.status != "running"
        seen = self._examined if shows_step else None
        seen = seen if seen is not None and seen.step == session.steps else None
        return {
            "opened": list(self._open), "notes": list(session.notes), "said": dict(self._messages),
            "running": session.status == "running",
            "form": [
                {"name": name, "label": label, "rows": form[name]}
                for name, label in (SECTIONS | _MORE).items() if form[name] or name in _MORE
            ],
            "rows": {key: self._row(field, state) for key, field in self._rows.items()},
            "sums": {name: headline_of(name, state) for name in SECTIONS}
            | {"lines": f"{left} {'line' if left == 1 else 'lines'} left" if left else ""},
            "rates": self._rates(session) if "schedule" in self._open else {},
            "presets": [[name, preset_words(preset, session)] for name, preset in self._presets.items()],
            "past": {
                "snapshots": [[step, REASONS.get(why, why)] for step, why in reversed(session.snapshots)],
                "branches": [[branch.name, branch.steps] for branch in session.branches],
                "busy": in_progress(session) or self._journey.busy,
                "locked": [name for name in OTHERS if name in self._restrictions.locked],
            },
            "lines": self._standings.project(session) if "lines" in self._open else {},
            "search": _last_search(session) if "rate" in self._open else {},
            "taken": _last_step(session, seen) if shows_step else {},
            "thumbs": seen.images.tobytes() if seen is not None and seen.images is not None else b"",
        }  # fmt: skip

    def in_force(self) -> list[tuple[str, str]]:
        """Return (label, value in force in words) of each row."""
        session = self.session
        if session is None:
            return []
        state = self._state(session)
        rows = [(field, self._row(field, state)) for field in self._rows.values()]
        # "Kind" alone says nothing outside its section.
        return [
            (SECTIONS[field.section] if field.label == "Kind" else field.label, row["fact"])
            for field, row in rows if row["there"] and row["fact"] and not row["off"]
        ]  # fmt: skip

    def _state(self, session: Session) -> Panel:
        names = {field.control for field in self._rows.values()}
        asked = {name: getattr(session, name) for name in names if name != "optimizer"}
        return Panel(session, asked | {"optimizer": self._asked.get("optimizer")}, session.applied)

    def _row(self, field: PanelRow, state: Panel) -> dict[str, Any]:
        session, name = state.session, field.control
        typed, refused = self._refused.get(field.key, (None, ""))
        value = field.show(state.asked.get("schedule") if name == "schedule" else state.shown(name))
        kind = "waiting" if session.waits(name) else "in-force"
        # What was refused or rejected is said once, beside the first row of its control.
        why = refused or (session.rejected.get(name, "") if not field.part else "")
        shown = bool(value) if field.kind == "flag" else text_of(value)
        return {
            "value": str(typed) if refused else shown, "choices": list(field.choices(state)),
            "fact": fact_of(field, state), "kind": "rejected" if why else kind, "why": why,
            "there": field.there(state), "off": session.why_not(name) or field.why_not(state),
            "locked": name in self._restrictions.locked,
        }  # fmt: skip

    def _rates(self, session: Session) -> dict[str, Any]:
        """Return the asked, scheduled and applied rate, and some coming ones."""
        applied = session.applied
        if "scheduled_lr" not in applied:
            return {}
        schedule, multiplier = repr(applied.get("schedule")), applied["lr_multiplier"]
        what = (schedule, multiplier, session.epochs, session.epoch, session.status)
        if self._coming_rates[0] != what:
            try:
                coming = session.coming_rates(5)
                points = [[int(step), float(rate)] for step, rate in zip(coming.steps, coming.rates)]
                self._coming_rates = what, points, coming.note
            except Exception as error:  # noqa: BLE001 - a scheduler of a person's own may raise anything
                self._coming_rates = what, [], f"The rates to come cannot be told: {error}"
        return {
            "asked": session.lr, "scheduled": applied["scheduled_lr"], "multiplier": multiplier,
            "applied": applied["lr"], "coming": self._coming_rates[1], "note": self._coming_rates[2],
        }  # fmt: skip

    def _note(self, change: Any) -> None:
        if change["name"] == "applied":
            # Under a schedule the rate moves with each pulse, and nothing else.
            before, now = change["old"], change["new"]
            moved = {name for name in {*before, *now} if before.get(name) != now.get(name)}
            if moved and moved <= {"lr", "scheduled_lr", "lr_groups"} and now.get("schedule") is not None:
                return
        super()._note(change)

    def _on_wish(self, change: Any) -> None:
        """A wish was written, here or in code."""
        name = change["name"]
        self._asked[name] = change["new"]
        for key in [key for key in self._refused if self._rows[key].control == name]:
            del self._refused[key]
        self.refresh()

    def step(self) -> None:
        """Take one step; while its section is open, look at it closely."""
        session = self.session
        if session is None or session.status == "trying":
            return
        if "step" in self._open and session.status != "running":
            self._microscope = session.microscope()
            session.at_step(self._microscope.before)
        session.step(wait=False)

    def _on_pulse(self, _change: Any) -> None:
        """Collect the step that is examined; on the training thread."""
        if self._microscope is not None and (seen := self._microscope.after()) is not None:
            self._examined, self._microscope = seen, None
            self.refresh()

    # -- what a person asks for

    def wish(self, name: str, value: Any) -> None:
        """Handle a message of the page: a value, section or button."""
        session = self.session
        if session is None:
            return
        if name in self._rows:
            field = self._rows[name]
            try:
                self._restrictions.ask(session, {field.control: field.wish(self._state(session), value)})
            except (ValueError, TypeError) as error:
                self._refused[name] = value, str(error)
            else:
                self._refused.pop(name, None)
        elif name == "opened":
            self._open = [one for one in map(str, value) if one == "more" or one in SECTIONS | _MORE]
        elif name == "preset":
            self._messages["presets"] = self._preset(session, str(value))
        elif name == "rewind":
            self.go_back("rewind", f"Going back to step {int(value):,}", lambda run: run.rewind(int(value)))
        elif name == "switch":
            self.go_back("rewind", f"Going to {value}", lambda run: run.switch(str(value)))
        elif name == "find_rate":
            self._run_in_background("rate", "Searching a rate", lambda run: run.find_lr())
        elif name == "set_rate":
            self._messages["rate"] = _refusal(lambda: self._restrictions.ask(session, {"lr": float(value)}))
        elif name == "try":
            self._try(session, value if isinstance(value, Mapping) else {})
        else:
            return super().wish(name, value)
        self.refresh()

    def _preset(self, session: Session, name: str) -> str:
        if "presets" in self._restrictions.locked:
            return "Presets are locked in this panel."
        if name not in self._presets:
            return f"There is no preset {name!r}."
        return _refusal(lambda: self._restrictions.ask(session, wishes_of(self._presets[name], session)))

    def _try(self, session: Session, typed: Mapping[str, Any]) -> None:
        """Try the same steps with each value, and come back."""
        self._messages.pop("lines", None)
        try:
            control, values = str(typed.get("control")), str(typed.get("values"))
            steps, settings = settings_of(session, self._restrictions, control, values, typed.get("steps"))
        except (ValueError, TypeError) as error:
            self._messages["lines"] = str(error)
            return
        words = f"Trying {len(settings)} values, {steps:,} steps each"
        self._run_in_background("lines", words, lambda run: run.try_each(steps, *settings))

    def go_back(self, what: str, words: str, work: Callable[[Session], Any]) -> None:
        """Go to another place of the run, on a separate thread."""
        if what in self._restrictions.locked:
            self._messages["past"] = f"{what} is locked in this panel."
            self.report(self._messages["past"])
            return self.refresh()
        self._run_in_background("past", words, work)

    def undo(self) -> None:
        """Take the last change back."""
        self.go_back("undo", "Taking the last change back", lambda run: run.undo())

    def _run_in_background(self, section: str, words: str, work: Callable[[Session], Any]) -> None:
        """Begin work in the background; its outcome is shown in a section."""
        if self.session is not None and not self._journey.busy:
            self._working_section = section
            self.report(f"{words} …")
            self._journey.begin(self.session, words, work)

    def _on_journey(self) -> None:
        if not self._journey.busy:
            self._messages[self._working_section] = self._journey.said
            self.report(self._journey.said)
        self.refresh()

    def close(self) -> None:
        """Stop following the session and remove the view from every page."""
        if self.session is not None:
            self.session.unobserve(self._on_wish, names=self._controls)
            self.session.unobserve(self._on_pulse, names=["pulse"])
            self._microscope = self._examined = None
        super().close()


def _refusal(work: Callable[[], Any]) -> str:
    """Do `work()`, which wishes for something; return why not, or ""."""
    try:
        work()
    except (ValueError, TypeError) as error:
        return str(error)
    return ""


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


def _last_search(session: Session) -> dict[str, Any]:
    """Return what the last search for a rate found."""
    if (search := session.rate_search) is None:
        return {}
    curves = {name: [finite(one) for one in getattr(search, name)] for name in ("rates", "losses", "smoothed")}
    suggestions = [[_SUGGESTED.get(name, name), float(f"{rate:.2g}")] for name, rate in search.suggestions.items()]
    return {**curves, "suggestions": suggestions, "note": search.note}


def _last_step(session: Session, seen: Step | None) -> dict[str, Any]:
    """Return what the last step measured, and what was seen of it."""
    record, stats = session.record, session.layer_stats
    if not len(record):
        return {}
    last = {name: finite(column.values[-1]) for name, column in record.columns.items() if len(column)}
    known = {name: value for name, value in last.items() if value is not None}
    found: dict[str, Any] = {"step": session.steps, "numbers": known, "layers": []}
    if seen is not None:
        layers = [(one.path, one.grad_norm, one.weight_norm, one.moved) for one in seen.layers]
        found |= {
            "losses": None if seen.losses is None else [finite(loss) for loss in seen.losses],
            "why_not": seen.why_not, "shown": list(seen.shown),
            "shape": [] if seen.images is None else list(seen.images.shape[:3]),
        }  # fmt: skip
    elif stats is not None and stats.step == session.steps:
        layers = [*zip(stats.paths, stats.grad_norm, stats.weight_norm, stats.update_ratio)]
    else:
        return found
    return found | {"layers": [[path, *map(finite, values)] for path, *values in layers]}
