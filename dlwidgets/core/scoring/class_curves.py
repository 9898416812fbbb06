"""The curves of one class as tables of points: ROC, precision-recall and reliability."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..wording import did_you_mean, listed
from .cuts import all_cuts
from .intervals import wilson

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from .scores import Scores

#: Bins by their names here and in scikit-learn.
BINNINGS = {"width": "width", "uniform": "width", "mass": "mass", "quantile": "mass"}


def roc(scores: Scores, cls: int | str | None = None) -> pd.DataFrame:
    """Return the ROC curve of a class; see `Scores.roc`."""
    import pandas as pd

    c = class_number(scores, cls)
    cuts = all_cuts(scores.y_true[:, c], scores.y_score[:, c])
    return pd.DataFrame(
        {
            "threshold": cuts.thresholds,
            "false_positive_rate": share_of(cuts.fp, cuts.negatives),
            "recall": share_of(cuts.tp, cuts.positives),
            "fp": cuts.fp,
            "tp": cuts.tp,
        }
    )


def precision_recall(scores: Scores, cls: int | str | None = None) -> pd.DataFrame:
    """Return the precision-recall curve of a class; see `Scores.precision_recall`."""
    import pandas as pd

    c = class_number(scores, cls)
    cuts = all_cuts(scores.y_true[:, c], scores.y_score[:, c])
    predicted = cuts.tp + cuts.fp
    return pd.DataFrame(
        {
            "threshold": cuts.thresholds,
            "recall": share_of(cuts.tp, cuts.positives),
            "precision": np.where(predicted > 0, cuts.tp / np.maximum(predicted, 1), 1.0),
            "predicted": predicted,
            "tp": cuts.tp,
        }
    )


def reliability(
    scores: Scores,
    cls: int | str | None = None,
    bins: int = 10,
    *,
    binning: str = "width",
    level: float = 0.95,
) -> pd.DataFrame:
    """Return how often a class occurs among samples of like score; see `Scores.reliability`."""
    import pandas as pd

    c = class_number(scores, cls)
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)):
        raise TypeError(f"bins is {bins!r}: give their number, as 10.")
    if bins < 1:
        raise ValueError(f"{bins} bins: give at least 1.")
    if binning not in BINNINGS:
        raise ValueError(f"There is no binning {binning!r}: give 'width' or 'mass'.")
    known = scores.y_true[:, c] >= 0
    label, score = scores.y_true[known, c], scores.y_score[known, c].astype(np.float64)
    probabilities(score, f"The reliability of {scores.classes[c]!r}")
    edges = np.linspace(0, 1, bins + 1)
    if BINNINGS[binning] == "mass":
        edges = np.quantile(score, edges) if len(score) else np.full(bins + 1, np.nan)
    at = np.searchsorted(edges[1:-1], score)
    count = np.bincount(at, minlength=bins)
    hits = np.bincount(at, weights=label, minlength=bins).astype(np.int64)
    low, high = wilson(hits, count, level)
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "samples": count,
            "positives": hits,
            "mean_score": share_of(np.bincount(at, weights=score, minlength=bins), count),
            "observed": share_of(hits, count),
            "observed_low": low,
            "observed_high": high,
        }
    ).rename_axis("bin")


def class_number(scores: Scores, cls: Any) -> int:
    """Return the number of a class given by name or number; None means the only one."""
    if cls is None and scores.n_classes == 1:
        return 0
    known = f"give one of {listed(scores.classes)}, or a number 0 ... {scores.n_classes - 1}"
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


def share_of(part: NDArray, whole: Any) -> NDArray[np.float64]:
    """Return `part` / `whole`, NaN of nothing."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
