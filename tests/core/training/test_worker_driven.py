"""The worker without a thread of its own: driven where somebody waits, or where no thread can be started."""

from __future__ import annotations

import asyncio
import signal
import threading
import time

import pytest

from dlwidgets.core.training.worker import Busy, Worker


class Steps:
    """Work that takes `left` steps of a millisecond and does jobs between them, on whatever thread."""

    def __init__(self):
        self.left, self.taken, self.threads, self.failures, self.struck = 0, 0, set(), [], 0
        self.in_step = lambda: None
        self.worker = Worker(self.work, self.failures.append, lambda: self.left > 0, self.strike)

    def drive(self, **options):
        with self.worker.drive():
            self.worker.wake()
            return self.worker.wait(**options)

    def strike(self):
        self.struck, self.left = self.struck + 1, 0

    def work(self):
        self.threads.add(threading.current_thread())
        self.worker.begun()
        while True:
            if self.worker.lets_in():
                self.worker.let_in()
            self.worker.do_jobs()
            if not self.left or self.worker.slice_over():
                return
            self.left -= 1
            self.in_step()
            time.sleep(0.001)
            self.taken += 1


@pytest.fixture
def steps():
    return Steps()


@pytest.fixture
def threadless(monkeypatch):
    """Have no thread start, as in WebAssembly."""

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    for name in ("_start_new_thread", "_start_joinable_thread"):  # before and since Python 3.13
        monkeypatch.setattr(threading, name, refuse, raising=False)


def test_who_drives_takes_the_steps_where_it_waits(steps):
    with steps.worker.drive():
        steps.left = 5
        steps.worker.wake()
        assert steps.taken == 0
        assert steps.worker.wait()
    assert steps.taken == 5 and steps.threads == {threading.current_thread()}


def test_a_thread_hands_over_to_who_drives_and_takes_back_what_is_left(steps):
    steps.left = 10_000
    steps.worker.wake()
    with steps.worker.drive():
        before, taken = len(steps.threads), steps.taken
        assert not steps.worker.wait(timeout=0.05)
        assert steps.taken > taken and threading.current_thread() in steps.threads
    taken = steps.taken
    deadline = time.monotonic() + 5
    while steps.taken == taken and time.monotonic() < deadline:
        time.sleep(0.001)
    steps.left = 0
    steps.worker.wait()
    assert steps.taken > taken and len(steps.threads) == before + 2


def test_jobs_of_other_threads_are_done_amid_a_drive(steps):
    found = []
    ask = threading.Thread(
        target=lambda: found.append(steps.worker.result(steps.worker.job(threading.current_thread)))
    )

    def begin():
        if steps.taken == 3:
            ask.start()
        if found:
            steps.left = 0

    steps.in_step, steps.left = begin, 10_000
    steps.drive()
    assert found == [threading.main_thread()]


def test_what_is_done_meanwhile_may_ask_for_jobs_and_wait_for_them(steps):
    worker, found = steps.worker, []

    def meanwhile():
        found.append(worker.result(worker.job(lambda: 7)))
        steps.left = 0

    steps.left = 10_000
    steps.drive(meanwhile=meanwhile)
    assert found == [7]


def test_amid_a_job_the_next_cannot_be_waited_for_and_says_so(steps):
    worker, raised = steps.worker, []

    def meanwhile():
        with pytest.raises(Busy, match="ask again"):
            worker.result(worker.job(lambda: 7))
        raised.append(True)

    def long():
        while not raised:
            if worker.lets_in(amid=True):
                worker.let_in(amid=True)

    steps.in_step, steps.left = lambda: steps.taken or worker.job(long), 2
    steps.drive(meanwhile=meanwhile)
    assert raised


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="no signals")
def test_an_interrupt_amid_a_drive_breaks_off_no_step(steps):
    steps.in_step, steps.left = lambda: steps.taken == 3 and signal.raise_signal(signal.SIGINT), 10_000
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        steps.drive()
    assert (steps.taken, steps.struck) == (4, 1) and not steps.failures
    assert signal.getsignal(signal.SIGINT) is before and steps.worker.idle


def test_without_threads_a_job_is_done_at_once(steps, threadless):
    future = steps.worker.job(threading.current_thread)
    assert future.done() and steps.worker.idle
    assert steps.worker.result(future) is threading.main_thread()


def test_without_threads_steps_are_taken_where_somebody_waits(steps, threadless):
    steps.left = 5
    steps.worker.wake()
    assert (steps.taken, steps.worker.idle) == (0, False)
    assert steps.worker.wait() and steps.taken == 5


def test_without_threads_an_event_loop_takes_slices_and_lives(steps, threadless):
    async def cell():
        beats, steps.left = 0, 120
        steps.worker.wake()
        while not steps.worker.idle:
            await asyncio.sleep(0)
            beats += 1
        return beats

    assert asyncio.run(cell()) > 2 and steps.taken == 120
