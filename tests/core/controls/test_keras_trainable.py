"""Freezing of Keras layers: Keras sees it, and what is frozen stands to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import dlwidgets as dlw

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.keras

X = np.random.default_rng(0).random((48, 6, 6, 1), np.float32)
Y = np.random.default_rng(1).integers(0, 3, 48)


def make_model(functional: bool = False):
    """Return a nested model: a base of Conv2D, BatchNormalization and Dropout, and a Dense."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    base = keras.Sequential(
        [keras.Input((6, 6, 1)), layers.Conv2D(4, 3, activation="relu", name="conv"),
         layers.BatchNormalization(name="bn"), layers.Dropout(0.2, seed=1, name="drop")], name="base",
    )  # fmt: skip
    ends = [layers.Flatten(name="flat"), layers.Dense(3, name="out")]
    if not functional:
        return keras.Sequential([keras.Input((6, 6, 1)), base, *ends], name="whole")
    inputs = keras.Input((6, 6, 1))
    return keras.Model(inputs, ends[1](ends[0](base(inputs))), name="whole")


def make_session(model):
    sgd = ("sgd", {"lr": 0.1, "momentum": 0.9})
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    return dlw.Session(model, torch.utils.data.DataLoader(data, 16), loss=torch.nn.CrossEntropyLoss(), optimizer=sgd)


def short(variable):
    return "/".join(variable.path.split("/")[-2:])


def values(model):
    return {short(one): one._value.detach().numpy().copy() for one in model.weights}


def moved(model, before):
    return [path for path, value in values(model).items() if not np.array_equal(value, before[path])]


@pytest.mark.parametrize("functional", [False, True])
def test_frozen_is_what_keras_lists_as_not_trainable(functional):
    model = make_model(functional)
    session = make_session(model)
    session.step(1)
    session.freeze("base")
    session.step(1)
    base = model.get_layer("base")
    assert base.trainable is False and base.get_layer("bn").trainable is False
    assert base.trainable_weights == []
    assert [short(one) for one in model.trainable_weights] == ["out/kernel", "out/bias"]
    assert [one._value.requires_grad for one in model.weights] == [False] * 6 + [True] * 2


def test_frozen_batch_norm_infers_and_its_statistics_stand():
    model = make_model()
    session = make_session(model)
    session.step(2)
    before = values(model)
    session.freeze("base")
    session.step(3)
    assert moved(model, before) == ["out/kernel", "out/bias"]
    proof = session.proofs(now=True).iloc[-1]
    assert proof.holds and proof.tensors == 6 and proof.parameters == 4 * 9 + 4 + 4 + 4


def test_frozen_run_equals_a_plain_loop_with_keras_flags():
    model, plain = make_model(), make_model()
    session = make_session(model)
    session.step(2)
    session.freeze("base.bn", "base.conv")
    session.step(1)
    session.unfreeze("base.conv")
    session.step(2)
    optimizer = torch.optim.SGD([one._value for one in plain.trainable_weights], 0.1, momentum=0.9)
    frozen = {2: [("bn", False), ("conv", False)], 3: [("conv", True)]}
    for step in range(5):
        for name, on in frozen.get(step, ()):
            plain.get_layer("base").get_layer(name).trainable = on
        rows = slice(16 * (step % 3), 16 * (step % 3) + 16)
        loss = F.cross_entropy(plain(X[rows], training=True), torch.from_numpy(Y[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert moved(model, values(plain)) == []


@pytest.mark.parametrize(
    ("wanted", "frozen"),
    [
        ("*.kernel", ["conv/kernel", "out/kernel"]),
        ("BatchNormalization", ["bn/gamma", "bn/beta"]),
        (0, ["conv/kernel", "conv/bias", "bn/gamma", "bn/beta"]),
        (-1, ["out/kernel", "out/bias"]),
        ("base.conv.kernel", ["conv/kernel"]),
        (lambda model: keras.layers.Dense, ["out/kernel", "out/bias"]),
        (lambda model: model.get_layer("out"), ["out/kernel", "out/bias"]),
        (lambda model: model.get_layer("out").kernel, ["out/kernel"]),
        (lambda model: model.layers[:2], ["conv/kernel", "conv/bias", "bn/gamma", "bn/beta"]),
        (lambda model: model.trainable_weights[-2:], ["out/kernel", "out/bias"]),
    ],
)
def test_freeze_takes_what_people_name_keras_layers_by(wanted, frozen):
    model = make_model(functional=True)
    session = make_session(model)
    before = [short(one) for one in model.trainable_weights]
    session.freeze(wanted(model) if callable(wanted) else wanted)
    session.step(1)
    now = [short(one) for one in model.trainable_weights]
    assert [path for path in before if path not in now] == frozen


def test_kernel_alone_leaves_the_layer_trainable_for_keras():
    model = make_model()
    session = make_session(model)
    session.freeze("base.conv.kernel")
    session.step(1)
    conv = model.get_layer("base").get_layer("conv")
    assert conv.trainable is True and [one.name for one in conv.trainable_weights] == ["bias"]


def test_unfreezing_gives_back_all_flags():
    model = make_model()
    session = make_session(model)
    before = {one.path: one.trainable for one in model.variables}
    session.freeze("base")
    session.step(1)
    session.unfreeze("base")
    session.step(1)
    assert {one.path: one.trainable for one in model.variables} == before
    assert all(layer.trainable for layer in model._flatten_layers())


def test_flags_set_before_the_session_are_kept_and_come_back():
    model = make_model()
    model.get_layer("base").trainable = False
    before = values(model)
    session = make_session(model)
    session.step(2)
    assert moved(model, before) == ["out/kernel", "out/bias"]
    assert session.proofs(now=True).tensors.iloc[-1] == 6
    session.unfreeze("base.bn")
    session.step(1)
    assert model.get_layer("base").get_layer("bn").trainable is True
    session.trainable = None
    session.step(1)
    assert model.get_layer("base").get_layer("bn").trainable is False


def test_flags_set_by_hand_meanwhile_are_adopted_as_a_pattern():
    model = make_model()
    session = make_session(model)
    session.step(1)
    model.get_layer("base").trainable = False
    before = values(model)
    session.step(1)
    assert session.applied["trainable"] == {"base": False}
    assert moved(model, before) == ["out/kernel", "out/bias"]
    assert any("trainable was changed by hand" in note for note in session.notes)


def test_variables_frozen_by_hand_leave_statistics_moving():
    model = make_model()
    session = make_session(model)
    session.step(1)
    bn = model.get_layer("base").get_layer("bn")
    bn.gamma.trainable = bn.beta.trainable = False
    before = values(model)
    session.step(1)
    assert session.applied["trainable"] == {"base.bn": "weights"} and bn.trainable is True
    assert "bn/moving_mean" in moved(model, before)
    assert not {"bn/gamma", "bn/beta"} & set(moved(model, before))


def test_rewind_and_undo_keep_flags_of_both_in_step():
    model = make_model()
    session = make_session(model)
    session.step(2)
    session.freeze("base")
    session.step(2)
    session.rewind(2)
    assert [one.trainable for one in model.weights] == [one._value.requires_grad for one in model.weights]
    assert model.get_layer("base").trainable is True and len(model.trainable_weights) == 6
    session.freeze("base")
    session.step(1)
    session.undo()
    session.step(1)
    assert model.get_layer("base").trainable is True and model.get_layer("base").get_layer("bn").trainable is True


def test_keras_fit_afterwards_trains_what_is_not_frozen():
    model = make_model()
    session = make_session(model)
    session.step(1)
    session.freeze("base")
    session.step(1)
    before = values(model)
    model.compile("sgd", "mse")
    model.train_on_batch(X[:16], np.eye(3, dtype="float32")[Y[:16]])
    assert moved(model, before) == ["out/kernel", "out/bias"]


def test_reasons_name_the_flag_of_keras():
    model = make_model()
    model.get_layer("base").trainable = False
    session = make_session(model)
    assert session.why_frozen()["base.bn"] == "by trainable alone; its running statistics are held"


def test_a_torch_module_in_keras_holds_its_statistics():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 4), torch.nn.BatchNorm1d(4))
            self.out = keras.layers.Dense(3)

        def call(self, x):
            return self.out(self.net(x))

    model = Net()
    model(X[:2])
    session = make_session(model).step(2).freeze("net").step(3)
    proof = session.proofs(now=True).iloc[-1]
    assert proof.holds and proof.tensors == 7  # of them 3 statistics
    assert [one.name for one in model.trainable_weights] == ["kernel", "bias"]
    statistics = model.net.module[2].running_mean.clone()
    session.unfreeze("net").step(1)
    assert not torch.equal(statistics, model.net.module[2].running_mean)


def test_a_checkpoint_brings_back_flags_of_both(tmp_path):
    model, other = make_model(), make_model()
    model.get_layer("base").get_layer("bn").trainable = False
    data = torch.utils.data.DataLoader([*zip(X, Y)], 16)
    session = dlw.Session(model, data, loss=torch.nn.CrossEntropyLoss(), checkpoint_dir=tmp_path)
    session.step(2).freeze("base.conv").step(2).save_checkpoint().close()
    again = dlw.Session.from_checkpoint(tmp_path, other, data, loss=torch.nn.CrossEntropyLoss())
    base = other.get_layer("base")
    assert [base.get_layer(name).trainable for name in ("bn", "conv")] == [False, False]
    assert [short(one) for one in other.trainable_weights] == ["out/kernel", "out/bias"]
    before = values(other)
    again.step(2)
    assert moved(other, before) == ["out/kernel", "out/bias"] and moved(model, before) == []
