"""What people give to Scores: labels, scores, predictions and names, read."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..base.words import did_you_mean, quote_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .scores import Scores


def as_array(given: Any, name: str) -> NDArray:
    """Read what was given as a numeric array, half precision as float32."""
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
    """Return the column names of DataFrames; refuse frames that differ."""
    names = [list(x.columns) for x in (y_true, y_score) if hasattr(x, "columns")]
    if len(names) == 2 and names[0] != names[1]:
        raise ValueError(
            f"The columns of y_true ({listed_names(names[0])}) and y_score ({listed_names(names[1])}) "
            "differ: give both with the same columns in the same order."
        )
    return names[0] if hasattr(y_true, "columns") else None


def task_of(label: NDArray, score: NDArray) -> str:
    """Tell "multilabel", "multiclass" or "binary" from the shapes."""
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
        one = label.shape[1] == 1
        wish = "for one class a sample give y_true as N numbers" if one else "give as many of each"
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
        several = "; for several classes y_score must be N x C" if task == "binary" else ""
        wanted = f"0, 1, or -1 or NaN for unknown{several}"
    if wrong.any():
        at = np.argwhere(wrong)[0]
        column = f", column {at[1]}" if len(at) > 1 else ""
        raise ValueError(
            f"y_true holds {label[tuple(at)]!s} at sample {row(at[0])}{column} "
            f"(and {int(wrong.sum()) - 1} more): {wanted} is wanted."
        )
    known = np.where(unknown, 0, label).astype(np.int64 if task == "multiclass" else np.int8)
    known[unknown] = -1
    if task != "multiclass":
        return np.ascontiguousarray(known.reshape(len(known), -1))
    one_hot = (known[:, None] == np.arange(count)).astype(np.int8)
    one_hot[known == -1] = -1
    return one_hot


def as_scores(score: NDArray, row: Callable[[int], str]) -> NDArray[np.floating]:
    """Copy scores as float32 or float64; refuse NaN, which has no order."""
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
    """Compute 1 / (1 + exp(-x)), exact in both tails."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


def softmax(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Compute the softmax of each row; NaN for a row with +infinity."""
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def listed_names(names: Sequence[Any]) -> str:
    """Return the first three names in quotes."""
    return ", ".join(repr(str(name)) for name in names[:3]) + (", ..." if len(names) > 3 else "")


def as_predictions(
    y_true: Any, y_pred: Any, classes: Sequence[str] | None
) -> tuple[NDArray, NDArray[np.float32], Sequence[str] | None]:
    """Read labels, scores of 0 and 1, and names: `Scores.from_predictions`."""
    several = classes is not None and not isinstance(classes, str) and len(classes) > 2
    if _holds_names(y_true) or _holds_names(y_pred):
        truth, said, classes = _numbered(y_true, y_pred, classes)
        several = True
    else:
        truth, said = as_array(y_true, "y_true"), as_array(y_pred, "y_pred")
    if said.ndim and said.size:  # Scores refuses others in its own words
        unknown = (np.isnan(said) | (said < 0)).reshape(len(said), -1).any(axis=1)
        if unknown.any():
            row = int(unknown.argmax())
            raise ValueError(
                f"y_pred is {said[row]!s} at sample {row} (and {int(unknown.sum()) - 1} more): a prediction "
                "is 0, 1 or a class number; only y_true may be unknown."
            )
    several = several or bool((said > 1).any() or (truth > 1).any())
    if not (truth.ndim == said.ndim == 1 and several):
        wrong = said[(said != 0) & (said != 1)]
        if len(wrong):
            raise ValueError(
                f"y_pred holds {wrong[0]!s}: hard predictions of 0 and 1 are wanted. For probabilities: "
                "Scores(y_true, y_score)."
            )
        return truth, said.astype(np.float32), classes
    broken = said[said != np.floor(said)]
    if len(broken):
        raise ValueError(
            f"y_pred holds {broken[0]!s} where class numbers are wanted. For probabilities: "
            "Scores(y_true, y_score) with N x C scores."
        )
    seen = np.concatenate([said.astype(np.float64), truth.astype(np.float64)])
    count = int(np.nanmax(seen)) + 1 if classes is None else len(classes)
    if len(said) and said.max() >= count:
        raise ValueError(
            f"y_pred holds class {int(said.max())}: {count} classes are named, 0 ... {count - 1}."
        )
    return truth, (said[:, None] == np.arange(count)).astype(np.float32), classes


def _holds_names(given: Any) -> bool:
    """Return whether `given` holds texts."""
    if isinstance(given, torch.Tensor):
        return False
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):
        return False  # as_array says in words why not
    if array.dtype.kind in "biuf":
        return False
    return any(isinstance(value, str) for value in np.asarray(given, object).reshape(-1))


def _numbered(
    y_true: Any, y_pred: Any, classes: Sequence[str] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...]]:
    """Turn names into class numbers, -1 for none, and list the names."""
    named = {"y_true": np.asarray(y_true, object), "y_pred": np.asarray(y_pred, object)}
    if any(column.ndim != 1 for column in named.values()):
        raise ValueError("Names of classes are wanted as N names in y_true and N in y_pred, one a sample.")
    texts = {
        which: [None if value is None or value != value else str(value) for value in column]
        for which, column in named.items()
    }
    if classes is None:
        classes = sorted({text for column in texts.values() for text in column if text is not None})
    numbers = {str(name): number for number, name in enumerate(classes)}
    names = tuple(numbers)
    for which, column in texts.items():
        strange = [text for text in column if text is not None and text not in numbers]
        if strange:
            raise ValueError(
                f"{which} holds {strange[0]!r}, which is none of the classes {listed_names(names)}."
            )
    truth, said = (
        np.array([numbers.get(text, -1) for text in column], np.int64) for column in texts.values()
    )
    return truth, said, names


def class_number(scores: Scores, cls: Any) -> int:
    """Find a class by name or number; None: the only one."""
    if cls is None and scores.n_classes == 1:
        return 0
    known = f"give one of {quote_names(scores.classes)}, or a number 0 ... {scores.n_classes - 1}"
    if isinstance(cls, str):
        if cls in scores.classes:
            return scores.classes.index(cls)
        raise ValueError(f"There is no class {cls!r}: {known}.{did_you_mean(cls, scores.classes)}")
    try:
        number = operator.index(cls)
    except TypeError:
        number = -1
    if isinstance(cls, (bool, np.bool_)) or number < 0 and not isinstance(cls, (int, np.integer)):
        raise TypeError(f"Of {scores.n_classes} classes one is wanted, {cls!r} given: {known}.")
    if not 0 <= number < scores.n_classes:
        raise ValueError(f"There is no class {number} of {scores.n_classes}: {known}.")
    return number


def check_probabilities(score: NDArray[np.floating], what: str) -> None:
    """Refuse scores outside 0 ... 1; the sentence says what needs probabilities."""
    if len(score) and not 0 <= score.min() <= score.max() <= 1:
        raise ValueError(
            f"{what} needs probabilities, and the scores run from {score.min():.3g} to {score.max():.3g}: "
            "build the Scores of logits with Scores.from_logits."
        )


def read_row_count(top: Any) -> int | None:
    """Read how many rows of a table are wanted; None: all."""
    if top is None:
        return None
    if isinstance(top, bool) or not isinstance(top, (int, np.integer)):
        raise TypeError(f"top is {top!r}: give a number of rows, or None for all.")
    if top < 1:
        raise ValueError(f"top is {top}: give 1 or more, or None for all.")
    return int(top)
