"""What a notebook's page knows of sessions and asks, beside all cells."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from ..core.base.frontend import find_frontend
from ..session import Session, bound_name, numbered_sessions, on_closed, on_made
from .buttons import begin, describe_change, refusals, save_run, trial_under_way
from .cells import shown_views
from .hosts import start_where_shown
from .journey import Journey
from .limits import Restrictions

#: What the page hears, and what it says: two comms, since ipykernel 7 hands what a page says on a comm to the loop that
#: sent on it last. On the second nothing is ever sent, so that a click is heard while a cell runs.
TOLD, WISHED = "dlwidgets.sessions", "dlwidgets.wishes"
#: The page is told at most this often, but of a change of status at once [s].
PACE = 0.5
#: For so long it is told again what a person was said, since a message may be lost [s].
_SAID = 10.0
#: Views that have the run's buttons.
_STEERING = ("Dashboard", "Experiment", "TrainingPanel")


def accompany(_session: Session | None = None) -> None:
    """Tell the page of the sessions, where it may listen."""
    # Nothing listens anywhere else: our extension is one of JupyterLab's.
    if Companion.one is None and find_frontend().name == "jupyter":
        with contextlib.suppress(ImportError):  # a kernel without comms
            Companion.one = Companion()


class Companion:
    """Tells every page of its sessions, and does what they wish.

    Whole pictures are sent, from a thread of its own: training only notes that there is news. No comm is opened, since
    a page that does not know it, as one without the extension, would complain; what comes on one that it does not know
    it leaves alone.
    """

    #: That of this kernel, once there is one.
    one: ClassVar[Companion | None] = None

    def __init__(self) -> None:
        from comm import create_comm, get_comm_manager

        self._comm, self._wishes = (create_comm(target_name=name, primary=False) for name in (TOLD, WISHED))
        for made in (self._comm, self._wishes):
            get_comm_manager().register_comm(made)
        self._wishes.on_msg(self._hear)
        self._news, self._haste = threading.Event(), threading.Event()
        self._sent: Any = None
        self._told: tuple[dict[str, Any], float] = ({}, -_SAID)
        self._numbers = itertools.count(1)
        self._journeys: dict[int, Journey] = {}
        #: Dashboards that were made since no cell shows one.
        self._boards: dict[int, Any] = {}
        on_made.append(self._follow)
        on_closed.append(self._let_go)
        for session in numbered_sessions().values():
            self._follow(session)
        self._after_cells()
        start_where_shown(self._work, "dlwidgets-companion")

    def _after_cells(self) -> None:
        """Tell after each cell: names, views and sessions may be others."""
        from IPython import get_ipython

        if (shell := get_ipython()) is not None:
            shell.events.register("post_run_cell", lambda _result: self.hasten())

    def _follow(self, session: Session) -> None:
        session.observe(self._note, names=["pulse", "findings"])
        session.observe(self.hasten, names=["status", "host", "error"])
        self.hasten()

    def _let_go(self, session: Session) -> None:
        for number in [number for number, board in self._boards.items() if board.session in (session, None)]:
            self._boards.pop(number).close()
        self.hasten()

    def _note(self, _change: Any) -> None:
        """Note that there is news; on the training thread."""
        if not self._news.is_set():
            self._news.set()

    def hasten(self, _change: Any = None) -> None:
        """Tell the pages as soon as may be. Any thread."""
        self._haste.set()
        self._news.set()

    # -- kernel to page

    def _work(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            self._haste.clear()
            with contextlib.suppress(Exception):  # a session that ends meanwhile; the next news come
                self._tell()
            self._haste.wait(PACE)

    def _tell(self) -> None:
        picture = self.picture()
        if (text := json.dumps(picture, allow_nan=False)) != self._sent:
            self._sent = text
            self._comm.send(picture)

    def picture(self) -> dict[str, Any]:
        """Return all that the page is to know, as JSON has it."""
        sessions = numbered_sessions()
        numbers = {id(session): number for number, session in sessions.items()}
        views = [*shown_views(), *self._boards.values()]
        shown = [
            {"model_id": view.model_id, "kind": type(view).__name__, "session": numbers.get(id(view.session))}
            for view in views if view.comm is not None
        ]  # fmt: skip
        words, since = self._told
        return {
            "dlwidgets": 1, "wishes": self._wishes.comm_id,
            "sessions": [self._describe(number, one) for number, one in sessions.items()],
            "current": choose_current(sessions, {view["session"] for view in shown}), "views": shown,
            **({"said": words} if time.monotonic() - since < _SAID else {}),
        }  # fmt: skip

    def _describe(self, number: int, session: Session) -> dict[str, Any]:
        progress, loss, status = session.progress(), session.loss, session.status
        lasting = [one for one in session.findings if one.until is None]
        return {
            "number": number, "name": bound_name(session), "model": type(session.model).__name__, "status": status,
            "host": session.host, "trial": trial_under_way(session) if status == "trying" else None,
            **{name: progress[name] for name in ("epoch", "epochs", "steps", "total")},
            "loss": loss if math.isfinite(loss) else None, "left": progress["left"] if status == "running" else None,
            "findings": len(lasting), "worst": [lasting[0].severity, lasting[0].title] if lasting else None,
            "error": session.error, "undo": describe_change(session),
            "why_not": refusals(session, self._restrictions(session)),
        }  # fmt: skip

    def _restrictions(self, session: Session) -> Restrictions:
        """Return what the panels of a session that are shown lock."""
        locked: set[str] = set()
        for view in shown_views():
            panel = getattr(view, "training", view)
            if view.session is session and isinstance(found := getattr(panel, "restrictions", None), Restrictions):
                locked |= found.locked
        return Restrictions(locked=locked)

    def say(self, sentence: str, severity: str = "warning") -> None:
        """Have the page show a sentence, for a while."""
        self._told = {"number": next(self._numbers), "sentence": sentence, "severity": severity}, time.monotonic()
        self.hasten()

    # -- page to kernel

    def _hear(self, message: Any) -> None:
        """Do what a page wishes. Any thread; it waits for nothing."""
        data = message["content"]["data"]
        wish, number = (data.get("wish"), data.get("session")) if isinstance(data, dict) else (None, None)
        if wish == "hello":
            self._sent = None
            return self.hasten()
        session, act = numbered_sessions().get(number), _ACTS.get(wish)
        if act is None or session is None:
            return self.say(f"There is no {wish!r}." if act is None else "That session is closed.")
        if why := refusals(session, self._restrictions(session)).get(wish):
            return self.say(why)
        try:
            with session.by("panel"):
                act(self, number, session)
        except Exception as error:  # noqa: BLE001 - said in the page
            self.say(str(error) or type(error).__name__)
        self.hasten()

    def _undo(self, number: int, session: Session) -> None:
        def undo(run: Session) -> str:
            what = describe_change(run)
            run.undo()
            return f"Taken back: {what}. The run is paused there."

        self._travel(number, session, "Taking the last change back", undo)

    def _save(self, number: int, session: Session) -> None:
        self._travel(number, session, "Saving", save_run)

    def _travel(self, number: int, session: Session, words: str, work: Callable[[Session], str]) -> None:
        """Begin what takes its time; its outcome is said."""
        journey = self._journeys.setdefault(number, Journey("panel", lambda: self._arrived(number)))
        if not journey.begin(session, words, lambda run: self.say(work(run), "success")):
            self.say(f"{journey.busy}: wait for that first.")

    def _arrived(self, number: int) -> None:
        if said := self._journeys[number].said:
            self.say(said)

    def _show_beside(self, number: int, session: Session) -> None:
        """Have a view with buttons be there, to be shown."""
        if all(view.session is not session or type(view).__name__ not in _STEERING for view in shown_views()):
            from .dashboard import Dashboard

            if number not in self._boards:
                self._boards[number] = Dashboard(session)


#: Wish -> what is done of it, at once or in the background.
_ACTS: dict[Any, Callable[[Companion, int, Session], Any]] = {
    "pause": lambda _, number, session: session.pause(wait=False),
    "resume": lambda _, number, session: begin(session),
    "step": lambda _, number, session: session.step(wait=False),
    "stop": lambda _, number, session: session.stop(wait=False),
    "undo": Companion._undo,
    "save": Companion._save,
    "beside": Companion._show_beside,
}


def choose_current(sessions: dict[int, Session], shown: set[int | None]) -> int | None:
    """Return which session is followed: that which trains, is shown, is newest."""
    trains = [number for number, one in sessions.items() if one.status in ("running", "trying")]
    return max(trains or [number for number in sessions if number in shown] or sessions, default=None)


# What first asked for sessions may have been a program; a page may come later.
on_made.append(accompany)
