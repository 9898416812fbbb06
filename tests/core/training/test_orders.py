"""Orders: what was asked of a run, whether steps are to be taken, and how it ended."""

from __future__ import annotations

import threading

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dlwidgets.core.training.orders import Orders

EACH = 4  # steps an epoch


class Run:
    """A loop that asks before each step, as the training thread does."""

    def __init__(self, orders):
        self.orders, self.steps = orders, 0

    @property
    def epochs(self):
        return self.steps // EACH

    def until_it_stops(self, most=1000):
        while most and self.orders.proceed(self.steps, self.epochs, self.steps % EACH > 0):
            self.steps += 1
            most -= 1
        return self.steps


def test_a_run_is_done_after_its_epochs():
    orders = Orders()
    run = Run(orders)
    orders.start(run.epochs, 3)
    assert run.until_it_stops() == 12
    assert (orders.going, orders.ending, orders.goal) == (False, "done", None)


def test_another_run_goes_on_from_there():
    orders = Orders()
    run = Run(orders)
    for _ in range(2):
        orders.start(run.epochs, 3)
        run.until_it_stops()
    assert run.steps == 24


def test_a_paused_run_still_has_to_do_what_was_left():
    orders = Orders()
    run = Run(orders)
    orders.start(0, 3)
    run.until_it_stops(5)
    orders.pause()
    assert run.until_it_stops() == 5
    assert (orders.paused, orders.ending) == (True, "paused")
    orders.start(run.epochs, 3)
    assert run.until_it_stops() == 12


def test_steps_are_taken_and_then_it_pauses_and_a_run_keeps_its_goal():
    orders = Orders()
    run = Run(orders)
    orders.step(until=2)
    assert run.until_it_stops() == 2
    assert (orders.ending, orders.goal) == ("paused", None)
    orders.start(run.epochs, 2)
    run.until_it_stops(3)
    orders.step(until=run.steps + 1)
    assert run.until_it_stops() == 6
    orders.start(run.epochs, 2)
    assert run.until_it_stops() == 8


def test_a_run_that_ends_with_the_very_step_that_was_asked_for_is_done():
    orders = Orders()
    run = Run(orders)
    orders.start(0, 1)
    orders.step(until=4)
    assert run.until_it_stops() == 4
    assert orders.ending == "done"


def test_a_pause_in_the_last_step_of_a_run_is_a_pause_and_going_on_is_done_at_once():
    orders = Orders()
    run = Run(orders)
    orders.start(0, 1)
    run.until_it_stops(4)
    orders.pause()
    run.until_it_stops()
    assert orders.ending == "paused"
    orders.start(run.epochs, 1)
    assert run.until_it_stops() == 4
    assert orders.ending == "done"


def test_stop_ends_a_run_that_goes_is_paused_or_failed_and_nothing_else():
    orders = Orders()
    orders.stop()
    assert orders.ending == ""
    orders.start(0, 1)
    orders.stop()
    assert (orders.ending, orders.goal) == ("stopped", None)
    for halt in (orders.pause, orders.fail):
        orders.start(0, 1)
        halt()
        orders.stop()
        assert (orders.ending, orders.goal) == ("stopped", None)
    orders.start(0, 1)
    orders.finish()
    orders.stop()
    assert orders.ending == "done"


def test_a_failed_run_can_be_gone_on_with():
    orders = Orders()
    run = Run(orders)
    orders.start(0, 3)
    run.until_it_stops(5)
    orders.fail()
    assert (orders.going, orders.ending, orders.paused) == (False, "failed", False)
    orders.pause()
    assert orders.ending == "failed"
    orders.start(run.epochs, 3)
    assert run.until_it_stops() == 12


def test_the_goal_moves_with_the_epochs_asked_for():
    orders = Orders()
    run = Run(orders)
    orders.start(0, 2)
    run.until_it_stops(5)
    orders.epochs_changed(3)
    assert run.until_it_stops() == 12
    orders.epochs_changed(9)
    assert orders.goal is None
    orders.start(run.epochs, 5)
    run.until_it_stops(6)
    orders.epochs_changed(1)
    assert run.until_it_stops(100) == 20  # the epoch is not broken off
    assert orders.ending == "done"


def test_a_part_of_a_run_leaves_its_goal():
    orders = Orders()
    run = Run(orders)
    orders.start(0, 10)
    run.until_it_stops(8)
    orders.start(run.epochs, 1, only=True)
    assert run.until_it_stops() == 12
    assert (orders.ending, orders.goal) == ("paused", 10)
    orders.start(run.epochs, 7, only=True)
    assert run.until_it_stops() == 40
    assert (orders.ending, orders.goal) == ("done", None)


def test_more_epochs_than_a_run_has_left_are_another_run():
    orders = Orders()
    run = Run(orders)
    orders.start(0, 3)
    run.until_it_stops(8)
    orders.start(run.epochs, 4, only=True)
    assert (orders.runs, orders.goal) == (2, 6)
    assert run.until_it_stops() == 24


class AnyOrders(RuleBasedStateMachine):
    """Orders in any order agree with one another."""

    def __init__(self):
        super().__init__()
        self.orders = Orders()
        self.run = Run(self.orders)

    @rule(epochs=st.integers(1, 3), only=st.booleans())
    def start(self, epochs, only):
        self.orders.start(self.run.epochs, epochs, only)
        assert self.orders.going

    @rule(n=st.integers(1, 6))
    def step(self, n):
        self.orders.step(self.run.steps + n)
        assert self.orders.going

    @rule(what=st.sampled_from(["pause", "stop", "fail", "finish"]))
    def halt(self, what):
        getattr(self.orders, what)()
        assert not self.orders.going

    @rule(most=st.integers(1, 5))
    def some_steps(self, most):
        self.run.until_it_stops(most)

    @precondition(lambda self: self.orders.going)
    @rule()
    def all_steps(self):
        before, goal, until = self.run.steps, self.orders.last_epoch, self.orders._until
        if goal is None and until is None:
            return
        self.run.until_it_stops()
        whole = -(-before // EACH) * EACH
        ends = [
            value for value in (until, None if goal is None else max(whole, goal * EACH)) if value is not None
        ]
        assert self.run.steps == max(before, min(ends))

    @invariant()
    def what_it_says_fits_together(self):
        orders = self.orders
        assert orders.ending in ("", "paused", "stopped", "done", "failed")
        assert not (orders.going and orders.ending)
        assert orders.going or orders._until is None or orders.ending == "paused"
        assert orders.ending not in ("done", "stopped") or orders.goal is None
        assert orders.paused == (orders.ending == "paused")


AnyOrders.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestAnyOrders = AnyOrders.TestCase


def test_many_threads_giving_orders_leave_a_state_that_makes_sense():
    orders = Orders()

    def give():
        for _ in range(2000):
            orders.start(0, 5)
            orders.pause()
            orders.start(3, 5)
            orders.stop()

    threads = [threading.Thread(target=give) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    orders.stop()
    assert (orders.going, orders.goal, orders.ending) == (False, None, "stopped")
