"""Keras models whose layers are registered in them, and what Keras makes of that."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from dlwidgets.core.layers.framework import adopt
from dlwidgets.core.layers.walk import module_at, walk
from tests import keras_models

pytestmark = pytest.mark.keras

PICTURES, FEATURES = (2, 8, 8, 1), (2, 5)
#: Each kind of model, with inputs of it.
KINDS = {
    "sequential": lambda: np.ones(PICTURES, "float32"),
    "functional": lambda: {"left": np.ones((2, 6), "float32"), "right": np.zeros((2, 6), "float32")},
    "subclassed": lambda: np.ones(FEATURES, "float32"),
    "recurrent": lambda: np.array([[1, 2, 3, 4, 0, 0, 0], [5, 6, 0, 0, 0, 0, 0]], "int32"),
    "attention": lambda: np.ones((2, 6, 8), "float32"),
    "wrapped": lambda: np.ones((2, 1, 8, 8), "float32"),
    "augmenting": lambda: np.ones(PICTURES, "float32"),
    "spectral": lambda: np.ones(PICTURES, "float32"),
}


COPIES = (copy.deepcopy, keras.models.clone_model, lambda one: pickle.loads(pickle.dumps(one)))


def make(name):
    model = getattr(keras_models, name)()
    model(KINDS[name]())
    return model


def flat(tree):
    return [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(tree)]


@pytest.mark.parametrize("name", KINDS)
def test_each_weight_is_a_parameter_or_buffer_once(name):
    model = adopt(make(name))
    held = [*model.parameters(), *(one for module in model.modules() for one in module._buffers.values())]
    assert len({id(one) for one in held}) == len(held)
    assert {id(one.value) for one in model.variables} == {id(one) for one in held} - {
        id(one) for module in model.modules() if type(module).__module__.startswith("torch.nn")
        for one in module._buffers.values()
    }  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_layer_of_each_is_found_by_its_path(name):
    model = make(name)
    layers = walk(model)
    assert {id(layer.module) for layer in layers} >= {
        id(one) for one in model._flatten_layers() if type(one).__name__ != "InputLayer"
    }  # fmt: skip
    assert all(module_at(model, layer.path) is layer.module for layer in layers)


@pytest.mark.parametrize("name", KINDS)
def test_what_was_adopted_is_saved_as_what_was_not(name, tmp_path):
    model, inputs = make(name), KINDS[name]()
    before = flat(model(inputs))
    adopt(model)
    model.save_weights(tmp_path / "a.weights.h5")
    fresh = getattr(keras_models, name)()
    fresh(inputs)
    fresh.load_weights(tmp_path / "a.weights.h5")
    assert all(np.array_equal(one, two) for one, two in zip(flat(fresh(inputs)), before, strict=True))


@pytest.mark.parametrize("name", KINDS)
def test_a_model_trains_in_keras_as_if_it_had_not_been_adopted(name):
    def train(adopted):
        keras.utils.set_random_seed(0)
        model, inputs = make(name), KINDS[name]()
        if adopted:
            adopt(model)
        model.compile(optimizer="adam", loss="mse")
        wanted = keras.tree.map_structure(np.zeros_like, model.predict(inputs, verbose=0))
        model.fit(inputs, wanted, epochs=2, verbose=0)
        return model.get_weights()

    assert all(np.array_equal(one, two) for one, two in zip(train(True), train(False), strict=True))


@pytest.mark.parametrize("name", ["sequential", "functional", "attention", "recurrent", "augmenting"])
@pytest.mark.parametrize("way", COPIES)
def test_an_adopted_model_is_copied_by_keras(name, way):
    model, inputs = adopt(make(name)), KINDS[name]()
    twin = way(model)
    twin.set_weights(model.get_weights())
    assert all(np.array_equal(one, two) for one, two in zip(flat(twin(inputs)), flat(model(inputs)), strict=True))
    assert [layer.path for layer in walk(twin)] == [layer.path for layer in walk(model)]


def test_a_layer_added_later_is_found():
    model = adopt(keras_models.sequential())
    model.add(keras.layers.Dense(2, name="more"))
    assert [layer.path for layer in walk(model)][-2:] == ["output", "more"]
    popped = model.pop()
    assert walk(model)[-1].path == "output" and popped not in vars(model).values()


def _add_layer(body, block):
    body.add(keras.layers.Dense(2))


def _replace_layer(body, block):
    body.pop()
    body.add(keras.layers.Dense(3))


def _add_attribute(body, block):
    block.more = keras.layers.Dense(2)


def _add_to_list(body, block):
    block.blocks.append(keras.layers.Dense(6))


def _build(body, block):
    body.build((None, 5))


def _hold_another_tensor(body, block):
    body.layers[0].kernel._value = torch.nn.Parameter(torch.zeros(5, 5))


def _quantize(body, block):
    body.layers[0].quantize("int8")


@pytest.mark.parametrize(
    "change",
    [_add_layer, _replace_layer, _add_attribute, _add_to_list, _build, _hold_another_tensor, _quantize],
)
def test_what_changes_deep_inside_after_adoption_is_found(change):
    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.block = keras_models.Subclassed()
            self.body = keras.Sequential([keras.layers.Dense(5), self.block])

    model = Outer()
    model.body.layers[0].build((None, 5))
    before = [*adopt(model).modules(), *model.state_dict(keep_vars=True).values()]
    change(model.body, model.block)
    adopt(model)
    layers = [one for one in model._flatten_layers() if type(one).__name__ != "InputLayer"]
    modules, held = [*model.modules()], [*model.state_dict(keep_vars=True).values()]
    assert {*map(id, modules)} == {*map(id, layers)}
    assert {*map(id, held)} == {id(one.value) for one in model.variables}
    assert {*map(id, before)} != {*map(id, modules), *map(id, held)}


def test_a_layer_of_a_list_has_the_place_for_its_name_which_the_next_process_gives_it_too():
    first, second = adopt(keras_models.subclassed()), adopt(keras_models.subclassed())
    assert list(first.state_dict()) == list(second.state_dict())
    assert first.blocks[0].name != second.blocks[0].name and module_at(first, "blocks_0") is first.blocks[0]


def test_a_layer_of_two_attributes_has_the_first_ones_name_and_stands_once():
    class Twice(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = keras.layers.Dense(2)
            self.again = self.first

    model = Twice()
    for _ in range(2):
        assert [layer.path for layer in walk(model)] == ["", "first"]
    assert model.again is model.first is module_at(model, "first")


@pytest.mark.parametrize("name", ["output", "input", "name", "training", "loss", "built", "optimizer", "trainable"])
def test_a_layer_of_any_name_is_walked_compiled_and_fitted(name):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name=name), keras.layers.Dense(1, name="last")])
    layers = walk(model)
    assert layers[1].module is model.layers[0] and layers[1].name.rstrip("_") == name
    model.train()
    model.trainable = True
    model.compile(optimizer="sgd", loss="mse")
    model.fit(np.ones((2, 3)), np.ones((2, 1)), verbose=0)
    assert module_at(model, layers[1].path) is model.layers[0]


def test_a_dot_in_a_name_does_not_part_a_path():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Activation("relu", name="a.b")])
    assert module_at(model, walk(model)[1].path) is model.layers[0]


def test_a_layer_adapted_anew_normalises_by_what_it_met_last():
    norm = keras.layers.Normalization()
    norm.adapt(np.array([[1.0], [3.0]], "float32"))
    adopt(keras.Sequential([keras.Input((1,)), norm]))
    norm.adapt(np.array([[10.0], [30.0]], "float32"))
    assert norm(np.array([[20.0]], "float32")).item() == 0


def test_low_rank_adapters_and_quantised_kernels_are_found():
    model = adopt(keras.Sequential([keras.Input((8,)), keras.layers.Dense(8), keras.layers.Dense(4)]))
    model.layers[0].enable_lora(2)
    model.layers[1].quantize("int8")
    adopt(model)
    assert {id(one.value) for one in model.variables} == {id(one) for one in model.state_dict(keep_vars=True).values()}
    assert set(model.layers[0]._parameters) >= {"bias", "lora_kernel_a", "lora_kernel_b"}


def test_trackers_and_the_optimizer_of_a_compiled_model_are_no_layers():
    model = keras_models.sequential()
    paths = [layer.path for layer in walk(model)]
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    model.fit(np.ones(PICTURES), np.ones((2, 3)), verbose=0)
    assert [layer.path for layer in walk(model)] == paths


def test_layers_of_keras_inside_a_torch_module_are_adopted():
    class Mixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = keras_models.sequential()
            self.last = torch.nn.Linear(3, 2)

        def forward(self, given):
            return self.last(self.body(given))

    assert [layer.path for layer in walk(Mixed())][:3] == ["", "body", "body.conv"]
