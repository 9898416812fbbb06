"""picture(): which picture suits an output, and verdict(): what the model said about the sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dlwidgets.core.pictures.picture import first_sample, make_picture, sort_maps
from dlwidgets.core.scoring.verdict import verdict


@pytest.mark.parametrize(
    ("output", "layer", "kind", "size"),
    [
        (torch.randn(2, 5, 6, 7), nn.Conv2d(1, 5, 3), "maps", "5 maps"),
        (torch.randn(2, 1, 6, 7), nn.Conv2d(1, 1, 3), "maps", "1 map"),
        (torch.randn(2, 10), nn.Linear(3, 10), "bars", "10 units"),
        (torch.randn(2), None, "bars", "1 unit"),
        (torch.tensor(3.0), None, "bars", "1 unit"),
        (torch.randn(2, 9, 4), nn.Embedding(10, 4), "sequence", "9 × 4"),
        (torch.randn(2, 4, 9), nn.Conv1d(1, 4, 3), "lines", "4 lines"),
        (torch.randn(2, 5, 8, 6, 7), nn.Conv3d(1, 5, 3), "volume", "5 maps"),
        (torch.randn(2, 4, 6, 6).softmax(-1), nn.Softmax(-1), "attention", "4 heads"),
        (
            torch.randn(2, 6, 6).softmax(-1),
            nn.MultiheadAttention(4, 2, batch_first=True),
            "attention",
            "1 head",
        ),
    ],
)
def test_each_kind_of_output_has_its_picture(output, layer, kind, size):
    found = make_picture(output, layer)
    assert found.kind == kind
    assert found.size == size


def test_maps_are_those_of_the_first_sample():
    output = torch.randn(3, 4, 5, 6)
    found = make_picture(output)
    assert np.abs(found.tiles.values() - output[0].numpy()).max() <= found.tiles.scale.max() / 254 * 1.001
    assert found.shape == (4, 5, 6)
    assert found.axes == ("channel", "row", "column")


def test_bars_are_the_very_values():
    output = torch.randn(2, 100)
    assert np.array_equal(make_picture(output).bars, output[0].numpy())


@given(st.integers(1025, 5000), st.integers(0, 10_000))
def test_of_many_units_each_bar_is_the_strongest_of_its_group(count, seed):
    values = torch.randn(1, count, generator=torch.Generator().manual_seed(seed))
    found = make_picture(values)
    assert len(found.bars) <= 1024
    groups = [values[0, start : start + found.group].numpy() for start in range(0, count, found.group)]
    assert found.bars.tolist() == [max(group, key=abs) for group in groups]
    assert found.note == f"each bar is the strongest of {found.group} units"


def test_a_unit_that_is_not_finite_is_not_hidden_by_its_group():
    values = torch.ones(1, 2048)
    values[0, 7] = torch.nan
    assert np.isnan(make_picture(values).bars[3])


def test_a_volume_shows_its_middle_slice_and_says_so():
    output = torch.randn(1, 2, 9, 4, 5)
    found = make_picture(output, nn.Conv3d(1, 2, 3))
    assert (
        np.abs(found.tiles.values() - output[0, :, 4].numpy()).max() <= found.tiles.scale.max() / 254 * 1.001
    )
    assert found.note == "slice 4 of 9 (0 is the first)"


@pytest.mark.parametrize(
    ("layer", "batch_axis"),
    [
        (nn.LSTM(2, 3), 1),
        (nn.LSTM(2, 3, batch_first=True), 0),
        (nn.TransformerEncoderLayer(4, 2, batch_first=False), 1),
        (nn.Conv1d(2, 3, 1), 0),
        (None, 0),
    ],
)
def test_the_batch_axis_is_where_the_layer_has_it(layer, batch_axis):
    output = torch.randn(4, 5, 6)
    assert torch.equal(first_sample(output, layer), output.select(batch_axis, 0))


def test_inside_a_time_first_model_the_axis_of_one_is_the_batch():
    output = torch.randn(7, 1, 6)
    assert torch.equal(first_sample(output, nn.Linear(6, 6)), output[:, 0])


def test_a_convolution_with_one_channel_is_not_taken_for_time_first():
    output = torch.randn(7, 1, 6)
    assert torch.equal(first_sample(output, nn.Conv1d(1, 1, 1)), output[0])


def test_square_maps_are_not_attention_unless_their_rows_sum_to_one():
    assert make_picture(torch.rand(1, 4, 6, 6)).kind == "maps"


def test_what_was_made_smaller_or_left_out_is_said():
    note = make_picture(torch.rand(1, 600, 40, 40)).note
    assert note == "each pixel is the mean of 2 × 2; the first 512 of 600"


def test_the_budget_is_kept_whatever_the_output():
    for shape in [(1, 64, 112, 112), (1, 512, 2048), (1, 197, 768), (1, 2048, 7, 7), (1, 8, 16, 32, 32)]:
        assert make_picture(torch.rand(shape), budget=65_536).tiles.maps.nbytes <= 65_536


# -- the order of the maps, and their numbers


@given(st.integers(1, 30), st.integers(0, 10_000))
def test_maps_are_sorted_by_strength_or_variance_as_numpy_does(count, seed):
    maps = torch.randn(count, 4, 5, generator=torch.Generator().manual_seed(seed))
    values = maps.numpy().reshape(count, -1).astype(float)
    assert sort_maps(maps, "strength") == np.argsort(-np.abs(values).mean(1), kind="stable").tolist()
    assert sort_maps(maps, "variance") == np.argsort(-values.var(1), kind="stable").tolist()
    assert sort_maps(maps, "index") == list(range(count))


def test_equal_maps_keep_their_order_and_what_is_not_finite_comes_first():
    maps = torch.ones(4, 2, 2)
    maps[2, 0, 0] = torch.nan
    assert sort_maps(maps, "strength") == [2, 0, 1, 3]


def test_of_too_many_maps_the_strongest_are_kept_when_sorted_by_strength():
    maps = torch.rand(1, 600, 7, 7) * torch.arange(600)[None, :, None, None]
    found = make_picture(maps, by="strength")
    assert set(found.tiles.numbers) == set(sort_maps(maps[0], "strength")[:512])
    assert found.note == "the strongest 512 of 600"


def test_an_order_that_is_handed_over_is_kept():
    first = make_picture(torch.rand(1, 9, 5, 5), by="strength")
    again = make_picture(torch.rand(1, 9, 5, 5), by="strength", order=first.order)
    assert again.tiles.numbers.tolist() == first.tiles.numbers.tolist()


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="sorted by 'index', 'strength', 'variance', not by 'name'"):
        sort_maps(torch.rand(2, 2, 2), "name")


@pytest.mark.parametrize("at", [0, 3, 99])
def test_any_slice_of_a_volume_can_be_shown(at):
    output = torch.randn(1, 2, 9, 4, 5)
    found = make_picture(output, nn.Conv3d(1, 2, 3), at_slice=at)
    kept = min(at, 8)
    assert found.slices == (9, kept)
    assert np.array_equal(found.close_up(1)[0], output[0, 1, kept].numpy())


def test_channels_that_are_the_last_axis_are_the_maps():
    output = torch.randn(1, 5, 6, 7)
    for found in (make_picture(output, nn.Linear(7, 7)), make_picture(output, nn.GELU(), channels=3)):
        assert found.size == "7 maps"
        assert np.array_equal(found.close_up(2)[0], output[0, :, :, 2].numpy())


def test_an_activation_after_a_1d_convolution_is_lines():
    assert make_picture(torch.randn(1, 4, 9), nn.ReLU(), channels=1).kind == "lines"
    assert make_picture(torch.randn(1, 4, 9), nn.ReLU(), channels=2).kind == "sequence"


def test_attention_over_other_keys_than_queries_is_heads_too():
    found = make_picture(torch.rand(1, 2, 3, 7), attends=True)
    assert (found.kind, found.size) == ("attention", "2 heads")


def test_an_empty_output_is_refused():
    with pytest.raises(ValueError, match=r"empty, \(1, 0, 3\)"):
        make_picture(torch.empty(1, 0, 3))


# -- the verdict

NAMES = ["edema", "mass", "hernia"]


@pytest.mark.parametrize(
    ("scores", "target", "task", "words"),
    [
        ([0.31, 0.1, 0.2], [1, 0, 0], "multilabel", "has edema, missed (0.31)"),
        ([0.93, 0.1, 0.2], [1, 0, 0], "multilabel", "has edema, found (0.93)"),
        ([0.1, 0.1, 0.75], [0, 0, 0], "multilabel", "false alarm: hernia (0.75)"),
        ([0.1, 0.1, 0.2], [0, 0, 0], "multilabel", "has none, none predicted"),
        ([0.1, 0.9, 0.2], None, "multilabel", "predicted mass (0.90)"),
        ([0.1, 0.1, 0.2], None, "multilabel", "none predicted"),
        ([0.2, 0.7, 0.1], 1, "multiclass", "is mass, recognised (0.70)"),
        ([0.2, 0.7, 0.1], 2, "multiclass", "is hernia, taken for mass (0.70)"),
        ([0.2, 0.7, 0.1], [0, 0, 1], "multiclass", "is hernia, taken for mass (0.70)"),
        ([0.2, 0.7, 0.1], None, "multiclass", "taken for mass (0.70)"),
        ([2.1], 2.31, "regression", "is 2.31, predicted 2.1"),
        ([2.1], None, "regression", "predicted 2.1"),
        ([2.1, 3.0, 1.0], None, None, ""),
    ],
)
def test_the_verdict_is_said_in_words(scores, target, task, words):
    assert verdict(scores, target, task, None if len(scores) == 1 else NAMES).words == words


def test_a_threshold_of_each_label_decides():
    found = verdict([0.31, 0.4, 0.2], [1, 0, 0], "multilabel", NAMES, thresholds=[0.3, 0.5, 0.5])
    assert found.words == "has edema, found (0.31)"


def test_a_score_at_the_threshold_is_predicted():
    assert "found" in verdict([0.5], [1], "binary", ["sick"]).words


def test_the_positive_class_of_two_is_named():
    assert verdict([0.9], 1, "binary", ["well", "sick"]).words == "has sick, found (0.90)"


def test_the_ranking_holds_the_highest_and_all_that_are_true():
    scores = torch.linspace(0, 0.9, 10)
    found = verdict(scores, 0, "multiclass", most=3)
    assert [name for name, _, _ in found.ranking] == ["class 9", "class 8", "class 7", "class 0"]
    assert [true for _, _, true in found.ranking] == [False, False, False, True]
    assert found.measure == "probability"


def test_an_unknown_label_is_neither_true_nor_false():
    found = verdict([0.9, 0.1, 0.2], [float("nan"), 0, 1], "multilabel", NAMES)
    assert dict((name, true) for name, _, true in found.ranking) == {
        "edema": None,
        "hernia": True,
        "mass": False,
    }
    assert found.words == "has hernia, missed (0.20)"


@given(
    st.lists(st.floats(allow_nan=True, width=32), max_size=6),
    st.sampled_from(["multilabel", "multiclass", None]),
)
def test_no_scores_whatever_break_the_verdict(scores, task):
    found = verdict(scores, None, task)
    assert len(found.ranking) == min(len(scores), 5)


def test_an_output_that_is_no_numbers_has_no_verdict():
    assert verdict({"boxes": 3}).ranking == ()
