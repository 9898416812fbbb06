"""Keras models without shapes: what is said of them, and that a line of it builds them."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import layers as L

import dlwidgets as dlw

pytestmark = [pytest.mark.keras, pytest.mark.any_backend]


def cnn(*first, **options):
    """Return a CNN that nobody has told its shape."""
    return keras.Sequential(
        [*first, L.Rescaling(1 / 255), L.Conv2D(4, 3, name="conv", **options), L.Flatten(), L.Dense(10)]
    )


class Net(keras.Model):
    """A subclassed CNN without a `build` of its own."""

    def __init__(self, **options):
        super().__init__()
        self.conv, self.flat, self.head = L.Conv2D(4, 3, **options), L.Flatten(), L.Dense(10)

    def call(self, x):
        """Return ten numbers."""
        return self.head(self.flat(self.conv(x)))


class DoesNothing(Net):
    """A model whose build builds nothing."""

    def build(self, input_shape):
        """Do nothing."""


class OnBase(keras.Model):
    """A head on a base that is built."""

    def __init__(self):
        super().__init__()
        self.base = keras.Sequential([keras.Input((28, 28, 1)), L.Conv2D(4, 3)])
        self.flat, self.head = L.Flatten(), L.Dense(10)

    def call(self, x):
        """Return ten numbers."""
        return self.head(self.flat(self.base(x)))


@pytest.mark.parametrize(
    ("model", "first", "line"),
    [
        (cnn, "conv (Conv2D)", "keras.Input((28, 28, 1))"),
        (lambda: keras.Sequential([L.Flatten(), L.Dense(9, name="d")]), "d (Dense)", "keras.Input((28, 28))"),
        (lambda: keras.Sequential([L.Dense(9, name="d")]), "d (Dense)", "keras.Input((784,))"),
        (lambda: keras.Sequential([L.Embedding(9, 4, name="e")]), "e (Embedding)", "keras.Input((100,))"),
        (lambda: keras.Sequential([L.LSTM(3, name="r")]), "r (LSTM)", "keras.Input((100, 8))"),
        (lambda: keras.Sequential([L.Conv1D(3, 3, name="c")]), "c (Conv1D)", "keras.Input((100, 8))"),
        (lambda: keras.Sequential([keras.Sequential([L.Dense(3)], name="in")]), "in.dense", "keras.Input((784,))"),
        (Net, "conv (Conv2D)", "model(keras.ops.zeros((1, 28, 28, 1)))"),
        (DoesNothing, "conv (Conv2D)", "model.build((None, 28, 28, 1))"),
        (OnBase, "head (Dense)", "model(keras.ops.zeros((1, 28, 28, 1)))"),
    ],
)  # fmt: skip
def test_the_first_layer_and_a_line_that_builds_the_model_are_named(model, first, line):
    model = model()
    said = dlw.summary(model).error
    assert first in said
    assert " is its first layer that needs a shape." in said
    assert line in said
    if line.startswith("keras.Input"):
        model = keras.Sequential([eval(line), *model.layers])  # as the person would write it
    elif not isinstance(model, DoesNothing):
        eval(line)
    else:
        model(keras.ops.zeros((1, 28, 28, 1)))
    assert dlw.summary(model).error is None
    assert dlw.summary(model).total_parameters == model.count_params() > 0


def test_a_number_as_shape_is_told_to_have_built_nothing():
    model = cnn()
    model.build(28)
    assert model.built
    assert "model.build(28) has built nothing: 28 is no shape." in dlw.summary(model).error


@pytest.mark.parametrize("kind", [Net, DoesNothing])
def test_a_build_that_builds_no_layer_is_seen_through(kind):
    model = kind()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.build((None, 28, 28, 1))
    if not model.layers[0].built:  # some versions of Keras build the layers
        assert "has built none of its layers" in dlw.summary(model).error


@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")
def test_an_idle_input_shape_is_named_and_taken_for_the_line():
    said = dlw.summary(Net(input_shape=(32, 24, 3))).error
    assert "input_shape=(32, 24, 3) does nothing in conv (Conv2D)" in said
    assert "keras.ops.zeros((1, 32, 24, 3))" in said
    assert "with your own" not in said
    later = keras.Sequential([keras.Input((8,)), L.Dense(4), L.Dense(3, input_shape=(5,), name="later")])
    assert [note for note in dlw.summary(later).notes if "input_shape=(5,) does nothing in later (Dense)" in note]
    asked = keras.Sequential([L.Conv2D(4, 3, input_shape=(28, 28, 1)), L.Flatten()])
    assert dlw.summary(asked).complete
    assert not [note for note in dlw.summary(asked).notes if "input_shape" in note]


def test_an_empty_sequential_is_told_to_have_no_layers():
    assert "has no layers yet" in dlw.summary(keras.Sequential()).error


def test_layers_that_a_model_never_calls_need_no_shape():
    class Spare(Net):
        def __init__(self):
            super().__init__()
            self.spare = L.Dense(3)

    model = Spare()
    model(np.zeros((1, 28, 28, 1), "float32"))
    table = dlw.summary(model)
    assert table.error is None
    assert table.total_parameters == model.count_params()
    assert {row.path: row.note for row in table.rows}["spare"] == "not called"


def test_a_built_model_shows_its_shapes_without_an_input():
    table = dlw.summary(cnn(keras.Input((28, 28, 1))))
    assert {row.path: row.output_shape for row in table.rows}["conv"] == (1, 26, 26, 4)


def test_open_sizes_are_asked_for():
    model = keras.Sequential([keras.Input((None, None, 3)), L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(3)])
    said = dlw.summary(model).error
    assert "inputs of any H and W, as N×H×W×3" in said
    assert re.search(r"summary\(model, input_shape=\(H, W, 3\)\)", said)
    assert dlw.summary(model, input_shape=(10, 12, 3)).complete


@pytest.mark.parametrize("kind", [cnn, Net, OnBase])
@pytest.mark.parametrize("how", [{"input": np.zeros((2, 28, 28, 1), "float32")}, {"input_shape": (28, 28, 1)}])
def test_a_batch_shows_the_model_as_it_will_be_and_leaves_it(kind, how):
    model = kind()
    before = [layer.built for layer in model._flatten_layers()], len(model.weights)
    table = dlw.summary(model, **how)
    if "The model was built for inputs of 28×28×1." in table.notes:  # Keras cannot copy it
        assert keras.backend.backend() != "torch"
    else:
        assert ([layer.built for layer in model._flatten_layers()], len(model.weights)) == before
        assert "The model is not built yet; this is a copy of it, built for inputs of 28×28×1." in table.notes
    model(keras.ops.zeros((1, 28, 28, 1)))
    assert table.total_parameters == model.count_params()
    samples = len(how["input"]) if "input" in how else 1
    assert table.total_macs == dlw.summary(model, np.zeros((samples, 28, 28, 1), "float32")).total_macs > 0


def test_the_next_layer_has_the_number_that_it_would_have_had():
    model = cnn()
    number = int(L.Dense(3).name.rpartition("_")[2])
    dlw.summary(model, input_shape=(28, 28, 1))
    assert L.Dense(3).name == f"dense_{number + 1}"


def test_several_inputs_are_named_in_the_line():
    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(3)

        def call(self, left, right, training=None):
            return self.dense(left) + self.dense(right)

    said = dlw.summary(Pair()).error
    assert "Call it once, model(left[:1], right[:1]); or pass a batch here, summary(model, (left, right))." in said


@pytest.mark.parametrize("ask", [lambda model: dlw.with_head(model, 5), lambda model: dlw.load_weights(model, {})])
def test_what_wants_weights_says_that_there_are_none_yet(ask):
    with pytest.raises(ValueError, match=r"conv \(Conv2D\) is its first layer that needs a shape") as caught:
        ask(cnn())
    assert "pass a batch here" not in str(caught.value)
