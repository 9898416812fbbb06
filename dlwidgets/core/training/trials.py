"""Side by side: the same steps from the same place with several settings, each on a line of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..base.words import describe_error
from .loop import NotFinite
from .snapshots.lines import Branch
from .snapshots.timeline import Timeline

if TYPE_CHECKING:
    from .run import Run


def check_trials(steps: Any, settings: Sequence[Any], keep: Any) -> None:
    """Raise ValueError or TypeError, in a sentence, where there is nothing to try."""
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"try_each({steps!r}, ...): a whole number of steps, 1 or more, is wanted.")
    if not settings or not all(isinstance(one, Mapping) for one in settings):
        raise TypeError("try_each() wants settings to try, as try_each(50, {'lr': 1e-3}, {'lr': 1e-2}).")
    if keep is not None and not (isinstance(keep, int) and 0 <= keep < len(settings)):
        raise ValueError(f"keep={keep!r}: there are the tries 0 to {len(settings) - 1}.")


def try_each(
    run: Run, steps: int, settings: Sequence[Mapping[str, Any]], keep: int | None, by: str
) -> tuple[Branch, ...]:
    """Take steps with each of some settings from here, and come back; return their lines.

    The run pauses; an order that it go or stop, or an interrupt, ends the trying.

    Parameters
    ----------
    keep : the number of the try to go on with; None: the run is left where it was.
    """

    def work(timeline: Timeline) -> tuple[Branch, ...]:
        names = _try_each(run, steps, settings, by)
        if keep is not None:
            timeline.switch(names[keep], by)
        return tuple(timeline.branch(name) for name in names)

    return run.travel(work)


def _try_each(run: Run, steps: int, settings: Sequence[Mapping[str, Any]], by: str) -> list[str]:
    timeline, loop, names, origin = run.timeline, run.loop, [], None
    timeline.abandoned = False
    for wishes in settings:
        left = timeline.fork()
        origin, line = origin or left, timeline.line
        names.append(line.name)
        run.put(wishes, dict.fromkeys(wishes, by))
        goal = loop.steps + steps
        try:
            while loop.steps < goal and not timeline.abandoned and not loop.regimen.groups.used_up:
                run.take_step()
        except Exception as error:  # noqa: BLE001 - it belongs to the try, and is said there
            line.note = describe_error(error, bare=NotFinite)
        timeline.switch(origin.name, by)
    return names
