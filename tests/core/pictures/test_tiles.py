"""tiles(): maps as bytes, whose error is known; statistics(): a tensor in four numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dlwidgets.core.pictures.statistics import compute_statistics
from dlwidgets.core.pictures.tiles import LIVE_BUDGET, Tiles, make_tiles

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=32)
MAPS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=FLOATS)
FINITE = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
)
#: Rounding of float32 itself, relative to the scale, on top of half a step.
ROUNDING = 1e-6


@given(MAPS, st.sampled_from(["map", "layer"]))
def test_each_value_comes_back_within_half_a_step(maps, per):
    made = make_tiles(torch.from_numpy(maps), per=per)
    finite = np.isfinite(maps)
    read, scale = made.values().astype(float), made.scale.astype(float)[:, None, None]
    off = np.abs(np.where(finite, read, 0) - np.where(finite, maps, 0))
    assert (off <= scale / 254 + scale * ROUNDING + np.finfo(np.float32).smallest_subnormal).all()


@given(MAPS, st.sampled_from(["map", "layer"]))
def test_zero_is_exact_and_no_sign_turns(maps, per):
    read = make_tiles(torch.from_numpy(maps), per=per).values()
    assert (read[maps == 0] == 0).all()
    assert not ((read > 0) & (maps < 0)).any()
    assert not ((read < 0) & (maps > 0)).any()


@given(MAPS)
def test_what_is_not_finite_and_nothing_else_reads_as_nan(maps):
    assert np.array_equal(np.isnan(make_tiles(torch.from_numpy(maps)).values()), ~np.isfinite(maps))


@given(MAPS)
def test_the_scale_is_the_largest_finite_value_of_a_map_or_of_all(maps):
    sizes = np.where(np.isfinite(maps), np.abs(maps), 0).max((1, 2))
    assert np.array_equal(make_tiles(torch.from_numpy(maps), per="map").scale, sizes)
    assert np.array_equal(
        make_tiles(torch.from_numpy(maps), per="layer").scale, np.full(len(maps), sizes.max())
    )


@given(FINITE)
def test_the_largest_value_of_each_map_comes_back_exactly(maps):
    read = make_tiles(torch.from_numpy(maps)).values()
    assert np.allclose(np.abs(read).max((1, 2)), np.abs(maps).max((1, 2)), rtol=1e-6, atol=1e-44)


@given(FINITE)
def test_zeros_mean_and_dead_maps_are_those_of_numpy(maps):
    made = make_tiles(torch.from_numpy(maps))
    assert np.allclose(made.zeros, (maps == 0).mean((1, 2)))
    assert np.array_equal(made.dead, (maps == 0).all((1, 2)))
    wide = maps.astype(float)
    assert np.allclose(made.mean, wide.mean((1, 2)), rtol=1e-4, atol=1e-5 * np.abs(wide).max() + 1e-44)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 700), st.integers(1, 80), st.integers(1, 80), st.sampled_from([500, LIVE_BUDGET, 300_000])
)
def test_the_maps_never_take_more_than_the_budget(count, height, width, budget):
    made = make_tiles(torch.ones(count, height, width), budget=budget)
    assert made.maps.nbytes <= budget
    assert made.total == count
    assert made.shape == (height, width)


@settings(max_examples=30, deadline=None)
@given(st.integers(7, 90), st.integers(7, 90), st.integers(60, 500))
def test_a_smaller_map_holds_the_mean_of_each_block(height, width, budget):
    values = torch.rand(1, height, width, generator=torch.Generator().manual_seed(height * width)) - 0.5
    made = make_tiles(values, budget=budget)
    rows, columns = made.block
    plain = values[0].numpy().astype(float)
    means = np.array(
        [
            [plain[r : r + rows, c : c + columns].mean() for c in range(0, width, columns)]
            for r in range(0, height, rows)
        ]
    )
    assert made.maps.shape[1:] == means.shape
    assert np.abs(made.values()[0] - means).max() <= made.scale[0] / 254 * (1 + 1e-3)


def test_a_smaller_budget_costs_sharpness_before_it_costs_maps():
    full, live = make_tiles(torch.rand(64, 56, 56)), make_tiles(torch.rand(64, 56, 56), budget=LIVE_BUDGET)
    assert full.block == (1, 1)
    assert live.block == (2, 2)
    assert len(full.maps) == len(live.maps) == 64


def test_very_many_maps_are_cut_and_counted():
    made = make_tiles(torch.rand(3000, 7, 7))
    assert (len(made.maps), made.total) == (512, 3000)


def test_256_maps_of_28_x_28_are_sent_as_they_are():
    made = make_tiles(torch.rand(256, 28, 28))
    assert (made.block, len(made.maps)) == ((1, 1), 256)


@given(st.integers(1, 40), st.integers(0, 10_000), st.integers(20, 2000))
def test_maps_stand_in_the_order_asked_for_and_say_which_they_are(count, seed, budget):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(count, 4, 5, generator=generator)
    order = torch.randperm(count, generator=generator).tolist()
    made = make_tiles(maps, budget=budget, order=order)
    assert made.numbers.tolist() == order[: len(made.maps)]
    expected = maps[made.numbers]
    assert np.abs(made.values() - expected.numpy()).max() <= made.scale.max() / 254 * 1.001


def test_an_order_that_is_no_order_is_refused():
    with pytest.raises(ValueError, match="each of the 3 maps once"):
        make_tiles(torch.rand(3, 2, 2), order=[0, 1, 1])


def test_an_average_of_large_values_does_not_overflow():
    assert np.isfinite(make_tiles(torch.full((1, 64, 64), 3e38), budget=100).values()).all()


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (torch.tensor([[[True, False]]]), [[[1, 0]]]),
        (torch.tensor([[[3 + 4j, 0]]]), [[[5, 0]]]),
        (torch.tensor([[[127, -127]]], dtype=torch.int8), [[[127, -127]]]),
        (torch.tensor([[[1.0, -1.0]]], dtype=torch.bfloat16), [[[1, -1]]]),
        (torch.quantize_per_tensor(torch.tensor([[[1.0, 0.0]]]), 0.5, 0, torch.qint8), [[[1, 0]]]),
    ],
    ids=["truth", "complex", "integers", "bfloat16", "quantised"],
)
def test_any_kind_of_number_is_drawn(tensor, expected):
    assert make_tiles(tensor).values().tolist() == expected


@pytest.mark.parametrize("shape", [(3, 4), (1, 2, 3, 4), (0, 3, 3), (2, 0, 3)])
def test_what_is_no_stack_of_maps_is_refused(shape):
    with pytest.raises(ValueError, match="C x H x W"):
        make_tiles(torch.zeros(shape))


@pytest.mark.parametrize("wrong", [{"per": "channel"}, {"budget": 0}, {"most": 0}])
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_tiles(torch.zeros(1, 2, 2), **wrong)


def test_a_value_is_read_as_the_docstring_says():
    made = Tiles(
        maps=np.array([[[0, 1, 128, 255]]], np.uint8),
        scale=np.array([2.0], np.float32),
        block=(1, 1),
        total=1,
        shape=(1, 4),
        mean=np.zeros(1, np.float32),
        zeros=np.zeros(1, np.float32),
        numbers=np.zeros(1, np.int64),
    )
    assert np.array_equal(made.values(), np.array([[[np.nan, -2, 0, 2]]], np.float32), equal_nan=True)


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=4), elements=FLOATS))
def test_statistics_are_those_of_numpy_over_the_finite_values(values):
    found = compute_statistics(torch.from_numpy(values))
    finite = values[np.isfinite(values)].astype(float)
    if finite.size:
        assert found.mean == pytest.approx(finite.mean(), rel=1e-9, abs=1e-12 * np.abs(finite).max() + 1e-300)
        assert found.std == pytest.approx(finite.std(), rel=1e-6, abs=1e-9 * np.abs(finite).max() + 1e-300)
    else:
        assert np.isnan(found.mean)
        assert np.isnan(found.std)
    assert found.zeros == pytest.approx((values == 0).mean())
    assert found.nonfinite == pytest.approx(1 - finite.size / values.size)


def test_statistics_of_nothing_are_nan():
    assert np.isnan(compute_statistics(torch.empty(0, 3)).mean)
