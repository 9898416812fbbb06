"""The dashboard without a browser: one line makes it, one line ends it, and it is a picture too."""

from __future__ import annotations

import base64
import gc
import weakref
from io import BytesIO

import nbformat
import pytest
import torch
from ipywidgets import Widget
from ipywidgets.widgets.widget import _instances
from matplotlib.image import imread
from torch import nn

from dlwidgets.core.base.canvas import render_png
from dlwidgets.session import Session
from dlwidgets.views.dashboard import Dashboard
from dlwidgets.views.view import View


def new_session() -> Session:
    torch.manual_seed(0)
    X = torch.randn(64, 1, 8, 8)
    y = (X.mean((2, 3)).repeat(1, 3) + torch.randn(64, 3) > 0).float()
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    return Session(model, train=(X, y), valid=(X[:16], y[:16]), classes=["ant", "bee", "cat"], batch_size=8)


@pytest.fixture
def session():
    made = new_session()
    yield made
    made.close()


def pictures(board) -> list[View]:
    """Return every anywidget of the board."""
    return [
        board.training._head,
        board.training._facts,
        board.curves,
        board.doctor,
        board.finetune,
        board._tabs,
        board.layers,
        board.confusion,
        board.activations,
    ]


def test_one_line_shows_every_view_of_the_session(wire, session):
    board = Dashboard(session)
    kinds = {type(view).__name__ for view in board.views}
    assert kinds == {
        "TrainingPanel", "Curves", "Doctor", "LayerTable", "FineTunePanel", "ConfusionGrid", "ActivationBrowser",
    }  # fmt: skip
    assert all(view.problem == "" for view in pictures(board))
    board.close()


def test_every_view_follows_the_training(wire, session, open_page):
    board = Dashboard(session)
    pages = {type(view).__name__: open_page(view, eager=True) for view in pictures(board)}
    session.fit(3)
    session.at_step(lambda: None).result(10)
    assert all(page.state["problem"] == "" for page in pages.values())
    assert pages["StatusLine"].state["run"]["status"] == "done"
    assert pages["Curves"].state["steps"] == session.steps == 24
    assert pages["ConfusionGrid"].state["about"]["samples"] == 16
    assert pages["ActivationBrowser"].state["moment"]["step"] == 24
    board.close()


def test_the_views_together_may_send_far_fewer_messages_than_the_server_lets_through(
    wire, session, open_page
):
    board = Dashboard(session)
    pages = [open_page(view, eager=True) for view in pictures(board)]
    sent = len(wire.messages)
    seen = session.pulse
    session.fit(10)
    # However fast the page: a handful of messages each time that facts are published.
    assert len(wire.messages) - sent <= 12 * (session.pulse - seen) + 30
    assert pages
    board.close()


def test_the_figure_is_every_views_figure_one_below_the_other(wire, session):
    board = Dashboard(session)
    session.fit(1)
    board.activations._looked(None)
    parts = [imread(BytesIO(render_png(view.figure()))) for view in board.views]
    page = imread(BytesIO(render_png(board.figure())))
    # Earlier releases of matplotlib round a height down.
    assert abs(page.shape[0] - sum(part.shape[0] for part in parts)) < len(parts)
    assert page.shape[1] == max(part.shape[1] for part in parts)
    board.close()


def test_the_dashboard_is_shown_as_a_widget_with_a_picture_and_no_html(wire, session):
    board = Dashboard(session)
    data = board._repr_mimebundle_()
    data = data[0] if isinstance(data, tuple) else data
    assert "text/html" not in data and "application/vnd.jupyter.widget-view+json" in data
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    board.close()


def test_a_closed_dashboard_leaves_no_widget_and_no_observer(wire, session):
    before = set(_instances)
    watched = {name: len(found.get("change", [])) for name, found in session._trait_notifiers.items()}
    board = Dashboard(session)
    session.step(2)
    board.close()
    assert set(_instances) == before
    now = {name: len(found.get("change", [])) for name, found in session._trait_notifiers.items()}
    assert {name: count for name, count in now.items() if count} == {
        name: count for name, count in watched.items() if count
    }
    board.close()


def test_a_closed_dashboard_lets_its_session_go(wire):
    session = new_session()
    board = Dashboard(session)
    session.step(2)
    gone = weakref.ref(session), weakref.ref(session.model), weakref.ref(board.curves)
    board.close(), session.close()
    del board, session
    gc.collect()
    assert [one() for one in gone] == [None] * 3


def test_a_session_that_ends_first_leaves_a_dashboard_that_closes(wire):
    session = new_session()
    board = Dashboard(session)
    session.close()
    board.close()


def test_no_session_is_refused_with_a_sentence(wire):
    with pytest.raises(
        TypeError, match=r"Dashboard wants a Session, not Linear: dlwidgets\.Dashboard\(session\)\."
    ):
        Dashboard(nn.Linear(2, 2))
    gc.collect()


def test_what_is_shown_is_set_in_code_and_a_mistyped_word_gets_a_sentence(wire, session, open_page):
    board = Dashboard(session)
    page = open_page(board._tabs, eager=True)
    assert (board.show, board.tab) == ("simple", "confusion")
    board.show, board.tab = "full", "layers"
    assert (page.state["show"], page.state["tab"]) == ("full", "layers")
    with pytest.raises(ValueError, match="show='ful': 'simple' or 'full' is wanted"):
        board.show = "ful"
    board.close()
    with pytest.raises(ValueError, match="show='all'\\): \"simple\" or \"full\" is wanted"):
        Dashboard(session, show="all")
    gc.collect()


@pytest.mark.slow
def test_a_notebook_with_the_largest_board_and_its_state_stays_below_a_megabyte(wire, open_page):
    others = {*_instances}  # what earlier tests have left open
    torch.manual_seed(0)
    X, y = torch.rand(32, 3, 64, 64), (torch.rand(32, 14) > 0.7).float()
    model = nn.Sequential(nn.Conv2d(3, 256, 3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 14))
    names = [f"finding {number}" for number in range(14)]
    session = Session(model, train=(X, y), valid=(X, y), classes=names, batch_size=16)
    session.step(2)
    session.evaluate()
    board = Dashboard(session, show="full")
    # Noise at rest: 256 maps as large as they may be, in which nothing can be compressed.
    board.activations.wish("selected_layer", "0")
    for part in board.parts():
        open_page(part, eager=True)
    assert len(board.activations.maps) > 100_000
    data, _ = board._repr_mimebundle_()
    made = [widget for name, widget in _instances.items() if name not in others]
    state = {"application/vnd.jupyter.widget-state+json": Widget.get_manager_state(drop_defaults=True, widgets=made)}
    cell = nbformat.v4.new_code_cell("board", outputs=[nbformat.v4.new_output("display_data", data=data)])
    written = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": state})
    assert len(nbformat.writes(written)) < 1_000_000
    board.close()
    session.close()
