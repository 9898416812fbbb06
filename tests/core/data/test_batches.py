"""Batches of rows, Datasets, DataLoaders and iterables: each sample once an epoch, whatever their sizes."""

from __future__ import annotations

import copy
import gc
import io
import itertools
import random
import time
from collections import Counter, UserDict, deque
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    TensorDataset,
    default_collate,
)
from torch.utils.data._utils import MP_STATUS_CHECK_INTERVAL

from dlwidgets.core.base.trees import tree_map
from dlwidgets.core.data.batches import IndexedBatches, batch_length
from dlwidgets.core.data.loader import LoaderBatches
from dlwidgets.core.data.source import Rows
from dlwidgets.core.data.stream import StreamBatches
from dlwidgets.session import Session

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")


class Numbers(Dataset):
    """Sample i is the number i; those in `bad` raise."""

    def __init__(self, count):
        self.count, self.bad = count, set()

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        if i in self.bad:
            raise OSError(f"sample {i} cannot be read")
        return torch.tensor(i), torch.tensor(-i)


class Stream(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        return iter([(torch.tensor(i), torch.tensor(-i)) for i in range(self.count)])


def numbers(count):
    return Rows(torch.arange(count), -torch.arange(count))


def values(batch):
    inputs, targets = batch
    assert torch.equal(targets, -inputs)
    return inputs.tolist()


def epoch_of(batches):
    """Take what is left of the epoch."""
    found = []
    while True:
        batch = batches.take()
        if batch is None:
            return found
        found.append(values(batch))
        if batches.over:
            return found


SOURCES = {
    "rows": lambda n, size, drop: IndexedBatches(numbers(n), size, seed=3),
    "rows in order": lambda n, size, drop: IndexedBatches(numbers(n), size, seed=3, shuffle=False),
    "dataset": lambda n, size, drop: IndexedBatches(Numbers(n), size, seed=3),
    "loader": lambda n, size, drop: LoaderBatches(DataLoader(Numbers(n), size, shuffle=True, drop_last=drop)),
    "loader in order": lambda n, size, drop: LoaderBatches(DataLoader(Numbers(n), size, drop_last=drop)),
    "stream": lambda n, size, drop: StreamBatches(Stream(n), size),
}


@pytest.mark.parametrize("kind", SOURCES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_sample_is_lost_or_seen_twice_however_the_size_changes(kind, data):
    drop = data.draw(st.booleans(), "drop_last") and "loader" in kind
    count = data.draw(st.integers(1, 40), "samples")
    batches = SOURCES[kind](count, data.draw(st.integers(1, count), "size"), drop)
    for _ in range(3):
        seen = Counter()
        while True:
            what = data.draw(st.sampled_from(["take", "take", "resize", "put back"]))
            if what == "resize":
                size = data.draw(st.integers(1, count + 3))
                if batches.why_not(size) is None:
                    batches.batch_size = size
                continue
            batch = batches.take()
            if batch is None:
                break
            found = values(batch)
            assert len(found) <= batches.batch_size
            if what == "put back":
                batches.put_back()
                assert not batches.over
                continue
            seen.update(found)
            if batches.over:
                break
        assert set(seen.values()) <= {1}
        assert set(seen) <= set(range(count))
        if drop:
            assert count - len(seen) < batches.batch_size
        else:
            assert len(seen) == count


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if kind != "stream"])
@given(
    count=st.integers(1, 30), size=st.integers(1, 30), resized=st.integers(1, 30), before=st.integers(0, 5)
)
@settings(max_examples=20, deadline=None)
def test_the_steps_left_are_the_steps_that_come(kind, count, size, resized, before):
    batches = SOURCES[kind](count, min(size, count), False)
    assert batches.steps_in_epoch() == len(epoch_of(batches))
    assert not batches.midway
    for _ in range(before):
        batches.take()
    batches.batch_size = resized
    if batches.midway:
        left = batches.steps_left()
        assert left == len(epoch_of(batches))


def test_rows_come_in_the_order_of_randperm_with_one_generator():
    batches, generator = IndexedBatches(numbers(10), 4, seed=7), torch.Generator().manual_seed(7)
    for _ in range(3):
        order = torch.randperm(10, generator=generator)
        assert epoch_of(batches) == [index.tolist() for index in order.split(4)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("count", [12, 13])
@pytest.mark.parametrize("drop", [False, True])
def test_a_loader_gives_what_a_plain_loop_over_it_gives(workers, count, drop):
    def loader():
        return DataLoader(
            Numbers(count),
            4,
            shuffle=True,
            generator=torch.Generator().manual_seed(1),
            num_workers=workers,
            drop_last=drop,
        )

    plain, batches = loader(), LoaderBatches(loader())
    for _ in range(3):
        assert epoch_of(batches) == [values(batch) for batch in plain]


def test_a_loader_without_a_generator_draws_from_the_global_one_as_a_plain_loop_does():
    torch.manual_seed(5)
    plain = [
        [values(batch) for batch in loader] + [torch.rand(1).item()]
        for loader in [DataLoader(Numbers(9), 3, shuffle=True)] * 3
    ]
    torch.manual_seed(5)
    batches = LoaderBatches(DataLoader(Numbers(9), 3, shuffle=True))
    assert [[*epoch_of(batches), torch.rand(1).item()] for _ in range(3)] == plain


def test_the_loader_itself_is_left_alone():
    loader = DataLoader(Numbers(10), 4)
    batches = LoaderBatches(loader)
    batches.take()
    batches.batch_size = 2
    assert (loader.batch_size, loader.batch_sampler.batch_size) == (4, 4)
    assert [values(batch) for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("taken", [1, 4])
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_end_at_once_where_what_reads_them_is_found_in_a_cycle(persistent, taken):
    others = {*torch.multiprocessing.active_children()}
    batches = LoaderBatches(DataLoader(Numbers(4), 1, num_workers=1, persistent_workers=persistent))
    for _ in range(taken):
        batches.take()
    [worker] = {*torch.multiprocessing.active_children()} - others
    batches.itself = batches
    del batches
    begun = time.monotonic()
    gc.collect()
    assert not worker.is_alive()
    assert time.monotonic() - begun < MP_STATUS_CHECK_INTERVAL  # what torch gives a worker that heard of no end



@pytest.mark.parametrize("persistent", [False, True])
def test_with_workers_a_new_size_holds_after_what_was_fetched_ahead_and_that_is_said(persistent):
    batches = LoaderBatches(DataLoader(Numbers(40), 4, num_workers=2, persistent_workers=persistent))
    found = [values(batches.take())]
    assert batches.note() == "4 batches of the old size had been fetched ahead by workers"
    batches.batch_size = 8
    found += epoch_of(batches)
    assert sorted(itertools.chain(*found)) == list(range(40))
    assert [len(batch) for batch in found] == [4] * 5 + [8, 8, 4]
    assert [len(batch) for batch in epoch_of(batches)] == [8] * 5
    batches.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_that_raises_is_taken_again_once_mended_and_nothing_is_lost(workers):
    dataset = Numbers(20)
    batches = LoaderBatches(
        DataLoader(dataset, 4, shuffle=True, generator=torch.Generator().manual_seed(2), num_workers=workers)
    )
    smooth = LoaderBatches(
        DataLoader(Numbers(20), 4, shuffle=True, generator=torch.Generator().manual_seed(2))
    )
    expected = epoch_of(smooth)
    dataset.bad = {expected[2][1]}
    found = [values(batches.take()), values(batches.take())]
    for _ in range(2):
        with pytest.raises(OSError, match="cannot be read"):
            batches.take()
    dataset.bad = set()
    found += epoch_of(batches)
    assert found == expected
    assert epoch_of(batches) == epoch_of(smooth)
    batches.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_of_a_loader_that_was_put_back_comes_again_in_the_size_of_now(workers):
    batches = LoaderBatches(DataLoader(Numbers(12), 6, num_workers=workers))
    batches.take()
    batches.put_back()
    batches.batch_size = 4  # as after running out of memory
    assert epoch_of(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    batches.close()


class Noisy(Numbers):
    """Draws from all three global generators for each sample."""

    def __getitem__(self, i):
        super().__getitem__(i)
        return torch.rand(1) + np.random.rand() + random.random(), torch.tensor(i)


@pytest.mark.parametrize(
    "make",
    [
        lambda data: IndexedBatches(data, 3, seed=0),
        lambda data: LoaderBatches(DataLoader(data, 3, shuffle=True)),
        lambda data: LoaderBatches(
            DataLoader(data, 3, shuffle=True, generator=torch.Generator().manual_seed(4))
        ),
    ],
    ids=["dataset", "loader", "loader with a generator"],
)
def test_a_batch_that_was_put_back_or_failed_draws_the_same_random_numbers_again(make):
    def run(failing):
        torch.manual_seed(0), np.random.seed(0), random.seed(0)
        data = Noisy(9)
        batches, found = make(data), []
        for number in range(7):
            if failing and number in (0, 3, 5):
                batches.take()
                torch.rand(5), np.random.rand(5), random.random()
                # What drew after the batch restores its own numbers first; here it is enough to put back.
                batches.put_back()
                data.bad = set(range(9))
                with pytest.raises(OSError):
                    batches.take()
                data.bad = set()
            found.append(batches.take()[0])
        return torch.cat(found), torch.rand(1), np.random.rand(), random.random()

    smooth, bumpy = run(False), run(True)
    assert torch.equal(smooth[0], bumpy[0])
    assert smooth[1:] == bumpy[1:]


def test_an_epoch_that_gives_no_full_batch_gives_none():
    batches = LoaderBatches(DataLoader(Numbers(3), 2, drop_last=True))
    assert (
        batches.why_not(4) == "the DataLoader drops batches that are not full, and there are only 3 samples"
    )
    assert batches.why_not(3) is None


class OddSizes(BatchSampler):
    def __iter__(self):
        yield from ([0, 1, 2], [3], [4, 5])

    def __len__(self):
        return 3


def test_a_batch_sampler_of_a_persons_own_keeps_its_sizes():
    batches = LoaderBatches(
        DataLoader(Numbers(6), batch_sampler=OddSizes(SequentialSampler(range(6)), 2, False))
    )
    assert "fixes the size" in batches.why_not(5)
    assert batches.take()[0].tolist() == [0, 1, 2]
    batches.put_back()
    assert (batches.midway, batches.steps_in_epoch()) == (False, 3)
    assert epoch_of(batches) == [[0, 1, 2], [3], [4, 5]] == epoch_of(batches)


def test_a_loader_over_a_stream_is_read_as_it_is():
    batches = LoaderBatches(DataLoader(Stream(5), 2))
    assert batches.why_not(4) == "the DataLoader reads an IterableDataset, which fixes the size"
    for _ in range(2):
        assert epoch_of(batches) == [[0, 1], [2, 3], [4]]


def test_a_subclass_with_an_iteration_of_its_own_is_respected():
    class Doubled(DataLoader):
        def __iter__(self):
            return (tuple(part.repeat(2) for part in batch) for batch in super().__iter__())

    batches = LoaderBatches(Doubled(Numbers(4), 2))
    assert epoch_of(batches) == [[0, 1, 0, 1], [2, 3, 2, 3]]
    assert batches.why_not(3) is not None


def test_a_sampler_that_has_more_than_it_says_loses_nothing():
    class Modest(SequentialSampler):
        def __len__(self):
            return 4

    batches = LoaderBatches(DataLoader(Numbers(6), 2, sampler=Modest(range(6))))
    seen = [values(batches.take()) for _ in range(3)]
    assert sorted(itertools.chain(*seen)) == list(range(6))
    assert batches.take() is None
    assert values(batches.take()) == [0, 1]


def test_ready_made_batches_come_as_they_are_epoch_after_epoch():
    ready = [(torch.arange(3), -torch.arange(3)), (torch.arange(3, 5), -torch.arange(3, 5))]
    batches = StreamBatches(ready, 32)
    assert batches.batch_size == 3
    assert batches.why_not(8) == "the data comes as ready-made batches"
    for _ in range(2):
        assert batches.steps_in_epoch() == 2
        assert epoch_of(batches) == [[0, 1, 2], [3, 4]]
        assert batches.over


def test_a_generator_is_read_once_and_the_look_at_its_first_batch_loses_nothing():
    batches = StreamBatches(((torch.tensor([i]), torch.tensor([-i])) for i in range(3)), 1)
    assert values(batches.peek(4)) == [0]
    assert epoch_of(batches) == [[0], [1], [2]]
    assert batches.used_up
    assert values(batches.peek(4)) == [0]


def test_a_stream_that_raises_in_the_middle_of_a_batch_keeps_what_it_gave():
    class Bumpy(IterableDataset):
        def __iter__(self):
            return self

        def __init__(self):
            self.at = 0

        def __next__(self):
            self.at += 1
            if self.at == 3:
                raise OSError("a bump")
            if self.at > 6:
                raise StopIteration
            return torch.tensor(self.at), torch.tensor(-self.at)

    batches = StreamBatches(Bumpy(), 4)
    with pytest.raises(OSError):
        batches.take()
    assert values(batches.take()) == [1, 2, 4, 5]


def test_samples_of_a_stream_that_were_put_back_come_in_the_size_of_now():
    batches = StreamBatches(Stream(7), 4)
    batches.take()
    batches.put_back()
    batches.batch_size = 2
    assert list(itertools.chain(*epoch_of(batches))) == list(range(7))


@pytest.mark.parametrize("kind", ["rows in order", "dataset", "loader in order", "stream"])
def test_a_sweep_gives_all_in_order_and_leaves_the_place_alone(kind):
    batches, other = SOURCES[kind](10, 3, False), SOURCES[kind](10, 3, False)
    batches.take(), other.take()
    assert list(itertools.chain(*(values(batch) for batch in batches.sweep(4)))) == list(range(10))
    assert epoch_of(batches) == epoch_of(other)


def test_a_sweep_leaves_a_shared_generator_alone():
    generator = torch.Generator().manual_seed(0)
    batches = LoaderBatches(DataLoader(Numbers(6), 2, shuffle=True, generator=generator))
    before = generator.get_state()
    list(batches.sweep(2))
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize(
    ("batch", "length"),
    [
        ((torch.zeros(5, 2), torch.zeros(5)), 5), ({"x": torch.zeros(3, 1)}, 3), (torch.tensor(1.0), 1),
        ("words", 1), (["a", "b", "c"], 3),
        (([torch.zeros(2)], 4), 2),
        # A list of samples of various lengths, in a pair with its targets or alone; several inputs.
        (([torch.zeros(3), torch.zeros(5)], torch.zeros(2)), 2), ([torch.zeros(3), torch.zeros(5)], 2),
        (([torch.zeros(4, 2), torch.zeros(4, 3)], torch.zeros(4)), 4),
        # Samples as they are, or what was made of them by name.
        ([(torch.zeros(8), 1), (torch.zeros(8), 0), (torch.zeros(8), 2)], 3),
        ([{"x": torch.zeros(8)}] * 4, 4),
        (UserDict(input_ids=torch.zeros(6, 9), lengths=torch.zeros(6)), 6),
        (pack_sequence([torch.zeros(4, 2), torch.zeros(3, 2), torch.zeros(1, 2)]), 3),
        ((pack_sequence([torch.zeros(4, 2), torch.zeros(3, 2)]), torch.zeros(2)), 2),
        # Objects: by their own word, or by what they hold.
        (SimpleNamespace(x=torch.zeros(5, 2), y=torch.zeros(5)), 5),
        (SimpleNamespace(x=torch.zeros(50, 2), edge_index=torch.zeros(2, 90), num_graphs=4), 4),
        (SimpleNamespace(x=torch.zeros(7, 3), batch_size=torch.Size([7])), 7),
        (torch.zeros(2, 3).to_sparse(), 2),
        # Pictures beside what is in them, as `zip(*samples)` gives them; several inputs and several targets.
        (((torch.zeros(3, 9, 9),) * 5, ({"labels": torch.zeros(2)},) * 5), 5),
        ([[torch.zeros(3, 9, 9)] * 2, [{"labels": torch.zeros(7)}] * 2], 2),
        (([torch.zeros(3, 9, 9)] * 4, [torch.tensor(1)] * 4), 4),
        (((torch.zeros(6, 3), torch.zeros(6, 2)), (torch.zeros(6), torch.zeros(6, 4))), 6),
        ([[torch.zeros(6, 3), torch.zeros(6, 2)], [torch.zeros(6), torch.zeros(6, 4)]], 6),
        ({"temperature": torch.ones(1), "x": torch.zeros(6, 3), "y": torch.zeros(6)}, 6),
        (torch.nested.nested_tensor([torch.zeros(4), torch.zeros(2)], layout=torch.jagged), 2),
    ],
)  # fmt: skip
def test_a_batch_is_as_long_as_its_samples_are_many(batch, length):
    assert batch_length(batch) == length


def test_a_dataset_may_fetch_many_at_once():
    class Many(Numbers):
        calls = 0

        def __getitems__(self, indices):
            self.calls += 1
            return [self[i] for i in indices]

    data = Many(6)
    epoch_of(IndexedBatches(data, 3, seed=0))
    assert data.calls == 2


def test_tensors_in_a_dataset_are_collated_as_a_loader_does():
    data = TensorDataset(torch.arange(6), -torch.arange(6))
    assert epoch_of(IndexedBatches(data, 4, seed=0, shuffle=False)) == [
        values(batch) for batch in DataLoader(data, 4)
    ]


# -- streams that are read once, lengths that lie, batches of a size that nobody told


def row(i):
    return torch.full((8,), float(i)), torch.tensor(i % 3)


class OverIterator(IterableDataset):
    def __init__(self):
        self.left = iter(range(100))

    def __iter__(self):
        return (row(i) for i in self.left)


class OverQueue(IterableDataset):
    def __init__(self):
        self.left = list(range(100))

    def __iter__(self):
        while self.left:
            yield row(self.left.pop(0))


class OverFile(IterableDataset):
    def __init__(self):
        self.file = io.StringIO("".join(f"{i}\n" for i in range(100)))

    def __iter__(self):
        return (row(int(line)) for line in self.file)


class InBatches:
    """Ready-made batches over an iterator that all passes share."""

    def __init__(self):
        self.left = iter(range(10))

    def __iter__(self):
        for i in self.left:
            rows = [row(j) for j in range(i * 10, i * 10 + 10)]
            yield torch.stack([x for x, _ in rows]), torch.stack([y for _, y in rows])


class BatchDataset(InBatches, IterableDataset):
    pass


class Renamed(DataLoader):
    """A loader with an iteration of its own."""

    def __iter__(self):
        yield from map(tuple, super().__iter__())


def over_outside(left):
    class Outside(IterableDataset):
        def __iter__(self):
            while left:
                yield row(left.popleft())

    return Outside()


class Rewound:
    """A loader that is its own iterator, and begins anew when it is asked for one, or when it has ended."""

    def __init__(self, anew):
        self.anew, self.at = anew, 0

    def __len__(self):
        raise NotImplementedError

    def __iter__(self):
        self.at = 0 if self.anew else self.at
        return self

    def __next__(self):
        if self.at == 100:
            self.at = 0
            raise StopIteration
        self.at += 25
        return default_collate([row(i) for i in range(self.at - 25, self.at)])


class Shuffled(Rewound):
    """Draws an order each time it is asked for an iterator, as in the forum's example."""

    def __iter__(self):
        self.order = torch.randperm(100)
        return super().__iter__()

    def __next__(self):
        inputs, targets = super().__next__()
        order = self.order[inputs[:, 0].long()]
        return order[:, None].expand(-1, 8).float(), order % 3


def test_a_loader_that_is_its_own_iterator_is_resumed_in_its_order(tmp_path):
    data = Shuffled(True), Shuffled(True)
    made = Session(nn.Linear(8, 3), *data, epochs=3, checkpoint_dir=tmp_path, threads=1)
    made.step(6).save_checkpoint()
    model = copy.deepcopy(made.model)
    other = Session.from_checkpoint(tmp_path, model, *(Shuffled(True) for _ in data), epochs=3, threads=1)
    assert not [note for note in other.notes if "checkpoint" in note]
    made.step(6)
    other.step(6)
    assert torch.equal(model.weight, made.model.weight)


@pytest.mark.parametrize("anew", [True, False])
def test_a_loader_that_is_its_own_iterator_has_more_than_one_epoch(anew):
    model = Seen(8, 3)
    model.rows = []
    made = Session(model, Rewound(anew), Rewound(True), epochs=3, threads=1).fit()
    assert model.rows == [*range(100)] * 3
    assert made.evaluation.samples == 100


class Seen(nn.Linear):
    def forward(self, x):
        if self.training:
            self.rows += [int(value) for value in x[:, 0]]
        return super().forward(x / 100)


ONCE = {
    "over an iterator": lambda: DataLoader(OverIterator(), 10),
    "over a queue": lambda: DataLoader(OverQueue(), 10),
    "over a file": lambda: DataLoader(OverFile(), 10), "without a loader": OverQueue,
    "ready-made batches": InBatches,
    "ready-made batches in a loader": lambda: DataLoader(BatchDataset(), None),
    "generator": lambda: iter(InBatches()), "a loader of ones own": lambda: Renamed(OverIterator(), 10),
    "a queue that a function sees": lambda: DataLoader(over_outside(deque(range(100))), 10),
    "batch sampler": lambda: DataLoader(
        [row(i) for i in range(100)], batch_sampler=iter([[*range(i, i + 10)] for i in range(0, 100, 10)])
    ),
}  # fmt: skip


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("name", ONCE)
def test_a_stream_that_is_read_once_loses_no_sample(name, epochs):
    model = Seen(8, 3)
    model.rows = []
    made = Session(model, ONCE[name](), epochs=epochs, threads=1).fit()
    assert model.rows == list(range(100)) and made.status == "done"
    assert made.history()["batch_size"].sum() == 100


def test_a_stream_that_begins_anew_is_looked_at_and_read_from_its_start():
    model = Seen(8, 3)
    model.rows = []

    class Anew(IterableDataset):
        def __iter__(self):
            return (row(i) for i in torch.randperm(40).tolist())

    Session(model, DataLoader(Anew(), 10), epochs=2, threads=1).fit()
    assert Counter(model.rows) == Counter([*range(40), *range(40)])


def lying(told, true):
    """Return sources that say `told` batches of 8 and give `true`."""

    class Stream(IterableDataset):
        def __len__(self):
            return told * 8

        def __iter__(self):
            return (row(i) for i in range(true * 8))

    class Order:
        def __len__(self):
            return told * 8

        def __iter__(self):
            return iter(range(true * 8))

    class Sampler(Order):
        def __len__(self):
            return told

        def __iter__(self):
            return iter([[*range(i * 8, i * 8 + 8)] for i in range(true)])

    class Ready(Sampler):
        def __iter__(self):
            return (default_collate([row(j) for j in range(i * 8, i * 8 + 8)]) for i in range(true))

    rows = [row(i) for i in range(max(told, true) * 8)]
    return {
        "stream": DataLoader(Stream(), 8), "sampler": DataLoader(rows, 8, sampler=Order()),
        "batch sampler": DataLoader(rows, batch_sampler=Sampler()), "ready-made": Ready(),
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:Length of IterableDataset:UserWarning")
@pytest.mark.parametrize(("told", "true"), [(5, 8), (8, 5), (4, 4), (1, 2)])
@pytest.mark.parametrize("name", ["stream", "sampler", "batch sampler", "ready-made"])
@pytest.mark.parametrize("count", [1, 3])
def test_an_epoch_is_as_long_as_the_data_is_whatever_it_says(name, told, true, count):
    made = Session(nn.Linear(8, 3), lying(told, true)[name], epochs=3, accumulate=count, threads=1).fit()
    each = -(-true // count)
    assert made.steps == 3 * each and made.status == "done"
    assert made.history().groupby("epoch").size().tolist() == [each] * 3


@pytest.mark.filterwarnings("ignore:Length of IterableDataset:UserWarning")
@pytest.mark.parametrize("name", ["stream", "sampler", "batch sampler", "ready-made"])
def test_a_rewind_over_the_end_of_an_epoch_that_is_longer_than_it_says(name):
    made = Session(nn.Linear(8, 3), lying(5, 8)[name], epochs=3, threads=1)
    made.step(6)
    there = made.model.weight.detach().clone()
    made.step(5)
    made.rewind(6)
    assert torch.equal(made.model.weight, there)
    made.fit()
    assert made.history().groupby("epoch").size().tolist() == [8] * 3


@pytest.mark.parametrize("make", [
    lambda d: DataLoader(d, batch_sampler=[[*range(i, i + 16)] for i in range(0, 64, 16)]),
    lambda d: DataLoader(d, batch_sampler=iter([[*range(i, i + 16)] for i in range(0, 64, 16)])),
    lambda d: DataLoader([default_collate([d[j] for j in range(i, i + 16)]) for i in range(0, 64, 16)], None),
], ids=["batch sampler", "batch sampler read once", "batches as items"])  # fmt: skip
def test_the_size_of_a_batch_is_that_of_the_first_where_nobody_told_it(make):
    data = TensorDataset(torch.randn(64, 8), torch.arange(64) % 3)
    model = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    made = Session(model, make(data), epochs=1, threads=1)
    assert made.batch_size == 16
    assert made.fit().history()["batch_size"].tolist() == [16] * 4


class Pair:
    def __init__(self, x, y):
        self.x, self.y = x, y


@pytest.mark.parametrize("make", [
    lambda x, y: Pair(x, y), lambda x, y: UserDict(x=x, y=y), lambda x, y: SimpleNamespace(x=x, y=y),
], ids=["an object", "a mapping of its own", "a namespace"])  # fmt: skip
def test_batches_that_are_objects_are_counted_moved_and_evaluated(make):
    X, y = torch.randn(40, 8), torch.arange(40) % 3
    loader = DataLoader(
        TensorDataset(X, y), 16, collate_fn=lambda rows: make(*(torch.stack(one) for one in zip(*rows)))
    )

    def step(model, batch):
        x, y = (batch["x"], batch["y"]) if isinstance(batch, UserDict) else (batch.x, batch.y)
        return nn.functional.cross_entropy(model(x), y)

    model = nn.Linear(8, 3)
    made = Session(model, loader, loader, training_step=step, epochs=1, threads=1).fit()
    assert made.history()["batch_size"].tolist() == [16, 16, 8]
    found = made.evaluate()
    with torch.no_grad():
        assert found.samples == 40
        assert found.loss == pytest.approx(float(nn.functional.cross_entropy(model(X), y)), rel=1e-5)


class OfLengths(Dataset):
    """Sequences of various lengths."""

    def __init__(self):
        torch.manual_seed(0)
        self.rows = [torch.randn(int(count), 4) for count in torch.randint(2, 9, (40,))]

    def __len__(self):
        return 40

    def __getitem__(self, i):
        return self.rows[i], torch.tensor(i % 3)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(4, 8), nn.Linear(8, 3)

    def forward(self, packed):
        return self.head(self.gru(packed)[1][0])


class OfList(nn.Linear):
    def forward(self, rows):
        return super().forward(torch.stack([row.mean(0) for row in rows]))


@pytest.mark.parametrize(("model", "join"), [
    (Recurrent, lambda rows: pack_sequence(rows, enforce_sorted=False)), (lambda: OfList(4, 3), list),
], ids=["packed", "list"])  # fmt: skip
def test_sequences_of_various_lengths_are_counted_accumulated_and_evaluated(model, join):
    torch.manual_seed(1)
    made, data = model(), OfLengths()

    def collate(rows):
        return join([row for row, _ in rows]), torch.stack([label for _, label in rows])

    loader = DataLoader(data, 16, collate_fn=collate)
    one = Session(made, loader, loader, epochs=2, accumulate=2, threads=1).fit()
    assert one.history()["batch_size"].tolist() == [32, 8] * 2
    found, (inputs, labels) = one.evaluate(), collate(list(data))
    with torch.no_grad():
        assert found.samples == 40
        assert found.loss == pytest.approx(float(nn.functional.cross_entropy(made(inputs), labels)), rel=1e-5)


def test_a_packed_sequence_is_moved_but_for_its_lengths():
    moved = tree_map(lambda tensor: tensor.to("meta"), pack_sequence([torch.zeros(4, 2), torch.zeros(3, 2)]))
    assert moved.data.is_meta and moved.batch_sizes.tolist() == [2, 2, 2, 1]
