"""exciting: the samples that drive a channel most are those that a loop by hand finds."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlwidgets.core.activations.study.top_samples import Responses, joined, probe_numbers
from dlwidgets.core.data.samples import PlainSamples


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(60, 5),
    )  # fmt: skip


IMAGES = torch.rand(50, 1, 8, 12, generator=torch.Generator().manual_seed(1))
SAMPLES = PlainSamples(IMAGES)


def gathered(layer: str, model: nn.Module | None = None, samples=SAMPLES, **options) -> Responses:
    made = Responses(layer, probe_numbers(len(samples)), **options)
    assert not made.gather(net() if model is None else model, samples)
    return made


# -- the order


@pytest.mark.parametrize("by", ["max", "mean"])
@pytest.mark.parametrize("channel", range(4))
def test_the_strongest_samples_are_those_of_all_activations_in_memory(by, channel):
    model = net()
    found = gathered("2", model).top(channel, by, 7)
    with torch.no_grad():
        maps = model.eval()[:3](IMAGES)[:, channel].flatten(1)
    values = maps.amax(1) if by == "max" else maps.mean(1)
    expected = values.argsort(descending=True, stable=True)[:7]
    assert [one.value for one in found] == pytest.approx(values[expected].tolist(), rel=1e-5)
    assert [one.sample for one in found] == expected.tolist()


def test_a_bright_spot_is_found_where_it_is():
    images = torch.zeros(6, 1, 16, 16)
    for number, (row, column) in enumerate([(1, 1), (1, 14), (14, 1), (14, 14), (7, 9), (3, 12)]):
        images[number, 0, row, column] = 10 + number
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.MaxPool2d(2))
    nn.init.zeros_(model[0].weight)
    model[0].weight.data[0, 0, 1, 1] = 1
    for one in gathered("1", model, PlainSamples(images)).top(0):
        left, top, width, height = one.box
        row, column = np.argwhere(images[one.sample, 0].numpy() > 0)[0]
        assert left * 16 <= column < (left + width) * 16 and top * 16 <= row < (top + height) * 16
        assert one.value == 10 + one.sample


def test_a_sequence_is_found_in_time_and_a_dense_unit_has_no_place():
    signals = torch.zeros(3, 20, 2)
    signals[1, 13, 0] = 5
    first = gathered("", nn.Linear(2, 3), PlainSamples(signals))
    with torch.no_grad():
        model = nn.Linear(2, 1, bias=False)
        model.weight.copy_(torch.tensor([[1.0, 0.0]]))
    best = gathered("", model, PlainSamples(signals)).top(0)[0]
    assert best.sample == 1 and best.box == (13 / 20, 1 / 20)
    assert first.channels == 3
    assert gathered("5").top(0)[0].box is None


def test_the_channels_of_a_recurrent_layer_with_time_first_are_told_apart_by_sample():
    class TimeFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.lstm = nn.LSTM(2, 3)

        def forward(self, x):
            return self.lstm(x.transpose(0, 1))[0][-1]

    x = torch.rand(10, 6, 2)
    model = TimeFirst()
    found = gathered("lstm", model, PlainSamples(x)).top(1, "max", 10)
    with torch.no_grad():
        values = model.lstm(x.transpose(0, 1))[0][:, :, 1].amax(0)
    assert [one.sample for one in found] == values.argsort(descending=True).tolist()


def test_windows_of_an_image_count_for_their_image():
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.Linear(4, 2)

        def forward(self, x):
            return self.norm(x.reshape(-1, 4)).reshape(len(x), 3, 2).mean((1, 2))

    x = torch.rand(9, 12)
    model = Windows()
    found = gathered("norm", model, PlainSamples(x)).top(0, "max", 9)
    with torch.no_grad():
        values = model.norm(x.reshape(9, 3, 4))[..., 0].amax(1)
    assert [one.sample for one in found] == values.argsort(descending=True).tolist()


def test_an_answer_that_is_not_finite_comes_first():
    x = torch.ones(4, 2)
    x[2, 0] = float("nan")
    assert [one.sample for one in gathered("", nn.Identity(), PlainSamples(x)).top(0, count=2)] == [2, 0]


def test_equal_answers_are_in_the_order_of_their_numbers_however_they_were_run():
    made = Responses("", [4, 1, 3, 0, 2])
    made.gather(nn.Identity(), PlainSamples(torch.ones(5, 2)))
    assert [one.sample for one in made.top(0)] == [0, 1, 2, 3, 4]


# -- piece by piece


@given(pieces=st.lists(st.sampled_from([0.0, 0.0005, 0.002]), min_size=1, max_size=30))
@settings(max_examples=15, deadline=None)
def test_pieces_give_what_one_go_gives(pieces):
    model, whole = net(), gathered("2")
    made = Responses("2", probe_numbers(50))
    for seconds in pieces:
        made.gather(model, SAMPLES, seconds)
    assert 0 < made.taken <= 50
    made.gather(model, SAMPLES)
    np.testing.assert_allclose(made.values(1), whole.values(1), rtol=1e-6)


def test_no_time_still_gives_one_sample_and_says_that_more_are_left():
    made = Responses("2", probe_numbers(50))
    for taken in (1, 2, 3):
        assert made.gather(net(), SAMPLES, 0.0) and made.taken == taken


def test_batches_are_no_larger_than_the_time_allows_by_what_a_sample_took():
    class Slow(nn.Module):
        sizes = []

        def forward(self, x):
            self.sizes.append(len(x))
            time.sleep(0.004 * len(x))
            return x.flatten(1)

    made = Responses("", probe_numbers(50))
    while made.gather(Slow(), SAMPLES, 0.03):
        pass
    # A sample takes 4 ms at the least, so that 7 of them fill the time.
    assert max(Slow.sizes) <= 8 and sum(Slow.sizes) == 50


def test_inputs_of_several_sizes_are_run_one_by_one():
    class Ragged:
        def __len__(self):
            return 5

        def inputs(self, index):
            return torch.full((1, 1, 4 + index, 4), float(index))

    made = gathered("", nn.Conv2d(1, 2, 3), Ragged())
    assert made.taken == 5 and made.top(0)[0].box is None


def test_a_model_that_takes_one_sample_at_a_time_is_given_one_at_a_time():
    class One(nn.Module):
        def forward(self, x):
            if len(x) != 1:
                raise ValueError("one")
            return x.flatten(1)

    assert gathered("", One()).taken == 50


def test_of_too_many_channels_the_first_are_kept():
    made = gathered("2", cap=12 * 50 * 3)
    assert (made.channels, made.total) == (3, 4)
    with pytest.raises(ValueError, match="channels 0 to 2, not 3"):
        made.top(3)


# -- the probe set, and what it leaves


def test_the_probe_set_is_the_same_each_time_and_not_the_beginning_alone():
    numbers = probe_numbers(10_000)
    assert len(set(numbers.tolist())) == 256 and np.array_equal(numbers, probe_numbers(10_000))
    assert numbers.max() > 5_000 and (np.diff(numbers) > 0).all()
    assert probe_numbers(10).tolist() == list(range(10))


def test_gathering_leaves_model_and_random_numbers_as_they_were():
    model = net().train()
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rng, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    gathered("2", model)
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model) and not any(m._forward_hooks for m in model.modules())
    assert torch.equal(rng, torch.get_rng_state()) and np.array_equal(numpys, np.random.get_state()[1])


@pytest.mark.parametrize(("layer", "words"), [("9", "no layer '9'"), ("1", "was not called")])
def test_a_layer_that_cannot_answer_is_refused_in_words(layer, words):
    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("1", nn.Linear(2, 2))

        def forward(self, x):
            return x

    with pytest.raises(ValueError, match=words):
        Responses(layer, [0]).gather(Skipping(), SAMPLES)


def test_several_inputs_are_joined_each_along_its_batch():
    batches = [{"a": torch.full((1, 2), i), "b": (torch.full((1,), i),)} for i in range(3)]
    found = joined(batches)
    assert found["a"].tolist() == [[0, 0], [1, 1], [2, 2]] and found["b"][0].tolist() == [0, 1, 2]
    assert joined([torch.ones(1, 2), torch.ones(1, 3)]) is None
