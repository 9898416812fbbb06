"""Work in bursts, with jobs between steps, on any thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from ..base import machine
from ..base.comm_pump import find_pump
from ..base.frontend import find_frontend
from ..base.random_state import TURN
from ..base.threads import make_thread
from .resources import give_back_freed_memory, keep_freed_memory

#: How often what is to be done amid a drive is done, and how long a slice on an event loop takes [s].
_OFTEN = 0.05
#: A job's Future, and its result or what it raised.
_Outcome = tuple[Future[Any], Any, BaseException | None]


class Busy(RuntimeError):
    """Nothing can be waited for here and now."""


class Worker:
    """Runs `work()` while it is wanted, on its own thread or another.

    The thread ends as soon as nothing is to be done: no thread means that nothing runs. Inside of `drive` the
    caller's thread does all of it, in `wait`, and lets the page's messages in. Where no thread can be started jobs are
    done at once, on the thread that asks, and steps in slices between other calls of the event loop that runs, or
    else in `wait`. Where the page hears nothing of a thread, what the main thread asks for is done there too.

    Parameters
    ----------
    work : what a burst does: it takes steps while they are wanted and not `slice_over()`, and calls `do_jobs()`
        between them.
    failed : told of an exception that `work` let through, as it should not.
    wanted : says whether steps are wanted.
    struck : told of an interrupt amid a drive, which is raised where that ends.

    Attributes
    ----------
    hidden : whether the page shows nothing of what a thread sends.
    threadless : whether no thread could be started.
    """

    def __init__(
        self,
        work: Callable[[], None],
        failed: Callable[[BaseException], None],
        wanted: Callable[[], bool],
        struck: Callable[[], None] = lambda: None,
    ) -> None:
        self._work, self._failed, self._wanted, self._struck = work, failed, wanted, struck
        self.hidden, self.threadless = not find_frontend().shows_threads, False
        self._change = threading.Condition()
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        #: Jobs that only look, and may be done in the middle of another that lets them.
        self._looks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._results: deque[_Outcome] = deque()
        #: Where bursts are done now; the thread that drives; whether what is to be done waits for whoever drives.
        self._thread: threading.Thread | None = None
        self._driver: threading.Thread | None = None
        #: The worker's own thread that was started last.
        self._own: threading.Thread | None = None
        self._owed = self._planned = False
        #: When the slice under way is over, by the monotonic clock.
        self._until = math.inf
        #: What is done amid a drive, when it was last, and whether a job or an evaluation is under way then.
        self._meanwhile: tuple[Callable[[], Any], ...] = ()
        self._met, self._amid = 0.0, False
        self._begun = threading.Event()
        self._woken = False
        try:
            self._main_loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._main_loop = None

    @property
    def idle(self) -> bool:
        """Whether nothing runs: no step, no job."""
        return self._thread is None and not self._owed

    @property
    def here(self) -> bool:
        """Whether the caller is on the thread that works, amid its work."""
        return threading.current_thread() is self._thread

    @property
    def has_jobs(self) -> bool:
        """Whether jobs wait."""
        return bool(self._jobs or self._looks)

    def slice_over(self, took: bool = True) -> bool:
        """Say whether a burst is to end, though steps are wanted.

        A slice that is to take steps is not over before it `took` one, however long it took to begin.
        """
        return self._until == -math.inf or (took and self._until < math.inf and time.monotonic() >= self._until)

    def wake(self) -> None:
        """Have a burst done; return once it is under way."""
        with self._change:
            self._woken = True
            if self._thread is not None:
                return
            if self._driver not in (None, threading.current_thread()):
                self._owed = True
                self._change.notify_all()
                return
            at_once = self._driver is not None or (self.hidden and _on_main() and not self._wanted())
            started = not at_once and self._start()
        if started:
            self._begun.wait(1.0)  # and no longer, lest the burst wait for the caller
        else:
            self._drive_for(0.0)
            self.plan()

    def plan(self) -> None:
        """Have owed steps taken, by a thread or the running event loop."""
        with self._change:
            if not self._owed or self._driver is not None or (not self.threadless and self._start()):
                return
        if not self._planned:
            with contextlib.suppress(RuntimeError):  # no loop runs: `wait` takes them
                asyncio.get_running_loop().call_later(0.001, self._go_on)
                self._planned = True

    def _go_on(self) -> None:
        self._planned = False
        if self._owed and self._driver is None:
            with contextlib.suppress(KeyboardInterrupt):  # which has paused it
                self._drive_for(_OFTEN)
            self.plan()

    def _start(self) -> bool:
        """Start a thread; say whether that could be."""
        self.free_main_pool()
        self._begun, self._until, self._owed = threading.Event(), math.inf, False
        self._thread = self._own = make_thread(self._begin, "dlwidgets-training")
        try:
            self._thread.start()
        except RuntimeError:  # a host without threads, or an interpreter that ends
            self._thread, self._own, self.threadless = None, None, True
            return False
        return True

    @contextlib.contextmanager
    def drive(self) -> Iterator[None]:
        """Have all done on this thread inside, in `wait`.

        A thread that works already hands over between two steps. What is left at the end goes on without.
        """
        if self.here or self._driver is not None:  # from amid a drive: it goes on
            yield
            return
        with self._change:
            self._driver, self._until = threading.current_thread(), -math.inf
        try:
            with self._change:
                while self._thread is not None:
                    self._change.wait(0.1)
            yield
        finally:
            with self._change:
                self._driver, self._until = None, math.inf
            if self._wanted() or self.has_jobs:
                self.wake()

    def drive_if_hidden(self) -> contextlib.AbstractContextManager[None]:
        """Drive inside where the page shows nothing of a thread."""
        return self.drive() if self.hidden else contextlib.nullcontext()

    def why_unseen(self) -> str:
        """Return why steps in the background are not seen, or ""."""
        if self._driver is not None or self.here:
            return ""
        if self.threadless:
            return "No thread can be started here: steps are taken while no cell runs, or in wait()."
        return f"{find_frontend().label} shows what a thread does only after each cell." if self.hidden else ""

    def lets_in(self, amid: bool = False) -> bool:
        """Say whether it is time for `let_in`."""
        # Between two steps all can be asked for: there first.
        return bool(self._meanwhile) and time.monotonic() - self._met >= (2 if amid else 1) * _OFTEN and self.here

    def let_in(self, amid: bool = False) -> None:
        """Do what is to be done often amid a drive.

        Parameters
        ----------
        amid : whether a step, a job or an evaluation is under way: nobody can wait for the next job then.
        """
        before, self._amid = self._amid, amid
        try:
            for one in self._meanwhile:
                one()
        finally:
            self._amid, self._met = before, time.monotonic()

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

    def wait(
        self,
        until: Callable[[], bool] | None = None,
        timeout: float | None = None,
        meanwhile: Callable[[], Any] | None = None,
    ) -> bool:
        """Return whether nothing runs, once that is so.

        It drives where nobody else does, and calls `meanwhile` about every tenth of a second. The waiting ends too
        where `until()` says so, and after `timeout` seconds.
        """
        if self.here:
            return False  # asked from an observer: waiting for itself would wait for ever
        left = math.inf if timeout is None else timeout
        end = time.monotonic() + left
        while not self.idle and (until is None or not until()) and left > 0:
            if self._drives():
                self._drive_for(left if until is None else min(left, _OFTEN), meanwhile)
            else:
                with self._change:
                    # With a time-out the main thread wakes for an interrupt.
                    if not self.idle and not self._drives():
                        self._change.wait(min(left, 0.1))
                if meanwhile is not None:
                    meanwhile()
            left = end - time.monotonic()
        own, rests = self._own, self.idle
        if rests and own is not None:
            own.join(1.0)  # until it has let go of what it held
        return rests

    def _drives(self) -> bool:
        """Whether what is owed is this thread's to do."""
        return self._owed and self._driver in (None, threading.current_thread())

    def result(self, future: Future[Any]) -> Any:
        """Return the future's result; an interrupt gives up waiting for it."""
        if self.here:
            if self._amid and not future.done():
                future.cancel()
                raise Busy("The run is in the middle of an evaluation or a trial: ask again once that is over.")
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
        if _on_main():
            if not self.here:
                machine.release_thread_pool()
        elif self._main_loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the main thread has gone
                self._main_loop.call_soon_threadsafe(machine.release_thread_pool)

    def _begin(self) -> None:
        """Live on the worker's own thread."""
        if hasattr(signal, "pthread_sigmask"):
            # Ctrl-C is the main thread's; the workers of a DataLoader inherit this, and outlive it.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self._live()

    def _drive_for(self, seconds: float, meanwhile: Callable[[], Any] | None = None) -> None:
        """Do what waits here, and take steps for so long."""
        often = tuple(filter(None, (find_pump(), meanwhile)))
        with self._change:
            if self._thread is not None:
                return
            self._thread, self._owed = threading.current_thread(), False
            self._until = time.monotonic() + seconds if seconds else -math.inf
            self._meanwhile, self._met = often, time.monotonic()
        try:
            with self._interrupt_late(), TURN.given_up():
                self._live()
        finally:
            self._meanwhile = ()

    @contextlib.contextmanager
    def _interrupt_late(self) -> Iterator[None]:
        """Have an interrupt break no step off; raise it afterwards.

        A second one breaks off what it finds.
        """
        before = signal.getsignal(signal.SIGINT) if _on_main() else None
        if not callable(before):  # none is heard now, as between cells
            yield
            return
        count = 0

        def note(number: int, frame: Any) -> None:
            nonlocal count
            count += 1
            if count > 1:
                raise KeyboardInterrupt
            self._struck()

        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
        if count:
            raise KeyboardInterrupt

    def _live(self) -> None:
        """Do bursts until nothing is left, or the slice is over."""
        keep_freed_memory()
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
                if self._woken or self.has_jobs or (self._wanted() and not self.slice_over()):
                    continue
                self._thread, self._owed = None, self._wanted()
                self._begun.set()
                self._change.notify_all()
                break
        if not self._owed:
            give_back_freed_memory()


def _on_main() -> bool:
    return threading.current_thread() is threading.main_thread()
