"""Labels and scores as people have them, checked and brought into one form: N x C int8 and N x C floats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray


def as_array(given: Any, name: str) -> NDArray:
    """Return tensors, frames, lists, arrays as a numeric array; half precision is widened to float32."""
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu()
        if given.is_floating_point() and given.dtype not in (torch.float32, torch.float64):
            given = given.float()
        return given.numpy()
    try:
        array = np.asarray(given)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} cannot be read as an array of numbers: {error}.") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} holds {array.dtype}: numbers are wanted.")
    if array.dtype.kind == "f":
        return array.astype(np.float32 if array.dtype.itemsize <= 4 else np.float64, copy=False)
    return array


def column_names(y_true: Any, y_score: Any) -> Sequence[str] | None:
    """Return the column names of DataFrames, or None; refuse two frames that differ in them."""
    names = [list(x.columns) for x in (y_true, y_score) if hasattr(x, "columns")]
    if len(names) == 2 and names[0] != names[1]:
        raise ValueError(
            f"The columns of y_true ({listed_names(names[0])}) and y_score ({listed_names(names[1])}) "
            "differ: give both with the same columns in the same order."
        )
    return names[0] if hasattr(y_true, "columns") else None


def task_of(label: NDArray, score: NDArray) -> str:
    """Return "multilabel", "multiclass" or "binary" from the shapes; refuse those that do not fit."""
    shapes = f"y_true has shape {label.shape}, y_score {score.shape}"
    if label.ndim not in (1, 2) or score.ndim not in (1, 2):
        raise ValueError(f"{shapes}: N x C is wanted, or N; flatten pictures and sequences first.")
    if len(label) != len(score):
        raise ValueError(f"{shapes}: both need one row a sample, {len(label)} and {len(score)} differ.")
    if label.size == 0 or score.size == 0:
        raise ValueError(f"{shapes}: at least one sample and one class are wanted.")
    columns = score.shape[1] if score.ndim == 2 else 1
    if label.ndim == 1:
        return "binary" if columns == 1 else "multiclass"
    if label.shape[1] != columns:
        wish = (
            "for one class a sample give y_true as N numbers"
            if label.shape[1] == 1
            else "give as many of each"
        )
        raise ValueError(f"{shapes}: {label.shape[1]} columns of labels for {columns} of scores; {wish}.")
    return "binary" if columns == 1 else "multilabel"


def class_names(classes: Sequence[str] | None, count: int, task: str) -> tuple[str, ...]:
    """Return `count` names; for binary the positive one of two."""
    if classes is None:
        return ("positive",) if task == "binary" else tuple(f"class {c}" for c in range(count))
    if isinstance(classes, str):
        raise TypeError(f"classes is one text, {classes!r}: give a list of {count} names.")
    names = tuple(str(name) for name in classes)
    if task == "binary" and len(names) == 2:
        return names[1:]
    if len(names) != count:
        raise ValueError(
            f"{len(names)} class names ({listed_names(names)}) for {count} columns of scores: give {count}."
        )
    return names


def sample_names(sample_ids: Sequence[Any] | None, count: int) -> NDArray | None:
    """Return `count` names of samples as an array, or None."""
    if sample_ids is None:
        return None
    # Through a list, so that an index of tuples stays one name a sample.
    names = np.empty(len(sample_ids), object)
    names[:] = list(sample_ids)
    if len(names) != count:
        raise ValueError(f"{len(names)} sample_ids for {count} samples: give one a sample.")
    return names


def as_labels(label: NDArray, count: int, task: str, row: Callable[[int], str]) -> NDArray[np.int8]:
    """Return N x C int8 of 1, 0 and -1 (unknown)."""
    unknown = np.isnan(label) if label.dtype.kind == "f" else np.zeros(label.shape, bool)
    unknown = unknown | (label == -1)
    if task == "multiclass":
        wrong = ~unknown & ((label < 0) | (label >= count) | (label != np.floor(label)))
        wanted = f"a class number 0 ... {count - 1}, as y_score has {count} columns, or -1 or NaN for unknown"
    else:
        wrong = ~unknown & (label != 0) & (label != 1)
        wanted = "0, 1, or -1 or NaN for unknown"
        if task == "binary":
            wanted += "; for several classes y_score must be N x C"
    if wrong.any():
        at = np.argwhere(wrong)[0]
        raise ValueError(
            f"y_true holds {label[tuple(at)]!s} at sample {row(at[0])}"
            f"{f', column {at[1]}' if len(at) > 1 else ''} (and {int(wrong.sum()) - 1} more): "
            f"{wanted} is wanted."
        )
    known = np.where(unknown, 0, label).astype(np.int64 if task == "multiclass" else np.int8)
    known[unknown] = -1
    if task != "multiclass":
        return np.ascontiguousarray(known.reshape(len(known), -1))
    one_hot = (known[:, None] == np.arange(count)).astype(np.int8)
    one_hot[known == -1] = -1
    return one_hot


def as_scores(score: NDArray, row: Callable[[int], str]) -> NDArray[np.floating]:
    """Return a copy as float32 or float64; refuse NaN, which has no place in any order."""
    copy = np.array(score, score.dtype if score.dtype.kind == "f" else np.float64, order="C")
    bad = np.flatnonzero(np.isnan(copy).any(axis=1))
    if len(bad):
        shown = ", ".join(row(n) for n in bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise ValueError(
            f"y_score is NaN in {len(bad):,} of {len(copy):,} samples (rows {shown}): a NaN cannot be "
            "compared with a threshold; drop those rows, or look for what made the model's output NaN."
        )
    return copy


def sigmoid(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return 1 / (1 + exp(-x)), exact in both tails and without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def softmax(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return exp(x) / sum(exp(x)) of each row; NaN for a row with +infinity."""
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def listed_names(names: Sequence[Any]) -> str:
    """Return the first three names in quotes."""
    return ", ".join(repr(str(name)) for name in names[:3]) + (", ..." if len(names) > 3 else "")
