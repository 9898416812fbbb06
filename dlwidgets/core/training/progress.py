"""How far a run is, its speed, and the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..base.numbers import to_seconds

if TYPE_CHECKING:
    from .loop import Loop


def progress(loop: Loop, epochs: int, evaluate_every: str | int | None = None) -> dict[str, Any]:
    """Return where a run is that is done after `epochs` epochs.

    Returns
    -------
    dict
        epoch : the epoch that the last step belongs to, from 1; 0 before the first.
        epochs : as given.
        steps : steps taken.
        total : steps that will have been taken at the end; None where the data does not say.
        share : 0..1 of them; None as above.
        rate : steps a second of late; None before the first.
        left : seconds to the end at this rate, evaluations included; None where it cannot be told.
    """
    steps, rate = loop.steps, loop.history.rate()
    to_go = steps_to_go(loop, epochs)
    total = None if to_go is None else steps + to_go
    left = None
    if rate and to_go is not None:
        left = to_go / rate + _evaluations(loop, to_go, rate, epochs, evaluate_every) * loop.evaluation_cost
    return {
        "epoch": loop.epoch, "epochs": epochs, "steps": steps, "total": total,
        "share": steps / total if total else None, "rate": rate, "left": left,
    }  # fmt: skip


def steps_to_go(loop: Loop, epochs: int) -> int | None:
    """Count the steps from here to the end, at this batch size."""
    whole = epochs - loop.epochs
    if whole <= 0:
        return 0
    each = loop.accumulation.steps_in_epoch()
    if each is None:
        return None
    if not loop.accumulation.midway:
        return whole * each
    rest = loop.accumulation.steps_left()
    return None if rest is None else rest + (whole - 1) * each


def _evaluations(loop: Loop, to_go: int, rate: float, epochs: int, every: str | int | None) -> int:
    if every is None:
        return 0
    if every == "epoch":
        return max(0, epochs - loop.epochs)
    if (seconds := to_seconds(every)) is not None:
        return int(to_go / rate / seconds)
    return (loop.steps + to_go) // int(every) - loop.steps // int(every)
