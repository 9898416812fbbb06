"""The distribution of a tensor's values: whole, and channel by channel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..pictures.statistics import PIECE, Statistics, compute_statistics, flatten_by_stride, to_real
from .saturation import Limits

if TYPE_CHECKING:
    import pandas as pd

    from ..pictures.picture import Picture

#: The shares that are looked at: the extremes, the tails, the quarters.
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
#: The columns of the tables, as pandas' `describe` has them.
COLUMNS = (
    "mean", "std", "zeros", "saturated", "nonfinite", "min", "5%", "25%", "50%", "75%", "95%", "max",
)  # fmt: skip


@dataclass(frozen=True)
class Distribution(Statistics):
    """Statistics of one tensor, with its quantiles.

    Attributes
    ----------
    saturated : the share of saturated values, of a softmax that of saturated rows (see `limits_of`); nan for
        a layer whose output has no such end.
    quantiles : of the finite values, at 0, 5, 25, 50, 75, 95 and 100 %; nan where there are none.
    """

    saturated: float = math.nan
    quantiles: tuple[float, ...] = (math.nan,) * len(QUANTILES)

    def row(self) -> tuple[float, ...]:
        """Return the numbers in the order of `COLUMNS`."""
        return (self.mean, self.std, self.zeros, self.saturated, self.nonfinite, *self.quantiles)


def distribution(tensor: torch.Tensor, limits: Limits | None = None) -> Distribution:
    """Return how the values of `tensor` are spread.

    Its moments are read piece by piece; for the quantiles it is copied once, on the CPU.

    Parameters
    ----------
    limits : from where on a value is saturated, from `limits_of`; None: no value is.
    """
    found = compute_statistics(tensor)
    saturated = math.nan
    if limits is not None and tensor.numel():
        rows = 1 if limits.row is None or not tensor.ndim else tensor.shape[limits.row]
        count = sum(
            int(limits.mask(to_real(piece)).sum()) for piece in flatten_by_stride(tensor).split(PIECE)
        )
        saturated = count * rows / tensor.numel()
    spread = tuple(quantiles(tensor))
    return Distribution(found.mean, found.std, found.zeros, found.nonfinite, saturated, spread)


def by_channel(tensor: torch.Tensor, axis: int, limits: Limits | None = None) -> np.ndarray:
    """Return a row of statistics for each channel, C x `COLUMNS`.

    Float64, as in `distribution`; a channel of a softmax is saturated where it takes all. Some channels at a
    time are copied, as many as some MB hold.

    Parameters
    ----------
    axis : that of the channels.
    """
    tables = [_table(rows, limits) for rows in _blocks(tensor.detach().movedim(axis, 0))]
    return np.concatenate([np.empty((0, len(COLUMNS))), *tables])


def quantiles(tensor: torch.Tensor, at: Sequence[float] = QUANTILES) -> list[float]:
    """Return the quantiles of the finite values, nan without any.

    Equal to `numpy.quantile` in double precision, linear between two values. `at` holds shares, 0..1.
    """
    return _by_row(to_real(flatten_by_stride(tensor))[None], at)[0].tolist()


def _by_row(rows: torch.Tensor, at: Sequence[float] = QUANTILES) -> np.ndarray:
    """Return the quantiles of each row, R x len(at), float64."""
    if rows.shape[1] == 0:
        return np.full((rows.shape[0], len(at)), math.nan)
    values = np.array(rows.detach().cpu().numpy())
    values[~np.isfinite(values)] = math.nan  # numpy puts these last
    counts = np.isfinite(values).sum(1)
    places = np.maximum(counts - 1, 0)[:, None] * np.asarray(at, float)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, values.shape[1] - 1)
    ranks = np.unique([below, above])
    # Rows without holes share their ranks: to part them there takes half of the time that sorting takes.
    if len(ranks) <= 2 * len(at):
        values.partition(ranks, axis=1)
    else:
        values.sort(axis=1)
    left = np.take_along_axis(values, below, 1).astype(float)
    right = np.take_along_axis(values, above, 1).astype(float)
    with np.errstate(invalid="ignore"):
        found = np.where(places > below, left + (right - left) * (places - below), left)
    found[counts == 0] = math.nan
    return found


def channel_frame(found: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return one table of the channels of several layers: see `by_channel`."""
    import pandas as pd

    frames = {key: pd.DataFrame(table, columns=list(COLUMNS)) for key, table in found.items()}
    if not frames:
        index = pd.MultiIndex.from_arrays([[], []], names=["layer", "channel"])
        return pd.DataFrame(columns=list(COLUMNS), index=index, dtype=float)
    return pd.concat(frames, names=["layer", "channel"])


def map_frame(picture: Picture | None) -> pd.DataFrame:
    """Return a row of numbers for each map or unit.

    Columns: for maps mean, std (divided by n), min, max, strength (mean absolute value), zeros and nonfinite
    (shares); the first five over the finite values, nan where there is none. For units: value.
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


def _blocks(channels: torch.Tensor) -> Iterator[torch.Tensor]:
    if channels.is_quantized or channels.layout != torch.strided:
        channels = to_real(channels)
    each = max(1, math.prod(channels.shape[1:]))
    yield from channels.split(max(1, PIECE // each))


def _table(channels: torch.Tensor, limits: Limits | None) -> np.ndarray:
    """Return rows of `by_channel` for some channels, C x ..."""
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
    saturated = torch.full_like(mean, math.nan)
    if limits is not None:
        saturated = limits.mask(rows).to(wide.dtype).mean(1)
    zeros = 1 - rows.count_nonzero(1).to(wide.dtype) / size
    nonfinite = 1 - finite.sum(1).to(wide.dtype) / size
    first = torch.stack([mean, variance.sqrt(), zeros, saturated, nonfinite]).double().cpu().numpy()
    return np.column_stack([first.T, _by_row(rows)])
