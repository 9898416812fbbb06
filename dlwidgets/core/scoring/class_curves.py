"""The curves of a class as tables: ROC, precision-recall and reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .counts import all_cuts
from .inputs import check_probabilities, class_number
from .intervals import wilson
from .metrics import ratio

if TYPE_CHECKING:
    import pandas as pd

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
            "false_positive_rate": ratio(cuts.fp, cuts.negatives),
            "recall": ratio(cuts.tp, cuts.positives),
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
            "recall": ratio(cuts.tp, cuts.positives),
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
    """Return the reliability of a class; see `Scores.reliability`."""
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
    check_probabilities(score, f"The reliability of {scores.classes[c]!r}")
    edges = np.linspace(0, 1, bins + 1)
    if BINNINGS[binning] == "mass":
        # In percent, as scikit-learn asks: where many scores are equal, the last bit decides on which side
        # they lie.
        edges = np.percentile(score, edges * 100) if len(score) else np.full(bins + 1, np.nan)
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
            "mean_score": ratio(np.bincount(at, weights=score, minlength=bins), count),
            "observed": ratio(hits, count),
            "observed_low": low,
            "observed_high": high,
        }
    ).rename_axis("bin")
