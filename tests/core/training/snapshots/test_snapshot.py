"""States of the parts of a run: copied, shared where nothing changed, and put back bit for bit."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, WeightedRandomSampler

from dlwidgets.core.base.random_state import Generators, RandomStates
from dlwidgets.core.base.state import Reference, StateCopier, same_bits, same_state
from dlwidgets.core.data.batches import IndexedBatches
from dlwidgets.core.data.loader import LoaderBatches
from dlwidgets.core.data.source import Rows
from dlwidgets.core.data.stream import StreamBatches

# -- copies


def test_a_copy_is_not_changed_by_what_changes_later():
    state = {"a": torch.ones(3), "b": [np.ones(2), (1, "x", None)], "c": {"d": torch.zeros(())}}
    copy = StateCopier()(state)
    state["a"].add_(1), state["b"][0].fill(7), state["c"]["d"].fill_(9)
    before = {"a": torch.ones(3), "b": [np.ones(2), (1, "x", None)], "c": {"d": torch.zeros(())}}
    assert same_state(copy, before)


def test_tensors_that_did_not_change_are_shared():
    copier, frozen, moved = StateCopier(), torch.randn(4), torch.randn(4)
    first = copier([frozen, moved])
    moved.add_(1)
    assert copier.new_bytes([frozen, moved]) == moved.nbytes
    second = copier([frozen, moved])
    assert first[0] is second[0]
    assert first[1] is not second[1]


@pytest.mark.parametrize("write", [lambda t: t.data.mul_(2), lambda t: t.numpy().__imul__(2)])
def test_what_is_written_behind_the_version_is_seen(write):
    copier, tensor = StateCopier(), torch.arange(4.0)
    copier(tensor)
    write(tensor)
    assert copier(tensor).tolist() == [0, 2, 4, 6]


def test_a_new_tensor_in_the_place_of_an_old_one_is_not_taken_for_it():
    copier, kept = StateCopier(), []
    for value in range(200):
        tensor = torch.full((8,), float(value))
        kept.append(copier(tensor))
        del tensor
    assert [int(one[0]) for one in kept] == list(range(200))


def test_bits_are_compared_and_not_numbers():
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert same_bits(torch.tensor([float("nan")]), torch.tensor([float("nan")]))
    assert not same_bits(torch.zeros(2), torch.zeros(2, dtype=torch.float64))
    assert same_bits(torch.zeros(2, dtype=torch.complex64), torch.zeros(2, dtype=torch.complex64))


def test_what_is_kept_by_reference_stays_the_same_object():
    model = nn.Linear(2, 2)
    assert StateCopier()({"m": Reference(model)})["m"].value is model


# -- generators that things hold


class Augments:
    def __init__(self):
        self.rng = np.random.default_rng(3)
        self.parts = [random.Random(4), {"g": torch.Generator().manual_seed(5)}, np.random.RandomState(6)]
        self.itself = self

    def draw(self):
        return (
            self.rng.random(), self.parts[0].random(), torch.rand((), generator=self.parts[1]["g"]).item(),
            self.parts[2].rand(),
        )  # fmt: skip


def test_the_generators_that_an_object_holds_are_found_and_put_back():
    owner = Augments()
    found = Generators(owner)
    owner.draw()
    state = StateCopier()(found.state())
    drawn = owner.draw(), owner.draw()
    found.install(state.value if isinstance(state, Reference) else state)
    assert (owner.draw(), owner.draw()) == drawn


# -- the place in the data


class Drawing(Dataset):
    """Samples with random numbers of numpy, python and torch in them."""

    def __len__(self):
        return 50

    def __getitem__(self, i):
        drawn = np.random.randint(1000), random.randrange(1000), torch.randint(1000, ()).item()
        return torch.tensor([i, *drawn])


class Owning(Dataset):
    def __init__(self):
        self.rng = np.random.default_rng(1)

    def __len__(self):
        return 50

    def __getitem__(self, i):
        return torch.tensor([i, int(self.rng.integers(1000))])


class Stream(IterableDataset):
    def __iter__(self):
        for i in torch.randperm(50).tolist():
            yield torch.tensor([i, np.random.randint(1000)])


class OwnBatches:
    def __iter__(self):
        return iter(torch.randperm(50).split(8))

    def __len__(self):
        return 7


def loader(dataset=Drawing, **options):
    return LoaderBatches(DataLoader(dataset(), **({"batch_size": 8, "shuffle": True} | options)))


SOURCES = {
    "rows": lambda: IndexedBatches(Rows(torch.arange(50.0)[:, None], torch.arange(50)), 8, 0),
    "dataset": lambda: IndexedBatches(Drawing(), 8, 0),
    "dataset with a generator": lambda: IndexedBatches(Owning(), 8, 0),
    "loader": loader,
    "loader with a generator": lambda: loader(generator=torch.Generator().manual_seed(3)),
    "loader of a dataset with a generator": lambda: loader(Owning),
    "loader that drops": lambda: loader(drop_last=True),
    "weighted": lambda: loader(shuffle=False, sampler=WeightedRandomSampler(torch.ones(50), 50)),
    "with replacement": lambda: loader(
        shuffle=False, sampler=torch.utils.data.RandomSampler(Drawing(), replacement=True, num_samples=60)
    ),
    "loader with workers": lambda: loader(num_workers=2),
    "own batches": lambda: LoaderBatches(DataLoader(Drawing(), batch_sampler=OwnBatches())),
    "own batches with workers": lambda: LoaderBatches(
        DataLoader(Drawing(), batch_sampler=OwnBatches(), num_workers=2)
    ),
    "stream": lambda: StreamBatches(Stream(), 8),
    "loader of a stream": lambda: loader(Stream, shuffle=False),
    "loader of a stream with a worker": lambda: loader(Stream, shuffle=False, num_workers=1),
    "list": lambda: StreamBatches([torch.full((3,), i) for i in range(7)], 8),
}  # fmt: skip


def taken(batches, count):
    """Return the next batches as lists, drawing from torch's generator in between, as dropout does."""
    found = []
    while len(found) < count:
        batch = batches.take()
        torch.rand(3)
        if batch is not None:
            found.append((batch[0] if isinstance(batch, (tuple, list)) else batch).tolist())
    return found


def seed():
    torch.manual_seed(0), np.random.seed(0), random.seed(0)


#: How many batches are taken before a place, and the size of batches from there on.
PLACES = ((3, 5), (6, None), (0, None), (4, None), (1, 8), (4, None))
#: Processes are started at each place; test_a_batch_that_was_put_back... has them quickly.
BY_WORKERS = [name for name in SOURCES if "worker" in name]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in BY_WORKERS else name for name in SOURCES]
)
def test_from_any_place_in_the_data_the_same_batches_follow_again(name):
    batches = SOURCES[name]()
    seed()
    try:
        # After another size, in mid-epoch, at and behind the ends of epochs, before the first.
        for more, size in PLACES[:2] if name in BY_WORKERS else PLACES:
            taken(batches, more)
            if size and batches.why_not(size) is None:
                batches.batch_size = size
                taken(batches, 1)
            state, streams = StateCopier()(batches.state()), RandomStates.capture()
            follow = taken(batches, 14)
            assert batches.install(state) is None
            streams.install()
            assert taken(batches, 14) == follow
            # And from where it was taken to, once more: the place is whole.
            assert batches.install(state) is None
            streams.install()
            assert taken(batches, 3) == follow[:3]
    finally:
        batches.close()


@pytest.mark.parametrize("name", ["rows", "loader", "loader with workers", "list", "stream"])
def test_a_batch_that_was_put_back_comes_again_after_going_back(name):
    batches = SOURCES[name]()
    seed()
    try:
        taken(batches, 3)
        batches.take()
        batches.put_back()
        state, streams = StateCopier()(batches.state()), RandomStates.capture()
        follow = [row[0] if isinstance(row, list) else row for batch in taken(batches, 3) for row in batch]
        batches.install(state)
        streams.install()
        again = [row[0] if isinstance(row, list) else row for batch in taken(batches, 3) for row in batch]
        assert again == follow
    finally:
        batches.close()


def test_a_generator_says_that_it_cannot_go_back_and_stays_where_it_is():
    batches = StreamBatches((torch.full((2,), i) for i in range(9)), 2)
    taken(batches, 2)
    state = StateCopier()(batches.state())
    assert batches.install(state) is None  # nowhere else
    taken(batches, 2)
    with pytest.raises(ValueError, match="can be read once only"):
        batches.install(state)
    assert taken(batches, 1) == [[4, 4]]


class Moody:
    """A sampler whose order nobody can ask for again."""

    def __init__(self):
        self.calls = []

    def __iter__(self):
        self.calls.append(1)
        return iter([(i * (2 * len(self.calls) - 1)) % 50 for i in range(50)])

    def __len__(self):
        return 50


def test_a_sampler_that_gives_another_order_is_found_out_and_the_place_stays():
    batches = LoaderBatches(DataLoader(Drawing(), 8, sampler=Moody()))
    taken(batches, 2)
    state = StateCopier()(batches.state())
    taken(batches, 1)
    with pytest.raises(ValueError, match="gives another order"):
        batches.install(state)
    assert [row[0] for row in taken(batches, 1)[0]] == list(range(24, 32))


class Changing(IterableDataset):
    def __init__(self):
        self._reads = [0]

    def __iter__(self):
        self._reads[0] += 1
        return iter([torch.tensor([i * self._reads[0]]) for i in range(50)])


def test_data_that_reads_otherwise_the_second_time_is_said():
    for batches in (StreamBatches(Changing(), 8), loader(Changing, shuffle=False)):
        taken(batches, 3)
        state = StateCopier()(batches.state())
        taken(batches, 1)
        assert "other samples" in batches.install(state)
