"""Metrics of 2 x 2 confusion matrices: a table of formulas; averages."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: Samples that are judged at a time: their tables then stay in the processor's cache.
_ROWS = 16_384


@dataclass(frozen=True)
class Metric:
    """A metric of the four counts of a class.

    To add one is to add an entry to `METRICS`. Formulas are texts of + - * /, brackets, numbers, names and
    ``gmean(a, b)``, the root of a product. They name the counts `tn`, `fp`, `fn` and `tp`, and
    `recall_weight`: beta^2 / (1 + beta^2), how much of a whole recall weighs against precision. What is
    divided by 0 is not known, NaN. Each further false alarm must make it worse: best thresholds are sought
    just below the positives. The page evaluates the same formulas, which it is sent as trees.

    Attributes
    ----------
    name, label : as in tables, options and messages; as it is written for people.
    share : the fraction of two counts with which the metric rises, and whose Wilson interval becomes its own;
        None: it is no function of one share, only the bootstrap has its interval.
    of_share : the formula of the metric from that `share`.
    lowest : the least that it can be; the most is 1.
    count : whether it counts samples, so that its average is their sum.
    tabled : whether the tables have it; a metric of `recall_weight` they have where a beta was given.
    place : where it stands in the menus of the page.
    aliases : its names in other books and libraries.
    """

    name: str
    label: str
    formula: str
    share: str | None = None
    of_share: str = "share"
    lowest: float = 0.0
    higher_is_better: bool = True
    count: bool = False
    tabled: bool = True
    place: int = 50
    aliases: tuple[str, ...] = ()

    def is_of(self, true_negatives: bool) -> bool:
        """Say whether it is defined with or without true negatives."""
        return true_negatives or not re.search(r"\btn\b", self.formula)

    def sent(self) -> dict[str, Any]:
        """Return what a page needs to compute and name it."""
        plain = ("name", "label", "lowest", "higher_is_better", "count")
        return {name: getattr(self, name) for name in plain} | {
            "formula": parse_formula(self.formula),
            "share": None if self.share is None else parse_formula(self.share),
            "of_share": parse_formula(self.of_share),
        }


def _share(name: str, label: str, formula: str, **more: Any) -> Metric:
    """Return a metric that is itself a share of counted samples."""
    return Metric(name, label, formula, share=formula, **more)


#: By name, in the order of the printed tables.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _share("accuracy", "accuracy", "(tp + tn) / (tp + tn + fp + fn)", place=7),
        _share("precision", "precision", "tp / (tp + fp)", place=1, aliases=("ppv",)),
        _share("recall", "recall", "tp / (tp + fn)", place=2, aliases=("sensitivity", "tpr")),
        _share("specificity", "specificity", "tn / (tn + fp)", place=4, aliases=("tnr",)),
        # It rises with Jaccard's J as 2 J / (1 + J), so the ends of its interval are those of J carried over
        # (Lam, Gopal and Qian, "Confidence intervals for the F1 score: a comparison of four methods",
        # arXiv:2309.14621, 2023: Wilson indirect).
        Metric(
            "f1", "F1", "2 * tp / (2 * tp + fp + fn)",
            share="tp / (tp + fp + fn)", of_share="2 * share / (1 + share)", place=3,
        ),
        # Divided by 1 + beta^2, so that an infinite one is a limit and no 0 x infinity.
        Metric(
            "fbeta", "F-beta", "tp / (tp + recall_weight * fn + (1 - recall_weight) * fp)",
            tabled=False, aliases=("f_beta",),
        ),
        # The product of all four margins would leave int64 at 100,000 samples, so it is made of two in
        # gmean().
        Metric(
            "matthews", "Matthews",
            "(tp * tn - fp * fn) / gmean((tp + fp) * (tn + fn), (tp + fn) * (tn + fp))",
            lowest=-1.0, place=5, aliases=("mcc",),
        ),
        _share("jaccard", "Jaccard", "tp / (tp + fp + fn)", place=6, aliases=("iou",)),
        # The mean of recall and specificity, in one division as Youden's J below.
        Metric(
            "balanced_accuracy", "balanced accuracy",
            "(tp * (tn + fp) + tn * (tp + fn)) / (2 * (tp + fn) * (tn + fp))", place=8,
        ),
        # J. Cohen, "A coefficient of agreement for nominal scales", Educ. Psychol. Meas. 20 (1960).
        Metric(
            "kappa", "Cohen's kappa",
            "2 * (tp * tn - fp * fn) / ((tp + fp) * (tn + fp) + (tp + fn) * (tn + fn))",
            lowest=-1.0, place=9, aliases=("cohen_kappa", "cohens_kappa"),
        ),
        # Recall + specificity - 1 (W. J. Youden, "Index for rating diagnostic tests", 1950), here one
        # division of whole numbers, so that equal values are equal to the last bit.
        Metric(
            "youden", "Youden's J", "(tp * tn - fp * fn) / ((tp + fn) * (tn + fp))",
            lowest=-1.0, tabled=False, aliases=("youden_j", "informedness"),
        ),
        Metric("support", "support", "tp + fn", count=True, place=98),
        Metric("predicted", "predicted", "tp + fp", count=True, place=99),
    )
}  # fmt: skip


def rate_names(beta: float = 1.0) -> tuple[str, ...]:
    """Name the rates in the order of the printed tables."""
    return tuple(
        name
        for name, one in METRICS.items()
        if not one.count and (one.tabled or (beta != 1 and "recall_weight" in one.formula))
    )


def count_names() -> tuple[str, ...]:
    """Name the metrics that count samples."""
    return tuple(name for name, metric in METRICS.items() if metric.count)


def list_metrics(true_negatives: bool = True) -> tuple[Metric, ...]:
    """List the metrics that a page offers, in its order."""
    shown = (one for one in METRICS.values() if one.tabled and one.is_of(true_negatives))
    return tuple(sorted(shown, key=lambda one: one.place))


# -- formulas


@cache
def parse_formula(formula: str) -> Any:
    """Parse a formula to a name, a number, or [sign, part, part]."""

    def read(node: ast.AST) -> Any:
        if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
            return [_SIGNS[type(node.op)], read(node.left), read(node.right)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "gmean":
            return ["gmean", *map(read, node.args)]
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return node.value
        raise ValueError(
            f"A formula is made of counts, numbers, + - * / and gmean(a, b): {formula!r} is not."
        )

    return read(ast.parse(formula, mode="eval").body)


def evaluate_formula(formula: str, values: Mapping[str, Any]) -> Any:
    """Evaluate a formula where its names have these values, numbers or arrays."""
    return _value(parse_formula(formula), values)


def name_counts(confusion: NDArray[np.int64], beta: float = 1.0) -> dict[str, Any]:
    """Name the counts of matrices as formulas do."""
    # int64 holds products of two counts exactly up to three billion samples; smaller dtypes would overflow.
    confusion = np.asarray(confusion, np.int64)
    tn, fp, fn, tp = (confusion[..., i, j] for i in (0, 1) for j in (0, 1))
    square = float(beta) * float(beta)
    weight = square / (1 + square) if square < np.inf else 1.0
    return {"tn": tn, "fp": fp, "fn": fn, "tp": tp, "recall_weight": weight}


def evaluate_fraction(formula: str, values: Mapping[str, Any]) -> tuple[Any, Any]:
    """Evaluate the numerator and the denominator of a fraction by themselves."""
    sign, part, whole = parse_formula(formula)
    if sign != "/":
        raise ValueError(f"A share is a fraction of two counts: {formula!r} is none.")
    return _value(part, values), _value(whole, values)


def invert_share(name: str, value: float) -> float:
    """Return the share at which a metric has a value."""
    formula, low, high = METRICS[name].of_share, 0.0, 1.0
    if formula == "share":
        return value
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if evaluate_formula(formula, {"share": middle}) < value else (low, middle)
    return high


def ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """Return `part` / `whole`, NaN of nothing."""
    whole = np.asarray(whole, np.float64)
    # Divided by NaN instead of by 0: half the time of a masked division, and no warning.
    return np.divide(part, np.where(whole == 0, np.nan, whole))


def _value(tree: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(tree, list):
        return _OPERATIONS[tree[0]](*(_value(part, values) for part in tree[1:]))
    return values[tree] if isinstance(tree, str) else tree


_SIGNS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": ratio,
    "gmean": lambda one, other: np.sqrt(np.asarray(one, np.float64) * np.asarray(other, np.float64)),
}  # fmt: skip


# -- of each class


def compute_rate(
    name: str, confusion: NDArray[np.int64], beta: float = 1.0, zero_division: float = np.nan
) -> NDArray[Any]:
    """Compute one metric of ... x 2 x 2 matrices.

    It gives ... float64; int64 of a metric that counts samples.

    Parameters
    ----------
    beta : for "fbeta": how many times as much recall counts as precision; 0 gives precision, infinity recall.
    zero_division : what 0 / 0 is. A matrix without any count stays NaN all the same: nothing was compared.
    """
    metric, counts = METRICS[name], name_counts(confusion, beta)
    value = evaluate_formula(metric.formula, counts)
    if not metric.count and not np.isnan(zero_division):
        compared = sum(counts[cell] for cell in ("tn", "fp", "fn", "tp")) > 0
        value = np.where(np.isnan(value) & compared, zero_division, value)[()]
    return value


def compute_rates(
    confusion: NDArray[np.int64], beta: float = 1.0, zero_division: float = np.nan
) -> dict[str, NDArray[np.float64]]:
    """Compute every rate of ... x 2 x 2 matrices by name."""
    return {name: compute_rate(name, confusion, beta, zero_division) for name in rate_names(beta)}


def split_classes(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count each class of a matrix against the rest."""
    tp, positives, said = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    cells = [matrix.sum() - positives - said + tp, said - tp, positives - tp, tp]
    return np.stack(cells, axis=-1).reshape(-1, 2, 2)


def describe_unknown(unknown: NDArray[np.int64], samples: int) -> str:
    """Say which share of all labels is unknown; "" where none is."""
    share = float(unknown.mean()) / max(1, samples)
    return f"{'<1' if share < 0.005 else f'{100 * share:.0f}'} % of the labels unknown" if share else ""


# -- on average


def average_rates(
    confusion: NDArray[np.int64], beta: float = 1.0, zero_division: float = np.nan
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Average the rates over the classes: by average, then by rate.

    `confusion` is ... x C x 2 x 2. Macro is the mean of the classes, weighted the mean weighted by their
    supports, micro the rate of the summed counts. A class whose rate is NaN is left out of its macro and
    weighted averages, as scikit-learn does with ``zero_division=nan``.
    """
    support = confusion[..., 1, :].sum(axis=-1)
    each = compute_rates(confusion, beta, zero_division)
    return {
        "macro": {name: mean(value) for name, value in each.items()},
        "micro": compute_rates(confusion.sum(axis=-3), beta, zero_division),
        "weighted": {name: mean(value, support, zero_division) for name, value in each.items()},
    }


def average_over_samples(
    labels: NDArray[np.int8], predicted: NDArray[np.bool_], beta: float = 1.0, zero_division: float = np.nan
) -> dict[str, float]:
    """Average over the samples each one's own rates, over its known labels.

    `labels` are N x C: 1, 0, -1 unknown. Where a rate is NaN for a sample, as precision is where nothing is
    predicted, the sample is left out of its mean, as scikit-learn does with ``zero_division=nan``. A sample
    without any known label always is.
    """
    sums, counts = dict.fromkeys(rate_names(beta), 0.0), dict.fromkeys(rate_names(beta), 0)
    for start in range(0, len(labels), _ROWS):
        block = slice(start, start + _ROWS)
        tables = count_samples(labels[block], predicted[block])
        for name, value in compute_rates(tables, beta, zero_division).items():
            there = ~np.isnan(value)
            sums[name] += value[there].sum()
            counts[name] += np.count_nonzero(there)
    return {name: float(sums[name] / counts[name]) if counts[name] else np.nan for name in sums}


def count_samples(labels: NDArray[np.int8], predicted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the confusion of each sample over its known labels."""
    # Classes first: numpy adds long rows many times faster than short ones.
    labels, said = np.ascontiguousarray(labels.T), np.ascontiguousarray(predicted.T)
    known, positive = labels >= 0, labels == 1
    tp, pp = _count(positive & said), _count(known & said)
    positives, total = _count(positive), _count(known)
    cells = [total - positives - pp + tp, pp - tp, positives - tp, tp]
    return np.stack(cells, axis=-1).reshape(-1, 2, 2)


def mean(
    values: NDArray[np.float64], weights: NDArray | float = 1.0, zero_division: float = np.nan
) -> NDArray[np.float64]:
    """Return the weighted mean over the last axis, NaN left out.

    Where all weights are 0 it is NaN, unless 0 / 0 is given a value: then the plain mean, as scikit-learn's.
    """
    weights = np.where(np.isnan(values), 0, weights)
    found = ratio((np.nan_to_num(values) * weights).sum(axis=-1), weights.sum(axis=-1))
    return found if np.isnan(zero_division) else np.where(np.isnan(found), mean(values), found)[()]


def _count(which: NDArray[np.bool_]) -> NDArray[np.int64]:
    return which.sum(axis=0, dtype=np.int32).astype(np.int64)


def less_is_better(name: str) -> bool:
    """Say whether less is better of a figure of an evaluation."""
    return any(word in name for word in ("loss", "error", "perplexity"))
