"""Attention weights: seen wherever a model computes them, equal to the formula, without a trace."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlwidgets.core.activations.activations import activations
from dlwidgets.core.activations.attention import attention_weights
from dlwidgets.core.pictures.picture import make_picture

KEY = "attention[attention]"


class Asking(nn.Module):
    """nn.MultiheadAttention as transformer layers call it: the weights are not asked for."""

    def __init__(self, need_weights=False, batch_first=True, **options):
        super().__init__()
        torch.manual_seed(0)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first, **options)
        self.need_weights = need_weights

    def forward(self, x, **others):
        return self.attention(x, x, x, need_weights=self.need_weights, **others)[0]


def asked(model: Asking, x: torch.Tensor, **others) -> torch.Tensor:
    """What nn.MultiheadAttention itself gives, head by head."""
    with torch.no_grad():
        return model.attention(x, x, x, need_weights=True, average_attn_weights=False, **others)[1]


X = torch.rand(3, 5, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("need_weights", [False, True])
def test_the_weights_of_multihead_attention_are_those_that_it_gives_when_asked(need_weights):
    model = Asking(need_weights).eval()
    found = activations(model, X, "attention")
    assert found[KEY].shape == (3, 2, 5, 5)
    torch.testing.assert_close(found[KEY], asked(model, X))


def test_the_weights_of_multihead_attention_follow_the_formula():
    model = Asking().eval()
    weight, bias = model.attention.in_proj_weight, model.attention.in_proj_bias
    with torch.no_grad():
        q, k, _ = F.linear(X, weight, bias).chunk(3, dim=-1)
        q, k = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in (q, k))
        expected = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(4), -1)
    torch.testing.assert_close(activations(model, X, "attention")[KEY], expected)


@pytest.mark.parametrize(
    "others",
    [
        {"key_padding_mask": torch.tensor([[False] * 4 + [True]] * 3)},
        {"attn_mask": torch.triu(torch.ones(5, 5, dtype=torch.bool), 1), "is_causal": True},
        {"attn_mask": torch.rand(6, 5, 5)},
    ],
    ids=["padding", "causal", "a mask for each head"],
)
@pytest.mark.parametrize("cap", [None, 1000])
def test_masks_are_heeded_also_where_few_samples_fit(others, cap):
    model = Asking().eval()
    found = activations(model, {"x": X, **others}, "attention", cap=cap)
    expected = asked(model, X, **{k: v for k, v in others.items() if k != "is_causal"})
    kept = len(found[KEY])
    assert kept == 3 if cap is None else 1 <= kept < 3
    torch.testing.assert_close(found[KEY], expected[:kept])


@pytest.mark.parametrize("options", [{"add_bias_kv": True}, {"add_zero_attn": True}])
def test_keys_that_the_layer_adds_have_weights_too(options):
    model = Asking(**options).eval()
    torch.testing.assert_close(activations(model, X, "attention")[KEY], asked(model, X))


def test_time_first_and_single_samples_have_samples_first_in_the_weights():
    model = Asking(batch_first=False).eval()
    x = X.transpose(0, 1)
    torch.testing.assert_close(activations(model, x, "attention")[KEY], asked(model, x))
    torch.testing.assert_close(activations(model, X[0], "attention")[KEY], asked(model, X[0])[None])


def test_the_heads_inside_the_fused_transformer_path_are_reached():
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=12, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    found = activations(model, X, "*[attention]")
    assert list(found) == ["layers.0.self_attn[attention]", "layers.1.self_attn[attention]"]
    with torch.no_grad():
        attention = model.layers[0].self_attn
        expected = attention(X, X, X, average_attn_weights=False)[1]
    torch.testing.assert_close(found["layers.0.self_attn[attention]"], expected)


class Products(nn.Module):
    """Attention by torch's function, as most models call it."""

    def __init__(self, **options):
        super().__init__()
        self.options = options

    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, **self.options)


@settings(max_examples=40, deadline=None)
@given(
    heads=st.integers(1, 3),
    queries=st.integers(1, 6),
    keys=st.integers(1, 6),
    mask=st.sampled_from(["none", "bool", "float", "causal"]),
    scale=st.sampled_from([None, 0.3]),
    seed=st.integers(0, 2**31),
)
def test_the_weights_of_products_are_those_of_torchs_own_formula(heads, queries, keys, mask, scale, seed):
    torch.manual_seed(seed)
    q, k, v = (torch.randn(2, heads, length, 4) for length in (queries, keys, keys))
    options = {"scale": scale, "is_causal": mask == "causal"}
    added = dict(options)
    if mask == "float":
        options["attn_mask"] = added["attn_mask"] = torch.randn(queries, keys)
    elif mask == "bool":
        options["attn_mask"] = torch.rand(queries, keys) > 0.3
        added["attn_mask"] = torch.zeros(queries, keys).masked_fill(~options["attn_mask"], -torch.inf)
    expected = torch.ops.aten._scaled_dot_product_attention_math(q, k, v, **added)[1]
    found = activations(Products(**options), (q, k, v), "")
    torch.testing.assert_close(found["[attention]"], expected)
    torch.testing.assert_close(found["[attention]"] @ v, found[""])


def test_heads_that_share_their_keys_are_taken_apart():
    q, k, v = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    found = activations(Products(enable_gqa=True), (q, k, v), "")
    assert found["[attention]"].shape == (2, 4, 5, 5)
    torch.testing.assert_close(found["[attention]"] @ v.repeat_interleave(2, 1), found[""])


class Written(nn.Module):
    """Attention as it is written out in courses."""

    def __init__(self, product, heads=2):
        super().__init__()
        self.qkv, self.product, self.heads = nn.Linear(8, 24), product, heads
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        if self.heads == 1:
            q, k, v = q[:, 0], k[:, 0], v[:, 0]
        weights = self.drop(torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), dim=-1))
        self.by_hand = weights
        return self.product(weights, v)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize(
    "product",
    [torch.matmul, lambda w, v: w @ v, lambda w, v: torch.einsum("...ij,...jd->...id", w, v)],
    ids=["matmul", "@", "einsum"],
)
def test_attention_that_is_written_out_is_seen_as_well(product, heads):
    kept = []

    def keeping(weights, values):
        kept.append(weights.clone())
        return product(weights, values)

    found = activations(Written(keeping, heads), X, "")
    expected = kept[0] if heads > 1 else kept[0][:, None]
    assert torch.equal(found["[attention]"], expected)
    assert found.axes["[attention]"] == 1


def test_a_softmax_that_weighs_nothing_is_no_attention():
    class Head(nn.Module):
        def forward(self, x):
            return torch.softmax(x, -1)

    found = activations(Head(), X, "")
    assert list(found) == [""]


def test_a_layer_without_attention_says_so_when_asked_for_it():
    found = activations(Asking(), X, ["attention", "attention.out_proj[attention]", "[attention]"])
    assert found.missing["[attention]"].startswith("computes no attention weights by itself (Asking")
    assert "MultiheadAttention around it" in found.missing["attention.out_proj[attention]"]


def test_a_model_without_attention_says_so_when_asked_for_all_of_it():
    found = activations(nn.Sequential(nn.Linear(8, 8)), X, "*[attention]")
    assert not found
    assert found.missing == {"*[attention]": "is met by no layer that computes attention in this forward"}


def test_a_layer_that_attends_twice_has_both():
    class Twice(nn.Module):
        def forward(self, x):
            y = F.scaled_dot_product_attention(x, x, x)
            return F.scaled_dot_product_attention(x, y, y)

    found = activations(Twice(), X, "")
    assert list(found) == ["", "[attention]", "#2[attention]"]
    assert found.parts("") == list(found)


def test_the_output_is_exactly_that_of_the_model():
    model = Asking().train()  # without dropout; in eval mode torch would take its fused path
    with torch.no_grad():
        expected = model(X)
    assert torch.equal(activations(model, X, "attention").output, expected)


def test_looking_at_attention_leaves_no_trace():
    model = Asking(dropout=0.5).train()
    before = copy.deepcopy(model.state_dict())
    attributes = {path: dict(vars(module)) for path, module in model.named_modules()}
    generator = torch.get_rng_state()
    activations(model, X.clone().requires_grad_(), ["", "attention"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(module.training for module in model.modules())
    for path, module in model.named_modules():
        assert vars(module).keys() == attributes[path].keys()
        assert not module._forward_hooks and not module._forward_pre_hooks
        assert not module._forward_hooks_always_called and not module._forward_pre_hooks_with_kwargs
    assert not torch.overrides._get_current_function_mode_stack()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_nothing_stays_entered_when_the_forward_fails():
    with pytest.raises(RuntimeError):
        activations(Asking(), torch.rand(2, 3, 7), "attention")
    assert not torch.overrides._get_current_function_mode_stack()


def test_a_sequence_too_long_for_the_cap_shows_every_few_queries():
    q = torch.randn(1, 2, 64, 4)
    found = activations(Products(), (q, q, q), "[attention]", cap=2**14)
    expected = attention_weights(q, q)
    step = 64 // found["[attention]"].shape[2]
    assert step > 1 and found["[attention]"].numel() * 4 <= 2**14
    torch.testing.assert_close(found["[attention]"], expected[:, :, ::step])
    assert f"every {step}" in found.sampled["[attention]"]


def test_heads_are_drawn_as_matrices():
    found = activations(Asking(), X, "attention")
    assert make_picture(found[KEY]).kind == "attention"
