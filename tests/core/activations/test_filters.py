"""filters(): the weights of a layer as pictures; find_incoming(): what a dense unit's numbers come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from dlwidgets.core.activations.filters import Incoming, filters, find_incoming
from dlwidgets.core.activations.layer_choice import layer_paths
from dlwidgets.core.activations.look import Wanted, look
from dlwidgets.core.base.isolation import isolate_model


def close(picture, number: int) -> np.ndarray:
    values, block = picture.close_up(number)
    assert block == (1, 1)
    return values


@pytest.mark.parametrize("channel", [0, 2, 3])
def test_a_convolution_shows_each_filter_over_the_chosen_input_channel(channel):
    layer = nn.Conv2d(4, 6, (3, 5))
    found = filters(layer, channel)
    assert (found.picture.kind, found.picture.size, found.channels) == ("maps", "6 filters", 4)
    for number in range(6):
        assert np.array_equal(close(found.picture, number), layer.weight[number, channel].detach().numpy())
    assert f"input channel {channel} of 4" in found.picture.note


def test_a_channel_beyond_the_last_is_the_last():
    assert filters(nn.Conv2d(4, 2, 3), 99).channel == 3


def test_over_three_input_channels_filters_are_in_colour():
    layer = nn.Conv2d(3, 5, 7)
    found = filters(layer)
    assert (found.picture.kind, found.channels) == ("rgb", 0)
    interleaved = close(found.picture, 2).reshape(7, 7, 3)
    assert np.array_equal(interleaved.transpose(2, 0, 1), layer.weight[2].detach().numpy())


def test_large_filters_in_colour_are_made_smaller_without_mixing_the_colours():
    layer = nn.Conv2d(3, 512, 16)
    with torch.no_grad():
        layer.weight[:, 0], layer.weight[:, 1], layer.weight[:, 2] = 1.0, 0.0, -1.0
    found = filters(layer).picture
    assert found.tiles.maps.nbytes <= 204_800
    values = found.tiles.values().reshape(512, found.tiles.maps.shape[1], -1, 3)
    assert np.abs(values - np.array([1, 0, -1])).max() < 1e-6


def test_the_filters_of_a_grouped_transposed_convolution_are_those_of_what_it_computes():
    layer = nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False)
    one = torch.zeros(1, 4, 1, 1)
    one[0, 3] = 1.0
    put_out = layer(one)[0].detach().numpy()
    # Input channel 3 is the second of the second group, whose filters are the last three.
    found = filters(layer, 1).picture
    for number in (3, 4, 5):
        assert np.array_equal(close(found, number), put_out[number])


def test_a_1d_convolution_shows_input_channel_by_position_and_lines_over_one_channel():
    layer = nn.Conv1d(3, 4, 9)
    assert np.array_equal(close(filters(layer).picture, 1), layer.weight[1].detach().numpy())
    assert filters(nn.Conv1d(1, 4, 9)).picture.kind == "lines"


def test_a_3d_convolution_shows_a_slice():
    layer = nn.Conv3d(2, 4, (3, 5, 5))
    found = filters(layer, 1, at_slice=2).picture
    assert found.slices == (3, 2)
    assert np.array_equal(close(found, 3), layer.weight[3, 1, 2].detach().numpy())


def test_a_dense_layer_shows_the_images_its_units_look_at_where_it_was_given_one():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(4 * 36, 5))
    with isolate_model(model) as eager:
        found = look(eager, torch.rand(1, 1, 8, 8), Wanted("4", show="filters", channel=2))
    assert (found.picture.kind, found.channels) == ("maps", 4)
    expected = model[4].weight[3].reshape(4, 6, 6)[2].detach().numpy()
    assert np.array_equal(close(found.picture, 3), expected)


def test_a_dense_layer_on_a_vector_shows_its_matrix():
    layer = nn.Linear(7, 5)
    found = filters(layer).picture
    assert found.kind == "sequence"
    assert np.array_equal(close(found, 0), layer.weight.detach().numpy())


def test_an_embedding_shows_its_first_rows_and_says_so():
    found = filters(nn.Embedding(5000, 8)).picture
    assert found.note.startswith("the first 512 of 5,000 rows")
    assert found.shape == (5000, 8)


@pytest.mark.parametrize(
    ("layer", "names", "first"),
    [
        (nn.LSTM(3, 4), ("input", "forget", "cell", "output"), "weight_ih_l0"),
        (nn.GRU(3, 4), ("reset", "update", "new"), "weight_ih_l0"),
        (nn.RNN(3, 4), ("state",), "weight_ih_l0"),
    ],
)
def test_a_recurrent_layer_shows_its_gates(layer, names, first):
    found = filters(layer).picture
    assert found.names == names
    whole = np.concatenate([close(found, number) for number in range(len(names))])
    assert np.array_equal(whole, getattr(layer, first).detach().numpy())
    past = filters(layer, part=1).picture
    assert np.array_equal(close(past, 0), layer.weight_hh_l0[:4].detach().numpy())


def test_attention_shows_the_matrices_of_query_key_and_value():
    layer = nn.MultiheadAttention(8, 2)
    found = filters(layer).picture
    assert (found.names, found.size) == (("query", "key", "value"), "3 matrices")
    assert np.array_equal(close(found, 1), layer.in_proj_weight[8:16].detach().numpy())


def test_a_norm_shows_its_weights_as_bars():
    assert np.array_equal(filters(nn.BatchNorm2d(5)).picture.bars, np.ones(5))


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.Flatten(), nn.LayerNorm(3, elementwise_affine=False)])
def test_a_layer_without_weights_says_so(layer):
    assert filters(layer).reason == f"has no weights of its own ({type(layer).__name__})"


def test_what_was_shown_does_not_follow_the_weights_that_training_changes():
    layer = nn.Conv2d(1, 3, 3)
    found = filters(layer).picture
    before = close(found, 0).copy()
    with torch.no_grad():
        layer.weight.zero_()
    assert np.array_equal(close(found, 0), before)


# -- what is behind a dense unit


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.hidden = nn.Linear(4 * 36, 8)
        self.drop = nn.Dropout()
        self.head = nn.Linear(8, 3)
        self.soft = nn.Softmax(-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.conv(x)).flatten(1)
        return self.soft(self.head(self.drop(self.relu(self.hidden(x)))))


def incoming(model, x, layer, part="") -> Incoming | None:
    with isolate_model(model) as eager:
        return find_incoming(eager, layer_paths(eager), x, layer, part)


@pytest.mark.parametrize(
    ("layer", "part", "path", "shape"),
    [
        ("hidden", "", "hidden", (4, 6, 6)),
        ("relu", "#2", "hidden", (4, 6, 6)),
        ("drop", "", "hidden", (4, 6, 6)),
        ("head", "", "head", (8,)),
        ("soft", "", "head", (8,)),
        ("relu", "", "conv", ()),
    ],
)
def test_behind_a_units_number_lies_the_layer_that_weighed_it(layer, part, path, shape):
    found = incoming(Net(), torch.rand(1, 1, 8, 8), layer, part)
    assert (found.path, found.shape) == (path, shape)


def test_the_weights_of_a_unit_are_those_that_make_its_number():
    model, x = Net().eval(), torch.rand(1, 1, 8, 8)
    found = incoming(model, x, "hidden")
    image = torch.relu(model.conv(x))[0]
    value = (found.weights(5) * image).sum() + model.hidden.bias[5]
    assert value.item() == pytest.approx(model.hidden(image.flatten()[None])[0, 5].item(), rel=1e-5)


def test_the_input_itself_may_be_the_image_that_a_unit_looks_at():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    assert incoming(model, torch.rand(1, 1, 8, 8), "1").shape == (1, 8, 8)


def test_a_matrix_that_was_flattened_is_one_map():
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Flatten(), nn.Linear(32, 3))
    assert incoming(model, torch.rand(1, 2, 10), "2").shape == (1, 4, 8)


def test_nothing_lies_behind_a_layer_that_was_not_called():
    model = Net()
    model.spare = nn.Linear(2, 2)
    assert incoming(model, torch.rand(1, 1, 8, 8), "spare") is None
    assert incoming(model, torch.rand(1, 5, 8, 8), "hidden") is None


def test_looking_for_it_leaves_no_hook_and_no_mode_behind():
    model = Net().train()
    incoming(model, torch.rand(1, 1, 8, 8), "head")
    assert all(module.training and not module._forward_hooks for module in model.modules())
