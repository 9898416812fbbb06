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
    values, truth = _vector(scores), _vector(target)
    if values is None or values.size == 0:
        return Verdict()
    names = _names(classes, values.size, task)
    ranked = [int(i) for i in np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")]
    words, measure = "", "probability"
    known: list[bool | None] = [None] * values.size
    if task == "multiclass":
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
            known = [i == true for i in range(values.size)]
    elif task in ("multilabel", "binary") and (truth is None or truth.size == values.size):
        over = values >= np.broadcast_to(np.asarray(thresholds, dtype=float), values.shape)
        scored = [f"({value:.2f})" for value in values]
        if truth is None:
            named = [f"{names[i]} {scored[i]}" for i in ranked if over[i]]
            words = _clause("predicted ", named) or "none predicted"
        else:
            has, alarms = truth == 1, np.flatnonzero((truth == 0) & over)
            clauses = [
                _clause("has ", [f"{names[i]}, missed {scored[i]}" for i in np.flatnonzero(has & ~over)]),
                _clause("has ", [f"{names[i]}, found {scored[i]}" for i in np.flatnonzero(has & over)]),
                _clause("false alarm: ", [f"{names[i]} {scored[i]}" for i in alarms]),
            ]
            none = "has none, none predicted" if (truth == 0).any() else ""
            words = "; ".join(filter(None, clauses)) or none
            known = [None if np.isnan(label) else bool(label == 1) for label in truth]
    else:
        measure = "output"
        if task == "regression" and values.size == 1:
            words = f"predicted {values[0]:.4g}"
            if truth is not None and truth.size == 1:
                words = f"is {truth[0]:.4g}, {words}"
    shown = [i for place, i in enumerate(ranked) if place < most or known[i]]
    return Verdict(words, tuple((names[i], float(values[i]), known[i]) for i in shown), measure)


def _clause(before: str, items: list[str]) -> str:
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return before + "; ".join(items[:_NAMED]) + more if items else ""


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
