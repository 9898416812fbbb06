"""Head only, all and from scratch: each is what a plain loop does, and the run is left where it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dlwidgets import Session
from dlwidgets.core.base.state import same_state

X = torch.randn(96, 8, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
BATCH, EACH = 32, 3  # steps an epoch


def new_model() -> nn.Module:
    torch.manual_seed(5)
    model = nn.Sequential()
    model.add_module("backbone", nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU()))
    model.add_module("head", nn.Linear(16, 3))
    return model


def new_session(model: nn.Module | None = None, **options) -> Session:
    options = {"optimizer": "adam", "lr": 0.01, "batch_size": BATCH, "valid": (X[:32], Y[:32]), **options}
    return Session(new_model() if model is None else model, (X, Y), **options)


def plain_loop(kind: str, epochs: int = 2) -> dict[str, torch.Tensor]:
    """Return the weights of a loop that nobody steers."""
    model = new_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    torch.manual_seed(0)
    if kind == "from scratch":
        for layer in (*model.backbone, model.head):
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    model.backbone.requires_grad_(kind != "head only")
    model.train()
    model.backbone[1].train(kind != "head only")
    order = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        for rows in torch.randperm(len(X), generator=order).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(X[rows]), Y[rows]).backward()
            optimizer.step()
    return model.state_dict()


def states(made: Session):
    def read():
        return made.timeline._copier({name: part.state() for name, part in made._run.parts.items()})

    return made._run.result(read)


@pytest.mark.parametrize("kind", ["head only", "all", "from scratch"])
def test_each_start_gives_the_weights_of_a_plain_loop_bit_for_bit(kind):
    session = new_session()
    found = session.compare_starts(epochs=2)
    assert [one.name for one in found.tried] == ["head only", "all", "from scratch"]
    assert [one.steps for one in found.tried] == [2 * EACH] * 3
    found.take(kind)
    wanted = plain_loop(kind)
    found_now = session.model.state_dict()
    assert [name for name in wanted if not found_now[name].equal(wanted[name])] == []


@pytest.mark.parametrize("place", ["where it began", "on its way", "on a line of its own"])
def test_the_run_is_left_where_it_was_wherever_that_is(place):
    made, twin = new_session(), new_session()
    for one in (made, twin):
        one.step(1) if place == "where it began" else one.step(7)
        if place == "on a line of its own":
            one.rewind(4)
        if place == "where it began":
            one.rewind(0)
    line = made.line
    made.compare_starts(steps=4)
    assert (made.line, made.steps, made.trainable) == (line, twin.steps, None)
    for one in (made, twin):
        one.step(5)
    assert same_state(states(made), states(twin)) and made.history().loss.equals(twin.history().loss)


def test_all_begin_at_step_0_with_what_was_set_before_it():
    session = new_session()
    session.clip = 0.5
    session.step(4)
    session.lr = 0.3
    session.compare_starts(steps=2)
    lines = {branch.name: branch for branch in session.branches}
    assert {branch.from_step for branch in lines.values()} == {0}
    assert {branch.settings["lr"] for branch in lines.values()} == {0.01}
    assert {branch.settings["clip"] for branch in lines.values()} == {("norm", 0.5)}


def test_what_each_came_to_stands_in_a_frame_with_the_time_its_steps_took():
    session = new_session()
    found = session.compare_starts(epochs=1)
    frame = found.frame()
    assert [*frame.start] == ["head only", "all", "from scratch"]
    assert [*frame.parameters] == [16 * 3 + 3, 8 * 16 + 16 + 32 + 51, 8 * 16 + 16 + 32 + 51]
    for row, branch in zip(frame.itertuples(), session.branches):
        history = branch.history()
        assert row.seconds == pytest.approx(history.seconds.sum()) and row.accuracy == history.accuracy.iloc[-1]
    assert session.start_trials is found and f"{found.best.metric:.2f}"[:4] in found.sentence


def test_they_are_never_compared_by_a_part_of_the_loss():
    def step(model, batch):
        loss = nn.functional.cross_entropy(model(batch[0]), batch[1])
        return {"one": loss, "other": 2 * loss}

    found = new_session(training_step=step).compare_starts(steps=2)
    assert found.measure == "valid_loss" and "valid_loss_one" not in found.frame()


def test_the_one_that_is_taken_is_gone_on_with_and_undone_like_any_change():
    session = new_session()
    session.step(5)
    session.compare_starts(steps=4).take("head only")
    assert (session.line, session.steps, session.status) == ("head only", 4, "paused")
    assert not session.model.backbone[0].weight.requires_grad and session.model.head.weight.requires_grad
    session.switch("main")
    assert session.steps == 5 and session.model.backbone[0].weight.requires_grad


def test_a_second_comparison_has_lines_of_its_own():
    session = new_session()
    session.compare_starts(steps=1)
    session.compare_starts(steps=2)
    assert [branch.name for branch in session.branches][3:] == ["head only 2", "all 2", "from scratch 2"]


def test_a_pause_ends_it_and_what_had_begun_is_kept():
    session = new_session()

    def pause(change):
        if change["new"] and change["new"][0].taken >= 2:
            session.pause(wait=False)

    session.observe(pause, "trials")
    found = session.compare_starts(steps=500)
    assert [one.name for one in found.tried] == ["head only"] and 2 <= found.tried[0].steps < 500
    assert (session.line, session.steps, session.trials) == ("main", 0, ())


class Token(nn.Module):
    """A model with a parameter that no layer draws."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(8))
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(torch.relu(self.body(x + self.token)))


def test_what_cannot_be_drawn_anew_is_said_and_begins_as_it_was():
    session = new_session(Token(), lr=0.0)
    body = session.model.body.weight.clone()
    found = session.compare_starts(steps=1)
    assert found.kept == ("token",) and "Not drawn anew, since nothing says how: 'token'" in found.sentence
    found.take("from scratch")
    assert session.model.token.equal(torch.ones(8)) and not session.model.body.weight.equal(body)


def test_the_best_is_that_of_the_metric_and_one_that_failed_is_never_it():
    session = new_session()
    found = session.compare_starts(steps=3)
    best = max(found.tried, key=lambda one: (one.metric, -one.valid_loss))
    assert found.metric == "accuracy" and found.best is best
    assert not np.isnan([one.loss for one in found.tried]).any()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"steps": 0}, "steps=0"), ({"epochs": "2"}, "epochs='2'"), ({"steps": 1, "epochs": 1}, "one of the two"),
        ({"start": -1}, "start=-1"), ({"start": 9}, "Step 9 was not taken"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_in_a_sentence(asked, said):
    session = new_session()
    with pytest.raises(ValueError, match=said):
        session.compare_starts(**asked)


def test_a_model_without_a_head_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="needs a head: The Linear has no head"):
        new_session(nn.Linear(8, 3)).compare_starts(steps=1)


def test_how_long_it_takes_is_reckoned_from_steps_that_were_taken():
    session = new_session()
    assert session.estimate_starts() is None
    session.step(EACH)
    cost = session._run.loop.evaluation_cost
    assert session.estimate_starts(2) == pytest.approx(3 * 2 * (EACH / session.progress()["rate"] + cost))
