"""What is to be predicted, made a tensor: numbers, names of classes, columns of a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..base.words import pluralize, quote_names
from .frame import is_frame


class Targets(NamedTuple):
    """Targets as a tensor, one row a sample; the names of the classes; whether the targets *were* names."""

    values: torch.Tensor
    classes: tuple[str, ...] | None = None
    named: bool = False


def read_targets(y: Any, name: str, names: Sequence[str] | None = None) -> Targets:
    """Return targets in one form.

    Names of classes become numbers: in the order of `names`, else in sorted order, as scikit-learn's
    LabelEncoder has it. Several columns of a DataFrame bring their column names.

    Parameters
    ----------
    name : what to call the data in a message.
    names : the names of the classes in order, where known.

    Raises
    ------
    TypeError, ValueError : one sentence on what is wrong.
    """
    if y is None:
        raise TypeError(f"{name} has no targets (None): pass {name}=(X, y).")
    columns = tuple(str(column) for column in y.columns) if is_frame(y) and y.shape[1] > 1 else None
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    if not isinstance(y, torch.Tensor):
        y = _as_array(y, name)
        if y.dtype.kind in "USOT":
            return _encoded(y, name, names)
    tensor = as_tensor(y, f"the targets of {name}")
    if tensor.ndim == 0:
        raise ValueError(f"{name} has targets without a sample axis: a single number.")
    return Targets(tensor, columns)


def as_tensor(values: Any, what: str) -> torch.Tensor:
    """Return an array, or what numpy makes one of, as a tensor; a tensor as it is, detached."""
    if isinstance(values, torch.Tensor):
        return values.detach()
    try:
        array = np.asarray(values)
        if not array.flags.writeable:
            array = array.copy()  # torch warns of memory that it may not write
        return torch.as_tensor(np.ascontiguousarray(array) if array.ndim else array)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} cannot be made a tensor: {error}") from error


def _as_array(y: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(y)
    except ValueError:
        array = None
    if array is None or (
        array.dtype.kind == "O" and array.ndim and isinstance(array.flat[0], (list, tuple, set))
    ):
        raise ValueError(
            f"{name} has targets of unequal length, as lists of labels have: pass 0 and 1 in a column for "
            "each label (sklearn.preprocessing.MultiLabelBinarizer)."
        )
    if array.dtype.kind == "O" and array.ndim and array.size:
        # Numbers among objects, as pandas gives them for its nullable types.
        if all(isinstance(one, (bool, np.bool_, int, float, np.number)) for one in array.flat):
            return np.array(array.tolist())
    return array


def _encoded(y: np.ndarray, name: str, names: Sequence[str] | None) -> Targets:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise ValueError(
            f"{name} has targets of text in shape {y.shape}: one name for each sample is wanted."
        )
    missing = [i for i, one in enumerate(y) if one is None or one != one]
    if missing:
        raise ValueError(
            f"{name} has {pluralize(len(missing), 'sample')} without a target, "
            f"the first is sample {missing[0]}: leave them out."
        )
    words = [str(word) for word in y]
    classes = tuple(map(str, names)) if names is not None else tuple(sorted(set(words)))
    number = {word: i for i, word in enumerate(classes)}
    unknown = sorted(set(words) - set(classes))
    if unknown:
        raise ValueError(f"{name} has the class {unknown[0]!r}, which is none of {quote_names(classes)}.")
    return Targets(torch.tensor([number[word] for word in words], dtype=torch.int64), classes, True)
