"""What a session leaves as it was when nothing runs: flags of modules, random numbers, threads, device."""

from __future__ import annotations

import asyncio
import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

from dlwidgets.core.base.random_state import StrayDraws
from dlwidgets.session import Session

X, Y = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.drop, self.b = (
            nn.Linear(6, 8),
            nn.BatchNorm1d(8),
            nn.Dropout(0.3),
            nn.Linear(8, 3),
        )
        self.seen, self.fails = [], False

    def forward(self, x):
        if self.training:
            self.seen.append((torch.get_num_threads(), x.device.type, torch.is_grad_enabled()))
            if self.fails:
                raise RuntimeError("as told")
        return self.b(self.drop(self.norm(self.a(x))))


def draws():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random(), np.random.randn()


def failing(made):
    made.model.fails = True
    with pytest.raises(RuntimeError):
        made.fit()


def in_the_background(made):
    made.start()
    asyncio.run(made.done())


def paused(made):
    made.start()
    made.pause()


def stopped(made):
    made.start()
    made.stop()


AFTER = {
    "fit": lambda made: made.fit(),
    "step": lambda made: made.step(2),
    "pause": paused,
    "stop": stopped,
    "done in the background": in_the_background,
    "failure": failing,
    "evaluate": lambda made: made.evaluate(),
    "predict": lambda made: made.predict(X),
    "layers": lambda made: made.layers(),
    "a job": lambda made: made.at_step(
        lambda: (draws(), made.model.eval(), torch.set_num_threads(1))
    ).result(),
    "a job that fails": lambda made: made.at_step(lambda: 1 / 0).exception(20),
    "skip": lambda made: made.skip(),
    "close": lambda made: made.close(),
}


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("before", [None, "step"])
def test_all_is_as_it_was_left(after, before):
    model = Net()
    made = Session(model, (X, Y), (X, Y), batch_size=8, epochs=2)
    if before:
        made.step()
    model.eval()
    model.norm.train()
    flags = [module.training for module in model.modules()]
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    expected = draws()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    AFTER[after](made)
    assert [module.training for module in model.modules()] == flags
    assert draws() == expected
    assert torch.get_num_threads() == threads
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert torch.is_grad_enabled()


def test_training_uses_the_threads_that_were_chosen_and_gives_them_back():
    made = Session(Net(), (X, Y), epochs=1, threads=3)
    before = torch.get_num_threads()
    made.fit()
    assert {count for count, *_ in made.model.seen} == {3}
    assert torch.get_num_threads() == before
    assert made.threads == made.applied["threads"] == 3


def test_the_threads_may_change_while_it_trains_and_are_given_back():
    made, before = Session(Net(), (X, Y), batch_size=8, epochs=1, threads=2), torch.get_num_threads()
    for count in (2, 1, 3, None):
        made.threads = count
        made.step(2)
        assert torch.get_num_threads() == before
    usual = Session(Net(), (X, Y)).applied["threads"]
    assert [count for count, *_ in made.model.seen] == [2, 2, 1, 1, 3, 3, usual, usual]
    changes = made.ledger()
    assert list(zip(changes.step, changes.name, changes.applied)) == [
        (2, "threads", 1), (4, "threads", 3), (6, "threads", usual),
    ]  # fmt: skip
    assert "another order" in changes.note[0]


def test_a_change_of_threads_is_that_of_the_plain_loop():
    def model():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 1))

    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.randn(256, 512, generator=generator), torch.randn(256, 1, generator=generator)
    plain, before = model(), torch.get_num_threads()
    optimizer, order = torch.optim.SGD(plain.parameters(), lr=0.01), torch.Generator().manual_seed(0)
    torch.set_num_threads(2)
    torch.manual_seed(0)
    for step, index in enumerate(torch.randperm(256, generator=order).split(32)):
        if step == 4:
            torch.set_num_threads(1)
        nn.functional.mse_loss(plain(inputs[index]), targets[index]).backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.set_num_threads(before)

    made = Session(model(), (inputs, targets), optimizer="sgd", lr=0.01, threads=2)
    made.step(4)
    made.threads = 1
    made.step(4)
    for ours, theirs in zip(made.model.parameters(), plain.parameters()):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("wanted", [0, -1, 1.5, "2", True, 10**6])
def test_threads_that_no_machine_could_run_are_refused_and_the_old_count_stays(wanted):
    made = Session(Net(), (X, Y), threads=2)
    with pytest.raises(ValueError, match="threads=.* a whole number of threads, 1 to .*, is wanted"):
        made.threads = wanted
    assert made.threads == 2


def test_training_has_gradients_even_where_the_caller_has_none():
    with torch.no_grad():
        made = Session(Net(), (X, Y), epochs=1).fit()
    assert {grad for *_, grad in made.model.seen} == {True}


def test_what_a_person_draws_between_steps_changes_nothing():
    runs = []
    for meddling in (False, True):
        torch.manual_seed(0)
        made = Session(Net(), (X, Y), batch_size=8, epochs=1)
        for _ in range(5):
            made.step()
            if meddling:
                torch.manual_seed(99), draws()
        runs.append(made.model.a.weight.clone())
    assert torch.equal(*runs)


def test_modules_may_be_changed_while_nothing_runs():
    made = Session(Net(), (X, Y), batch_size=8, epochs=1)
    made.step(2)
    made.model.drop = nn.Dropout(0.9)
    made.model.drop.eval()
    made.fit()
    assert not made.model.drop.training


def test_gradients_and_hooks_of_a_person_survive_a_look():
    model = Net()
    made = Session(model, (X, Y), (X, Y))
    model.train()(X).sum().backward()
    kept, calls = [p.grad.clone() for p in model.parameters()], []
    handle = model.a.register_forward_hook(lambda *_: calls.append(1))
    made.evaluate(), made.predict(X), made.layers()
    assert all(torch.equal(p.grad, grad) for p, grad in zip(model.parameters(), kept))
    assert len(model.a._forward_hooks) == 1
    assert calls
    handle.remove()


def test_a_cell_that_draws_while_a_run_with_dropout_trains_is_told():
    said = []
    for disturb in (lambda: None, lambda: torch.rand(3)):
        made = Session(Net(), (X, Y), batch_size=10, epochs=10**6).start()
        found = []
        for until in range(60, 260, 10):
            while made.steps < until:
                threading.Event().wait(0.001)
            found = [note for note in made.notes if "drawn beside the training" in note]
            if found:
                break
            disturb()  # what falls into a look, which puts the random numbers back, disturbs nothing
        made.close()
        said.append(found)
    assert said[0] == [] and len(said[1]) == 1


@pytest.mark.parametrize("stretch", [lambda n: 16, lambda n: n % 2])
def test_strange_draws_are_found_and_those_of_the_training_are_not(stretch):
    found, watch = [], StrayDraws()
    with torch.random.fork_rng():
        for step in range(120):
            torch.rand(700 if stretch(step) else 3)  # more than a block of the generator, and less
            if step == 90:
                torch.rand(1)
            if watch.passed(torch.get_rng_state(), stretch(step)):
                found.append(step)
    assert found == [90]
