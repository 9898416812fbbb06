"""A session in words: what a newcomer reads."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dlwidgets.session import Session

X = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
SEVERAL = (torch.rand(200, 3, generator=torch.Generator().manual_seed(1)) > 0.5).float()


class Net(nn.Sequential):
    def __init__(self, out=3):
        torch.manual_seed(0)
        super().__init__(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, out))


def test_a_session_says_what_it_is():
    made = Session(Net(), (X, SEVERAL), (X[:50], SEVERAL[:50]), batch_size=64, threads=1, clip=1.0)
    assert repr(made) == (
        "Session of Net: 83 parameters, on cpu with 1 thread\n"
        "  task       multilabel, 3 classes (the targets are 0 or 1 in 3 columns)\n"
        "  loss       BCEWithLogitsLoss\n"
        "  train      200 samples, (6,) each, in batches of 64: 4 steps an epoch\n"
        "  valid      50 samples\n"
        "  optimizer  AdamW, lr 0.001, gradients clipped at norm 1\n"
        "  status     ready: start() trains 10 epochs in the background"
    )


def status(made):
    return repr(made).splitlines()[-1].split(maxsplit=1)[1]


def test_a_session_says_how_it_stands():
    made = Session(Net(), (X, SEVERAL), batch_size=64, threads=1, epochs=1)
    assert "valid      none: valid=0.2 would hold out a fifth" in repr(made)
    assert status(made) == "ready: start() trains 1 epoch in the background"
    made.step()
    assert status(made) == f"paused, 1 step taken, loss {made.loss:.4g}; resume() goes on"
    made.fit()
    assert status(made) == f"done, 4 steps taken, loss {made.loss:.4g}"
    made.model[0].weight.data.fill_(float("nan"))
    with pytest.raises(ArithmeticError):
        made.step()
    assert status(made).startswith(
        f"failed, {made.steps} steps taken, loss {made.loss:.4g}: The loss became nan in step"
    )


def test_a_session_on_a_stream_does_not_pretend_to_know_its_length():
    made = Session(Net(), zip(X.split(20), SEVERAL.split(20)))
    assert "train      samples not counted, (6,) each, in batches of 20\n" in repr(made)


@pytest.mark.parametrize(
    ("targets", "out", "options", "sentence"),
    [
        (SEVERAL, 3, {}, "Multilabel, 3 classes, since the targets are 0 or 1 in 3 columns; the loss is BCEWithLogitsLoss."),
        (torch.arange(200) % 3, 3, {}, "Multiclass, 3 classes, since the targets are whole numbers, one a sample, and the model puts out 3 values; the loss is CrossEntropyLoss."),
        (SEVERAL[:, 0], 1, {}, "Binary, since the targets are 0 or 1, one a sample; the loss is BCEWithLogitsLoss."),
        (X[:, 0], 1, {}, "Regression, since the targets are real numbers; the loss is MSELoss."),
        (SEVERAL, 3, {"task": "regression", "loss": "mae"}, "Regression, since it was given; the loss is L1Loss."),
        (SEVERAL, 3, {"training_step": lambda model, batch: model(batch[0]).mean()}, "The loss is what training_step= returns."),
    ],
)  # fmt: skip
def test_the_first_note_says_what_is_learnt_and_why(targets, out, options, sentence):
    assert Session(Net(out), (X, targets), **options).notes[0] == sentence


def test_the_last_note_says_on_what_it_trains():
    assert (
        Session(Net(), (X, SEVERAL), threads=2).notes[-1] == "Training on the CPU with 2 threads, as asked."
    )


def test_what_was_chosen_is_to_be_had_as_data():
    made = Session(Net(), (X, SEVERAL), classes=["a", "b", "c"], threads=1)
    assert (made.task, made.classes, made.threads, made.has_valid) == (
        "multilabel",
        ("a", "b", "c"),
        1,
        False,
    )
    assert made.device == torch.device("cpu")
    assert isinstance(made.model, Net)
    assert isinstance(made.optimizer, torch.optim.AdamW)


def test_a_loader_says_its_samples():
    made = Session(Net(), DataLoader(TensorDataset(X, SEVERAL), 32, shuffle=True))
    assert "200 samples, (6,) each, in batches of 32: 7 steps an epoch" in repr(made)


def test_the_help_names_every_option_and_every_trait():
    text = Session.__doc__
    traits = [name for name in Session.class_trait_names() if name != "blocking"]
    assert [name for name in traits if name not in text] == []


def test_what_views_read_of_a_session_is_public():
    frame = pd.DataFrame({"b": [0.1, 0.2, 0.3, 0.4], "a": [1.0, 2.0, 3.0, 4.0], "y": [0, 1, 0, 1]})
    made = Session(nn.Linear(2, 2), frame, target="y", batch_size=2)
    assert made.columns == ("b", "a")
    assert Session(nn.Linear(2, 2), (torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]))).columns is None
    made.lr = 0.5
    assert made.waits("lr") and not made.waits("clip")
    scope = made.microscope()
    made.at_step(scope.before).result(10)
    made.step()
    assert not made.waits("lr") and len(scope.after().losses) == 2
    assert made.timeline.place == (1, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": 2**70}, {"seed": None}, {"snapshot_memory": "512MB"}, {"snapshot_memory": -1},
        {"snapshot_memory": 2.5}, {"snapshot_memory": True}, {"checkpoint_dir": 5}, {"checkpoint_dir": ""},
        {"checkpoint_dir": True}, {"training_step": nn.Linear}, {"early_stopping": 3, "evaluate_every": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_by_its_name(wrong):
    with pytest.raises((ValueError, TypeError), match=f"^{next(iter(wrong))}"):
        Session(Net(), (X, SEVERAL), (X, SEVERAL), **wrong)


class TwoHeads(Net):
    """Returns a pair in train mode alone, as torchvision's Inception does."""

    def forward(self, x):
        out = super().forward(x)
        return (out, out) if self.training else out


def test_an_output_that_train_mode_alone_has_is_said():
    with pytest.raises(TypeError, match="In train mode the model returns tuple .* pass a loss that takes both"):
        Session(TwoHeads(), (X, SEVERAL)).step()


def test_a_loss_that_takes_both_trains_such_a_model():
    f = nn.functional.binary_cross_entropy_with_logits

    def both(out, y):
        return f(out, y) if torch.is_tensor(out) else f(out[0], y) + 0.4 * f(out[1], y)

    made, plain = Session(TwoHeads(), (X, SEVERAL), loss=both, optimizer="sgd", lr=0.1, batch_size=200), TwoHeads()
    made.step()
    both(plain(X), SEVERAL).backward()
    for ours, own in zip(made.model.parameters(), plain.parameters()):
        assert torch.allclose(ours, own - 0.1 * own.grad, atol=1e-7)
    assert Session(made.model, (X, SEVERAL), (X, SEVERAL), loss=both).evaluate().loss > 0


def _step_of_one(batch):
    return batch


@pytest.mark.parametrize(
    ("argument", "value", "sentence"),
    [
        ("loss", nn.Linear, r"loss=Linear cannot be made: .* Make it first, as loss=Linear\(\.\.\.\)\."),
        ("loss", "crossentrpyloss", r"loss='crossentrpyloss' is not .* Did you mean 'crossentropyloss'\?"),
        ("task", "multi-label", r"task='multi-label' is none of .* Did you mean 'multilabel'\?"),
        ("optimizer", nn.Linear, r"optimizer=Linear is no optimizer: pass a class such as torch\.optim\.AdamW\."),
        ("optimizer", ("adam", {"lrr": 1}), r"optimizer: Adam has no option 'lrr'\. Did you mean 'lr'\?"),
        ("optimizer", lambda: None, r"optimizer= is called with the parameters, and fails: "),
        ("optimizer", lambda own: 5, r"The optimizer= factory returned int, not a torch\.optim\.Optimizer\."),
        ("schedule", ("step", {"gamma": "x"}), r"schedule 'step' has gamma='x': a number is wanted\."),
        ("clip", "nrm", r"clip has the mode 'nrm', .* Did you mean 'norm'\?"),
        ("clip", "1.0", r"clip has the mode '1\.0', .* A norm is a number: clip=1\.0\."),
        ("trainable", "nope", r"trainable: The Net has no layer or parameter 'nope'\."),
        ("trainable", ["0", 5], r"trainable: The Net has no layer 5"),
        ("early_stopping", {"restore": "no"}, r"early_stopping has the restore 'no': True or False is wanted\."),
        ("training_step", _step_of_one, r"training_step= is called as training_step\(model, batch\)"),
    ],
)  # fmt: skip
def test_a_mistyped_argument_is_named_with_what_to_write(argument, value, sentence):
    with pytest.raises((TypeError, ValueError), match=f"^{sentence}"):
        Session(Net(), (X, SEVERAL), (X, SEVERAL), **{argument: value})


def test_numbers_of_numpy_and_torch_count_steps():
    made = Session(Net(), (X, SEVERAL), batch_size=100).step(np.int64(2)).step(torch.tensor(1))
    made.rewind(np.int32(1))
    assert made.steps == 1
    made.try_each(np.int64(1), {"lr": 0.1}, {"lr": 0.2}, keep=np.int64(1))
    assert (made.steps, made.lr) == (2, 0.2)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda made: made.save(5), r"save\(5\): a path is wanted"),
        (lambda made: made.to_script(5), r"to_script\(5\): a path is wanted"),
        (lambda made: made.from_checkpoint(5, Net(), (X, SEVERAL)), r"from_checkpoint\(5\): a path is wanted"),
        (lambda made: made.coming_rates("3"), r"coming_rates\('3'\): a whole number of points"),
        (lambda made: made.read_wish("learning_rate", 1), r"'learning_rate' is no control: .* Did you mean 'lr'\?"),
        (lambda made: made.step("3"), r"step\('3'\): a whole number of steps, 1 or more, is wanted\."),
    ],
)  # fmt: skip
def test_a_call_that_is_mistyped_says_what_it_wants(call, sentence):
    with pytest.raises((TypeError, ValueError), match=f"^{sentence}"):
        call(Session(Net(), (X, SEVERAL)))


def test_predicting_for_samples_of_another_shape_says_both():
    with pytest.raises(ValueError, match=r"X has inputs of shape \(7,\) a sample, the training's \(6,\): mat1"):
        Session(Net(), (X, SEVERAL)).predict(torch.zeros(3, 7))


@pytest.mark.parametrize("group", [lambda model: model.parameters(), lambda model: [{"params": one.parameters()} for one in model]])
def test_an_optimizer_made_before_the_head_was_swapped_moves_the_new_one(group):
    model, twin = Net(), Net()
    optimizer = torch.optim.Adam(group(model), lr=0.01)
    model[2], twin[2] = nn.Linear(8, 3), nn.Linear(8, 3)
    twin.load_state_dict(model.state_dict())
    made = Session(model, (X, SEVERAL), optimizer=optimizer)
    assert made.notes[0].startswith("The optimizer was made before the model got its '2.weight', '2.bias', which it now")
    plain = Session(twin, (X, SEVERAL), optimizer=torch.optim.Adam(twin.parameters(), lr=0.01)).step(3)
    assert all(map(torch.equal, made.step(3).model.state_dict().values(), plain.model.state_dict().values()))


def test_an_optimizer_whose_head_was_swapped_for_several_layers_is_refused_with_what_to_do():
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    model[2] = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3))
    sentence = "moves 2 tensors that the model does not have, and not its '2.0.weight', '2.0.bias', .*: was a layer replaced"
    with pytest.raises(ValueError, match=sentence):
        Session(model, (X, SEVERAL), optimizer=optimizer)
