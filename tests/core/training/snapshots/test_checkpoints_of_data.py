"""Checkpoints and data: what cannot be read from its place again costs an epoch's order, never the run."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Sampler, TensorDataset

from dlwidgets.session import Session

X = torch.randn(128, 8, generator=torch.Generator().manual_seed(1))
Y = torch.arange(128) % 3


class Reordered(Sampler):
    """Shuffles its list where it stands, with numbers that nobody can put back."""

    def __init__(self):
        self.order = list(range(128))

    def __len__(self):
        return 128

    def __iter__(self):
        random.SystemRandom().shuffle(self.order)
        return iter(list(self.order))


class InBatches(Reordered):
    def __len__(self):
        return 8

    def __iter__(self):
        order = list(super().__iter__())
        return iter([order[at : at + 16] for at in range(0, 128, 16)])


class Queue(IterableDataset):
    """Is empty once it was read, as a queue of messages is."""

    def __init__(self, count=128):
        self._count = count

    def __iter__(self):
        return ((X[i % 128], Y[i % 128]) for i in range(self._count))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def workers(data=None, **more):
    options = {"batch_size": 16, "shuffle": True, "num_workers": 1, "persistent_workers": True, **more}
    return DataLoader(data or TensorDataset(X, Y), **options)


def batches():
    return [(X[at : at + 16], Y[at : at + 16]) for at in range(0, 128, 16)]


def resumed(folder, then, now, steps=11, **options):
    made = Session(net(), then, epochs=3, checkpoint_dir=folder, **options)
    made.step(steps).save_checkpoint().close()
    return Session.from_checkpoint(folder, net(), now, epochs=3, **options)


LOST = {
    "a sampler with a state of its own": (
        lambda: DataLoader(TensorDataset(X, Y), 16, sampler=Reordered()), "another order when it is asked again",
    ),
    "the same, with workers": (
        lambda: workers(sampler=Reordered(), shuffle=None), "another order when it is asked again",
    ),
    "a data set that grew": (None, "had 128 samples and has 100 now"),
    "a list that is a loader now": (None, "of another kind than then: the epoch under way begins anew"),
    "a stream that has less": (None, "the data gives less when it is read again"),
    "a loader's stream that has less": (None, "fewer batches when it is read again"),
}  # fmt: skip
PAIRS = {
    "a data set that grew": lambda: ((X, Y), (X[:100], Y[:100])),
    "a list that is a loader now": lambda: (batches(), DataLoader(TensorDataset(X, Y), 16)),
    "a stream that has less": lambda: (Queue(), Queue(32)),
    "a loader's stream that has less": lambda: (DataLoader(Queue(), 16), DataLoader(Queue(32), 16)),
}


@pytest.mark.parametrize("name", LOST)
def test_a_place_that_cannot_be_had_costs_an_order_and_a_note(tmp_path, name):
    make, words = LOST[name]
    then, now = PAIRS[name]() if make is None else (make(), make())
    options = {"batch_size": 16} if name in ("a data set that grew", "a stream that has less") else {}
    other = resumed(tmp_path, then, now, **options)
    assert other.steps == 11 and [note for note in other.notes if words in note]
    if make is not None:
        other.step(13)
        assert (other.steps, other.epoch) == (24, 3)
    else:
        other.step(5)
    # What it goes on with can be saved and gone on with in its turn.
    other.save_checkpoint().close()
    assert Session.from_checkpoint(tmp_path, net(), now, epochs=3, **options).steps == other.steps


class Counting(Sampler):
    """Counts its epochs in private, and takes its indices, or batches of them, off a list."""

    def __init__(self, batched, known=True):
        self._epoch, self._left, self.batched, self.known = 0, [], batched, known

    def __len__(self):
        return 8 if self.batched else 128

    def __iter__(self):
        self._epoch += 1
        epoch = self._epoch if self.known else 10 * id(self)
        order = torch.randperm(128, generator=torch.Generator().manual_seed(epoch)).tolist()
        self._left[:] = [order[at : at + 16] for at in range(0, 128, 16)] if self.batched else order
        while self._left:
            yield self._left.pop()


@pytest.mark.parametrize("batched", [True, False])
def test_a_sampler_that_counts_in_private_goes_on_in_its_order(tmp_path, batched):
    def make():
        data, own = TensorDataset(X, Y), Counting(batched)
        return DataLoader(data, batch_sampler=own) if batched else DataLoader(data, 16, sampler=own)

    whole = Session(net(), make(), epochs=3).fit()
    other = resumed(tmp_path, make(), make())
    other.step(13)
    assert all(map(torch.equal, other.model.parameters(), whole.model.parameters()))


def test_a_batch_sampler_whose_order_cannot_be_had_again_is_told(tmp_path):
    then, now = (DataLoader(TensorDataset(X, Y), batch_sampler=Counting(True, known=False)) for _ in "ab")
    other = resumed(tmp_path, then, now)
    assert [note for note in other.notes if "the batch sampler gave other batches" in note]
    other.step(13)
    assert (other.steps, other.epoch) == (24, 3)


class Sized(TensorDataset):
    """Data that says how much of it is there."""

    def __init__(self, count):
        super().__init__(X, Y)
        self.count = count

    def __len__(self):
        return self.count


@pytest.mark.parametrize(("before", "after", "steps"), [(64, 128, 3), (128, 64, 8), (128, 64, 11)])
def test_data_that_grew_or_shrank_keeps_the_size_of_now(tmp_path, before, after, steps):
    then, now = Sized(before), Sized(after)
    other = resumed(tmp_path, *(DataLoader(one, 16, shuffle=True) for one in (then, now)), steps)
    assert len(now) == after
    other.step(after // 16)
    assert other.progress()["total"] is not None


def test_a_batch_sampler_of_ones_own_goes_on_with_as_many_batches(tmp_path):
    def make():
        return DataLoader(TensorDataset(X, Y), batch_sampler=InBatches())

    other = resumed(tmp_path, make(), make())
    other.step(13)
    assert (other.steps, other.epoch) == (24, 3)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [3, 11, 19])
@pytest.mark.parametrize("persistent", [True, False])
def test_workers_go_on_in_the_order_of_then_and_say_what_they_lost(tmp_path, steps, persistent):
    def make():
        generator = torch.Generator().manual_seed(4)
        return workers(generator=generator, persistent_workers=persistent)

    whole = Session(net(), make(), epochs=3)
    whole.step(24 if steps == 19 else 8 * (steps // 8 + 1))
    other = resumed(tmp_path, make(), make(), steps)
    other.step(whole.steps - steps)
    assert all(map(torch.equal, other.model.parameters(), whole.model.parameters()))
    lost = [note for note in other.notes if "workers of the DataLoader began their random numbers anew" in note]
    assert bool(lost) == (persistent and steps > 8)


def test_persistent_workers_can_be_rewound_after_their_first_epoch():
    made, whole = (Session(net(), workers(generator=torch.Generator().manual_seed(4)), epochs=3) for _ in "ab")
    made.step(15)
    made.rewind(11)
    made.step(3)
    whole.step(14)
    assert all(map(torch.equal, made.model.parameters(), whole.model.parameters()))


def test_a_generator_given_anew_is_read_up_to_where_the_first_was(tmp_path):
    whole = Session(net(), iter(batches() * 2), epochs=1).fit()
    other = resumed(tmp_path, iter(batches() * 2), iter(batches() * 2))
    assert not [note for note in other.notes if "generator" in note]
    other.step(5)
    assert all(map(torch.equal, other.model.parameters(), whole.model.parameters()))


def test_a_generator_that_gives_less_is_said(tmp_path):
    other = resumed(tmp_path, iter(batches() * 2), iter(batches()))
    assert [note for note in other.notes if "the generator gives fewer batches" in note]


def test_the_batch_of_a_failed_step_is_given_once_more(tmp_path):
    class Fails(nn.Linear):
        broken = False

        def forward(self, x):
            if self.broken:
                raise RuntimeError("broken")
            return super().forward(x)

    made = Session(Fails(8, 3), batches_loader(), epochs=3, checkpoint_dir=tmp_path)
    made.step(3)
    made.model.broken = True
    with pytest.raises(RuntimeError):
        made.step()
    made.save_checkpoint().close()
    other = Session.from_checkpoint(tmp_path, Fails(8, 3), batches_loader(), epochs=3)
    seen = []
    other.at_step(lambda: setattr(other._run.loop, "look", lambda batch, count: seen.append(batch[0])))
    other.step()
    assert torch.equal(seen[0], X[48:64])


def batches_loader():
    return DataLoader(TensorDataset(X, Y), batch_sampler=[list(range(at, at + 16)) for at in range(0, 128, 16)])
