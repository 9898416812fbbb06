"""The tables of Scores: metrics of each class, their averages and what needs no threshold, as DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .counts import RankedScores
from .intervals import bootstrap, bootstrap_averages, check_interval, wilson_of
from .metrics import averaged, mean, names, rates, samples_averaged, weighted_mean
from .ranked import BINS, RANKED, ranked
from .ranked_intervals import bootstrap_ranked

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from .scores import Scores


def metrics_table(
    scores: Scores, thresholds: Any, beta: float, interval: str | None, level: float, zero: float, seed: int
) -> pd.DataFrame:
    """Return a row a class; see `Scores.metrics`."""
    import pandas as pd

    beta, zero = _checked(beta, interval, level, zero)
    confusion = scores.confusion(thresholds)
    drawn = bootstrap(confusion, level, beta=beta, seed=seed) if interval == "bootstrap" else {}
    columns: dict[str, NDArray] = {}
    for name, value in rates(confusion, beta, zero).items():
        columns[name] = value
        if interval is not None:
            low, high = drawn[name] if interval == "bootstrap" else wilson_of(name, confusion, level)
            columns |= {f"{name}_low": low, f"{name}_high": high}
    columns |= {"support": scores.positives, "predicted": confusion[:, :, 1].sum(axis=1)}
    return pd.DataFrame(columns, index=pd.Index(scores.classes, name="class"))


def averages_table(
    scores: Scores, thresholds: Any, beta: float, interval: str | None, level: float, zero: float, seed: int
) -> pd.DataFrame:
    """Return the rows macro, micro, weighted and samples; see `Scores.averages`."""
    import pandas as pd

    beta, zero = _checked(beta, interval, level, zero)
    confusion = scores.confusion(thresholds)
    rows: dict[str, dict[str, Any]] = {**averaged(confusion, beta, zero)}
    several = scores.n_classes > 1
    predicted = scores.predictions(thresholds) if several else np.empty((0, 1), bool)
    # Of a single class the samples are right or wrong, no more: their precision and recall mean nothing.
    rows["samples"] = (
        samples_averaged(scores.y_true, predicted, beta, zero)
        if several
        else dict.fromkeys(names(beta), np.nan)
    )
    if interval is not None:
        ends = _ends_of_averages(scores, confusion, predicted, beta, interval, level, zero, seed)
        for average, row in rows.items():
            rows[average] = _between(row, ends[average])
    frame = pd.DataFrame(rows).T.rename_axis("average")
    return frame.assign(support=scores.positives.sum(), predicted=confusion[:, :, 1].sum())


def _ends_of_averages(
    scores: Scores,
    confusion: NDArray[np.int64],
    predicted: NDArray[np.bool_],
    beta: float,
    interval: str,
    level: float,
    zero: float,
    seed: int,
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return the ends of each average; of one class those of the class, of more by the bootstrap alone."""
    unknown = dict.fromkeys(names(beta), (np.nan, np.nan))
    averages = ("macro", "micro", "weighted")
    if scores.n_classes > 1:
        if interval == "wilson":
            return dict.fromkeys((*averages, "samples"), unknown)
        return bootstrap_averages(scores.y_true, predicted, level, beta=beta, zero_division=zero, seed=seed)
    drawn = bootstrap(confusion, level, beta=beta, seed=seed) if interval == "bootstrap" else {}
    row = {
        name: tuple(float(end[0]) for end in drawn.get(name) or wilson_of(name, confusion, level))
        for name in names(beta)
    }
    return {**dict.fromkeys(averages, row), "samples": unknown}  # type: ignore[dict-item]


def ranking_table(
    scores: Scores, columns: RankedScores, interval: str | None, level: float, bins: int, seed: int
) -> pd.DataFrame:
    """Return a row a class: roc_auc, average_precision, brier, ece; see `Scores.ranking`."""
    import pandas as pd

    if interval not in (None, "bootstrap"):
        raise ValueError(f"There is no interval {interval!r} of a ranking: give None or 'bootstrap'.")
    check_interval(interval, level)
    rows = []
    for c, (positives, negatives) in enumerate(columns.columns):
        row = ranked(positives, negatives, bins)
        if interval is not None:
            ends = bootstrap_ranked(positives, negatives, level, bins=bins, seed=[seed, c])
            row = _between(row, ends)
        rows.append(row)
    return pd.DataFrame(rows, index=pd.Index(scores.classes, name="class"))


def ranking_averages_table(scores: Scores, columns: RankedScores, bins: int = BINS) -> pd.DataFrame:
    """Return the rows macro, micro and weighted; see `Scores.ranking_averages`."""
    import pandas as pd

    each = ranking_table(scores, columns, None, 0.95, bins, 0)
    pooled = RankedScores(scores.y_true.reshape(-1, 1), scores.y_score.reshape(-1, 1))
    rows = {
        "macro": {name: mean(each[name].to_numpy()) for name in RANKED},
        "micro": ranked(*pooled.columns[0], bins),
        "weighted": {name: weighted_mean(each[name].to_numpy(), scores.positives) for name in RANKED},
    }
    return pd.DataFrame(rows).T.rename_axis("average")


def _between(row: dict[str, Any], ends: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """Return the row with NAME_low and NAME_high behind each name."""
    wide: dict[str, Any] = {}
    for name, value in row.items():
        wide |= dict(zip((name, f"{name}_low", f"{name}_high"), (value, *ends[name])))
    return wide


def _checked(beta: Any, interval: Any, level: Any, zero: Any) -> tuple[float, float]:
    check_interval(interval, level)
    if isinstance(beta, bool) or not isinstance(beta, (int, float, np.number)) or not beta >= 0:
        raise ValueError(f"beta is {beta!r}: give a number from 0, as 2 to let recall count twice as much.")
    if not isinstance(zero, (int, float, np.number)):
        raise ValueError(f"zero_division is {zero!r}: give what 0 / 0 is, as 0, 1 or nan.")
    return float(beta), float(zero)
