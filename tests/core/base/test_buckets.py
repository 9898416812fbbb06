"""Curves as a few hundred buckets, compared with plain numpy over the rows of each bucket."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlwidgets.core.base.buckets import Curve, EvaluationSeries
from dlwidgets.core.base.history import GrowingColumn, History


def column(values) -> GrowingColumn:
    made = GrowingColumn()
    for value in values:
        made.append(value)
    return made


def fill(values: np.ndarray) -> GrowingColumn:
    """Return a column of many values, in little time."""
    made = GrowingColumn()
    made._array, made._length = np.asarray(values, float), len(values)
    return made


def check(values: np.ndarray, first: int, last: int, most: int, curve: Curve | None = None) -> None:
    """Check every bucket against the rows it stands for: those after the bucket before, up to its step."""
    got = (curve or Curve(fill(values))).buckets(first, last, most)
    stretch = values[first - 1 : last]
    known = stretch[~np.isnan(stretch)]
    assert all(array.dtype == np.float32 for array in got) and len({len(array) for array in got}) == 1
    assert len(got.step) <= most
    assert (len(got.step) > 0) == (len(known) > 0)
    before, seen = first - 1, 0
    for step, low, high, mean in zip(*got):
        rows = values[before : int(step)]
        rows = rows[~np.isnan(rows)]
        assert len(rows), "a bucket in which nothing was measured is left out"
        assert (low, high) == (np.float32(rows.min()), np.float32(rows.max()))
        np.testing.assert_allclose(mean, rows.mean(), rtol=1e-6, atol=1e-6 * np.abs(rows).max())
        before, seen = int(step), seen + len(rows)
    assert seen == len(known), "a row is missing"


NUMBERS = st.one_of(st.floats(-1e6, 1e6, width=32), st.just(float("nan")))


@given(st.lists(NUMBERS, max_size=300), st.integers(1, 40), st.data())
def test_every_bucket_is_the_least_greatest_and_mean_of_its_rows(values, most, data):
    values = np.array(values, float)
    first = data.draw(st.integers(1, max(1, len(values))))
    last = data.draw(st.integers(first, max(first, len(values))))
    check(values, first, min(last, len(values)), most)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 200_000), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.9, 0.999]),
    st.sampled_from([1, 2, 7, 50, 400]), st.data(),
)  # fmt: skip
def test_a_long_column_is_cut_as_exactly_as_a_short_one(length, seed, missing, most, data):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=length)
    values[rng.random(length) < missing] = np.nan
    first = data.draw(st.integers(1, length))
    check(values, first, data.draw(st.integers(first, length)), most)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=12), st.integers(1, 60))
def test_a_column_that_grows_between_pictures_is_drawn_like_one_that_was_there(growth, most):
    rng = np.random.default_rng(0)
    values = rng.normal(size=sum(growth))
    growing = GrowingColumn()
    curve, length = Curve(growing), 0
    for more in growth:
        for value in values[length : length + more]:
            growing.append(value)
        length += more
        check(values[:length], 1, length, most, curve)
        for one, other in zip(curve.buckets(most=most), Curve(fill(values[:length])).buckets(most=most)):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("length", [10, 399, 400, 401, 30_000, 300_001])
def test_one_peak_and_one_dip_are_never_lost(length):
    rng = np.random.default_rng(length)
    for at in rng.integers(0, length, 20):
        values = np.zeros(length)
        values[at], values[(at + length // 2) % length] = 1.0, -1.0
        got = Curve(fill(values)).buckets()
        assert (got.high.max(), got.low.min()) == (1.0, -1.0)


@pytest.mark.parametrize("length", [1, 17, 401, 6401, 102_403, 1_000_003])
def test_the_newest_step_is_always_there(length):
    assert Curve(fill(np.arange(length))).buckets().step[-1] == length


@pytest.mark.parametrize("length", [500, 5000, 50_000, 500_000])
def test_at_least_half_of_the_buckets_allowed_are_used(length):
    assert 200 <= len(Curve(fill(np.zeros(length))).buckets(most=400).step) <= 400


def test_what_was_drawn_once_stays_while_the_curve_grows():
    values = np.random.default_rng(0).normal(size=1100)
    before, after = (Curve(fill(values[:length])).buckets(most=400) for length in (900, 1100))
    for one, other in zip(before, after):
        # All but the last bucket, which was not full.
        np.testing.assert_array_equal(one[:-1], other[: len(one) - 1])


def test_nothing_measured_is_nothing_drawn():
    for curve in (Curve(GrowingColumn()), Curve(column([np.nan] * 50)), Curve(fill(np.full(50_000, np.nan)))):
        assert [len(array) for array in curve.buckets()] == [0, 0, 0, 0]


@pytest.mark.parametrize(("first", "last"), [(5, 4), (200, 300), (1, 0), (101, None), (-5, 0)])
def test_a_stretch_without_steps_is_empty(first, last):
    assert not len(Curve(fill(np.zeros(100))).buckets(first, last).step)


def test_a_stretch_that_reaches_beyond_is_cut_to_what_is_there():
    got = Curve(fill(np.arange(100.0))).buckets(-7, 1000)
    assert (got.step[0], got.step[-1], len(got.step)) == (1, 100, 100)


def test_infinite_and_huge_values_warn_of_nothing_and_hide_nothing_else():
    values = np.ones(50_000)
    values[[3, 20_000]] = np.inf, -np.inf
    values[40_000] = 1e300
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = Curve(fill(values)).buckets()
    assert np.isinf(got.high).sum() == 2 and np.isinf(got.low).sum() == 1
    assert np.isfinite(got.mean).sum() >= len(got.mean) - 3


def test_no_bucket_at_all_is_refused():
    with pytest.raises(ValueError, match="most=0"):
        Curve(GrowingColumn()).buckets(most=0)


def test_pictures_may_be_made_on_several_threads_while_the_column_grows():
    growing = GrowingColumn()
    curve, over, wrong = Curve(growing), threading.Event(), []

    def look():
        while not over.is_set():
            got = curve.buckets(most=100)
            # Row i holds i: any bucket says which rows it was made of.
            steps = np.concatenate([[0], got.step])
            if not (np.array_equal(got.low, steps[:-1]) and np.array_equal(got.high, steps[1:] - 1)):
                wrong.append(got)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for thread in lookers:
        thread.start()
    for value in range(120_000):
        growing.append(value)
    over.set()
    for thread in lookers:
        thread.join(20)
        assert not thread.is_alive()
    assert not wrong
    check(np.arange(120_000.0), 1, 120_000, 100, curve)


# -- evaluations


def evaluated(losses) -> History:
    history = History()
    for n, loss in enumerate(losses, 1):
        history.evaluation(10 * n, valid_loss=loss)
    return history


def test_few_evaluations_are_all_there_and_one_more_beyond_each_edge():
    values = EvaluationSeries(evaluated([0.5, 0.4, 0.3, 0.2, 0.1]))
    assert [array.tolist() for array in values.within()] == [[10, 20, 30, 40, 50], [0.5, 0.4, 0.3, 0.2, 0.1]]
    assert values.within(20, 30)[0].tolist() == [10, 20, 30, 40]
    assert values.within(22, 27)[0].tolist() == [20, 30]
    assert values.within(60, 90)[0].tolist() == [50]
    assert [len(array) for array in EvaluationSeries(History()).within()] == [0, 0]


def test_an_evaluation_that_is_made_again_takes_the_place_of_the_one_before():
    history = evaluated([0.5, 0.4])
    values = EvaluationSeries(history)
    assert values.within()[1].tolist() == [0.5, 0.4]
    history.evaluation(20, valid_loss=0.35)
    assert values.within()[1].tolist() == [0.5, 0.35]
    history.evaluation(30, valid_loss=0.3)
    assert [array.tolist() for array in values.within()] == [[10, 20, 30], [0.5, 0.35, 0.3]]


@given(st.integers(0, 2**32 - 1), st.integers(2, 50), st.sampled_from([0.0, 0.2]))
def test_many_evaluations_keep_every_extreme_and_the_newest(seed, most, missing):
    rng = np.random.default_rng(seed)
    losses = rng.normal(size=int(rng.integers(1, 600)))
    losses[rng.random(len(losses)) < missing] = np.nan
    steps, values = EvaluationSeries(evaluated(losses)).within(most=most)
    assert len(steps) <= 2 * most and (np.diff(steps) >= 0).all()
    assert steps[-1] == 10 * len(losses)
    np.testing.assert_equal(values[-1], losses[-1])
    known, kept = losses[~np.isnan(losses)], values[np.isfinite(values)]
    if len(known):
        assert (kept.min(), kept.max()) == (known.min(), known.max())
