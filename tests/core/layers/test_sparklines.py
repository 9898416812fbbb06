"""The history behind the spark lines: what is kept, what is joined, what is sent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlwidgets.core.layers.probes import LayerStats
from dlwidgets.core.layers.sparklines import LOWEST, STEP, Sparklines


def measured(step: int, **ratios: float) -> LayerStats:
    """Return what a step did to layers by name, of which only the ratio matters here."""
    values = np.array(list(ratios.values()), np.float32)
    return LayerStats(step, list(ratios), values, values, values, np.isfinite(values))


def read(sparks: Sparklines, path: str, most: int | None = None) -> np.ndarray:
    """Return a layer's history as the page reads it: ratios, NaN for a gap."""
    packed, points = sparks.packed([path], most)
    q = np.frombuffer(packed, np.uint8).astype(float)
    assert len(q) == points
    return np.where(q > 0, 10 ** (LOWEST + STEP * (q - 1)), np.nan)


@given(st.lists(st.floats(1e-8, 10.0), min_size=1, max_size=120))
def test_what_is_read_is_what_was_measured_within_a_twentieth(ratios):
    sparks = Sparklines()
    for step, ratio in enumerate(ratios):
        sparks.add(measured(step + 1, w=ratio), now=float(step))
    np.testing.assert_allclose(read(sparks, "w"), np.float32(ratios), rtol=0.05)
    assert sparks.since == 1


def test_a_run_that_began_not_long_ago_is_kept_whole():
    sparks = Sparklines(points=40, span=40.0)
    for step in range(120):
        sparks.add(measured(step + 1, w=1e-5 * 10 ** (step / 40)), now=0.25 * step)
    values = read(sparks, "w")
    assert sparks.since == 1 and 15 <= len(values) <= 40
    assert values[0] == pytest.approx(1e-5, rel=0.3)
    assert values[-1] == pytest.approx(1e-5 * 10 ** (119 / 40), rel=0.3)
    assert (np.diff(np.log10(values)) >= 0).all()


def test_of_a_long_run_the_last_minutes_are_kept():
    sparks = Sparklines(points=40, span=40.0)
    for step in range(1000):
        sparks.add(measured(step + 1, w=1e-3), now=0.25 * step)
    assert len(read(sparks, "w")) == 40
    # 40 points of at least a second each, four steps a second.
    assert 1000 - sparks.since == pytest.approx(4 * 40, abs=12)


def test_steps_that_are_measured_rarely_are_never_joined():
    sparks = Sparklines(points=10, span=10.0)
    for step in range(25):
        sparks.add(measured(step + 1, w=10.0 ** -(step % 5)), now=7.0 * step)
    np.testing.assert_allclose(read(sparks, "w"), [10.0 ** -(step % 5) for step in range(15, 25)], rtol=0.05)
    assert sparks.since == 16


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.floats(1e-6, 1.0)), min_size=1, max_size=300))
def test_however_often_it_is_measured_the_room_is_enough_and_no_value_is_invented(steps):
    sparks, now = Sparklines(points=16, span=20.0), 0.0
    for step, (gap, ratio) in enumerate(steps):
        now += gap
        sparks.add(measured(step + 1, w=ratio), now)
    values, given_ = read(sparks, "w"), [ratio for _, ratio in steps]
    assert 1 <= len(values) <= 16
    assert (values >= 0.95 * min(given_)).all() and (values <= 1.05 * max(given_)).all()


def test_weights_that_do_not_move_stand_at_the_bottom_and_what_is_not_finite_leaves_a_gap():
    sparks = Sparklines()
    for step, ratio in enumerate([1e-3, 0.0, np.nan, np.inf, 1e-3]):
        sparks.add(measured(step + 1, w=ratio), now=float(step))
    assert read(sparks, "w")[1] == pytest.approx(10**LOWEST)
    assert np.isnan(read(sparks, "w")).tolist() == [False, False, True, True, False]


def test_a_layer_that_is_frozen_or_thawed_on_the_way_has_a_gap_there():
    sparks = Sparklines()
    sparks.add(measured(1, a=1e-3), now=0.0)
    sparks.add(measured(2, b=1e-2, a=1e-3), now=1.0)
    sparks.add(measured(3, b=1e-2), now=2.0)
    assert np.isnan(read(sparks, "a")).tolist() == [False, False, True]
    assert np.isnan(read(sparks, "b")).tolist() == [True, False, False]
    assert np.isnan(read(sparks, "stranger")).all()


def test_fewer_points_are_sent_where_there_is_no_room_for_all_the_newest_among_them():
    sparks = Sparklines()
    for step in range(100):
        sparks.add(measured(step + 1, w=1e-6 if step < 99 else 1e-1), now=float(step))
    for most in (0, 1, 7, 50, 99, 100, 500):
        values = read(sparks, "w", most)
        assert len(values) <= most
        if most:
            assert values[-1] == pytest.approx(1e-1, rel=0.05) and len(values) >= min(100, most) // 2
