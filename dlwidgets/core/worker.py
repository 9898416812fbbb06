"""The thread that trains: it takes steps while it is told to go, does jobs between them, and ends when idle."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from . import cpus


#: The workers that are alive, to be ended with the interpreter.
_alive: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """End every run before the interpreter goes: torch aborts the process when a thread in it is cut off."""
    for worker in list(_alive):
        worker.leave()


class Worker:
    """Runs `work(worker)` on a thread of its own whenever there is something to do.

    The thread starts with the first `go()` or `job()` and ends as soon as nothing is to be done: no thread
    means that nothing runs. `work` is called once for each such burst; it takes steps while `going` and
    calls `do_jobs()` between them.

    Parameters
    ----------
    work : what a burst does. It must not raise; what it raises goes to `failed`.
    failed : told of an exception that `work` let through.
    """

    def __init__(self, work: Callable[[], None], failed: Callable[[BaseException], None]) -> None:
        self._work, self._failed = work, failed
        self._change = threading.Condition()
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._thread: threading.Thread | None = None
        self._begun = threading.Event()
        _alive.add(self)
        #: Whether steps are to be taken.
        self.going = False
        #: How the run ended, or is about to: "paused", "stopped", "done"; "" while it goes.
        self.ending = ""
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

    def go(self) -> None:
        """Let steps be taken; return once the thread has begun."""
        with self._change:
            self.going, self.ending = True, ""
        self._wake()

    def end(self, how: str) -> bool:
        """Let no step be taken after the current one; return whether steps were being taken."""
        with self._change:
            was, self.going, self.ending = self.going, False, how
        return was

    def job(self, work: Callable[[], Any]) -> Future[Any]:
        """Have `work()` done between two steps, or soon where none are taken."""
        future: Future[Any] = Future()
        with self._change:
            self._jobs.append((work, future))
        self._wake()
        return future

    def do_jobs(self) -> None:
        """Do the jobs that wait; for the worker's own thread."""
        while self._jobs:
            work, future = self._jobs.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - it belongs to who asked
                future.set_exception(error)
            else:
                future.set_result(result)

    def begun(self) -> None:
        """Note that the burst is under way, for `go()` to return."""
        self._begun.set()

    def wait(self) -> None:
        """Return when nothing runs any more. An interrupt ends the steps, then the waiting."""
        if self.here:
            return  # asked from an observer: waiting for itself would wait for ever
        with self._change:
            while self._thread is not None:
                try:
                    # With a time-out the main thread wakes for an interrupt.
                    self._change.wait(0.1)
                except KeyboardInterrupt:
                    self.going, self.ending = False, "paused"

    def leave(self, patience: float = 10.0) -> None:
        """End the steps, drop the jobs that wait, and give the thread `patience` seconds to finish what it does."""
        self.end("stopped")
        self._jobs.clear()
        thread = self._thread
        if thread is not None and not self.here:
            thread.join(patience)

    def result(self, future: Future[Any]) -> Any:
        """Return the future's result; an interrupt gives up waiting for it."""
        if self.here:
            self.do_jobs()
        while True:
            try:
                return future.result(timeout=0.1)
            except TimeoutError:
                if future.done():
                    raise
            except KeyboardInterrupt:
                future.cancel()
                raise

    def free_main_pool(self) -> None:
        """Let the main thread drop its OpenMP threads, at once or as soon as it is idle: see `cpus.release_pool`."""
        if threading.current_thread() is threading.main_thread():
            cpus.release_pool()
        elif self._main_loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the main thread has gone
                self._main_loop.call_soon_threadsafe(cpus.release_pool)

    def _wake(self) -> None:
        with self._change:
            if self._thread is not None:
                return
            self.free_main_pool()
            # With the cell's context: ipykernel 7.0 raises LookupError on a trait update from a thread without.
            run = contextvars.copy_context().run
            self._begun = begun = threading.Event()
            self._thread = threading.Thread(target=run, args=(self._live,), name="dlwidgets-training", daemon=True)
            self._thread.start()
        begun.wait(1.0)

    def _live(self) -> None:
        while True:
            try:
                self._work()
            except BaseException as error:  # noqa: BLE001 - a thread must not die silently
                self._failed(error)
            with self._change:
                if self.going or self._jobs:
                    continue
                self._thread = None
                self._begun.set()
                self._change.notify_all()
                return
