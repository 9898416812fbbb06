"""Another head for Keras models: the layer stays where it stands, and Keras sees its new size."""

from __future__ import annotations

import numpy as np
import pytest

import dlwidgets as dlw

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.keras

X = np.random.default_rng(0).random((32, 6, 6, 1), np.float32)
Y = np.random.default_rng(1).integers(0, 3, 32)


def sequential(last="softmax"):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential([
        keras.Input((6, 6, 1)), layers.Conv2D(4, 3, activation="relu", name="conv"), layers.Flatten(),
        layers.Dense(3, last, name="out"),
    ])  # fmt: skip


def functional(last="softmax"):
    """Transfer learning: a base in a model, a Dense and an Activation behind it."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    base = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(4, 3, name="conv")], name="base")
    inputs = keras.Input((6, 6, 1))
    pooled = layers.GlobalAveragePooling2D()(base(inputs))
    return keras.Model(inputs, layers.Activation(last)(layers.Dense(3, name="out")(pooled)))


@pytest.mark.parametrize("make", [sequential, functional])
def test_with_head_gives_a_model_that_keras_takes_for_its_own(make, tmp_path):
    model = make()
    made = dlw.with_head(model, 5, seed=1)
    assert made is not model and model.output_shape == (None, 3)
    assert made.output_shape == (None, 5) and made(X[:2]).shape == (2, 5)
    inside = keras.models.clone_model(made)
    assert inside.output_shape == (None, 5) and inside.count_params() == made.count_params()
    made.save(tmp_path / "made.keras")
    again = keras.models.load_model(tmp_path / "made.keras")
    assert np.array_equal(again.predict(X, verbose=0), made.predict(X, verbose=0))


def test_other_weights_are_kept_and_the_new_are_drawn_by_the_initialiser():
    model = sequential()
    made = dlw.with_head(model, 5, seed=1)
    old, new = model.get_layer("conv").get_weights(), made.get_layer("conv").get_weights()
    assert all(np.array_equal(*pair) for pair in zip(old, new))
    kernel, bias = made.get_layer("out").get_weights()
    limit = np.sqrt(6 / (kernel.shape[0] + 5))  # Glorot and Bengio 2010
    assert kernel.shape == (64, 5) and 0.9 * limit < abs(kernel).max() <= limit and not bias.any()
    assert np.array_equal(kernel, dlw.with_head(model, 5, seed=1).get_layer("out").get_weights()[0])


def test_one_class_ends_in_a_sigmoid_and_several_in_a_softmax():
    one = dlw.with_head(sequential(), 1)
    assert one.layers[-1].activation is keras.activations.sigmoid
    assert dlw.with_head(one, 4).layers[-1].activation is keras.activations.softmax


def test_a_subclassed_model_is_changed_itself():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.fc = keras.layers.Dense(4), keras.layers.Dense(3)

        def call(self, x):
            return self.fc(self.first(x))

    model = Net()
    model(np.ones((2, 5), np.float32))
    assert dlw.with_head(model, 7, copied=False) is model
    assert model(np.ones((2, 5), np.float32)).shape == (2, 7) and model.count_params() == 4 * 6 + 7 * 5


def test_new_head_of_a_session_trains_and_goes_back():
    model = functional()
    session = dlw.Session(model, (X, Y), loss="sparse_categorical_crossentropy", batch_size=16, lr=0.01, seed=0)
    session.step(2)
    kept = [one.copy() for one in model.get_weights()]
    session.new_head(5)
    session.step(1)
    assert model.output_shape == (None, 5) and model.get_layer("out").units == 5
    first = model.get_layer("out").get_weights()[0].copy()
    session.step(2)
    assert not np.array_equal(first, model.get_layer("out").get_weights()[0])
    session.rewind(2)
    assert model.output_shape == (None, 3) and model(X[:2]).shape == (2, 3)
    assert all(np.array_equal(*pair) for pair in zip(kept, model.get_weights()))
    session.step(1)


def test_new_head_that_needs_another_activation_is_refused():
    session = dlw.Session(sequential(), (X, Y), loss="sparse_categorical_crossentropy", batch_size=16)
    with pytest.raises(ValueError, match=r"another activation for 1 class: make the model first, by dlw.with_head"):
        session.new_head(1)
