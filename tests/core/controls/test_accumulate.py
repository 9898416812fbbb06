"""Accumulated gradients: those of the plain loop, and no sample is lost."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dlwidgets.core.controls.accumulate import divisors
from dlwidgets.session import Session
from tests.core.controls.by_hand import COUNT, SIZE, X, Y, net, plain, same, session, sgd


@pytest.mark.parametrize("count", [2, 3, 4, 7, 100])
def test_accumulated_gradients_are_those_of_the_plain_loop(count):
    made = session(accumulate=count).fit()
    same(made.model, plain(accumulate=count))
    assert made.steps == 2 * -(-7 // count)
    assert made.applied["effective_batch"] == SIZE * count
    frame = made.history()
    assert frame.groupby("epoch").batch_size.sum().tolist() == [COUNT, COUNT]
    assert made.progress()["total"] == made.steps


@pytest.mark.parametrize("make", [
    lambda d: DataLoader(d, SIZE, shuffle=True, generator=torch.Generator().manual_seed(3)),
    lambda d: [(X[i : i + SIZE], Y[i : i + SIZE]) for i in range(0, COUNT, SIZE)],
    lambda d: iter([(X[i : i + SIZE], Y[i : i + SIZE]) for i in range(0, COUNT, SIZE)]),
], ids=["loader", "list", "generator"])  # fmt: skip
def test_any_source_is_accumulated_to_its_end(make):
    made = Session(net(), make(TensorDataset(X, Y)), optimizer=sgd, accumulate=3, epochs=1).fit()
    assert made.history().batch_size.tolist() == [24, 24, 2]
    assert made.status == "done"


def test_a_source_that_ends_only_by_its_end_is_accumulated_alike_in_each_epoch():
    class Stream:
        def __iter__(self):
            return ((X[i : i + SIZE], Y[i : i + SIZE]) for i in range(0, COUNT, SIZE))

    made = Session(net(), Stream(), optimizer=sgd, accumulate=3, epochs=2).fit()
    assert made.history().batch_size.tolist() == [24, 24, 2] * 2


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
@settings(deadline=None)
def test_the_loss_of_a_step_is_the_mean_over_all_its_samples(lengths, seed):
    losses = torch.rand(sum(lengths), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    parts = losses.split(lengths)
    together = sum(part.mean() / d for part, d in zip(parts, divisors([(part,) for part in parts])[0]))
    torch.testing.assert_close(together, losses.mean())


def test_without_randomness_accumulating_is_a_larger_batch():
    def straight():
        torch.manual_seed(2)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 4))

    small, large = session(straight(), accumulate=4).fit(), session(straight(), batch_size=4 * SIZE).fit()
    for left, right in zip(small.model.parameters(), large.model.parameters()):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


class Fails(nn.Module):
    """Raises in the forward passes whose number it is given."""

    def __init__(self, at=()):
        super().__init__()
        self.at, self.calls = set(at), 0

    def forward(self, x):
        if self.training:
            self.calls += 1
            if self.calls in self.at:
                raise RuntimeError("boom")
        return x


@pytest.mark.parametrize("at", [{1}, {2}, {3}, {7}, {8, 11}, {7, 9}])
def test_a_micro_batch_that_fails_puts_its_whole_group_back(at):
    made = session(nn.Sequential(net(), Fails(at)), accumulate=3)
    failures = 0
    while made.status != "done":
        try:
            made.fit()
        except RuntimeError:
            failures += 1
    assert failures == len(at)
    same(made.model, plain(nn.Sequential(net(), Fails()), accumulate=3))


def test_a_group_that_failed_comes_in_smaller_pieces_where_the_batch_size_was_lowered():
    made = session(nn.Sequential(net(), Fails({2})), accumulate=2, epochs=1)
    with pytest.raises(RuntimeError):
        made.step()
    made.batch_size = 4
    made.fit()
    frame = made.history()
    assert frame.batch_size.sum() == COUNT and frame.batch_size.max() == 8


def test_accumulation_changes_in_mid_epoch_and_no_sample_is_lost():
    made = session(epochs=1)
    made.step(2)
    made.accumulate = 3
    made.step()
    made.accumulate = 1
    made.fit()
    assert made.history().batch_size.tolist() == [8, 8, 24, 8, 2]
    assert made.ledger().note.tolist()[:1] == ["24 samples a step"]
