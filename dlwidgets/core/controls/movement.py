"""What the optimizer's controls share: rate, schedule, decay, momentum, betas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..base.ledger import Entry
from .control import Rejected, Writer

if TYPE_CHECKING:
    from .schedule.rate import Rate


class MovementWriter(Writer):
    """Writes the optimizer and its numbers, together for all these controls."""

    def change(self, entry: Entry) -> list[str]:
        return self.script.movement.change(entry)


def name_in_wish(wish: Any) -> Any:
    """Return the name in a wish for an optimizer or schedule."""
    if wish is None:
        return None
    return wish[0] if isinstance(wish[0], str) else getattr(wish[0], "__name__", type(wish[0]).__name__)


def check_not_cycled(rate: Rate, name: str) -> None:
    """Refuse to change a number that the schedule cycles.

    Raises
    ------
    Rejected : it is cycled.
    """
    if rate.plan is not None and rate.cycled:
        raise Rejected(
            f"the schedule {rate.plan.name} cycles it: "
            f'its option "cycle_momentum": False leaves {name} alone'
        )
