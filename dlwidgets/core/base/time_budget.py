"""A share of the time that optional work may take."""

from __future__ import annotations

import time
from collections import deque

#: The longest wait after the first piece of work [s].
_SOON = 2.0


class TimeBudget:
    """Space out an optional piece of work by its measured cost.

    The work's owner asks `due()`, does the work, and reports `spent(seconds)`. The next time is then far
    enough away that the work takes at most `share` (0..1) of the wall clock, and never sooner than `least`
    seconds; but for the second time, which comes within some seconds, since the first says little of the cost.
    """

    def __init__(self, share: float = 0.01, least: float = 0.1) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share is a part of the time, above 0 and at most 1, not {share!r}.")
        self.share, self.least = share, least
        #: What the last pieces of work cost [s].
        self._costs: deque[float] = deque(maxlen=5)
        self._next = 0.0

    @property
    def interval(self) -> float:
        """Seconds from one piece of work to the next, as things stand."""
        if not self._costs:
            return self.least
        # The middle one: work that other processes held up is no measure of its cost, and 0.2 s among 5 ms would
        # silence it for minutes. Nor is the first, which loads code: the second soon says more.
        cost = sorted(self._costs)[(len(self._costs) - 1) // 2]
        wanted = cost / self.share
        return max(self.least, min(wanted, _SOON) if len(self._costs) == 1 else wanted)

    def due(self, now: float | None = None) -> bool:
        """Say whether the work may be done at `now` (seconds of `time.perf_counter`)."""
        return (time.perf_counter() if now is None else now) >= self._next

    def spent(self, seconds: float, now: float | None = None) -> None:
        """Report that the work was just done and took `seconds`."""
        self._costs.append(seconds)
        self._next = (time.perf_counter() if now is None else now) + self.interval
