"""The tables of Scores: metrics of each class, their averages and what needs no threshold, as DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from .counts import RankedScores
from .intervals import bootstrap, bootstrap_averages, check_interval, wilson_of
from .metrics import averaged, mean, names, rates, samples_averaged, weighted_mean
from .ranking import RANKED, ranked
from .ranking_intervals import bootstrap_ranked

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


class ScoreTables:
    """What Scores have as DataFrames. Part of `Scores`, whose attributes it reads and writes none of."""

    task: str
    n_samples: int
    n_classes: int
    classes: tuple[str, ...]
    sample_ids: NDArray | None
    y_true: NDArray[np.int8]
    y_score: NDArray[np.floating]
    positives: NDArray[np.int64]
    _ranked: RankedScores

    if TYPE_CHECKING:

        def confusion(self, thresholds: Any = 0.5) -> NDArray[np.int64]: ...
        def predictions(self, thresholds: Any = 0.5) -> NDArray[np.bool_]: ...

    def metrics(
        self,
        thresholds: float | Sequence[float] | None = 0.5,
        *,
        beta: float = 1.0,
        interval: str | None = None,
        level: float = 0.95,
        zero_division: float = np.nan,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Return one row a class: accuracy, precision, recall, specificity, f1, matthews, jaccard and counts.

        `support` counts the known positives and `predicted` the samples said to be positive. Accuracy is that
        of single labels (1 - Hamming loss); for whole samples see `exact_match`.

        Parameters
        ----------
        thresholds
            One, or one a class; None for the likeliest class of a multiclass task.
        beta
            Where it is not 1, a column `fbeta` follows f1: recall counts `beta` times as much as precision.
        interval
            "wilson": from the counts, good with few samples; n/a for fbeta and matthews. "bootstrap":
            percentiles of 2,000 draws of the class's samples. Both as columns NAME_low and NAME_high.
        level
            How often the interval is to hold the true value.
        zero_division
            What a rate is whose denominator is 0. Default: NaN, not known. 0 is what scikit-learn says,
            with a warning. A class without any known label stays NaN.
        seed
            Of the bootstrap.
        """
        import pandas as pd

        beta, zero = _checked(beta, interval, level, zero_division)
        confusion = self.confusion(thresholds)
        drawn = bootstrap(confusion, level, beta=beta, seed=seed) if interval == "bootstrap" else {}
        columns: dict[str, NDArray] = {}
        for name, value in rates(confusion, beta, zero).items():
            columns[name] = value
            if interval is not None:
                low, high = drawn[name] if interval == "bootstrap" else wilson_of(name, confusion, level)
                columns |= {f"{name}_low": low, f"{name}_high": high}
        columns |= {"support": self.positives, "predicted": confusion[:, :, 1].sum(axis=1)}
        return pd.DataFrame(columns, index=pd.Index(self.classes, name="class"))

    def averages(
        self,
        thresholds: float | Sequence[float] | None = 0.5,
        *,
        beta: float = 1.0,
        interval: str | None = None,
        level: float = 0.95,
        zero_division: float = np.nan,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Return the rows macro, micro, weighted and samples with the columns of `metrics`.

        macro is the mean of the classes, weighted that mean weighted by support, micro the rate of the
        summed counts, samples the mean of each sample's own rate over its known labels (n/a for a binary
        task). What is NaN is left out of a mean; with ``zero_division=0`` it counts as 0, and all equal
        scikit-learn's. `support` and `predicted` are sums.

        Parameters
        ----------
        thresholds, beta, level, zero_division, seed
            As in `metrics`.
        interval
            "bootstrap": whole samples are drawn, since the labels of one go together. "wilson" is n/a here
            but for a binary task: a mean over classes is no share of counted samples.
        """
        import pandas as pd

        beta, zero = _checked(beta, interval, level, zero_division)
        confusion = self.confusion(thresholds)
        rows: dict[str, dict[str, Any]] = {**averaged(confusion, beta, zero)}
        several = self.n_classes > 1
        predicted = self.predictions(thresholds) if several else np.empty((0, 1), bool)
        # Of a single class the samples are right or wrong, no more: their precision and recall mean nothing.
        rows["samples"] = (
            samples_averaged(self.y_true, predicted, beta, zero)
            if several
            else dict.fromkeys(names(beta), np.nan)
        )
        if interval is not None:
            ends = _ends_of_averages(self, confusion, predicted, beta, interval, level, zero, seed)
            for average, row in rows.items():
                rows[average] = _between(row, ends[average])
        frame = pd.DataFrame(rows).T.rename_axis("average")
        return frame.assign(support=self.positives.sum(), predicted=confusion[:, :, 1].sum())

    def ranking(
        self, interval: str | None = None, *, level: float = 0.95, bins: int = 10, seed: int = 0
    ) -> pd.DataFrame:
        """Return what the scores are worth at no threshold, one row a class.

        Parameters
        ----------
        interval
            "bootstrap": columns NAME_low and NAME_high from 1,000 draws of the class's samples; each takes
            as long as there are different scores (20,000 of them: a second a class).
        level
            How often the interval is to hold the true value.
        bins
            Of equal width over 0 ... 1, of the calibration error.
        seed
            Of the draws.

        Returns
        -------
        Columns roc_auc (ties count one half), average_precision (without interpolation), brier (mean squared
        error of the probability) as in scikit-learn, and ece: the expected calibration error, the mean over
        the samples of how far their bin's mean score is from its share of positives (Naeini et al., 2015).
        roc_auc is NaN where all known labels are the same, average_precision where none is positive, brier
        and ece where a score lies outside 0 ... 1.
        """
        import pandas as pd

        if interval not in (None, "bootstrap"):
            raise ValueError(f"There is no interval {interval!r} of a ranking: give None or 'bootstrap'.")
        check_interval(interval, level)
        rows = []
        for c, (positives, negatives) in enumerate(self._ranked.columns):
            row = ranked(positives, negatives, bins)
            if interval is not None:
                ends = bootstrap_ranked(positives, negatives, level, bins=bins, seed=[seed, c])
                row = _between(row, ends)
            rows.append(row)
        return pd.DataFrame(rows, index=pd.Index(self.classes, name="class"))

    def ranking_averages(self, *, bins: int = 10) -> pd.DataFrame:
        """Return the rows macro, micro (all labels pooled) and weighted with the columns of `ranking`.

        Sorts all N x C scores once more.
        """
        import pandas as pd

        each = self.ranking(bins=bins)
        pooled = RankedScores(self.y_true.reshape(-1, 1), self.y_score.reshape(-1, 1))
        rows = {
            "macro": {name: mean(each[name].to_numpy()) for name in RANKED},
            "micro": ranked(*pooled.columns[0], bins),
            "weighted": {name: weighted_mean(each[name].to_numpy(), self.positives) for name in RANKED},
        }
        return pd.DataFrame(rows).T.rename_axis("average")

    def to_frame(self) -> pd.DataFrame:
        """Return one row a sample: columns ("label", class), -1 where unknown, and ("score", class)."""
        import pandas as pd

        index = pd.RangeIndex(self.n_samples) if self.sample_ids is None else pd.Index(self.sample_ids)
        parts = {
            "label": pd.DataFrame(self.y_true, index, self.classes),
            "score": pd.DataFrame(self.y_score, index, self.classes),
        }
        return pd.concat(parts, axis=1, names=["", "class"]).rename_axis("sample")

    def _repr_html_(self) -> str:
        import html

        import pandas as pd

        # Accuracy says little of rare labels, and Jaccard nothing that F1 does not.
        columns = ["precision", "recall", "specificity", "f1", "matthews", "support", "predicted"]
        table = pd.concat([self.metrics(None), self.averages(None)])[columns]
        counts = dict.fromkeys(["support", "predicted"], "{:,}".format)
        return f"<p>{html.escape(repr(self))}</p>" + table.to_html(
            float_format="{:.3f}".format, formatters=counts, na_rep="n/a", max_rows=60, border=0
        )


def _ends_of_averages(
    scores: ScoreTables,
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


def _between(row: dict[str, Any], ends: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """Return the row with NAME_low and NAME_high behind each name."""
    wide: dict[str, Any] = {}
    for name, value in row.items():
        wide |= dict(zip((name, f"{name}_low", f"{name}_high"), (value, *ends[name])))
    return wide


def _checked(beta: Any, interval: Any, level: Any, zero: Any) -> tuple[float, float]:
    check_interval(interval, level)
    if isinstance(beta, bool) or not isinstance(beta, Real) or not beta >= 0:
        raise ValueError(f"beta is {beta!r}: give a number from 0, as 2 to let recall count twice as much.")
    if not isinstance(zero, Real):
        raise ValueError(f"zero_division is {zero!r}: give what 0 / 0 is, as 0, 1 or nan.")
    return float(beta), float(zero)
