"""The order of feature maps: as they stand, the strongest first, or the most varied first."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from .statistics import real

Sort = Literal["index", "strength", "variance"]
SORTS: tuple[str, ...] = get_args(Sort)


def sorted_maps(maps: torch.Tensor, by: Sort = "index") -> list[int]:
    """Return the numbers of `maps` (M x ...) in the order that is asked for; equal ones stay as they stand.

    "strength" is the mean absolute value of a map, "variance" that of its values. A map with a value that is
    not finite comes first, since it wants to be seen.

    Raises
    ------
    ValueError : `by` is no such order.
    """
    if by not in SORTS:
        raise ValueError(f"Maps are sorted by {', '.join(map(repr, SORTS))}, not by {by!r}.")
    if by == "index":
        return list(range(len(maps)))
    values = real(maps.detach()).flatten(1).double() if maps.device.type != "mps" else real(maps).flatten(1)
    key = values.abs().mean(1) if by == "strength" else values.var(1, correction=0)
    key = torch.where(key.isfinite(), key, torch.full_like(key, torch.inf))
    return key.argsort(descending=True, stable=True).tolist()
