"""Pictures of Keras layers: maps along their own axis of channels, filters in torch's order, inputs as images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from keras import layers

from dlwidgets import ActivationBrowser, activations
from dlwidgets.core.activations.filters import filters, find_incoming, weight_of, weight_parts
from dlwidgets.core.activations.layer_choice import layer_paths
from dlwidgets.core.activations.look import Wanted, default_layer, look
from dlwidgets.core.base.isolation import isolate_model
from dlwidgets.core.layers.framework import adopt
from tests import keras_models

pytestmark = pytest.mark.keras

RNG = np.random.default_rng(0)
IMAGES = RNG.random((1, 9, 8, 3)).astype("float32")


def seen(model, X, layer: str, **wanted):
    """Look at a layer of a model."""
    with isolate_model(adopt(model)) as eager:
        return look(eager, torch.as_tensor(X), Wanted(layer, **wanted))


@pytest.fixture(scope="module")
def mixed():
    """Return a CNN of all that may stand in one."""
    return keras.Sequential([
        keras.Input((9, 8, 3)), layers.Conv2D(4, 3, name="conv", activation="relu"),
        layers.BatchNormalization(name="norm"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"), layers.Activation("relu", name="act"),
        layers.SeparableConv2D(5, 3, padding="same", name="separable"), layers.Conv2DTranspose(6, 3, name="transposed"),
        layers.Dense(7, name="inner"), layers.MaxPooling2D(name="pool"), layers.Flatten(name="flat"),
        layers.Dense(4, name="last", activation="softmax"),
    ])  # fmt: skip


@pytest.mark.parametrize("layer", ["conv", "norm", "depthwise", "act", "separable", "transposed", "inner", "pool"])
def test_each_channel_is_a_map(mixed, layer):
    found, kept = seen(mixed, IMAGES, layer), activations(mixed, IMAGES, layer)[layer]
    assert found.picture.kind == "maps" and found.picture.note == ""
    assert torch.equal(found.picture.maps, kept[0].permute(2, 0, 1))


def test_lines_are_drawn_behind_a_1d_convolution_and_steps_as_rows_of_a_recurrence():
    model = keras.Sequential([
        keras.Input((12, 5)), layers.Conv1D(4, 3, name="conv"), layers.BatchNormalization(name="norm"),
        layers.MaxPooling1D(name="pool"), layers.LSTM(3, return_sequences=True, name="lstm"),
    ])  # fmt: skip
    X = RNG.random((1, 12, 5)).astype("float32")
    kept = activations(model, X)
    for layer in ("conv", "norm", "pool"):
        found = seen(model, X, layer).picture
        assert found.kind == "lines" and torch.equal(found.maps[:, 0], kept[layer][0].T)
    assert seen(model, X, "lstm").picture.kind == "sequence"
    given = seen(model, X, "conv").input.picture
    assert given.kind == "lines" and np.array_equal(given.maps[:, 0], X[0].T)


def test_slices_of_a_volume_are_drawn_for_each_channel():
    model = keras.Sequential([keras.Input((5, 6, 7, 2)), layers.Conv3D(4, 3, name="conv")])
    X = RNG.random((1, 5, 6, 7, 2)).astype("float32")
    found = seen(model, X, "conv", at_slice=2).picture
    assert found.kind == "volume" and torch.equal(found.maps, activations(model, X)["conv"][0, 2].permute(2, 0, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_input_is_an_image(channels):
    model = keras.Sequential([keras.Input((9, 8, channels)), layers.Conv2D(2, 3)])
    X = RNG.random((1, 9, 8, channels)).astype("float32")
    image = seen(model, X, "").input.image
    assert np.array_equal(image, np.broadcast_to((X[0] * 255).round().astype("uint8"), (9, 8, 3)))


def test_a_model_with_channels_first_is_given_an_image_too():
    model = keras.Sequential([keras.Input((4, 9, 8)), layers.Conv2D(2, 3, data_format="channels_first")])
    X = RNG.random((1, 4, 9, 8)).astype("float32")
    assert np.array_equal(seen(model, X, "").input.image[..., 0], (X[0, 0] * 255).round().astype("uint8"))


def test_attention_is_shown_first_of_its_layer():
    X = RNG.random((1, 6, 8)).astype("float32")
    found = seen(keras_models.attention(), X, "attention")
    assert found.part == "[attention]" and found.picture.kind == "attention" and found.picture.shape == (2, 6, 6)


def test_the_first_look_is_at_the_first_convolutions_activation(mixed):
    assert default_layer(layer_paths(mixed)) == "conv"
    apart = [keras.Input((9, 8, 3)), layers.Conv2D(2, 3), layers.ReLU(name="relu"), layers.Conv2D(2, 3)]
    assert default_layer(layer_paths(keras.Sequential(apart))) == "relu"
    assert default_layer(layer_paths(keras_models.recurrent())) == "embed"


# -- weights


def test_filters_are_drawn_as_they_lie_on_the_image(mixed):
    kernel = mixed.get_layer("conv").kernel.numpy()
    drawn = filters(mixed.get_layer("conv")).picture
    # Rows, then columns with the three colours beside each other.
    assert drawn.kind == "rgb" and np.array_equal(drawn.maps, kernel.transpose(3, 0, 1, 2).reshape(4, 3, 9))
    kernel = mixed.get_layer("transposed").kernel.numpy()
    assert np.array_equal(filters(mixed.get_layer("transposed"), 2).picture.maps, kernel[:, :, :, 2].transpose(2, 0, 1))


def test_a_kernel_in_torchs_order_computes_what_the_layer_does(mixed):
    given = torch.from_numpy(IMAGES).permute(0, 3, 1, 2)
    kept = activations(mixed, IMAGES)
    conv = mixed.get_layer("conv")
    ours = torch.conv2d(given, weight_of(conv), conv.bias.value).relu()
    assert torch.allclose(ours.permute(0, 2, 3, 1), kept["conv"], atol=1e-6)
    before = kept["norm"].permute(0, 3, 1, 2)
    depthwise = mixed.get_layer("depthwise")
    ours = torch.conv2d(before, weight_of(depthwise), depthwise.bias.value, groups=4)
    assert torch.allclose(ours.permute(0, 2, 3, 1), kept["depthwise"], atol=1e-6)
    separable = mixed.get_layer("separable")
    made = torch.conv2d(kept["act"].permute(0, 3, 1, 2), weight_of(separable, 0), padding="same", groups=8)
    ours = made.permute(0, 2, 3, 1) @ weight_of(separable, 1).T + separable.bias.value
    assert torch.allclose(ours, kept["separable"], atol=1e-6)
    assert weight_parts(separable) == ("[depthwise_kernel]", "[pointwise_kernel]")
    before, transposed = kept["separable"].permute(0, 3, 1, 2), mixed.get_layer("transposed")
    ours = torch.conv_transpose2d(before, weight_of(transposed).transpose(0, 1), transposed.bias.value)
    assert torch.allclose(ours.permute(0, 2, 3, 1), kept["transposed"], atol=1e-5)


def test_a_dense_layer_of_einsum_has_a_matrix_that_computes_what_it_does():
    model, X = keras_models.attention(), RNG.random((1, 6, 8)).astype("float32")
    query = model.get_layer("attention").query_dense
    ours = torch.from_numpy(X) @ weight_of(query).T + query.bias.value.flatten()
    assert torch.allclose(ours.unflatten(-1, (2, 4)), torch.as_tensor(query(X)), atol=1e-6)
    drawn = filters(model.get_layer("attention")).picture
    assert drawn.names == ("query", "key", "value") and torch.equal(drawn.maps[0], weight_of(query))


@pytest.mark.parametrize("kind, gates", [(layers.LSTM, 4), (layers.GRU, 3), (layers.SimpleRNN, 1)])
def test_a_recurrent_layer_has_its_gates(kind, gates):
    layer = kind(3)
    layer.build((None, 12, 5))
    for part, kernel in enumerate((layer.cell.kernel, layer.cell.recurrent_kernel)):
        drawn = filters(layer, part=part).picture
        assert len(drawn.names) == gates and np.array_equal(drawn.maps.flatten(0, 1), kernel.numpy().T)
    # Keras's own LSTM begins with 1 in the bias of its forget gate.
    if kind is layers.LSTM:
        assert drawn.names[np.flatnonzero(layer.cell.bias.numpy())[0] // 3] == "forget"


def test_a_unit_behind_a_flattened_image_looks_at_that_image(mixed):
    with isolate_model(adopt(mixed)) as eager:
        found = find_incoming(eager, layer_paths(mixed), IMAGES, "last")
    pooled = activations(mixed, IMAGES, "pool")["pool"][0].permute(2, 0, 1)
    assert found.shape == tuple(pooled.shape)
    weighed = (found.weights(3) * pooled).sum() + mixed.get_layer("last").bias.value[3]
    last = mixed.get_layer("last")
    logits = activations(mixed, IMAGES, "flat")["flat"] @ last.kernel.value + last.bias.value
    assert weighed.item() == pytest.approx(logits[0, 3].item(), abs=1e-5)


# -- in the browser


def test_each_layer_is_looked_at_by_a_click_and_each_way_to_show_it(mixed):
    browser = ActivationBrowser(mixed, IMAGES, layer=mixed.get_layer("act"), classes=list("abcd"), task="multiclass")
    assert browser.project()["selected_layer"] == "act"
    for path in ("conv", "separable", "last"):
        browser.wish("selected_layer", path)
        for show in ("output", "input", "filters"):
            browser.wish("show", show)
            drawing = browser.project()["drawing"]
            assert drawing["form"] and not drawing["reason"], (path, show)


def test_what_a_softmax_puts_out_is_taken_for_probabilities(mixed):
    browser = ActivationBrowser(mixed, IMAGES, np.array([2]), task="multiclass")
    assert np.allclose(browser._look.taken.look.scores, mixed.predict(IMAGES, verbose=0)[0])


@pytest.mark.parametrize("way", [list, tuple])
def test_several_inputs_are_browsed_by_sample(way):
    model, X = keras_models.functional(), way([RNG.random((4, 6)), RNG.random((4, 6))])
    browser = ActivationBrowser(model, X, layer="size", sample=2)
    told = model.predict({"left": X[0][2:3], "right": X[1][2:3]}, verbose=0)["size"]
    assert browser.project()["sample"]["count"] == 4 and browser._look.taken.look.tensor.item() == told.item()


@pytest.mark.parametrize("way", ["inner", "nested.inner"])
def test_a_layer_of_a_model_within_is_named_by_its_own_name(way):
    X = {"left": RNG.random((2, 6)), "right": RNG.random((2, 6))}
    browser = ActivationBrowser(keras_models.functional(), X, layer=way)
    assert browser.project()["selected_layer"] == "nested.inner" and browser.project()["drawing"]["form"] == "bars"
