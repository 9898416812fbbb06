"""Groups: samples that belong together, as those of a patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..base.words import did_you_mean, pluralize, quote_names

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_groups(groups: Any, like: Any, count: int) -> NDArray[np.int64]:
    """Number what stands together, as the samples of a patient: N numbers.

    A Series is matched with the index of `like`, the samples' labels or inputs, where that has one.

    Raises ValueError: they are not one a sample, or some are unknown.
    """
    import pandas as pd

    index = getattr(like, "index", None)
    if isinstance(groups, pd.Series) and isinstance(index, pd.Index) and not groups.index.equals(index):
        if groups.index.has_duplicates or set(groups.index) != set(index):
            raise ValueError(
                "The index of groups is not that of the labels: give both the same, or groups as a list."
            )
        groups = groups.loc[index]
    if isinstance(groups, torch.Tensor):
        groups = groups.detach().cpu().numpy()
    given = (
        list(groups) if isinstance(groups, (Sequence, pd.Index)) and not isinstance(groups, str) else groups
    )
    values = pd.Series(given).to_numpy() if np.ndim(given) == 1 else None
    if values is None or len(values) != count:
        shape = "" if values is None else f"{len(values)} "
        raise ValueError(f"{shape}groups for {count} samples: give the group of each, as its patient's name.")
    numbers = pd.factorize(values)[0].astype(np.int64)
    if (unknown := numbers < 0).any():
        raise ValueError(
            f"groups is unknown (NaN or None) for {int(unknown.sum())} of {count} samples, the first is "
            f"sample {int(unknown.argmax())}: name a group for each; what stands alone is a group by itself."
        )
    return numbers


def take_column(data: Any, name: str, of: str) -> tuple[Any, Any]:
    """Take the column of groups out of a session's data.

    Returns (the rest, groups). `data` is a DataFrame, a dict of columns, or (X, y) whose X is one; `of` is what
    to call it.

    Raises ValueError, TypeError: there is no such column, or there are no columns.
    """
    if isinstance(data, tuple) and len(data) == 2:
        rest, groups = take_column(data[0], name, of)
        return (rest, data[1]), groups
    frame = hasattr(data, "columns") and hasattr(data, "drop")
    if not frame and not isinstance(data, Mapping):
        raise TypeError(
            f"groups={name!r} names a column, and {of} has none: give the group of each sample, as groups=[...]."
        )
    columns = list(data.columns) if frame else list(data)
    if name not in columns:
        raise ValueError(
            f"groups={name!r} is no column of {of}, which has {quote_names(columns)}."
            + did_you_mean(name, map(str, columns))
        )
    groups = data[name]
    return (
        data.drop(columns=[name]) if frame else {key: part for key, part in data.items() if key != name}
    ), groups


def draw_groups(groups: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Draw whole groups with about a `share` of the samples, at random.

    Raises ValueError: there is one group only.
    """
    sizes = np.bincount(groups)
    if len(sizes) < 2:
        raise ValueError(
            f"valid={share!r}: all {pluralize(len(groups), 'sample')} are of one group, which is not divided: pass "
            "valid data of its own, or leave groups= out."
        )
    order = torch.randperm(len(sizes), generator=torch.Generator().manual_seed(seed)).numpy()
    held, count, most = np.zeros(len(sizes), bool), 0, len(groups) - sizes.min()
    wanted = min(share * len(groups), most)  # one group at least is left to train on
    for group, size in zip(order, sizes[order].tolist()):
        # Each that comes nearer to the share: a large one may not fit.
        if count + size <= most and abs(count + size - wanted) < abs(count - wanted):
            held[group], count = True, count + size
    if not count:
        held[sizes.argmin()] = True
    return held[groups]
