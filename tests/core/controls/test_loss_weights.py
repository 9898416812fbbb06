"""Weights of named losses: live, in the ledger, in snapshots and in the script."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlwidgets.session import Session
from tests.core.data.detectors import ToyDetector, pictures
from tests.core.export.script_runs import Runs, check_weights

X, Y = torch.randn(24, 4, generator=torch.Generator().manual_seed(1)), torch.arange(24) % 3
RUNS = Runs()


def net():
    torch.manual_seed(0)
    return nn.Linear(4, 3)


def step(model, batch):
    X, y = batch
    out = model(X)
    return {"loss_class": F.cross_entropy(out, y), "size": out.square().mean()}


def session(training_step=step, model=None, data=None, **options):
    options = {"batch_size": 8, "optimizer": "sgd", "lr": 0.1, "threads": 1, **options}
    return Session(model or net(), data or (X, Y), training_step=training_step, **options)


def plain(weights, steps=3):
    """Return the weights of the loop that has `weights` from the second step on."""
    model = net()
    optimizer, drawn = torch.optim.SGD(model.parameters(), lr=0.1), torch.Generator().manual_seed(0)
    for number, index in zip(range(steps), torch.randperm(24, generator=drawn).split(8)):
        losses = step(model, (X[index], Y[index]))
        loss = sum(losses.values())
        if number:
            loss = losses["loss_class"] * weights[0] + losses["size"] * weights[1]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.state_dict()


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_weight_holds_from_the_next_step_on_bit_for_bit():
    made = session().step()
    assert made.applied["loss_weights"] == {"class": 1.0, "size": 1.0}
    made.loss_weights = {"loss_class": 0.3, "size": 2}
    made.step(2)
    assert same(plain((0.3, 2)), made.model.state_dict())
    assert made.applied["loss_weights"] == {"class": 0.3, "size": 2.0}
    row = made.history().loc[3]
    assert row["loss"] == pytest.approx(0.3 * row["loss_class"] + 2 * row["loss_size"])


def test_a_wish_before_the_first_step_is_checked_by_a_try_that_leaves_no_trace():
    made, drawn = session(loss_weights={"size": 0.0}), torch.get_rng_state()
    assert made.applied["loss_weights"] == {"class": 1.0, "size": 0.0}
    assert torch.equal(drawn, torch.get_rng_state())
    with pytest.raises(ValueError) as caught:
        session(loss_weights={"sise": 0.5})
    assert str(caught.value) == (
        "loss_weights={'sise': 0.5}: no loss is called 'sise' (did you mean 'size'?): there are 'class', 'size'."
    )


def test_going_back_brings_back_the_weights():
    made = session().step()
    made.loss_weights = {"size": 3}
    made.step(2)
    last = copy.deepcopy(made.model.state_dict())
    made.rewind(1)
    assert made.loss_weights is None and made.applied["loss_weights"]["size"] == 1
    made.loss_weights = {"size": 3}
    assert same(last, made.step(2).model.state_dict())
    assert session().replay(made.ledger()).step(3).applied["loss_weights"]["size"] == 3


def test_a_checkpoint_keeps_them(tmp_path):
    made = session(checkpoint_dir=tmp_path).step()
    made.loss_weights = {"size": 3}
    made.step()
    made.close()
    again = Session.from_checkpoint(tmp_path, net(), (X, Y), training_step=step)
    assert again.applied["loss_weights"] == {"class": 1.0, "size": 3.0}


def test_an_evaluation_has_no_weights():
    one, other = (session(valid=(X, Y), loss_weights=weights).evaluate() for weights in (None, {"size": 5}))
    assert one.loss == other.loss and one.parts == other.parts


def test_a_detector_s_names_are_known_from_the_beginning():
    made = Session(ToyDetector(), pictures(), batch_size=4)
    assert made.applied["loss_weights"] == {"box": 1.0, "objectness": 1.0, "class": 1.0}
    with pytest.raises(ValueError) as caught:
        made.loss_weights = {"boxes": 0.5}
    assert str(caught.value) == (
        "loss_weights: no loss is called 'boxes' (did you mean 'box'?): there are 'box', 'objectness', 'class'."
    )


@pytest.mark.parametrize(
    ("training_step", "sentence"),
    [
        (None, "the loss is one number: weights are of several, which a step or a model returns by name"),
        (
            lambda model, batch: {"loss": model(batch[0]).sum(), "size": 1.0},
            "the step sums its losses itself: have it return the parts alone, as {'box': ..., 'class': ...}",
        ),
    ],
)
def test_where_there_is_one_loss_a_sentence_says_so(training_step, sentence):
    made = session(training_step)
    made.loss_weights = {"size": 0.5}
    made.step()
    assert made.rejected["loss_weights"] == sentence


@pytest.mark.parametrize("value", [0.5, {"size": -1}, {"size": "half"}, {"size": float("nan")}])
def test_what_is_no_weight_is_refused(value):
    with pytest.raises((TypeError, ValueError), match="is wanted"):
        session(loss_weights=value)


@RUNS.add
def of_a_step():
    made = session().step()
    made.loss_weights = {"class": 0.3, "size": 2}
    made.step()
    made.loss_weights = {"size": 0}
    return made.step(2)


def by_name(output, targets):
    return {"class": F.cross_entropy(output, targets), "size": output.square().mean()}


@RUNS.add
def of_a_loss_function():
    made = session(None, loss=by_name).step(2)
    made.loss_weights = {"size": 0.25}
    return made.step(2)


@RUNS.add
def from_the_beginning():
    return session(loss_weights={"size": 0.25}).step(2)


@RUNS.add
def of_a_tuple():
    made = session(lambda model, batch: tuple(step(model, batch).values()), loss_weights={"2": 0.25}).step(2)
    made.loss_weights = {"1": 0.5}
    return made.step(2)


@RUNS.add
def of_a_detector():
    torch.manual_seed(0)
    made = Session(ToyDetector(), pictures(), batch_size=4, threads=1).step(2)
    made.loss_weights = {"box": 0.05}
    return made.step(2)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return RUNS.write(tmp_path_factory.mktemp("scripts"))


@pytest.mark.parametrize("name", RUNS)
def test_a_script_gives_the_same_weights(written, name):
    check_weights(written, name)
