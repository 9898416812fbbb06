"""A sample as a card: an image, a row or a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from ..base.trees import tree_tensors
from ..pictures.thumbnail import make_thumbnail

#: The longest side of a card's image in pixels: 24 cards in colour are 288 KiB.
SIDE = 64
#: The letters of a text that are kept.
LETTERS = 240


@dataclass(frozen=True)
class Card:
    """One sample in small.

    Attributes
    ----------
    kind : "image", "row", "text" or "none".
    image : uint8, H x W x 1 (grey) or H x W x 3, neither side over `SIDE`.
    values : the values of a row, numbers or words, in the order of the columns.
    text : the text or the tokens; for "none" the reason.
    """

    kind: Literal["image", "row", "text", "none"]
    image: np.ndarray | None = None
    values: tuple[Any, ...] = ()
    text: str = ""


def make_card(inputs: Any) -> Card:
    """Make the card of a batch of one, text or mapping."""
    if isinstance(inputs, str):
        return Card("text", text=_shorten(inputs))
    if isinstance(inputs, Mapping) and not any(True for _ in tree_tensors(inputs)):
        return Card("row", values=tuple(inputs.values()))
    if isinstance(inputs, (tuple, list)) and inputs and isinstance(inputs[0], str):
        return Card("text", text=_shorten(inputs[0]))
    first = next(tree_tensors(inputs), None)
    real = first is not None and first.is_floating_point()
    # Whole numbers in a vector are tokens for a thumbnail, but yes-or-no features are a row.
    if first is not None and first.ndim == 2 and (real or first.dtype == torch.bool):
        return Card("row", values=tuple(first[0].detach().double().cpu().tolist()))
    if first is not None and first.ndim == 3 and (real or first.dtype == torch.uint8):
        inputs = first[:, None]  # an image without a channel axis
    found = make_thumbnail(inputs)
    if found.image is not None:
        return Card("image", image=_shrink(found.image))
    if found.kind == "tokens":
        return Card("text", text=_shorten(found.words))
    return Card("none", text=found.words or f"a tensor of shape {tuple(found.shape)}")


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"


def _shrink(image: np.ndarray) -> np.ndarray:
    """Shrink an image to at most `SIDE`, to one channel where grey."""
    if (image[..., :1] == image).all():
        image = image[..., :1]
    step = -(-max(image.shape[:2]) // SIDE)
    if step > 1:
        height, width = (-(-side // step) * step for side in image.shape[:2])
        pad = ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0))
        blocks = np.pad(image, pad, mode="edge").reshape(height // step, step, width // step, step, -1)
        image = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
    return np.ascontiguousarray(image)
