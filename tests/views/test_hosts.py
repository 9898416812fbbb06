"""A host by the rules of Google Colab: what a thread sends is lost, and a page is heard only after the cell, or in it
where the kernel lets that be asked for."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import IPython
import pytest
import torch
from torch import nn

from dlwidgets import Curves, Session, TrainingPanel
from dlwidgets.core.training import worker
from dlwidgets.views import buttons, cells


@pytest.fixture
def session(monkeypatch, wire):
    """A session in that host, on whose wire what a thread sends is lost."""
    events = SimpleNamespace(trigger=lambda *_: None)
    shell = SimpleNamespace(kernel=object(), user_ns={}, get_parent=dict, events=events)
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    wire.lost, put = [], wire.put

    def put_if_main(message):
        (put if message.thread == "MainThread" else wire.lost.append)(message)

    monkeypatch.setattr(wire, "put", put_if_main)
    torch.manual_seed(0)
    X = torch.randn(64, 8)
    made = Session(nn.Linear(8, 2), train=(X, (X.sum(1) > 0).long()), epochs=3, batch_size=8)
    yield made
    made.close()


def press(panel, name):
    """Do what the page says where a button is pressed."""
    button = next(one for one in panel.bar.children[1].children if one.description == name)
    button.comm.handle_msg({"content": {"data": {"method": "custom", "content": {"event": "click"}}}, "buffers": []})


def hear_while_training(monkeypatch, hear):
    """Have the kernel be one that lets a cell ask for what the page says."""
    monkeypatch.setattr(worker, "_OFTEN", 0.0)
    for module in (worker, buttons):
        monkeypatch.setattr(module, "find_pump", lambda: hear)


def test_fit_trains_where_its_views_are_seen(session, wire, open_page):
    view = Curves(session)
    page = open_page(view, eager=True)
    session.fit(progress=False)
    assert page.state["steps"] == session.steps == 24 and not wire.lost


def test_the_background_says_how_to_see_it_and_shows_it_after_the_cell(session, wire, open_page, monkeypatch):
    view = Curves(session)
    page = open_page(view, eager=True)
    monkeypatch.setattr(cells, "_shown", {"one": view})
    session.start().wait()
    assert page.state["steps"] == 0 and not wire.lost
    assert "run_here() trains in the cell" in session.notes[-1]
    cells._after_cell(None)
    assert page.state["steps"] == 24


def test_what_a_cell_asks_of_the_model_is_computed_and_told_there(session, wire, open_page):
    page = open_page(Curves(session), eager=True)
    session.step(5)
    session.lr = 1e-2
    session.step(wait=False)
    session.undo()
    threads = {session.at_step(threading.current_thread).result(), session.at_batch(threading.current_thread).result()}
    assert (threads, page.state["steps"], wire.lost) == ({threading.main_thread()}, 5, [])


def test_start_trains_in_the_press_and_hears_pause(session, wire, monkeypatch):
    session.epochs, panel = 10_000, TrainingPanel(session)
    hear_while_training(monkeypatch, lambda: session.steps > 5 and press(panel, "Pause"))
    press(panel, "Start")
    assert session.status == "paused" and 5 < session.steps < 10 and not wire.lost
    press(panel, "Step")
    assert session.status == "paused"
    panel.close()


def test_where_no_press_is_heard_start_trains_for_some_seconds_and_says_so(session, wire, monkeypatch):
    session.epochs, panel = 10_000, TrainingPanel(session)
    monkeypatch.setattr(buttons, "_UNHEARD", 0.05)
    press(panel, "Start")
    said = panel._head.project()
    assert session.status == "paused" and session.steps and "each Resume goes on" in str(said)
    taken = session.steps
    press(panel, "Resume")
    assert session.steps > taken and not wire.lost
    panel.close()
