"""Hard predictions, as 0 and 1, class numbers or names of classes, brought into the form of scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .inputs import as_array, listed_names

if TYPE_CHECKING:
    from numpy.typing import NDArray


def as_predictions(
    y_true: Any, y_pred: Any, classes: Sequence[str] | None
) -> tuple[NDArray, NDArray[np.float32], Sequence[str] | None]:
    """Return labels, scores of 0 and 1, and names of the classes; see `Scores.from_predictions`."""
    several = classes is not None and not isinstance(classes, str) and len(classes) > 2
    if _holds_names(y_true) or _holds_names(y_pred):
        truth, said, classes = _numbered(y_true, y_pred, classes)
        several = True
    else:
        truth, said = as_array(y_true, "y_true"), as_array(y_pred, "y_pred")
    _check_known(said)
    several = several or bool((said > 1).any() or (truth > 1).any())
    if truth.ndim == said.ndim == 1 and several:
        return truth, _one_hot(truth, said, classes), classes
    wrong = said[(said != 0) & (said != 1)]
    if len(wrong):
        raise ValueError(
            f"y_pred holds {wrong[0]!s}: hard predictions of 0 and 1 are wanted. For probabilities: "
            "Scores(y_true, y_score)."
        )
    return truth, said.astype(np.float32), classes


def _check_known(said: NDArray) -> None:
    if not said.ndim or not said.size:
        return  # Scores refuses both in its own words
    unknown = (np.isnan(said) | (said < 0)).reshape(len(said), -1).any(axis=1)
    if unknown.any():
        row = int(unknown.argmax())
        raise ValueError(
            f"y_pred is {said[row]!s} at sample {row} (and {int(unknown.sum()) - 1} more): a prediction is "
            "0, 1 or a class number; only y_true may be unknown."
        )


def _one_hot(truth: NDArray, said: NDArray, classes: Sequence[str] | None) -> NDArray[np.float32]:
    """Return N x C of 0 and 1 of N class numbers."""
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
    return (said[:, None] == np.arange(count)).astype(np.float32)


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
    """Return class numbers of names, -1 where there is none, and the names in the order of the numbers."""
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
    for which, column in texts.items():
        strange = [text for text in column if text is not None and text not in numbers]
        if strange:
            raise ValueError(
                f"{which} holds {strange[0]!r}, which is none of the classes {listed_names(list(numbers))}."
            )
    truth, said = (
        np.array([-1 if text is None else numbers[text] for text in column], np.int64)
        for column in texts.values()
    )
    return truth, said, tuple(numbers)
