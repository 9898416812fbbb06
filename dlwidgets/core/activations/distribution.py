"""The distribution of a tensor's values, and where they are saturated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from ..layers.framework import framework_of
from ..pictures.statistics import PIECE, Statistics, compute_statistics, flatten_by_stride, to_real

if TYPE_CHECKING:
    import pandas as pd

    from ..pictures.picture import Picture

#: Of a tanh: its slope is then under 0.06 of its largest. Glorot and Bengio 2010 ("Understanding the
#: difficulty of training deep feedforward neural networks") look at tails like this; the figure is that of
#: Karpathy's lecture "Building makemore, part 3". All others are taken where their slope is as small.
_TANH = 0.97
_SLOPE = 1 - _TANH**2
#: A sigmoid is a tanh: 2s(x) - 1 = tanh(x/2); and p(1 - p) is the slope of a softmax, too.
_SIGMOID = (1 + _TANH) / 2
#: A softsign y has the slope (1 - |y|)².
_SOFTSIGN = 1 - math.sqrt(_SLOPE)


@dataclass(frozen=True)
class Limits:
    """Where an activation is saturated: no gradient passes.

    It is at or below `low`, at or above `high`; None where that side has no end. Along the axis `row` values
    share one sum, so that a row of it is saturated where one value is; None: each value stands by itself.
    """

    low: float | None = None
    high: float | None = None
    row: int | None = None

    def mask(self, values: torch.Tensor) -> torch.Tensor:
        """Return where `values` are saturated."""
        found = torch.zeros_like(values, dtype=torch.bool)
        if self.low is not None:
            found |= values <= self.low
        if self.high is not None:
            found |= values >= self.high
        return found


#: Layers whose ends are fixed; functions are known by their names, in small letters.
_LIMITS = {
    nn.Tanh: Limits(-_TANH, _TANH), nn.Sigmoid: Limits(1 - _SIGMOID, _SIGMOID),
    nn.Softsign: Limits(-_SOFTSIGN, _SOFTSIGN), nn.ReLU6: Limits(high=6.0), nn.Hardsigmoid: Limits(0.0, 1.0),
    nn.Softmax2d: Limits(high=_SIGMOID, row=-3),
}  # fmt: skip
#: Of attention weights, whose rows over the keys sum to one: a query that looks at one place alone.
ATTENDING = Limits(high=_SIGMOID, row=-1)


def limits_of(layer: nn.Module | str, suffix: str = "") -> Limits | None:
    """Return where outputs of `layer` are saturated; None for nowhere.

    Sigmoid, tanh, softsign: where the slope is under 0.06 of its largest (|tanh| >= 0.97, sigmoid <= 0.015 or
    >= 0.985). Hard ones: at their ends, where the slope is zero; of ReLU6 the upper end alone, since the
    lower one is told by the share of zeros. Softmax: a row where one value is at least 0.985. LSTM, GRU and
    RNN put out tanhs, so that theirs are taken (not of an LSTM's cell state, which has no end).

    Parameters
    ----------
    layer : the module, or the name of a function, as "tanh".
    suffix : which tensor of its output it is, as "[1][1]" for an LSTM's cell state.
    """
    if isinstance(layer, str):
        return next((limits for kind, limits in _LIMITS.items() if kind.__name__.lower() == layer), None)
    name, axis = framework_of(layer).activation_of(layer, suffix)
    if name in ("softmax", "log_softmax"):
        return Limits(high=_SIGMOID if name == "softmax" else math.log(_SIGMOID), row=axis)
    if name:
        return Limits(-1.0, 1.0) if name == "hardtanh" else limits_of(name)
    if isinstance(layer, nn.Hardtanh) and not isinstance(layer, nn.ReLU6):
        return Limits(layer.min_val, layer.max_val)
    if isinstance(layer, (nn.Softmax, nn.LogSoftmax)) and layer.dim is not None:
        return Limits(high=_SIGMOID if isinstance(layer, nn.Softmax) else math.log(_SIGMOID), row=layer.dim)
    known = next((limits for kind, limits in _LIMITS.items() if isinstance(layer, kind)), None)
    if known is not None or not isinstance(layer, (nn.RNNBase, nn.RNNCellBase)):
        return known
    cell = isinstance(layer, (nn.LSTM, nn.LSTMCell)) and suffix in ("[1][1]", "[1]")
    open_ended = cell or getattr(layer, "proj_size", 0) or getattr(layer, "nonlinearity", "tanh") != "tanh"
    return None if open_ended else Limits(-_TANH, _TANH)


#: The shares that are looked at: the extremes, the tails, the quarters.
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
#: The columns of the tables, as pandas' `describe` has them.
COLUMNS = (
    "mean", "std", "zeros", "saturated", "nonfinite", "min", "5%", "25%", "50%", "75%", "95%", "max",
)  # fmt: skip


@dataclass(frozen=True)
class Distribution(Statistics):
    """Statistics of one tensor, with `QUANTILES` of its finite values.

    `saturated` is the share of saturated values, of a softmax that of saturated rows (see `limits_of`); nan
    for a layer whose output has no such end.
    """

    saturated: float = math.nan
    quantiles: tuple[float, ...] = (math.nan,) * len(QUANTILES)

    def row(self) -> tuple[float, ...]:
        """Return the numbers in the order of `COLUMNS`."""
        return (self.mean, self.std, self.zeros, self.saturated, self.nonfinite, *self.quantiles)


def distribution(tensor: torch.Tensor, limits: Limits | None = None) -> Distribution:
    """Return how the values of `tensor` are spread.

    Its moments are read piece by piece; for the quantiles it is copied once, on the CPU. `limits` is from
    `limits_of`; None: no value is saturated.
    """
    found = compute_statistics(tensor)
    saturated = math.nan
    if limits is not None and tensor.numel():
        rows = 1 if limits.row is None or not tensor.ndim else tensor.shape[limits.row]
        pieces = flatten_by_stride(tensor).split(PIECE)
        saturated = sum(int(limits.mask(to_real(piece)).sum()) for piece in pieces) * rows / tensor.numel()
    spread = tuple(quantiles(tensor))
    return Distribution(found.mean, found.std, found.zeros, found.nonfinite, saturated, spread)


def by_channel(tensor: torch.Tensor, axis: int, limits: Limits | None = None) -> np.ndarray:
    """Return a row of statistics for each channel, C x `COLUMNS`.

    Float64, as in `distribution`; a channel of a softmax is saturated where it takes all. Some channels at a
    time are copied, as many as some MB hold. `axis` is that of the channels.
    """
    channels = tensor.detach().movedim(axis, 0)
    if channels.is_quantized or channels.layout != torch.strided:
        channels = to_real(channels)
    each = max(1, PIECE // max(1, math.prod(channels.shape[1:])))
    tables = [_table(rows, limits) for rows in channels.split(each)]
    return np.concatenate([np.empty((0, len(COLUMNS))), *tables])


def quantiles(tensor: torch.Tensor) -> list[float]:
    """Return `QUANTILES` of the finite values, nan without any.

    Equal to `numpy.quantile` in double precision, linear between two values.
    """
    return _by_row(to_real(flatten_by_stride(tensor))[None])[0].tolist()


def _by_row(rows: torch.Tensor) -> np.ndarray:
    if rows.shape[1] == 0:
        return np.full((rows.shape[0], len(QUANTILES)), math.nan)
    values = np.array(rows.detach().cpu().numpy())
    values[~np.isfinite(values)] = math.nan  # numpy puts these last
    counts = np.isfinite(values).sum(1)
    places = np.maximum(counts - 1, 0)[:, None] * np.array(QUANTILES)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, values.shape[1] - 1)
    ranks = np.unique([below, above])
    # Rows without holes share their ranks: to part them there takes half of the time that sorting takes.
    if len(ranks) <= 2 * len(QUANTILES):
        values.partition(ranks, axis=1)
    else:
        values.sort(axis=1)
    left = np.take_along_axis(values, below, 1).astype(float)
    right = np.take_along_axis(values, above, 1).astype(float)
    with np.errstate(invalid="ignore"):
        found = np.where(places > below, left + (right - left) * (places - below), left)
    found[counts == 0] = math.nan
    return found


def map_frame(picture: Picture | None) -> pd.DataFrame:
    """Return a row of numbers for each map or unit.

    Columns: for maps mean, std (divided by n), min, max, strength (mean absolute value) of the finite values,
    nan where there is none; zeros and nonfinite (shares). For units: value.
    """
    import pandas as pd

    if picture is None:
        return pd.DataFrame()
    if picture.maps is None:
        values = [] if picture.bars is None else picture.bars
        frame = pd.DataFrame({"value": values})
        frame.index = pd.RangeIndex(len(frame), name="unit") * picture.group
        return frame
    maps = to_real(picture.maps.detach()).flatten(1)
    shown = ["mean", "std", "min", "max", "zeros", "nonfinite"]
    frame = pd.DataFrame(by_channel(maps, 0), columns=list(COLUMNS))[shown]
    strength = maps.where(maps.isfinite(), math.nan).abs().double().nanmean(1)
    frame.insert(4, "strength", strength.cpu().numpy())
    frame.index = pd.RangeIndex(len(maps), name=picture.axes[0])
    if picture.names:
        frame.insert(0, "name", list(picture.names))
    return frame


def _table(channels: torch.Tensor, limits: Limits | None) -> np.ndarray:
    # One channel that is large is read by pieces.
    if len(channels) == 1 and channels.numel() > PIECE:
        whole = None if limits is None else Limits(limits.low, limits.high)
        return np.array([distribution(channels[0], whole).row()])
    rows = to_real(channels.reshape(len(channels), -1))
    size = rows.shape[1]
    if size == 0:
        none = np.full((len(channels), len(COLUMNS)), math.nan)
        none[:, [2, 4]] = 0.0
        return none
    wide = rows if rows.device.type == "mps" else rows.double()
    finite = wide.isfinite()
    if bool(finite.all()):
        variance, mean = torch.var_mean(wide, 1, correction=0)
    else:
        wide = wide.where(finite, math.nan)
        mean = wide.nanmean(1)
        variance = (wide - mean[:, None]).square_().nanmean(1)
    nowhere = torch.full_like(mean, math.nan)
    saturated = nowhere if limits is None else limits.mask(rows).to(wide.dtype).mean(1)
    zeros = 1 - rows.count_nonzero(1).to(wide.dtype) / size
    nonfinite = 1 - finite.sum(1).to(wide.dtype) / size
    first = torch.stack([mean, variance.sqrt(), zeros, saturated, nonfinite]).double().cpu().numpy()
    return np.column_stack([first.T, _by_row(rows)])
