"""Long work in slices: it pauses, and others go on."""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class _Abandoned(BaseException):
    """Ends work that nobody waits for; no `except Exception` catches it."""


class SlicedWork:
    """A function on its own thread, run a slice at a time.

    Whoever calls `run` waits. The function stops where it calls `pause()`, once its slice is over, and goes
    on there in the next slice. Two slices never run at once, but between them anything may happen.

    Attributes
    ----------
    done : whether the function has returned, or raised.
    lender : the thread that waits for the slice that runs, or ran last.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self.done, self.lender = False, 0
        self._work, self._result, self._error = work, None, None
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._until, self._whole, self._abandoned = 0.0, 0, False

    def run(self, seconds: float) -> bool:
        """Let it run for about `seconds`; return whether it is done."""
        self._until, self.lender = time.perf_counter() + seconds, threading.get_ident()
        if self._thread is None:
            context = contextvars.copy_context()
            self._thread = threading.Thread(target=context.run, args=(self._live,), daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # a host without threads: whole, at once
                self._whole += 1
                context.run(self._live)
        else:
            self._turn.release()
        try:
            self._back.acquire()
        except BaseException:  # an interrupt
            self.abandon()
            raise
        return self.done

    def result(self) -> Any:
        """Return what the function returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def abandon(self) -> None:
        """End it at its next pause."""
        self._abandoned = True
        self._turn.release()

    def _live(self) -> None:
        before, _here.work = getattr(_here, "work", None), self
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            self._error = error
        self.done, self._work, _here.work = True, None, before  # type: ignore[assignment]
        self._back.release()

    def _pause(self) -> None:
        if time.perf_counter() >= self._until and not self._whole:
            self._back.release()
            self._turn.acquire()
            if self._abandoned:
                raise _Abandoned


class Overdue(BaseException):
    """Ends work that takes too long; no `except Exception` catches it."""


_here = threading.local()


def acting_thread() -> int:
    """Return the thread that waits for this slice, or this one."""
    work = getattr(_here, "work", None)
    return threading.get_ident() if work is None else work.lender


def pause() -> None:
    """Let others go on, if a slice of this work is over."""
    if (work := getattr(_here, "work", None)) is not None:
        work._pause()
    elif time.perf_counter() > getattr(_here, "deadline", math.inf):
        raise Overdue


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Have `pause()` on this thread raise Overdue once that time is over."""
    before = getattr(_here, "deadline", math.inf)
    _here.deadline = time.perf_counter() + seconds
    try:
        yield
    finally:
        _here.deadline = before


@contextmanager
def unpaused() -> Iterator[None]:
    """Pause nowhere within, as while something is borrowed."""
    work = getattr(_here, "work", None)
    if work is None:
        yield
        return
    work._whole += 1
    try:
        yield
    finally:
        work._whole -= 1
