"""The worker: a thread that lives while there is something to do, and cannot be missed or die unseen."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import signal
import subprocess
import sys
import threading

import pytest

from dlwidgets.core.base import machine
from dlwidgets.core.training.worker import Worker


class Steps:
    """Work that takes `left` steps, does jobs between them, and counts its bursts."""

    def __init__(self):
        self.left, self.taken, self.bursts, self.failures = 0, 0, 0, []
        self.raises = None
        self.worker = Worker(self.work, self.failures.append, lambda: self.left > 0)

    def work(self):
        self.bursts += 1
        self.worker.begun()
        if self.raises is not None:
            error, self.raises, self.left = self.raises, None, 0
            raise error
        while True:
            self.worker.do_jobs()
            if not self.left:
                return
            self.left -= 1
            self.taken += 1

    def go(self, steps):
        self.left = steps
        self.worker.wake()
        self.worker.wait()


def interrupt():
    """Do what the stop button of a notebook does."""
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def test_nothing_runs_before_it_is_woken_and_after_it_is_done():
    steps = Steps()
    before = threading.active_count()
    assert steps.worker.idle
    steps.go(10)
    assert steps.worker.idle
    assert steps.taken == 10
    assert threading.active_count() == before


def test_a_wake_up_is_never_lost():
    steps = Steps()
    for number in range(1, 400):
        steps.left += 1
        steps.worker.wake()
        if number % 3 == 0:
            steps.worker.wait()
            assert steps.left == 0
    steps.worker.wait()
    assert steps.left == 0


def test_a_job_is_done_on_the_worker_and_its_result_comes_back():
    steps = Steps()
    future = steps.worker.job(lambda: threading.current_thread().name)
    assert steps.worker.result(future) == "dlwidgets-training"
    assert threading.current_thread().name != "dlwidgets-training"


def test_many_jobs_from_many_threads_are_all_done():
    steps, found = Steps(), []

    def ask(number):
        found.extend(steps.worker.result(steps.worker.job(lambda i=i: number * 100 + i)) for i in range(100))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(found) == list(range(500))


def test_what_a_job_raises_belongs_to_who_asked():
    steps = Steps()
    future = steps.worker.job(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        steps.worker.result(future)
    assert not steps.failures


def test_a_job_that_asks_for_a_job_gets_it():
    steps = Steps()
    worker = steps.worker
    assert worker.result(worker.job(lambda: worker.result(worker.job(lambda: 7)) + 1)) == 8


def test_a_job_that_was_cancelled_is_not_done():
    steps, done, hold = Steps(), [], threading.Event()
    first = steps.worker.job(hold.wait)
    second = steps.worker.job(lambda: done.append(1))
    assert second.cancel()
    hold.set()
    steps.worker.result(first)
    steps.worker.wait()
    assert not done
    with pytest.raises(concurrent.futures.CancelledError):
        steps.worker.result(second)


def test_waiting_on_the_workers_own_thread_returns_at_once():
    steps = Steps()
    assert steps.worker.result(steps.worker.job(lambda: (steps.worker.here, steps.worker.wait()))) == (
        True,
        False,
    )


def test_waiting_ends_when_the_caller_says_so():
    steps, hold = Steps(), threading.Event()
    steps.worker.job(hold.wait)
    steps.worker.wait(until=lambda: True)
    assert not steps.worker.idle
    hold.set()
    steps.worker.wait()


def test_an_exception_in_the_work_is_told_and_the_thread_can_be_woken_again():
    steps = Steps()
    steps.raises = RuntimeError("broken")
    steps.go(3)
    assert [str(error) for error in steps.failures] == ["broken"]
    steps.go(3)
    assert steps.taken == 3


def test_jobs_that_wait_when_the_work_fails_hear_of_it():
    steps = Steps()
    steps.raises = RuntimeError("broken")
    future = steps.worker.job(lambda: 1)
    with pytest.raises(RuntimeError, match="broken"):
        steps.worker.result(future)


def test_a_failure_in_telling_of_a_failure_does_not_leave_a_dead_thread_behind():
    def broken(error):
        raise KeyError

    worker = Worker(lambda: 1 / 0, broken, lambda: False)
    worker.wake()
    worker.wait()
    assert worker.idle


def test_the_thread_has_the_context_of_its_starter():
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("the cell's")
    steps = Steps()
    assert steps.worker.result(steps.worker.job(variable.get)) == "the cell's"


def test_an_interrupt_ends_the_waiting_but_not_the_work():
    steps, hold = Steps(), threading.Event()
    steps.worker.job(hold.wait)
    threading.Timer(0.05, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        steps.worker.wait()
    assert not steps.worker.idle
    hold.set()
    steps.worker.wait()


def test_an_interrupt_gives_up_a_result_but_not_the_work():
    steps, hold = Steps(), threading.Event()
    future = steps.worker.job(lambda: hold.wait() and 5)
    threading.Timer(0.05, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        steps.worker.result(future)
    hold.set()
    assert future.result(5) == 5


def test_the_main_threads_pool_is_let_go_before_the_thread_starts_and_later_through_its_loop(monkeypatch):
    calls = []
    monkeypatch.setattr(machine, "release_thread_pool", lambda: calls.append(threading.current_thread().name))

    async def cell():
        steps = Steps()
        await asyncio.wrap_future(steps.worker.job(steps.worker.free_main_pool))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(cell())
    assert calls == ["MainThread", "MainThread"]


def test_a_loop_that_is_closed_is_no_reason_to_fail():
    async def cell():
        return Steps()

    steps = asyncio.run(cell())
    assert steps.worker.result(steps.worker.job(steps.worker.free_main_pool)) is None


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals have no masks here")
def test_an_interrupt_is_the_main_threads_also_in_processes_that_the_worker_begins():
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"

    def begin():
        return subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)

    assert Steps().worker.job(begin).result().stdout == "True\n"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
