"""The controls of a run: its wishes put in force, or rejected."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..base.isolation import preserve_random_state
from ..base.ledger import Entry, Ledger
from .accumulate import Accumulate
from .batch_size import BatchSize
from .betas import Betas
from .clipping import Clipping
from .control import Control
from .dropout import Dropout
from .early_stopping import EarlyStopping
from .ema import Ema
from .epochs import Epochs
from .evaluate_every import EvaluateEvery
from .evaluate_samples import EvaluateSamples
from .head import Head
from .input_scaling import InputScalingControl
from .iou_threshold import IouThreshold
from .label_smoothing import LabelSmoothing
from .learning_rate import LearningRate
from .loss_function import LossFunction
from .loss_weights import LossWeights
from .lr_scale import LrScale
from .momentum import Momentum
from .normalise import Normalise
from .on_divergence import OnDivergence
from .optimizer import OptimizerControl
from .precision import Precision
from .reinitialise import Reinitialise
from .schedule.rate import ScheduleControl
from .threads import Threads
from .thresholds import Thresholds
from .trainable import Trainable
from .unfreeze_at import UnfreezeAt
from .weight_decay import WeightDecay

#: All controls, in the order in which their state is put back and their rows are shown.
CONTROLS: list[type[Control]] = [
    OptimizerControl, LearningRate, ScheduleControl, LrScale, Momentum, Betas, WeightDecay, BatchSize, Clipping,
    Trainable, UnfreezeAt, Reinitialise, Dropout, LossFunction, LossWeights, LabelSmoothing, Head, Normalise,
    Epochs, EvaluateEvery, EvaluateSamples, Accumulate, InputScalingControl, Ema, Precision, EarlyStopping, Threads,
    Thresholds, IouThreshold, OnDivergence,
]  # fmt: skip


def names_of(**wanted: Any) -> tuple[str, ...]:
    """Return the names of controls with these attributes, in order."""
    return tuple(
        one.name for one in CONTROLS if all(getattr(one, name) == value for name, value in wanted.items())
    )


def read_alone(name: str, value: Any) -> Any:
    """Read a wish for a control that needs no run: see `Control.read`."""
    return next(one for one in CONTROLS if one.name == name)().read(value)


class Steering:
    """Puts wishes in force between two steps, and keeps the ledger.

    Attributes
    ----------
    loop : the `core.training.loop.Loop` that is steered.
    ledger : what was asked for, and what came of it.
    rejected : control -> why its newest wish could not be met.
    adopted : wishes that came along with another one, for a session to show.
    evaluates : whether anything is evaluated.
    asked_threads : how many threads were asked for when the session was made; None: its own choice.
    host : the `core.training.hosted.Hosting` by which another loop takes the steps; None for none.
    seed, wish : of the run: its seed, and what is wished for by name.
    train_targets, valid_targets : those of the data, where they are in memory.
    """

    def __init__(self, loop: Any, threads: int | None = None, kinds: Iterable[type[Control]] = ()) -> None:
        self.loop, self.asked_threads, self.evaluates = loop, threads, False
        self.seed, self.wish, self.train_targets, self.valid_targets = 0, (lambda name: None), None, None
        self.host: Any = None
        self.ledger = Ledger()
        self.rejected: dict[str, str] = {}
        self.adopted, self._applied = dict[str, Any](), dict[str, Any]()
        self.controls: dict[str, Control] = {kind.name: kind(self) for kind in kinds or CONTROLS}
        self._bringing = [control for control in self.controls.values() if control.acts_as]

    def __getitem__(self, name: str) -> Control:
        return self.controls[name]

    @property
    def steered(self) -> Iterator[Control]:
        """Those that are put in force between two steps, in order."""
        return (control for control in self.controls.values() if control.steers)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(control.name for control in self.steered)

    def read(self, name: str, value: Any) -> Any:
        """Return a wish in one form: see `Control.read`."""
        control = self.controls[name]
        if not control.steers and (why := self.why_not(name)):
            raise ValueError(f"{name}={value!r}: {why}.")
        return control.read(value)

    def why_not(self, name: str, wish: Any = None) -> str:
        """Return why another loop does not meet a wish, or ""."""
        return "" if self.host is None else self.host.why_not(name, wish)

    def in_force(self) -> dict[str, Any]:
        """Return the controls as they are, not as they were asked for."""
        return {control.name: control.now() for control in self.steered}

    def applied(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """Return what is in force, and what follows from it: see `Control.follows`.

        Asked are the controls of `names`, put in force since, and those they touch; None: all.
        """
        names = self.names if names is None or not self._applied else names
        asked = {one for name in names for one in (name, *self.controls[name].touches)}
        for control in self.steered:
            if control.name in asked:
                self._applied |= {control.name: control.now(), **control.follows()}
        return dict(self._applied)

    def wishes(self) -> dict[str, Any]:
        """Return the wishes that mean what is in force."""
        return {control.name: control.wish() for control in self.steered}

    def order(self, names: Iterable[str]) -> list[str]:
        """Return wishes in the order in which to apply them.

        The optimizer comes first, and the rate after a schedule, but before the first one, which begins from
        it; all else stays in the order of the wishes.
        """
        last = ("lr", "schedule") if self.loop.rate.plan is None else ("schedule", "lr")
        return sorted(names, key=lambda name: name != "optimizer" and 1 + (name in last and last.index(name)))

    def put(self, name: str, value: Any, by: str, stretch: bool = True) -> None:
        """Put a wish in force, or reject it, and record the outcome.

        Parameters
        ----------
        by : who asked, for the ledger.
        stretch : have a schedule that was fitted to the run end with it, where the run has other steps now.
        """
        control = self.controls[name]
        before, wish_before = control.now(), control.wish()
        self.rejected.pop(name, None)
        note, rejected = "", False
        try:
            if why_not := self.why_not(name, value):
                raise ValueError(why_not)
            note = control.put(value) or ""
            if self.host is not None:
                try:
                    note = "; ".join(filter(None, [note, self.host.put_in_force()]))
                except ValueError:
                    control.put(wish_before)
                    raise
        except ValueError as why:
            note, rejected = str(why).rstrip("."), True
            self.rejected[name] = note
        after = control.now()
        # There and back again between two steps is no change.
        if rejected or note or after != before:
            self.ledger.add(Entry(self.loop.steps, name, value, after, by, note, rejected))
        if stretch and after != before and control.changes_length and self.loop.steps:
            self.stretch_schedule()
        for other, wish in ({} if rejected else control.follow_up()).items():
            self.put(other, wish, control.acts_as)
            self.adopted[other] = self.controls[other].wish()

    def due(self) -> dict[str, tuple[Any, str]]:
        """Return the wishes that controls bring right now, and who asks."""
        found = {}
        for control in self._bringing:
            for name, wish in control.due().items():
                found[name] = wish, control.acts_as
        return found

    def dealt_with(self, by: str) -> None:
        """Take notice that what is due here was dealt with."""
        for control in self._bringing:
            if control.acts_as == by:
                control.pass_over()

    def begin(self, name: str, value: Any) -> str:
        """Put an initial wish in force, or raise; write no entry."""
        control = self.controls[name]
        wanted = control.read(value)
        try:
            said = control.put(wanted) or ""
            for other, wish in control.follow_up().items():
                self.controls[other].put(wish)
            return said
        except ValueError as why:
            raise ValueError(f"{name}={value!r}: {str(why).rstrip('.')}.") from None

    def redo(self, entry: Entry) -> None:
        """Put a ledger entry in force once more, without recording it."""
        if entry.name == "skip":
            with preserve_random_state():
                self.loop.skip()
        else:
            with contextlib.suppress(ValueError):
                self.controls[entry.name].redo(entry)
        self.dealt_with(entry.by)
        # Where the run is then, its wishes are told as a whole.
        self.adopted = {}

    def optimizer_changed(self) -> None:
        """Take notice that another optimizer moves the weights."""
        for control in self.controls.values():
            control.optimizer_changed()

    def run_begins(self, run: int) -> None:
        """Take notice that a run begins, the `run`-th."""
        for control in self.controls.values():
            control.run_begins(run)

    def stretch_schedule(self) -> None:
        """Stretch the schedule to the run's new length, and record it."""
        rate = self.loop.rate
        if note := rate.stretch():
            self.ledger.add(Entry(self.loop.steps, "schedule", rate.wish, rate.resolved, "run", note))

    def evaluated(self, found: Mapping[str, float]) -> None:
        """Feed the evaluation of a retaken step to schedule and early stopping."""
        self.loop.rate.replay_evaluation(found, self.loop.steps)
        if self.loop.patience.is_replayed(self.loop.steps):
            self.loop.judge(found, self.loop.patience.due_steps[self.loop.steps])

    def state(self, shape: bool = False) -> dict[str, Any]:
        """Return the states of controls that shape the model, or not."""
        return {one.name: one.state() for one in self.steered if one.shapes_model is shape}

    def install(self, state: dict[str, Any], shape: bool = False) -> str | None:
        """Restore a state; model, optimizer and data are restored already."""
        if not shape:
            self.rejected = {}
        chosen = [one for one in self.steered if one.shapes_model is shape and one.name in state]
        return "; ".join(filter(None, [one.install(state[one.name]) for one in chosen])) or None


class ModelShape:
    """The controls that shape the model, restored before optimizer and weights."""

    def __init__(self, steering: Steering) -> None:
        self._steering = steering

    def state(self) -> dict[str, Any]:
        return self._steering.state(shape=True)

    def install(self, state: dict[str, Any]) -> str | None:
        note = self._steering.install(state, shape=True)
        self._steering.loop.refresh()
        return note
