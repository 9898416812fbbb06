"""Doctor: what is wrong with a run, why, and what may help."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from traitlets import Dict, List

from ...core.base.words import name_kind
from ...core.doctor.examination import Check
from ...core.doctor.finding import Finding
from ...core.doctor.report import describe_checks
from ...core.doctor.trials import RemedyTrials
from ...session import Session
from ..buttons import begin
from ..journey import Journey
from ..view import View, module, style
from .packing import key_of, pack_checks, pack_finding, pack_offer, pack_trials, pack_tried, taken_last

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WHAT_IT_DOES = (
    "Watches loss, gradients and layers while it trains, and says here what is wrong, why, and what may help."
)


class Doctor(View):
    """Shows what is wrong with a run, why, and what may help.

    A card for each of `session.findings`: the evidence with a small picture, why it happens, and remedies as buttons.
    A remedy is a wish like any other, in the ledger by "doctor", and can be undone. A layer's name selects that layer,
    a step's number marks it on the curves. What was checked, and which checks could not run and why, stands at the
    foot.

    Parameters
    ----------
    session : the session that is examined.
    """

    _esm = module("doctor")
    _css = style("doctor", "finding.css")
    BEAT = 10
    watches = ("pulse", "findings", "status", "trials", "remedy_trials")

    findings = List(
        help="key, severity, title, sentence, why, layer, step, when, over, chart (values, label, limit, kind, names) "
        "or None, remedies (name, label, back: where to first, full: both, off: why it cannot be pressed)"
    ).tag(sync=True)
    checks = Dict(help="line: what was checked in short; rows: [label, outcome, why] of each").tag(sync=True)
    moment = Dict(
        help="busy: what is under way; said: why the last did not arrive; taken: which remedy was taken last and can "
        "be undone; paused; words: where nothing is found; checkable: whether a pre-flight can be made"
    ).tag(sync=True)
    outcome = Dict(
        help="words, steps, rows (name, label, losses, last, best, note, taken, ended) of remedies tried side by side"
    ).tag(sync=True)

    #: Opens another view that stands beside it, "confusion" or "layers".
    opens: Callable[[str], None] | None = None
    #: Called when something changed that is no fact of the session.
    changed: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, session: Session) -> None:
        if not isinstance(session, Session):
            raise TypeError(f"Doctor wants a Session, not {name_kind(session)}: dlwidgets.Doctor(session).")
        self._journey = Journey("doctor", self._on_journey)
        #: The findings that were packed last, and what they became; their remedies by key, and of which moment.
        self._packed: tuple[tuple[Finding, ...], list[dict[str, Any]]] = ((), [])
        self._offers: dict[str, list[dict[str, str]]] = {}
        self._offered_at: tuple[Any, ...] = ()
        #: The trials that were packed last, what they became, and where the run stood; those that were left alone.
        self._tried: tuple[Any, dict[str, Any], tuple[str, int]] = (None, {}, ("", 0))
        self._left: RemedyTrials | None = session.remedy_trials
        super().__init__(session)

    # -- the picture

    def project(self) -> dict[str, Any]:
        session = self.session
        if session is None:
            return {}
        checks = session.checks
        return {
            "findings": self.packed(session), "checks": pack_checks(checks),
            "moment": self._moment(session, checks), "outcome": self._outcome(session),
        }  # fmt: skip

    def packed(self, session: Session) -> list[dict[str, Any]]:
        """Return findings as a page reads them, with what may help now."""
        if self._packed[0] is not (found := session.findings):
            self._packed = found, [pack_finding(one) for one in found]
        lasting = {key_of(one): one for one in found if one.until is None}
        # Finding what may help takes milliseconds. What is kept changes by itself while it trains: where a remedy
        # really goes back to is found when it is taken.
        kept = () if session.status == "running" else session.snapshots
        moment = ([*lasting], kept, len(session.changes), session.status, session.line)
        if self._offered_at != moment:
            self._offered_at, self._offers = moment, {
                key: [pack_offer(offer, session.steps) for offer in session.remedies(one)]
                for key, one in lasting.items()
            }  # fmt: skip
        return [{**one, "remedies": self._offers.get(one["key"], [])} for one in self._packed[1]]

    def _moment(self, session: Session, checks: Iterable[Check]) -> dict[str, Any]:
        quiet = sum(check.outcome == "quiet" for check in checks)
        taken = taken_last(session.line_changes)
        return {
            "busy": self.busy, "said": self._journey.said, "paused": session.status in ("paused", "failed"),
            "taken": taken,
            "words": f"Nothing found: {quiet} checks quiet." if quiet else _WHAT_IT_DOES,
            "checkable": not session.steps,
        }  # fmt: skip

    def worst(self) -> dict[str, Any]:
        """Return the worst finding that lasts, or what was checked."""
        session = self.session
        if session is None:
            return {}
        lasting = [one for one in self.packed(session) if not one["over"]]
        return {**lasting[0], "busy": self.busy} if lasting else {"line": describe_checks(session.checks)}

    def _outcome(self, session: Session) -> dict[str, Any]:
        """Return trials under way, or what came of those before."""
        if session.status == "trying":
            return pack_trials(session.trials)
        tried, place = session.remedy_trials, (session.line, session.steps)
        if tried is None or tried is self._left:
            return {}
        if self._tried[0] is not tried:
            self._tried = tried, pack_tried(tried, session.branches), place
        # Once the run has gone on, what helped then is of no use.
        return self._tried[1] if self._tried[2] == place else {}

    @property
    def busy(self) -> str:
        """What is under way, for which remedies wait, in words."""
        if self._journey.busy:
            return self._journey.busy
        return "Settings are being tried" if self.session is not None and self.session.status == "trying" else ""

    def figure(self) -> Figure:
        """Draw findings and checks as a Figure."""
        from ...core.figures.doctor import doctor_figure

        session = self.session
        return doctor_figure(*((), ()) if session is None else (session.findings, session.checks))

    # -- what a person asks for

    def wish(self, name: str, value: Any) -> None:
        """Take a remedy, try several, go on, undo, look, or point."""
        session = self.session
        if session is None:
            return
        if name == "layer":
            session.selected_layer = value
            if self.opens is not None:
                self.opens("layers")
        elif name == "step":
            session.selected_step = None if session.selected_step == value else value
        elif name == "resume":
            begin(session)
        elif name == "remedy":
            key, remedy = value
            self._take(session, self._named(session, key), remedy)
        elif name == "try":
            finding = self._named(session, value)
            self._journey.begin(session, "Trying remedies side by side", lambda run: run.try_remedies(finding))
        elif name == "take" and (tried := session.remedy_trials) is not None:
            self._journey.begin(session, "Going to the end of that trial", lambda _: tried.take(value))
        elif name == "leave":
            self._left = session.remedy_trials
            self.refresh()
        elif name == "undo":
            self._journey.begin(session, "Taking it back", lambda run: run.undo())
        elif name == "check":
            self._journey.begin(session, "Checking data, model and one batch", lambda run: run.diagnose())
        else:
            super().wish(name, value)

    def _take(self, session: Session, finding: Finding, name: str) -> None:
        offer = next(one for one in session.remedies(finding) if one.name == name)
        if offer.view and self.opens is None:
            raise ValueError("dlwidgets.ConfusionGrid(session) shows the labels that look wrong: click a class there.")
        if offer.view:
            return self.opens("confusion")
        self._journey.begin(session, pack_offer(offer, -1)["full"], lambda run: run.apply_remedy(finding, name))

    def _named(self, session: Session, key: str) -> Finding:
        found = next((one for one in session.findings if key_of(one) == key), None)
        if found is None:
            raise ValueError("This is no longer found.")
        return found

    def _on_journey(self) -> None:
        self.refresh()
        self.changed()
