"""The course of a loss, and where it was left."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..base.ledger import Entry
from .finding import Finding

#: Steps whose median is the smoothed loss.
_WINDOW = 5
#: A loss is off its course above the least smoothed loss by more than so many times its noise (1.4826 times the median
#: deviation), and by more than this share of that least, and of all that it had fallen.
_NOISE, _SHARE, _FALL = 4.0, 0.25, 0.1
#: Two steps or one are a rise only where they are off by so many times more.
_FEW, _STEEP = 3, 8.0
#: How far back the course is looked at [steps].
_MOST = 5_000
#: An explosion without doubt: so many steps in a row, each above the worst loss before by so many times that.
_PROOF, _WORST = 10, 10.0
#: Changes after which a loss is another number, whatever was learnt.
_OTHER_LOSS = ("loss_function", "loss_weights", "label_smoothing")
#: Rules whose trouble began where the loss left its course.
_OF_LOSS = ("loss_not_finite", "loss_diverging")


def of_one_loss(losses: np.ndarray, changes: Iterable[Entry]) -> np.ndarray:
    """Return losses, NaN before the loss was last another number."""
    since = max((one.step for one in changes if one.name in _OTHER_LOSS), default=0)
    return np.where(np.arange(len(losses)) < since, np.nan, losses)


def smooth_losses(losses: np.ndarray) -> np.ndarray:
    """Return the median of each loss and the four before it, float64."""
    first = [np.median(losses[: count + 1]) for count in range(min(_WINDOW - 1, len(losses)))]
    if len(losses) < _WINDOW:
        return np.array(first)
    # The median of five by least and greatest of pairs: twenty times as quick as by sorting.
    a, b, c, d, e = (losses[start : len(losses) - 4 + start] for start in range(_WINDOW))
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    return np.concatenate([first, np.maximum(np.minimum(e, low), np.minimum(np.maximum(e, low), high))])


def find_onset(losses: np.ndarray) -> int | None:
    """Return the step in which a loss left its course for good.

    Parameters
    ----------
    losses : of all steps from the first, float64; NaN where none was measured.

    Returns
    -------
    int or None
        From 1; None where it is on its course, or too short to have one.
    """
    skipped = max(0, len(losses) - _MOST)
    losses = _fill(losses[skipped:])
    if len(losses) < 2:
        return None
    smooth = smooth_losses(losses)
    lowest = int(np.argmin(smooth))
    level, healthy = smooth[lowest], slice(0, lowest + 1)
    noise = 1.4826 * float(np.median(np.abs(losses[healthy] - smooth[healthy])))
    band = max(_NOISE * noise, _SHARE * abs(level), _FALL * (smooth[0] - level))
    off = losses > level + band
    if not off[-1]:
        return None
    calm = np.flatnonzero(smooth <= level + band)
    first = int(calm[-1]) + 1
    while first and off[first - 1]:  # the median lags behind
        first -= 1
    if len(losses) - first < _FEW and losses[-1] <= level + _STEEP * band:
        return None
    return skipped + first + 1


def has_exploded(losses: np.ndarray) -> bool:
    """Say whether a finite loss has exploded beyond doubt.

    A healthy run that is taken back costs more trust than an explosion that is seen late.
    """
    losses = _fill(losses)
    onset = find_onset(losses)
    if onset is None or onset < 2 or len(losses) < onset - 1 + _PROOF:
        return False
    worst, least, last = losses[: onset - 1].max(), losses[: onset - 1].min(), losses[-_PROOF:]
    height = worst + _WORST * max(abs(worst), worst - least)
    return bool(last.min() > height and np.median(last[_PROOF // 2 :]) >= np.median(last[: _PROOF // 2]))


def find_trouble(finding: Finding, losses: np.ndarray) -> int:
    """Return the step, from 1, in which a finding's trouble first showed.

    That of a loss began where it left its course, any other where it was found.
    """
    onset = find_onset(losses) if finding.rule in _OF_LOSS else None
    return finding.step if onset is None else min(onset, finding.step or onset)


def find_last_good(finding: Finding, losses: np.ndarray, snapshots: Iterable[int]) -> int | None:
    """Return the step of the newest snapshot from before a finding's trouble.

    What shows in a step was done by the one before it: the loss of step 9 is that of the weights after 8, which
    step 8 spoiled. So the state after 7 steps, or an earlier one, is good.

    Parameters
    ----------
    losses : of the line under way.
    snapshots : steps of which a state is kept.

    Returns
    -------
    int or None
        None where nothing is kept from before.
    """
    begins = find_trouble(finding, losses)
    return max((step for step in snapshots if step <= begins - 2), default=None)


def _fill(losses: np.ndarray) -> np.ndarray:
    """Return losses without those that were not measured."""
    if not np.isnan(losses).any():
        return losses
    known = np.flatnonzero(~np.isnan(losses))
    if not len(known):
        return losses[:0]
    return np.interp(np.arange(len(losses)), known, losses[known])
