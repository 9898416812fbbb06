"""Samples: single ones by number, of whatever source."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler, TensorDataset

from dlwidgets.core.base.random_state import RandomStates
from dlwidgets.core.data.batches import IndexedBatches
from dlwidgets.core.data.loader import LoaderBatches
from dlwidgets.core.data.samples import Samples
from dlwidgets.core.data.source import Rows
from dlwidgets.core.data.stream import StreamBatches

X, y = torch.arange(12.0).reshape(6, 2), torch.arange(6)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, y))


SOURCES = {
    "rows": IndexedBatches(Rows(X, y), 2, seed=0),
    "dataset": IndexedBatches(TensorDataset(X, y), 2, seed=0),
    "loader": LoaderBatches(DataLoader(TensorDataset(X, y), 2, shuffle=True)),
    "loader of ready batches": LoaderBatches(DataLoader([(X, y)], batch_size=None)),
    "loader with its own batches": LoaderBatches(
        DataLoader(TensorDataset(X, y), batch_sampler=BatchSampler(SequentialSampler(range(6)), 2, True))
    ),
    "loader of a stream": LoaderBatches(DataLoader(Stream(), 2)),
    "stream": StreamBatches(Stream(), 2),
    "batches": StreamBatches([(X, y)], 2),
    "dicts": StreamBatches([{"x": X, "label": y}], 2),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_sample_is_a_batch_of_one_and_its_target(kind):
    samples = Samples(SOURCES[kind], "validation", torch.device("cpu"), "label" if kind == "dicts" else None)
    assert len(samples) == 6
    for index in (0, 3, 5):
        inputs = samples.inputs(index)
        inputs = inputs["x"] if kind == "dicts" else inputs
        assert torch.equal(inputs, X[index : index + 1])
        assert samples.target(index) == index


def test_a_number_that_is_none_is_said():
    samples = Samples(SOURCES["rows"], "validation", torch.device("cpu"))
    for index in (-1, 6):
        with pytest.raises(
            IndexError, match=f"Sample {index} does not exist: the validation samples are 0 to 5"
        ):
            samples.inputs(index)


def test_looking_does_not_disturb_the_training():
    for kind in ("rows", "batches", "stream"):
        batches, samples = SOURCES[kind], Samples(SOURCES[kind], "training", torch.device("cpu"))
        first = batches.take()[1].tolist()
        samples.inputs(1)
        seen = first
        while not batches.over and (batch := batches.take()) is not None:
            seen += batch[1].tolist()
        assert sorted(seen) == list(range(6))


def test_a_batch_for_a_custom_step_shows_its_first_part():
    samples = Samples(StreamBatches([(X, y, y)], 6), "training", torch.device("cpu"))
    assert torch.equal(samples.inputs(2), X[2:3])
    assert samples.target(2) is None
    samples = Samples(StreamBatches([X], 6), "training", torch.device("cpu"))
    assert torch.equal(samples.inputs(2), X[2:3])


class Counting:
    """A Dataset that draws a random number for each sample and notes which it is asked for."""

    def __init__(self):
        self.reads = []

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.reads.append(index)
        return X[index] + torch.rand(1), y[index]


@pytest.mark.parametrize(
    "make", [lambda data: IndexedBatches(data, 2, seed=0), lambda data: LoaderBatches(DataLoader(data, 2))]
)
def test_a_sample_is_read_once_and_the_random_states_are_saved_once(make, monkeypatch):
    data, captures = Counting(), []
    samples = Samples(make(data), "validation", torch.device("cpu"))
    capture = RandomStates.capture
    monkeypatch.setattr(RandomStates, "capture", lambda: captures.append(1) or capture())
    before = torch.get_rng_state()
    inputs, target = samples.item(3)
    assert inputs.shape == (1, 2) and target == 3
    assert (data.reads, len(captures)) == ([3], 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_in_memory_are_read_without_saving_random_states(monkeypatch):
    monkeypatch.setattr(RandomStates, "capture", lambda: pytest.fail("random states were saved"))
    inputs, target = Samples(SOURCES["rows"], "validation", torch.device("cpu")).item(3)
    assert torch.equal(inputs, X[3:4]) and target == 3
