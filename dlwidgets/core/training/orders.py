"""The orders given to a run: go, pause, stop."""

from __future__ import annotations

import threading
from typing import Any


class Orders:
    """Whether steps are to be taken, until when, and how it ended.

    Any thread may ask; no call waits.

    A *run* begins with `start` and has a goal, counted in epochs. It may be paused and gone on with; it ends
    done, or stopped. `step` takes steps whether there is a run or not, and `start` a part of one there is.

    Attributes
    ----------
    going : whether steps are to be taken.
    ending : how the last going ended, or "" while it goes: "paused", "stopped", "done" or "failed".
    began, goal : epochs completed when the run began, and when it will be done; None without a run.
    complete : whether the run was done when it was taken over from another kernel: nothing is left of it.
    planned : how many epochs a run was meant to have, where somebody said so; None where not.
    runs, given : how many runs have begun; how many orders people gave: to start, step, pause or stop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.going = self.complete = False
        self.ending = ""
        self.began = self.runs = self.given = 0
        self.goal: int | None = None
        self.planned: int | None = None
        #: The epochs completed where that plan began; whether it is over whatever it says, as by early stopping.
        self._plan_began, self._over = 0, False
        self._until: int | None = None
        #: The epochs after which the going pauses, before the goal; None: it goes to the goal.
        self._until_epoch: int | None = None
        #: Beginning and goal of the newest run.
        self._last: tuple[int, int] | None = None

    @property
    def paused(self) -> bool:
        """Whether something waits to be gone on with."""
        return self.ending == "paused"

    @property
    def last_epoch(self) -> int | None:
        """How many epochs will be completed when the going ends by itself."""
        return self.goal if self._until_epoch is None else self._until_epoch

    @property
    def newest_goal(self) -> int | None:
        """The goal of the newest run, ended or not; None before any."""
        return self.goal if self.goal is not None or self._last is None else self._last[1]

    def start(self, done: int, epochs: int, only: bool = False) -> None:
        """Go on with the run there is, or begin one.

        With `only`, the run pauses after that many more, its goal as it was; another begins if they are
        more than it has left.
        """
        with self._lock:
            if self.goal is None or (only and done + epochs > self.goal):
                self.began, self.goal = done, done + epochs
                self.runs += 1
                if not only or self.planned is None or self.goal > self._plan_began + self.planned:
                    self._plan_began = done
                self._over = False
            self._last = self.began, self.goal
            self._go(None)
            if only and done + epochs < self.goal:
                self._until_epoch = done + epochs

    def step(self, until: int) -> None:
        """Go until `until` steps have been taken in all, then pause."""
        with self._lock:
            self._go(until)

    def pause(self) -> None:
        """Pause after the current step."""
        with self._lock:
            self.given += 1
            if self.going:
                self.going, self.ending = False, "paused"

    def stop(self) -> None:
        """Stop after the current step, also a run that paused or failed."""
        with self._lock:
            self.given += 1
            if self.going or self.ending in ("paused", "failed"):
                self.going, self.ending = False, "stopped"
            self.goal = self._until = self._until_epoch = None

    def fail(self) -> None:
        """Stop since something went wrong; the run can be resumed."""
        with self._lock:
            self._end("failed")

    def finish(self) -> None:
        """Take no step: there is nothing left to do."""
        with self._lock:
            self._end("done")
            self.goal, self._over = None, True

    def epochs_changed(self, epochs: int) -> None:
        """Move the goal of the run there is."""
        with self._lock:
            self.planned = epochs
            if self.goal is not None:
                self.goal = self.began + epochs
                self._last = self.began, self.goal

    def arrive(self, epochs: int) -> None:
        """Wait where the run was taken, unless ordered on meanwhile."""
        with self._lock:
            if self.goal is None and self._last is not None:
                self.began, self.goal = self._last
            self.began = min(self.began, epochs)
            if self.goal is not None and self.goal <= epochs:
                self.goal = None
            self.complete = False
            if not self.going or (self.goal is None and self._until is None):
                self._end("paused")

    def left(self) -> dict[str, Any]:
        """Return what is left of the newest run, for another kernel."""
        with self._lock:
            began, goal = self.began, self.goal
            if goal is None and self.ending in ("done", "stopped") and self._last is not None:
                began, goal = self._last
            done = self.ending == "done"
            # fit(1) of a run that is to have two leaves one.
            if goal is not None and self.planned is not None and not self._over:
                if (plan := self._plan_began + self.planned) > goal:
                    began, goal, done = self._plan_began, plan, False
            return {"began": began, "goal": goal, "done": done, "planned": self.planned}

    def take_over(self, began: int, goal: int | None, done: bool, planned: int | None = None) -> None:
        """Take over another kernel's run, to be resumed or done."""
        with self._lock:
            self.planned, self._plan_began, self._over = planned, began, done
            self.began, self.goal, self.complete = began, None if done else goal, done
            self._last = None if goal is None else (began, goal)
            self._end("done" if done else "paused")

    def proceed(self, steps: int, epochs: int, midway: bool = False) -> bool:
        """Say whether to take a step; asked before each.

        An epoch that is `midway` is not broken off, even if the goal was moved before it.
        """
        with self._lock:
            if not self.going:
                return False
            # A run that ends with the very step that was asked for is done, not paused.
            if self.goal is not None and epochs >= self.goal and not midway:
                self._end("done")
                self.goal = None
            elif self._until is not None and steps >= self._until:
                self._end("paused")
            elif self._until_epoch is not None and epochs >= self._until_epoch and not midway:
                self._end("paused")
            return self.going

    def _go(self, until: int | None) -> None:
        self.given += 1
        self.complete = False
        self.going, self.ending, self._until, self._until_epoch = True, "", until, None

    def _end(self, how: str) -> None:
        self.going, self.ending, self._until, self._until_epoch = False, how, None, None
