"""A pandas DataFrame as features: its columns as numbers, in a known order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..base.words import quote_names


def is_frame(data: Any) -> bool:
    """Say whether `data` is a pandas DataFrame, without importing pandas."""
    return type(data).__module__.split(".")[0] == "pandas" and hasattr(data, "columns")


def features(frame: Any, name: str, columns: Sequence[Any] | None = None) -> np.ndarray:
    """Return a DataFrame as an array, N x columns: float32, or float64 where a column is.

    Parameters
    ----------
    name : what to call it in a message.
    columns : the columns wanted, in order; None: all.

    Raises
    ------
    ValueError : a column is missing or holds no numbers, or there is none.
    """
    if columns is not None:
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise ValueError(f"{name} lacks the column {str(missing[0])!r}, which train has.")
        frame = frame[list(columns)]
    if frame.shape[1] == 0:
        raise ValueError(f"{name} has no columns besides the target.")
    texts = [str(column) for column, kind in frame.dtypes.items() if kind.kind not in "fiub"]
    if texts:
        raise ValueError(
            f"{name} has columns that are not numbers: {quote_names(texts)}. "
            "Encode them (pandas.get_dummies) or leave them out."
        )
    wide = any(kind.kind == "f" and kind.itemsize > 4 for kind in frame.dtypes)
    return frame.to_numpy(dtype=np.float64 if wide else np.float32, na_value=np.nan)


def split_columns(frame: Any, name: str, target: Any) -> tuple[tuple[Any, ...], Any]:
    """Return the columns that are features, and the target column or columns as they are.

    Raises
    ------
    ValueError : `target` is None or names what is no column.
    """
    if target is None:
        raise ValueError(
            f'{name} is a DataFrame: say which column is to be predicted, as target="{frame.columns[-1]}".'
        )
    several = isinstance(target, (list, tuple)) and target not in list(frame.columns)
    chosen = list(target) if several else [target]
    missing = [column for column in chosen if column not in frame.columns]
    if missing:
        raise ValueError(
            f"target {str(missing[0])!r} is not a column of {name}, which has {quote_names(frame.columns)}."
        )
    rest = tuple(column for column in frame.columns if column not in chosen)
    return rest, frame[chosen] if several else frame[target]
