"""A layer's output as a picture: maps, slices, attention, lines or bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .statistics import Statistics, compute_statistics, to_real, widen
from .tiles import BUDGET, LIVE_BUDGET, Tiles, make_tiles

Sort = Literal["index", "strength", "variance"]
SORTS: tuple[str, ...] = get_args(Sort)
Kind = Literal["maps", "volume", "attention", "lines", "sequence", "bars", "rgb"]

#: More units than this are drawn as the strongest of each group.
_MOST_BARS = 1024
#: Values of one map that are handed over as they are, at rest (224 x 224) and while training; and the bytes
#: that are left for all maps beside so large a one.
CLOSE, LIVE_CLOSE, _BESIDE = 50_176, 13_225, 57_344
#: What is said of a picture whose layer does not have them first.
CHANNELS_LAST = "channels are the last axis"

CONV_1D = (
    nn.Conv1d, nn.ConvTranspose1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d,
    nn.BatchNorm1d, nn.InstanceNorm1d,
)  # fmt: skip
#: Layers that work along the last axis, so that it holds the channels, whatever the axes before it.
_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding)


@dataclass(frozen=True)
class Picture:
    """One sample's output of one layer, ready to be drawn.

    Attributes
    ----------
    kind : "maps" (C x H x W), "volume" (C x D x H x W, one slice of each), "attention" (heads x T x T, rows
        that sum to one), "lines" (C x L, each channel a line), "sequence" (T x D as one map), "rgb" (filters
        over three colours, the three beside each other in each column) or "bars" (a vector).
    shape : of the sample's output, without the batch axis.
    axes : what the axes of the picture are called: for tiles map, row, column; for bars unit.
    tiles : the maps; None for bars.
    bars : float32, the units, exactly, or of each `group` of them the one with the largest absolute value.
    group : how many units share a bar.
    note : what was left out or made smaller, in words, or "".
    by : what the maps are sorted by.
    slices : how many slices there are, and which one is shown; None where there are none.
    maps : the stack that `tiles` was made from, all of its maps in the tensor's order; None for bars.
    names : names of the maps or units, where they have any.
    order : the numbers of all maps in the order asked for; None: as they stand.
    close : how many values of one map are handed over as they are.
    """

    kind: Kind
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    statistics: Statistics
    tiles: Tiles | None = None
    bars: np.ndarray | None = None
    group: int = 1
    note: str = ""
    by: Sort = "index"
    slices: tuple[int, int] | None = None
    maps: torch.Tensor | None = field(default=None, repr=False, compare=False)
    names: tuple[str, ...] = ()
    order: Sequence[int] | None = field(default=None, repr=False)
    close: int = CLOSE

    @property
    def peak(self) -> float:
        """The largest finite absolute value in the picture."""
        values = self.tiles.scale if self.tiles is not None else np.asarray(self.bars)
        return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))

    @property
    def size(self) -> str:
        """How much there is, in words: "64 maps", "10 units", "1 map"."""
        if self.kind == "sequence":
            return f"{self.shape[0]} × {self.shape[1]}"
        number = self.tiles.total if self.tiles is not None else (*self.shape, 1)[0]
        word = {"attention": "head", "lines": "line", "bars": "unit"}.get(self.kind, "map")
        word = self.axes[0] if self.axes[0] in ("filter", "gate", "matrix") else word
        words = "matrices" if word == "matrix" else f"{word}s"
        return f"{number:,} {word if number == 1 else words}"

    def close_up(self, number: int) -> tuple[np.ndarray, tuple[int, int]] | None:
        """Return one map as float32 and its block of means.

        The numbers are the tensor's own, block (1, 1), up to `close` of them; else each is a block's mean.
        None for bars, where there is no such map, and where the tiles are as sharp.
        """
        if self.maps is None or self.tiles is None or not 0 <= number < len(self.maps):
            return None
        values = to_real(self.maps[number].detach()).float()
        (height, width), rows, columns = values.shape, 1, 1
        while -(-height // rows) * -(-width // columns) > self.close:
            taller = height / rows > width / columns
            rows, columns = (rows + 1, columns) if taller else (rows, columns + 1)
        if rows * columns > 1:
            if math.prod(self.tiles.block) <= rows * columns and number in self.tiles.numbers:
                return None
            values = F.avg_pool2d(values[None], (rows, columns), ceil_mode=True, count_include_pad=False)[0]
        return np.ascontiguousarray(values.cpu().numpy(), dtype=np.float32), (rows, columns)


def make_picture(
    tensor: torch.Tensor,
    layer: nn.Module | None = None,
    budget: int = BUDGET,
    *,
    by: Sort = "index",
    order: Sequence[int] | None = None,
    at_slice: int | None = None,
    channels: int | None = None,
    attends: bool = False,
    lines: bool = False,
) -> Picture:
    """Return the picture of the first sample of a layer's output.

    Parameters
    ----------
    tensor : the output, with its batch axis; an empty one is a ValueError.
    layer : what put it out: it tells a 1-D convolution from a sequence, and time first from batch first.
    budget : the bytes that the maps may take.
    by, order : what the maps are sorted by; an earlier order to be kept, if it fits.
    at_slice : which slice of a volume; None: the middle one.
    channels : the axis of the channels in `tensor`, where it is known (`Activations.axes`).
    attends : whether these are attention weights, samples x heads x queries x keys; else they are known by
        their rows, which sum to one, where there are as many keys as queries.
    lines : whether positions x channels are drawn as lines, as behind a 1-D convolution with channels last.
    """
    if tensor.numel() == 0:
        raise ValueError(f"The output is empty, {tuple(tensor.shape)}: there is nothing to draw.")
    sample = first_sample(tensor, layer)
    shape, found = tuple(sample.shape), compute_statistics(sample)
    if sample.ndim <= 1:
        return make_bars(sample, shape, found)
    draw = partial(stack_maps, budget=budget, shape=shape, found=found, by=by, order=order)
    if sample.ndim in (2, 3) and (attends or _is_attention(sample)):
        return draw("attention", ("head", "from", "to"), sample if sample.ndim == 3 else sample[None])
    if sample.ndim == 2 and (isinstance(layer, CONV_1D) or channels == 1):
        return draw("lines", ("channel", "line", "position"), sample[:, None])
    if sample.ndim == 2 and lines:
        return draw("lines", ("channel", "line", "position"), sample.T[:, None])
    if sample.ndim == 2:
        return draw("sequence", ("map", "step", "unit"), sample[None])
    note = ""
    if isinstance(layer, _LAST) or channels is not None and channels > 1:
        # Torch has channels first: where they are elsewhere, it is said.
        at = channels - 1 if channels is not None else -1
        sample, note = sample.movedim(at, 0), CHANNELS_LAST if at in (-1, sample.ndim - 1) else ""
    if sample.ndim == 3:
        return draw("maps", ("channel", "row", "column"), sample, note=note)
    # Whatever has more axes: one slice along the third from last, all axes before it as maps.
    depth = sample.shape[-3]
    at = depth // 2 if at_slice is None else min(max(0, at_slice), depth - 1)
    maps = sample.select(-3, at).reshape(-1, *sample.shape[-2:])
    note = "; ".join(filter(None, [f"slice {at} of {depth} (0 is the first)", note]))
    return draw("volume", ("channel", "row", "column"), maps, slices=(depth, at), note=note)


def stack_maps(
    kind: Kind,
    axes: tuple[str, ...],
    maps: torch.Tensor,
    budget: int = BUDGET,
    *,
    shape: tuple[int, ...] | None = None,
    found: Statistics | None = None,
    by: Sort = "index",
    order: Sequence[int] | None = None,
    slices: tuple[int, int] | None = None,
    note: str = "",
    names: Sequence[str] = (),
) -> Picture:
    """Return the picture of `maps`, M x h x w."""
    by = by if len(maps) > 1 and kind not in ("attention", "sequence") else "index"
    if by == "index":
        order = None
    elif order is None or len(order) != len(maps):
        order = sort_maps(maps, by)
    live = budget <= LIVE_BUDGET
    if not live and len(maps) > 1 and maps.shape[1] * maps.shape[2] > LIVE_CLOSE:
        budget = _BESIDE
    drawn = make_tiles(maps, budget=budget, order=order)
    notes = [note] if note else []
    if drawn.block != (1, 1):
        notes.append(f"each pixel is the mean of {drawn.block[0]} × {drawn.block[1]}")
    if len(drawn.maps) < drawn.total:
        which = {"index": "first", "strength": "strongest", "variance": "most varied"}[by]
        notes.append(f"the {which} {len(drawn.maps)} of {drawn.total:,}")
    return Picture(
        kind, tuple(maps.shape) if shape is None else shape, axes, found or compute_statistics(maps), drawn,
        note="; ".join(notes), by=by, slices=slices, maps=maps, names=tuple(names), order=order,
        close=LIVE_CLOSE if live else CLOSE,
    )  # fmt: skip


def sort_maps(maps: torch.Tensor, by: Sort = "index") -> list[int]:
    """Sort `maps` and return their numbers; ties keep their order.

    "strength" is the mean absolute value of a map, "variance" that of its values; any other order is a
    ValueError. A map with a value that is not finite comes first, since it wants to be seen.
    """
    if by not in SORTS:
        raise ValueError(f"Maps are sorted by {', '.join(map(repr, SORTS))}, not by {by!r}.")
    if by == "index":
        return list(range(len(maps)))
    values = widen(to_real(maps.detach()).flatten(1))
    key = values.abs().mean(1) if by == "strength" else values.var(1, correction=0)
    key = torch.where(key.isfinite(), key, torch.full_like(key, torch.inf))
    return key.argsort(descending=True, stable=True).tolist()


def make_bars(
    sample: torch.Tensor, shape: tuple[int, ...] | None = None, found: Statistics | None = None
) -> Picture:
    """Return the picture of a vector (or one number) as bars."""
    values, group = to_real(sample).float().flatten().cpu().numpy().copy(), 1
    if values.size > _MOST_BARS:
        group = -(-values.size // _MOST_BARS)
        rows = np.pad(values, (0, -values.size % group)).reshape(-1, group)
        # A value that is not finite is the strongest, so that it is not hidden by its neighbours.
        strength = np.where(np.isfinite(rows), np.abs(rows), np.inf)
        values = rows[np.arange(len(rows)), strength.argmax(1)]
    note = f"each bar is the strongest of {group} units" if group > 1 else ""
    shape = tuple(sample.shape) if shape is None else shape
    found = found or compute_statistics(sample)
    return Picture("bars", shape, ("unit",), found, bars=values, group=group, note=note)


def first_sample(tensor: torch.Tensor, layer: nn.Module | None = None) -> torch.Tensor:
    """Return the first sample: of axis 1 where time comes first.

    A layer inside a time-first model does not know it; there an axis of length 1 behind a longer one is taken
    for the batch. Windows of an image, stacked along axis 0, show the first window.
    """
    if tensor.ndim != 3:
        return tensor[0] if tensor.ndim else tensor
    if time_first(layer):
        return tensor[:, 0]
    batch_second = tensor.shape[0] != 1 and tensor.shape[1] == 1 and not isinstance(layer, CONV_1D)
    return tensor[:, 0] if batch_second else tensor[0]


def time_first(layer: nn.Module | None) -> bool:
    """Say whether a layer has time first, and samples second."""
    if isinstance(layer, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        layer = layer.self_attn
    return isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)) and not layer.batch_first


def with_batch_axis(
    tensor: torch.Tensor, layer: nn.Module | None = None, channels: int | None = None
) -> tuple[torch.Tensor, int | None, str]:
    """Give what one sample makes a batch axis, if need be.

    So it is with packed sequences, the nodes of a graph, and windows that stand along axis 0.

    Returns
    -------
    tensor, channels : as given, or with an axis more in front.
    note : what axis 0 is taken for, in words; "" where it is the batch.
    """
    if not tensor.ndim or tensor.ndim > 3 and tensor.shape[0] == 1:
        return tensor, channels, ""
    count = tensor.shape[0]
    if isinstance(layer, nn.modules.conv._ConvNd) and tensor.ndim == len(layer.kernel_size) + 1:
        return tensor[None], None, ""  # one image without a batch axis
    if tensor.ndim == 3 and time_first(layer) and tensor.shape[1] != 1:
        taken = (
            f"the layer takes axis 0 for time (batch_first=False), and axis 1 for {tensor.shape[1]} samples"
        )
        return (tensor.transpose(0, 1) if count == 1 else tensor), channels, taken
    if count == 1 or (tensor.ndim == 3 and tensor.shape[1] == 1):
        return tensor, channels, ""
    if tensor.ndim > 2:
        return tensor, channels, f"the first of {count} along axis 0, which is not the batch"
    return tensor[None], None if channels is None else channels + 1, "axis 0 is not the batch: shown whole"


def _is_attention(sample: torch.Tensor) -> bool:
    """Say whether the matrix is square and its rows are probabilities."""
    if sample.shape[-1] != sample.shape[-2] or sample.shape[-1] < 2 or not sample.is_floating_point():
        return False
    # Most are seen not to at their first row.
    first = sample.select(-2, 0).reshape(-1, sample.shape[-1])[0]
    if abs(float(first.float().sum()) - 1) > 1e-2:
        return False
    return bool((sample >= 0).all()) and bool((sample.float().sum(-1) - 1).abs().max() < 1e-2)
