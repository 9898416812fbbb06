"""spread: histograms over time that count what numpy counts, whatever came before and after."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlwidgets.core.activations.study.spread import Spread

LOOKS = st.lists(
    st.tuples(st.floats(1e-3, 1e3), st.integers(0, 2**20)), min_size=1, max_size=12
)  # scale and seed of each look


def values(scale: float, seed: int, count: int = 400) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(count, generator=generator) * scale).relu_() - 0.1 * scale


@given(looks=LOOKS)
@settings(max_examples=30, deadline=None)
def test_each_column_is_numpys_histogram_over_the_range_of_now(looks):
    spread = Spread(bins=32)
    for step, (scale, seed) in enumerate(looks):
        spread.add(step, values(scale, seed))
    for column, (scale, seed) in zip(spread.columns, looks, strict=True):
        seen = values(scale, seed).double().numpy()
        # What lay beyond an earlier, narrower range stays counted as beyond.
        inside = seen[(seen >= -spread.reach) & (seen < spread.reach)]
        expected = np.histogram(inside, 32, (-spread.reach, spread.reach))[0]
        assert np.abs(expected - column.counts).sum() <= column.below + column.above
        assert column.counts.sum() + column.below + column.above == column.total == 400


@given(looks=LOOKS)
@settings(max_examples=20, deadline=None)
def test_the_range_holds_nearly_all_values_and_is_no_more_than_twice_too_wide(looks):
    spread = Spread()
    for step, (scale, seed) in enumerate(looks):
        spread.add(step, values(scale, seed))
        beyond = spread.columns[-1].below + spread.columns[-1].above
        assert beyond <= 0.002 * 400 + 1
    largest = max(float(values(*one).abs().max()) for one in looks)
    assert spread.reach <= 2 * largest


def test_negative_values_lie_below_the_middle_and_zeros_just_above():
    spread = Spread(bins=8)
    spread.add(0, torch.tensor([-0.9, -0.9, 0.0, 0.6]))
    assert spread.reach == 1.0
    assert spread.columns[0].counts.tolist() == [2, 0, 0, 0, 1, 0, 1, 0]
    assert spread.columns[0].zeros == 1


def test_a_layer_that_was_dead_and_wakes_up_keeps_its_zeros_in_their_bin():
    spread = Spread(bins=8)
    spread.add(0, torch.zeros(5))
    spread.add(1, torch.tensor([40.0, -3.0]))
    assert spread.columns[0].counts.tolist() == [0, 0, 0, 0, 5, 0, 0, 0]


@given(looks=LOOKS)
@settings(max_examples=20, deadline=None)
def test_mean_deviation_and_shares_are_those_of_the_tensor(looks):
    spread = Spread()
    for step, (scale, seed) in enumerate(looks):
        seen = values(scale, seed)
        spread.add(step, seen)
        column = spread.columns[-1]
        assert column.mean == pytest.approx(float(seen.double().mean()), rel=1e-9, abs=1e-12)
        assert column.std == pytest.approx(float(seen.double().std(correction=0)), rel=1e-6)
        assert column.zeros == int((seen == 0).sum())


def test_what_is_not_finite_is_counted_apart():
    spread = Spread()
    spread.add(0, torch.tensor([1.0, float("nan"), float("inf"), -1.0]))
    column = spread.columns[0]
    assert (column.nonfinite, column.total, column.mean) == (2, 4, 0.0)


def test_memory_is_bounded_and_time_becomes_coarser_evenly():
    spread = Spread(columns=16)
    for step in range(1000):
        spread.add(step, torch.randn(20, generator=torch.Generator().manual_seed(step)))
        assert len(spread.columns) <= 16
    assert spread.columns[0].step == 0 and spread.columns[-1].last == 999
    for one, two in zip(spread.columns, spread.columns[1:], strict=False):
        assert one.last + 1 == two.step
    assert sum(column.total for column in spread.columns) == 20_000


def test_looks_back_are_put_in_their_place_and_the_same_step_is_not_counted_twice():
    spread = Spread()
    for step in (10, 0, 5, 10, 5):
        spread.add(step, torch.full((3,), float(step + 1)))
    assert [column.step for column in spread.columns] == [0, 5, 10]
    assert [column.mean for column in spread.columns] == [1, 6, 11]


def test_a_step_inside_a_column_of_several_looks_is_left_out():
    spread = Spread(columns=2)
    for step in (0, 10, 20):
        spread.add(step, torch.ones(4))
    before = [column.total for column in spread.columns]
    spread.add(5, torch.ones(4))
    assert [column.total for column in spread.columns] == before == [8, 4]


def test_going_back_lets_go_of_what_came_after():
    spread = Spread()
    for step in range(6):
        spread.add(step, torch.ones(2))
    spread.cut(3)
    assert [column.step for column in spread.columns] == [0, 1, 2, 3]


def test_shades_grow_with_the_share_and_none_is_told_from_few():
    spread = Spread(bins=8)
    spread.add(0, torch.cat([torch.full((9998,), 0.3), torch.tensor([-0.3]), torch.tensor([0.45])]))
    row = spread.shades()[0]
    assert row[0] == 0 and row[6] >= 254 and 0 < row[1] == row[7] < 10


@pytest.mark.parametrize(("bins", "columns"), [(0, 10), (6, 10), (8, 1)])
def test_a_spread_that_could_not_be_halved_is_refused(bins, columns):
    with pytest.raises(ValueError):
        Spread(bins, columns)
