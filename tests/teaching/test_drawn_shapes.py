"""Drawn shapes: boxes fit what is painted, the same seed gives the same, and each fault is the one it is named for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dlwidgets import teaching
from dlwidgets.teaching.drawn_shapes import DISTANCE, WRONG, Shapes, paint_shapes


@pytest.fixture(scope="module")
def data():
    return teaching.shapes(60, 20, seed=3)


def test_a_picture_has_one_to_four_shapes_inside_of_it(data):
    X, targets = data.train
    assert X.shape == (60, 3, 96, 96) and X.dtype == torch.float32 and 0 <= X.min() and X.max() <= 1
    counts = {len(target["labels"]) for target in targets}
    assert counts == {1, 2, 3, 4}
    boxes = torch.cat([target["boxes"] for target in targets])
    assert boxes.dtype == torch.float32 and boxes.min() >= 0 and boxes.max() <= 96
    assert set(torch.cat([target["labels"] for target in targets]).tolist()) == {0, 1, 2}


@pytest.mark.parametrize("name", DISTANCE)
def test_a_box_is_as_large_as_what_is_painted(name):
    middle, down, half = (np.full((1, 1), value) for value in (40.0, 50.0, 17.0))
    shape, ground = (
        paint_shapes(Shapes(np.full((1, 1), kind), middle, down, half), 96, [name], 0, np.random.default_rng(0))[0]
        for kind in (0, -1)
    )
    rows, columns = np.nonzero((np.abs(shape - ground) > 0.05).any(0))
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(np.array(found) - [23, 33, 57, 67]).max() <= 1


def test_no_shape_hides_most_of_another():
    for target in teaching.shapes(200, 1, seed=1).train[1]:
        x1, y1, x2, y2 = (one.tolist() for one in target["boxes"].T)
        for a in range(len(x1)):
            for b in range(a):
                common = max(0, min(x2[a], x2[b]) - max(x1[a], x1[b])) * max(0, min(y2[a], y2[b]) - max(y1[a], y1[b]))
                least = min((x2[i] - x1[i]) * (y2[i] - y1[i]) for i in (a, b))
                assert common <= 0.301 * least


def test_the_same_seed_gives_the_same_pictures_and_moves_no_global_stream(data):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    again = teaching.shapes(60, 20, seed=3)
    assert torch.equal(torch.get_rng_state(), before[0]) and np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(again.train[0], data.train[0]) and not torch.equal(again.train[0][:20], data.valid[0])
    assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(again.train[1], data.train[1]))


def test_the_description_counts_the_pictures_that_show_a_class(data):
    shown = sum(bool((target["labels"] == 1).any()) for target in data.train[1])
    assert data.describe().train["square"] == shown
    boxes = sum(len(target["labels"]) for target in data.train[1]) / 60
    assert f"{boxes:.2g} per image" in repr(data)


def test_the_picture_of_the_data_draws_each_box(data):
    axes = data.figure(samples=5).axes[:5]
    assert [len(axis.lines) for axis in axes] == [len(target["labels"]) for target in data.train[1][:5]]


@pytest.mark.parametrize("wrong", WRONG)
def test_each_fault_spoils_some_training_targets_and_nothing_else(data, wrong):
    spoiled = teaching.shapes(60, 20, seed=3, wrong=wrong)
    assert torch.equal(spoiled.train[0], data.train[0])
    assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(spoiled.valid[1], data.valid[1]))
    boxes = torch.cat([target["boxes"] for target in spoiled.train[1]])
    labels = torch.cat([target["labels"] for target in spoiled.train[1]])
    share = {
        "shares": (boxes <= 1).all(1), "outside": boxes[:, 0] > 96, "no area": boxes[:, 0] == boxes[:, 2],
        "class": labels == 3,
    }[wrong].float().mean()  # fmt: skip
    assert share == 1 if wrong == "shares" else 0.02 < share < 0.2
    assert "shapes: detection" in repr(spoiled) and len(spoiled.describe()) == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"classes": ["cirle"]}, "There is no shape 'cirle': there are circle, .*circle"),
        ({"classes": "circle"}, "give a list of names"),
        ({"wrong": "outsid"}, "give one of shares, outside"),
        ({"size": 16}, "size is 16; give a whole number from 32 to 1024"),
        ({"noise": 2}, "noise is 2; give a standard deviation"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        teaching.shapes(2, 2, **options)
