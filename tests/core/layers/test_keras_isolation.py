"""Looks at a Keras model leave it, and its training in Keras, as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from keras import layers

from dlwidgets.core.base.isolation import isolate_model, run_forward
from dlwidgets.core.base.trees import call_model
from dlwidgets.core.layers.framework import adopt
from dlwidgets.core.layers.stand_in import cloned, lent
from tests.core.layers.test_keras_adoption import KINDS, flat, make

pytestmark = pytest.mark.keras


def noisy() -> keras.Sequential:
    """Return a model that draws, keeps statistics and counts a loss in each call, in evaluation too."""

    class Draws(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seed_generator = keras.random.SeedGenerator(3)
            self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")
            self.notes = []

        def call(self, given):
            self.seen.assign(self.seen + 1)
            self.notes.append(given.shape)
            return given + keras.random.normal(keras.ops.shape(given), seed=self.seed_generator)

    return keras.Sequential([
        keras.Input((4,)), layers.Dense(3, activity_regularizer="l2", name="dense"), Draws(),
        layers.BatchNormalization(name="norm"), layers.Dropout(0.5, seed=0),
    ])  # fmt: skip


def state_of(model):
    own = [(one.trainable, one.training, list(map(id, one._losses)), len(one._inbound_nodes))
           for one in model._flatten_layers()]  # fmt: skip
    return own, [one.numpy().tobytes() for one in model.variables], len(model.losses)


def test_a_look_in_training_mode_takes_back_seeds_statistics_and_losses():
    model = adopt(noisy())
    model(np.ones((2, 4), "float32"), training=True)
    before = state_of(model)
    with isolate_model(model) as eager:
        run_forward(eager, lambda: eager(torch.ones(5, 4), training=True))
        assert state_of(model) != before
    assert state_of(model) == before


def test_a_look_between_two_steps_changes_nothing_of_what_keras_trains():
    def train(looked):
        keras.utils.set_random_seed(1)
        model = adopt(noisy())
        model.compile(optimizer="adam", loss="mse")
        rows = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
        for _ in range(3):
            model.train_on_batch(rows, rows[:, :3])
            if looked:
                with isolate_model(model) as eager:
                    run_forward(eager, lambda: call_model(eager, torch.ones(5, 4)))
        return model.get_weights()

    assert all(np.array_equal(one, two) for one, two in zip(train(True), train(False), strict=True))


@pytest.mark.parametrize("copied", [cloned, lent])
@pytest.mark.parametrize("name", KINDS)
def test_a_stand_in_gives_the_models_outputs_to_the_last_bit(name, copied):
    model, inputs = adopt(make(name)), keras.tree.map_structure(torch.as_tensor, KINDS[name]())
    twin = copied(model)
    assert all(np.array_equal(*pair) for pair in zip(flat(twin(inputs)), flat(model(inputs)), strict=True))
    shared = {id(one) for one in twin.parameters()} & {id(one) for one in model.parameters()}
    assert len(shared) == (len([*model.parameters()]) if copied is lent else 0)


def test_a_stand_in_trains_apart_from_the_model():
    model = adopt(make("sequential"))
    before = [one.numpy().tobytes() for one in model.variables]
    twin = cloned(model)
    twin.train()
    call_model(twin, torch.rand(4, 8, 8, 1)).sum().backward()
    assert all(one.grad is not None for one in twin.parameters())
    assert [one.numpy().tobytes() for one in model.variables] == before
    assert all(one.grad is None for one in model.parameters())


def test_a_stand_in_of_a_model_in_the_midst_of_another_copies_no_layer_outside_it():
    base = adopt(make("sequential"))
    keras.Model(base.inputs, layers.Dense(100, name="outside")(base.outputs[0]))
    found = {one.name for one in cloned(base).modules() if hasattr(one, "units")}
    assert found == {"output"}


def test_calls_take_several_inputs_as_the_model_does_and_keep_masks():
    model, given = adopt(make("functional")), KINDS["functional"]()
    wanted = flat(model(given))
    assert all(np.array_equal(*pair) for pair in zip(flat(call_model(model, given)), wanted, strict=True))
    text = adopt(make("recurrent"))
    padded = torch.tensor([[1, 2, 3, 0, 0, 0, 0]])
    cut = torch.tensor([[1, 2, 3, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7]])
    assert np.allclose(flat(call_model(text, padded))[0], flat(call_model(text, cut))[0][:1], atol=1e-6)


def test_the_mode_of_the_model_is_that_of_its_call():
    model = adopt(make("sequential"))
    rows = torch.rand(64, 8, 8, 1)
    assert np.array_equal(*(flat(call_model(model.eval(), rows))[0] for _ in range(2)))
    assert not np.array_equal(*(flat(call_model(model.train(), rows))[0] for _ in range(2)))
