"""Scripts make samplers, random datasets and streams anew, and give the weights of the run, bit for bit."""

from __future__ import annotations

import functools
import random

import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)  # fmt: skip

from tests.core.export.script_runs import Runs, X, Y, check_weights, run_alone, session

RUNS = Runs()
LABELS = Y["multiclass"]
ROWS = TensorDataset(X, LABELS)
WEIGHTS = torch.rand(50, generator=torch.Generator().manual_seed(3))


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


class Jittered(Dataset):
    def __init__(self, inputs, labels, noise=0.1):
        self.inputs, self.labels, self.noise = inputs, labels, noise

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return self.inputs[index] + self.noise * torch.randn(12), self.labels[index]


class Shifted:
    def __init__(self, most):
        self.most = most

    def __call__(self, x):
        return x + self.most * torch.rand(12)


class Changed(Dataset):
    def __init__(self, inputs, labels, transform=None):
        self.inputs, self.labels, self.transform = inputs, labels, transform

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return self.transform(self.inputs[index]), self.labels[index]


def doubled(x):
    return x * (1 + torch.rand(1))


class Strided(Sampler):
    def __init__(self, data, stride):
        self.data, self.stride = data, stride

    def __len__(self):
        return len(self.data)

    def __iter__(self):
        return iter([i for first in range(self.stride) for i in range(first, len(self), self.stride)])


class Shuffled(Sampler):
    """Batches of its own."""

    def __init__(self, count, size):
        self.count, self.size = count, size

    def __len__(self):
        return -(-self.count // self.size)

    def __iter__(self):
        yield from torch.randperm(self.count).split(self.size)


class Stream(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        return ((torch.full((12,), number / 50), number % 4) for number in range(self.count))


class Ready:
    """Batches that are made when they are asked for."""

    def __init__(self, size):
        self.size = size

    def __iter__(self):
        for first in range(0, 48, self.size):
            numbers = torch.arange(first, first + self.size)
            yield numbers.view(-1, 1) / torch.arange(1, 13), numbers % 4


class Counting(Sampler):
    """One whose order depends on how often it was read."""

    def __init__(self, count):
        self.count, self.read = count, 0

    def __len__(self):
        return self.count

    def __iter__(self):
        self.read += 1
        return iter([(number * 7 + self.read) % self.count for number in range(self.count)])


def scaled(samples, by):
    return torch.stack([x for x, _ in samples]) * by, torch.stack([y for _, y in samples])


def steered(data, name):
    """Train on data, cutting it anew on the way."""
    choose = random.Random(name)
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 4))
    made = session(model=model, data=data, batch_size=None, optimizer="sgd", lr=0.1, epochs=9)
    for _ in range(5):
        made.accumulate = choose.choice([1, 2, 3])
        made.batch_size = choose.choice([5, 8, 13, 20])
        made.step(choose.choice([1, 2, 5]))
    return made.step(2)


def of_loader(name, make, **options):
    def loader():
        given = {"batch_size": 8, **options}
        made = make() if callable(make) else make
        return DataLoader(
            **{"dataset": ROWS, **given, **(made if isinstance(made, dict) else {"dataset": made})}
        )

    RUNS[name] = lambda: steered(loader(), name)


def shared():
    generator = seeded()
    return {"sampler": WeightedRandomSampler(WEIGHTS, 60, generator=generator), "generator": generator}


of_loader("weighted", lambda: {"sampler": WeightedRandomSampler(WEIGHTS, 60)})
of_loader("weighted_once", lambda: {"sampler": WeightedRandomSampler([1.0, 2.0] * 25, 40, replacement=False)})
of_loader(
    "weighted_by_a_generator", lambda: {"sampler": WeightedRandomSampler(WEIGHTS, 60, generator=seeded())}
)
of_loader("weighted_by_the_loaders_generator", shared)
of_loader("of_a_part", lambda: {"sampler": SubsetRandomSampler(range(5, 45))})
of_loader("of_a_list", lambda: {"sampler": SubsetRandomSampler(list(range(0, 50, 2)), generator=seeded())})
of_loader("drawn_again", lambda: {"sampler": RandomSampler(ROWS, replacement=True, num_samples=70)})
of_loader("a_generator_of_the_sampler", lambda: {"sampler": RandomSampler(ROWS, generator=seeded())})
of_loader("ones_own", lambda: {"sampler": Strided(ROWS, 3)})
of_loader("backwards", lambda: {"sampler": list(range(49, -1, -1))})
of_loader("parts_joined", lambda: ConcatDataset([ROWS, Subset(ROWS, [1, 2, 3])]), shuffle=True)
of_loader("a_random_part", lambda: random_split(ROWS, [40, 10], generator=seeded())[0], shuffle=True)
of_loader("jittered", lambda: Jittered(X, LABELS), shuffle=True)
of_loader("jittered_parts", lambda: ConcatDataset([Jittered(X, LABELS), Jittered(X[:9], LABELS[:9], 1.0)]))
of_loader("transformed", lambda: Changed(X, LABELS, Shifted(0.2)), shuffle=True)
of_loader("transformed_by_a_function", lambda: Changed(X, LABELS, doubled), shuffle=True)
of_loader("collated_by_a_partial", lambda: {"collate_fn": functools.partial(scaled, by=2.0)}, shuffle=True)
of_loader("full_batches_alone", lambda: ROWS, shuffle=True, drop_last=True)
of_loader("full_batches_of_a_generator", lambda: {"generator": seeded()}, shuffle=True, drop_last=True)
for _name, _given in {
    "workers": {}, "persistent_workers": {"persistent_workers": True}, "far_ahead": {"prefetch_factor": 3},
    "full_batches_of_workers": {"drop_last": True},
}.items():  # fmt: skip
    of_loader(_name, ROWS, shuffle=True, num_workers=1, **_given)

_BATCHES = BatchSampler(SequentialSampler(ROWS), 8, drop_last=True)
RUNS["a_batch_sampler_handed_over"] = lambda: steered(DataLoader(ROWS, batch_sampler=_BATCHES), "handed")


@RUNS.add
def a_batch_sampler_of_ones_own():
    made = session(data=DataLoader(ROWS, batch_sampler=Shuffled(50, 8)), batch_size=None, epochs=9).step(3)
    made.accumulate = 2
    return made.step(5)


@RUNS.add
def batches_ready_made():
    made = session(data=Ready(8), batch_size=None, epochs=9).step(3)
    made.accumulate = 2
    return made.step(5)


@RUNS.add
def a_stream_resized():
    made = session(data=Stream(46), batch_size=8, epochs=9).step(3)
    made.batch_size = 5
    made.step(2)
    made.accumulate = 2
    return made.step(5)


RUNS["a_stream_in_a_loader"] = lambda: session(
    data=DataLoader(Stream(45), batch_size=8), batch_size=None
).step(8)


@RUNS.add
def a_random_dataset_whose_batches_are_accumulated():
    made = session(data=Jittered(X, LABELS), accumulate=3).step(2)
    made.batch_size = 9
    return made.step(4)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_script_gives_the_weights_of_the_run_bit_for_bit(done, name):
    check_weights(done, name)


@pytest.mark.slow
def test_what_keeps_count_is_left_to_be_filled_in(tmp_path):
    made = session(data=DataLoader(ROWS, batch_size=8, sampler=Counting(50)), batch_size=None).step(9)
    with pytest.warns(UserWarning, match="arguments that Counting was made with are not known"):
        path = made.to_script(tmp_path / "run.py")
    assert "NotImplementedError" in run_alone([path], tmp_path)["run"]


def test_the_sampler_of_a_loader_is_never_copied():
    sampler = WeightedRandomSampler(WEIGHTS.double(), 60)
    made = session(data=DataLoader(ROWS, batch_size=8, sampler=sampler), batch_size=None)
    assert made._run.loop.batches.loader.sampler is sampler
