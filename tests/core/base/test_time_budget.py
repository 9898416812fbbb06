"""The time budget: optional work takes at most its share of the time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlwidgets.core.base.time_budget import TimeBudget


@given(
    costs=st.lists(st.floats(1e-4, 2.0), min_size=1, max_size=50), budget=st.floats(0.01, 1.0),
    tick=st.floats(1e-3, 0.5),
)  # fmt: skip
def test_work_of_steady_cost_takes_at_most_its_budget(costs, budget, tick):
    work, now, spent, times = TimeBudget(budget, least=0.0), 0.0, 0.0, 0
    cost = costs[0]
    for _ in range(200):
        if work.due(now):
            now += cost
            work.spent(cost, now)
            spent, times = spent + cost, times + 1
        now += tick
    # The last piece of work has not been paid for yet, nor the first, which says little of the cost.
    assert spent - 2 * cost <= budget * now * (1 + 1e-9)
    assert times >= 1


def test_work_is_due_at_once_and_not_sooner_than_the_least_interval():
    work = TimeBudget(0.5, least=1.0)
    assert work.due(0.0)
    work.spent(0.001, 0.0)
    assert not work.due(0.9)
    assert work.due(1.0)


def test_a_slow_run_does_not_silence_the_work_for_long():
    work = TimeBudget(0.1, least=0.0)
    for cost in [10.0, 0.01, 0.01, 5.0, 0.01, 7.0, 0.01, 0.01]:
        work.spent(cost, 0.0)
        assert work.interval <= 2.0


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_a_share_is_at_most_all(share):
    with pytest.raises(ValueError, match="share is a part of the time"):
        TimeBudget(share)
