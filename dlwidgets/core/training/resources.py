"""Memory and CPUs of the machine, which training shares with others."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ..base import machine

#: What glibc's settings (malloc.h) are set to [bytes]. M_MMAP_THRESHOLD: the most that it takes on 64 bits
#: (HEAP_MAX_SIZE / 2), where its own adjustment ends too; M_TRIM_THRESHOLD; M_TOP_PAD, what stays free at the
#: end of a heap: as much as a thread's heap is large (HEAP_MAX_SIZE).
_MALLOPT = {-3: 32 * 2**20, -1: 256 * 2**20, -2: 64 * 2**20}
#: A machine with less idle time than this share of one CPU has none to give, and others that take less than
#: that share do not disturb; seconds over which is measured.
_FREE, _TAKEN, _EVERY = 0.15, 0.25, 5.0
#: With no more memory than this freed memory goes back when nothing runs [bytes]; Binder gives 1 to 2 GB.
_SCARCE = 3 * 2**30


@cache
def keep_freed_memory() -> bool:
    """Keep freed memory with the process; return whether that was possible.

    A training step frees what it took. By default glibc hands the top of a heap back to the system as soon as
    128 kB lie free there, and each step then waits for thousands of zeroed pages: a small CNN lost a quarter
    of its speed on a background thread, whose heap is not the one that the main thread has warmed up (2,900
    page faults a step, 54 instead of 76 steps a second, for 15 MB more memory). Sums are not touched by it.

    A thread has its memory in heaps of 64 MB, and the last of them is given back whole as soon as nothing
    lies in it, whatever else is set, unless less than the padding would then be left. A run whose steps reach
    just beyond the end of a heap lost 5 to 7 % to that (350 to 680 page faults a step). The padding takes no
    memory.

    Whoever has set the allocator up by environment variables, or preloaded another, is left alone.
    """
    told = os.environ.get("GLIBC_TUNABLES", "") + os.environ.get("LD_PRELOAD", "")
    theirs = "malloc" in told or any(name.startswith("MALLOC_") for name in os.environ)
    if platform.libc_ver()[0] != "glibc" or theirs:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # All: setting one ends the adjustment of the others, which would stay at 128 kB.
    return all([mallopt(name, size) == 1 for name, size in _MALLOPT.items()])


def give_back_freed_memory(system: str | Path = "/") -> bool:
    """Give the system what `keep_freed_memory` kept; return whether.

    Only where memory is scarce: after 1,000 steps of a small CNN 157 of 581 MB went back, which another run or notebook
    needs more than the next steps need warm pages. `system` is as for `machine.total_memory`.
    """
    if not keep_freed_memory() or machine.total_memory(system) > _SCARCE:
        return False
    return ctypes.CDLL(None).malloc_trim(0) == 1


class CpuContention:
    """Watches how much of the CPUs other programs take.

    Torch's threads wait for one another in each operation. Where there are as many as CPUs, and a browser or
    another notebook takes a part of one, all wait for the thread that it pushed aside: a small CNN on two
    CPUs fell from 124 to 46 steps a second with two threads and the page drawing beside it; one thread, which
    leaves the other CPU to the page, kept 61.

    Parameters
    ----------
    times : returns seconds since any moment that all CPUs together were busy, and were idle; None if unknown.
    own : returns the CPU seconds of this process.
    clock : returns seconds.
    """

    def __init__(
        self,
        times: Callable[[], tuple[float, float] | None] | None = None,
        own: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._times, self._own, self._clock = times or cpu_times, own, clock
        self.start()

    def start(self) -> None:
        """Measure from now on: what was before a pause says nothing."""
        self._last: tuple[float, ...] | None = None
        self._seen = 0

    def note(self, threads: int) -> str | None:
        """Say where fewer threads would be faster, twice in a row."""
        now, then = self._clock(), self._last
        if threads < 2 or (then is not None and now - then[0] < _EVERY) or (times := self._times()) is None:
            return None
        self._last = now, *times, self._own()
        if then is None:
            return None
        seconds, busy, idle, own = (new - old for new, old in zip(self._last, then))
        others, cpus = (busy - own) / seconds, round((busy + idle) / seconds)
        self._seen = self._seen + 1 if others > _TAKEN and idle / seconds < _FREE else 0
        fewer = max(1, cpus - math.ceil(others))
        if self._seen < 2 or fewer >= threads:
            return None
        return (
            f"Other programs, perhaps the browser, take {others:.1f} of the {cpus} CPUs: "
            f"session.threads = {fewer} may train faster (the last bits of the weights may then differ)."
        )


def cpu_times(path: str | Path = "/proc/stat") -> tuple[float, float] | None:
    """Return the busy and idle seconds of all CPUs; None off Linux.

    From the first line of `/proc/stat`, in hundredths of a second (proc(5)); time that a host took away from
    a virtual machine ("steal") counts as busy.
    """
    try:
        first = Path(path).read_text("ascii").split("\n", 1)[0].split()
        ticks = [int(word) for word in first[1:9]]
    except (OSError, ValueError):
        return None
    if first[:1] != ["cpu"] or len(ticks) < 8:
        return None
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / 100, idle / 100
