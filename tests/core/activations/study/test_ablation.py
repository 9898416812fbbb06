"""Ablation: channels are scaled on their way, and nothing of it stays."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlwidgets import teaching
from dlwidgets.core.activations.study.ablation import channel_variants, scaled_channels, scores_under
from dlwidgets.session import Session


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(144, 6), nn.ReLU(), nn.Linear(6, 3),
    )  # fmt: skip


Effect = namedtuple("Effect", "before after")
IMAGE = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def ablate(model, inputs, factors, scores=None):
    """What `model` says of `inputs` before and after channels are scaled."""
    return Effect(*scores_under(model, inputs, [{}, factors], scores))


# -- what comes out


def test_a_channel_of_a_convolution_that_is_off_is_as_if_its_filter_were_zero():
    model = net()
    found = ablate(model, IMAGE, {"0": {2: 0.0}})
    with torch.no_grad():
        model[0].weight[2], model[0].bias[2] = 0, 0
        expected = model.eval()(IMAGE)[0]
    torch.testing.assert_close(found.after, expected)


@given(factor=st.floats(-4, 4), unit=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_a_unit_that_is_scaled_is_as_if_its_weights_were(factor, unit):
    model = net()
    found = ablate(model, IMAGE, {"5": {unit: factor}})
    with torch.no_grad():
        model[5].weight[unit] *= factor
        model[5].bias[unit] *= factor
        expected = model.eval()(IMAGE)[0]
    torch.testing.assert_close(found.after, expected, atol=1e-6, rtol=1e-5)


def test_before_is_what_the_model_says_and_a_factor_of_one_changes_nothing():
    model = net()
    found = ablate(model, IMAGE, {"0": {1: 1.0}, "5": {0: 1.0}}, lambda output: output.softmax(-1))
    expected = model.eval()(IMAGE).softmax(-1)[0]
    assert torch.equal(found.before, expected.detach()) and torch.equal(found.after, found.before)


def test_several_channels_of_several_layers_are_touched_together():
    model = net()
    both = ablate(model, IMAGE, {"0": {0: 0.0, 3: 2.0}, "5": {1: 0.5}}).after
    with torch.no_grad():
        for channel, factor in ((0, 0.0), (3, 2.0)):
            model[0].weight[channel] *= factor
            model[0].bias[channel] *= factor
        model[5].weight[1] *= 0.5
        model[5].bias[1] *= 0.5
        expected = model.eval()(IMAGE)[0]
    torch.testing.assert_close(both, expected)


def test_a_channel_that_is_off_is_off_even_where_it_was_infinite():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[float("inf"), 0.0], [1.0, 1.0]]))
        model[1].weight.copy_(torch.tensor([[1.0, 1.0]]))
    assert ablate(model, torch.ones(1, 2), {"0": {0: 0.0}}).after.tolist() == [2.0]


def test_a_sequence_is_touched_along_its_last_axis():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.rand(1, 5, 8)
    with torch.no_grad():
        expected = layer(x)
    expected[..., 3] = 0
    with scaled_channels(nn.Sequential(layer), {"0": {3: 0.0}}) as model:
        assert torch.allclose(model(x), expected, atol=1e-6)


def test_attention_with_a_tuple_of_outputs_keeps_its_second():
    torch.manual_seed(0)
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.rand(1, 5, 8)
    plain, weights = model.eval()(x, x, x)
    with scaled_channels(model, {"": {1: 0.0}}) as looked:
        out, same = looked(x, x, x)
    assert torch.equal(same, weights) and out[..., 1].abs().sum() == 0
    torch.testing.assert_close(out[..., 2:], plain[..., 2:])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("channel", [1, 6])
def test_a_recurrent_unit_is_touched_in_the_sequence_and_in_the_last_state(kind, channel):
    torch.manual_seed(0)
    model = kind(3, 4, num_layers=2, bidirectional=True, batch_first=True)
    x = torch.rand(1, 5, 3)
    with torch.no_grad():
        plain, state = model(x)
    with scaled_channels(model, {"": {channel: 0.0}}) as looked:
        out, after = looked(x)
    before, hidden = (state[0], after[0]) if kind is nn.LSTM else (state, after)
    expected = before.clone()
    expected[-2 + channel // 4, :, channel % 4] = 0
    assert torch.equal(hidden, expected)
    assert out[..., channel].abs().sum() == 0
    assert torch.equal(out[..., 2], plain[..., 2])


Pair = namedtuple("Pair", "first second")


@dataclass
class Made:
    first: torch.Tensor
    second: torch.Tensor


@pytest.mark.parametrize(
    "pack",
    [lambda a, b: (a, b), lambda a, b: [a, b], Pair, Made, lambda a, b: {"first": a, "second": b}],
)
def test_the_first_tensor_of_any_container_is_touched_and_the_kind_of_it_stays(pack):
    class Two(nn.Module):
        def forward(self, x):
            return pack(x, x + 1)

    x = torch.ones(1, 3)
    with scaled_channels(Two(), {"": {0: 0.0}}) as model:
        found = model(x)
    assert type(found) is type(pack(x, x))
    if isinstance(found, Made):
        found = vars(found)
    values = list(found.values() if isinstance(found, dict) else found)
    assert values[0].tolist() == [[0, 1, 1]] and values[1].tolist() == [[2, 2, 2]]


def test_behind_a_one_dimensional_convolution_an_activation_is_touched_by_channel():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU())
    x = torch.rand(1, 2, 9)
    with torch.no_grad():
        expected = model(x)
    expected[:, 1] = 0
    with scaled_channels(model, {"1": {1: 0.0}}, behind={"1": model[0]}) as looked:
        assert torch.equal(looked(x), expected)


def test_several_factors_give_the_scores_at_each_of_them():
    model, factors = net(), (0.0, 0.5, 1.0, 2.0)
    rows = scores_under(model, IMAGE, channel_variants("5", 2, factors, {"0": {0: 0.0}}))
    for row, factor in zip(rows, factors, strict=True):
        assert torch.equal(row, ablate(model, IMAGE, {"0": {0: 0.0}, "5": {2: factor}}).after)


# -- what cannot be


@pytest.mark.parametrize("channel", [4, -1])
def test_a_channel_that_is_not_there_is_refused_in_words(channel):
    with pytest.raises(ValueError, match="channels 0 to 3"):
        ablate(net(), IMAGE, {"0": {channel: 0.0}})


def test_a_layer_that_is_not_there_is_refused_in_words():
    with pytest.raises(ValueError, match="no layer 'conv'"):
        ablate(net(), IMAGE, {"conv": {0: 0.0}})


def test_a_model_that_gives_no_row_of_scores_is_refused_in_words():
    with pytest.raises(ValueError, match="one row of scores is wanted"):
        ablate(nn.Conv2d(1, 2, 3), IMAGE, {})


def test_boxes_are_no_scores():
    with pytest.raises(ValueError, match="puts out boxes"):
        ablate(teaching.YoloV7Tiny(2, width=0.125), torch.rand(1, 3, 32, 32), {"backbone.stem": {0: 0.0}})


# -- nothing of it stays


def test_a_model_is_left_as_it_was_also_after_an_error():
    model = net().train()
    model[3].eval()
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rng = torch.get_rng_state()
    ablate(model, IMAGE, {"0": {0: 2.0}})
    with pytest.raises(ValueError):
        ablate(model, IMAGE, {"0": {99: 2.0}})
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())
    assert [module.training for module in model] == [True] * 3 + [False] + [True] * 4
    assert torch.equal(rng, torch.get_rng_state())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_run_that_is_touched_at_every_step_ends_with_the_weights_of_one_that_is_not():
    work = {"0": {1: 0.0}, "2": {0: 2.0}, "5": {3: -1.0}}

    def trained(touching: bool) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        data = torch.rand(32, 1, 8, 8, generator=generator), torch.arange(32) % 3
        session = Session(net(), data, batch_size=8, epochs=3, threads=1)
        try:
            for _ in range(12):
                session.step(1)
                if touching:
                    session.at_step(lambda: ablate(session.model, IMAGE, work, session.scores_of)).result(10)
            return {name: tensor.clone() for name, tensor in session.model.state_dict().items()}
        finally:
            session.close()

    plain, other = trained(False), trained(True)
    assert all(torch.equal(plain[name], other[name]) for name in plain)


def test_touching_between_forward_and_backward_leaves_the_gradients_bit_for_bit():
    def gradients(touching: bool) -> list[torch.Tensor]:
        model = net()
        torch.manual_seed(1)
        loss = model(IMAGE.expand(4, -1, -1, -1)).square().sum()
        if touching:
            ablate(model, IMAGE, {"0": {1: 0.0}, "5": {3: 2.0}})
        loss.backward()
        return [parameter.grad for parameter in model.parameters()]

    assert all(map(torch.equal, gradients(False), gradients(True)))
