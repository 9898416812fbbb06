"""What a question to Scores names: a class, a number of rows; read, or refused in a sentence."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.words import did_you_mean, quote_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .scores import Scores


def class_number(scores: Scores, cls: Any) -> int:
    """Return the number of a class given by name or number; None means the only one."""
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


def probabilities(score: NDArray[np.floating], what: str) -> None:
    """Refuse scores outside 0 ... 1, in a sentence that says what needs them."""
    if len(score) and not 0 <= score.min() <= score.max() <= 1:
        raise ValueError(
            f"{what} needs probabilities, and the scores run from {score.min():.3g} to {score.max():.3g}: "
            "build the Scores of logits with Scores.from_logits."
        )


def rows_wanted(top: Any) -> int | None:
    """Return how many rows of a table are wanted; None: all."""
    if top is None:
        return None
    if isinstance(top, bool) or not isinstance(top, (int, np.integer)):
        raise TypeError(f"top is {top!r}: give a number of rows, or None for all.")
    if top < 1:
        raise ValueError(f"top is {top}: give 1 or more, or None for all.")
    return int(top)
