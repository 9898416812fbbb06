"""MACs of single layers and functions, against counts by hand and against torch's own counter of FLOPs."""

from __future__ import annotations

import copy
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import dlwidgets as dlw


class Calls(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def macs_of(model, *inputs) -> int:
    """The MACs that the summary finds, with nothing left out."""
    table = dlw.summary(model, inputs)
    assert table.complete, table.error
    assert not table.uncounted, table.uncounted
    assert sum(row.own_macs for row in table.rows) == table.total_macs
    return table.total_macs


def macs_of_torch(model, *inputs) -> int:
    """Half of what torch counts on the meta device, where nothing is fused away."""
    model = copy.deepcopy(model).eval().to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*(value.to("meta") for value in inputs))
    flops = counter.get_total_flops()
    assert flops and flops % 2 == 0
    return flops // 2


# -- by hand

CONVOLUTIONS = {
    "1-D": (nn.Conv1d(3, 8, 5), (2, 3, 20), 2 * 8 * 16 * 3 * 5),
    "2-D": (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 10, 12), 2 * 8 * 10 * 12 * 3 * 9),
    "3-D": (nn.Conv3d(2, 4, 3), (1, 2, 5, 6, 7), 4 * 3 * 4 * 5 * 2 * 27),
    "strided": (nn.Conv2d(3, 8, 3, stride=2), (2, 3, 11, 11), 2 * 8 * 5 * 5 * 3 * 9),
    "dilated": (nn.Conv2d(3, 8, 3, dilation=2), (2, 3, 11, 11), 2 * 8 * 7 * 7 * 3 * 9),
    "grouped": (nn.Conv2d(8, 12, 3, groups=4), (2, 8, 10, 10), 2 * 12 * 8 * 8 * 2 * 9),
    "depthwise": (nn.Conv2d(8, 8, 3, groups=8), (2, 8, 10, 10), 2 * 8 * 8 * 8 * 1 * 9),
    "without a batch": (nn.Conv2d(3, 8, 3), (3, 10, 10), 8 * 8 * 8 * 3 * 9),
    "same padding": (nn.Conv2d(3, 8, 4, padding="same"), (2, 3, 10, 10), 2 * 8 * 10 * 10 * 3 * 16),
    "circular padding": (
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular"),
        (2, 3, 9, 9),
        2 * 8 * 81 * 27,
    ),
    # Transposed: each value of the input is spread over kernel and output channels.
    "transposed 1-D": (nn.ConvTranspose1d(3, 8, 5, stride=2), (2, 3, 20), 2 * 3 * 20 * 8 * 5),
    "transposed 2-D": (nn.ConvTranspose2d(4, 6, 3, stride=2), (2, 4, 7, 5), 2 * 4 * 7 * 5 * 6 * 9),
    "transposed 3-D": (nn.ConvTranspose3d(2, 4, 2, stride=2), (1, 2, 3, 4, 5), 2 * 60 * 4 * 8),
    "transposed grouped": (nn.ConvTranspose2d(4, 6, 3, groups=2), (2, 4, 7, 5), 2 * 4 * 35 * 3 * 9),
}
LAYERS = {
    "linear": (nn.Linear(7, 5), (3, 7), 3 * 7 * 5),
    "linear on one sample": (nn.Linear(7, 5), (7,), 7 * 5),
    "linear on three axes": (nn.Linear(7, 5), (3, 4, 7), 3 * 4 * 7 * 5),
    "linear on four axes": (nn.Linear(7, 5, bias=False), (3, 2, 4, 7), 3 * 2 * 4 * 7 * 5),
    "normalised": (nn.BatchNorm2d(3), (2, 3, 4, 4), 0),
    "activated": (nn.GELU(), (2, 3), 0),
    # At each step of each sample: every matrix once.
    "lstm": (nn.LSTM(4, 6), (7, 3, 4), 7 * 3 * 4 * 6 * (4 + 6)),
    "lstm, two layers, both ways": (
        nn.LSTM(4, 6, 2, bidirectional=True), (7, 3, 4), 7 * 3 * 2 * (4 * 6 * (4 + 6) + 4 * 6 * (12 + 6)),
    ),
    "lstm with a projection": (nn.LSTM(4, 6, proj_size=2), (7, 3, 4), 7 * 3 * (4 * 6 * (4 + 2) + 6 * 2)),
    "gru": (nn.GRU(4, 6, batch_first=True), (3, 7, 4), 7 * 3 * 3 * 6 * (4 + 6)),
    "rnn": (nn.RNN(4, 6), (7, 3, 4), 7 * 3 * 6 * (4 + 6)),
    "rnn on one sample": (nn.RNN(4, 6), (7, 4), 7 * 6 * (4 + 6)),
    "lstm cell": (nn.LSTMCell(4, 6), (3, 4), 3 * 4 * 6 * (4 + 6)),
    "gru cell": (nn.GRUCell(4, 6), (3, 4), 3 * 3 * 6 * (4 + 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", [*CONVOLUTIONS, *LAYERS])
def test_a_layer_has_the_macs_that_are_counted_by_hand(name):
    layer, shape, by_hand = (CONVOLUTIONS | LAYERS)[name]
    assert macs_of(layer, torch.rand(shape)) == by_hand


@pytest.mark.parametrize("name", [name for name, (_, _, count) in (CONVOLUTIONS | LAYERS).items() if count])
def test_a_layer_has_half_the_flops_that_torch_counts(name):
    layer, shape, _ = (CONVOLUTIONS | LAYERS)[name]
    assert macs_of(layer, torch.rand(shape)) == macs_of_torch(layer, torch.rand(shape))


def test_functions_are_credited_to_the_module_that_calls_them():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel, self.inner = nn.Parameter(torch.rand(4, 3, 3, 3)), nn.Linear(4, 4)

        def forward(self, x):
            x = F.conv2d(x, self.kernel)  # 4 x 6 x 6 outputs of 27
            x = self.inner(x.flatten(2).transpose(1, 2))  # 36 rows of 4 x 4
            return x @ x.transpose(1, 2)  # 36 x 36 outputs of 4

    table = dlw.summary(nn.Sequential(Block(), nn.Flatten(), nn.Linear(1296, 2)), torch.rand(1, 3, 8, 8))
    assert table["0"].own_macs == 4 * 36 * 27 + 36 * 36 * 4
    assert table["0.inner"].macs == 36 * 16
    assert table["0"].macs == table["0"].own_macs + 36 * 16
    assert table.total_macs == table["0"].macs + 1296 * 2


def test_what_has_no_formula_is_named_with_its_layer():
    model = nn.Sequential(
        nn.Linear(8, 8), Calls(lambda x: torch.linalg.solve(torch.eye(8), x.T)), Calls(torch.fft.rfft)
    )
    table = dlw.summary(model, torch.rand(3, 8))
    assert table.complete and table.total_macs == 3 * 64
    assert {path for paths in table.uncounted.values() for path in paths} == {"1", "2"}
    assert any("solve" in name for name in table.uncounted) and any("fft" in name for name in table.uncounted)
    said = [name.removeprefix("aten.").strip("_") for name in table.uncounted]
    assert all(name in str(table) for name in said) and "at least" in str(table) and "aten" not in str(table)


# -- attention

B, H, L, S, E, V = 2, 4, 5, 7, 8, 6
WHOLE = B * H * L * S * (E + V)


@pytest.mark.parametrize("masked", ["no mask", "causal", "bool mask", "added mask", "dropout"])
def test_attention_counts_both_its_products_whatever_hides_a_part(masked):
    def attend(q, k, v):
        options = {
            "no mask": {}, "causal": {"is_causal": True}, "dropout": {"dropout_p": 0.5},
            "bool mask": {"attn_mask": torch.ones(L, S, dtype=torch.bool)},
            "added mask": {"attn_mask": torch.zeros(B, 1, L, S)},
        }[masked]  # fmt: skip
        return F.scaled_dot_product_attention(q, k, v, **options)

    assert (
        macs_of(Calls(attend), torch.rand(B, H, L, E), torch.rand(B, H, S, E), torch.rand(B, H, S, V))
        == WHOLE
    )


def test_grouped_queries_count_as_many_products_as_there_are_queries():
    def attend(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    shared = torch.rand(B, 2, S, E), torch.rand(B, 2, S, E)
    assert macs_of(Calls(attend), torch.rand(B, H, L, E), *shared) == B * H * L * S * 2 * E


def test_attention_written_out_counts_as_much_as_torch_s_own():
    def written_out(q, k, v):
        return torch.softmax(q @ k.transpose(-2, -1) / E**0.5, -1) @ v

    def einsum(q, k, v):
        return torch.einsum("bhls,bhsv->bhlv", torch.einsum("bhle,bhse->bhls", q, k).softmax(-1), v)

    inputs = torch.rand(B, H, L, E), torch.rand(B, H, S, E), torch.rand(B, H, S, V)
    assert macs_of(Calls(written_out), *inputs) == macs_of(Calls(einsum), *inputs) == WHOLE


@pytest.mark.parametrize("batch_first", [True, False])
def test_multi_head_attention_counts_its_projections_and_products(batch_first):
    layer, width = nn.MultiheadAttention(8, 2, batch_first=batch_first), 8
    shape = (3, 5, 8) if batch_first else (5, 3, 8)
    x = torch.rand(shape)
    by_hand = 3 * 5 * width * width * 4 + 3 * 5 * 5 * width * 2
    assert macs_of(layer, x, x, x) == by_hand == macs_of_torch(layer, x, x, x)


def test_layers_on_torch_s_fused_path_count_as_those_off_it():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    rows, width, inner = 3 * 5, 8, 16
    by_hand = rows * width * width * 4 + 3 * 5 * 5 * width * 2 + rows * width * inner * 2
    assert macs_of(layer, torch.rand(3, 5, 8)) == by_hand
    encoder = nn.TransformerEncoder(layer, 3).eval()
    table = dlw.summary(encoder, torch.rand(3, 5, 8))
    assert table.total_macs == 3 * by_hand and table["layers.2.linear1"].macs == rows * width * inner
    mask = torch.tensor([[False] * 5, [False] * 4 + [True], [False] * 3 + [True] * 2])
    padded = dlw.summary(encoder, {"src": torch.rand(3, 5, 8), "src_key_padding_mask": mask})
    assert padded.complete and padded.total_macs == 3 * by_hand


def test_a_layer_of_attention_takes_its_inputs_by_name():
    layer = nn.MultiheadAttention(8, 2)
    x = torch.rand(5, 3, 8)
    named = dlw.summary(layer, {"query": x, "key": x, "value": x})
    assert named.complete and named.total_macs == macs_of(layer, x, x, x)


# -- products of every form

PRODUCTS = {
    "mm": (torch.mm, [(3, 4), (4, 5)], 60),
    "mv": (torch.mv, [(3, 4), (4,)], 12),
    "dot": (torch.dot, [(4,), (4,)], 4),
    "bmm": (torch.bmm, [(2, 3, 4), (2, 4, 5)], 120),
    "addmm": (torch.addmm, [(5,), (3, 4), (4, 5)], 60),
    "baddbmm": (torch.baddbmm, [(2, 3, 5), (2, 3, 4), (2, 4, 5)], 120),
    "addbmm": (torch.addbmm, [(3, 5), (2, 3, 4), (2, 4, 5)], 120),
    "addmv": (torch.addmv, [(3,), (3, 4), (4,)], 12),
    "matmul, spread": (torch.matmul, [(2, 1, 3, 4), (6, 4, 5)], 2 * 6 * 60),
    "matmul of vectors": (torch.matmul, [(4,), (4,)], 4),
    "tensordot": (lambda a, b: torch.tensordot(a, b, 1), [(2, 3, 4), (4, 5)], 120),
    "outer": (torch.outer, [(3,), (4,)], 0),  # products that are not summed
    "einsum": (lambda a, b: torch.einsum("bij,bjk->bik", a, b), [(2, 3, 4), (2, 4, 5)], 120),
    "inner": (torch.inner, [(3, 4), (5, 4)], 60),
    "linear": (F.linear, [(3, 4), (5, 4)], 60),
    "conv": (F.conv2d, [(1, 3, 6, 6), (4, 3, 3, 3)], 4 * 16 * 27),
    "sums": (lambda a: a.sum() + a.mean() + a.norm(), [(3, 4)], 0),
    "chain": (lambda a, b, c: torch.linalg.multi_dot([a, b, c]), [(2, 3), (3, 4), (4, 5)], 24 + 40),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_has_the_macs_that_are_counted_by_hand(name):
    function, shapes, by_hand = PRODUCTS[name]
    assert macs_of(Calls(function), *map(torch.rand, shapes)) == by_hand


def test_a_bilinear_layer_counts_the_inner_sums_and_the_outer():
    assert macs_of(nn.Bilinear(3, 4, 5), torch.rand(2, 3), torch.rand(2, 4)) == 2 * 5 * 4 * (3 + 1)


def test_half_precision_counts_as_single():
    layer = nn.Linear(8, 8)
    assert macs_of(layer, torch.rand(2, 8)) == macs_of(layer.bfloat16(), torch.rand(2, 8).bfloat16())


def test_macs_are_those_of_the_whole_batch():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    one = macs_of(model, torch.rand(1, 1, 8, 8))
    assert [macs_of(model, torch.rand(n, 1, 8, 8)) for n in (2, 7, 32)] == [2 * one, 7 * one, 32 * one]


# -- properties


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_convolution_has_half_the_flops_that_torch_counts(data):
    axes = data.draw(st.integers(1, 3))
    groups = data.draw(st.integers(1, 3))
    channels, outputs = (groups * data.draw(st.integers(1, 3)) for _ in range(2))
    transposed = data.draw(st.booleans())
    kind = getattr(nn, f"Conv{'Transpose' if transposed else ''}{axes}d")
    layer = kind(
        channels, outputs, data.draw(st.integers(1, 3)), stride=data.draw(st.integers(1, 2)), groups=groups,
        padding=data.draw(st.integers(0, 1)), dilation=data.draw(st.integers(1, 2)),
        bias=data.draw(st.booleans()),
    )  # fmt: skip
    sizes = [data.draw(st.integers(5, 9)) for _ in range(axes)]
    x = torch.rand(data.draw(st.integers(1, 3)), channels, *sizes)
    assert macs_of(layer, x) == macs_of_torch(layer, x)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from([nn.LSTM, nn.GRU, nn.RNN]),
    sizes=st.tuples(*[st.integers(1, 5)] * 4),
    layers=st.integers(1, 3),
    both=st.booleans(),
    first=st.booleans(),
)
def test_any_recurrence_has_the_macs_of_its_matrices_at_each_step(kind, sizes, layers, both, first):
    steps, batch, features, width = sizes
    layer = kind(features, width, layers, bidirectional=both, batch_first=first)
    x = torch.rand(batch, steps, features) if first else torch.rand(steps, batch, features)
    matrices = sum(prod(p.shape) for name, p in layer.named_parameters() if "weight" in name)
    assert macs_of(layer, x) == steps * batch * matrices
