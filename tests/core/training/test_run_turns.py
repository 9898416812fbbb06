"""Several runs in one kernel: each draws the random numbers that it draws alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import dlwidgets
from dlwidgets.session import Session

X, Y = torch.randn(48, 6, generator=torch.Generator().manual_seed(0)), torch.arange(48) % 3


def net():
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(6, 32), nn.Dropout(0.5), nn.Linear(32, 3))


class Noisy(Dataset):
    """Draws from numpy's and Python's generators for every sample, as augmentations do."""

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i] * np.float32(np.random.uniform(0.5, 1.5)) + random.gauss(0, 0.1), Y[i]


def noisy(seed):
    return Session(net(), DataLoader(Noisy(), 8, shuffle=True), epochs=12, optimizer="sgd", lr=0.1, seed=seed)


def plain_loop(seed):
    """Train as `Session(net(), (X, Y), batch_size=8, epochs=12, "sgd", lr=0.1, seed=seed)` says it does."""
    model = net()
    torch.manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    order = torch.Generator().manual_seed(seed)
    for _ in range(12):
        for rows in torch.randperm(48, generator=order).split(8):
            loss = nn.functional.cross_entropy(model(X[rows]), Y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return list(model.parameters())


def wait(*sessions):
    for one in sessions:
        one._run.worker.wait()


def same(one, other):
    return all(map(torch.equal, one, other))


def test_runs_at_once_take_the_steps_of_a_plain_loop_each():
    made = [
        Session(net(), (X, Y), batch_size=8, epochs=12, optimizer="sgd", lr=0.1, seed=seed, threads=1)
        for seed in (1, 2, 3)
    ]
    [one.start() for one in made]
    wait(*made)
    for seed, one in zip((1, 2, 3), made):
        assert same(one.model.parameters(), plain_loop(seed))


def test_augmentations_draw_what_they_draw_alone():
    alone = [noisy(seed).fit() for seed in (1, 2)]
    both = [noisy(seed) for seed in (1, 2)]
    [one.start() for one in both]
    wait(*both)
    for one, other in zip(alone, both):
        assert same(one.model.parameters(), other.model.parameters())


def test_the_generators_are_given_back_once_all_rest():
    made = [noisy(1), noisy(2)]
    torch.manual_seed(77), np.random.seed(77), random.seed(77)
    expected = torch.rand(3), np.random.rand(3), [random.random() for _ in range(3)]
    torch.manual_seed(77), np.random.seed(77), random.seed(77)
    [one.start() for one in made]
    wait(*made)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])
    assert [random.random() for _ in range(3)] == expected[2]


#: What a cell may do; the weights of a new model would come from the global generators, as in any loop.
WORK = {
    "makes a session": lambda model: Session(model, (X, Y), valid=0.25),
    "describes a model": lambda model: dlwidgets.summary(model, X),
    "evaluates a model": lambda model: Session(model, (X, Y), (X, Y)).evaluate(),
}


@pytest.mark.slow
@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_what_a_cell_does_meanwhile_draws_from_no_run(work):
    alone, meanwhile, model = noisy(4), noisy(4), net()
    alone.fit()
    meanwhile.start()
    times = 0
    while meanwhile.status == "running":
        work(model)
        times += 1
    assert times
    assert same(alone.model.parameters(), meanwhile.model.parameters())


def test_an_observer_of_one_run_may_ask_another_that_waits_for_its_turn():
    asked = Session(net(), (X, Y), (X, Y))
    made, found = noisy(1), []
    made.observe(lambda change: found.append(asked.evaluate().loss), names=["epoch"])
    made.start()
    wait(made)
    assert made.status == "done" and found


def test_another_run_takes_steps_between_the_batches_of_a_prediction():
    made, asked, seen = noisy(1), Session(net(), (X, Y)), []
    made.epochs = 10**6
    asked.model.register_forward_hook(lambda *_: seen.append(made.steps))
    made.start()
    asked.predict(X, batch_size=4)
    made.stop()
    assert seen[-1] > seen[-12]


def test_a_run_is_paused_while_another_trains():
    one, other = noisy(1), noisy(2)
    one.epochs = other.epochs = 10**6
    one.start(), other.start()
    one.pause()
    assert (one.status, other.status) == ("paused", "running")
    other.stop()
    assert one.resume().stop().status == "stopped"
