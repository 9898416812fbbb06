"""The criteria of a threshold: a metric, and a bound on another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.words import did_you_mean
from .metrics import METRICS

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    """Read a metric and its beta: "f2" is F-beta of 2.

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
    """Read a bound, as "recall >= 90 %" or ("recall", 0.9).

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
    lowest = METRICS[name].lowest
    if not lowest <= value <= 1:
        raise ValueError(
            f"The constraint {_said(constraint)} asks for {name} of {value:g}, which lies outside "
            f"{lowest:g} ... 1."
        )
    return Bound(name, value, sign == ">")


def _known(name: Any, purpose: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"A metric is named by a text, as 'f1': {name!r} given.")
    plain = name.strip().lower().replace("-", "_").replace(" ", "_").removesuffix("_score")
    known = [metric for metric in METRICS.values() if not metric.count]
    aliases = {alias: metric.name for metric in known for alias in metric.aliases}
    plain = aliases.get(plain, plain)
    names = [metric.name for metric in known]
    if plain in names or _OF_BETA.fullmatch(plain):
        return plain
    raise ValueError(
        f"There is no metric {name!r} to {purpose}: give one of {', '.join(names)}."
        + did_you_mean(plain, [*names, *aliases])
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
