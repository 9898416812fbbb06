"""Wishes put in force: what was asked for is noted at once, and holds from the next step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ..base.loan import Standing
from ..controls.steering import Steering
from .orders import Orders
from .worker import Worker

if TYPE_CHECKING:
    from .loop import Loop
    from .snapshots.timeline import Timeline


class Applying:
    """What of a `Trainer` takes wishes from any thread, and puts them in force on its own between two steps."""

    loop: Loop
    orders: Orders
    worker: Worker
    steering: Steering
    timeline: Timeline
    _wish: Callable[[str], Any]
    _tell: Callable[..., None]
    _asked: dict[str, str]
    _asking: threading.Lock
    _end_moved: bool
    _end_news: bool

    # -- any thread

    def asked(self, name: str, by: str) -> Future[Any] | None:
        """Note that the wish `name` changed, and who asked; the newest value holds from the next step.

        What holds without one too (`Steering.AT_REST`) gives a Future where no step is to be taken.
        """
        with self._asking:
            self._asked[name] = by
        if name not in Steering.AT_REST or self.orders.going:
            return None
        return self.worker.job(self._apply_at_rest)

    def epochs_changed(self, epochs: int) -> None:
        """Move the goal of the run there is; a schedule that was fitted to the run follows with the next step."""
        self.orders.epochs_changed(epochs)
        if self.orders.goal is not None and self.loop.steps:
            self._end_moved = self._end_news = True

    def waits(self, name: str) -> bool:
        """Say whether the wish `name` has changed and is not in force, or rejected, yet."""
        with self._asking:
            return name in self._asked

    # -- the training thread

    def _apply(self) -> None:
        """Put the wishes in force, and tell what came of them."""
        with self._asking:
            asked, self._asked = self._asked, {}
        self._put(asked)

    def _apply_at_rest(self) -> None:
        """Put those wishes in force that a model at rest shows, and tell what came of them."""
        with self._asking:
            asked = {name: self._asked.pop(name) for name in Steering.AT_REST if name in self._asked}
        self._put(asked)

    def _apply_early(self, standing: Standing) -> None:
        """Put the wishes in force in the midst of an evaluation, where it and they know nothing of one another.

        It belongs to the step before it, as they do: they might as well have come before it began.

        Parameters
        ----------
        standing : how all stood when the evaluation began.
        """
        with self._asking:
            if not self._asked or not self._asked.keys() <= set(Steering.OF_THE_STEP):
                return
            asked, self._asked = self._asked, {}
        with standing.again():
            self._put(asked)

    def _put(self, asked: dict[str, str]) -> None:
        if asked:
            self.put({name: self._wish(name) for name in asked}, asked)

    def put(self, wishes: Mapping[str, Any], by: Mapping[str, str]) -> None:
        """Put wishes in force, by whom each was asked for, and tell; for the training thread."""
        # What else is asked for at the same time is asked of the new optimizer, and a rate of the new schedule; a
        # first schedule begins from that rate.
        last = ("lr", "schedule") if self.loop.rate.plan is None else ("schedule", "lr")
        order = sorted(wishes, key=lambda name: name != "optimizer" and 1 + (name in last and last.index(name)))
        self.timeline.before_change()
        self._put_entries(lambda: [self.steering.put(name, wishes[name], by[name]) for name in order])
        adopted, self.steering.adopted = self.steering.adopted, {}
        adopted = {name: one for name, one in adopted.items() if name not in wishes and not self.waits(name)}
        if adopted:
            self._tell(wishes=adopted)
        self._tell(applied=self.steering.applied(), rejected=dict(self.steering.rejected))

    def _put_entries(self, work: Callable[[], Any]) -> None:
        """Do what may write into the ledger, and have the timeline know of it."""
        known = len(self.steering.ledger)
        work()
        self.timeline.changed(self.steering.ledger.entries[known:])

    def _follow_end(self) -> None:
        """Have a schedule that was fitted to the run end with it, now that its end is another."""
        self._end_news = False
        if self.loop.rate.plan is not None:
            self.timeline.before_change()
            self._put_entries(self.steering.stretch_schedule)
            self._tell(applied=self.steering.applied())
