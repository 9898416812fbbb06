"""Steering: wishes are read, put in force or rejected, and the ledger says what came of each."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import copy
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from dlwidgets.core.controls.steering import Steering, read_alone
from dlwidgets.core.data.batches import IndexedBatches
from dlwidgets.core.data.objective import Objective
from dlwidgets.core.data.source import Rows
from dlwidgets.core.data.stream import StreamBatches
from dlwidgets.core.data.task import Task
from dlwidgets.core.training.loop import Loop
from tests.core.controls import by_hand

X, y = torch.randn(8, 2), torch.randn(8, 1)


def steering(make=torch.optim.AdamW, batches=None):
    model = nn.Linear(2, 1)
    task = Task("regression", nn.MSELoss(), "")
    batches = IndexedBatches(Rows(X, y), 4, seed=0) if batches is None else batches
    return Steering(
        Loop(Objective(model, task, torch.device("cpu")), batches, make(model.parameters(), lr=0.01))
    )


def entries(made):
    return [(e.name, e.asked, e.applied, e.by, e.note, e.rejected) for e in made.ledger.entries]


@pytest.mark.parametrize(
    ("name", "value", "in_force"),
    [
        ("lr", 0.5, 0.5), ("batch_size", 2, 2), ("clip", ("norm", 1.0), ("norm", 1.0)),
        ("weight_decay", 0.3, 0.3),
    ],
)  # fmt: skip
def test_a_wish_is_in_force_and_in_the_ledger(name, value, in_force):
    made = steering()
    made.put(name, value, "panel")
    assert made.in_force()[name] == in_force
    assert entries(made) == [(name, value, in_force, "panel", "", False)]
    assert not made.rejected


def test_what_is_in_force_is_read_off_the_optimizer():
    made = steering()
    made.loop.optimizer.param_groups[0]["lr"] = 0.125
    assert made.in_force()["lr"] == 0.125


def test_a_wish_that_changes_nothing_is_not_in_the_ledger():
    made = steering()
    for name, value in made.wishes().items():
        made.put(name, value, "code")
    assert not made.ledger.entries


def test_a_wish_that_cannot_be_met_is_rejected_until_one_can():
    made = steering(batches=StreamBatches([(X, y)], 8))
    made.put("batch_size", 4, "panel")
    why = "the data comes as ready-made batches"
    assert made.rejected == {"batch_size": why}
    assert entries(made) == [("batch_size", 4, 8, "panel", why, True)]
    made.put("batch_size", 8, "panel")
    assert not made.rejected
    assert len(made.ledger) == 1


def test_an_optimizer_without_decay_has_none_to_change():
    made = steering(make=lambda p, lr: torch.optim.Rprop(p, lr=lr))
    made.put("weight_decay", None, "code")
    assert not made.rejected
    made.put("weight_decay", 0.1, "code")
    assert made.rejected == {"weight_decay": "Rprop has no weight decay"}


def test_no_weight_decay_asked_for_is_the_optimizers_own():
    made = steering(make=lambda p, lr: torch.optim.AdamW(p, lr=lr, weight_decay=0.25))
    made.put("weight_decay", 0.5, "code")
    made.put("weight_decay", None, "code")
    assert made.in_force()["weight_decay"] == 0.25


def test_clipping_that_is_off_is_none():
    made = steering()
    made.put("clip", ("value", 2.0), "code")
    made.put("clip", None, "code")
    assert made.in_force()["clip"] is None
    assert [e.applied for e in made.ledger.entries] == [("value", 2.0), None]


@pytest.mark.parametrize(
    ("read", "value", "meant"),
    [
        ("lr", 0.1, 0.1), ("lr", 1, 1.0), ("lr", 0, 0.0), ("lr", np.float32(0.5), 0.5), ("lr", np.int64(2), 2.0),
        ("lr", torch.tensor(0.25), 0.25), ("lr", Fraction(1, 4), 0.25), ("lr", np.array(0.5), 0.5),
        ("batch_size", 7, 7), ("batch_size", np.int64(7), 7), ("batch_size", torch.tensor(7), 7),
        ("epochs", 3, 3), ("epochs", np.int32(3), 3),
        ("weight_decay", None, None), ("weight_decay", 0, 0.0), ("clip", None, None), ("clip", 2, ("norm", 2.0)),
        ("clip", "off", None), ("clip", ("value", 0.5), ("value", 0.5)),
        ("evaluate_every", "epoch", "epoch"), ("evaluate_every", None, None), ("evaluate_every", np.int64(20), 20),
        ("thresholds", 0.3, 0.3), ("thresholds", np.float32(0.5), 0.5), ("thresholds", [0.1, 0.9], [0.1, 0.9]),
        ("thresholds", np.array([0.1, 0.9]), [0.1, 0.9]), ("thresholds", torch.tensor([0.25, 0.5]), [0.25, 0.5]),
        ("thresholds", 1, 1.0), ("evaluate_every", "2 min", "120 s"), ("evaluate_every", "0.5s", "0.5 s"),
        ("evaluate_samples", None, None), ("evaluate_samples", np.int64(9), 9),
    ],
)  # fmt: skip
def test_a_wish_is_read_into_one_form(read, value, meant):
    found = read_alone(read, value)
    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize(
    ("read", "value", "wanted"),
    [
        *[("lr", value, "a learning rate is a number, 0 or more") for value in (-1, math.nan, math.inf, "0.1", None, True, [0.1])],
        *[("batch_size", value, "a whole number of samples, 1 or more, is wanted") for value in (0, -3, 2.5, 32.0, "32", None, True)],
        *[("epochs", value, "a whole number, 1 or more, is wanted") for value in (0, -1, 1.5, "3", None, False)],
        *[("weight_decay", value, "a number, 0 or more, is wanted") for value in (-0.1, math.nan, "0", True)],
        *[("evaluate_every", value, '"epoch", a number of steps, or None') for value in (0, "step", 1.5, True, "epochs")],
        *[("thresholds", value, "one number, or one for each class, is wanted") for value in ("high", [], [0.1, "a"], math.nan, [math.nan], True)],
    ],
)  # fmt: skip
def test_what_cannot_be_wished_is_said_with_the_value_and_what_is_wanted(read, value, wanted):
    with pytest.raises(ValueError) as caught:
        read_alone(read, value)
    assert str(caught.value).startswith(f"{read}={value!r}: ")
    assert wanted in str(caught.value)


@pytest.mark.parametrize(("name", "value", "sentence"), [
    ("accumulate", 0, "accumulate=0: a whole number of batches, 1 or more, is wanted; 1 accumulates nothing."),
    ("ema", 1.0, "ema=1.0: a decay between 0 and 1 is wanted, such as 0.999, or None."),
    ("label_smoothing", 1, "label_smoothing=1: a number from 0 to below 1 is wanted, as 0.1, or None."),
    ("precision", "fp8", "precision='fp8' is none of full, bf16, fp16."),
])  # fmt: skip
def test_wishes_that_cannot_be_are_refused(name, value, sentence):
    for ask in (lambda: by_hand.session(**{name: value}), lambda: setattr(by_hand.session(), name, value)):
        with pytest.raises(ValueError) as caught:
            ask()
        assert str(caught.value) == sentence


@pytest.mark.parametrize("options", [
    {"accumulate": 2}, {"normalise": "unit"}, {"normalise": "weight_norm"}, {"dropout": 0.5}, {"label_smoothing": 0.1}, {"ema": 0.8},
    {"precision": "bf16"}, {"early_stopping": ("accuracy", 40)},
], ids=lambda options: next(iter(options.values())) if "normalise" in options else next(iter(options)))  # fmt: skip
def test_after_a_rewind_over_the_change_the_run_is_as_it_was(options):
    (name, value), = options.items()
    made = by_hand.session(epochs=3)
    own = getattr(made, name)
    made.step(2)
    setattr(made, name, value)
    made.step(3)
    expected, scores = copy.deepcopy(made.model.state_dict()), made.predict_scores(by_hand.X)
    setattr(made, name, own)
    made.step(2)
    made.rewind(5)
    now = made.model.state_dict()
    assert now.keys() == expected.keys()
    assert all(torch.equal(now[key], expected[key]) for key in expected)
    assert torch.equal(made.predict_scores(by_hand.X), scores)
    made.rewind(1)
    assert made.applied[name] == own
    made.step()
    assert all(map(torch.equal, made.model.parameters(), by_hand.session(epochs=3).step(2).model.parameters()))
