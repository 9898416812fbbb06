"""What a session takes from `compile()`: losses, optimizers, rates, clipping; against Keras's own fit."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import dlwidgets as dlw

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.keras
L, OPT = keras.layers, keras.optimizers
RATES = OPT.schedules
RNG = np.random.default_rng(0)
X = RNG.normal(size=(128, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 128)
LOSS = "sparse_categorical_crossentropy"


def draw(**compiled):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), L.Dense(8, activation="tanh"), L.Dense(3, activation="softmax")])
    if compiled:
        model.compile(**{"loss": LOSS, **compiled})
    return model


def in_order():
    """Return the data in the order in which `fit(shuffle=False)` takes it."""
    return DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=32)


def flat(model):
    return np.concatenate([one.ravel() for one in model.get_weights()])


@pytest.mark.parametrize(
    ("make", "apart"),
    [
        (lambda: OPT.SGD(0.05), 1e-5),
        (lambda: OPT.SGD(0.05, momentum=0.9, nesterov=True), 1e-5),
        (lambda: OPT.SGD(0.05, weight_decay=0.01), 1e-4),
        (lambda: OPT.SGD(0.05, clipvalue=0.01), 1e-5),
        (lambda: OPT.SGD(0.05, global_clipnorm=0.1), 1e-4),
        (lambda: OPT.SGD(0.05, clipnorm=0.05), 1e-4),
        (lambda: OPT.Adam(), 1e-2),
        (lambda: OPT.Adam(weight_decay=0.01), 1e-2),
        (lambda: OPT.AdamW(gradient_accumulation_steps=2), 1e-2),
        (lambda: OPT.RMSprop(), 0.1),
        (lambda: OPT.Adagrad(0.05), 1e-5),
        (lambda: OPT.Adadelta(1.0), 1e-4),
        (lambda: OPT.Adamax(), 1e-3),
        (lambda: OPT.Nadam(weight_decay=0.01), 1e-3),
        (lambda: OPT.SGD(RATES.ExponentialDecay(0.1, 5, 0.9)), 1e-5),
        (lambda: OPT.SGD(RATES.ExponentialDecay(0.1, 5, 0.9, staircase=True)), 1e-5),
        (lambda: OPT.SGD(RATES.PolynomialDecay(0.1, 10, end_learning_rate=0.0)), 1e-5),
        (lambda: OPT.SGD(RATES.CosineDecay(0.0, 10, warmup_target=0.1, warmup_steps=4)), 1e-5),
    ],
)
def test_an_optimizer_moves_the_weights_as_it_does_in_keras(make, apart):
    model, other = draw(optimizer=make()), draw(optimizer=make())
    dlw.Session(model, in_order()).fit(3)
    start = flat(draw())
    other.fit(X, Y, batch_size=32, epochs=3, shuffle=False, verbose=0)
    moved = np.linalg.norm(flat(other) - start)
    assert moved > 1e-3 and np.linalg.norm(flat(model) - flat(other)) < apart * moved


def test_weights_left_out_of_the_decay_are_left_out_here_too():
    def make():
        optimizer = OPT.AdamW(0.01, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        return optimizer

    model, other = draw(optimizer=make()), draw(optimizer=make())
    session = dlw.Session(model, in_order())
    session.fit(3)
    other.fit(X, Y, batch_size=32, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(flat(model), flat(other), atol=1e-3)
    assert [group["weight_decay"] for group in session.optimizer.param_groups] == [0.5, 0.0]


def test_what_was_compiled_is_in_force_and_told():
    model = draw(optimizer=OPT.Adam(0.002, beta_1=0.8, global_clipnorm=1.0), metrics=["accuracy", "auc"])
    session = dlw.Session(model, (X, Y))
    assert session.applied["lr"] == 0.002 and session.applied["clip"] == ("norm", 1.0)
    assert session.applied["optimizer"] == ("Adam", {"betas": (0.8, 0.999), "eps": 1e-7})
    said = " ".join(session.notes)
    assert "Taken from compile(): loss SparseCategoricalCrossentropy, optimizer Adam, lr 0.002, clip norm 1.0." in said
    assert "'accuracy' are found in each evaluation" in said and "'auc' are not computed here" in said


def test_what_is_passed_goes_before_what_was_compiled():
    model = draw(optimizer=OPT.Adam(0.002, clipvalue=1.0))
    session = dlw.Session(model, (X, Y), lr=0.5, clip=("norm", 2.0))
    assert session.applied["lr"] == 0.5 and session.applied["clip"] == ("norm", 2.0)
    assert type(session.optimizer) is torch.optim.Adam
    assert dlw.Session(model, (X, Y), optimizer="sgd").applied["lr"] == 1e-3


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: OPT.Lion(), "has the optimizer Lion, which torch has not: pass optimizer="),
        (
            lambda: OPT.RMSprop(weight_decay=0.01),
            "apart from the gradient, which torch's RMSprop has not: pass optimizer=",
        ),
    ],
)
def test_an_optimizer_without_a_counterpart_is_refused_in_a_sentence(make, said):
    with pytest.raises(ValueError, match=said):
        dlw.Session(draw(optimizer=make()), (X, Y))
    dlw.Session(draw(optimizer=make()), (X, Y), optimizer="adam")


def test_a_step_that_only_fit_calls_is_told_of():
    class Own(keras.Sequential):
        def train_step(self, data):
            return super().train_step(data)

    model = Own([keras.Input((6,)), L.Dense(3, activation="softmax")])
    model.compile(loss=LOSS)
    with pytest.raises(ValueError, match=r"Own has a train_step\(\) of its own"):
        dlw.Session(model, (X, Y))
    dlw.Session(model, (X, Y), loss=LOSS)


def test_a_compiled_function_is_called_with_the_targets_first():
    def lopsided(y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - 2 * y_pred), axis=-1)

    def linear():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((6,)), L.Dense(1)])
        model.compile(OPT.SGD(0.01), lopsided)
        return model

    model, other, y = linear(), linear(), X.sum(1, keepdims=True)
    dlw.Session(model, DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(y)), batch_size=32)).fit(2)
    other.fit(X, y, batch_size=32, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_allclose(flat(model), flat(other), rtol=1e-5)


def test_label_smoothing_of_a_compiled_loss_is_in_force():
    model = draw(optimizer=OPT.SGD(0.1), loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.2))
    session = dlw.Session(model, (X, np.eye(3)[Y]))
    assert session.applied["label_smoothing"] == 0.2


def test_an_optimizer_of_all_that_keras_calls_parameters_moves_what_it_does_in_a_plain_loop():
    def draw_with_statistics():
        keras.utils.set_random_seed(0)
        layers = [keras.Input((6,)), L.Dense(8), L.BatchNormalization(), L.Dropout(0.3, seed=1), L.Dense(3)]
        model = keras.Sequential(layers)
        return model, torch.optim.Adam(model.parameters(), lr=0.01)

    plain, optimizer = draw_with_statistics()
    for inputs, targets in in_order():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(plain(inputs, training=True), targets).backward()
        optimizer.step()
    ours, optimizer = draw_with_statistics()
    loss = torch.nn.CrossEntropyLoss()
    dlw.Session(ours, optimizer=optimizer, loss=loss, train=in_order(), epochs=1).fit(progress=False)
    assert np.array_equal(flat(ours), flat(plain))
