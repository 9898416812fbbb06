"""Inputs that do not fit a Keras model: one sentence, with the layer, both shapes, and a line that mends them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from packaging.version import Version

keras = pytest.importorskip("keras")

from keras import layers as L

import dlwidgets as dlw

#: Keras 3.12 and earlier, the last for Python 3.10, says less: which input it was by its number, and where it failed.
NAMES_INPUTS = Version(keras.__version__) >= Version("3.13")

pytestmark = [pytest.mark.keras, pytest.mark.any_backend]


def cnn(*first):
    """Return a CNN for pictures of 12x12 with one channel, where `first` says so."""
    return keras.Sequential([*first, L.Conv2D(3, 3, name="conv"), L.Flatten(), L.Dense(4, name="out")])


def built():
    """Return it built."""
    return cnn(keras.Input((12, 12, 1)))


class Net(keras.Model):
    """The same, subclassed."""

    def __init__(self):
        super().__init__()
        self.conv, self.flat, self.out = L.Conv2D(3, 3), L.Flatten(), L.Dense(4)

    def call(self, x):
        """Return four numbers."""
        return self.out(self.flat(self.conv(x)))


def zeros(*shape):
    """Return an array of zeros."""
    return np.zeros(shape, "float32")


@pytest.mark.parametrize(
    ("model", "given", "layer", "wanted", "line"),
    [
        (built, (2, 1, 12, 12), "conv (Conv2D)", "N×12×12×1", r"of an array (X\.transpose\(.*?\))"),
        (built, (2, 144), "Sequential", "N×12×12×1", r"(X\.reshape\(.*?\))"),
        (built, (12, 12, 1), "axis of the samples", "N×12×12×1", r"(X\[None\])"),
        (cnn, (2, 12, 12), "conv (Conv2D)", "N×H×W×C", r"(X\[\.\.\., None\])"),
        (cnn, (2, 144), "conv (Conv2D)", "N×H×W×C", r"(X\.reshape\(.*?\))"),
        (cnn, (2, 1, 12, 12), "conv (Conv2D)", "channels last", r"of an array (X\.transpose\(.*?\))"),
        (Net, (2, 12, 12), "conv (Conv2D)", "N×H×W×C", r"(X\[\.\.\., None\])"),
        (Net, (12, 12, 1), "conv (Conv2D)", "N×H×W×C", r"(X\[None\])"),
        (
            lambda: keras.Sequential([keras.Input((5, 3)), L.LSTM(4, name="r")]),
            (2, 3, 5), "r (LSTM)" if NAMES_INPUTS else "r.cell (LSTMCell)", "N×5×3", r"(X\.swapaxes\(.*?\))",
        ),
        (
            lambda: keras.Sequential([L.LSTM(4, name="r")]),
            (2, 5), "r (LSTM)", "N×L×features", r"(X\[\.\.\., None\])",
        ),
        (
            lambda: keras.Sequential([L.Conv2D(3, 3, data_format="channels_first", name="c")]),
            (2, 12, 12, 1), "c (Conv2D)", "N×C×H×W", r"of an array (X\.transpose\(.*?\))",
        ),
    ],
)  # fmt: skip
def test_the_line_in_the_sentence_mends_the_data(model, given, layer, wanted, line):
    model, X = model(), zeros(*given)
    said = dlw.summary(model, X).error
    assert layer in said
    assert wanted in said
    assert "×".join(map(str, given)) in said.replace("N×", f"{given[0]}×")
    assert "\n" not in said
    assert "Exception encountered" not in said
    assert dlw.summary(model, eval(re.search(line, said)[1])).error is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((2, 12, 12, 3), "they are in colour: make them gray, or make the model for 3 channels"),
        ((2, 9, 9, 1), "out (Dense) fails: the model wants N×12×12×1, but was given 2×9×9×1: bring them to that size"),
    ],
)
def test_other_channels_and_sizes_are_told_apart(given, said):
    assert said in dlw.summary(built(), zeros(*given)).error


def test_maps_that_have_become_too_small_are_told():
    said = dlw.summary(cnn(), zeros(1, 2, 2, 1)).error
    assert said.startswith("conv (Conv2D) wants maps of at least 3×3")


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the others take the nearest row, without a word")
def test_numbers_without_a_row_are_told_with_the_range():
    model = keras.Sequential([keras.Input((5,)), L.Embedding(10, 4, name="emb"), L.Flatten()])
    said = dlw.summary(model, np.full((2, 5), 11)).error
    assert said == "emb (Embedding) wants whole numbers from 0 to 9, but was given 2×5: 11 is among them; " + (
        "set input_dim above the largest."
    )


def test_inputs_are_told_by_their_names():
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    both = L.Dense(2)(L.Concatenate()([left, right]))
    named = keras.Model({"left": left, "right": right}, both)
    assert "it takes a dict, {'left': N×6, 'right': N×6}" in dlw.summary(named, {"left": zeros(2, 6)}).error
    listed = keras.Model([left, right], both)
    assert "it takes 2 inputs, N×6, N×6, as a list" in dlw.summary(listed, zeros(2, 6)).error
    wanted = "its input 'right' wants N×6, but was given 2×5" if NAMES_INPUTS else "Input 1 of layer"
    assert wanted in dlw.summary(listed, (zeros(2, 6), zeros(2, 5))).error


def test_an_undefined_shape_is_explained():
    class Forgets(L.Layer):
        def compute_output_spec(self, x):
            return keras.KerasTensor(shape=None)

        def call(self, x):
            return x

    with pytest.raises(ValueError, match="Undefined shapes are not supported"):
        keras.KerasTensor(shape=None)  # what Keras says
    said = dlw.summary(keras.Sequential([Forgets(), L.Dense(3)]), zeros(2, 5)).error
    assert "“Undefined shapes are not supported”" in said
    assert "as (None, 28, 28, 1)" in said


def test_a_sequential_that_kept_a_wrong_shape_is_to_be_made_anew():
    model = cnn()
    with pytest.raises(ValueError, match="incompatible"):
        model(zeros(2, 12, 12))
    with pytest.raises(ValueError, match="already been configured"):
        model(zeros(2, 12, 12, 1))  # as a person would go on
    assert "make the model anew" in dlw.summary(model, zeros(2, 12, 12, 1)).error


def test_pictures_with_channels_first_are_doubted_where_they_would_do():
    model = keras.Sequential([L.Conv2D(3, 3, padding="same", name="conv"), L.Flatten()])
    table = dlw.summary(model, zeros(2, 3, 12, 12))
    assert "conv (Conv2D) takes 2×3×12×12 as height, width and channels last" in table.notes[0]
