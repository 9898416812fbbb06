"""Scripts of runs that were given a head for other classes: the same layers at the same steps, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import dlwidgets as dlw
from tests.core.export.script_runs import COUNT, Runs, X, check_weights, net, session

RUNS = Runs()
FEW = torch.arange(COUNT) % 2


@RUNS.add
def a_head_in_mid_run():
    made = session(lr=0.01).step(3)
    made.new_head(["a", "b", "c", "d", "e"])
    return made.fit(2)


@RUNS.add
def two_heads_one_before_the_first_step():
    made = session(data=(X, FEW), optimizer="adagrad", lr=0.05)
    made.new_head(3)
    made.step(3)
    made.new_head(2, seed=9)
    made.step(2)
    made.rewind(4)
    return made.fit(2)


@RUNS.add
def a_head_of_its_own_rate_beside_averages():
    made = session(ema=0.9, clip=1.0, lr_scale={"4": 10.0, "*": 1.0, "0": 0.1}).step(3)
    made.new_head(5)
    made.step(2)
    made.lr_scale = {"0": 0.5}
    return made.step(3)


@RUNS.add
def a_frozen_head_that_trains_later():
    made = session(trainable={"4": False}, optimizer="adam", lr=0.01).step(3)
    made.new_head(5)
    made.step(2)
    made.unfreeze("4")
    return made.step(4)


@RUNS.add
def head_alone():
    made = session(optimizer="sgd", lr=0.1).step(2)
    made.freeze("0", "1")
    made.new_head(6)
    return made.step(5)


@RUNS.add
def under_a_schedule_and_another_optimizer():
    made = session(schedule="cosine", lr=0.01).step(3)
    made.new_head(5)
    made.step(2)
    made.optimizer = "sgd"
    made.step(2)
    made.new_head(4)
    return made.fit(3)


@RUNS.add
def among_layers_drawn_anew_and_weights_that_are_projected():
    made = session(normalise="unit", optimizer="sgd", lr=0.1).step(2)
    made.reinitialise = "4"
    made.new_head(5)
    made.reinitialise = "4"
    made.step(2)
    made.ema = 0.9
    made.new_head(4)
    made.normalise = {"0": "max_norm"}
    made.step(2)
    made.new_head(6, seed=2)
    return made.step(2)


class Noted(nn.Module):
    """A model that notes how many classes it has."""

    def __init__(self, classes=4):
        super().__init__()
        self.num_classes = classes
        self.body, self.fc = nn.Linear(12, 8), nn.Linear(8, classes)

    def forward(self, x):
        return self.fc(self.body(x).relu()).view(len(x), self.num_classes)


@RUNS.add
def a_model_that_notes_its_classes():
    torch.manual_seed(7)
    made = session(model=Noted()).step(3)
    made.new_head(5)
    return made.step(3)


class Own(nn.Module):
    """A model that changes its head itself."""

    def __init__(self):
        super().__init__()
        self.body, self.fc = nn.Linear(12, 8), nn.Linear(8, 4)

    def with_classes(self, count):
        self.fc = nn.Linear(8, count)
        return self

    def forward(self, x):
        return self.fc(self.body(x).relu())


class Gained(Own):
    """A model that exchanges a parameter and a layer of its own, in their places."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4))

    def with_classes(self, count):
        self.fc, self.gain = nn.Linear(8, count), nn.Parameter(torch.rand(count))

    def forward(self, x):
        return super().forward(x) * self.gain


@RUNS.add
def a_model_that_exchanges_a_parameter():
    torch.manual_seed(7)
    made = session(model=Gained(), optimizer="adam").step(3)
    made.new_head(5)
    return made.step(3)


class Fixed(nn.Module):
    """A model that can be made for ten classes alone."""

    def __init__(self):
        super().__init__()
        self.num_classes = 10
        self.body, self.fc = nn.Linear(12, 8), nn.Sequential(nn.Dropout(0.2), nn.Linear(8, 10))

    def forward(self, x):
        return self.fc(self.body(x).relu()).view(len(x), self.num_classes)


@RUNS.add
def a_model_with_another_head_from_the_start():
    torch.manual_seed(7)
    return session(model=dlw.with_head(Fixed(), 4, seed=1)).step(5)


@RUNS.add
def a_head_put_in_by_hand_before_the_session():
    torch.manual_seed(7)
    model = Fixed()
    model.fc, model.num_classes = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)), 4
    made = session(model=model).step(3)
    made.new_head(5)
    return made.step(3)


@RUNS.add
def a_model_that_knows_how():
    torch.manual_seed(7)
    made = session(model=Own()).step(3)
    made.new_head(5)
    return made.step(3)


@pytest.mark.parametrize("name", RUNS)
def test_a_script_puts_the_heads_in_as_the_run_did(done, name):
    check_weights(done, name)


def test_a_script_averages_the_new_head(done):
    folder, sessions, _ = done
    name = "a_head_of_its_own_rate_beside_averages"
    ours = sessions[name]._run.loop.weights(averaged=True)
    theirs = torch.load(folder / f"{name}.averaged.pt", weights_only=True)
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []


def test_a_head_after_layers_drawn_anew_before_the_first_step_is_refused_in_a_sentence(tmp_path):
    made = session(reinitialise="4")
    made.new_head(5)
    with pytest.raises(ValueError, match="layers were drawn anew before the first step, and a new head came after"):
        made.step(1).to_script(tmp_path / "run.py")


def test_a_head_that_was_frozen_by_hand_is_refused_in_a_sentence(tmp_path):
    model = net()
    model[4].requires_grad_(False)
    made = session(model=model).step(2)
    made.new_head(5)
    with pytest.raises(ValueError, match="a head was exchanged that had been frozen by hand"):
        made.step(1).to_script(tmp_path / "run.py")
