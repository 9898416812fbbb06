"""A thread that works in bursts, with jobs between steps."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ..base import machine
from .resources import keep_freed_memory

#: A job's Future, and its result or what it raised.
_Outcome = tuple[Future[Any], Any, BaseException | None]


class Worker:
    """Runs `work()` on its own thread, as long as it is wanted.

    The thread ends as soon as nothing is to be done: no thread means that nothing runs.

    Parameters
    ----------
    work : what a burst does: it takes steps while they are wanted and calls `do_jobs()` between them.
    failed : told of an exception that `work` let through, as it should not.
    wanted : says whether steps are wanted.
    """

    def __init__(
        self, work: Callable[[], None], failed: Callable[[BaseException], None], wanted: Callable[[], bool]
    ) -> None:
        self._work, self._failed, self._wanted = work, failed, wanted
        self._change = threading.Condition()
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        #: Jobs that only look, and may be done in the middle of another that lets them.
        self._looks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._results: deque[_Outcome] = deque()
        self._thread: threading.Thread | None = None
        self._begun = threading.Event()
        self._woken = False
        try:
            self._main_loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._main_loop = None

    @property
    def idle(self) -> bool:
        """Whether nothing runs: no step, no job."""
        return self._thread is None

    @property
    def here(self) -> bool:
        """Whether the caller is on the worker's own thread."""
        return threading.current_thread() is self._thread

    @property
    def has_jobs(self) -> bool:
        """Whether jobs wait."""
        return bool(self._jobs or self._looks)

    def wake(self) -> None:
        """Have a burst done; return once it is under way."""
        with self._change:
            self._woken = True
            if self._thread is not None:
                return
            self.free_main_pool()
            # With the cell's context: without, ipykernel 7.0 raises LookupError on trait updates.
            run = contextvars.copy_context().run
            self._begun = begun = threading.Event()
            self._thread = threading.Thread(
                target=run, args=(self._live,), name="dlwidgets-training", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter ends
                self._thread = None
                raise
        begun.wait(1.0)  # and no longer, lest the burst wait for the caller

    def job(self, work: Callable[[], Any], looks: bool = False) -> Future[Any]:
        """Have `work()` done between two steps, or soon where none are taken.

        What only `looks` at the model may be done in the middle of a job that calls `do_looks()`.
        """
        future: Future[Any] = Future()
        (self._looks if looks else self._jobs).append((work, future))
        self.wake()
        return future

    def do_jobs(self, hold: bool = False) -> None:
        """Do the jobs that wait; with `hold`, results wait for `deliver()`.

        Those that come meanwhile wait for the next time: they may be the next slices of long ones.
        """
        for _ in range(len(self._looks) + len(self._jobs)):
            if self.has_jobs:
                self._do((self._looks or self._jobs).popleft(), self._results)
            if not hold:
                self.deliver()

    def do_looks(self) -> None:
        """Do the jobs that wait and only look, and deliver at once."""
        results: deque[_Outcome] = deque()
        while self._looks:
            self._do(self._looks.popleft(), results)
            self._give(results)

    def deliver(self) -> None:
        """Hand the results of jobs to those who wait for them."""
        self._give(self._results)

    @staticmethod
    def _do(job: tuple[Callable[[], Any], Future[Any]], results: deque[_Outcome]) -> None:
        """Do a job that was not cancelled, and add its outcome."""
        work, future = job
        if future.set_running_or_notify_cancel():
            try:
                results.append((future, work(), None))
            except BaseException as raised:  # noqa: BLE001 - it belongs to who asked
                results.append((future, None, raised))

    @staticmethod
    def _give(results: deque[_Outcome]) -> None:
        while results:
            future, result, error = results.popleft()
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def do_at_rest(self, work: Callable[[], Any]) -> bool:
        """Do `work()` on this thread where nothing runs; say whether it did.

        A burst that is wanted meanwhile begins after it.
        """
        with self._change:
            if not self.idle:
                return False
            work()
            return True

    def begun(self) -> None:
        """Note that the burst is under way, for `wake()` to return."""
        self._begun.set()

    def wait(self, until: Callable[[], bool] = lambda: False, timeout: float | None = None) -> bool:
        """Return whether nothing runs, once that is so.

        The waiting ends too where `until()` says so, and after `timeout` seconds.
        """
        if self.here:
            return False  # asked from an observer: waiting for itself would wait for ever
        end = None if timeout is None else time.monotonic() + timeout
        with self._change:
            while self._thread is not None and not until():
                left = 0.1 if end is None else end - time.monotonic()
                if left <= 0:
                    break
                # With a time-out the main thread wakes for an interrupt.
                self._change.wait(min(left, 0.1))
            return self._thread is None

    def result(self, future: Future[Any]) -> Any:
        """Return the future's result; an interrupt gives up waiting for it."""
        if self.here:
            self.do_jobs()
        try:
            # With a time-out the main thread wakes for an interrupt.
            while not future.done():
                concurrent.futures.wait([future], timeout=0.1)
        except KeyboardInterrupt:
            future.cancel()
            raise
        return future.result()

    def free_main_pool(self) -> None:
        """Let the idle main thread drop its OpenMP threads."""
        if threading.current_thread() is threading.main_thread():
            machine.release_thread_pool()
        elif self._main_loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the main thread has gone
                self._main_loop.call_soon_threadsafe(machine.release_thread_pool)

    def _live(self) -> None:
        keep_freed_memory()
        if hasattr(signal, "pthread_sigmask"):
            # Ctrl-C is the main thread's; the workers of a DataLoader inherit this, and outlive it.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        while True:
            self._woken = False
            try:
                self._work()
            except BaseException as error:  # noqa: BLE001 - a thread must not die silently
                self.deliver()
                while self.has_jobs:
                    _, future = (self._looks or self._jobs).popleft()
                    if future.set_running_or_notify_cancel():
                        future.set_exception(error)
                # Whatever is wrong with telling it: those who wait must see the thread end.
                with contextlib.suppress(BaseException):
                    self._failed(error)
            with self._change:
                if self._woken or self.has_jobs or self._wanted():
                    continue
                self._thread = None
                self._begun.set()
                self._change.notify_all()
                return
