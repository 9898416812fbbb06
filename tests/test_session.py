"""Steering a session: start, pause, resume, step, stop, wishes; and what it says at each moment."""

from __future__ import annotations

import asyncio
import gc
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import pytest
import torch
import tqdm.notebook
import traitlets
from torch import nn

import dlwidgets
from dlwidgets.session import Session

X, Y = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3
PER_EPOCH = 5


def session(model=None, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)) if model is None else model
    return Session(model, (X, Y), **{"batch_size": 8, "epochs": 4, **options})


def background(made):
    """Wait until nothing runs."""
    made.wait()
    return made


def when(made, ready, name="pulse"):
    """Return an event that is set once `ready()` holds as the trait `name` changes."""
    event = threading.Event()
    made.observe(lambda change: event.set() if ready() else None, names=[name])
    return event


class Gate(nn.Module):
    """Passes on, and waits at the gate in the steps after `free`."""

    def __init__(self, free=10**9):
        super().__init__()
        self.net, self.free, self.passed = nn.Linear(6, 3), free, 0
        self.reached, self.gate = threading.Event(), threading.Event()

    def forward(self, x):
        if self.training:
            self.passed += 1
            if self.passed > self.free:
                self.reached.set()
                self.gate.wait(20)
        return self.net(x)


# -- the verbs


def test_start_returns_at_once_and_the_run_goes_to_its_end():
    made = session(Gate(free=3))
    assert made.start() is made
    assert made.status == "running"
    assert made.model.reached.wait(20)
    made.model.free = 10**9
    made.model.gate.set()
    background(made)
    assert (made.status, made.steps, made.epoch) == ("done", 4 * PER_EPOCH, 4)


def test_a_pause_is_after_the_step_that_is_being_taken():
    made = session(Gate(free=3))
    made.start()
    made.model.reached.wait(20)
    made.pause(wait=False)
    assert (made.paused, made.status) == (True, "running")
    made.model.gate.set()
    background(made)
    assert (made.status, made.steps, made.paused) == ("paused", 4, True)


def test_resume_goes_on_to_the_same_end():
    made = session(Gate(free=7))
    made.step(3)
    made.start()
    made.model.reached.wait(20)
    made.pause(wait=False)
    made.model.free = 10**9
    made.model.gate.set()
    background(made)
    assert (made.status, made.steps) == ("paused", 8)
    made.resume()
    background(made)
    assert (made.status, made.steps) == ("done", 4 * PER_EPOCH)


def test_steps_are_taken_one_by_one_and_then_it_pauses():
    made = session()
    for number in range(1, 8):
        assert made.step() is made
        assert (made.steps, made.status, made.paused) == (number, "paused", True)
    made.step(5)
    assert made.steps == 12


def test_steps_in_the_background():
    made = session()
    made.step(7, wait=False)
    background(made)
    assert (made.steps, made.status) == (7, "paused")


def test_a_step_while_it_runs_is_the_last_before_a_pause():
    made = session(Gate(free=2))
    made.start()
    made.model.reached.wait(20)
    made.step(2, wait=False)
    made.model.free = 10**9
    made.model.gate.set()
    background(made)
    assert (made.steps, made.status) == (4, "paused")


def test_a_step_that_ends_the_run_is_done():
    made = session(Gate(free=3), epochs=1)
    made.start()
    made.model.reached.wait(20)
    made.step(2, wait=False)
    made.model.free = 10**9
    made.model.gate.set()
    background(made)
    assert (made.steps, made.status, made.paused) == (5, "done", False)


def test_steps_go_on_after_a_run_is_done():
    made = session(epochs=1).fit()
    made.step(2)
    assert (made.steps, made.epoch, made.status) == (7, 2, "paused")


def test_fit_twice_trains_twice():
    made = session(epochs=2)
    assert made.fit().fit(1).steps == 3 * PER_EPOCH
    assert (made.status, made.epochs) == ("done", 2)
    assert made.progress()["share"] == 1.0


def test_a_part_of_a_paused_run_leaves_its_plan():
    made = session(epochs=4, schedule="linear", optimizer="sgd", lr=0.1)
    made.observe(lambda change: made.pause(wait=False), "loss")  # after the first step or soon
    made.start(), background(made)
    made.unobserve_all("loss")
    done = made._run.loop.epochs
    assert made.fit(1).steps == (done + 1) * PER_EPOCH
    assert (made.status, made.epochs) == ("paused", 4)
    made.resume(), background(made)
    whole = session(epochs=4, schedule="linear", optimizer="sgd", lr=0.1).fit()
    assert (made.steps, made.status) == (4 * PER_EPOCH, "done")
    assert made.history().lr.tolist() == whole.history().lr.tolist()


def test_stop_ends_the_run_and_start_begins_another():
    made = session(epochs=10**6)
    made.step(PER_EPOCH + 1)
    made.start()
    made.stop()
    assert made.status == "stopped"
    assert not made.paused
    done = made._run.loop.epochs
    made.fit(2)
    assert made._run.loop.epochs == done + 2


def test_stop_ends_a_paused_run_too():
    made = session(epochs=10**6)
    made.start()
    made.pause()
    made.stop()
    assert (made.status, made.paused) == ("stopped", False)


@pytest.mark.parametrize("verb", ["pause", "stop"])
def test_where_nothing_runs_there_is_nothing_to_halt(verb):
    made = session(epochs=1)
    getattr(made, verb)()
    assert (made.status, made.paused) == ("ready", False)
    made.fit()
    getattr(made, verb)()
    assert (made.status, made.paused) == ("done", False)


def test_start_while_it_runs_changes_nothing():
    made = session(Gate(free=3))
    made.start()
    made.model.reached.wait(20)
    made.start().resume()
    made.model.free = 10**9
    made.model.gate.set()
    background(made)
    assert made.steps == 4 * PER_EPOCH


def test_the_epochs_of_a_run_may_change_while_it_runs():
    made = session(Gate(free=7), epochs=2)
    made.start()
    made.model.reached.wait(20)
    made.epochs = 3
    assert made.progress()["epochs"] == 3
    made.model.free = 10**9
    made.model.gate.set()
    background(made)
    assert (made.status, made.steps) == ("done", 3 * PER_EPOCH)


def test_fewer_epochs_than_lie_behind_end_with_the_epoch():
    made = session(Gate(free=12), epochs=4)
    made.start()
    made.model.reached.wait(20)
    made.epochs = 1
    made.model.free = 10**9
    made.model.gate.set()
    background(made)
    assert (made.status, made.steps) == ("done", 3 * PER_EPOCH)


def test_a_generator_that_is_used_up_ends_the_run_and_cannot_be_started_again():
    made = Session(nn.Linear(6, 3), ((X[i : i + 8], Y[i : i + 8]) for i in range(0, 40, 8)), epochs=3)
    made.fit()
    assert (made.status, made.steps, made.epoch) == ("done", 5, 1)
    with pytest.raises(ValueError, match="train was a generator and has been read to its end"):
        made.start()


# -- the wish to pause


def test_the_wish_to_pause_pauses_and_its_end_resumes():
    made = session(Gate(free=3))
    made.start()
    made.model.reached.wait(20)
    made.paused = True
    made.model.gate.set()
    background(made)
    assert (made.status, made.steps) == ("paused", 4)
    made.paused = False
    background(made)
    assert (made.status, made.steps, made.paused) == ("done", 20, False)


def test_the_wish_to_pause_where_nothing_runs_is_taken_back():
    made = session()
    made.paused = True
    assert (made.paused, made.status) == (False, "ready")


def test_the_trait_paused_is_always_what_is_so():
    made = session()
    made.step()
    assert made.paused
    made.start()
    assert not made.paused
    background(made)
    assert not made.paused


# -- waiting


def test_done_lets_the_loop_of_the_page_run_meanwhile():
    made, ticks = session(Gate(free=3)), []

    async def cell():
        made.start()

        async def tick():
            while not made.model.reached.is_set():
                await asyncio.sleep(0)
            ticks.append(made.status)
            made.model.free = 10**9
            made.model.gate.set()

        other = asyncio.ensure_future(tick())
        assert await made.done() is made
        await other

    asyncio.run(cell())
    assert ticks == ["running"]
    assert made.status == "done"


def test_done_returns_when_it_pauses_and_at_once_when_nothing_runs():
    made = session()
    asyncio.run(made.done())
    made.step(2, wait=False)
    asyncio.run(made.done())
    assert made.status == "paused"


def interrupt():
    """Do what the stop button of a notebook does."""
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


@pytest.mark.parametrize("verb", ["fit", "step"])
def test_an_interrupt_pauses_and_the_run_can_go_on(verb):
    made = session(epochs=10**6, evaluate_every=None)
    event = when(made, lambda: made.epoch > 3)
    threading.Thread(target=lambda: event.wait(20) and interrupt()).start()
    with pytest.raises(KeyboardInterrupt):
        made.fit() if verb == "fit" else made.step(10**9)
    assert (made.status, made.paused) == ("paused", True)
    steps = made.steps
    made.step()
    assert made.steps == steps + 1


def test_an_interrupt_before_the_waiting_pauses_too():
    made = session(epochs=10**6, evaluate_every=None)

    def once(change):
        # Told on this very thread, so that the interrupt comes before anything is waited for.
        made.unobserve(once, names=["blocking"])
        interrupt()

    made.observe(once, names=["blocking"])
    with pytest.raises(KeyboardInterrupt):
        made.fit()
    assert made.status == "paused"


def test_a_second_interrupt_gives_up_waiting_for_a_step_that_hangs():
    made = session(Gate(free=0))
    again = when(made, lambda: made.paused, "paused")
    threading.Thread(
        target=lambda: made.model.reached.wait(20) and (interrupt(), again.wait(20), interrupt())
    ).start()
    with pytest.raises(KeyboardInterrupt):
        made.fit()
    made.model.gate.set()
    background(made)
    assert made.status == "paused"


def test_views_know_that_a_caller_waits():
    made, seen = session(epochs=1), []
    made.observe(lambda change: seen.append(change["new"]), names=["blocking"])
    made.fit()
    asyncio.run(made.start(1).done())
    assert seen == [True, False]


# -- what is told, and when


def test_who_hears_that_it_is_done_sees_the_last_facts():
    made, seen = session(valid=(X, Y)), []

    def done(change):
        if change["new"] in ("done", "paused"):
            seen.append(
                (
                    made.status,
                    made.steps,
                    made.epoch,
                    made.loss,
                    made.evaluation is not None,
                    made.scores is not None,
                    made.paused,
                )
            )

    made.observe(done, names=["status"])
    made.step(3)
    made.fit()
    losses = made.history().loss
    assert seen == [
        ("paused", 3, 1, losses[3], False, False, True),
        ("done", 20, 4, losses[20], True, True, False),
    ]


def test_the_pulse_is_the_last_to_change():
    made, seen = session(valid=(X, Y)), []
    made.observe(
        lambda change: seen.append(change["name"]),
        names=["steps", "epoch", "loss", "status", "evaluation", "pulse", "error"],
    )
    made.fit()
    assert seen[-1] == "pulse"
    assert seen[-2] == "status"
    assert seen.count("pulse") == made.pulse


def test_who_hears_that_it_is_done_finds_the_model_as_it_was_left():
    model = nn.Sequential(nn.Linear(6, 3), nn.Dropout())
    model.eval()
    made, seen = session(model, epochs=1), []
    made.observe(lambda change: seen.append((change["new"], model.training)), names=["status"])
    made.fit()
    assert seen == [("running", True), ("done", False)]


def test_status_goes_from_one_to_the_next():
    made, seen = session(epochs=1), []
    made.observe(lambda change: seen.append(change["new"]), names=["status"])
    made.step(), made.step(), made.start()
    background(made)
    assert seen == ["running", "paused", "running", "paused", "running", "done"]


# -- observers


def test_observers_on_the_training_thread_may_call_everything():
    made, seen = session(valid=(X, Y)), []

    def all_of_it(change):
        made.unobserve(all_of_it, names=["evaluation"])
        made.pause()
        made.start()
        made.step(3, wait=False)
        made.fit()
        seen.append(
            (
                made.evaluate().samples,
                len(made.predict(X)),
                made.layers().total_parameters,
                made.progress()["steps"],
            )
        )
        seen.append(made.at_step(lambda: made.evaluate().samples))
        made.resume()

    made.observe(all_of_it, names=["evaluation"])
    made.step(PER_EPOCH)
    assert seen[0][:3] == (40, 40, 6 * 8 + 8 + 8 * 3 + 3)
    assert made.status in ("paused", "done")


def test_an_observer_may_start_the_next_run():
    made, runs = session(epochs=1), []

    def again(change):
        if change["new"] == "done" and len(runs) < 3:
            runs.append(made.steps)
            made.start()

    made.observe(again, names=["status"])
    made.fit()
    assert runs == [5, 10, 15]
    assert (made.status, made.steps) == ("done", 20)


def test_an_observer_may_stop_the_run():
    made = session(epochs=10**6, evaluate_every=1, valid=(X, Y))
    made.observe(
        lambda change: made.stop() if made.record.evaluations[-1]["step"] >= 7 else None, names=["evaluation"]
    )
    made.fit()
    assert (made.status, made.steps) == ("stopped", 7)


def test_an_observer_of_the_pulse_that_evaluates_does_not_call_itself_for_ever():
    made = session(valid=(X, Y), epochs=1)
    made.observe(lambda change: made.evaluate(), names=["pulse"])
    made.fit()
    assert made.status == "done"


def test_where_a_run_is_reads_as_it_is_at_that_moment():
    made = session()
    late = []

    def look(change):
        where = made.steps, made.epoch, made.loss
        record = made.history()
        late.append(where == (len(record), record.epoch.iloc[-1], record.loss.iloc[-1]))

    made.step()
    made.at_step(lambda: None).result()
    made.observe(look, "loss")
    made.start(3)
    while made.status != "done":
        steps = made.steps
        assert steps <= len(made.record) <= made.steps + 1  # the step under way writes its row first
    assert late and all(late)


def test_steps_taken_from_an_observer_are_there_when_they_are_read():
    made = session()
    seen = []

    def look(change):
        if change["new"] == "paused" and made.steps < 20:
            made.step(7)
            seen.append((made.steps, len(made.record)))

    made.observe(look, "status")
    made.step(4)
    made.wait()
    assert made.steps == len(made.history()) == 25
    assert all(steps == record for steps, record in seen) and len(seen) == 3


def test_an_observer_that_raises_is_named_and_stops_nothing(capfd):
    made, seen = session(), []

    def clumsy(change):
        raise KeyError("oops")

    for name in ("status", "steps", "pulse", "notes"):
        made.observe(clumsy, names=[name])
        made.observe(lambda change: seen.append(change["name"]), names=[name])
    made.fit(progress=False)
    assert (made.status, made.steps) == ("done", 20)
    assert {"status", "steps", "pulse"} <= set(seen)
    assert [note for note in made.notes if "observer" in note] == [
        "An observer (test_an_observer_that_raises_is_named_and_stops_nothing.<locals>.clumsy) "
        "raised KeyError: 'oops'. The training goes on."
    ]
    assert capfd.readouterr() == ("", "")


def test_an_observer_that_raises_is_heard_by_who_set_the_wish():
    made = session()
    made.observe(lambda change: 1 / 0, names=["lr"])
    with pytest.raises(ZeroDivisionError):
        made.lr = 0.5


def test_a_subclass_may_mark_its_methods_as_observers():
    class Noting(Session):
        @traitlets.observe("status")
        def _note(self, change):
            self._seen = [*getattr(self, "_seen", []), change["new"]]

    made = Noting(nn.Linear(6, 3), (X, Y), epochs=1).fit()
    assert made._seen == ["running", "done"]


def test_an_observer_can_be_taken_away():
    made, seen = session(), []
    made.observe(seen.append, names=["status"])
    made.observe(seen.append, names=["status"])
    made.unobserve(seen.append, names=["status"])
    made.step()
    assert not seen


# -- wishes


def test_wishes_made_before_the_start_hold_from_the_first_step():
    made = session(lr=0.1)
    made.lr, made.batch_size, made.clip = 0.25, 20, ("value", 0.5)
    made.step()
    assert made.history().iloc[0][["lr", "batch_size"]].tolist() == [0.25, 20]
    assert made.applied["clip"] == ("value", 0.5)
    assert made.ledger()[["step", "name", "by"]].values.tolist() == [
        [0, "lr", "code"],
        [0, "batch_size", "code"],
        [0, "clip", "code"],
    ]


def test_a_wish_waits_for_the_next_step_and_until_then_the_old_value_is_in_force():
    made = session(lr=0.1)
    made.step()
    made.lr = 0.5
    assert (made.lr, made.applied["lr"], made.optimizer.param_groups[0]["lr"]) == (0.5, 0.1, 0.1)
    made.step()
    assert (made.applied["lr"], made.history().lr.tolist()) == (0.5, [0.1, 0.5])


def test_the_ledger_says_who_asked():
    made = session()
    with made.by("panel"):
        made.lr = 0.5
        with made.by("doctor"):
            made.clip = 1.0
    made.batch_size = 4
    made.step()
    assert dict(zip(made.ledger().name, made.ledger().by)) == {
        "lr": "panel",
        "clip": "doctor",
        "batch_size": "code",
    }


def test_a_wish_that_cannot_be_met_is_rejected_and_the_run_goes_on():
    made = Session(nn.Linear(6, 3), [(X[:20], Y[:20]), (X[20:], Y[20:])], epochs=3)
    made.batch_size = 5
    made.fit()
    why = "the data comes as ready-made batches"
    assert (made.status, made.rejected, made.applied["batch_size"]) == ("done", {"batch_size": why}, 20)
    row = made.ledger().iloc[0]
    assert (row.asked, row.applied, row.rejected, row.note) == (5, 20, True, why)
    made.batch_size = 20
    made.step()
    assert made.rejected == {}


def test_the_facts_change_in_the_step_in_which_the_change_is_in_force():
    made, seen = session(evaluate_every=None), []
    made.observe(lambda change: seen.append((change["new"]["lr"], len(made.record))), names=["applied"])
    made.step(3)
    made.lr = 0.5
    made.step(2)
    assert seen == [(0.5, 3)]


# -- many threads


def test_wishes_from_many_threads_at_once_lose_no_last_value():
    made = session(epochs=10**6, evaluate_every=None)
    made.start()

    def drag(name, values):
        for value in values:
            setattr(made, name, value)

    threads = [
        threading.Thread(target=drag, args=("lr", [10 ** -(1 + i % 50 / 10) for i in range(400)])),
        threading.Thread(target=drag, args=("lr", [10 ** -(1 + i % 40 / 10) for i in range(400)])),
        threading.Thread(target=drag, args=("batch_size", [1 + i % 39 for i in range(400)])),
        threading.Thread(target=drag, args=("clip", [("norm", 1 + i % 7) for i in range(400)])),
        threading.Thread(target=drag, args=("clip", [None, ("value", 0.1)] * 200)),
        threading.Thread(target=drag, args=("weight_decay", [i / 1000 for i in range(400)])),
    ]
    [thread.start() for thread in threads]
    [thread.join(30) for thread in threads]
    assert not any(thread.is_alive() for thread in threads)
    made.pause()
    made.step()
    wished = {name: getattr(made, name) for name in ("lr", "batch_size", "clip", "weight_decay")}
    assert {name: made.applied[name] for name in wished} == wished
    assert made.steps == len(made.record)
    last = {entry.name: entry.applied for entry in made.changes}
    assert {name: wished[name] for name in last} == last


def test_a_storm_of_orders_from_many_threads_ends_in_a_state_that_makes_sense():
    made = session(epochs=10**6, evaluate_every=None)
    failures = []

    def storm(seed):
        orders = [
            made.start, made.resume, made.pause, made.progress, made.history,
            lambda: made.pause(wait=False), lambda: made.stop(wait=False), lambda: made.step(2, wait=False),
            lambda: setattr(made, "paused", True), lambda: setattr(made, "paused", False),
            lambda: made.at_step(lambda: None).result(20),
        ]  # fmt: skip
        try:
            for number in torch.randint(
                len(orders), (60,), generator=torch.Generator().manual_seed(seed)
            ).tolist():
                orders[number]()
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=storm, args=(seed,)) for seed in range(4)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    assert not any(thread.is_alive() for thread in threads)
    assert not failures
    made.start()
    made.pause()
    assert (made.status, made.paused, made.steps) == ("paused", True, len(made.record))
    made.stop()
    assert (made.status, made.paused) == ("stopped", False)
    assert made._run.worker.idle


# -- letting go


def test_a_closed_session_can_be_read_and_nothing_else():
    made = session(valid=(X, Y), epochs=1).fit()
    made.close()
    made.close()
    assert len(made.history()) == PER_EPOCH
    assert "done" in repr(made)
    for verb in (
        made.start,
        made.step,
        made.fit,
        made.evaluate,
        lambda: made.predict(X),
        lambda: made.at_step(print),
    ):
        with pytest.raises(RuntimeError, match="The session is closed: make a new one"):
            verb()


def test_closing_ends_a_run():
    made = session(epochs=10**6)
    made.start()
    made.close()
    assert made.status == "stopped"
    assert made._run.worker.idle


def let_go(gone, collect=gc.collect):
    """Assert that what `gone` refers to is let go of: a thread that ends holds its frames a moment longer."""
    until = time.monotonic() + 10
    while gone() is not None and time.monotonic() < until:
        collect()
        time.sleep(0.01)
    assert gone() is None


def test_a_session_with_nothing_running_can_be_let_go():
    made = session(valid=(X, Y))
    made.step(6)
    made.observe(lambda change: change["owner"].steps, names=["status"])
    model, run = made.model, weakref.ref(made._run)
    gone = weakref.ref(made)
    del made
    let_go(gone)
    let_go(run)
    assert model[0].weight.isfinite().all()


def run_script(text):
    script = "import torch\nfrom torch import nn\nimport dlwidgets as dlw\n" + textwrap.dedent(text)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_a_script_that_ends_while_it_trains_ends_cleanly_and_says_so():
    done = run_script("""
        session = dlw.Session(nn.Linear(6, 3), (torch.randn(4000, 6), torch.arange(4000) % 3), epochs=10**6)
        session.start()
        session.at_step(lambda: None).result()
    """)
    assert (done.returncode, done.stdout) == (0, "")
    said = r"dlwidgets: Python ended while a session of Linear trained: it was paused after step \d+ of 125,000,000"
    assert re.match(said, done.stderr)


@pytest.mark.slow
def test_a_script_that_waits_ends_with_the_run():
    done = run_script("""
        session = dlw.Session(nn.Linear(6, 3), (torch.randn(40, 6), torch.arange(40) % 3), epochs=2)
        print(session.start().wait().status)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_run_that_is_resumed_while_a_job_is_done_at_rest_begins_as_any_other():
    made = session(epochs=10_000)
    made.step(2)
    in_job, go_on = threading.Event(), threading.Event()
    made.at_step(lambda: (in_job.set(), go_on.wait(20)))
    assert in_job.wait(20)
    resuming = threading.Thread(target=made.resume)
    resuming.start()
    seen = threading.Event()
    made.observe(lambda change: seen.set() if change["new"] == "running" else None, names="status")
    go_on.set()
    resuming.join()
    assert seen.wait(20) and made.status == "running"
    made.stop()
    made.close()


# -- several sessions in one kernel


def test_sessions_are_listed_until_they_are_closed():
    one, other = session(), session()
    one.step(2)
    listed = [made for made in dlwidgets.sessions() if made in (one, other)]
    assert listed == [one, other]
    table = repr(dlwidgets.sessions())
    assert "Sequential" in table and "paused" in table and "1 of 4" in table
    one.close()
    assert one not in dlwidgets.sessions() and other in dlwidgets.sessions()


def test_a_session_that_nobody_holds_is_not_kept_for_the_list():
    gone = weakref.ref(session())
    let_go(gone, dlwidgets.sessions)


def test_weights_that_another_session_trains_are_refused_and_the_sentence_helps(monkeypatch):
    model = nn.Linear(6, 3)
    first, waits = session(model, epochs=10**6), session(model)
    monkeypatch.setattr(sys.modules["__main__"], "mine", first, raising=False)
    first.start()
    for call in (
        lambda: session(model), waits.start, waits.step, waits.fit, lambda: session(nn.Sequential(model))
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=r"mine, Linear\) trains these weights.* mine\.stop\(\)"):
            call()
    assert first.status == "running"
    first.stop()
    assert waits.fit(1).status == "done"


def test_a_refused_resume_leaves_the_session_paused():
    model = nn.Linear(6, 3)
    waits = session(model).step()
    trains = session(model, epochs=10**6).start()
    with pytest.raises(RuntimeError):
        waits.paused = False
    assert (waits.paused, waits.status) == (True, "paused")
    trains.stop()


def test_a_session_names_those_that_train_or_wait_beside_it():
    model = nn.Linear(6, 3)
    trains, waits = session(epochs=10**6).start(), session(model).step()
    made = session(model)
    for words in ("the two take turns", "is paused and has the same weights"):
        said = [note for note in made.notes if words in note]
        assert len(said) == 1 and re.search(r"dlwidgets\.sessions\(\)\[\d+\]\.stop\(\) ends it", said[0])
    trains.stop(), waits.stop()
    assert not [note for note in session(model).notes if "session" in note]


# -- waiting, and what is shown meanwhile


def test_wait_returns_at_the_end_at_a_pause_or_when_the_time_is_up():
    made = session(epochs=10**6).start()
    assert made.wait(0.05) is made and made.status == "running"
    made.pause(wait=False)
    assert made.wait().status == "paused"
    assert made.wait(0).status == "paused"
    for wrong in (-1, "5", float("nan"), True):
        with pytest.raises(ValueError, match="seconds, 0 or more"):
            made.wait(wrong)


def test_wait_raises_what_failed():
    def fail(model, batch):
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError):
        session(training_step=fail).start().wait()


def test_fit_writes_a_line_an_epoch_where_there_is_no_terminal(capsys):
    made = session(valid=(X, Y)).fit()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    history = made.history()
    assert len(lines) == 4
    for number, (line, (_, rows)) in enumerate(zip(lines, history.groupby("epoch")), 1):
        loss, valid = rows.loss.mean(), rows.valid_loss.iloc[-1]
        assert line == f"epoch {number}, step {5 * number}: loss {loss:.4g}, valid_loss {valid:.4g}"
    made.fit(1, progress=False)
    assert not capsys.readouterr().err


def test_fit_draws_a_bar_in_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    session(epochs=3).fit()
    shown = capsys.readouterr().err
    assert "100%" in shown and "15/15" in shown and "epoch 3 of 3" in shown


def test_a_bar_in_a_notebook_is_as_long_as_the_run(monkeypatch, capsys):
    bars = []

    class Bar(tqdm.notebook.tqdm):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            bars.append(self.container.children[1])
            bars.append(self.container.children[1].max)

    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    session(epochs=3, valid=(X, Y), early_stopping=("valid_loss", 1, 9.0)).fit()
    shown, first = bars
    assert (first, shown.max, shown.value, shown.bar_style) == (15, 10, 10, "success")


@pytest.mark.slow
def test_an_interrupted_script_hears_of_it_once_the_run_is_paused():
    done = run_script("""
        import signal, threading
        session = dlw.Session(nn.Linear(6, 3), (torch.randn(40, 6), torch.arange(40) % 3), epochs=10**6)
        main = threading.main_thread().ident
        threading.Timer(0.5, signal.pthread_kill, (main, signal.SIGINT)).start()
        try:
            session.fit()
        except KeyboardInterrupt:
            print(session.status, session.steps == len(session.history()))
            raise
    """)
    assert done.stdout.split() == ["paused", "True"] and done.returncode == -signal.SIGINT, done.stderr
