"""Sessions of Keras models on any backend: evaluated, scored, frozen; and trained by torch alone."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import dlwidgets as dlw
from tests import keras_models

pytestmark = [pytest.mark.keras, pytest.mark.any_backend]

ON_TORCH = keras.backend.backend() == "torch"
RNG = np.random.default_rng(0)
X, Y = RNG.random((24, 8, 8, 1), "float32"), RNG.integers(0, 3, 24)


@pytest.fixture
def session():
    model = keras_models.sequential()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="sgd", loss=loss, metrics=["accuracy"])
    made = dlw.Session(model, train=(X, Y), valid=(X, Y), classes=["a", "b", "c"], seed=0)
    yield made
    made.close()


def test_an_evaluation_is_that_of_keras(session):
    loss, accuracy = session.model.evaluate(X, Y, verbose=0)
    found = session.evaluate()
    assert found.loss == pytest.approx(loss, rel=1e-5) and found.metrics["accuracy"] == pytest.approx(accuracy)
    likeliest = session.model.predict(X, verbose=0).argmax(1)
    assert session.predict(X).tolist() == likeliest.tolist()
    grid = dlw.ConfusionGrid(session)
    assert session.scores.confusion()[:, 1, 1].tolist() == [int(((likeliest == c) & (Y == c)).sum()) for c in range(3)]
    grid.close()


def test_scores_take_what_predict_gives():
    model = keras_models.sequential()
    given = keras.ops.convert_to_numpy(keras.ops.softmax(model.predict(X, verbose=0)))
    assert dlw.Scores(Y, given).metrics().loc["class 0", "support"] == (Y == 0).sum()


def test_each_view_opens_and_draws(session):
    for view in (dlw.LayerTable, dlw.ActivationBrowser, dlw.ConfusionGrid, dlw.Doctor, dlw.Dashboard):
        shown = view(session)
        shown.figure()
        shown.close()


def test_a_model_is_browsed_without_a_session():
    browser = dlw.ActivationBrowser(keras_models.sequential(), X[:2], layer="conv")
    assert browser.figure().axes
    browser.close()


def test_freezing_sets_the_flag_of_the_layer(session):
    session.freeze("conv")
    assert not session.model.get_layer("conv").trainable and session.model.get_layer("output").trainable
    session.unfreeze("conv")
    assert session.model.get_layer("conv").trainable


@pytest.mark.skipif(ON_TORCH, reason="torch trains it")
@pytest.mark.parametrize("order", ["start", "fit", "step", "find_lr", "compare_starts"])
def test_our_loop_says_that_it_needs_torch_and_how_to_switch(session, order):
    before = [one.copy() for one in session.model.get_weights()]
    with pytest.raises(ValueError, match='KERAS_BACKEND"] = "torch".*restart the kernel.*keras_callback'):
        getattr(session, order)()
    assert session.steps == 0 and all(np.array_equal(*two) for two in zip(before, session.model.get_weights()))


def test_the_callback_follows_fit(session):
    session.model.fit(X, Y, epochs=2, batch_size=8, shuffle=False, verbose=0, callbacks=[session.keras_callback()])
    assert session.steps == 6 and len(session.history()) >= 6
    loss = session.model.evaluate(X, Y, verbose=0)[0]
    assert session.evaluate().loss == pytest.approx(loss, rel=1e-5)


def test_fit_with_the_callback_gives_the_weights_of_fit_without(session):
    twin = keras.models.clone_model(session.model)
    twin.set_weights(session.model.get_weights())
    twin.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    twin.layers[3].seed_generator.state.assign(keras.ops.convert_to_numpy(session.model.layers[3].seed_generator.state))
    twin.fit(X, Y, epochs=1, batch_size=8, shuffle=False, verbose=0)
    session.model.fit(X, Y, epochs=1, batch_size=8, shuffle=False, verbose=0, callbacks=[session.keras_callback()])
    assert all(np.array_equal(*two) for two in zip(twin.get_weights(), session.model.get_weights(), strict=True))
