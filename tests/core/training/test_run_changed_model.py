"""Layers that a person puts into a model while it trains, or between: taken up, and said."""

from __future__ import annotations

import copy
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlwidgets.session import Session

X, Y = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def change_head(model, spare):
    model[2] = spare[0]


def put_one_in(model, spare):
    model.insert(1, spare[1])


def add_one(model, spare):
    model.add_module("3", spare[2])


def change_weight(model, spare):
    model[0].weight = nn.Parameter(spare[3].weight.detach().clone())


CHANGES = [change_head, put_one_in, add_one, change_weight]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_put_in_trains_as_in_a_loop_that_gives_it_to_the_optimizer(change):
    torch.manual_seed(3)
    spare = nn.Linear(8, 3), nn.Linear(8, 8), nn.Linear(3, 3), nn.Linear(6, 8)
    model, plain = net(), net()
    made = Session(model, (X, Y), batch_size=8, optimizer=("sgd", {"momentum": 0.9}), lr=0.1)
    made.step(3)
    change(model, copy.deepcopy(spare))
    made.step(3)

    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9)
    order, batches = torch.Generator().manual_seed(0), []
    for _ in range(2):
        batches += torch.randperm(40, generator=order).split(8)
    for number, rows in enumerate(batches[:6]):
        if number == 3:
            change(plain, copy.deepcopy(spare))
            group = optimizer.param_groups[0]
            group["params"] = list(plain.parameters())
        loss = F.cross_entropy(plain(X[rows]), Y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(map(torch.equal, model.parameters(), plain.parameters()))
    assert {id(p) for p in made.optimizer.param_groups[0]["params"]} == {id(p) for p in model.parameters()}
    assert "changed by hand after step 3" in made.notes[-1]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_put_in_while_it_trains_is_taken_up_and_said(change):
    torch.manual_seed(3)
    spare = nn.Linear(8, 3), nn.Linear(8, 8), nn.Linear(3, 3), nn.Linear(6, 8)
    model = net()
    made = Session(model, (X, Y), batch_size=8, epochs=10**6).start()
    change(model, spare)
    until = time.monotonic() + 20
    while not any("changed by hand" in note for note in made.notes) and time.monotonic() < until:
        time.sleep(0.01)
    made.pause()
    before = [p.detach().clone() for p in model.parameters()]
    made.step(5)
    assert not any(map(torch.equal, model.parameters(), before))
    made.stop()


def test_what_the_optimizer_was_never_given_stays_out_of_it():
    model = net()
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
    made = Session(model, (X, Y), batch_size=8, optimizer=optimizer)
    before = model[0].weight.detach().clone()
    made.step(2)
    model[2] = nn.Linear(8, 3)
    made.step(2)
    assert torch.equal(model[0].weight, before)
    assert optimizer.param_groups[0]["params"] == list(model[2].parameters())


def test_a_layer_in_the_place_of_a_frozen_one_is_frozen_too():
    model = net()
    made = Session(model, (X, Y), batch_size=8, trainable={"0": False})
    made.step(2)
    model[0] = new = nn.Linear(6, 8)
    before = new.weight.detach().clone()
    made.step(2)
    assert torch.equal(new.weight, before) and not new.weight.requires_grad


def test_there_is_no_way_back_to_before_it_and_no_script(tmp_path):
    model = net()
    made = Session(model, (X, Y), batch_size=8).step(4)
    model[2] = nn.Linear(8, 3)
    made.step(4)
    with pytest.raises(ValueError, match="Nothing is kept from before step 4"):
        made.rewind(2)
    with pytest.raises(ValueError, match="changed by hand after step 4: no script"):
        made.to_script(tmp_path / "run.py")
    losses = made.history().loss.tolist()
    made.rewind(4).step(4)
    assert made.history().loss.tolist() == losses


def test_a_wish_that_changes_parameters_itself_is_no_change_by_hand():
    made = Session(net(), (X, Y), batch_size=8).step(2)
    made.normalise = "weight_norm"
    made.step(2)
    made.normalise = None
    made.step(2)
    assert not [note for note in made.notes if "by hand" in note]
    made.rewind(1)
