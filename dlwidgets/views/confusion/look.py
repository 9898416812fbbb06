"""The look of a confusion grid: its order, shade, filter and table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.base.words import did_you_mean
from ...core.scoring.confusion_figure import NORMALISE, list_sorts
from ...core.scoring.metrics import list_metrics

#: What the table shows until somebody chooses.
COLUMNS = ("precision", "recall", "f1", "support")
#: Names that scikit-learn and others use.
_ALIASES = {"pred": "predicted", "row": "true", "column": "predicted", "none": None}
_SIDES = {"below": "below", "<": "below", "least": "least", "at least": "least", ">=": "least"}


def metric_names() -> list[str]:
    """Name the metrics by which a grid is sorted and filtered."""
    return [metric.name for metric in list_metrics()]


def read_sort(wanted: Any) -> str:
    """Read an order: one of `list_sorts()`, "-" in front turns it."""
    if not isinstance(wanted, str) or wanted.removeprefix("-") not in list_sorts():
        near = did_you_mean(wanted, list_sorts()) if isinstance(wanted, str) else ""
        raise ValueError(
            f"A confusion grid cannot be sorted by {wanted!r}: give one of {', '.join(list_sorts())}.{near}"
        )
    return wanted


def read_normalise(wanted: Any) -> str | None:
    """Read what a cell is a share of: one of `NORMALISE`."""
    wanted = _ALIASES.get(wanted, wanted) if isinstance(wanted, str) else wanted
    if wanted is not None and wanted not in NORMALISE:
        raise ValueError(
            f"A confusion grid cannot be normalised by {wanted!r}: give 'true' (its row), 'predicted' (its "
            "column), 'all' or None."
        )
    return wanted


def read_metric_columns(wanted: Any) -> list[str]:
    """Return the columns of the table, in the order of the menu."""
    if wanted is None:
        return list(COLUMNS)
    if wanted == "all":
        return metric_names()
    names = list(wanted) if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]
    unknown = [repr(name) for name in names if name not in metric_names()]
    if unknown or not names:
        given = unknown[0] if unknown else "no column"
        raise ValueError(f"The table has no column {given}: choose from {', '.join(metric_names())}.")
    return [name for name in metric_names() if name in names]


def read_filter(wanted: Any) -> dict[str, Any] | None:
    """Read a filter: None for all, or as ("f1", "below", 0.5)."""
    if wanted is None:
        return None
    if isinstance(wanted, Mapping):
        parts: Sequence[Any] = [wanted.get(name) for name in ("metric", "side", "value")]
    else:
        parts = wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]
    number = parts[2] if len(parts) == 3 else None
    fits = isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number)
    if not fits or parts[0] not in metric_names() or parts[1] not in _SIDES:
        raise ValueError(
            f"A confusion grid cannot be filtered by {wanted!r}: give a metric, 'below' or 'least', and a "
            f"number, as ('f1', 'below', 0.5). The metrics are {', '.join(metric_names())}."
        )
    return {"metric": parts[0], "side": _SIDES[parts[1]], "value": float(number)}


def read_look(
    task: str | None, sort: Any = "given", table: Any = False, normalise: Any = "true", filter: Any = None,
    columns: Any = None, matrix: Any = False, intervals: Any = True, each: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """Read a whole look in the form of the page.

    `task` is None where there are no scores yet; `each`, a threshold for each class, where the thresholds
    say it. A ValueError says in a sentence what something cannot be, and what it may.
    """
    if matrix and task not in (None, "multiclass"):
        raise ValueError(
            f"A {task} task has no matrix of one class against another: only a multiclass task has one."
        )
    return {
        "sort": read_sort(sort), "table": bool(table), "normalise": read_normalise(normalise) or "none",
        "filter": read_filter(filter), "columns": read_metric_columns(columns),
        "intervals": bool(intervals), "each": None if each is None else bool(each), "matrix": bool(matrix),
    }  # fmt: skip
