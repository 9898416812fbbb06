"""Controls on Keras models, each against a plain loop, bit for bit, or refused in a sentence."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import dlwidgets as dlw

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.keras

X = np.random.default_rng(0).random((48, 6, 6, 3), np.float32)
Y = np.random.default_rng(1).integers(0, 3, 48)
ONE_HOT = np.eye(3, dtype="float32")[Y]


def make_model(**options):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential([
        keras.Input((6, 6, 3)), layers.Conv2D(4, 3, activation="relu", name="conv", **options),
        layers.SpatialDropout2D(0.1, seed=1, name="spatial"), layers.GaussianDropout(0.2, seed=2, name="gaussian"),
        layers.Flatten(), layers.Dropout(0.3, seed=3, name="drop"), layers.Dense(3, "softmax", name="out"),
    ])  # fmt: skip


def loader(y=Y):
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(y)), 16)


def make_session(model, y=Y, loss="sparse_categorical_crossentropy", **options):
    return dlw.Session(model, loader(y), **{"loss": loss, "optimizer": "sgd", "lr": 0.1, **options})


def train(model, steps, y=Y, loss=None, changes=None, after=lambda: None, scaled=lambda x: x, rates=None):
    """Train in a plain loop; `changes` are made before a step, `after` after each."""
    loss = loss or keras.losses.SparseCategoricalCrossentropy()
    rates = rates or {}
    groups = [{"params": [one.value], "lr": 0.1 * rates.get(one.path.split("/")[-2], 1)} for one in model.weights
              if one.trainable]  # fmt: skip
    optimizer, batches = torch.optim.SGD(groups, lr=0.1), [*loader(y)]
    for step in range(steps):
        if changes is not None and step in changes:
            changes[step](model)
        inputs, targets = batches[step % len(batches)]
        value = loss(targets, model(scaled(inputs), training=True))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        after()
    return model


def assert_same(one, other):
    assert all(np.array_equal(*pair) for pair in zip(one.get_weights(), other.get_weights(), strict=True))


def test_dropout_of_all_kinds_by_their_rate():
    model = make_model()
    session = make_session(model).step(2)
    session.dropout = {"*": 0.5, "gaussian": 0.0}
    session.step(3)

    def change(plain):
        for name, rate in (("spatial", 0.5), ("gaussian", 0.0), ("drop", 0.5)):
            plain.get_layer(name).rate = rate

    assert_same(model, train(make_model(), 5, changes={2: change}))
    assert [model.get_layer(name).rate for name in ("spatial", "gaussian", "drop")] == [0.5, 0.0, 0.5]
    session.rewind(1)
    assert [model.get_layer(name).rate for name in ("spatial", "gaussian", "drop")] == [0.1, 0.2, 0.3]


def test_a_dropout_made_without_a_rate_says_what_to_make():
    model = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Dropout(0, name="off"), keras.layers.Flatten(),
                              keras.layers.Dense(3, "softmax")])  # fmt: skip
    session = make_session(model)
    with pytest.raises(ValueError, match=r"'off' was made with a rate of 0, .*make it with another, as Drop"):
        session.dropout = 0.5


def test_input_scaling_by_the_channels_that_stand_last():
    model = make_model()
    make_session(model, input_scaling=([0.1, 0.2, 0.3], [1.0, 2.0, 4.0])).step(3)
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0, 2.0, 4.0])
    assert_same(model, train(make_model(), 3, scaled=lambda x: (x - mean) / std))


def test_rates_by_layer():
    model = make_model()
    make_session(model, lr_scale={"conv": 0.1}).step(3)
    assert_same(model, train(make_model(), 3, rates={"conv": 0.1}))


def test_averages_of_the_weights_predict():
    session, plain = make_session(make_model(), ema=0.5).step(3), make_model()
    averaged: list[torch.Tensor] = []

    def average():  # which begins with the weights after the first step
        now = [one.value.detach() for one in plain.weights]
        averaged[:] = [one.lerp(new, 0.5) for one, new in zip(averaged, now)] or [one.clone() for one in now]

    train(plain, 3, after=average)
    plain.set_weights([one.numpy() for one in averaged])
    assert np.allclose(session.predict_scores(X), plain.predict(X, verbose=0), atol=1e-5)


@pytest.mark.parametrize("rule", ["unit", ("max_norm", 0.5)])
def test_kernels_are_normalised_by_their_filters(rule):
    model = make_model()
    session = make_session(model, normalise=rule).step(2)
    for name in ("conv", "out"):
        kernel = model.get_layer(name).get_weights()[0]
        norms = np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), axis=0)
        assert np.allclose(norms, 1, atol=1e-5) if rule == "unit" else (norms <= 0.5 + 1e-5).all()
    session.normalise = None
    session.step(1)


@pytest.mark.parametrize(
    ("rule", "why"),
    [("weight_norm", r"cannot be split: take 'unit' or 'max_norm' here, or .*UnitNorm"), ("unit_dim1", "take 'unit'")],
)
def test_rules_of_torchs_layout_are_refused_with_what_to_take(rule, why):
    session = make_session(make_model()).step(1)
    session.normalise = rule
    session.step(1)
    assert session.applied["normalise"] is None
    assert re.search(why, session.rejected["normalise"])


def test_label_smoothing_is_that_of_keras():
    model = make_model()
    session = make_session(model, ONE_HOT, "categorical_crossentropy").step(1)
    session.label_smoothing = 0.2
    session.step(2)
    smooth, sharp = keras.losses.CategoricalCrossentropy(label_smoothing=0.2), keras.losses.CategoricalCrossentropy()
    used = iter([sharp, smooth, smooth])
    assert_same(model, train(make_model(), 3, ONE_HOT, lambda *given: next(used)(*given)))


def test_label_smoothing_of_class_numbers_says_which_loss_has_it():
    session = make_session(make_model()).step(1)
    session.label_smoothing = 0.1
    session.step(1)
    assert "keras.losses.CategoricalCrossentropy has" in session.rejected["label_smoothing"]


def test_the_loss_is_exchanged_by_its_name_in_keras():
    model = make_model()
    session = make_session(model, ONE_HOT, "categorical_crossentropy").step(1)
    session.loss_function = "categorical_focal_crossentropy"
    session.step(2)
    first, then = keras.losses.CategoricalCrossentropy(), keras.losses.CategoricalFocalCrossentropy()
    used = iter([first, then, then])
    assert_same(model, train(make_model(), 3, ONE_HOT, lambda *given: next(used)(*given)))
    session.rewind(1)
    assert session.applied["loss_in_words"] == "CategoricalCrossentropy"


def test_early_stopping_ends_the_run():
    model = make_model()
    rule = {"metric": "valid_loss", "patience": 1, "restore": True}
    session = make_session(model, lr=5.0, early_stopping=rule, valid=(X[:16], 2 - Y[:16]), epochs=6).fit()
    assert session.status == "done" and session.steps < 18


def test_split_of_a_base_and_a_head():
    from dlwidgets.core.layers.split import propose_split

    layers = keras.layers
    base = keras.applications.MobileNetV3Small(input_shape=(32, 32, 3), include_top=False, weights=None)
    split = propose_split(keras.Sequential([base, layers.GlobalAveragePooling2D(), layers.Dense(5, name="d")]))
    assert (split.backbone, split.head) == (("MobileNetV3Small",), ("d",))
