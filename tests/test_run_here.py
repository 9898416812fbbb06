"""Training on the thread that calls: the weights of a run in the background, and hosts that have no threads."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from dlwidgets import Session
from dlwidgets.core.training import worker
from dlwidgets.core.training.worker import Busy


def make(**options):
    """Return a session whose weights depend on dropout's random numbers, BatchNorm and the order of the batches."""
    torch.manual_seed(0)
    X = torch.randn(128, 8)
    y = (X.sum(1) > 0).long()
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))
    return Session(model, train=(X, y), valid=(X[:48], y[:48]), **{"epochs": 3, **options})


def weights(session):
    return torch.cat([value.flatten() for value in session.model.state_dict().values()])


@pytest.fixture(scope="module")
def trained():
    """The run in the background that all here must equal."""
    session = make()
    session.start().wait()
    return weights(session), session.history()["loss"].tolist()


def check(session, trained):
    assert session.status == "done" and torch.equal(weights(session), trained[0])
    assert session.history()["loss"].dropna().tolist() == trained[1]


def test_a_run_here_has_the_weights_of_one_in_the_background(trained):
    session, threads = make(), set()
    session.observe(lambda _: threads.add(threading.current_thread()), names="pulse")
    check(session.run_here(), trained)
    assert threads == {threading.main_thread()}


def test_parts_by_steps_and_by_time_make_the_same_run(trained):
    session = make()
    assert (session.run_here(3).steps, session.status) == (3, "paused")
    assert (session.run_here(seconds=1e-6).steps, session.status) == (4, "paused")
    check(session.run_here(), trained)


def test_a_run_under_way_in_the_background_is_taken_over():
    session, other = make(epochs=10**6), make(epochs=10**6)
    session.start().run_here(3)
    assert session.status == "paused" and torch.equal(weights(session), weights(other.step(session.steps)))


def test_what_the_page_asks_for_amid_it_is_done_and_disturbs_nothing(trained, monkeypatch):
    session, heard = make(), []

    def hear():
        """Handle what a page says between two steps, or two batches of an evaluation."""
        with contextlib.suppress(Busy):
            heard.append((session.evaluate().loss, session.predict(torch.zeros(2, 8)), session.layers()))
        torch.randn(3)
        session.model.eval()

    monkeypatch.setattr(worker, "_OFTEN", 0.0)
    monkeypatch.setattr(worker, "find_pump", lambda: hear)
    check(session.run_here(), trained)
    assert len(heard) >= session.steps


def test_a_pause_by_another_thread_ends_it_and_it_goes_on_where_it_was(trained):
    session = make()

    def pause(*_):
        if session.steps == 5 and session.status == "running":
            other = threading.Thread(target=lambda: session.pause(wait=False))
            other.start()
            other.join()

    hook = session.model.register_forward_hook(pause)
    session.run_here()
    hook.remove()
    assert (session.status, session.steps) == ("paused", 6)
    check(session.run_here(), trained)


def test_an_interrupt_pauses_between_two_steps_and_keeps_the_model(trained):
    session, strike = make(), [5]

    def interrupt(*_):
        if session.steps in strike and session.model.training:
            strike.clear()
            signal.raise_signal(signal.SIGINT)

    hook = session.model.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        session.run_here()
    hook.remove()
    assert (session.status, session.steps) == ("paused", 6)
    check(session.run_here(), trained)


def test_a_failure_is_raised_and_stands_in_error():
    session = make()
    session.model.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        session.run_here()
    assert session.status == "failed" and "ZeroDivisionError" in session.error


@pytest.mark.parametrize("options", [{"steps": 0}, {"steps": 3, "epochs": 1}, {"seconds": -1}, {"seconds": "soon"}])
def test_what_is_no_number_of_steps_or_seconds_is_refused_in_a_sentence(options):
    with pytest.raises(ValueError, match=r"run_here\(.*is wanted"):
        make().run_here(**options)


THREADLESS = """
import threading, warnings
def refuse(*_):
    raise RuntimeError("can't start new thread")
for name in ("_start_new_thread", "_start_joinable_thread"):
    setattr(threading, name, refuse)
import asyncio, torch, dlwidgets as dlw
from test_run_here import make, weights
ways = {}
def note(way, session):
    ways[way] = session.status, weights(session)
session = make()
board = dlw.Dashboard(session)
note("fit", session.fit(progress=False))
session = make(checkpoint_dir=FOLDER)
session.step()
session.evaluate(), session.diagnose(), session.layers(), session.find_lr(steps=5)
session.try_each(2, {"lr": 1e-2}, {"lr": 1e-4})
session.step(4).rewind(2)
assert (session.status, session.steps) == ("paused", 2)
note("step", session.run_here())
session = make()
note("wait", session.start().wait())
async def cell():
    session, beats = make(), 0
    session.start()
    async def page():
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)
    page = asyncio.ensure_future(page())
    note("done", await session.done())
    assert beats > 2
    going = make(epochs=10_000)
    going.start()
    while going.steps < 3:
        await asyncio.sleep(0.01)
    taken = going.pause().steps
    await asyncio.sleep(0.1)
    assert (going.status, going.steps) == ("paused", taken)
    going.close()
    page.cancel()
asyncio.run(cell())
assert make().in_background(lambda: 7).result() == 7
torch.save(ways, FOLDER + "/ways.pt")
"""


@pytest.mark.slow
def test_a_host_without_threads_trains_in_every_way_with_the_same_weights(trained, tmp_path):
    code = f"FOLDER = {str(tmp_path)!r}\n{THREADLESS}"
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code], cwd=Path(__file__).parent, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ways = torch.load(tmp_path / "ways.pt", weights_only=True)
    assert ways.keys() == {"fit", "step", "wait", "done"}
    assert all(status == "done" and torch.equal(found, trained[0]) for status, found in ways.values())
    assert list(tmp_path.glob("step-*.json"))
