"""Single samples by number, and as small cards."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from ..base.trees import tree_map, tree_tensors
from ..base.words import quote_value
from ..layers.example_input import read_frame, read_rows
from ..pictures.thumbnail import make_thumbnail
from .batches import Batches
from .detection import is_target_list
from .source import is_frame
from .task import unpack_batch

#: The most rows that may be the nodes of one graph.
_NODES = 5_000

class Samples:
    """The samples of batches by number; of an iterable, its first batch.

    Parameters
    ----------
    name : what the samples are, as "validation".
    device : where the inputs are wanted.
    target : the entry of a dict batch that is the target.
    """

    def __init__(self, batches: Batches, name: str, device: torch.device, target: str | None = None) -> None:
        self.name, self.groups = name, batches.groups
        self._batches, self._device, self._target = batches, device, target

    def __len__(self) -> int:
        return self._batches.count_readable()

    def inputs(self, index: int) -> Any:
        """Return the inputs of one sample as a batch of one."""
        return self.item(index)[0]

    def target(self, index: int) -> Any:
        """Return the target of one sample without the batch axis, or None."""
        return self.item(index)[1]

    def item(self, index: int) -> tuple[Any, Any]:
        """Return inputs and target of one sample, which is read once."""
        count = len(self)
        if not 0 <= index < count:
            raise IndexError(f"Sample {index} does not exist: the {self.name} samples are 0 to {count - 1}.")
        batch = self._batches.read_sample(index)
        try:
            inputs, target = unpack_batch(batch, self._target)
        except TypeError:
            # A batch for a custom step: its first part is the best guess at what the model is given.
            inputs, target = (batch[0] if isinstance(batch, (tuple, list)) else batch), None
        if (isinstance(target, torch.Tensor) and target.ndim) or is_target_list(target):
            target = target[0]
        return tree_map(lambda tensor: tensor.to(self._device), inputs), target


class PlainSamples(Samples):
    """Arrays, tensors or a Dataset by number.

    Parameters
    ----------
    X : a tensor or array (axis 0 counts samples), rows as lists of numbers, a tuple of them for several
        positional inputs, a dict of them for keywords, a pandas DataFrame of numbers, or a map-style Dataset
        of inputs or of pairs (inputs, target). A graph, of nodes and edges, is one sample.
    y : the targets, one a sample; None where there are none, or where the Dataset brings them.
    dtype : what floating arrays and frames are turned into; tensors keep theirs.

    Raises TypeError, ValueError: X is nothing of this kind, is empty, or its parts or `y` differ in length.
    """

    def __init__(self, X: Any, y: Any = None, dtype: torch.dtype = torch.float32) -> None:
        self.name, self.groups, self._dtype, self._dataset = "given", None, dtype, None
        if hasattr(X, "to_numpy") and hasattr(X, "columns"):
            X = read_frame(X)
        X, self._whole = read_rows(X), _is_whole(X)
        if self._whole:
            self._inputs, self._length = X, 1
        elif not _holds_numbers(X) and hasattr(X, "__getitem__") and hasattr(X, "__len__"):
            self._dataset, self._length = X, len(X)
        else:
            self._inputs = self._read(X)
            lengths = {len(tensor) if tensor.ndim else 0 for tensor in tree_tensors(self._inputs)}
            if not lengths:
                raise TypeError(
                    f"X is of type {type(X).__name__}: a tensor, an array, a tuple or dict of these, "
                    "a DataFrame or a Dataset is wanted."
                )
            if len(lengths) > 1:
                counts = ", ".join(map(str, sorted(lengths)))
                raise ValueError(f"The inputs in X differ in length: {counts} samples.")
            self._length = lengths.pop()
        if self._length == 0:
            raise ValueError(f"X has no samples: a batch of inputs is wanted, not {quote_value(X)}.")
        if y is not None and not hasattr(y, "__len__"):
            raise TypeError(f"y={y!r}: one target a sample is wanted, as a tensor, an array or a list.")
        if y is not None and len(y) != self._length:
            raise ValueError(f"X has {self._length} samples, y has {len(y)}.")
        self._targets = y

    def __len__(self) -> int:
        return self._length

    def item(self, index: int) -> tuple[Any, Any]:
        if self._whole:
            inputs, target = self._inputs, None
        elif self._dataset is None:
            inputs, target = tree_map(lambda tensor: _row(tensor, index), self._inputs), None
        else:
            item = self._dataset[index]
            pair = isinstance(item, (tuple, list)) and len(item) == 2
            inputs, target = item if pair else (item, None)
            if isinstance(inputs, str):
                inputs = ([inputs],)
            elif not _is_whole(inputs):
                inputs = tree_map(lambda tensor: tensor[None], self._read(inputs))
        if self._targets is not None:
            target = self._targets.iloc[index] if hasattr(self._targets, "iloc") else self._targets[index]
        return inputs, target

    def as_one(self) -> PlainSamples | None:
        """Return all rows as one sample, as nodes; None of many."""
        listed = isinstance(self._dataset, list)
        if self._whole or (self._dataset is not None and not listed) or self._length > _NODES:
            return None
        twin = copy.copy(self)
        if listed:
            twin._inputs = (self._dataset,)  # one list, which the forward goes through itself
        twin._whole, twin._length, twin._targets = True, 1, None
        return twin

    def _read(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._read(part) for key, part in value.items()}
        if isinstance(value, tuple):
            return tuple(self._read(part) for part in value)
        if isinstance(value, torch.Tensor):
            return value
        if isinstance(value, np.ndarray) and not value.flags.writeable:
            value = value.copy()  # torch warns of memory that it may not write
        try:
            found = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError):
            return value
        return found.to(self._dtype) if found.is_floating_point() else found


def _row(tensor: torch.Tensor, index: int) -> torch.Tensor:
    return tensor.unbind()[index][None] if tensor.is_nested else tensor[index : index + 1]


def _is_whole(X: Any) -> bool:
    """Say whether this is one sample as a whole, as a graph."""
    tensors = list(tree_tensors(X))
    if isinstance(X, (tuple, Mapping)):
        # Edges: two rows of the numbers of nodes.
        edges = [t for t in tensors if t.ndim == 2 and len(t) == 2 and t.dtype in (torch.int32, torch.int64)]
        return bool(edges) and len({len(t) if t.ndim else 0 for t in tensors}) > 1
    if not tensors or isinstance(X, (torch.Tensor, list, Dataset)):
        return False
    try:
        X[0]
    except Exception:  # noqa: BLE001 - no numbered samples: an object of one's own
        return True
    return False


def _holds_numbers(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_holds_numbers, value))
    return isinstance(value, Mapping) or (hasattr(value, "dtype") and hasattr(value, "shape"))


class TextSamples(list[str]):
    """Texts by number; they bring no targets."""

    def inputs(self, index: int) -> str:
        """Return the text of sample `index`."""
        return self[index]


class FrameSamples:
    """Rows of a DataFrame by number; all of its columns are inputs."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.columns = tuple(map(str, frame.columns))

    def __len__(self) -> int:
        return len(self._frame)

    def inputs(self, index: int) -> dict[str, Any]:
        """Return the row of sample `index`: column -> number or word."""
        numbers = (int, float, np.integer, np.floating)
        row = (
            float(value) if isinstance(value, numbers) and not isinstance(value, bool) else str(value)
            for value in self._frame.iloc[index]
        )  # fmt: skip
        return dict(zip(self.columns, row))


def read_samples(X: Any) -> Any:
    """Return samples by number, with `len()` and `.inputs(i)`.

    X is what `PlainSamples` takes, texts (a list, an array or a Series of str), or a DataFrame whose columns
    may hold words. Raises TypeError, ValueError: it is nothing of this kind, or holds no samples.
    """
    listed = isinstance(X, list) or (getattr(X, "ndim", 0) == 1 and not isinstance(X, torch.Tensor))
    if is_frame(X):
        found: Any = FrameSamples(X)
    elif listed and len(X) > 0 and isinstance(X.iloc[0] if hasattr(X, "iloc") else X[0], str):
        found = TextSamples(map(str, X))
    elif hasattr(X, "__len__") or hasattr(X, "__getitem__"):
        found = PlainSamples(X)
    else:
        raise TypeError(
            f"X is of type {type(X).__name__}, whose samples have no numbers: give a tensor, an array, "
            "a DataFrame, a list of texts or a Dataset."
        )
    if len(found) == 0:
        raise ValueError("X has no samples.")
    return found


# -- a sample in small

#: The longest side of a card's image in pixels: 24 cards in colour are 288 KiB.
SIDE = 64
#: The letters of a text that are kept.
LETTERS = 240


@dataclass(frozen=True)
class Card:
    """One sample in small."""

    kind: Literal["image", "row", "text", "none"]  #: "image", "row", "text" or "none".
    image: np.ndarray | None = None  #: Uint8, H x W x 1 (grey) or H x W x 3, neither side over `SIDE`.
    values: tuple[Any, ...] = ()  #: The values of a row, numbers or words, in the order of the columns.
    text: str = ""  #: The text or the tokens; for "none" the reason.
    box: tuple[float, ...] = ()  #: The box that the image is cut out around: x1 y1 x2 y2 in 0 ... 1 of it.


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


def make_box_card(inputs: Any, box: Sequence[float]) -> Card:
    """Make the card of a box, with some of its surroundings."""
    image = only_image(inputs)
    if image is None:
        return make_card(inputs)
    height, width = image.shape[-2:]
    x1, y1, x2, y2 = box
    # Half of the longer side all around, so that it is seen where the box lies on the thing.
    margin = max(4.0, (x2 - x1) / 2, (y2 - y1) / 2)
    left, right = (int(np.clip(at, 0, width)) for at in (x1 - margin, x2 + margin))
    top, bottom = (int(np.clip(at, 0, height)) for at in (y1 - margin, y2 + margin))
    if right - left < 2 or bottom - top < 2:
        return Card("none", text="The box lies outside of its picture.")
    made = make_card(image[..., top:bottom, left:right])
    wide, tall = right - left, bottom - top
    return replace(made, box=((x1 - left) / wide, (y1 - top) / tall, (x2 - left) / wide, (y2 - top) / tall))


def only_image(inputs: Any) -> torch.Tensor | None:
    """Return the only image of a batch with its batch axis."""
    first = next(tree_tensors(inputs), None)
    if first is None or not 3 <= first.ndim <= 4:
        return None
    return first[None] if first.ndim == 3 else first


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
