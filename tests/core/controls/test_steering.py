"""Steering: wishes are put in force, or rejected, and the ledger says what came of each."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlwidgets.core.controls.steering import Steering
from dlwidgets.core.data.batches import IndexedBatches
from dlwidgets.core.data.objective import Objective
from dlwidgets.core.data.source import Rows
from dlwidgets.core.data.stream import StreamBatches
from dlwidgets.core.data.task import Task
from dlwidgets.core.training.loop import Loop

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
