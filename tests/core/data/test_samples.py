"""Samples: single ones by number, of whatever source."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler, TensorDataset

from dlwidgets.core.base.random_state import RandomStates
from dlwidgets.core.data.batches import IndexedBatches
from dlwidgets.core.data.loader import LoaderBatches
from dlwidgets.core.data.samples import SIDE, Samples, make_card, read_samples
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


@pytest.mark.parametrize(
    ("sample", "shape"),
    [
        (torch.rand(1, 3, 20, 30), (20, 30, 3)),
        (torch.rand(1, 1, 28, 28), (28, 28, 1)),
        (torch.rand(1, 28, 28), (28, 28, 1)),
        (torch.rand(1, 3, 500, 200), None),
        (torch.randint(0, 256, (1, 40, 40, 3), dtype=torch.uint8), (40, 40, 3)),
    ],
)
def test_an_image_becomes_a_small_image_grey_where_it_is_grey(sample, shape):
    found = make_card(sample)
    assert found.kind == "image" and found.image.dtype == np.uint8
    assert max(found.image.shape[:2]) <= SIDE
    if shape is not None:
        assert found.image.shape == shape


def test_a_large_image_keeps_its_mean_shade():
    sample = torch.rand(1, 1, 256, 256)
    assert make_card(sample).image.mean() / 255 == pytest.approx(float(sample.mean()), abs=0.01)


def test_numbers_become_a_row_tokens_and_texts_a_text():
    assert make_card(torch.tensor([[0.5, -2.0]])).values == (0.5, -2.0)
    assert make_card(torch.tensor([[5, 7, 11]])).text == "5 7 11"
    assert make_card("  one\ntwo ").text == "one two"
    assert len(make_card("word " * 500).text) <= 240


@pytest.mark.parametrize(
    ("X", "kind"),
    [
        (["a text", "another"], "text"),
        (pd.Series(["a text", "another"]), "text"),
        (np.array(["a text", "another"]), "text"),
        (pd.DataFrame({"age": [3, 4], "site": ["left", "right"]}), "row"),
        (np.random.default_rng(0).random((2, 5)), "row"),
        (torch.rand(2, 3, 8, 8), "image"),
        ([(torch.rand(3, 8, 8), 1), (torch.rand(3, 8, 8), 0)], "image"),
    ],
)
def test_samples_are_read_by_number_whatever_they_are_in(X, kind):
    samples = read_samples(X)
    assert len(samples) == 2 and make_card(samples.inputs(1)).kind == kind


def test_a_row_of_a_frame_keeps_its_words_and_its_names():
    samples = read_samples(pd.DataFrame({"age": [3, 4], "site": ["left", "right"]}))
    assert samples.columns == ("age", "site") and make_card(samples.inputs(1)).values == (4.0, "right")


def test_what_has_no_numbers_is_refused_in_a_sentence():
    with pytest.raises(TypeError, match="generator.*no numbers"):
        read_samples(x for x in range(3))
