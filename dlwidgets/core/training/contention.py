"""Whether other programs hold the CPUs that training counts on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

#: A machine with less idle time than this share of one CPU has none to give.
_FREE = 0.15
#: Others that take less than this share of one CPU do not disturb.
_TAKEN = 0.25


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
    every : seconds over which is measured.
    """

    def __init__(
        self,
        times: Callable[[], tuple[float, float] | None] | None = None,
        own: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.perf_counter,
        every: float = 5.0,
    ) -> None:
        self._times, self._own, self._clock, self._every = times or cpu_times, own, clock, every
        self._last: tuple[float, float, float, float] | None = None
        self._seen = 0

    def start(self) -> None:
        """Measure from now on: what was before a pause says nothing."""
        self._last, self._seen = None, 0

    def note(self, threads: int) -> str | None:
        """Say where fewer threads would be faster, twice in a row."""
        now = self._clock()
        if threads < 2 or (self._last is not None and now - self._last[0] < self._every):
            return None
        times = self._times()
        if times is None:
            return None
        then, self._last = self._last, (now, *times, self._own())
        if then is None:
            return None
        seconds, busy, idle, own = (new - old for new, old in zip(self._last, then))
        others, cpus = (busy - own) / seconds, round((busy + idle) / seconds)
        crowded = others > _TAKEN and idle / seconds < _FREE
        self._seen = self._seen + 1 if crowded else 0
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
