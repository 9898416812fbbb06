"""`collages()`: what is drawn is what the labels say, from digits that the other part has never seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from dlwidgets.teaching import collages, digits

DIGITS = load_digits()


def scene(n: int, size: int, max_digits: int, seed: int = 0) -> digits.Placement:
    own, _ = digits.split_images(DIGITS.target, seed)
    return digits.plan_canvases(n, own, size, max_digits, np.random.default_rng(seed))


def rectangles(plan: digits.Placement, row: int) -> list[tuple[int, int, int, int]]:
    used = plan.source[row] >= 0
    corners = zip(plan.top[row][used], plan.left[row][used])
    return [(top, left, top + digits.SIDE, left + digits.SIDE) for top, left in corners]


def test_enlarged_digits_are_what_pillow_makes_of_the_originals():
    images, targets = digits.load_images()
    assert np.array_equal(targets, DIGITS.target)
    for at in range(0, 1797, 100):
        small = Image.fromarray((DIGITS.images[at] / 16).astype(np.float32), mode="F")
        large = np.asarray(small.resize((digits.SIDE, digits.SIDE), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(images[at], large, atol=1e-5)


def test_every_canvas_is_its_planned_digits_on_black_and_nothing_else():
    images, _ = digits.load_images()
    plan = scene(200, 40, 4)
    for row, canvas in enumerate(digits.paint_canvases(plan, images, 40)):
        expected = np.zeros((40, 40), dtype=np.float32)
        for nth, (top, left, bottom, right) in enumerate(rectangles(plan, row)):
            expected[top:bottom, left:right] = images[plan.source[row, nth]] * plan.contrast[row, nth]
        np.testing.assert_array_equal(canvas, expected)


def test_the_labels_are_the_digits_of_the_images_that_were_drawn():
    plan = scene(300, 40, 4)
    for source, row in zip(plan.source, digits.label_canvases(plan, DIGITS.target)):
        assert set(np.flatnonzero(row)) == {DIGITS.target[at] for at in source if at >= 0}


def test_a_digit_drawn_twice_is_still_one_label():
    twice = digits.Placement(*(np.zeros((1, 2), dtype=np.int64) for _ in range(3)), np.ones((1, 2)))
    assert digits.label_canvases(twice, DIGITS.target).sum() == 1


def test_without_noise_each_canvas_holds_its_digits_pixel_by_pixel():
    # Looked for in the finished data, with no plan at hand: an image of the labelled digit must fit.
    data = collages(12, 1, noise=0, max_digits=1)
    images, targets = digits.load_images()
    windows = torch.from_numpy(images).flatten(1)
    windows = windows / windows.norm(dim=1, keepdim=True)
    for canvas, row in zip(*data.train):
        places = torch.nn.functional.unfold(canvas[None], digits.SIDE)[0]
        norms = places.norm(dim=0)
        whole = norms >= canvas.norm() * (1 - 1e-6)
        likeness = windows @ (places[:, whole] / norms[whole])
        best = int(likeness.max(dim=1).values.argmax())
        assert likeness.max() > 1 - 1e-5
        assert row[targets[best]] == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 16), st.integers(0, 40), st.integers(0, 2**32))
def test_digits_never_overlap_and_never_leave_the_canvas(max_digits, room, seed):
    size = int(np.ceil(np.sqrt(max_digits))) * digits.SIDE + room
    plan = scene(40, size, max_digits, seed)
    taken = np.zeros((40, size, size), dtype=int)
    for row in range(40):
        for top, left, bottom, right in rectangles(plan, row):
            assert 0 <= top and 0 <= left and bottom <= size and right <= size
            taken[row, top:bottom, left:right] += 1
    assert taken.max() == 1
    counts = (plan.source >= 0).sum(1)
    assert counts.min() >= 1 and counts.max() <= max_digits
    np.testing.assert_array_equal(taken.sum((1, 2)), counts * digits.SIDE**2)


def test_one_to_four_digits_are_equally_likely():
    counts = np.bincount((scene(8000, 32, 4).source >= 0).sum(1), minlength=5)[1:]
    # 2,000 expected each, standard deviation 39.
    assert np.abs(counts - 2000).max() < 200


def test_a_single_digit_may_stand_anywhere():
    plan = scene(20000, 16, 1)
    corners = {*zip(plan.top[:, 0].tolist(), plan.left[:, 0].tolist())}
    assert corners == {(top, left) for top in range(5) for left in range(5)}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_digit_image_serves_both_parts_and_none_is_left_out(seed):
    train, valid = digits.split_images(DIGITS.target, seed)
    assert not set(train) & set(valid)
    assert sorted([*train, *valid]) == list(range(1797))


def test_each_part_draws_on_its_own_images_alone(monkeypatch):
    drawn = []

    def watched(plan, images, size, paint=digits.paint_canvases):
        drawn.append(set(plan.source[plan.source >= 0]))
        return paint(plan, images, size)

    monkeypatch.setattr(digits, "paint_canvases", watched)
    collages(4000, 1000)
    train, valid = digits.split_images(DIGITS.target, 0)
    assert drawn[0] <= set(train) and drawn[1] <= set(valid)
    assert len(drawn[0]) > 0.95 * len(train) and len(drawn[1]) > 0.95 * len(valid)


def test_every_digit_is_about_equally_frequent():
    share = collages(4000, 1).train[1].mean(0)
    # k digits miss a given one with probability 0.9 ** k.
    expected = 1 - np.mean([0.9**k for k in (1, 2, 3, 4)])
    assert torch.all((share - expected).abs() < 0.05)


def test_more_validation_canvases_leave_the_training_canvases_as_they_are():
    assert torch.equal(collages(50, 10).train[0], collages(50, 99).train[0])


def test_brightness_lies_between_black_and_white():
    X, _ = collages(200, 1, noise=1.0).train
    assert X.min() == 0 and X.max() == 1


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"n_train": 0}, ValueError, "n_train is 0; give a whole number of at least 1"),
        ({"n_valid": 2.5}, TypeError, "n_valid is 2.5; give a whole number"),
        ({"n_train": True}, TypeError, "n_train is True; give a whole number"),
        ({"max_digits": 17}, ValueError, "max_digits is 17; give a whole number from 1 to 16"),
        ({"size": 20}, ValueError, "size is 20; 4 digits of 12×12 pixels need a canvas of at least 24"),
        ({"seed": -1}, ValueError, "seed is -1; give a whole number of at least 0"),
        ({"noise": -0.1}, ValueError, "noise is -0.1; give a standard deviation between 0 and 1"),
    ],
)
def test_impossible_arguments_are_refused_with_one_sentence(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        collages(**arguments)
