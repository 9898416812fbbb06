"""Samples handed over as they are: arrays, tensors or a Dataset, answering as a session's samples do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..base.trees import tree_map, tree_tensors


class Given:
    """Samples by number: `len()`, `.inputs(i)` a batch of one, `.target(i)` or None, `.name`.

    Parameters
    ----------
    X : a tensor or array (axis 0 counts samples), a tuple of them for several positional inputs, a dict of
        them for keywords, a pandas DataFrame of numbers, or a map-style Dataset of inputs or of pairs
        (inputs, target).
    y : the targets, one a sample; None where there are none, or where the Dataset brings them.
    dtype : what floating arrays and frames are turned into; tensors keep theirs.

    Raises
    ------
    TypeError, ValueError : X is nothing of this kind, is empty, or its parts or `y` differ in length.
    """

    name = "given"

    def __init__(self, X: Any, y: Any = None, dtype: torch.dtype = torch.float32) -> None:
        self._dtype = dtype
        self._dataset = None
        if hasattr(X, "to_numpy") and hasattr(X, "columns"):
            X = X.to_numpy()
        if not _holds_numbers(X) and hasattr(X, "__getitem__") and hasattr(X, "__len__"):
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
            raise ValueError("X has no samples.")
        if y is not None and len(y) != self._length:
            raise ValueError(f"X has {self._length} samples, y has {len(y)}.")
        self._targets = y

    def __len__(self) -> int:
        return self._length

    def inputs(self, index: int) -> Any:
        """Return the inputs of sample `index` as a batch of one."""
        return self.item(index)[0]

    def target(self, index: int) -> Any:
        """Return the target of sample `index`, None where there is none."""
        return self.item(index)[1]

    def item(self, index: int) -> tuple[Any, Any]:
        """Return inputs and target of sample `index`, which is read once."""
        if self._dataset is None:
            inputs, target = tree_map(lambda tensor: tensor[index : index + 1], self._inputs), None
        else:
            item = self._dataset[index]
            inputs, target = item if _is_pair(item) else (item, None)
            inputs = tree_map(lambda tensor: tensor[None], self._read(inputs))
        if self._targets is not None:
            target = self._targets.iloc[index] if hasattr(self._targets, "iloc") else self._targets[index]
        return inputs, target

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


def _holds_numbers(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    if isinstance(value, tuple):
        return all(_holds_numbers(part) for part in value)
    return isinstance(value, torch.Tensor) or (hasattr(value, "dtype") and hasattr(value, "shape"))


def _is_pair(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and len(item) == 2
