"""activations() within a number of bytes: what is kept, what is not, and that it says so."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlwidgets.core.activations.activations import activations


def convnet() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 5)
    )


IMAGES = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def held(found) -> int:
    """The bytes of memory behind the tensors, whatever their shapes say."""
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values())


def test_what_fits_is_whole_and_says_nothing():
    found = activations(convnet(), IMAGES)
    assert not found.sampled
    assert all(len(tensor) == 8 for tensor in found.values())


@settings(max_examples=25, deadline=None)
@given(cap=st.integers(2_000, 300_000))
def test_the_memory_that_is_held_never_exceeds_the_cap(cap):
    found = activations(convnet(), IMAGES, cap=cap)
    assert held(found) <= cap
    assert len(found) == 5


@settings(max_examples=25, deadline=None)
@given(cap=st.integers(40_000, 200_000))
def test_all_layers_keep_the_same_first_samples(cap):
    whole, found = activations(convnet(), IMAGES, cap=None), activations(convnet(), IMAGES, cap=cap)
    counts = {len(tensor) for tensor in found.values()}
    assert len(counts) == 1
    for key, tensor in found.items():
        assert torch.equal(tensor, whole[key][: len(tensor)]), key
        assert (key in found.sampled) == (len(tensor) < 8)


def test_positions_go_before_channels_once_one_sample_is_left():
    found = activations(convnet(), IMAGES, "0", cap=2_500)
    whole = activations(convnet(), IMAGES, "0", cap=None)["0"]
    assert found["0"].shape == (1, 8, 8, 8)
    assert torch.equal(found["0"], whole[:1, :, ::2, ::2])
    assert found.sampled["0"] == (
        "Holds the first 1 of 8 rows (axis 0), every 2nd position of 16 along axis 2 and every 2nd position "
        "of 16 along axis 3, so that all layers together stay within the cap of 2.441 KB."
    )


def test_the_output_of_the_model_is_whole_nevertheless():
    found = activations(convnet(), IMAGES, cap=2_000)
    assert torch.equal(found.output, activations(convnet(), IMAGES, cap=None).output)


def test_time_first_recurrences_lose_samples_not_steps():
    lstm = nn.LSTM(3, 64)
    x = torch.rand(7, 16, 3)
    model = nn.ModuleDict({"lstm": lstm})
    model.forward = lambda x: lstm(x.transpose(0, 1))[0]
    found = activations(model, x.transpose(0, 1), "lstm", cap=20_000)
    assert found["lstm"].shape[0] == 7 and found["lstm"].shape[1] < 16
    assert found["lstm[1][0]"].shape[:2] == (1, found["lstm"].shape[1])


def test_windows_of_an_image_stay_with_their_sample():
    class Windows(nn.Module):
        def forward(self, x):
            return x.unflatten(1, (4, -1)).flatten(0, 1)

    x = torch.rand(8, 64, 16)
    found = activations(Windows(), x, "", cap=8_000)
    kept = found[""].shape[0]
    assert kept % 4 == 0 and kept < 32
    assert torch.equal(found[""], x.unflatten(1, (4, -1)).flatten(0, 1)[:kept])


@pytest.mark.parametrize("cap", [0, -5])
def test_a_cap_that_is_no_number_of_bytes_is_refused(cap):
    with pytest.raises(ValueError, match="cap is a number of bytes"):
        activations(convnet(), IMAGES, cap=cap)


# -- what layers are given


def test_inputs_of_layers_are_what_a_forward_by_hand_hands_them():
    model = convnet().eval()
    found = activations(model, IMAGES, of="inputs")
    x = IMAGES
    with torch.no_grad():
        for path, layer in model.named_children():
            assert torch.equal(found[path], x), path
            x = layer(x.clone())


def test_a_layer_that_works_in_place_does_not_change_what_it_was_given():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True))
    assert (activations(model, IMAGES, "1", of="inputs")["1"] < 0).any()


def test_inputs_are_named_by_position_and_keyword():
    class Takes(nn.Module):
        def forward(self, x, states, *, mask=None, unused=None):
            return x

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.takes = Takes()

        def forward(self, x):
            self.takes(x, (x + 1, x + 2), mask=x > 0)
            return self.takes(x + 3, None)

    found = activations(Model(), torch.rand(2, 3), "takes", of="inputs")
    assert list(found) == ["takes", "takes[1][0]", "takes[1][1]", "takes[mask]", "takes#2"]


def test_a_layer_that_is_given_no_tensor_says_so():
    class Makes(nn.Module):
        def forward(self):
            return torch.zeros(2)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.makes = Makes()

        def forward(self, x):
            return x + self.makes()

    found = activations(Model(), torch.rand(3, 2), "makes", of="inputs")
    assert found.missing == {"makes": "is given no tensor but nothing"}


def test_a_layer_whose_weights_are_used_past_it_says_by_which():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)

        def forward(self, x):
            return F.linear(self.embed(x), self.head.weight)

    F = nn.functional
    found = activations(Tied(), torch.tensor([[1, 2]]))
    assert found.missing == {"head": "is not called: the model (Tied) uses its weights itself"}


def test_only_outputs_and_inputs_are_there_to_be_asked_for():
    with pytest.raises(ValueError, match='of is "outputs" or "inputs", not \'grads\''):
        activations(convnet(), IMAGES, of="grads")
