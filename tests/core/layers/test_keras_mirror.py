"""Keras models on any backend: the table, the activations, evaluation, and what needs the torch backend."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

import dlwidgets as dlw
from dlwidgets.core.base.trees import call_model
from dlwidgets.core.layers.framework import adopt, handed_over
from dlwidgets.core.layers.keras.macs import count_macs
from dlwidgets.core.layers.walk import walk
from tests import keras_models
from tests.core.layers.test_keras_adoption import KINDS, flat, make

pytestmark = [pytest.mark.keras, pytest.mark.any_backend]

ON_TORCH = keras.backend.backend() == "torch"
elsewhere = pytest.mark.skipif(ON_TORCH, reason="of the backends that torch does not compute")
BATCH = np.random.default_rng(0).random((6, 8, 8, 1), "float32")


class Scored(keras.layers.Layer):
    """Multiplies by a matrix that no counter of layers sees."""

    def call(self, inputs):
        return keras.ops.matmul(keras.ops.expand_dims(inputs, 2), keras.ops.expand_dims(inputs, 1))


class Branching(keras.Model):
    """Needs values: what it does depends on them."""

    def __init__(self):
        super().__init__()
        self.low, self.high = keras.layers.Dense(2), keras.layers.Dense(2)

    def call(self, inputs):
        return self.high(inputs) if float(keras.ops.max(inputs)) > 0 else self.low(inputs)


@pytest.mark.parametrize("name", [name for name in KINDS if name != "wrapped"])
def test_a_model_put_out_through_its_module_is_what_keras_puts_out(name):
    model, inputs = make(name), KINDS[name]()
    tensors = keras.tree.map_structure(torch.tensor, inputs)
    got = [one.detach().numpy() for one in keras.tree.flatten(call_model(adopt(model).eval(), tensors))]
    assert all(np.array_equal(one, two) for one, two in zip(got, flat(model(inputs, training=False)), strict=True))


@pytest.mark.parametrize("name", ["sequential", "functional", "attention", "augmenting", "spectral"])
def test_parameters_and_names_are_those_of_keras(name):
    model = make(name)
    found = dlw.summary(model, KINDS[name]())
    assert found.complete and found.total_parameters == model.count_params()
    assert {row.name for row in found.rows if row.depth == 1} == {
        layer.name for layer in model.layers if type(layer).__name__ != "InputLayer"
    }  # fmt: skip


def test_layers_are_named_and_nested_as_on_torch():
    paths = {layer.path for layer in walk(make("subclassed"))}
    assert paths == {"", "stem", "blocks_0", "blocks_1", "norm", "drop", "heads_label", "heads_size"}


def test_an_activation_is_that_of_a_model_that_ends_there():
    model = keras_models.sequential()
    found = dlw.activations(model, BATCH)
    for layer in model.layers:
        wanted = keras.Model(model.inputs, layer.output).predict(BATCH, verbose=0)
        assert np.array_equal(found[layer.name].numpy(), wanted), layer.name


def test_a_shared_layer_has_an_activation_for_each_call():
    model, inputs = make("functional"), KINDS["functional"]()
    found = dlw.activations(model, inputs)
    shared = model.get_layer("shared")
    assert np.array_equal(found["shared"].numpy(), flat(shared(inputs["left"]))[0])
    assert np.array_equal(found["shared#2"].numpy(), flat(shared(inputs["right"]))[0])
    assert found["nested.inner"].shape == (2, 4)


def test_the_model_is_left_as_it_was():
    model, inputs = make("augmenting"), KINDS["augmenting"]()
    before, own = [flat(one) for one in model.variables], [dict(vars(one)).keys() for one in model.layers]
    dlw.activations(model, inputs)
    call_model(adopt(model).train(), torch.tensor(inputs))
    adopt(model).eval()
    if not ON_TORCH:
        assert all(np.array_equal(one[0], flat(two)[0]) for one, two in zip(before, model.variables, strict=True))
    assert all("call" not in names and "call" not in vars(one) for names, one in zip(own, model.layers, strict=True))


def test_what_a_hook_puts_in_the_place_of_an_output_goes_on():
    model = keras_models.sequential()
    module = adopt(model).eval()
    with module._modules["flat"].register_forward_hook(lambda _, given, output: torch.zeros_like(output)):
        got = call_model(module, torch.tensor(BATCH))
    assert np.array_equal(got.detach().numpy(), np.broadcast_to(flat(model.layers[-1].bias)[0], (6, 3)))


def test_a_model_that_needs_values_is_run_for_its_table():
    model, inputs = Branching(), np.ones((2, 3), "float32")
    model(inputs), model(-inputs)
    found = dlw.summary(model, inputs)
    assert found.complete and found["high"].macs == 2 * 3 * 2 and found["low"].calls == 0


def test_what_may_multiply_and_is_not_counted_is_told():
    model = keras.Sequential([keras.Input((3,)), Scored(name="scored"), keras.layers.Dense(2)])
    found = dlw.summary(model, np.ones((4, 3), "float32"))
    if ON_TORCH:
        assert found["scored"].macs == 4 * 3 * 3 and not found.uncounted
    else:
        assert found["scored"].macs == 0 and found.uncounted == {"Scored.call": ("scored",)}


def _layers_to_count():
    layers = keras.layers
    pictures, rows = (2, 6, 6, 4), (2, 6, 4)
    return {
        "dense": (layers.Dense(5), pictures), "conv": (layers.Conv2D(6, 3, 2, groups=2), pictures),
        "conv1d": (layers.Conv1D(3, 2, dilation_rate=2), rows), "causal": (layers.Conv1D(3, 2, padding="causal"), rows),
        "depthwise": (layers.DepthwiseConv2D(3, depth_multiplier=2), pictures),
        "separable": (layers.SeparableConv2D(5, 3, 2, depth_multiplier=2), pictures),
        "transposed": (layers.Conv2DTranspose(3, 3, 2, padding="same"), pictures),
        "einsum": (layers.EinsumDense("abc,cde->abde", (None, 3, 5)), rows),
        "free": (layers.LayerNormalization(), rows),
    }  # fmt: skip


@pytest.mark.skipif(not ON_TORCH, reason="torch's counter sees torch alone")
@pytest.mark.parametrize("name", _layers_to_count())
def test_the_arithmetic_is_what_torch_counts(name):
    layer, shape = _layers_to_count()[name]
    inputs = torch.ones(shape)
    made = layer(inputs)
    counted = dlw.summary(keras.Sequential([keras.Input(shape[1:]), layer]), inputs)
    assert count_macs(layer, [shape], [tuple(made.shape)]) == (counted.total_macs, ())
    assert counted.total_macs > 0 or name == "free"


@pytest.mark.skipif(not ON_TORCH, reason="torch's counter sees torch alone")
def test_the_arithmetic_of_attention_and_cells_is_what_torch_counts():
    found = dlw.summary(model := make("attention"), KINDS["attention"]())
    query = (2, 6, 8)
    assert count_macs(model.get_layer("attention"), [query, query], [query]) == (found["attention"].own_macs, ())
    cells = dlw.summary(model := make("recurrent"), KINDS["recurrent"]())
    row = cells["both.forward_layer.cell"]
    each = count_macs(model.get_layer("both").forward_layer.cell, [(2, 4)], [(2, 3)])[0]
    assert row.macs == each * row.calls


@elsewhere
def test_a_recurrence_is_counted_for_each_of_its_steps():
    found = dlw.summary(make("recurrent"), KINDS["recurrent"]())
    assert found["both.forward_layer.cell"].calls == found["stack.cell.cells_0"].calls == 7
    assert found["both.forward_layer"].macs == 2 * 7 * 4 * (4 * 3 + 3 * 3)
    assert found["stack"].macs == 2 * 7 * (3 * (6 * 3 + 3 * 3) + 3 * 2 + 2 * 2)


@elsewhere
def test_a_model_has_one_module_that_follows_its_weights_and_flags():
    model = keras_models.sequential()
    module = adopt(model)
    assert adopt(model) is module and handed_over(module) is model and copy.deepcopy(module).held.layer is model
    model.get_layer("conv").bias.assign(np.arange(4.0))
    model.get_layer("output").trainable = False
    adopt(module)
    assert module._modules["conv"].bias.tolist() == [0, 1, 2, 3]
    assert not module._modules["output"].kernel.requires_grad and module._modules["conv"].kernel.requires_grad


@elsewhere
def test_a_state_dict_that_is_loaded_reaches_keras():
    model, other = keras_models.sequential(), keras_models.sequential()
    adopt(model).load_state_dict(adopt(other).state_dict())
    assert np.array_equal(flat(model(BATCH))[0], flat(other(BATCH))[0])


@elsewhere
def test_gradients_are_refused_with_what_to_do():
    with pytest.raises(NotImplementedError, match='KERAS_BACKEND"] = "torch" above the first import of keras'):
        call_model(adopt(keras_models.sequential()), torch.tensor(BATCH, requires_grad=True))


@elsewhere
def test_what_is_not_heard_says_why():
    found = dlw.activations(make("attention"), KINDS["attention"](), "*[attention]")
    assert list(found.missing.values()) == [
        "has attention weights that are seen where torch computes alone: on Keras's torch backend"
    ]
    hidden = dlw.activations(make("recurrent"), KINDS["recurrent"](), "*.cell")
    if keras.backend.backend() == "jax":  # which compiles the loop
        assert all("compiles, where it is not heard" in why for why in hidden.missing.values()) and hidden.missing


def test_operations_between_layers_are_those_of_the_graph():
    inputs = KINDS["functional"]()
    found = dlw.activations(model := make("functional"), inputs, functional=True)
    both = flat(model.get_layer("shared")(inputs["left"]))[0] + flat(model.get_layer("shared")(inputs["right"]))[0]
    added, doubled = (one for name, one in found.items() if name.startswith(("add", "multiply")))
    assert np.array_equal(added.numpy(), both) and np.array_equal(doubled.numpy(), 2 * both)
