"""A sample as a card that fits in a list of them: a small image, the values of a row, or a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from ..base.trees import tree_tensors
from ..pictures.thumbnail import thumbnail
from .frame import is_frame
from .plain_samples import Given

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


def card(inputs: Any) -> Card:
    """Return the card of one sample: a batch of one, a text, or a row as a mapping of names to values."""
    if isinstance(inputs, str):
        return Card("text", text=_cut(inputs))
    if isinstance(inputs, Mapping) and not any(True for _ in tree_tensors(inputs)):
        return Card("row", values=tuple(inputs.values()))
    if isinstance(inputs, (tuple, list)) and inputs and isinstance(inputs[0], str):
        return Card("text", text=_cut(inputs[0]))
    first = next(tree_tensors(inputs), None)
    if first is not None and first.ndim == 2 and _is_row(first):
        return Card("row", values=tuple(first[0].detach().double().cpu().tolist()))
    if first is not None and first.ndim == 3 and first.is_floating_point() | (first.dtype == torch.uint8):
        inputs = first[:, None]  # an image without a channel axis
    found = thumbnail(inputs)
    if found.image is not None:
        return Card("image", image=_small(found.image))
    if found.kind == "tokens":
        return Card("text", text=_cut(found.words))
    return Card("none", text=found.words or f"a tensor of shape {tuple(found.shape)}")


class Texts:
    """Texts by number, answering as `Given` does."""

    name = "given"

    def __init__(self, texts: Any) -> None:
        self._texts = [str(text) for text in texts]

    def __len__(self) -> int:
        return len(self._texts)

    def inputs(self, index: int) -> str:
        """Return the text of sample `index`."""
        return self._texts[index]

    def target(self, index: int) -> None:
        """Return None: a text brings no target."""


class Records:
    """The rows of a DataFrame by number, names and numbers alike, answering as `Given` does."""

    name = "given"

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.columns = tuple(str(column) for column in frame.columns)

    def __len__(self) -> int:
        return len(self._frame)

    def inputs(self, index: int) -> dict[str, Any]:
        """Return the row of sample `index`: column -> number or word."""
        row = [_plain(value) for value in self._frame.iloc[index]]
        return dict(zip(self.columns, row))

    def target(self, index: int) -> None:
        """Return None: the frame is all inputs."""


def by_number(X: Any) -> Any:
    """Return samples handed over as they are, with `len()`, `.inputs(i)` and `.target(i)`.

    Parameters
    ----------
    X : what `Given` takes; besides, texts (a list, an array or a Series of str) and a DataFrame whose columns
        may hold words.

    Raises
    ------
    TypeError, ValueError : X is nothing of this kind, or holds no samples.
    """
    if is_frame(X):
        found: Any = Records(X)
    elif _holds_texts(X):
        found = Texts(X)
    elif hasattr(X, "__len__") or hasattr(X, "__getitem__"):
        found = Given(X)
    else:
        raise TypeError(
            f"X is of type {type(X).__name__}, whose samples have no numbers: give a tensor, an array, "
            "a DataFrame, a list of texts or a Dataset."
        )
    if len(found) == 0:
        raise ValueError("X has no samples.")
    return found


def _is_row(tensor: torch.Tensor) -> bool:
    # Whole numbers in a vector are tokens for thumbnail(), but yes-or-no features are a row.
    return tensor.is_floating_point() or tensor.dtype == torch.bool


def _holds_texts(X: Any) -> bool:
    if isinstance(X, (str, bytes, Mapping, torch.Tensor)) or not hasattr(X, "__len__") or len(X) == 0:
        return False
    if isinstance(X, tuple):
        return False
    if isinstance(X, list) or getattr(X, "ndim", 0) == 1:
        first = X.iloc[0] if hasattr(X, "iloc") else X[0]
        return isinstance(first, str)
    return False


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value)
    return str(value)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"


def _small(image: np.ndarray) -> np.ndarray:
    """Return the image with no side over `SIDE`, by means of blocks; with one channel where it is grey."""
    if (image[..., :1] == image).all():
        image = image[..., :1]
    step = -(-max(image.shape[:2]) // SIDE)
    if step > 1:
        height, width = (-(-side // step) * step for side in image.shape[:2])
        pad = ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0))
        blocks = np.pad(image, pad, mode="edge").reshape(height // step, step, width // step, step, -1)
        image = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
    return np.ascontiguousarray(image)
