"""A share of the time that optional work may take."""

from __future__ import annotations

import time


class TimeBudget:
    """Space out an optional piece of work by its measured cost.

    The work's owner asks `due()`, does the work, and reports `spent(seconds)`. The next time is then far
    enough away that the work takes at most `share` (0..1) of the wall clock, and never sooner than `least`
    seconds.
    """

    def __init__(self, share: float = 0.01, least: float = 0.1) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share is a part of the time, above 0 and at most 1, not {share!r}.")
        self.share, self.least = share, least
        #: What one piece of work costs, in seconds: an average that leans to the recent; None before any.
        self.cost: float | None = None
        self._next = 0.0

    @property
    def interval(self) -> float:
        """Seconds from one piece of work to the next, as things stand."""
        return max(self.least, (self.cost or 0.0) / self.share)

    def due(self, now: float | None = None) -> bool:
        """Say whether the work may be done at `now` (seconds of `time.perf_counter`)."""
        return (time.perf_counter() if now is None else now) >= self._next

    def spent(self, seconds: float, now: float | None = None) -> None:
        """Report that the work was just done and took `seconds`."""
        # Leaning to the recent: a first run that loads code does not silence the work for long.
        self.cost = seconds if self.cost is None else 0.7 * self.cost + 0.3 * seconds
        self._next = (time.perf_counter() if now is None else now) + self.interval
