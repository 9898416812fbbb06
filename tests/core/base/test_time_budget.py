"""The governor: optional work takes at most its share of the time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlwidgets.core.base.time_budget import Governor


@given(
    costs=st.lists(st.floats(1e-4, 2.0), min_size=1, max_size=50), budget=st.floats(0.01, 1.0),
    tick=st.floats(1e-3, 0.5),
)  # fmt: skip
def test_work_of_steady_cost_takes_at_most_its_budget(costs, budget, tick):
    governor, now, spent, times = Governor(budget, least=0.0), 0.0, 0.0, 0
    cost = costs[0]
    for _ in range(200):
        if governor.due(now):
            now += cost
            governor.spent(cost, now)
            spent, times = spent + cost, times + 1
        now += tick
    # The last piece of work has not been paid for yet.
    assert spent - cost <= budget * now * (1 + 1e-9)
    assert times >= 1


def test_work_is_due_at_once_and_not_sooner_than_the_least_interval():
    governor = Governor(0.5, least=1.0)
    assert governor.due(0.0)
    governor.spent(0.001, 0.0)
    assert not governor.due(0.9)
    assert governor.due(1.0)


def test_one_slow_run_does_not_silence_the_work_for_long():
    governor = Governor(0.1, least=0.0)
    for cost in [10.0] + [0.01] * 12:
        governor.spent(cost, 0.0)
    assert governor.interval < 10.0


@pytest.mark.parametrize("budget", [0, -1, 1.5])
def test_a_budget_is_a_share(budget):
    with pytest.raises(ValueError, match="budget is a share of the time"):
        Governor(budget)
