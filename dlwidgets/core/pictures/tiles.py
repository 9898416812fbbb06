"""Feature maps as signed bytes with a known error, small to send."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from .statistics import to_real

#: The bytes that maps may take in one picture, at rest and while training: with one map in full, the input
#: and what is said of them, a picture stays under 300 KB. 256 maps of 28 x 28 are sent as they are.
BUDGET, LIVE_BUDGET = 204_800, 65_536
#: No more maps than this are drawn at once.
MOST = 512
#: Maps are not made smaller than this side while there are maps that could be left out.
_LEAST_SIDE = 7


@dataclass(frozen=True)
class Tiles:
    """Maps as bytes, and what is needed to read them.

    A byte `q` of map `m` stands for the value ``(q - 128) * scale[m] / 127``, for q in 1..255: zero is 128
    exactly, and the error is at most ``scale[m] / 254``, half a step. The byte 0 marks what is not finite.

    Attributes
    ----------
    maps : uint8, M x h x w.
    scale : float32, M. The largest absolute value of each map, or of all maps (the same M times).
    block : (rows, columns) of the tensor that one byte is the mean of; (1, 1) where nothing was made smaller.
    total : how many maps the tensor has; M of them are here.
    shape : (H, W) of a map in the tensor.
    mean, zeros : float32, M. The mean, and the share of zeros, of the whole map before it was made smaller.
    numbers : int64, M. Which map of the tensor each one is.
    """

    maps: np.ndarray
    scale: np.ndarray
    block: tuple[int, int]
    total: int
    shape: tuple[int, int]
    mean: np.ndarray
    zeros: np.ndarray
    numbers: np.ndarray

    def values(self) -> np.ndarray:
        """Decode the maps as float32; nan where not finite."""
        numbers = (self.maps.astype(np.float64) - 128) * (self.scale.astype(np.float64) / 127)[:, None, None]
        numbers[self.maps == 0] = np.nan
        return numbers.astype(np.float32)

    @property
    def dead(self) -> np.ndarray:
        """Which maps are zero everywhere, bool, M."""
        return self.zeros == 1


def make_tiles(
    tensor: torch.Tensor,
    per: Literal["map", "layer"] = "map",
    budget: int = BUDGET,
    most: int = MOST,
    order: Sequence[int] | None = None,
) -> Tiles:
    """Encode one sample's maps, C x H x W, as bytes.

    Where the maps would take more than `budget` bytes, blocks of rows x columns are replaced by their mean,
    the same block everywhere, the last ones cut off by the edge; where maps of 7 x 7 are still too many, the
    first ones are kept, at most `most` of any size. ValueError: the tensor has not three axes, or is empty;
    or `per`, `budget` or `order` make no sense.

    Parameters
    ----------
    tensor : any real, boolean, complex (drawn by size) or quantised tensor. What float32 cannot hold counts
        as not finite.
    per : one scale for each map (finer steps) or one for all.
    order : the numbers of the maps, those to be kept first; None: as they stand in the tensor.
    """
    if tensor.ndim != 3 or 0 in tensor.shape:
        raise ValueError(
            f"tiles wants maps, C x H x W and none of them 0, not a tensor of {tuple(tensor.shape)}."
        )
    if per not in ("map", "layer"):
        raise ValueError(f"per is 'map' or 'layer', not {per!r}.")
    if budget < 1 or most < 1:
        raise ValueError(f"budget and most are at least 1, not {budget!r} and {most!r}.")
    total, height, width = tensor.shape
    block, kept = _choose_reduction(min(total, most), height, width, budget)
    if order is not None and sorted(order) != list(range(total)):
        raise ValueError(f"order holds each of the {total} maps once.")
    numbers = np.arange(kept) if order is None else np.asarray(order[:kept], dtype=np.int64)
    maps = tensor[:kept] if order is None else tensor[torch.as_tensor(numbers, device=tensor.device)]
    maps = to_real(maps.detach()).float()
    zeros = (maps == 0).float().mean((1, 2))
    peak = maps.nan_to_num(0.0, 0.0, 0.0).abs().amax((1, 2))
    shares = maps / _or_one(peak)[:, None, None]
    # Mean of shares, not of values, so that large ones cannot overflow in the sum.
    mean = shares.nan_to_num(0.0, 0.0, 0.0).mean((1, 2)) * peak
    if block != (1, 1):
        shares = F.avg_pool2d(shares[:, None], block, ceil_mode=True, count_include_pad=False)[:, 0]
        smaller = shares.nan_to_num(0.0, 0.0, 0.0).abs().amax((1, 2))
        shares, peak = shares / _or_one(smaller)[:, None, None], peak * smaller
    if per == "layer":
        shares = shares * (peak / _or_one(peak.max()))[:, None, None]
        peak = peak.max().expand(kept).clone()
    codes = (shares * 127).round().clamp(-127, 127) + 128
    codes = codes.where(shares.isfinite(), 0).to(torch.uint8)
    peak, mean, zeros = (each.cpu().numpy().astype(np.float32) for each in (peak, mean, zeros))
    packed = np.ascontiguousarray(codes.cpu().numpy())
    return Tiles(packed, peak, block, total, (height, width), mean, zeros, numbers)


def _or_one(peak: torch.Tensor) -> torch.Tensor:
    return peak.where(peak > 0, 1.0)


def _choose_reduction(count: int, height: int, width: int, budget: int) -> tuple[tuple[int, int], int]:
    """Find the smallest block within the budget, and how many maps stay."""
    # A matrix with one long side is made shorter on that side first: blocks differ by axis only when a side
    # is already small.
    for step in range(1, max(height, width) + 1):
        block = (min(step, max(1, height // _LEAST_SIDE)), min(step, max(1, width // _LEAST_SIDE)))
        size = math.ceil(height / block[0]) * math.ceil(width / block[1])
        if count * size <= budget:
            return block, count
    return block, max(1, budget // size)
