"""Samples to look at: in order of their loss, of one class, and a person's own brought into form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from dlwidgets.core.activations.samples import fit_sample, in_order, sample_losses, value_range
from dlwidgets.core.data.samples import PlainSamples
from dlwidgets.core.scoring.scores import Scores


@given(st.integers(2, 20), st.integers(2, 6), st.integers(0, 10_000))
def test_the_loss_of_a_sample_is_the_cross_entropy_of_torch(count, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator, dtype=torch.float64)
    true = torch.randint(classes, (count,), generator=generator)
    scores = Scores.from_logits(true.numpy(), logits.numpy())
    expected = F.cross_entropy(logits, true, reduction="none").numpy()
    assert sample_losses(scores) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(st.integers(1, 20), st.integers(2, 6), st.integers(0, 10_000))
def test_of_labels_it_is_the_binary_cross_entropy_over_those_that_are_known(count, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator, dtype=torch.float64)
    true = torch.randint(0, 2, (count, classes), generator=generator).double()
    unknown = torch.rand(count, classes, generator=generator) < 0.2
    each = F.binary_cross_entropy_with_logits(logits, true, reduction="none")
    expected = [float(row[~gap].mean()) if (~gap).any() else np.nan for row, gap in zip(each, unknown)]
    true[unknown] = torch.nan
    scores = Scores(true.numpy(), logits.sigmoid().numpy())
    assert sample_losses(scores) == pytest.approx(np.array(expected), rel=1e-6, abs=1e-9, nan_ok=True)


SCORES = Scores(
    np.array([[1, 0], [0, 1], [1, 1], [-1, -1]]), np.array([[0.9, 0.1], [0.9, 0.2], [0.4, 0.5], [0.5, 0.5]]),
    ["edema", "mass"],
)  # fmt: skip


def test_the_worst_come_first_the_best_last_and_those_without_labels_not_at_all():
    assert in_order(SCORES, "worst").tolist() == [1, 2, 0]
    assert in_order(SCORES, "best").tolist() == [0, 2, 1]


def test_the_samples_of_a_class_stand_in_their_own_order():
    assert in_order(SCORES, "class:mass").tolist() == [1, 2]


@pytest.mark.parametrize("order", ["class:hernia", "loudest", "class"])
def test_an_order_that_there_is_not_is_refused(order):
    with pytest.raises(ValueError, match="'worst', 'best' or 'class:NAME'"):
        in_order(SCORES, order)


def test_a_score_of_zero_has_a_finite_loss():
    scores = Scores(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert np.isfinite(sample_losses(scores)).all()


# -- one's own

GREY = torch.rand(1, 1, 8, 8)
COLOUR = torch.rand(1, 3, 8, 8)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (1, 8, 8)])
def test_what_has_the_shape_of_a_sample_is_taken_as_it_is(shape):
    x = torch.randn(shape)
    found = fit_sample(x, GREY)
    assert torch.equal(found.inputs, x.reshape(1, 1, 8, 8))
    assert (found.name, found.done) == ("your own", "")


def test_an_array_takes_the_models_dtype():
    assert fit_sample(np.zeros((5,)), torch.zeros(1, 5, dtype=torch.float16)).inputs.dtype == torch.float16


def test_a_colour_image_is_made_grey_as_pillow_does():
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    found = fit_sample(pixels, GREY)
    expected = np.asarray(image.fromarray(pixels).convert("L")) / 255
    assert np.abs(found.inputs[0, 0].numpy() - expected).max() <= 1.01 / 255
    assert found.done == "made grey"


def test_a_grey_image_is_repeated_for_a_model_of_colours():
    found = fit_sample(np.full((8, 8), 51, np.uint8), COLOUR)
    assert torch.allclose(found.inputs, torch.full((1, 3, 8, 8), 0.2))
    assert found.done == "grey repeated in 3 channels"


def test_an_image_of_another_size_is_scaled_as_pillow_does_and_its_middle_cut_out():
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64), dtype=np.uint8)
    found = fit_sample(pixels, GREY)
    middle = image.fromarray(pixels[:, 16:48]).resize((8, 8), image.Resampling.BILINEAR)
    assert np.abs(found.inputs[0, 0].numpy() * 255 - np.asarray(middle, float)).max() <= 1.0
    assert found.done == "32 × 64 scaled to 8 × 8, the middle cut out"


def test_the_values_are_brought_to_the_range_of_the_samples_and_that_is_said():
    found = fit_sample(np.array([[0, 255]] * 2, np.uint8), torch.zeros(1, 1, 2, 2), span=lambda: (-2.0, 3.0))
    # The shape is that of a sample but for its channel axis, so it is an image to be fitted.
    assert found.inputs.flatten().tolist() == [-2.0, 3.0, -2.0, 3.0]
    assert found.done == "values brought to -2 … 3, as in the samples"


def test_channels_last_is_understood_on_either_side():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    first = fit_sample(pixels, COLOUR).inputs
    last = fit_sample(pixels.transpose(2, 0, 1), torch.rand(1, 8, 8, 3)).inputs
    assert torch.equal(first.movedim(1, -1), last)


def test_a_file_is_read_and_named_by_its_name(tmp_path):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "cat.png"
    image.fromarray(np.full((8, 8), 255, np.uint8)).save(path)
    for way in (str(path), path):
        found = fit_sample(way, GREY)
        assert found.name == "cat.png"
        assert torch.equal(found.inputs, torch.ones(1, 1, 8, 8))


def test_a_text_is_encoded():
    like = torch.zeros(1, 5, dtype=torch.int64)
    found = fit_sample("a b c", like, encode=lambda text: [ord(letter) for letter in text.split()])
    assert found.inputs.tolist() == [[97, 98, 99]]
    assert found.name == "a b c"


def test_a_model_of_several_inputs_takes_a_tuple_or_a_dict_of_them():
    like = (torch.zeros(1, 3), torch.zeros(1, 2))
    found = fit_sample((np.ones(3), np.ones(2)), like)
    assert [part.tolist() for part in found.inputs] == [[[1, 1, 1]], [[1, 1]]]
    named = fit_sample({"a": np.ones(3), "b": np.ones(2)}, {"a": like[0], "b": like[1]})
    assert named.inputs["b"].shape == (1, 2)


@pytest.mark.parametrize(
    ("x", "like", "sentence"),
    [
        (np.zeros(4), torch.zeros(1, 5), "has the shape 5, and what you gave 4"),
        ("nowhere.png", GREY, "There is no file 'nowhere.png'"),
        (object(), GREY, "is an array, a tensor, an image or a text, not one of type object"),
        (np.zeros((8, 8, 7)), COLOUR, "is no image of 3 channels"),
        (np.zeros(3), (torch.zeros(1, 3), torch.zeros(1, 2)), "a tuple of 2 inputs"),
        ({"a": 1}, {"a": torch.zeros(1, 3), "b": torch.zeros(1, 2)}, "a dict of 'a', 'b'"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(x, like, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        fit_sample(x, like)


def test_a_file_that_is_no_image_is_refused_in_a_sentence(tmp_path):
    pytest.importorskip("PIL.Image")
    path = tmp_path / "notes.txt"
    path.write_text("no image")
    with pytest.raises(ValueError, match="is no image that Pillow reads"):
        fit_sample(str(path), GREY)


@pytest.mark.parametrize(
    ("values", "span"),
    [([0.2, 0.7], (0, 1)), ([0.0, 200.0], (0, 255)), ([-2.0, 1.5], (-2.0, 1.5)), ([0.0, 400.0], (0, 400))],
)
def test_the_range_of_the_samples_is_a_usual_one_or_their_own(values, span):
    assert value_range(PlainSamples(torch.tensor(values)[:, None])) == pytest.approx(span)
