"""LayerTable of a Keras model, alone and beside a run."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from dlwidgets.session import Session
from dlwidgets.views.layers.view import LayerTable
from tests import keras_models

pytestmark = pytest.mark.keras


def session(model):
    rows = np.random.default_rng(0).normal(size=(32, 8, 8, 1)).astype("float32")
    return Session(model, train=(rows, np.arange(32) % 3), batch_size=16, seed=0)


def test_the_table_of_a_bare_model_has_the_shapes_that_keras_knows():
    model = keras_models.sequential()
    table = LayerTable(model)
    shapes = {row["path"]: row["output_shape"] for row in table.summary.to_frame().to_dict("records")}
    assert {layer.name: tuple(shapes[layer.name][1:]) for layer in model.layers} == {
        layer.name: layer.output.shape[1:] for layer in model.layers
    }  # fmt: skip
    table.close()


def test_a_layer_frozen_by_its_own_flag_is_shown_as_frozen():
    model = keras_models.sequential()
    model.get_layer("conv").trainable = False
    frame = session(model).layers().to_frame().set_index("path")
    assert frame.trainable["conv"] == "no" and frame.trainable["output"] == "yes"
    assert frame.parameters[""] == model.count_params()


def test_the_figure_of_a_table_names_each_layer():
    model = keras_models.functional()
    texts = LayerTable(model).figure().findobj(match=lambda one: hasattr(one, "get_text"))
    said = "".join(one.get_text() for one in texts)
    assert all(layer.name in said for layer in model.layers if layer.weights)
