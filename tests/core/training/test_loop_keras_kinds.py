"""Every kind of Keras model in the loop, bit for bit as in the plain loop."""

import numpy as np
import pytest
import torch

import dlwidgets as dlw

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.keras
L = keras.layers
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(32, 5)).astype(np.float32)
PICTURES = RNG.integers(0, 256, (32, 6, 6, 3)).astype(np.uint8)
SERIES = RNG.normal(size=(32, 4, 5)).astype(np.float32)
WORDS = RNG.integers(0, 9, (32, 6))
CLASSES = RNG.integers(0, 3, 32)
NUMBERS = RNG.normal(size=(32, 1)).astype(np.float32)
SPARSE = keras.losses.SparseCategoricalCrossentropy()


def functional_of_two():
    one, two = keras.Input((5,), name="rows"), keras.Input((4, 5), name="series")
    inside = L.Concatenate()([L.Dense(4)(one), L.Flatten()(two)])
    return keras.Model(
        [one, two], [L.Dense(3, activation="softmax", name="kind")(inside), L.Dense(1, name="size")(inside)]
    )


def nested():
    base = keras.Sequential([keras.Input((5,)), L.Dense(4, activation="relu"), L.BatchNormalization(), L.Dropout(0.3)])
    inputs = keras.Input((5,))
    return keras.Model(inputs, L.Dense(3, activation="softmax")(base(inputs)))


def shared():
    inputs, layer = keras.Input((5,)), L.Dense(5, activation="relu")
    return keras.Model(inputs, L.Dense(3, activation="softmax")(layer(layer(inputs))))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.drop = L.Dense(8, activation="relu"), L.Dropout(0.5)
        self.last = L.Dense(3, activation="softmax")

    def call(self, inputs, training=False):
        return self.last(self.drop(self.hidden(inputs), training=training))


def subclassed():
    model = Subclassed()
    model(ROWS[:1])
    return model


def attention():
    inputs = keras.Input((4, 5))
    inside = L.LayerNormalization()(inputs + L.MultiHeadAttention(2, 3, dropout=0.2)(inputs, inputs))
    return keras.Model(inputs, L.Dense(3, activation="softmax")(L.GlobalAveragePooling1D()(inside)))


def in_a_row(*layers, shape, **given):
    return lambda: keras.Sequential([keras.Input(shape, **given), *(make() for make in layers)])


def last():
    return L.Dense(3, activation="softmax")


def torch_inside():
    return L.TorchModuleWrapper(torch.nn.Linear(5, 6), output_shape=(None, 6))


KINDS = {
    "nested": (nested, ROWS), "shared": (shared, ROWS), "subclassed": (subclassed, ROWS),
    "attention": (attention, SERIES), "torch inside": (in_a_row(torch_inside, last, shape=(5,)), ROWS),
    "lstm": (in_a_row(lambda: L.LSTM(4, dropout=0.2, recurrent_dropout=0.1), last, shape=(4, 5)), SERIES),
    "gru": (in_a_row(lambda: L.Bidirectional(L.GRU(4)), last, shape=(4, 5)), SERIES),
    "masked words": (
        in_a_row(lambda: L.Embedding(9, 4, mask_zero=True), lambda: L.LSTM(4), last, shape=(6,), dtype="int32"), WORDS
    ),
    "augmented": (
        in_a_row(lambda: L.Rescaling(1 / 255), lambda: L.RandomRotation(0.1), lambda: L.RandomContrast(0.2),
                 lambda: L.GaussianNoise(0.1), L.Flatten, last, shape=(6, 6, 3)), PICTURES,
    ),
    "bfloat16": (
        in_a_row(lambda: L.Dense(8, dtype="mixed_bfloat16"), lambda: L.Dense(3, "softmax", dtype="float32"),
                 shape=(5,)), ROWS,
    ),
}  # fmt: skip


def draw(make):
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    torch.manual_seed(1)
    return make()


def train_plainly(model, inputs, loss, epochs=1):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW([one.value for one in model.trainable_variables], lr=1e-3)
    for _ in range(epochs):
        for index in torch.randperm(32, generator=generator).split(8):
            value = loss(model([torch.as_tensor(one)[index] for one in inputs] if isinstance(inputs, list) else
                               torch.as_tensor(inputs)[index], training=True), index)  # fmt: skip
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    return model


def assert_same_weights(one, other):
    for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_each_kind_is_trained_bit_for_bit(kind):
    make, inputs = KINDS[kind]
    model = draw(make)
    before = model.get_weights()
    dlw.Session(model, (inputs, CLASSES), batch_size=8).fit(1)
    classes = torch.as_tensor(CLASSES)
    assert_same_weights(model, train_plainly(draw(make), inputs, lambda out, index: SPARSE(classes[index], out)))
    assert any(not np.array_equal(mine, first) for mine, first in zip(model.get_weights(), before))


@pytest.mark.parametrize("targets", [[CLASSES, NUMBERS], {"kind": CLASSES, "size": NUMBERS}])
def test_two_inputs_and_two_outputs_are_trained_by_the_compiled_losses_and_weights(targets):
    model = draw(functional_of_two)
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"], loss_weights=[1.0, 0.5])
    session = dlw.Session(model, ([ROWS, SERIES], targets), batch_size=8, optimizer="adamw")
    session.fit(1)
    kinds, sizes, squares = torch.as_tensor(CLASSES), torch.as_tensor(NUMBERS), keras.losses.MeanSquaredError()

    def loss(out, index):
        return SPARSE(kinds[index], out[0]) + squares(sizes[index], out[1]) * 0.5

    assert_same_weights(model, train_plainly(draw(functional_of_two), [ROWS, SERIES], loss))
    assert session.applied["loss_weights"] == {"kind": 1.0, "size": 0.5}
    assert {"loss_kind", "loss_size"} <= {*session.history().columns}


def test_inputs_of_each_kind_are_read_alike():
    made = []
    for inputs in (PICTURES, PICTURES.astype(np.float64), torch.from_numpy(PICTURES)):
        model = draw(KINDS["augmented"][0])
        dlw.Session(model, (inputs, CLASSES), batch_size=8).fit(1)
        made.append(model)
    assert_same_weights(made[0], made[1])
    assert_same_weights(made[0], made[2])


def test_a_masked_output_is_evaluated_as_keras_does():
    def tagger():
        inputs = keras.Input((6,), dtype="int32")
        inside = L.Embedding(9, 4, mask_zero=True)(inputs)
        return keras.Model(inputs, L.Dense(3, activation="softmax")(inside))

    model, tags = draw(tagger), RNG.integers(0, 3, (32, 6))
    session = dlw.Session(model, (WORDS, tags), valid=(WORDS, tags), batch_size=8)
    model.compile(loss=SPARSE)
    assert session.evaluate().loss == pytest.approx(model.evaluate(WORDS, tags, verbose=0, batch_size=32), rel=1e-5)


def test_evaluation_is_in_inference_mode_and_leaves_moving_statistics_alone():
    model = draw(nested)
    session = dlw.Session(model, (ROWS, CLASSES), valid=(ROWS, CLASSES), batch_size=8)
    before = model.get_weights()
    said = session.evaluate().loss
    for mine, first in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, first)
    model.compile(loss=SPARSE)
    assert said == pytest.approx(model.evaluate(ROWS, CLASSES, verbose=0, batch_size=32), rel=1e-5)
