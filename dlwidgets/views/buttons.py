"""What a press of a button does to a run."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from ..core.base.comm_pump import find_pump
from ..core.layers.framework import framework_of
from ..session import Session
from .hosts import shows_threads
from .limits import Restrictions

#: Said of what is not done while settings, remedies or rates are tried.
_TRIED = "Settings are being tried: Pause ends that first."
#: How long a press trains where no other is heard before it is done [s].
_UNHEARD = 10.0


def begin(session: Session) -> str:
    """Start a run, or go on; return what to say of it.

    Where the page shows nothing of a thread the press itself takes the steps: to the end where other presses are heard
    meanwhile, else for some seconds.
    """
    if session.status in ("running", "trying"):
        return ""
    if shows_threads():
        session.resume() if session.status in ("paused", "failed") else session.start()
        return ""
    heard = find_pump() is not None
    try:
        session.run_here(seconds=None if heard else _UNHEARD)
    except Exception:
        if session.status != "failed":  # which the views say
            raise
    if heard or session.status != "paused":
        return ""
    return f"No press is heard while it trains here: each Resume goes on for {_UNHEARD:.0f} s."


def toggle(session: Session) -> str:
    """Pause what goes, and have go on what does not; as `begin`."""
    if session.status not in ("running", "trying"):
        return begin(session)
    session.pause(wait=False)
    return ""


def refusals(session: Session, restrictions: Restrictions) -> dict[str, str]:
    """Return button -> why a press would do nothing, a sentence."""
    status, untrained = session.status, session.why_not_trained
    trying = status == "trying"
    why = {
        "resume": _TRIED if trying else untrained,
        "step": _TRIED if trying else untrained,
        "stop": _TRIED if trying else "" if status in ("running", "paused", "failed") else "There is no run to stop.",
        "undo": restrictions.why_not("undo", None)
        or (_TRIED if trying else "" if session.line_changes else "Nothing was changed yet."),
        "save": _TRIED if trying else "",
    }
    return {name: sentence for name, sentence in why.items() if sentence}


def trial_under_way(session: Session) -> dict[str, int] | None:
    """Return which of the settings is being tried, and how far."""
    trials = session.trials
    for number, trial in enumerate(trials, 1):
        if trial.line and not trial.ended:
            return {"number": number, "count": len(trials), "taken": trial.taken, "steps": trial.steps}
    return None


def describe_change(session: Session) -> str:
    """Return the change that an undo would take back, or ""."""
    last: list[Any] = session.line_changes[-1:]
    return f"{last[0].name}, step {last[0].step:,}" if last else ""


def save_run(session: Session) -> str:
    """Write a checkpoint, or the weights beside the notebook; say where.

    Waits for a step under way, and for the disk. No file is written over.

    Raises
    ------
    OSError : in a sentence, why it cannot be written.
    """
    if (folder := session.checkpoint_dir) is not None:
        session.save_checkpoint()
        return f"A checkpoint of step {session.steps:,} was written into {describe_folder(folder)}."

    def save() -> str:
        # Between two steps, so that the name says the step of the weights.
        name = f"{type(session.model).__name__}-step-{session.steps}"
        ending = ".weights.h5" if framework_of(session.model).foreign else ".pt"
        counted = (f"-{number}" * (number > 1) for number in itertools.count(1))
        path = next(path for one in counted if not (path := Path(f"{name}{one}{ending}")).exists())
        return f"The weights of step {session.steps:,} were saved as {session.save(path)}."

    try:
        return session.at_step(save).result()
    except OSError as error:
        raise OSError(f"It cannot be saved here ({error}): session.save('path') writes it elsewhere.") from error


def describe_folder(folder: Path) -> str:
    """Return a folder's path as seen from here."""
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)
