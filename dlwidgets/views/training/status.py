"""The training panel's status line, and facts beside its main controls."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from traitlets import Bool, Dict, List, Unicode

from ...core.layers.summary_text import count
from ...core.layers.walk import counted_tensors, numel_of
from ...session import Session
from ..buttons import describe_change, trial_under_way
from ..limits import Restrictions
from ..view import View, module, style

#: The process's memory is asked for this often: it takes a third of the time of a picture [s].
_MEMORY = 1.0


class PanelPart(View):
    """A picture of the panel, whose traits only the kernel writes."""

    _esm = module("training")
    _css = style("training/view.css")
    part = Unicode(help='"head" or "facts", of those that share a module').tag(sync=True)

    #: What a key stands for: "toggle" and "step".
    press: Callable[[str], None] = staticmethod(lambda key: None)

    def wish(self, name: str, value: Any) -> None:
        """Do what a key of the page stands for."""
        if name != "press":
            return super().wish(name, value)
        if self.session is not None:
            self.press(str(value))


class StatusLine(PanelPart):
    """The run in one line: progress, speed, memory; and its failure."""

    AHEAD = 20
    watches = ("pulse", "status", "error", "epochs")
    run = Dict(
        help="title, about, status, epoch, epochs, steps, share, rate, left, samples (a second), memory, "
        "device_memory [bytes], undo (what would be taken back, or empty), "
        "locked (whether Undo is), trial (number, count, taken, steps) or None"
    ).tag(sync=True)
    error = Unicode(help="why the run failed, one sentence").tag(sync=True)
    trace = Unicode(help="the traceback of the failure").tag(sync=True)
    said = Unicode(help="why a button did not do what it says, one sentence").tag(sync=True)

    def __init__(self, session: Session, restrictions: Restrictions) -> None:
        self._restrictions = restrictions
        # Neither changes, and counting parameters is too slow to do at every picture.
        self._names = {"title": type(session.model).__name__, "about": describe_session(session)}
        #: The sentence of `said`, and of what moment it is.
        self._saying: tuple[str, Any] = ("", None)
        #: The memory that the process held, and when it was asked [bytes, s].
        self._resident: tuple[int | None, float] = (None, -_MEMORY)
        super().__init__(session, part="head")

    def project(self) -> dict[str, Any]:
        session = self.session
        if session is None:
            return {}
        run = {**self._names, "status": session.status, **session.progress()}
        run["about"] += f" · {session.host}" * bool(session.host)
        rate, batch = run.get("rate"), session.applied.get("effective_batch", session.applied["batch_size"])
        if time.monotonic() - self._resident[1] >= _MEMORY:
            self._resident = resident_memory(), time.monotonic()
        on_gpu = session.device.type == "cuda"
        run |= {
            "samples": rate and rate * batch, "memory": self._resident[0],
            "device_memory": torch.cuda.memory_allocated(session.device) if on_gpu else None,
            "trial": trial_under_way(session),
            "undo": describe_change(session), "locked": "undo" in self._restrictions.locked,
        }  # fmt: skip
        sentence, moment = self._saying
        said = sentence if moment in ((session.steps, len(session.changes)), session.status) else ""
        return {"run": run, "error": session.error, "trace": session.traceback, "said": said}

    def say(self, sentence: str) -> None:
        """Show a sentence until the run goes on, or something is changed."""
        if self.session is not None:
            self._saying = sentence, (self.session.steps, len(self.session.changes))
            self.refresh()

    def hint(self, sentence: str) -> None:
        """Show a sentence for as long as the status stays."""
        if self.session is not None:
            self._saying = sentence, self.session.status
            self.refresh()


class ControlFacts(PanelPart):
    """What is in force, waiting or rejected, beside each main control."""

    AHEAD, BEAT = 10, 2
    watches = ("pulse", "applied", "rejected", "lr", "batch_size", "clip", "status", "host")
    asked = Dict(help="control -> what was asked for").tag(sync=True)
    applied = Dict(help="control -> what is in force").tag(sync=True)
    rejected = Dict(help="control -> why the wish was rejected").tag(sync=True)
    waiting = List(help="controls whose wish is not in force, or rejected, yet").tag(sync=True)
    beside = Dict(help="control -> a remark, as the schedule that the rate follows").tag(sync=True)
    locked = List(help="controls that are locked").tag(sync=True)
    running = Bool(help="whether steps are being taken").tag(sync=True)

    NAMES = ("lr", "batch_size", "clip")

    def __init__(self, session: Session, restrictions: Restrictions) -> None:
        #: Values that the session, or the rules of the panel, refused at once: control -> why.
        self.refused: dict[str, str] = {}
        self._restrictions = restrictions
        super().__init__(session, part="facts")

    def project(self) -> dict[str, Any]:
        session = self.session
        if session is None:
            return {}
        applied = session.applied
        return {
            "asked": {name: getattr(session, name) for name in self.NAMES},
            "applied": {name: applied[name] for name in self.NAMES},
            "rejected": {**session.rejected, **self.refused},
            "waiting": [name for name in self.NAMES if session.waits(name)],
            "beside": remarks_on_controls(session),
            "locked": [name for name in self.NAMES if name in self._restrictions.locked],
            "running": session.status == "running",
        }


def remarks_on_controls(session: Session) -> dict[str, str]:
    """Return remarks on the main controls, as the rate's schedule."""
    applied = session.applied
    said = {name: why for name in ControlFacts.NAMES if (why := session.why_not(name))}
    if (schedule := applied.get("schedule")) is not None:
        said["lr"] = f"× {schedule[0] if isinstance(schedule[0], str) else 'schedule'}"
    if (accumulated := applied.get("accumulate") or 1) > 1:
        said["batch_size"] = f"× {accumulated} = {applied['effective_batch']:,} a step"
    if applied["clip"] is not None:
        share, columns = session.clipping()["share"], session.record.columns
        if share is not None and "clipped_norm" in columns:
            before, after = (columns[name].values[-1:] for name in ("grad_norm", "clipped_norm"))
            if len(before) and len(after) and before[0] == before[0]:
                said["clip"] = f"{before[0]:.2g}→{after[0]:.2g} cut {100 * share:.0f} %"
    return said


def describe_session(session: Session) -> str:
    """Return "14 classes · 1.21 M parameters" of a session."""
    kind = f"{len(session.classes)} classes" if session.classes else session.task
    parameters = sum(map(numel_of, counted_tensors(session.module)))
    return f"{kind} · {count(parameters)} parameters"


def resident_memory() -> int | None:
    """Return the resident memory of this process [bytes]; None if unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError, AttributeError):
        pages = Path("/proc/self/statm").read_text("ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    # Whatever runs a notebook has it there.
    psutil: Any = sys.modules.get("psutil")
    return None if psutil is None else int(psutil.Process().memory_info().rss)
