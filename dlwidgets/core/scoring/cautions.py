"""What is not to be trusted of chosen thresholds, in sentences: few positives, the same samples twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .criteria import worth
from .intervals import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .criteria import Bound

#: Below this many positives a class is said to have few. With 20, a recall of one half is known to +-0.20
#: (Wilson, 95 %): the next best cut may be the better one as well as not.
FEW = 20

#: Where no threshold of a class is better than another.
NEUTRAL = 0.5


def cautions(
    classes: tuple[str, ...],
    tables: NDArray[np.int64],
    met: NDArray[np.bool_],
    bound: Bound | None,
    divided: bool,
) -> Iterator[str]:
    """Yield what is not to be trusted of chosen thresholds, and why.

    Parameters
    ----------
    classes
        C names.
    tables
        2 x C x 2 x 2 counts: where chosen, where reported.
    met
        C booleans: the bound is kept where chosen.
    bound
        None: there was none.
    divided
        Whether chosen and reported on different samples.
    """
    if not divided:
        yield (
            "Chosen and reported on the same samples, so the values flatter: holdout=0.5 chooses on one half "
            "and reports on the other."
        )
    negatives, positives = tables.sum(axis=-1)[..., 0], tables.sum(axis=-1)[..., 1]
    none = positives[0] == 0
    if none.any():
        yield f"No positives to choose by in {_names(classes, none)}: the threshold there is {NEUTRAL}."
    few = ~none & (positives[0] < FEW)
    if few.any():
        low, high = (float(end[0]) for end in wilson(np.array([FEW / 2]), np.array([FEW]), 0.95))
        yield (
            f"Few positives to choose by in {_names(classes, few, positives[0])}: even with {FEW}, a "
            f"recall of one half is known only to {low:.2f} ... {high:.2f}, so these thresholds may be luck."
        )
    if (negatives[0] == 0).any():
        names = _names(classes, negatives[0] == 0)
        yield f"No negatives to choose by in {names}: no false alarm can be seen."
    few = ~none & (positives[1] < FEW)
    if divided and few.any():
        yield (
            f"Few positives to report on in {_names(classes, few, positives[1])}: read the intervals, "
            "not the values."
        )
    if bound is not None and (~met & ~none).any():
        yield (
            f"{bound} is reached at no threshold in {_names(classes, ~met & ~none)}: the threshold there "
            f"has the highest {bound.metric} there is."
        )
    if bound is not None and divided:
        other = worth(bound.metric, tables[1])
        lost = met & ~none & ~np.isnan(other) & ~bound.met(other)
        if lost.any():
            names = _names(classes, lost, [f"{value:.2f}" for value in other])
            yield (
                f"{bound} is kept where it was chosen and missed on the other samples in {names}: "
                "ask for more than is needed."
            )


def _names(classes: tuple[str, ...], which: NDArray[np.bool_], counts: Any = None, most: int = 6) -> str:
    """Return "'hernia' (3), 'edema' (12) and 4 more classes"."""
    at = np.flatnonzero(which)
    words = [repr(classes[c]) + ("" if counts is None else f" ({counts[c]})") for c in at[:most]]
    more = f" and {len(at) - most} more classes" if len(at) > most else ""
    return ", ".join(words) + more
