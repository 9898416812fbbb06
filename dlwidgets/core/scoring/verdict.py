"""The verdict on one sample: said and true, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

#: Labels named in the sentence, before "and 3 more".
_NAMED = 2


@dataclass(frozen=True)
class Verdict:
    """What was said about one sample.

    Attributes
    ----------
    words : a clause to follow "sample 412, ", as "has pneumonia, missed (0.31)"; "" where nothing is known.
    ranking : (name, score, true) of the highest scores and of all that are true, highest first; `true` is
        None where the truth is not known.
    measure : what the scores are: "probability" or "output".
    """

    words: str = ""
    ranking: tuple[tuple[str, float, bool | None], ...] = field(default=())
    measure: str = "output"


def verdict(
    scores: Any,
    target: Any = None,
    task: str | None = None,
    classes: Sequence[str] | None = None,
    thresholds: float | Sequence[float] = 0.5,
    most: int = 5,
) -> Verdict:
    """Compare the scores of one sample with its target.

    Parameters
    ----------
    scores : vector of C: probabilities for "multiclass", "multilabel" and "binary" (one), else outputs.
    target : class number, C zeros and ones (nan: unknown), a number (regression), or None.
    task : "multiclass", "multilabel", "binary", "regression", or None for anything else.
    classes : C names; for "binary" one (of the positive class) or two.
    thresholds : above or at which a label is predicted, one or C.
    most : the length of the ranking (longer where more labels are true).
    """
    values = _vector(scores)
    if values is None or values.size == 0:
        return Verdict()
    truth = _vector(target)
    names = _names(classes, values.size, task)
    if task == "multiclass":
        return _one_of_many(values, truth, names, most)
    if task in ("multilabel", "binary") and (truth is None or truth.size == values.size):
        return _any_of_many(values, truth, names, thresholds, most)
    words = ""
    if task == "regression" and values.size == 1:
        words = f"predicted {_number(values[0])}"
        if truth is not None and truth.size == 1:
            words = f"is {_number(truth[0])}, {words}"
    order = _highest(values, most)
    return Verdict(words, tuple((names[i], float(values[i]), None) for i in order), "output")


def _one_of_many(values: np.ndarray, truth: np.ndarray | None, names: Sequence[str], most: int) -> Verdict:
    said = int(np.nanargmax(values)) if np.isfinite(values).any() else 0
    true = None
    if truth is not None and truth.size == 1 and 0 <= truth[0] < values.size:
        true = int(truth[0])
    elif truth is not None and truth.size == values.size:
        true = int(np.argmax(truth))
    words = f"taken for {names[said]} ({values[said]:.2f})"
    if true is not None:
        right = f"recognised ({values[said]:.2f})"
        words = f"is {names[true]}, {right if said == true else words}"
    order = _highest(values, most, () if true is None else (true,))
    return Verdict(
        words,
        tuple((names[i], float(values[i]), None if true is None else i == true) for i in order),
        "probability",
    )


def _any_of_many(
    values: np.ndarray,
    truth: np.ndarray | None,
    names: Sequence[str],
    thresholds: float | Sequence[float],
    most: int,
) -> Verdict:
    limits = np.broadcast_to(np.asarray(thresholds, dtype=float), values.shape)
    said = values >= limits
    if truth is None:
        words = _list([f"{names[i]} ({values[i]:.2f})" for i in _highest(values, values.size) if said[i]])
        order = _highest(values, most)
        rows = tuple((names[i], float(values[i]), None) for i in order)
        return Verdict(f"predicted {words}" if words else "none predicted", rows, "probability")
    has = truth == 1
    clauses = [
        _clause([f"{names[i]}, missed ({values[i]:.2f})" for i in np.flatnonzero(has & ~said)], "has "),
        _clause([f"{names[i]}, found ({values[i]:.2f})" for i in np.flatnonzero(has & said)], "has "),
        _clause(
            [f"{names[i]} ({values[i]:.2f})" for i in np.flatnonzero((truth == 0) & said)], "false alarm: "
        ),
    ]
    words = "; ".join(filter(None, clauses)) or ("has none, none predicted" if (truth == 0).any() else "")
    order = _highest(values, most, tuple(np.flatnonzero(has)))
    known = [None if np.isnan(t) else bool(t == 1) for t in truth]
    return Verdict(words, tuple((names[i], float(values[i]), known[i]) for i in order), "probability")


def _clause(items: list[str], before: str) -> str:
    return before + _list(items) if items else ""


def _list(items: list[str]) -> str:
    shown = items[:_NAMED]
    return "; ".join(shown) + (f" and {len(items) - _NAMED} more" if len(items) > _NAMED else "")


def _highest(values: np.ndarray, most: int, always: Sequence[int] = ()) -> list[int]:
    """Return the `most` highest and what is always shown, highest first."""
    ranked = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    chosen = set(ranked[:most].tolist()) | {int(i) for i in always}
    return [int(i) for i in ranked if int(i) in chosen]


def _vector(value: Any) -> np.ndarray | None:
    if value is None:
        return None
    if isinstance(value, torch.Tensor):
        value = value.detach().float().cpu().numpy()
    try:
        found = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return None
    return found.reshape(-1)


def _names(classes: Sequence[str] | None, count: int, task: str | None) -> list[str]:
    if classes is not None and task == "binary" and count == 1 and len(classes) == 2:
        return [str(classes[1])]
    if classes is not None and len(classes) == count:
        return [str(name) for name in classes]
    word = "class" if task == "multiclass" else "label" if task in ("multilabel", "binary") else "output"
    return [f"{word} {index}" for index in range(count)]


def _number(value: float) -> str:
    return f"{value:.4g}"
