"""A session builds a Keras model that has no shapes yet by its data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from keras import layers as L

import dlwidgets as dlw
from dlwidgets.core.activations.forward_pass import ForwardFailed

pytestmark = pytest.mark.keras


def cnn():
    """Return a CNN that nobody has told its shape."""
    return keras.Sequential([L.Conv2D(3, 3, activation="relu", name="conv"), L.Flatten(), L.Dense(2, name="out")])


class Net(keras.Model):
    """The same, subclassed."""

    def __init__(self):
        super().__init__()
        self.conv, self.flat, self.out = L.Conv2D(3, 3, activation="relu"), L.Flatten(), L.Dense(2)

    def call(self, x):
        """Return two logits."""
        return self.out(self.flat(self.conv(x)))


def data(*shape, samples=12):
    """Return pictures and classes."""
    generator = np.random.default_rng(0)
    return generator.random((samples, *shape), "float32"), np.arange(samples) % 2


@pytest.mark.parametrize("kind", [cnn, Net])
def test_a_session_builds_the_model_as_keras_would(kind):
    keras.utils.set_random_seed(0)
    model = kind()
    keras.utils.set_random_seed(0)
    twin = kind()
    X, y = data(8, 8, 1)
    session = dlw.Session(model, train=(X, y), epochs=1, batch_size=4)
    assert "The model was built for inputs of 8×8×1, as of the data." in session.notes
    twin.predict(X, verbose=0)  # which builds it
    for mine, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    session.fit()
    assert session.steps == 3
    assert any((a != b).any() for a, b in zip(model.get_weights(), twin.get_weights(), strict=True))


def test_a_sequential_is_built_for_batches_of_any_size():
    model = cnn()
    dlw.Session(model, train=data(8, 8, 1))
    assert model.inputs[0].shape == (None, 8, 8, 1)


def test_what_is_read_once_is_read_whole_all_the_same():
    X, y = data(8, 8, 1)
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    batches = ((X[at : at + 4], y[at : at + 4]) for at in range(0, 12, 4))
    session = dlw.Session(cnn(), train=batches, epochs=1)
    session.fit()
    assert session.steps == 3


def test_a_built_model_is_not_built_anew():
    model = cnn()
    model.build((None, 8, 8, 1))
    before = model.get_weights()
    session = dlw.Session(model, train=data(8, 8, 1))
    assert not [note for note in session.notes if "was built" in note]
    for mine, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, then)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((8, 8), "conv (Conv2D) wants N×H×W×C, but was given N×8×8: the axis of the channels is missing: X[..., None]"),
        ((3, 8, 8), "the channels come second, as in torch's models"),
        ((64,), "they are flattened: X.reshape(-1, 8, 8, 1)"),
    ],
)
def test_data_that_cannot_build_it_are_told_why_and_leave_it(shape, said):
    model = cnn()
    with pytest.raises(ValueError, match="not to be built by the data") as caught:
        dlw.Session(model, train=data(*shape))
    assert said in str(caught.value).replace("given 12×", "given N×")
    assert not model.layers[0].built
    model(np.zeros((2, 8, 8, 1), "float32"))  # it is as good as new


@pytest.mark.parametrize("kind", [cnn, Net])
def test_activations_are_those_of_the_model_as_it_will_be(kind):
    model, X = kind(), data(8, 8, 1)[0]
    found = dlw.activations(model, X)
    assert not model.layers[0].built
    np.testing.assert_allclose(found.output.numpy(), model.predict(X, verbose=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["conv"].numpy(), dlw.activations(model, X)["conv"].numpy())


def test_a_browser_builds_the_model_by_its_samples():
    model = cnn()
    browser = dlw.ActivationBrowser(model, data(8, 8, 1)[0], layer="conv")
    assert model.built
    assert model.count_params() == 3 * (9 + 1) + 3 * 36 * 2 + 2
    browser.close()


def test_wrong_classes_are_told_with_their_range():
    model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    X = np.zeros((6, 4), "float32")
    with pytest.raises(ValueError, match="the label 3, but the model puts out 3 values: labels go from 0 to 2"):
        dlw.Session(model, train=(X, np.array([0, 1, 2, 3, 1, 2])), task="multiclass")


def built():
    """Return the CNN, built for pictures of 8x8 with one channel."""
    return keras.Sequential([keras.Input((8, 8, 1)), *cnn().layers])


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda model, X: dlw.Session(model, train=(X, data(1)[1])), ValueError),
        (lambda model, X: dlw.activations(model, X), ForwardFailed),
        (lambda model, X: dlw.Session(model, train=data(8, 8, 1)).predict(X), ValueError),
    ],
)
def test_each_entrance_says_what_does_not_fit_in_a_sentence(ask, error):
    with pytest.raises(error) as caught:
        ask(built(), data(1, 8, 8)[0])
    said = str(caught.value)
    assert "conv (Conv2D) fails: the model wants N×8×8×1" in said
    assert "X.permute(0, 2, 3, 1)" in said
    assert "Exception encountered" not in said
    assert "\n" not in said


def test_numbers_without_a_row_are_told_before_a_run():
    model = keras.Sequential([keras.Input((5,)), L.Embedding(10, 4, name="emb"), L.Flatten(), L.Dense(2)])
    with pytest.raises(ValueError, match=r"emb \(Embedding\) wants whole numbers from 0 to 9"):
        dlw.Session(model, train=(np.full((6, 5), 10), np.arange(6) % 2))


@pytest.mark.parametrize("inputs", [1, 2])
def test_a_number_below_zero_has_no_row_where_keras_counts_from_the_end(inputs):
    given = [keras.Input((5,)) for _ in range(inputs)]
    looked_up = [L.Flatten()(L.Embedding(10, 4, name="emb")(given[0])), *given[1:]]
    model = keras.Model(given, L.Dense(2)(L.Concatenate()(looked_up) if inputs > 1 else looked_up[0]))
    words = np.full((6, 5), 3)
    words[4, 1] = -1
    X = words if inputs == 1 else (words, np.full((6, 5), -0.5, "float32"))
    with pytest.raises(ValueError, match=r"In train, emb \(Embedding\) wants numbers from 0 to 9: -1 .* in row 4\."):
        dlw.Session(model, train=(X, np.arange(6) % 2))


def test_two_inputs_of_a_model_of_one_are_told():
    X = np.zeros((6, 8, 8, 1), "float32")
    with pytest.raises(ValueError, match="it takes one input, N×8×8×1"):
        dlw.Session(built(), train=((X, X), np.arange(6) % 2))


@pytest.mark.parametrize("begin", [[], [keras.Input((5,))]])
def test_layers_behind_a_torch_module_are_built_by_the_data(begin):
    model = keras.Sequential([*begin, L.TorchModuleWrapper(torch.nn.Linear(5, 4)), L.Dense(2)])
    before = dlw.Session(model, train=(np.ones((8, 5), "float32"), np.arange(8) % 2), batch_size=4)
    weights = [one.detach().clone() for one in before.model.parameters()]
    before.step(2)
    assert model.count_params() == 5 * 4 + 4 + 4 * 2 + 2 == sum(one.numel() for one in weights)
    assert not any(torch.equal(one, now) for one, now in zip(weights, model.parameters(), strict=True))


def test_a_torch_module_around_layers_without_a_shape_is_built_before_the_optimizer():
    model = torch.nn.Sequential(L.Dense(4), torch.nn.Linear(4, 2))
    session = dlw.Session(model, train=(np.zeros((8, 5), "float32"), np.arange(8) % 2))
    assert sum(one.numel() for one in session.model.parameters()) == 5 * 4 + 4 + 4 * 2 + 2
    moved = {id(one) for group in session._run.loop.optimizer.param_groups for one in group["params"]}
    assert moved == {id(one) for one in model.parameters()}
