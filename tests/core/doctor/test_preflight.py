"""The pre-flight: what it measures, and that a session that made it trains as one that did not, bit for bit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from dlwidgets import Session
from dlwidgets.core.base.random_state import RandomStates

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
Y = (X[:, :3]).argmax(1)


class Augmented(Dataset):
    """Draws from all three global generators and one of its own, and counts its reads."""

    def __init__(self) -> None:
        self.own, self.reads = np.random.default_rng(0), 0

    def __len__(self) -> int:
        return 64

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.reads += 1
        noise = torch.rand(()) + np.random.rand() + random.random() + self.own.random() + self.reads / 100
        return X[row] + noise.float(), Y[row]


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        for row in range(64):
            yield X[row] + torch.rand(()), Y[row]


DATA: dict[str, Callable[[], Any]] = {
    "rows": lambda: (X, Y),
    "dataset": Augmented,
    "loader": lambda: DataLoader(Augmented(), 16, shuffle=True),
    "loader with a generator": lambda: DataLoader(
        TensorDataset(X, Y), 16, shuffle=True, generator=torch.Generator().manual_seed(3)
    ),
    "stream": Stream,
    "loader of a stream": lambda: DataLoader(Stream(), 16),
    "list": lambda: [*zip(X.split(16), Y.split(16))],
    "generator": lambda: ((x, y) for x, y in zip(X.split(8), Y.split(8))),
}


class Net(nn.Sequential):
    """Has what a forward can change: dropout, running statistics, a count of its own."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
        self.calls: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls = [*self.calls, len(x)]
        return super().forward(x)


def trace(session: Session) -> dict[str, Any]:
    """Return all that a run leaves."""
    model, run = session.model, session._run
    return {
        "state": {name: one.clone() for name, one in model.state_dict().items()},
        "moments": [value for one in run.loop.optimizer.state.values() for value in one.values()],
        "modes": [one.training for one in model.modules()], "calls": model.calls,
        "gradients": [one.grad for one in model.parameters()],
        "hooks": [len(one._forward_hooks) + len(one._forward_pre_hooks) for one in model.modules()],
        "losses": session.history()["loss"].tolist(), "notes": session.notes, "ledger": len(session.ledger()),
        "steps": session.steps, "lines": session.branches,
    }  # fmt: skip


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def run(data: Callable[[], Any], diagnosed: bool, **options: Any) -> tuple[dict, dict, Any, Session]:
    """Return what a session leaves before and after five steps, and the random numbers of its owner."""
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(0)
    session = Session(Net(), data(), batch_size=options.pop("batch_size", None), **options)
    if diagnosed:
        session.diagnose()
    before, drawn = trace(session), RandomStates.capture()
    session.step(5)
    return before, trace(session), (drawn.torch_cpu.tolist(), drawn.numpy[1].tolist(), drawn.python), session


QUICK = ("rows", "loader", "generator")


@pytest.mark.parametrize("name", [pytest.param(one, marks=() if one in QUICK else pytest.mark.slow) for one in DATA])
def test_it_leaves_no_trace(name):
    before, after, drawn, session = run(DATA[name], True)
    plain = run(DATA[name], False)
    assert same(before, plain[0])
    assert same(after, plain[1])
    assert drawn == plain[2]
    assert len(session._run.attendant.preflight.losses) > 20


class Adversary:
    """A step that moves a model of its own and counts."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.judge, self.count = nn.Linear(3, 1), 0
        self.optimizer = torch.optim.Adam(self.judge.parameters(), lr=0.1)

    def __call__(self, model: nn.Module, batch: Any) -> torch.Tensor:
        inputs, targets = batch
        self.count += 1
        output = model(inputs)
        self.optimizer.zero_grad()
        self.judge(output.detach()).mean().backward()
        self.optimizer.step()
        return nn.functional.cross_entropy(output, targets) + self.judge(output).mean() / self.count


def test_what_a_training_step_moves_and_counts_is_given_back():
    steps = Adversary(), Adversary()
    made = run(DATA["rows"], True, training_step=steps[0])
    plain = run(DATA["rows"], False, training_step=steps[1])
    assert same(made[1], plain[1]) and made[2] == plain[2]
    assert steps[0].count == steps[1].count == 5
    assert torch.equal(steps[0].judge.weight, steps[1].judge.weight)


class Unzeroed(Adversary):
    """Forgets to zero the gradients of its own model."""

    def __init__(self) -> None:
        super().__init__()
        self.optimizer.zero_grad = lambda: None


def test_gradients_that_a_step_never_zeroes_are_given_back():
    steps = Unzeroed(), Unzeroed()
    assert same(run(DATA["rows"], True, training_step=steps[0])[1], run(DATA["rows"], False, training_step=steps[1])[1])
    assert torch.equal(steps[0].judge.weight, steps[1].judge.weight)
    assert torch.equal(steps[0].judge.weight.grad, steps[1].judge.weight.grad)


def test_a_step_that_knows_the_model_by_another_way_does_not_move_it():
    model = Net()
    before = {name: one.clone() for name, one in model.state_dict().items()}

    def step(given: nn.Module, batch: Any) -> torch.Tensor:
        with torch.no_grad():
            model[0].weight += 1
        return nn.functional.cross_entropy(given(batch[0]), batch[1]) + 0 * model(batch[0]).sum()

    Session(model, (X, Y), training_step=step).diagnose()
    assert same(before, dict(model.state_dict()))


def test_the_first_loss_is_that_of_the_model_as_it_is():
    torch.manual_seed(0)
    model = nn.Linear(8, 3)
    session = Session(model, (X, Y))
    session.diagnose()
    inputs, targets = session._run.loop.batches.preview(16)
    loss = nn.functional.cross_entropy(model(inputs), targets)
    assert session._run.attendant.preflight.losses[0] == loss.item()


def test_the_least_loss_of_a_constant_is_the_entropy_of_the_classes():
    session = Session(nn.Linear(8, 3), (X, Y))
    session.diagnose()
    shares = session._run.loop.batches.preview(16)[1].bincount(minlength=3) / 16
    entropy = float(torch.distributions.Categorical(shares).entropy())
    assert session._run.attendant.preflight.floor == pytest.approx(entropy, abs=0.02)


def test_it_is_the_entropy_where_the_model_puts_out_log_probabilities_too():
    plain, logs = Session(nn.Linear(8, 3), (X, Y)), nn.Sequential(nn.Linear(8, 3), nn.LogSoftmax(1))
    other = Session(logs, (X, Y), loss="nll")
    for session in (plain, other):
        session.diagnose()
    floors = [session._run.attendant.preflight.floor for session in (plain, other)]
    assert floors[0] == pytest.approx(floors[1], abs=0.02)


def test_it_is_made_before_the_first_step_alone():
    session = Session(nn.Linear(8, 3), (X, Y)).step(1)
    table = session.diagnose().set_index("check")
    assert "before the first step" in table.loc["batch_not_learnt", "what"]


def test_what_could_not_be_tried_is_said_with_why():
    class Single(nn.Linear):
        def __deepcopy__(self, memo):
            return self

    session = Session(nn.Sequential(Single(8, 3)), (X, Y), training_step=lambda model, batch: model(batch[0]).mean())
    table = session.diagnose().set_index("check")
    assert (table.loc[["batch_not_learnt", "samples_mixed"], "outcome"] == "not run").all()
    assert "the same object again" in table.loc["batch_not_learnt", "what"]
    assert "training_step" in table.loc["samples_mixed", "what"]


@pytest.mark.slow
def test_a_slow_model_is_left_alone():
    class Slow(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            time.sleep(0.1)
            return super().forward(x)

    session = Session(Slow(8, 3), (X, Y))
    began = time.perf_counter()
    table = session.diagnose().set_index("check")
    assert time.perf_counter() - began < 5
    assert "slow" in table.loc["batch_not_learnt", "what"]


@pytest.mark.parametrize(
    ("gain", "last", "rule"), [(1.0, nn.Softmax(1), "last_layer"), (50.0, nn.Identity(), "initial_loss")]
)
def test_a_last_layer_and_a_first_loss_are_judged_before_the_first_step(gain, last, rule):
    torch.manual_seed(0)
    head = nn.Linear(16, 3)
    with torch.no_grad():
        head.weight.mul_(gain)
    session = Session(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), head, last), (X, Y), loss=nn.CrossEntropyLoss())
    table = session.diagnose().set_index("check")
    assert (table.loc[rule, "outcome"], session.steps, session.layer_stats) == ("found", 0, None)
