"""A model's input in small: an image, bars, a matrix or words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from ..base.trees import tree_tensors
from .picture import Picture, first_sample, make_picture, stack_maps, with_batch_axis
from .statistics import to_real

#: The longest side of an image, in pixels, and the bytes of any other picture of an input.
_SIDE, _BUDGET = 96, 16_384
#: Tokens that are named, and those that are spelled out.
TOKENS, _SPELLED = 512, 48


@dataclass(frozen=True)
class Thumbnail:
    """One sample's input, of a `shape` without the batch axis.

    Attributes
    ----------
    kind : "image", "picture" (bars or a matrix, as for a layer), "tokens" or "none".
    image : uint8, H x W x 3, for images; `low` and `high` are what black and white stand for.
    words : the tokens; and what is not shown.
    tokens : the numbers of the first tokens.
    """

    kind: Literal["image", "picture", "tokens", "none"]
    shape: tuple[int, ...] = ()
    image: np.ndarray | None = None
    low: float = 0.0
    high: float = 1.0
    picture: Picture | None = None
    words: str = ""
    tokens: tuple[int, ...] = ()


def make_thumbnail(
    inputs: Any, lines: bool = False, side: int = _SIDE, channels_last: bool | None = None
) -> Thumbnail:
    """Make the thumbnail of a batch of one, by its first tensor.

    With `lines`, channels x positions are drawn as lines, as for a model that begins with a 1-D convolution.
    No side of an image is longer than `side` pixels. Where it is not known whether an image has its
    `channels_last`, it is told by its sizes.
    """
    found = list(tree_tensors(inputs))
    if not found or found[0].numel() == 0:
        return Thumbnail("none", words="The input holds no tensor.")
    tensor, _, _ = with_batch_axis(found[0])
    note = f"the first of {len(found)} inputs" if len(found) > 1 else ""
    sample = first_sample(tensor)
    shape = tuple(sample.shape)
    whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
    if whole and sample.ndim == 1:
        numbers = tuple(int(number) for number in sample[:TOKENS])
        more = " …" if sample.numel() > _SPELLED else ""
        spelled = " ".join(map(str, numbers[:_SPELLED])) + more
        return Thumbnail("tokens", shape, words=spelled, tokens=numbers)
    if sample.ndim == 4:
        last = _has_channels_last(sample) if channels_last is None else channels_last
        sample = sample.movedim(-1, 0) if last else sample
        channels_last = False
        sample, note = sample[:, sample.shape[1] // 2], "; ".join(filter(None, [note, "the middle slice"]))
    if sample.ndim == 3:
        last = _has_channels_last(sample) if channels_last is None else channels_last
        return _draw_image(sample.movedim(-1, 0) if last else sample, shape, note, side)
    if lines and sample.ndim == 2:
        sample = sample.T if channels_last else sample
        drawn = stack_maps("lines", ("channel", "line", "position"), sample[:, None], _BUDGET)
    else:
        drawn = make_picture(tensor, budget=_BUDGET)
    return Thumbnail("picture", shape, picture=drawn, words=note)


def _has_channels_last(sample: torch.Tensor) -> bool:
    """Say whether an image has its channels last, by its sizes."""
    last, first = sample.shape[-1], sample.shape[0]
    return first not in (1, 3) and (last in (1, 3) or last <= 4 and last < min(sample.shape[:-1]))


def _draw_image(sample: torch.Tensor, shape: tuple[int, ...], note: str, side: int) -> Thumbnail:
    values = to_real(sample).float()
    channels = values.shape[0]
    if channels != 3:
        if channels > 1:
            note = "; ".join(filter(None, [note, f"channel 0 of {channels}"]))
        values = values[:1].expand(3, -1, -1)
    finite = values[values.isfinite()]
    low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 1.0)
    # The usual ranges stay what they are, so that a dark image looks dark.
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255 and not sample.is_floating_point():
        low, high = 0.0, 255.0
    step = -(-max(values.shape[1:]) // side)
    if step > 1:
        values = F.avg_pool2d(values[None], step, ceil_mode=True, count_include_pad=False)[0]
    shades = ((values - low) / (high - low or 1.0)).nan_to_num(0.0, 1.0, 0.0).clamp(0, 1)
    pixels = (shades * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return Thumbnail("image", shape, np.ascontiguousarray(pixels), low, high, words=note)
