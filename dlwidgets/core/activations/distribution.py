"""How the values of a tensor are spread: of a layer as a whole, and of each of its channels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..pictures.statistics import PIECE, Statistics, flat, real, statistics
from .quantiles import QUANTILES, by_row, quantiles
from .saturation import Limits

if TYPE_CHECKING:
    import pandas as pd

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


@dataclass(frozen=True)
class Channels:
    """Statistics of each channel of one tensor; float64, one value a channel, as in `Distribution`.

    `quantiles` is C x 7; a channel of a softmax is saturated where it takes all.
    """

    mean: np.ndarray
    std: np.ndarray
    zeros: np.ndarray
    saturated: np.ndarray
    nonfinite: np.ndarray
    quantiles: np.ndarray

    def __len__(self) -> int:
        return len(self.mean)

    def table(self) -> np.ndarray:
        """Return the numbers, a row for each channel, in the order of `COLUMNS`."""
        first = (self.mean, self.std, self.zeros, self.saturated, self.nonfinite)
        return np.column_stack([*first, self.quantiles])


def distribution(
    tensor: torch.Tensor, limits: Limits | None = None, *, most: int | None = None
) -> Distribution:
    """Return how the values of `tensor` are spread.

    Read piece by piece: beside the tensor some tens of MB are taken at most, however large it is.

    Parameters
    ----------
    limits : from where on a value is saturated, from `limits_of`; None: no value is.
    most : take the quantiles from at most so many values (see `quantiles`); None: all, exactly.
    """
    found = statistics(tensor)
    saturated = math.nan
    if limits is not None and tensor.numel():
        rows = 1 if limits.row is None or not tensor.ndim else tensor.shape[limits.row]
        count = sum(int(limits.mask(real(piece)).sum()) for piece in flat(tensor).split(PIECE))
        saturated = count * rows / tensor.numel()
    spread = tuple(quantiles(tensor, most=most))
    return Distribution(found.mean, found.std, found.zeros, found.nonfinite, saturated, spread)


def by_channel(
    tensor: torch.Tensor, axis: int, limits: Limits | None = None, *, most: int | None = None
) -> Channels:
    """Return how the values of each channel of `tensor` are spread; `axis` counts the channels.

    Some channels at a time are copied, as many as some MB hold; see `distribution` for the rest.
    """
    tables = [_table(rows, limits, most) for rows in _blocks(tensor.detach().movedim(axis, 0))]
    table = np.concatenate(tables) if tables else np.empty((0, len(COLUMNS)))
    return Channels(*(table[:, column] for column in range(5)), table[:, 5:])


def of_channels(
    channels: Channels, tensor: torch.Tensor, limits: Limits | None = None, *, most: int | None = None
) -> Distribution:
    """Return `distribution(tensor, limits, most=most)`, given what is known of its channels: in less time."""
    each = tensor.numel() // max(1, len(channels))
    count = np.rint((1 - channels.nonfinite) * each)
    some, total = count > 0, float(count.sum())
    if not total:
        return distribution(tensor, limits, most=most)
    count, mean, std = count[some], channels.mean[some], channels.std[some]
    middle = float((count * mean).sum() / total)
    squares = float((count * (std**2 + (mean - middle) ** 2)).sum())
    rows = 1 if limits is None or limits.row is None else tensor.shape[limits.row]
    low, high = np.nanmin(channels.quantiles[:, 0]), np.nanmax(channels.quantiles[:, -1])
    return Distribution(
        mean=middle,
        std=math.sqrt(squares / total),
        zeros=float(channels.zeros.mean()),
        nonfinite=1 - total / (each * len(channels)),
        saturated=float(channels.saturated.mean()) * rows,
        quantiles=(float(low), *quantiles(tensor, QUANTILES[1:-1], most), float(high)),
    )


def channel_frame(found: Mapping[str, Channels]) -> pd.DataFrame:
    """Return the channels of several layers as one table, by layer and channel."""
    import pandas as pd

    table = np.concatenate([np.empty((0, len(COLUMNS))), *(channels.table() for channels in found.values())])
    index = pd.MultiIndex.from_arrays(
        [
            np.repeat(np.array([*found], dtype=object), [len(channels) for channels in found.values()]),
            np.concatenate([np.arange(0), *(np.arange(len(channels)) for channels in found.values())]),
        ],
        names=["layer", "channel"],
    )
    return pd.DataFrame(table, index=index, columns=list(COLUMNS))


def _blocks(channels: torch.Tensor) -> Iterator[torch.Tensor]:
    if channels.is_quantized or channels.layout != torch.strided:
        channels = real(channels)
    each = max(1, math.prod(channels.shape[1:]))
    yield from channels.split(max(1, PIECE // each))


def _table(channels: torch.Tensor, limits: Limits | None, most: int | None) -> np.ndarray:
    """Return the rows of the table for some channels, C x ...; one of them, where it is large, by pieces."""
    if len(channels) == 1 and channels.numel() > PIECE:
        whole = None if limits is None else Limits(limits.low, limits.high)
        return np.array([distribution(channels[0], whole, most=most).row()])
    rows = real(channels.reshape(len(channels), -1))
    size = rows.shape[1]
    if size == 0:
        none = np.full((len(channels), len(COLUMNS)), math.nan)
        none[:, [2, 4]] = 0.0
        return none
    apart = rows.clone() if rows.dtype == torch.float64 or rows.device.type == "mps" else rows.double()
    zeros = (size - rows.count_nonzero(1)).to(apart.dtype)
    sums = apart.sum(1)
    count = torch.full_like(sums, size)
    finite = None
    if not bool(sums.isfinite().all()):
        finite = apart.isfinite()
        apart.masked_fill_(~finite, 0.0)
        sums, count = apart.sum(1), finite.sum(1).to(sums.dtype)
    mean = sums / count
    apart.sub_(mean[:, None])
    if finite is not None:
        apart.masked_fill_(~finite, 0.0)
    squares = apart.square_().sum(1)
    nothing = torch.full_like(mean, math.nan)
    saturated = nothing if limits is None else limits.mask(rows).sum(1).to(mean.dtype) / size
    first = torch.stack([mean, (squares / count).sqrt(), zeros / size, saturated, 1 - count / size])
    first = first.double().cpu().numpy()
    return np.column_stack([first.T, by_row(rows, most=most)])
