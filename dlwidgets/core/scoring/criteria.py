"""What a threshold may be chosen by: a metric to make high, and a bound that another has to keep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.words import did_you_mean
from .metrics import rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The metrics a threshold can be chosen by.
METRICS = (
    "f1",
    "fbeta",
    "youden",
    "accuracy",
    "matthews",
    "jaccard",
    "precision",
    "recall",
    "specificity",
)

#: Names that other books and libraries use.
ALIASES = {
    "sensitivity": "recall",
    "tpr": "recall",
    "tnr": "specificity",
    "ppv": "precision",
    "mcc": "matthews",
    "iou": "jaccard",
    "f_beta": "fbeta",
    "youden_j": "youden",
    "informedness": "youden",
}

_BOUND = re.compile(r"\s*([^\W\d]\w*(?:[ -]\w+)?)\s*(>=|=>|≥|>|<=|=<|≤|<|==?)\s*(.+?)\s*")
_OF_BETA = re.compile(r"f\d*\.?\d+")


@dataclass(frozen=True)
class Bound:
    """A metric that must reach a value: "recall >= 0.9"."""

    metric: str
    least: float
    strict: bool = False

    def met(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return where `values` of the metric keep the bound; NaN never does."""
        return values > self.least if self.strict else values >= self.least

    def __str__(self) -> str:
        return f"{self.metric} {'>' if self.strict else '>='} {self.least:g}"


def read_metric(metric: Any, beta: float = 1.0) -> tuple[str, float]:
    """Return the metric's name and beta from what was given; "f2" and "f0.5" are F-beta of that beta.

    Raises
    ------
    TypeError, ValueError
        One sentence: no such metric, a beta that is not above 0, or given where it has no meaning.
    """
    name = _known(metric, "choose thresholds by")
    if name != "f1" and _OF_BETA.fullmatch(name):
        name, beta = "fbeta", float(name[1:])
    try:
        beta = float(beta)
    except (TypeError, ValueError):
        raise TypeError(f"beta is {beta!r}: give a number above 0, as 2 to weigh recall more.") from None
    if not 0 < beta < np.inf:
        raise ValueError(f"beta is {beta:g}: give a number above 0, as 2 to weigh recall more.")
    if beta != 1 and name != "fbeta":
        raise ValueError(f"beta={beta:g} has no meaning for {name!r}: give metric='fbeta' with it.")
    return name, beta


def read_bound(constraint: Any) -> Bound | None:
    """Return the bound that a text ("recall >= 0.9", "recall ≥ 90 %") or a tuple ("recall", 0.9) means.

    Raises
    ------
    TypeError, ValueError
        One sentence: not of that form, no such metric, a value that it cannot reach, an upper bound.
    """
    if constraint is None or isinstance(constraint, Bound):
        return constraint
    wanted = "give a text as 'recall >= 0.9' or a tuple as ('recall', 0.9)"
    if isinstance(constraint, str):
        parts = _BOUND.fullmatch(constraint)
        if parts is None:
            raise ValueError(f"The constraint {constraint!r} was not understood: {wanted}.")
        name, sign, least = parts.groups()
    elif isinstance(constraint, Sequence) and len(constraint) in (2, 3):
        name, sign, least = constraint if len(constraint) == 3 else (constraint[0], ">=", constraint[1])
    else:
        raise TypeError(f"The constraint is {constraint!r}: {wanted}.")
    if sign not in (">=", "=>", "≥", ">"):
        raise ValueError(f"The constraint {_said(constraint)} is not a lower bound (>=): {wanted}.")
    name = _known(name, "set a bound for")
    if name == "fbeta" or _OF_BETA.fullmatch(name) and name != "f1":
        raise ValueError(f"A bound on {name!r} is not known: bound precision, recall, specificity or f1.")
    value = _number(least, constraint, wanted)
    lowest = -1.0 if name in ("youden", "matthews") else 0.0
    if not lowest <= value <= 1:
        raise ValueError(
            f"The constraint {_said(constraint)} asks for {name} of {value:g}, which lies outside "
            f"{lowest:g} ... 1."
        )
    return Bound(name, value, sign == ">")


def worth(metric: str, confusion: NDArray[np.int64], beta: float = 1.0) -> NDArray[np.float64]:
    """Return a metric of ... x 2 x 2 matrices ``[[tn, fp], [fn, tp]]``; NaN where its denominator is 0.

    Youden's J is recall + specificity - 1 (W. J. Youden, "Index for rating diagnostic tests", 1950), here one
    division of whole numbers, so that equal values are equal to the last bit.
    """
    if metric != "youden":
        return rate(metric, confusion, beta)
    (tn, fp), (fn, tp) = np.moveaxis(np.asarray(confusion, np.int64), (-2, -1), (0, 1))
    whole = (tp + fn) * (tn + fp)
    return np.divide(tp * tn - fp * fn, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _known(name: Any, purpose: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"A metric is named by a text, as 'f1': {name!r} given.")
    plain = name.strip().lower().replace("-", "_").replace(" ", "_").removesuffix("_score")
    plain = ALIASES.get(plain, plain)
    if plain in METRICS or _OF_BETA.fullmatch(plain):
        return plain
    raise ValueError(
        f"There is no metric {name!r} to {purpose}: give one of {', '.join(METRICS)}."
        + did_you_mean(plain, [*METRICS, *ALIASES])
    )


def _number(least: Any, constraint: Any, wanted: str) -> float:
    if isinstance(least, bool):
        raise TypeError(f"The constraint {_said(constraint)} has no number at its end: {wanted}.")
    try:
        percent = isinstance(least, str) and least.endswith("%")
        return float(least[:-1]) / 100 if percent else float(least)
    except (TypeError, ValueError):
        raise ValueError(f"The constraint {_said(constraint)} has no number at its end: {wanted}.") from None


def _said(constraint: Any) -> str:
    return repr(constraint) if isinstance(constraint, str) else str(constraint)
