"""Suspicious labels: given labels that out-of-sample scores confidently contradict (confident learning)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from .inputs import check_probabilities, class_number, read_row_count

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from .scores import Scores

RULE = "confident_learning"
#: What rules each engine knows.
ENGINES = {"own": (RULE,), "cleanlab": (RULE, "prune_by_noise_rate", "prune_by_class", "both")}
#: What is this close counts as equal, as in cleanlab: a mean of equal scores is rounded.
CLOSE = 1e-6


def suspicious(
    scores: Scores,
    cls: int | str | None = None,
    top: int | None = None,
    *,
    engine: str = "own",
    rule: str = RULE,
) -> pd.DataFrame:
    """Return the given labels that the scores confidently contradict; see `Scores.suspicious`."""
    import pandas as pd

    if engine not in ENGINES:
        raise ValueError(f"There is no engine {engine!r}: give 'own' or 'cleanlab'.")
    if engine == "cleanlab" and scores.groups is not None:
        raise ValueError(
            "engine='cleanlab' knows no groups, and would count each of a group's samples as one by itself: leave "
            "engine='own', or build the Scores without groups=."
        )
    if rule not in ENGINES[engine]:
        known = ", ".join(ENGINES[engine])
        raise ValueError(f"The engine {engine!r} has no rule {rule!r}: give one of {known}.")
    wanted = read_row_count(top)
    row, column, instead, confidence = (
        part[:wanted] for part in find_suspicious(scores, cls, engine=engine, rule=rule)
    )
    columns = {
        "sample": scores.names_of(row),
        "class": np.array(scores.classes, object)[column],
        "given": scores.y_true[row, column],
        "score": scores.y_score[row, column].astype(np.float64),
        "confidence": confidence,
        "rank": np.arange(1, len(row) + 1),
    }
    if scores.groups is not None:
        columns["group"] = scores.groups[row]
    if scores.task == "multiclass":
        columns["instead"] = np.array(scores.classes, object)[instead]
    return pd.DataFrame(columns)


def find_suspicious(
    scores: Scores, cls: int | str | None = None, *, engine: str = "own", rule: str = RULE
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Find the suspicious labels, worst first, by the numbers of their samples.

    Returns rows, classes, the likeliest class instead (of a multiclass task; else the class) and how confident the
    given answers are.
    """
    chosen = None if cls is None else class_number(scores, cls)
    check_probabilities(scores.y_score, "suspicious()")
    if scores.task == "multiclass":
        row, column, instead = _of_many(scores, engine, rule)
        if chosen is not None:
            row, column, instead = (part[column == chosen] for part in (row, column, instead))
    else:
        row, column = _of_each(scores, range(scores.n_classes) if chosen is None else [chosen], engine, rule)
        instead = column
    given, score = scores.y_true[row, column], scores.y_score[row, column].astype(np.float64)
    confidence = np.where(given == 1, score, 1 - score)
    worst = _worst_of_group(scores, row, column, confidence)
    order = np.lexsort((column, row, confidence, *worst))
    return row[order], column[order], instead[order], confidence[order]


def _worst_of_group(
    scores: Scores, row: NDArray[np.int64], column: NDArray[np.int64], confidence: NDArray[np.float64]
) -> tuple[NDArray, ...]:
    """Return keys that let labels of a group follow its worst."""
    if scores.groups is None or not len(row):
        return ()
    _, of = np.unique(scores.groups[row] * scores.n_classes + column, return_inverse=True)
    least = np.full(of.max() + 1, np.inf)
    np.minimum.at(least, of, confidence)
    return of, least[of]


def find_contradicted(
    labels: NDArray[np.integer], chances: NDArray[np.float64], groups: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Return N booleans: the given answer is confidently contradicted.

    With `groups`, each weighs as one sample in what an answer usually gets. `labels` are the N given answers
    0 ... K-1, each of which occurs; `chances` N x K float64 in 0 ... 1.
    """
    given = chances[np.arange(len(labels)), labels]
    weight = np.ones(len(labels))
    if groups is not None:
        _, of, size = np.unique(
            groups * chances.shape[1] + labels, return_inverse=True, return_counts=True
        )  # fmt: skip
        weight = 1 / size[of]
    usual = np.bincount(labels, given * weight, chances.shape[1]) / np.bincount(labels, weight)
    # An answer that is never given any chance would be reached by all.
    reached = chances >= np.maximum(usual, 2 * CLOSE) - CLOSE
    guess = np.where(reached.sum(axis=1) > 1, chances.argmax(axis=1), reached.argmax(axis=1))
    return reached.any(axis=1) & (guess != labels) & (given < chances.max(axis=1) - CLOSE)


def _of_each(
    scores: Scores, classes: Any, engine: str, rule: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find suspicious labels class by class: rows and columns."""
    rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for c in classes:
        known = np.flatnonzero(scores.y_true[:, c] >= 0)
        label = scores.y_true[known, c].astype(np.int64)
        if not 0 < label.sum() < len(label):
            continue
        yes = scores.y_score[known, c].astype(np.float64)
        groups = None if scores.groups is None else scores.groups[known]
        found = known[_found(label, np.stack([1 - yes, yes], axis=1), groups, engine, rule)]
        rows.append(found)
        columns.append(np.full(len(found), c))
    return np.concatenate(rows), np.concatenate(columns)


def _of_many(
    scores: Scores, engine: str, rule: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find suspicious labels among C answers: rows, given, likeliest."""
    known = np.flatnonzero(scores.y_true[:, 0] >= 0)
    label, chances = scores.y_true[known].argmax(axis=1), scores.y_score[known].astype(np.float64)
    # An answer that is never given has no usual score, and so cannot be guessed.
    answers = np.flatnonzero(np.bincount(label, minlength=scores.n_classes))
    if len(answers) < 2:
        return (np.empty(0, np.int64),) * 3
    place = np.searchsorted(answers, label)
    groups = None if scores.groups is None else scores.groups[known]
    found = np.flatnonzero(_found(place, chances[:, answers], groups, engine, rule))
    return known[found], label[found], answers[chances[found][:, answers].argmax(axis=1)]


def _found(
    labels: NDArray[np.int64],
    chances: NDArray[np.float64],
    groups: NDArray[np.int64] | None,
    engine: str,
    rule: str,
) -> NDArray[np.bool_]:
    if engine == "own":
        return find_contradicted(labels, chances, groups)
    try:
        cleanlab = import_module("cleanlab.filter")
    except ImportError as error:
        raise RuntimeError(
            f"engine='cleanlab' needs the package cleanlab, which cannot be imported ({error}): install it "
            "(pip install cleanlab), or leave engine='own'."
        ) from error
    # Its other rules want rows that sum to 1, which answers left out may have spoilt.
    total = chances.sum(axis=1, keepdims=True)
    rows = np.divide(chances, total, out=np.full_like(chances, 1 / chances.shape[1]), where=total > 0)
    return np.asarray(cleanlab.find_label_issues(labels, rows, filter_by=rule, n_jobs=1), bool)
