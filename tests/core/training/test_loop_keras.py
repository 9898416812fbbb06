"""Keras models in the loop: the weights of a plain loop over the same model, bit for bit."""

import numpy as np
import pytest
import torch

import dlwidgets as dlw
from dlwidgets.core.data.task import read_loss
from dlwidgets.core.layers.framework import is_foreign

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.keras
L = keras.layers
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(48, 6, 6, 1)).astype(np.float32)
CLASSES = RNG.integers(0, 3, 48)


def draw_model(last="softmax", outputs=3):
    """Return a model with all that has a state beside its weights."""
    keras.utils.clear_session()  # a layer's name has a number that counts on
    keras.utils.set_random_seed(1)
    return keras.Sequential([
        keras.Input((6, 6, 1)), L.RandomFlip("horizontal"), L.Conv2D(4, 3, activation="relu"), L.BatchNormalization(),
        L.Flatten(), L.Dropout(0.5), L.Dense(outputs, activation=last),
    ])  # fmt: skip


def batches(count, epochs, size=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        yield from torch.randperm(count, generator=generator).split(size)


def train_plainly(model, inputs, targets, loss, epochs=2, make=torch.optim.AdamW, **options):
    """Train a Keras model by torch's own loop; return it."""
    torch.manual_seed(0)
    optimizer = make([one.value for one in model.trainable_variables], **{"lr": 1e-3, **options})
    inputs, targets = torch.as_tensor(inputs), torch.as_tensor(targets)
    for index in batches(len(inputs), epochs):
        value = loss(targets[index], model(inputs[index], training=True)) + sum(model.losses)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        with torch.no_grad():
            for variable in model.trainable_variables:
                if variable.constraint is not None:
                    variable.assign(variable.constraint(variable))
    return model


def assert_same_weights(one, other):
    for mine, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def seeds(model):
    return [np.array(one.state.value) for layer in model.layers for one in getattr(layer, "_seed_generators", ())]


def test_weights_are_those_of_a_plain_loop_over_the_same_model():
    model = draw_model()
    dlw.Session(model, (IMAGES, CLASSES), batch_size=16).fit(2)
    other = train_plainly(draw_model(), IMAGES, CLASSES, keras.losses.SparseCategoricalCrossentropy())
    assert_same_weights(model, other)
    for mine, theirs in zip(seeds(model), seeds(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("targets", "last", "outputs", "loss"),
    [
        (np.eye(3)[CLASSES], "softmax", 3, "CategoricalCrossentropy"),
        (CLASSES[:, None], "softmax", 3, "SparseCategoricalCrossentropy"),
        (RNG.integers(0, 2, (48, 3)), "sigmoid", 3, "BinaryCrossentropy"),
        (RNG.integers(0, 2, 48), "sigmoid", 1, "BinaryCrossentropy"),
    ],
)
def test_outputs_that_are_probabilities_get_the_loss_that_keras_has_for_them(targets, last, outputs, loss):
    model = draw_model(last, outputs)
    session = dlw.Session(model, (IMAGES, targets), batch_size=16)
    session.fit(1)
    assert_same_weights(
        model, train_plainly(draw_model(last, outputs), IMAGES, targets, getattr(keras.losses, loss)(), 1)
    )
    assert loss in session.notes[0]


def test_logits_get_the_loss_of_torch():
    model = draw_model(None)
    dlw.Session(model, (IMAGES, CLASSES), batch_size=16).fit(1)
    other = train_plainly(
        draw_model(None), IMAGES, CLASSES, lambda y, out: torch.nn.functional.cross_entropy(out, y), 1
    )
    assert_same_weights(model, other)


def test_a_softmax_is_not_taken_twice_for_the_scores():
    model = draw_model()
    session = dlw.Session(model, (IMAGES, CLASSES), valid=(IMAGES, CLASSES), batch_size=16)
    session.evaluate()
    said = model.predict(IMAGES, verbose=0, batch_size=48)
    np.testing.assert_allclose(session.scores.y_score, said, atol=1e-6)
    wanted = keras.losses.SparseCategoricalCrossentropy()(CLASSES, said)
    assert session.evaluation.loss == pytest.approx(float(wanted), rel=1e-6) and not session.evaluation.loss_note


def regularized():
    keras.utils.set_random_seed(1)
    return keras.Sequential([
        keras.Input((6, 6, 1)), L.Flatten(),
        L.Dense(8, kernel_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(0.3)),
        L.Dense(8, activation="relu", activity_regularizer=keras.regularizers.L1(0.01)),
        L.Dense(3, activation="softmax", bias_regularizer="l1"),
    ])  # fmt: skip


def test_regularizers_are_in_the_loss_and_constraints_hold_after_each_step():
    model = regularized()
    session = dlw.Session(model, (IMAGES, CLASSES), valid=(IMAGES, CLASSES), batch_size=16)
    session.fit(2)
    assert_same_weights(
        model, train_plainly(regularized(), IMAGES, CLASSES, keras.losses.SparseCategoricalCrossentropy())
    )
    assert np.linalg.norm(model.layers[1].get_weights()[0], axis=0).max() <= 0.3 + 1e-6
    last = session.history().iloc[-1]
    assert last["loss"] == pytest.approx(last["loss_data"] + last["loss_regularization"])
    model.compile(loss="sparse_categorical_crossentropy")
    assert last["valid_loss"] == pytest.approx(model.evaluate(IMAGES, CLASSES, verbose=0, batch_size=48), rel=1e-5)


def test_a_constraint_holds_what_trains_by_now():
    model = regularized()
    model.layers[1].trainable = False
    before = model.layers[1].get_weights()[0]
    assert np.linalg.norm(before, axis=0).max() > 0.3
    session = dlw.Session(model, (IMAGES, CLASSES), batch_size=16)
    session.step(1)
    np.testing.assert_array_equal(model.layers[1].get_weights()[0], before)
    session.unfreeze("*")
    session.step(1)
    assert np.linalg.norm(model.layers[1].get_weights()[0], axis=0).max() <= 0.3 + 1e-6
    session.freeze(model.layers[1].name)
    held = model.layers[1].get_weights()[0] * 2
    model.layers[1].kernel.assign(held)
    session.step(1)
    np.testing.assert_array_equal(model.layers[1].get_weights()[0], held)


def test_the_penalty_can_be_weighed_while_it_trains():
    model = regularized()
    session = dlw.Session(model, (IMAGES, CLASSES), batch_size=16, loss_weights={"regularization": 0.0})
    session.step(2)
    rows = session.history()
    assert rows["loss"].tolist() == rows["loss_data"].tolist() and (rows["loss_regularization"] > 0).all()


@pytest.mark.parametrize("targets", [CLASSES, np.eye(3)[CLASSES]])
def test_a_loss_that_wants_other_targets_is_told_of_with_the_one_to_type(targets):
    wrong, right = "categorical_crossentropy", "sparse_categorical_crossentropy"
    wrong, right = (wrong, right) if targets.ndim == 1 else (right, wrong)
    with pytest.raises(ValueError, match=f'it is "{right}"'):
        dlw.Session(draw_model(), (IMAGES, targets), loss=wrong)


def test_a_loss_of_probabilities_refuses_logits_in_a_sentence():
    with pytest.raises(ValueError, match=r"pass loss=keras\.losses\.SparseCategoricalCrossentropy\(from_logits=True\)"):
        dlw.Session(draw_model(None), (IMAGES, CLASSES), loss="sparse_categorical_crossentropy")


def test_a_loss_of_logits_on_probabilities_is_noted():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    notes = dlw.Session(draw_model(), (IMAGES, CLASSES), loss=loss).notes
    assert any("pass loss=keras.losses.SparseCategoricalCrossentropy()" in one for one in notes)


def test_label_smoothing_is_that_of_keras():
    model, hot = draw_model(), np.eye(3)[CLASSES]
    dlw.Session(model, (IMAGES, hot), batch_size=16, label_smoothing=0.1).fit(1)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    assert_same_weights(model, train_plainly(draw_model(), IMAGES, hot, loss, 1))


@pytest.mark.skipif(
    tuple(map(int, keras.__version__.split(".")[:2])) < (3, 13), reason="its gradient was not finite in Keras 3.11"
)
def test_unknown_classes_are_left_out():
    unknown = np.where(np.arange(48) % 5, CLASSES, -1)
    model = draw_model()
    dlw.Session(model, (IMAGES, unknown), batch_size=16).fit(1)
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    assert_same_weights(model, train_plainly(draw_model(), IMAGES, unknown, loss, 1))


def test_classes_are_the_last_axis_of_what_a_model_puts_out_for_each_position():
    def draw():
        keras.utils.set_random_seed(1)
        return keras.Sequential([keras.Input((6, 6, 1)), L.Conv2D(3, 3, padding="same", activation="softmax")])

    maps = RNG.integers(0, 3, (48, 6, 6))
    model = draw()
    session = dlw.Session(model, (IMAGES, maps), batch_size=16)
    session.fit(1)
    loss = keras.losses.SparseCategoricalCrossentropy()
    other = train_plainly(draw(), IMAGES, maps, lambda y, out: loss(y.reshape(-1), out.reshape(-1, 3)), 1)
    assert_same_weights(model, other)  # Keras 3.15's own fit fails here: "grad_input must be contiguous"
    assert session.notes[0].startswith("Multiclass, 3 classes")


def test_a_run_goes_back_and_on_with_the_same_random_numbers():
    model = draw_model()
    session = dlw.Session(model, (IMAGES, CLASSES), batch_size=8)
    session.step(6)
    there, drawn = model.get_weights(), seeds(model)
    session.rewind(2)
    session.step(4)
    for mine, theirs in zip([*model.get_weights(), *seeds(model)], [*there, *drawn], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_undo_brings_back_weights_and_seeds():
    model = draw_model()
    session = dlw.Session(model, (IMAGES, CLASSES), batch_size=8)
    session.step(4)
    there = [*model.get_weights(), *seeds(model)]
    session.lr = 0.1
    session.step(2)
    session.undo()
    for mine, theirs in zip([*model.get_weights(), *seeds(model)], there, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_replay_of_a_ledger_gives_the_same_weights():
    model, other = draw_model(), draw_model()
    session = dlw.Session(model, (IMAGES, CLASSES), batch_size=8)
    session.step(3)
    session.lr = 0.01
    session.step(3)
    again = dlw.Session(other, (IMAGES, CLASSES), batch_size=8)
    again.replay(session.ledger())
    again.step(6)
    assert_same_weights(model, other)


def test_a_checkpoint_goes_on_as_if_nothing_had_happened(tmp_path):
    model, other = draw_model(), draw_model()
    session = dlw.Session(model, (IMAGES, CLASSES), batch_size=8, checkpoint_dir=tmp_path)
    session.step(3)
    session.save_checkpoint()
    session.step(3)
    again = dlw.Session.from_checkpoint(tmp_path, other, (IMAGES, CLASSES), batch_size=8)
    again.step(3)
    assert_same_weights(model, other)


def test_a_step_of_a_persons_own_gets_the_keras_model():
    def step(given, batch):
        assert given is model
        inputs, targets = batch
        return keras.losses.SparseCategoricalCrossentropy()(targets, given(inputs, training=True))

    model = draw_model()
    dlw.Session(model, (IMAGES, CLASSES), batch_size=16, training_step=step).fit(1)
    loss = keras.losses.SparseCategoricalCrossentropy()
    assert_same_weights(model, train_plainly(draw_model(), IMAGES, CLASSES, loss, 1))


NAMES = sorted(keras.src.losses.ALL_OBJECTS_DICT.keys() - {"Loss", "LossFunctionWrapper"})


@pytest.mark.parametrize("name", [*NAMES, "Binary Crossentropy"])
def test_names_are_those_of_keras_losses_first(name):
    model = keras.Sequential([keras.Input((5,)), L.Dense(3)])
    read = read_loss(name, is_foreign(model))
    known = keras.losses.get(name.replace(" ", ""))
    assert read.loss.name == getattr(known, "name", None) or type(read.loss) is known or (
        type(read.loss).__name__.lower() == known.__name__.replace("_", "")
    )


def test_a_loss_by_name_is_keras_own_from_the_first_step_on():
    def trained(loss):
        model = draw_model("sigmoid")
        dlw.Session(model, (IMAGES, np.eye(3)[CLASSES].astype(np.float32)), batch_size=16, loss=loss).step(2)
        return model

    assert_same_weights(trained("binary_crossentropy"), trained(keras.losses.BinaryCrossentropy()))


def test_another_loss_of_keras_takes_over_in_mid_run():
    model = draw_model()
    session = dlw.Session(model, (IMAGES, np.eye(3)[CLASSES]), batch_size=16)
    session.step(1)
    session.loss_function = "categorical_focal_crossentropy"
    session.step(1)
    assert session.applied["loss_in_words"] == "CategoricalFocalCrossentropy" and not session.rejected
    session.loss_function = keras.losses.CategoricalCrossentropy(label_smoothing=0.1)
    session.step(1)
    assert session.applied["label_smoothing"] == 0.1
    session.loss_function = None
    session.step(1)
    assert session.applied["loss_in_words"] == "CategoricalCrossentropy"


def test_a_hinge_takes_minus_one_for_no():
    signs = np.where(CLASSES > 0, 1, -1)
    session = dlw.Session(draw_model(None, 1), (IMAGES, signs), valid=(IMAGES, signs), loss=keras.losses.Hinge())
    session.step(1)
    assert session.notes[0].startswith("Binary")
    np.testing.assert_array_equal(session.evaluate().scores.y_true.ravel(), signs > 0)
