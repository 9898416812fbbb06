"""How activations are spread: against numpy and torch, whole and by channel, and without copies of it all."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dlwidgets.core.activations.activations import activations
from dlwidgets.core.activations.distribution import (
    COLUMNS,
    QUANTILES,
    by_channel,
    distribution,
    limits_of,
    map_frame,
    quantiles,
)
from dlwidgets.core.pictures.picture import make_picture
from dlwidgets.core.pictures.statistics import PIECE, compute_statistics

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -0.0, 1.0])
VALUES = st.lists(FLOATS, min_size=1, max_size=60).map(
    lambda values: torch.tensor(values, dtype=torch.float32)
)


def close(found, expected) -> bool:
    return np.allclose(found, expected, rtol=1e-5, atol=1e-30, equal_nan=True)


def expected_of(values: np.ndarray) -> dict[str, float]:
    finite = values[np.isfinite(values)].astype(float)
    with np.errstate(all="ignore"):
        return {
            "mean": finite.mean() if finite.size else math.nan,
            "std": finite.std() if finite.size else math.nan,
            "zeros": (values == 0).mean(),
            "nonfinite": 1 - np.isfinite(values).mean(),
        }


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_mean_deviation_and_shares_are_those_of_numpy(values):
    found, expected = compute_statistics(values), expected_of(values.numpy())
    for name, number in expected.items():
        # What is summed in another order differs by the rounding of the largest.
        size = values[values.isfinite()].double().abs().max().item() if values.isfinite().any() else 1.0
        assert math.isclose(getattr(found, name), number, rel_tol=1e-9, abs_tol=1e-12 * size) or (
            math.isnan(number) and math.isnan(getattr(found, name))
        ), name


def test_values_in_many_pieces_have_the_deviation_of_all():
    values = torch.cat([torch.randn(PIECE + 5) + 1000, torch.randn(PIECE // 2) - 3])
    expected = expected_of(values.numpy())
    found = compute_statistics(values)
    assert found.mean == pytest.approx(expected["mean"], rel=1e-9)
    assert found.std == pytest.approx(expected["std"], rel=1e-9)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_quantiles_are_those_of_numpy_over_the_finite_values(values):
    finite = values[values.isfinite()].double().numpy()
    found = quantiles(values)
    if not finite.size:
        assert all(map(math.isnan, found))
    else:
        size = max(1e-30, float(np.abs(finite).max()))
        assert np.allclose(found, np.quantile(finite, QUANTILES), rtol=1e-6, atol=1e-6 * size)


def test_quantiles_of_very_many_values_are_exact():
    values = torch.randn(2**22 + 1_000)
    assert close(quantiles(values), np.quantile(values.double().numpy(), QUANTILES))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    axis=st.integers(0, 3),
    seed=st.integers(0, 2**31),
    holes=st.booleans(),
)
def test_each_channel_has_what_the_channel_alone_has(shape, axis, seed, holes):
    torch.manual_seed(seed)
    axis %= len(shape)
    tensor = torch.randn(shape)
    if holes:
        tensor[torch.rand(shape) < 0.2] = 0.0
        tensor[torch.rand(shape) < 0.2] = math.nan
        tensor[torch.rand(shape) < 0.1] = math.inf
    found = by_channel(tensor, axis, limits_of(nn.Tanh()))
    for number, channel in enumerate(tensor.unbind(axis)):
        assert close(found[number], distribution(channel, limits_of(nn.Tanh())).row())


def test_large_channels_are_read_by_pieces_and_are_the_same():
    tensor = torch.randn(1, 2, PIECE + 10)
    found = by_channel(tensor, 1)
    assert close(found[1], distribution(tensor[:, 1]).row())


class Largest(TorchDispatchMode):
    """The most values that one operation put into memory of its own."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in args if isinstance(t, torch.Tensor)}
        for one in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(one, torch.Tensor) and one.untyped_storage().data_ptr() not in given:
                self.values = max(self.values, one.numel())
        return result


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(64, 128, 32, 32),
        torch.zeros(64, 128, 32, 32).contiguous(memory_format=torch.channels_last),
        torch.zeros(8, 1024, 1024).transpose(1, 2),
    ],
    ids=["as it is", "channels last", "turned"],
)
def test_nothing_is_copied_as_a_whole_but_once_for_the_quantiles(tensor):
    with Largest() as largest:
        distribution(tensor[:1, :1], limits_of(nn.Tanh()))  # what is imported at first use is not meant
        largest.values = 0
        tracemalloc.start()
        by_channel(tensor, 1)
        by_pieces = tracemalloc.get_traced_memory()[1]
        distribution(tensor, limits_of(nn.Tanh()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0 < largest.values <= PIECE < tensor.numel() / 7
    # A byte of each value, too, says whether it is finite.
    assert by_pieces < tensor.nbytes / 4 and peak < 1.6 * tensor.nbytes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool, torch.complex64])
def test_values_of_any_type_are_told(dtype):
    values = torch.tensor([0, 1, 1, 3]).to(dtype)
    found = distribution(values)
    expected = np.abs(values.to(torch.complex64).numpy())
    assert found.mean == pytest.approx(expected.mean()) and found.zeros == 0.25
    assert found.quantiles[-1] == pytest.approx(expected.max())


def test_an_empty_tensor_has_nothing_to_tell():
    found = distribution(torch.empty(0, 3))
    assert math.isnan(found.mean) and found.zeros == 0 and all(map(math.isnan, found.quantiles))
    assert by_channel(torch.empty(0, 3), 1)[:, COLUMNS.index("zeros")].tolist() == [0, 0, 0]


# -- saturation


@pytest.mark.parametrize(
    ("layer", "slope_of"),
    [(nn.Tanh(), torch.tanh), (nn.Sigmoid(), torch.sigmoid), (nn.Softsign(), nn.Softsign())],
)
def test_an_activation_is_saturated_where_its_slope_is_under_six_percent_of_its_largest(layer, slope_of):
    x = torch.linspace(-9, 9, 2_001, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(slope_of(x).sum(), x)
    flat = slope < (1 - 0.97**2) * slope.max()
    found = limits_of(layer).mask(layer(x.detach()))
    assert 0 < int(flat.sum()) < len(x)
    assert int((flat != found).sum()) <= 2, "all but the very edge"


@pytest.mark.parametrize("layer", [nn.Hardtanh(-2, 1), nn.Hardsigmoid()])
def test_a_hard_activation_is_saturated_where_no_gradient_passes(layer):
    x = torch.linspace(-9.05, 9, 100, requires_grad=True)  # none at the very edge
    (slope,) = torch.autograd.grad(layer(x).sum(), x)
    assert torch.equal(limits_of(layer).mask(layer(x)), slope == 0)


def test_relu6_is_saturated_at_its_upper_end_and_zero_at_its_lower():
    found = activations(nn.Sequential(nn.ReLU6()), torch.tensor([[-1.0, 0.0, 3.0, 6.0, 9.0]])).statistics()[
        "0"
    ]
    assert found.saturated == 0.4 and found.zeros == 0.4


@pytest.mark.parametrize("dim", [1, -1])
def test_a_softmax_is_saturated_in_rows_where_one_value_takes_all(dim):
    x = torch.tensor([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 0.0, 9.0], [1.0, 0.0, 0.0]])
    found = activations(nn.Sequential(nn.Softmax(dim)), x)
    assert found.statistics()["0"].saturated == 0.5
    assert found.channels().loc["0", "saturated"].tolist() == [0.25, 0, 0.25]
    logs = activations(nn.Sequential(nn.LogSoftmax(dim)), x)
    assert logs.statistics()["0"].saturated == 0.5


def test_an_lstm_is_saturated_in_what_it_puts_out_not_in_its_cells():
    lstm = nn.LSTM(1, 4, batch_first=True)
    found = activations(lstm, torch.rand(2, 3, 1), "").statistics()
    assert found[""].saturated == 0 and found["[1][0]"].saturated == 0
    assert math.isnan(found["[1][1]"].saturated)


def test_a_layer_without_ends_is_never_saturated():
    found = activations(nn.Linear(2, 2), torch.rand(2, 2), "")
    assert math.isnan(found.statistics()[""].saturated)


# -- which axis is which


def only(model: nn.Module, x: torch.Tensor):
    """The channels of the last layer's output."""
    found = activations(model, x)
    return found, list(found)[-1]


@pytest.mark.parametrize(
    ("model", "shape", "count"),
    [
        (nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU()), (2, 3, 8, 8), 5),
        (nn.Sequential(nn.Conv1d(3, 5, 3), nn.ReLU(), nn.Dropout()), (2, 3, 9), 5),
        (nn.Sequential(nn.Conv3d(1, 4, 3), nn.GELU()), (2, 1, 5, 5, 5), 4),
        (nn.Sequential(nn.Linear(6, 7), nn.ReLU()), (2, 5, 6), 7),
        (nn.Sequential(nn.Linear(6, 7), nn.GELU()), (2, 5, 5, 6), 7),
        (nn.Sequential(nn.LayerNorm(6)), (2, 5, 6), 6),
        (nn.Sequential(nn.Conv1d(3, 5, 3), nn.BatchNorm1d(5)), (2, 3, 9), 5),
        (nn.Sequential(nn.MultiheadAttention(8, 2).out_proj), (2, 5, 8), 8),
        (nn.Sequential(nn.Flatten(), nn.Linear(6, 3)), (4, 6), 3),
    ],
    ids=["conv", "conv 1-D", "conv 3-D", "dense on a sequence", "dense on an image", "norm", "batch norm 1-D",
         "projection", "vector"],
)  # fmt: skip
def test_the_channels_are_where_the_kind_of_layer_has_them(model, shape, count):
    found, key = only(model.eval(), torch.randn(shape))
    table = found.channels().loc[key]
    assert len(table) == count == found[key].shape[found.axes[key]]
    channel = found[key].select(found.axes[key], count - 1)
    assert table["mean"].iloc[-1] == pytest.approx(float(channel.double().mean()))


class Turn(nn.Module):
    """Puts the channels last, as ConvNeXt does."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def test_channels_are_followed_where_a_layer_puts_the_axes_in_another_order():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), Turn(), nn.Linear(3, 5), nn.GELU())
    axes = activations(model, torch.rand(2, 1, 9, 9)).axes
    assert (axes["0"], axes["2"], axes["3"]) == (1, 3, 3)


def test_channels_are_followed_through_functions():
    class Joins(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(2, 3, 1)

        def forward(self, x):
            y = torch.relu(self.conv(x))
            return torch.cat([y, y], 1).transpose(1, 2)

    found = activations(Joins(), torch.rand(2, 2, 9), functional=True)
    assert found.axes == {"conv": 1, "relu": 1, "cat": 1, "transpose": 2}


def test_a_recurrence_has_its_units_last():
    found = activations(nn.LSTM(3, 6, batch_first=True), torch.rand(2, 4, 3), "")
    assert found.axes == {"": 2, "[1][0]": 2, "[1][1]": 2}


def test_the_tables_name_layers_and_channels():
    found = activations(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU()), torch.randn(2, 1, 6, 6))
    frame, channels = found.to_frame(), found.channels()
    assert frame.index.tolist() == ["0", "1"] and channels.index.names == ["layer", "channel"]
    assert close(frame.loc["1", "95%"], np.quantile(found["1"].double().numpy(), 0.95))
    assert close(channels.loc[("0", 2), "50%"], np.quantile(found["0"][:, 2].double().numpy(), 0.5))
    assert not frame["sampled"].any()


# -- the maps of a picture


@pytest.mark.parametrize("picked", [0, 3])
def test_the_rows_of_numbers_are_those_of_pandas(picked):
    output = torch.randn(1, 4, 5, 6).relu()
    frame = map_frame(make_picture(output))
    column = pd.Series(output[0, picked].flatten().numpy().astype(float))
    row = frame.loc[picked]
    assert row["mean"] == pytest.approx(column.mean())
    assert row["std"] == pytest.approx(column.std(ddof=0))
    assert (row["min"], row["max"]) == (column.min(), column.max())
    assert row["strength"] == pytest.approx(column.abs().mean())
    assert row["zeros"] == pytest.approx((column == 0).mean())
    assert frame.index.name == "channel"


def test_the_rows_of_a_vector_are_its_units():
    output = torch.randn(1, 6)
    assert map_frame(make_picture(output))["value"].tolist() == output[0].tolist()


def test_a_map_without_finite_values_has_no_mean():
    frame = map_frame(make_picture(torch.full((1, 1, 2, 2), torch.nan)))
    assert np.isnan(frame.loc[0, "mean"]) and frame.loc[0, "nonfinite"] == 1
