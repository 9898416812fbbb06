"""Summaries of Keras models: parameters as Keras counts them, MACs as torch does on a real forward."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

keras = pytest.importorskip("keras")

import dlwidgets as dlw
from tests import keras_models
from tests.core.layers.test_keras_adoption import KINDS, make

pytestmark = pytest.mark.keras


@pytest.mark.parametrize("name", KINDS)
def test_parameters_are_those_that_keras_counts(name):
    model = make(name)
    found = dlw.summary(model, KINDS[name]())
    assert found.complete and found.total_parameters == model.count_params()
    assert found.trainable_parameters == sum(one.value.numel() for one in model.trainable_weights)
    counted = {row.path: row.parameters for row in found.rows if row.path and row.same_as is None}
    for layer in model.layers:
        assert counted.get(layer.name, layer.count_params()) == layer.count_params()


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("recurrent",)])
def test_macs_are_half_the_flops_of_a_real_forward(name):
    model, inputs = make(name), KINDS[name]()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs)
    # On the CPU the counter knows no attention: two products of 6 x 6 x 4 for 2 heads of 2 samples.
    missed = 2 * 2 * 2 * 6 * 6 * 4 if name == "attention" else 0
    assert dlw.summary(model, inputs).total_macs == counter.get_total_flops() // 2 + missed


def test_macs_of_a_recurrence_are_those_of_its_steps():
    found = dlw.summary(keras_models.recurrent(), KINDS["recurrent"]())
    # Keras on torch runs the first step once more, to find out the shape of what comes out: 8 of 7 steps.
    assert found["both.forward_layer"].macs == 2 * 8 * 4 * (4 * 3 + 3 * 3)
    assert found["stack"].calls == 1 and found["embed"].macs == 0


@pytest.mark.parametrize("name", KINDS)
def test_a_summary_leaves_no_trace(name):
    model, inputs = make(name), KINDS[name]()

    def look():
        layers = model._flatten_layers()
        return [(one.built, one.training, len(one.losses), len(one._inbound_nodes)) for one in layers]

    before, weights = look(), [one.value.clone() for one in model.variables]
    random = torch.get_rng_state()
    dlw.summary(model, inputs)
    assert look() == before and torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(one.value, was) for one, was in zip(model.variables, weights, strict=True))


@pytest.mark.any_backend
@pytest.mark.parametrize("make", [keras_models.unbuilt, keras_models.Subclassed])
def test_an_unbuilt_model_is_followed_once_and_stays_unbuilt(make):
    model = make()
    shape = (5,) if isinstance(model, keras_models.Subclassed) else (8, 8, 1)
    found = dlw.summary(model, input_shape=shape)
    assert not model.weights and not model.built
    assert found.complete and {row.calls for row in found.rows} == {1}
    built = keras_models.sequential() if shape != (5,) else keras_models.subclassed()
    assert found.total_macs == dlw.summary(built, input_shape=shape).total_macs
