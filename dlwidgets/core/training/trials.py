"""The same steps from the same place with several settings, each on a line of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..base.words import in_one_line
from .loop import NotFinite
from .trainer import Trainer


def try_each(trainer: Trainer, steps: int, settings: Sequence[Mapping[str, Any]], by: str) -> list[str]:
    """Take steps with each of some settings from here, and come back; return the names of their lines.

    For the training thread. The run pauses; an order that it go or stop, or an interrupt, ends the trying.
    """
    timeline, loop, names, origin = trainer.timeline, trainer.loop, [], None
    timeline.abandoned = False
    for wishes in settings:
        left = timeline.fork()
        origin, line = origin or left, timeline.line
        names.append(line.name)
        trainer.put(wishes, dict.fromkeys(wishes, by))
        goal = loop.steps + steps
        try:
            while loop.steps < goal and not timeline.abandoned and not loop.regimen.groups.used_up:
                trainer.take_step()
        except Exception as error:  # noqa: BLE001 - it belongs to the try, and is said there
            line.note = in_one_line(error, bare=NotFinite)
        timeline.switch(origin.name, by)
    return names
