"""Weights of Keras models: from Keras's files, other models, torch's state dicts; compared with Keras's own loading."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

keras = pytest.importorskip("keras")

from keras import layers

import dlwidgets as dlw
from dlwidgets.core.layers.framework import adopt

pytestmark = pytest.mark.keras


def convnet(classes=3, **names):
    """Return a small model with all kinds of tensors that files have, its numbers drawn."""
    model = keras.Sequential([
        keras.Input((6, 6, 2)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Dropout(0.1),
        layers.Flatten(), layers.Dense(classes, **names),
    ])  # fmt: skip
    model.layers[1].moving_mean.assign(keras.random.normal((4,)))
    return model


def equal(one, other):
    return all(map(np.array_equal, one.get_weights(), other.get_weights()))


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.h5"])
def test_file_of_keras_is_loaded_as_keras_does(tmp_path, name):
    source, model = convnet(), convnet()
    source.save_weights(tmp_path / name) if "weights" in name else source.save(tmp_path / name)
    report = dlw.load_weights(model, tmp_path / name)
    assert report.complete
    assert equal(source, model)
    assert {row.name.rpartition(".")[2] for row in report.rows if row.outcome == "loaded"} == {
        "kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance",
    }  # fmt: skip


class Net(keras.Model):
    """A subclassed model with layers in a list, and a torch module."""

    def __init__(self):
        super().__init__()
        self.blocks = [layers.Dense(5), layers.Dense(5)]
        self.normal = nn.BatchNorm1d(5)
        self.rnn = layers.Bidirectional(layers.LSTM(3))

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.rnn(self.normal(x)[:, None])


def test_subclassed_model_reads_what_keras_wrote_before_it_was_adopted(tmp_path):
    source, model = Net(), Net()
    source(torch.rand(4, 6)), model(torch.rand(4, 6))
    source.save_weights(tmp_path / "m.weights.h5")
    report = dlw.load_weights(model, tmp_path / "m.weights.h5")
    assert report.complete, str(report)
    assert equal(source, model)


def test_head_for_other_classes_stays_and_is_told(tmp_path):
    source, model = convnet(), convnet(7)
    before = model.layers[-1].get_weights()
    source.save(tmp_path / "m.keras")
    report = dlw.load_weights(model, tmp_path / "m.keras")
    head = model.layers[-1].name
    assert [row.name for row in report.rows if row.outcome == "shape"] == [f"{head}.kernel", f"{head}.bias"]
    assert "64×3 in the file, 64×7 in the model" in str(report)
    assert all(map(np.array_equal, before, model.layers[-1].get_weights()))
    assert np.array_equal(source.get_weights()[0], model.get_weights()[0])


def test_another_model_is_matched_by_place_where_numbers_of_layers_differ():
    source, model = convnet(), convnet()
    assert source.layers[0].name != model.layers[0].name
    assert dlw.load_weights(model, source).complete
    assert equal(source, model)


def test_state_dict_is_matched_in_order_where_numbers_of_layers_differ(tmp_path):
    source, model = convnet(), convnet()
    torch.save(adopt(source).state_dict(), tmp_path / "m.pt")
    report = dlw.load_weights(model, tmp_path / "m.pt")
    assert "matched in their order" in str(report)
    assert equal(source, model)


def test_torch_twin_gives_the_same_outputs():
    model = convnet()
    twin = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, eps=1e-3), nn.Flatten(), nn.Linear(64, 3)).eval()
    twin[1].running_mean.normal_()
    report = dlw.load_weights(model, twin.state_dict())
    assert "axes turned from torch's order" in str(report)
    X = torch.rand(5, 2, 6, 6)
    with torch.no_grad():
        ours, theirs = model(X.movedim(1, -1), training=False), twin(X)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_torch_model_of_other_layers_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="its names, as 'weight'"):
        dlw.load_weights(convnet(), nn.Linear(3, 4).state_dict() | {"1.x": torch.ones(2)})


def test_torch_model_does_not_take_a_file_of_keras(tmp_path):
    convnet().save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match="HDF5 file.*: its weights have other names and axes"):
        dlw.load_weights(nn.Linear(2, 2), tmp_path / "m.weights.h5")


def test_torch_twin_takes_the_weights_of_a_keras_model_and_gives_them_back():
    model, other = convnet(), convnet()
    twin = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))
    assert "axes turned from Keras's order to torch's" in str(dlw.load_weights(twin, model))
    assert dlw.load_weights(other, twin).complete
    assert equal(model, other)


def test_path_is_no_model_and_the_line_is_shown(tmp_path):
    convnet().save(tmp_path / "m.keras")
    with pytest.raises(TypeError, match=r"model = keras.models.load_model\('.*m.keras'\) makes the model of it"):
        dlw.summary(str(tmp_path / "m.keras"))
    with pytest.raises(TypeError, match=r"load_weights\(model, 'm.weights.h5'\)"):
        dlw.Session("m.weights.h5", (torch.rand(4, 2), torch.rand(4)))


class Twice(layers.Layer):
    """A layer of a person's own, which no file holds."""

    def call(self, x):
        return 2 * x


def test_file_with_a_class_of_ones_own_is_told_of(tmp_path):
    keras.Sequential([keras.Input((3,)), Twice(), layers.Dense(2)]).save(tmp_path / "m.keras")
    with pytest.raises(TypeError, match=r"custom_objects=\{'Twice': Twice\}\).*register_keras_serializable"):
        dlw.LayerTable(tmp_path / "m.keras")
