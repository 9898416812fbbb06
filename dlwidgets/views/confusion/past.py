"""The past evaluations as a page draws them: the 2 x 2 counts of each class at the thresholds of now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ...core.scoring.past_scores import PastScores

#: What is sent of the past at once [bytes]: it is sent again at each move of a threshold.
BUDGET = 48 * 1024


def packed(past: Sequence[PastScores], thresholds: Any, budget: int = BUDGET) -> dict[str, Any]:
    """Return the past as values of the traits `past`, `past_width` and `past_moments`.

    Where it would take more than `budget` bytes, evaluations are left out evenly; the first and the last of
    each line stay.

    Returns
    -------
    past : E x C x 4 unsigned integers of `past_width` bytes, C order: tn, fp, fn, tp.
    past_moments : [step, epoch, line] of each of the E.
    """
    nothing: dict[str, Any] = {"past": b"", "past_width": 1, "past_moments": []}
    if not past:
        return nothing
    classes = past[-1].classes
    # Other classes than now: what was counted then is of no use to those who compare.
    same = [one for one in past if one.classes == classes]
    dtype = np.min_scalar_type(max(int(one.totals.sum(axis=1).max(initial=0)) for one in same))
    most = max(2, budget // max(1, 4 * len(classes) * dtype.itemsize))
    kept = _thinned(same, most)
    cells = np.stack([one.confusion(thresholds).reshape(len(classes), 4) for one in kept])
    return {
        "past": cells.astype(dtype).tobytes(), "past_width": dtype.itemsize,
        "past_moments": [[int(one.step), int(one.epoch), one.line] for one in kept],
    }  # fmt: skip


def _thinned(past: list[PastScores], most: int) -> list[PastScores]:
    if len(past) <= most:
        return past
    ends = {
        i for i, one in enumerate(past)
        if i == 0 or i == len(past) - 1 or past[i - 1].line != one.line or past[i + 1].line != one.line
    }  # fmt: skip
    evenly = np.linspace(0, len(past) - 1, max(2, most - len(ends))).round().astype(int).tolist()
    return [past[i] for i in sorted(ends | set(evenly))]
