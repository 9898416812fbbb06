"""Which picture suits a layer's output: maps, a matrix, slices, attention or bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from .statistics import Statistics, real, statistics
from .tiles import BUDGET, Tiles, tiles

Kind = Literal["maps", "volume", "attention", "signal", "sequence", "bars"]

#: More units than this are drawn as the strongest of each group.
_MOST_BARS = 1024

_CONV_1D = (
    nn.Conv1d, nn.ConvTranspose1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d,
    nn.BatchNorm1d, nn.InstanceNorm1d,
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """One sample's output of one layer, ready to be drawn.

    Attributes
    ----------
    kind : "maps" (C x H x W), "volume" (C x D x H x W, its middle slices), "attention" (heads x T x T, rows
        that sum to one), "signal" (C x L as one map), "sequence" (T x D as one map) or "bars" (a vector).
    shape : of the sample's output, without the batch axis.
    axes : what the axes of the picture are called: for tiles map, row, column; for bars unit.
    tiles : the maps; None for bars.
    bars : float32, the units, exactly, or of each `group` of them the one with the largest absolute value.
    group : how many units share a bar.
    note : what was left out or made smaller, in words, or "".
    """

    kind: Kind
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    statistics: Statistics
    tiles: Tiles | None = None
    bars: np.ndarray | None = None
    group: int = 1
    note: str = ""

    @property
    def peak(self) -> float:
        """The largest finite absolute value in the picture."""
        if self.tiles is not None:
            return float(self.tiles.scale.max())
        finite = self.bars[np.isfinite(self.bars)] if self.bars is not None else np.empty(0)
        return float(np.abs(finite).max(initial=0.0))

    @property
    def size(self) -> str:
        """How much there is, in words: "64 maps", "10 units", "1 map"."""
        if self.kind == "bars":
            return _plural(self.shape[0] if self.shape else 1, "unit")
        if self.kind in ("signal", "sequence"):
            return f"{self.shape[0]} × {self.shape[1]}"
        number = self.tiles.total if self.tiles is not None else 0
        return _plural(number, "head" if self.kind == "attention" else "map")


def picture(tensor: torch.Tensor, layer: nn.Module | None = None, budget: int = BUDGET) -> Picture:
    """Return the picture of the first sample of a layer's output.

    Parameters
    ----------
    tensor : the output, with its batch axis.
    layer : the module that put it out; it tells a 1-D convolution from a sequence, and time first from
        batch first.
    budget : the bytes that the maps may take.

    Raises
    ------
    ValueError : the tensor holds no values.
    """
    if tensor.numel() == 0:
        raise ValueError(f"The output is empty, {tuple(tensor.shape)}: there is nothing to draw.")
    sample = one_sample(tensor, layer)
    shape, found = tuple(sample.shape), statistics(sample)
    if sample.ndim <= 1:
        values, group = _bars(real(sample).float().flatten().cpu().numpy())
        note = f"each bar is the strongest of {group} units" if group > 1 else ""
        return Picture("bars", shape, ("unit",), found, bars=values, group=group, note=note)
    kind, axes, maps, note = _as_maps(sample, layer)
    drawn = tiles(maps, budget=budget)
    notes = [note, _what_was_left(drawn)]
    return Picture(kind, shape, axes, found, tiles=drawn, note="; ".join(filter(None, notes)))


def one_sample(tensor: torch.Tensor, layer: nn.Module | None = None) -> torch.Tensor:
    """Return the first sample of `tensor`: along axis 0, or axis 1 where the layer has time first.

    A layer inside a time-first model does not know it; there an axis of length 1 behind a longer one is taken
    for the batch. Windows of an image, stacked along axis 0, show the first window.
    """
    if tensor.ndim == 0:
        return tensor
    if tensor.ndim == 3 and _time_first(layer):
        return tensor[:, 0]
    if tensor.ndim == 3 and tensor.shape[0] != 1 and tensor.shape[1] == 1 and not isinstance(layer, _CONV_1D):
        return tensor[:, 0]
    return tensor[0]


def _time_first(layer: nn.Module | None) -> bool:
    if isinstance(layer, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        layer = layer.self_attn
    return isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)) and not layer.batch_first


def _as_maps(
    sample: torch.Tensor, layer: nn.Module | None
) -> tuple[Kind, tuple[str, str, str], torch.Tensor, str]:
    if sample.ndim == 2 and _attends(sample):
        return "attention", ("head", "from", "to"), sample[None], ""
    if sample.ndim == 2:
        if isinstance(layer, _CONV_1D):
            return "signal", ("map", "channel", "position"), sample[None], ""
        return "sequence", ("map", "step", "unit"), sample[None], ""
    if sample.ndim == 3:
        if _attends(sample):
            return "attention", ("head", "from", "to"), sample, ""
        return "maps", ("channel", "row", "column"), sample, ""
    # Whatever has more axes: slices through the middle of the third from last, all axes before it as maps.
    middle = sample.shape[-3] // 2
    maps = sample.select(-3, middle).reshape(-1, *sample.shape[-2:])
    note = f"slice {middle} of {sample.shape[-3]} (0 is the first)"
    return "volume", ("channel", "row", "column"), maps, note


def _attends(sample: torch.Tensor) -> bool:
    """Say whether the rows are probabilities, over as many things as there are rows."""
    if sample.shape[-1] != sample.shape[-2] or sample.shape[-1] < 2 or not sample.is_floating_point():
        return False
    sums = sample.float().sum(-1)
    return bool((sample >= 0).all()) and bool((sums - 1).abs().max() < 1e-2)


def _bars(values: np.ndarray) -> tuple[np.ndarray, int]:
    group = -(-values.size // _MOST_BARS)
    if group == 1:
        return values.copy(), 1
    padded = np.zeros(-(-values.size // group) * group, np.float32)
    padded[: values.size] = values
    rows = padded.reshape(-1, group)
    # A value that is not finite is the strongest, so that it is not hidden by its neighbours.
    strength = np.where(np.isfinite(rows), np.abs(rows), np.inf)
    return rows[np.arange(len(rows)), strength.argmax(1)].copy(), group


def _what_was_left(drawn: Tiles) -> str:
    rows, columns = drawn.block
    notes = []
    if drawn.block != (1, 1):
        notes.append(f"each pixel is the mean of {rows} × {columns}")
    if len(drawn.maps) < drawn.total:
        notes.append(f"the first {len(drawn.maps)} of {drawn.total}")
    return "; ".join(notes)


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if number == 1 else "s")
