"""The batch and channel axes of a layer's output."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import dlwidgets as dlw
from dlwidgets.core.layers.axes import channel_axis, sample_axis, samples_first

TIME_FIRST = nn.MultiheadAttention(8, 2)


@pytest.mark.parametrize(
    ("layer", "shape", "suffix", "channels", "found"),
    [
        (nn.Conv2d(1, 3, 3), (4, 3, 6, 6), "", 1, (0, 1)),
        (nn.Conv2d(1, 3, 3), (12, 3, 6, 6), "", 1, (0, 3)),
        (nn.Conv2d(1, 4, 3), (8, 4, 6, 6), "", 1, (0, 2)),
        (nn.Linear(2, 3), (7, 4, 3), "", 2, (1, 1)),
        (nn.Linear(2, 3), (7, 3), "", 1, None),
        (nn.LSTM(2, 3), (4, 4, 3), "", 2, (1, 1)),
        (nn.LSTM(2, 3), (5, 3, 3), "", 2, None),
        (nn.LSTM(2, 3, batch_first=True), (4, 5, 3), "", 2, (0, 1)),
        (nn.LSTM(2, 3, batch_first=True), (1, 4, 3), "[1][0]", 2, (1, 1)),
        (TIME_FIRST, (4, 4, 8), "", 2, (1, 1)),
        (TIME_FIRST, (4, 4, 5), "[1]", 2, (0, 1)),
    ],
)
def test_the_samples_are_found_among_the_axes(layer, shape, suffix, channels, found):
    assert sample_axis(layer, shape, 4, suffix, channels) == found


def test_without_samples_or_axes_there_is_none():
    assert sample_axis(nn.ReLU(), (4, 3), None) is None and sample_axis(nn.ReLU(), (), 4) is None


def test_a_vector_without_a_batch_has_no_channels():
    assert channel_axis(nn.ReLU(), torch.rand(3)) is None


@pytest.mark.parametrize("layer", [nn.LSTM(2, 3), nn.LSTM(2, 3, batch_first=True)], ids=["time", "batch"])
def test_time_first_or_batch_first_samples_come_first(layer):
    x = torch.rand(4, 5, 2)
    output = layer(x if layer.batch_first else x.transpose(0, 1))[0]
    rows, places = samples_first(layer, output, 4)
    expected = output if layer.batch_first else output.transpose(0, 1)
    assert places == (5,) and torch.equal(rows, expected.transpose(1, 2))


def test_windows_of_a_sample_are_taken_for_places():
    output = torch.rand(6, 3, 2, 2)
    rows, places = samples_first(nn.Conv2d(1, 3, 1), output, 2)
    assert rows.shape == (2, 3, 12) and places == (3, 2, 2)
    assert torch.equal(rows[1, :, 4:8], output[4].flatten(1))


@pytest.mark.parametrize(("layer", "said"), [(nn.LSTM(4, 6), True), (nn.LSTM(4, 6, batch_first=True), False)])
def test_the_table_says_which_axis_a_recurrence_takes_for_time(layer, said):
    table = dlw.summary(nn.Sequential(layer), torch.rand(10, 3, 4))
    assert any("axis 0 of the input for time" in note for note in table.notes) == said
    assert table.batch == (None if said else 10)


def test_a_recurrence_that_is_given_its_input_turned_says_nothing():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells = nn.GRU(4, 6)

        def forward(self, x):
            return self.cells(x.transpose(0, 1))[0]

    assert dlw.summary(Turned(), torch.rand(10, 3, 4)).notes == ()
