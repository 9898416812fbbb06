"""Scripts of Keras runs: plain Keras on torch, run alone, which gives the session's weights bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

keras = pytest.importorskip("keras")

from keras import layers
from keras.layers import Layer

from dlwidgets.session import Session
from tests.core.export.script_runs import Runs

pytestmark = pytest.mark.keras

RUNS = Runs()
IMAGES = torch.rand(50, 8, 8, 1, generator=torch.Generator().manual_seed(1))
VECTORS = torch.rand(50, 6, generator=torch.Generator().manual_seed(2))
CLASSES = torch.arange(50) % 4


def session(model, X=VECTORS, y=CLASSES, **options):
    """Return a session as all here have it."""
    return Session(model, (X, y), **{"batch_size": 16, "epochs": 2, "threads": 1, "seed": 3, **options})


@RUNS.add
def sequential():
    """Penalties, a constraint, moving statistics, dropout, and changes on the way."""
    keras.utils.clear_session()
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.RandomFlip("horizontal"),
        layers.Conv2D(4, (3, 3), activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3)),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        layers.Dropout(0.3),
        layers.Flatten(),
        layers.Dense(4, activation="softmax", kernel_constraint=keras.constraints.MaxNorm(1.0)),
    ])  # fmt: skip
    made = session(model, IMAGES).step(3)
    made.lr, made.clip = 0.02, 0.5
    return made.fit()


@RUNS.add
def frozen():
    """A base frozen and thawed in part, by layers, by a variable, and by a flag of before; other rates of dropout."""
    keras.utils.clear_session()
    base = keras.Sequential([
        keras.Input((8, 8, 1)), layers.Conv2D(
            4, 3, activation="relu", name="conv", kernel_constraint=keras.constraints.UnitNorm()
        ),
        layers.BatchNormalization(name="one"), layers.BatchNormalization(name="two"), layers.Dropout(0.3, name="drop"),
    ], name="base")  # fmt: skip
    base.get_layer("two").trainable = False
    model = keras.Sequential([
        keras.Input((8, 8, 1)), base, layers.Flatten(), layers.Dense(4, name="out", activation="softmax")
    ])  # fmt: skip
    made = session(model, IMAGES).step(1).freeze("base").step(1).unfreeze("base.one", "base.two").step(1)
    made.dropout = {"base.drop": 0.6}
    made.trainable = {"base.one": "weights", "out.bias": False}
    made.step(1)
    made.trainable = None
    return made.fit()


class Shuffled(keras.utils.PyDataset):
    """Batches as arrays, in another order after each epoch."""

    def __init__(self, size):
        super().__init__()
        self.size, self.turn = size, 0

    def __len__(self):
        return 50 // self.size

    def __getitem__(self, index):
        generator = np.random.default_rng(index + 100 * self.turn)
        return generator.normal(size=(self.size, 6)), np.arange(self.size) % 4

    def on_epoch_end(self):
        self.turn += 1


@RUNS.add
def functional():
    """Two inputs, a layer that is called twice, a nested model, operations, and logits."""
    keras.utils.clear_session()
    one, two = keras.Input((6,), name="one"), keras.Input((5,), dtype="int32", name="two")
    shared = layers.Dense(6, name="shared")
    inner = keras.Input((6,))
    block = keras.Model(inner, layers.LayerNormalization()(layers.Dense(6, activation="gelu")(inner)), name="block")
    x = shared(block(shared(one)))
    tokens = layers.LSTM(3)(layers.Embedding(9, 4, mask_zero=True)(two))
    x = layers.Concatenate()([x * 0.5, tokens[:, :2]])
    model = keras.Model([one, two], layers.Dense(4)(block(layers.Dense(6)(x))))
    numbers = torch.randint(0, 9, (50, 5), generator=torch.Generator().manual_seed(3), dtype=torch.int32)
    return session(model, (VECTORS, numbers), optimizer="sgd", lr=0.1).fit()


class Head(Layer):
    """A layer of a person's own, with a configuration."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units

    def build(self, shape):
        self.weight = self.add_weight(shape=(shape[-1], self.units), name="weight")

    def call(self, x):
        return x @ self.weight

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Net(keras.Model):
    """A model of a person's own, with a torch module and layers in a list."""

    def __init__(self, width):
        super().__init__()
        self.blocks = [layers.Dense(width, activation="relu"), layers.Dropout(0.2), layers.Dense(width)]
        self.normal = nn.BatchNorm1d(width)
        self.head = Head(4, name="the head")

    def call(self, x, training=None):
        for block in self.blocks:
            x = block(x, training=training) if isinstance(block, layers.Dropout) else block(x)
        return self.head(self.normal(x))


@RUNS.add
def subclassed():
    model = Net(7)
    model(VECTORS[:2])
    return session(model).fit()


def squared(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


@RUNS.add
def renamed_layers_and_a_loss_of_ones_own():
    """Names that Keras would not give a first model are written."""
    keras.utils.clear_session()
    keras.Sequential([keras.Input((6,)), layers.Dense(2)])
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5, activation="tanh"), layers.Dense(1, name="output")])
    model.compile(loss=squared)
    made = session(model, VECTORS, VECTORS[:, :1] ** 2, loss=keras.losses.Huber(delta=0.3))
    return made.fit()


def small():
    keras.utils.clear_session()
    return keras.Sequential([
        keras.Input((6,)), layers.Dense(8, name="first"), layers.BatchNormalization(), layers.Dropout(0.2),
        layers.Dense(4),
    ])  # fmt: skip


@RUNS.add
def frozen_and_thawed():
    """Flags of Keras: a layer, statistics that are held, weights whose statistics move on."""
    made = session(small(), trainable={"first": False}).step(2)
    made.freeze("batch*")
    made.step(1)
    made.trainable = {"batch_normalization": "weights", "first.bias": False}
    return made.fit()


@RUNS.add
def frozen_by_hand_and_averaged():
    model = small()
    model.layers[1].trainable = False
    made = session(model, ema=0.9).step(3)
    made.ema = 0.5
    return made.fit()


@pytest.mark.parametrize("name", [*RUNS])
def test_script_gives_the_weights_of_the_session(done, name, tmp_path):
    folder, sessions, failed = done
    assert name not in failed, failed[name]
    assert differing(sessions[name].model, folder / f"{name}.weights.h5", tmp_path) == []


def differing(model, path, folder):
    """Return the tensors in which a file of Keras differs from what Keras saves of a model now."""
    import h5py

    model.save_weights(folder / "now.weights.h5")
    differ, seen = [], []

    def compare(name, here):
        if isinstance(here, h5py.Dataset) and not name.startswith("optimizer"):
            seen.append(name)
            differ.extend([] if np.array_equal(here[()], theirs[name][()]) else [name])

    with h5py.File(folder / "now.weights.h5") as ours, h5py.File(path) as theirs:
        ours.visititems(compare)
    assert seen
    return differ


def test_script_reads_as_a_person_writes_a_model(done):
    text = (done[0] / "sequential.py").read_text("utf-8")
    assert text.index('os.environ["KERAS_BACKEND"] = "torch"') < text.index("import keras")
    assert 'layers.MaxPooling2D(),\n    layers.Dropout(0.3),' in text
    assert "name=" not in text
    assert "loss_function(y[index], model(X[index], training=True)) + sum(model.losses)" in text


def test_names_are_written_where_keras_would_give_others(done):
    text = (done[0] / "renamed_layers_and_a_loss_of_ones_own.py").read_text("utf-8")
    assert 'layers.Dense(5, activation="tanh", name="dense_1")' in text


def test_classes_are_imported_as_people_do(done):
    text = (done[0] / "subclassed.py").read_text("utf-8")
    assert "from keras import Layer" in text
    assert "keras.src" not in text


@pytest.mark.filterwarnings("ignore")
def test_a_script_reads_batches_of_arrays_as_tensors(tmp_path):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4)])
    made = Session(model, Shuffled(16), epochs=2, threads=1).fit()
    text = made.to_script(tmp_path / "run.py").read_text()
    assert "for inputs, targets in read_batches():" in text
    batches, start = Shuffled(16), text.index("def read_batches")
    space = {"batches": batches, "default_convert": torch.utils.data.default_convert}
    exec(text[start : text.index("\n\n\n", start)], space)
    for turn in range(2):
        assert batches.turn == turn
        for number, (X, _) in enumerate(space["read_batches"]()):
            assert torch.equal(X, torch.as_tensor(batches[number][0]))


def test_several_outputs_are_said_to_have_no_writer(tmp_path):
    given = keras.Input((6,))
    model = keras.Model(given, {"a": layers.Dense(4, name="a")(given), "b": layers.Dense(1, name="b")(given)})
    model.compile(loss={"a": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "b": "mse"})
    made = session(model, y={"a": CLASSES, "b": VECTORS[:, :1]}).step(1)
    with pytest.raises(ValueError, match="cannot be written as a script: the model has several outputs"):
        made.to_script(tmp_path / "run.py")


def test_layers_are_frozen_by_the_flags_of_keras(done):
    text = (done[0] / "frozen_and_thawed.py").read_text("utf-8")
    assert 'model.get_layer("first").trainable = False' in text
    assert 'model.get_layer("first").bias.trainable = False' in text
    assert "requires_grad" not in text


def test_averaged_weights_lie_beside_the_script(done):
    folder, sessions, _ = done
    averaged = torch.load(folder / "frozen_by_hand_and_averaged.averaged.pt", weights_only=True)
    with sessions["frozen_by_hand_and_averaged"]._run.loop.average.swapped_in():
        ours = [one.detach().clone() for one in sessions["frozen_by_hand_and_averaged"].model.parameters()]
    assert all(map(torch.equal, ours, averaged))
