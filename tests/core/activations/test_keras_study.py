"""The studies of Keras layers: ablation, attribution, top samples and film, against computations by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from keras import layers

from dlwidgets import ActivationBrowser, Session, activations
from dlwidgets.core.activations.study.ablation import scores_under
from dlwidgets.core.activations.study.attribution import grad_cam, gradient_x_input
from dlwidgets.core.activations.study.film import Film, kept_states
from dlwidgets.core.activations.study.top_samples import Responses
from dlwidgets.core.data.samples import PlainSamples
from tests import keras_models

pytestmark = pytest.mark.keras

RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 8, 8, 1)).astype("float32")


def cnn(**last) -> keras.Sequential:
    """Return a CNN with two convolutions."""
    keras.utils.set_random_seed(0)
    return keras.Sequential([
        keras.Input((8, 8, 1)), layers.Conv2D(3, 3, activation="relu", name="one"),
        layers.BatchNormalization(name="norm"), layers.Conv2D(4, 3, name="two"), layers.ReLU(name="relu"),
        layers.Flatten(), layers.Dense(5, name="out", **last),
    ])  # fmt: skip


def parts(model, layer: str):
    """Return a model up to a layer, and from there on."""
    at = [one.name for one in model.layers].index(layer) + 1
    before, after = keras.Sequential([keras.Input((8, 8, 1)), *model.layers[:at]]), model.layers[at:]
    return before, keras.Sequential([keras.Input(before.output_shape[1:]), *after])


def test_a_channel_that_is_off_gives_what_keras_gives_of_a_filter_of_zeros():
    model = cnn()
    found = scores_under(model, IMAGES[:1], [{}, {"two": {1: 0.0}}, {"relu": {1: 2.0}}])
    kernel, bias = model.get_layer("two").get_weights()
    before, after = parts(model, "relu")
    doubled = before.predict(IMAGES[:1], verbose=0)
    doubled[..., 1] *= 2
    assert np.allclose(found[0], model.predict(IMAGES[:1], verbose=0)[0], atol=1e-6)
    assert np.allclose(found[2], after.predict(doubled, verbose=0)[0], atol=1e-6)
    kernel[..., 1], bias[1] = 0, 0
    model.get_layer("two").set_weights([kernel, bias])
    assert np.allclose(found[1], model.predict(IMAGES[:1], verbose=0)[0], atol=1e-6)


def test_a_unit_of_a_recurrent_layer_is_off_in_its_output_and_its_state():
    given = keras.Input((6, 2))
    sequence, hidden, cell = layers.LSTM(3, return_sequences=True, return_state=True, name="lstm")(given)
    model = keras.Model(given, layers.Concatenate()([layers.Flatten()(sequence), hidden, cell]))
    X = RNG.random((1, 6, 2)).astype("float32")
    whole, off = scores_under(model, X, [{}, {"lstm": {1: 0.0}}])
    touched = (whole != off).numpy().nonzero()[0].tolist()
    assert touched == [*range(1, 18, 3), 19] and (off[touched] == 0).all()


@pytest.mark.parametrize("last", [{}, {"activation": "softmax"}, {"activation": "sigmoid"}])
@pytest.mark.parametrize("layer", [None, "one", "norm", "relu"])
def test_grad_cam_is_keras_own_tutorials(layer, last):
    # https://keras.io/examples/vision/grad_cam: without the last activation, pooled gradients times the maps.
    model = cnn(**last)
    found = grad_cam(model, IMAGES[:1], 2, layer)
    model.get_layer("out").activation = keras.activations.linear
    before, after = parts(model, layer or "two")
    maps = torch.from_numpy(before.predict(IMAGES[:1], verbose=0)).requires_grad_()
    score = after(maps, training=False)[0, 2]
    gradient = torch.autograd.grad(score, maps)[0]
    heat = (maps[0] @ gradient.mean((0, 1, 2))[:, None]).squeeze().relu()
    assert found.layer == (layer or "two") and found.values.shape == heat.shape
    assert torch.allclose(found.values, heat, atol=1e-6) and found.score == pytest.approx(score.item(), abs=1e-5)


def test_the_last_activation_is_there_again_after_an_attribution():
    model = cnn(activation="softmax")
    grad_cam(model, IMAGES[:1]), gradient_x_input(model, IMAGES[:1])
    assert np.allclose(model.predict(IMAGES, verbose=0).sum(1), 1) and model.layers[-1].activation.__name__ == "softmax"


def test_gradient_times_input_is_that_of_autograd():
    model, X = cnn(), torch.from_numpy(IMAGES[:1]).requires_grad_()
    expected = torch.autograd.grad(model(X, training=False)[0, 3], X)[0] * X
    assert torch.allclose(gradient_x_input(model, IMAGES[:1], 3).values, expected[0], atol=1e-7)


def test_tokens_are_told_of_through_the_embedding():
    model, tokens = keras_models.recurrent(), torch.tensor([[3, 5, 9, 2, 0, 0, 0]])
    found = gradient_x_input(model, tokens, 1)
    assert found.layer == "embed" and found.values.shape == (7,)
    table = model.get_layer("embed").embeddings.value
    seen = []
    handle = model.get_layer("embed").register_forward_hook(
        lambda layer, given, made: seen.append(made.detach().requires_grad_()) or seen[0] * 1
    )
    score = model(tokens, training=False)[0, 1]
    handle.remove()
    gradient = torch.autograd.grad(score, seen[0])[0]
    assert torch.allclose(found.values, (gradient[0] * table[tokens[0]]).sum(-1), atol=1e-7)


def test_samples_are_ordered_by_a_channels_largest_value():
    model = cnn()
    gathered = Responses("two", range(6))
    gathered.gather(model, PlainSamples(IMAGES))
    maps = keras.Model(model.inputs, model.get_layer("two").output).predict(IMAGES, verbose=0)
    assert gathered.channels == 4 and gathered.places == maps.shape[1:3]
    peaks = maps[..., 2].reshape(6, -1).max(1)
    assert [one.sample for one in gathered.top(2)] == np.argsort(-peaks).tolist()
    assert gathered.values(2) == pytest.approx(peaks, abs=1e-6)
    best = gathered.top(2)[0]
    row, column = np.unravel_index(maps[best.sample, ..., 2].argmax(), maps.shape[1:3])
    assert best.box == pytest.approx((column / 4, row / 4, 1 / 4, 1 / 4))


def test_a_film_shows_what_the_layer_gave_with_the_weights_of_each_step():
    session = Session(cnn(), (IMAGES, np.array([0, 1, 2, 3, 4, 0])), batch_size=2, seed=0)
    shown = []
    for _ in range(3):
        shown.append(activations(session.model, IMAGES[:1], "two")["two"][0])
        session.step(1)
    film = Film("two", "", torch.from_numpy(IMAGES[:1]))
    film.advance(session.model, kept_states(session.timeline))
    frames = {frame.step: frame for frame in film.frames}
    assert frames and all(frame.tensor is not None for frame in frames.values())
    for step, frame in frames.items():
        assert step >= 3 or torch.equal(frame.tensor, shown[step])
    session.close()


@pytest.mark.parametrize("section", ["touch", "excites", "where", "time"])
def test_each_section_of_the_study_is_filled(section):
    browser = ActivationBrowser(cnn(activation="softmax"), IMAGES, np.arange(6) % 5, task="multiclass", layer="relu")
    browser.wish("study", section)
    found = browser.project()[{"touch": "touching", "excites": "exciting", "where": "where", "time": "film"}[section]]
    assert not found["reason"] and (section != "touch" or len(found["rows"]) == 5)
    assert section != "where" or found["usable"] and found["size"] == [4, 4]
    assert section != "time" or found["form"] == "maps" and found["whole"] == [4, 4]
    assert section != "excites" or found["size"] == [8, 8] and len(found["tiles"]) == 6
