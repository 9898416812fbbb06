"""The doctor on Keras models: quiet where they are healthy, and in Keras's words where not."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
import torch

import dlwidgets as dlw
from dlwidgets.core import doctor

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.keras

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 4, 256)
#: Pictures whose class is the quarter that is bright.
X = RNG.random((256, 8, 8, 1), np.float32) * 0.5
for row, label in enumerate(Y):
    X[row, 4 * (label // 2) :, 4 * (label % 2) :] += 0.5


def cnn(last="softmax", bias=0.0):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential([
        keras.Input((8, 8, 1)), layers.Conv2D(8, 3, activation="relu", name="conv"), layers.BatchNormalization(),
        layers.MaxPooling2D(), layers.Dropout(0.2, seed=0), layers.Flatten(),
        layers.Dense(32, activation="relu", name="dense", bias_initializer=keras.initializers.Constant(bias)),
        layers.Dense(4, activation=last, name="last"),
    ])  # fmt: skip


def mlp(activation="tanh", scale=1.0, last=None, initializer=None):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    kernel = initializer or keras.initializers.RandomNormal(stddev=0.1 * scale)
    return keras.Sequential([
        keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(32, activation, kernel_initializer=kernel, name="dense"),
        layers.Dense(4, last, name="last"),
    ])  # fmt: skip


def examine(model, loss, data=(X, Y), steps=8, **options):
    session = dlw.Session(model, data, loss=loss, batch_size=32, seed=0, **{"lr": 1e-3, **options})
    session.step(steps)
    return session


LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
HEALTHY = {
    "CNN": (cnn, "sparse_categorical_crossentropy", {}),
    "MLP": (mlp, LOGITS, {"optimizer": "sgd", "lr": 0.05}),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_all_rules_are_quiet_in_a_healthy_run(name):
    make, loss, options = HEALTHY[name]
    session = examine(make(), loss, steps=100, valid=(X[:64] + 0.01, Y[:64]), **options)
    session.evaluate()
    assert [one.title for one in session.findings if one.rule != "valid_in_train"] == []
    ran = {one.rule.name for one in session.checks if one.outcome != "not run"}
    assert {"dead_relu", "saturated"} & ran
    assert {"last_layer", "initial_loss", "initialisation", "parameters_still"} <= ran


FAULTS = {
    "softmax twice": (cnn, LOGITS, "last_layer", "from_logits=False", {}),
    "sigmoid before a softmax": (lambda: cnn("sigmoid"), LOGITS, "last_layer", 'activation="sigmoid"', {}),
    "ReLU at the end": (lambda: cnn("relu"), LOGITS, "last_layer", 'activation="relu"', {}),
    "dead units": (lambda: cnn(bias=-50.0), "sparse_categorical_crossentropy", "dead_relu", "dense: 100%", {}),
    "saturated units": (lambda: mlp(scale=100), LOGITS, "saturated", "dense is saturated", {}),
    "rate": (cnn, "sparse_categorical_crossentropy", "rate_too_high", "too high", {"lr": 5.0}),
    "pixels": (cnn, "sparse_categorical_crossentropy", "inputs_not_scaled", "keras.layers.Rescaling(1 / 255)",
               {"data": (np.round(X * 255), Y)}),
    "units alike": (lambda: mlp(initializer="ones"), LOGITS, "initialisation", "the same weights as the next", {}),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_told_in_keras_words(fault):
    make, loss, rule, words, options = FAULTS[fault]
    session = examine(make(), loss, **options)
    found = [one for one in session.findings if one.rule == rule]
    assert found, [one.title for one in session.findings]
    said = " ".join((found[0].title, found[0].sentence, found[0].why))
    assert words in said
    assert not [word for word in ("nn.", "requires_grad", "PyTorch", "CrossEntropyLoss") if word in said]


def test_softmax_taken_twice_is_cured_by_the_loss_of_probabilities():
    session = examine(cnn(), LOGITS)
    session.apply_remedy("last_layer")
    session.step(10)
    assert session.applied["loss_in_words"] == "SparseCategoricalCrossentropy"
    assert not [one for one in session.findings if one.rule == "last_layer" and one.until is None]


def test_a_rescaling_layer_makes_pixels_right():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), *cnn().layers])
    session = examine(model, "sparse_categorical_crossentropy", (np.round(X * 255), Y))
    assert [one.title for one in session.findings] == []


def test_units_of_a_fused_activation_are_counted_as_numpy_does():
    model = cnn()
    model.get_layer("conv").bias.assign([-9.0, -9, -9, 0, 0, 0, 0, 0])
    session = dlw.Session(model, torch.utils.data.DataLoader([*zip(X, Y)], 32), loss=LOGITS, lr=0.0)
    session.step(1)
    dead = session.layer_stats.dead
    after = keras.Sequential(model.layers[:1])(X[:32]).detach().numpy()
    assert dead.paths == ["conv", "dense"]
    assert dead.dead[0] == (after.max((0, 1, 2)) == 0).sum() >= 3 and dead.units[0] == 8


def test_batch_norm_frozen_by_keras_flag_is_no_finding():
    model = cnn()
    model.get_layer("conv").trainable = model.layers[1].trainable = False
    session = examine(model, "sparse_categorical_crossentropy")
    assert not [one for one in session.findings if one.rule == "batch_norm_frozen"]


def test_gates_of_an_lstm_are_no_saturated_activations():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8, 8)), keras.layers.LSTM(8), keras.layers.Dense(4, name="last")])
    model.layers[0].cell.bias.assign(model.layers[0].cell.bias * 100)
    session = examine(model, LOGITS, (X[..., 0], Y))
    assert not [one for one in session.findings if one.rule == "saturated"]


def test_each_phrase_for_keras_stands_in_the_doctor():
    from dlwidgets.core.layers.keras.words import PHRASES

    folder = pathlib.Path(doctor.__file__).parent
    text = "".join(path.read_text("utf-8") for path in sorted(folder.rglob("*.py")))
    joined = re.sub(r'"\s+f?"', "", text)
    for theirs, _ in PHRASES:
        words = theirs.replace("softmax out", "{0} out").replace("sigmoid out", "{0} out")
        assert theirs in joined or words in joined, theirs


def test_the_first_nan_is_told_with_the_layer_that_made_it():
    class Logarithm(keras.layers.Layer):
        def call(self, x):
            return keras.ops.log(x - 0.5)

    model = keras.Sequential([
        keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="relu"), Logarithm(name="bad"),
        keras.layers.Flatten(), keras.layers.Dense(4, "softmax"),
    ])  # fmt: skip
    session = dlw.Session(model, (X, Y), loss="sparse_categorical_crossentropy", batch_size=32)
    with pytest.raises(ArithmeticError):
        session.step(1)
    found = next(one for one in session.findings if one.rule == "loss_not_finite")
    assert found.layer == "bad" and found.sentence.startswith("In bad came the first number that is not finite: log()")


def test_the_preflight_leaves_all_variables_as_they_are():
    model = cnn()
    before = [one.value.detach().clone() for one in model.variables]
    session = dlw.Session(model, (X, Y), loss="sparse_categorical_crossentropy", batch_size=32)
    assert set(session.diagnose().outcome) == {"quiet", "not run"}
    assert all(torch.equal(one, now.value) for one, now in zip(before, model.variables))
