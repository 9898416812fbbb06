"""Keras layers drawn anew: by their own initialisers, or by torch's with the fans of their kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dlwidgets as dlw

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.keras

X = np.random.default_rng(0).random((32, 6, 6, 2), np.float32)
Y = np.random.default_rng(1).integers(0, 3, 32)


@pytest.fixture
def session():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((6, 6, 2)), layers.Conv2D(64, 3, activation="relu", name="conv", kernel_initializer="he_uniform"),
        layers.BatchNormalization(name="bn"), layers.Reshape((16, 64)), layers.LSTM(4, name="lstm"),
        layers.Dense(3, "softmax", name="out"),
    ])  # fmt: skip
    made = dlw.Session(model, (X, Y), loss="sparse_categorical_crossentropy", batch_size=16, lr=0.01, seed=0)
    return made.step(2)


def test_drawn_by_the_initialiser_of_the_layer(session):
    before = session.model.get_layer("out").get_weights()
    session.reinitialise = ["conv", "bn"]
    session.step(1)
    kernel, bias = session.model.get_layer("conv").get_weights()
    limit = np.sqrt(6 / (3 * 3 * 2))  # He et al. 2015
    assert 0.9 * limit < abs(kernel).max() <= limit + 0.02 and abs(bias).max() < 0.02
    assert abs(session.model.get_layer("bn").gamma - 1).max() < 0.02
    assert not np.array_equal(before[0], session.model.get_layer("out").get_weights()[0])  # one step alone
    assert np.allclose(before[0], session.model.get_layer("out").get_weights()[0], atol=0.02)


def test_inside_a_recurrent_layer_the_forget_gate_begins_at_one(session):
    session.reinitialise = "lstm"
    session.step(1)
    bias = session.model.get_layer("lstm").cell.bias._value.detach()
    assert torch.allclose(bias, torch.tensor([0.0] * 4 + [1.0] * 4 + [0.0] * 8), atol=0.02)


def test_drawn_by_torchs_with_the_fan_of_the_kernel(session):
    session.reinitialise = ("conv", "kaiming")
    session.step(1)
    kernel = session.model.get_layer("conv").get_weights()[0]
    assert kernel.std() == pytest.approx(np.sqrt(2 / (3 * 3 * 2)), rel=0.1)


def test_the_same_again_after_a_rewind(session):
    session.reinitialise = "out"
    session.step(1)
    first = session.model.get_layer("out").get_weights()
    session.rewind(2)
    session.reinitialise = "out"
    session.step(1)
    assert all(np.array_equal(*pair) for pair in zip(first, session.model.get_layer("out").get_weights()))
