"""The random states: seeded apart from the global ones, and put back to a mark."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from dlwidgets.core.base.random_state import RandomMark, RandomStates


def draws():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random(), np.random.randn()


def seed(number):
    torch.manual_seed(number), np.random.seed(number), random.seed(number)


@pytest.mark.parametrize("number", [0, 7, -3, 2**40])
def test_seeded_streams_are_those_of_manual_seed_and_leave_the_global_ones_alone(number):
    seed(1)
    expected_here = draws()
    seed(1)
    streams = RandomStates.from_seed(number)
    assert draws() == expected_here
    streams.install()
    found = draws()
    torch.manual_seed(number), np.random.seed(number % 2**32), random.seed(number)
    assert found == draws()


def torch_only():
    return torch.rand(2).tolist()


def all_three():
    return draws()


def numpy_gauss():
    return np.random.randn()


@pytest.mark.parametrize("draw", [torch_only, all_three, numpy_gauss])
def test_after_going_back_to_a_mark_the_same_numbers_come(draw):
    seed(0)
    expected = [draw() for _ in range(40)]
    seed(0)
    mark, found = RandomMark(), []
    for number in range(40):
        mark.set()
        if number % 7 == 0:
            draw()
            mark.restore()
            mark.set()
            draw()
            mark.restore()
        found.append(draw())
    assert found == expected


def test_setting_a_mark_is_cheap_where_only_torch_draws(monkeypatch):
    mark = RandomMark()
    mark.set(), torch.rand(1), mark.set()
    monkeypatch.setattr(random, "getstate", lambda: pytest.fail("python's generator was read"))
    monkeypatch.setattr(mark._time_budget, "due", lambda: False)
    for _ in range(5):
        torch.rand(1)
        mark.set()
