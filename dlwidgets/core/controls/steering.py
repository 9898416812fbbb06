"""The controls of a run: what is in force, read off the loop, and wishes put in force or rejected."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ..base.isolation import preserve_random_state
from ..base.ledger import Entry, Ledger
from ..base.machine import choose_threads
from .clipping import Clip, spared
from .moving import MovingControls, Rejected
from .regimen_controls import RegimenControls

if TYPE_CHECKING:
    from ..training.loop import Loop
    from .patterns import Choice


class Steering(MovingControls, RegimenControls):
    """Puts wishes in force between two steps and keeps the ledger of what came of each.

    A control is a method `_put_NAME(value)`: it puts the value in force, returns what is to be said of it or
    None, and raises `Rejected` where that cannot be; and an entry of `in_force`.

    Attributes
    ----------
    rejected : control -> why its newest wish could not be met.
    threads : how many threads torch uses in training.

    Parameters
    ----------
    threads : how many threads torch is to use; None: `machine.choose_threads`.
    """

    #: The names of the controls.
    CONTROLS = (
        *MovingControls.CONTROLS, "batch_size", "clip", "threads", "trainable", *RegimenControls.CONTROLS,
    )  # fmt: skip
    #: Those that are put in force at once where nothing runs: a model that is at rest shows them.
    AT_REST = ("trainable",)
    #: Those that only the next step knows of: an evaluation under way need not end before they are put in force.
    OF_THE_STEP = ("lr", "weight_decay", "momentum", "betas", "clip", "batch_size", "accumulate")

    def __init__(self, loop: Loop, threads: int | None = None) -> None:
        self._loop = loop
        super().__init__()
        # Asked here: on the training thread torch tells what is in force there.
        self._usual_threads = choose_threads()[0]
        self.threads = threads or self._usual_threads
        self.ledger = Ledger()
        self.rejected: dict[str, str] = {}

    def in_force(self) -> dict[str, Any]:
        """Return the controls as they are, not as they were asked for."""
        clip = self._loop.clip
        return {
            **self.moving(),
            "batch_size": self._loop.batches.batch_size,
            "clip": None if clip.mode == "off" else (clip.mode, clip.limit),
            "threads": self.threads,
            "trainable": self._loop.freezing.choice,
            **self.regimen(),
        }

    def applied(self) -> dict[str, Any]:
        """Return what is in force, and what follows from it: see `MovingControls.following`.

        "effective_batch" is how many samples a step has.
        """
        return {**self.in_force(), **self.following(), "effective_batch": self.effective_batch()}

    def wishes(self) -> dict[str, Any]:
        """Return the wishes that mean what is in force, for a session to show after going back."""
        in_force = {**self.in_force(), "schedule": self._loop.rate.wish, "lr": self._loop.rate.base}
        return {name: value for name, value in in_force.items() if name in self.CONTROLS}

    def state(self) -> dict[str, Any]:
        """Return what is in force and stands nowhere else: see `stateful.Stateful`.

        The rate and the decay stand in the optimizer's groups, the batch size with the data, clipping in the
        loop. What a control keeps beside that belongs here, or into a part of its own in `Trainer.parts`.
        """
        return {
            "threads": self.threads,
            "trainable": self._loop.freezing.state(),
            "moving": self.moving_state(),
        }

    def install(self, state: dict[str, Any]) -> str | None:
        """Put in force what was; the optimizer and the weights' flags have been put back already."""
        self.rejected = {}
        if state["threads"] != self.threads:
            self.threads = state["threads"]
            torch.set_num_threads(self.threads)
        self._loop.freezing.install(state["trainable"], self._loop.optimizer)
        return self.install_moving(state["moving"])

    def put(self, name: str, value: Any, by: str, stretch: bool = True) -> None:
        """Put a wish in force, or reject it, and write in the ledger what came of it; `by` says who asked.

        Parameters
        ----------
        stretch : have a schedule that was fitted to the run end with it, where the run has other steps now.
        """
        before = self.in_force()[name]
        self.rejected.pop(name, None)
        note, rejected = "", False
        try:
            note = getattr(self, f"_put_{name}")(value) or ""
        except Rejected as why:
            note, rejected = str(why), True
            self.rejected[name] = note
        after = self.in_force()[name]
        # There and back again between two steps is no change.
        if rejected or note or after != before:
            self.ledger.add(Entry(self._loop.steps, name, value, after, by, note, rejected))
        if stretch and after != before and name in ("batch_size", "accumulate") and self._loop.steps:
            self.stretch_schedule()

    def redo(self, entry: Entry) -> None:
        """Put once more in force what an entry of the ledger says; it is not written down again."""
        with contextlib.suppress(Rejected):
            if entry.name == "schedule":
                self.redo_schedule(entry)
            else:
                getattr(self, f"_put_{entry.name}")(entry.asked)
        # Where the run is then, its wishes are told as a whole.
        self.adopted = {}

    def evaluated(self, found: Mapping[str, float]) -> None:
        """Take notice of what was evaluated after a step that has been taken once more."""
        self._loop.rate.retaken(found, self._loop.steps)

    def _put_skip(self, value: int) -> None:
        with preserve_random_state():
            self._loop.skip()

    def _put_batch_size(self, value: int) -> str | None:
        batches = self._loop.batches
        if value == batches.batch_size:
            return None
        if why := batches.why_not(value):
            raise Rejected(why)
        batches.batch_size = value
        return batches.note()

    def _put_clip(self, value: Any) -> str | None:
        self._loop.clip = clip = Clip.read(value)
        path = spared(self._loop.model)[0] if clip.mode == "adaptive" else None
        if path == "":
            return "the model is a single linear layer, which adaptive clipping leaves alone"
        return f"the last linear layer ({path}) is left alone, as in the paper" if path else None

    def _put_threads(self, value: int | None) -> str | None:
        wanted = self._usual_threads if value is None else value
        if wanted == self.threads:
            return None
        self.threads = wanted
        torch.set_num_threads(wanted)  # of this thread, which trains; given back with all that is borrowed
        return "sums are taken in another order: from here on the last bits of the weights may differ"

    def _put_trainable(self, value: Choice | None) -> str:
        freezing = self._loop.freezing
        try:
            note = freezing.put(value, self._loop.optimizer)
        except ValueError as why:
            raise Rejected(str(why)) from None
        freezing.hold()
        return note
