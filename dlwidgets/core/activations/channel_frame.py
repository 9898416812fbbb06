"""Each channel of a layer's output for one sample, as a row of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..pictures.statistics import real

if TYPE_CHECKING:
    import pandas as pd

    from ..pictures.picture import Picture


def channel_frame(picture: Picture | None) -> pd.DataFrame:
    """Return a row for each map of `picture`, or for each unit of a vector: of all of them, shown or not.

    Columns: for maps mean, std (divided by n), min, max, zeros and nonfinite (shares), strength (mean
    absolute value); the first five over the finite values, nan where there is none. For units: value.
    """
    import pandas as pd

    if picture is None:
        return pd.DataFrame()
    if picture.maps is None:
        values = [] if picture.bars is None else picture.bars
        frame = pd.DataFrame({"value": values})
        frame.index = pd.RangeIndex(len(frame), name="unit") * picture.group
        return frame
    maps = real(picture.maps.detach()).flatten(1).double().cpu()
    finite = maps.isfinite()
    count = finite.sum(1)
    none = torch.where(count > 0, 0.0, torch.nan)
    kept = torch.where(finite, maps, torch.zeros_like(maps))
    mean = kept.sum(1) / count.clamp(min=1)
    spread = torch.where(finite, (maps - mean[:, None]) ** 2, torch.zeros_like(maps)).sum(1)
    low = torch.where(finite, maps, torch.full_like(maps, torch.inf)).amin(1)
    high = torch.where(finite, maps, torch.full_like(maps, -torch.inf)).amax(1)
    columns = {
        "mean": mean + none,
        "std": (spread / count.clamp(min=1)).sqrt() + none,
        "min": low + none,
        "max": high + none,
        "strength": kept.abs().sum(1) / count.clamp(min=1) + none,
        "zeros": (maps == 0).double().mean(1),
        "nonfinite": 1 - count / maps.shape[1],
    }
    index = pd.RangeIndex(len(maps), name=picture.axes[0])
    frame = pd.DataFrame({name: column.numpy() for name, column in columns.items()}, index=index)
    if picture.names:
        frame.insert(0, "name", list(picture.names))
    return frame
