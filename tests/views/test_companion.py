"""What a notebook's page hears of the sessions and wishes of them, over the comms of a kernel."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import comm
import pytest
import torch
from comm.base_comm import BaseComm
from torch import nn

from dlwidgets.session import Session, numbered_sessions, on_closed, on_made
from dlwidgets.views import cells, companion
from dlwidgets.views.companion import Companion, choose_current
from dlwidgets.views.dashboard import Dashboard
from dlwidgets.views.experiment import Experiment


class Page:
    """A page that hears all, and wishes."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.companion = Companion()
        self.last = 0

    def wish(self, wish: str, session: Session | int | None = None) -> None:
        number = session if isinstance(session, int) or session is None else self.number(session)
        self.companion._wishes.handle_msg({"content": {"data": {"wish": wish, "session": number}}})

    def number(self, session: Session) -> int:
        return next(number for number, one in numbered_sessions().items() if one is session)

    def wait(self, found: Callable[[dict[str, Any]], Any], what: str) -> Any:
        """Return what is found in a picture that came, once one has it."""
        until = time.monotonic() + 20
        while not (self.heard and (value := found(self.heard[-1]))):
            assert time.monotonic() < until, f"{what}: {self.heard[-1:]}"
            time.sleep(0.002)
        return value

    def of(self, session: Session) -> Callable[[dict[str, Any]], dict[str, Any]]:
        number = self.number(session)
        return lambda picture: next((one for one in picture["sessions"] if one["number"] == number), {})

    def status(self, session: Session, wanted: str) -> dict[str, Any]:
        read = self.of(session)
        return self.wait(lambda picture: read(picture).get("status") == wanted and read(picture), wanted)

    def said(self) -> str:
        """Return the sentence that comes next."""
        words = self.wait(lambda one: one.get("said", {}).get("number", 0) > self.last and one["said"], "a sentence")
        self.last = words["number"]
        return str(words["sentence"])


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    class Heard(BaseComm):
        def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
            # As a kernel does: what is no JSON is an error.
            assert msg_type == "comm_close" or (msg_type, self.target_name) == ("comm_msg", companion.TOLD)
            if msg_type == "comm_msg":
                opened.heard.append(json.loads(json.dumps(data, allow_nan=False)))

    before = comm.create_comm
    comm.create_comm = lambda *args, **options: Heard(*args, **options)
    opened = Page()
    comm.create_comm = before
    yield opened
    on_made.remove(opened.companion._follow)
    on_closed.remove(opened.companion._let_go)


@pytest.fixture
def made() -> Iterator[Callable[..., Session]]:
    """Make a session of a small model: `made(epochs=1)`."""
    sessions = []

    def make(**options: Any) -> Session:
        torch.manual_seed(0)
        X = torch.randn(32, 4)
        options = {"epochs": 10_000, "batch_size": 8} | options
        sessions.append(Session(nn.Sequential(nn.Linear(4, 2)), (X, (X[:, 0] > 0).long()), **options))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


@pytest.fixture
def shown() -> Iterator[Callable[[Any], Any]]:
    """Show a view in a cell."""
    views = []

    def show(view: Any) -> Any:
        cells._shown[f"cell {len(views)}"] = view
        views.append(view)
        return view

    yield show
    for view in views:
        view.close()
    cells._shown.clear()


def test_a_session_is_told_as_it_is_made_and_is_no_longer_once_it_is_closed(page, made):
    session = made()
    number = page.number(session)
    told = page.status(session, "ready")
    assert (told["model"], told["loss"], told["left"], told["findings"]) == ("Sequential", None, None, 0)
    session.close()
    page.wait(lambda picture: number not in [one["number"] for one in picture["sessions"]], "closed")


def test_a_change_of_status_is_told_at_once_and_steps_are_told_rarely(page, made, monkeypatch):
    monkeypatch.setattr(companion, "PACE", 60.0)
    session = made()
    page.status(session, "ready")
    before = len(page.heard)
    session.start()
    page.status(session, "running")
    taken = session.steps
    while session.steps < taken + 200:
        time.sleep(0.002)
    session.pause()
    assert page.status(session, "paused")["steps"] == session.steps
    # One as it begins, and one as it ends; that of a pulse may come before the first.
    assert len(page.heard) - before <= 4


def test_a_page_pauses_resumes_steps_and_stops(page, made):
    session = made()
    page.wish("resume", session)
    page.status(session, "running")
    page.wish("pause", session)
    steps = page.status(session, "paused")["steps"]
    page.wish("step", session)
    page.wait(lambda picture: page.of(session)(picture)["steps"] == steps + 1, "a step")
    page.status(session, "paused")
    page.wish("stop", session)
    page.status(session, "stopped")
    page.wish("stop", session)
    assert page.said() == "There is no run to stop."


def test_an_undo_is_made_in_the_name_of_the_panel_and_said(page, made):
    session = made()
    session.step(2)
    session.lr = 0.02
    session.step(2)
    page.wait(lambda picture: page.of(session)(picture)["undo"], "what an undo would take back")
    page.wish("undo", session)
    assert page.said() == "Taken back: lr, step 2. The run is paused there."
    assert session.steps == 2 and session.changes[-1].by == "panel"
    page.wait(lambda picture: "undo" in page.of(session)(picture)["why_not"], "that nothing is left to undo")


def test_what_a_teacher_locked_is_refused_here_too(page, made, shown):
    session = made()
    shown(Experiment(session)).training.lock("undo")
    session.step()
    session.lr = 0.02
    session.step()
    page.wish("undo", session)
    assert page.said() == "undo is locked in this panel." and session.steps == 2


def test_weights_are_saved_beside_the_notebook_and_none_is_written_over(page, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = made()
    session.step(3)
    for name in ("Sequential-step-3.pt", "Sequential-step-3-2.pt"):
        page.wish("save", session)
        assert page.said() == f"The weights of step 3 were saved as {name}."
        assert torch.load(name, weights_only=True)["0.bias"].tolist() == session.model[0].bias.tolist()


def test_a_session_with_a_folder_saves_a_checkpoint_there(page, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = made(checkpoint_dir="runs")
    session.step(3)
    page.wish("save", session)
    assert page.said() == "A checkpoint of step 3 was written into runs."
    session.close()
    data = torch.randn(32, 4), torch.zeros(32).long()
    assert Session.from_checkpoint("runs", nn.Sequential(nn.Linear(4, 2)), data).steps == 3


def test_what_cannot_be_written_is_said(page, made, tmp_path, monkeypatch):
    session = made()
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    page.wish("save", session)
    assert page.said().endswith("session.save('path') writes it elsewhere.")


def test_a_view_with_buttons_is_made_where_no_cell_shows_one_of_that_session(page, made, shown):
    session, other = made(), made()
    number = page.number(session)
    view = shown(Dashboard(other))
    page.wish("beside", other)
    page.wish("beside", session)

    def views_of(picture):
        return [one["model_id"] for one in picture["views"] if one["session"] == number]

    page.wait(views_of, "a dashboard of the session")
    page.wish("beside", session)
    page.wish("hello")
    page.wait(lambda picture: len(views_of(picture)) == 1, "one dashboard, and no second")
    ids = [one["model_id"] for one in page.heard[-1]["views"] if one["session"] == page.number(other)]
    assert ids == [view.model_id]


def test_a_page_that_says_hello_is_told_what_it_may_have_missed(page, made):
    session = made()
    page.status(session, "ready")
    page.heard.clear()
    page.wish("hello")
    page.status(session, "ready")


def test_a_wish_for_a_session_that_is_gone_is_answered(page):
    page.wish("pause", 987_654)
    assert page.said() == "That session is closed."


def test_the_session_that_trains_is_followed_else_the_newest_that_is_shown_else_the_newest(made):
    sessions = dict(enumerate([made(), made(), made()]))
    assert choose_current({}, set()) is None
    assert choose_current(sessions, set()) == 2
    assert choose_current(sessions, {0, 1, None}) == 1
    sessions[0].start()
    assert choose_current(sessions, {1}) == 0
