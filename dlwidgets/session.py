"""Session: the one observable object that a model, its data, its training and every view share."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import nn
from traitlets import Any as AnyTrait
from traitlets import Bool, Dict, Float, HasTraits, Int, Tuple, Unicode

from .core import describing, wishes
from .core.assembling import assemble
from .core.clipping import clipping
from .core.guarded import Guarded
from .core.history import History
from .core.ledger import Entry
from .core.progress import progress
from .core.rewinding import Rewindable
from .core.running import Runnable
from .core.samples import Samples
from .core.steering import Steering
from .core.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

_author: contextvars.ContextVar[str] = contextvars.ContextVar("dlwidgets_author", default="code")


class _Here(threading.local):
    """A flag of each thread."""

    on = False


class _Wish(AnyTrait):
    """A trait that one of `core.wishes` reads, None included."""

    allow_none = False


class WishError(traitlets.TraitError, ValueError):
    """A wish that no session could meet, said in one sentence."""


class Session(Runnable, Rewindable, HasTraits):
    """A model, its data and its training, to be watched and steered while it runs.

    Parameters
    ----------
    model : the module to train. It stays yours: when nothing runs, its train/eval flags, its device and the
        global random generators are as you left them.
    train : `(X, y)` of tensors or arrays (axis 0 counts samples), a pandas DataFrame with `target=`, a
        map-style Dataset, an iterable of batches, or a DataLoader (its collate and workers are respected).
    valid : the same for validation; a number between 0 and 1 holds out that share of `train`; None for none.
    loss : `(output, targets) -> scalar tensor`, a class or a name of torch.nn losses; None: inferred.
    task : "multilabel", "multiclass", "binary" or "regression"; None: inferred from the targets.
    optimizer : a name of torch.optim, a class, a factory `parameters -> optimizer`, or an optimizer.
    lr : the learning rate; None: 1e-3, or that of an optimizer that was made already.
    batch_size : samples a step; None: 32, or what a DataLoader brings.
    epochs : how many epochs `start()` and `fit()` train.
    clip : gradient clipping: None, a norm as 1.0, ("norm" | "value" | "adaptive", limit), or "adaptive" (AGC).
    weight_decay : None: what the optimizer has by default.
    classes : the names of the classes, in the order of the model's outputs.
    target : the column of a DataFrame, or the entry of a dict batch, that is to be predicted.
    step : `(model, batch) -> loss or dict of losses` for models that none of the tasks fits; it computes the
        loss only, the session does the rest. A dict of losses is summed.
    evaluate_every : "epoch", a number of steps, or None for never.
    seed : seeds the order of the samples and the random numbers of training. Same seed and same wishes at the
        same steps give the same weights, bit for bit, on the CPU.
    device : "auto" (CUDA where there is one, else where the model is), or a torch device.
    threads : threads torch uses in training; None: as many as there are CPUs really to be had. Where other
        work holds some of them, as a browser on a laptop with two, one fewer is often twice as fast; the last
        bits of the weights depend on it.
    trainable : what trains: `{"features": False}`, read in order, the last pattern that means a parameter
        counting; or a list of all that is to train, as `["classifier"]`; None: as the model is. A pattern is
        the path of a layer, the name of a parameter, or one with wildcards as "*.bias": see `freeze`.
    snapshot_memory : bytes that snapshots may take, to go back to; None: a tenth of the memory that is really
        there but no more than 512 MB, or room for two where they take less than a quarter; 0: none are taken.

    Raises
    ------
    TypeError, ValueError
        One sentence on what does not fit, before anything is trained.

    Notes
    -----
    *Wishes* are traits that a person or a view writes: `lr, batch_size, clip, weight_decay, threads,
    trainable, epochs, evaluate_every, paused, thresholds, selected_layer, selected_sample`. The loop reads
    them between two steps. *Facts* are read-only traits that the loop writes: `status, steps, epoch, loss,
    applied, rejected, scores, evaluation, layer_stats, error, traceback, notes, line, branches, snapshots,
    pulse`. Every fact may be observed; observers are called on the training thread and should be quick. One
    that raises is named in `notes`, and the training goes on.

    The weights are those of the plain loop: `torch.manual_seed(seed)`, a generator `g` seeded with `seed`,
    and for each epoch the batches of `torch.randperm(n, generator=g)` in order. While it trains in the
    background, the global random generators are the training's: a cell that draws from them meanwhile changes
    what comes after, as it would in any loop.
    """

    # -- wishes: written by people and views
    lr = _Wish(1e-3, help="learning rate asked for")
    batch_size = _Wish(32, help="samples a step asked for")
    clip = _Wish(None, help="gradient clipping asked for: (mode, limit), or None")
    weight_decay = _Wish(None, help="weight decay asked for; None: the optimizer's own")
    threads = _Wish(None, help="threads of torch asked for; None: the session's own choice")
    trainable = _Wish(None, help="pattern -> whether it is to train; None: as the model was")
    epochs = _Wish(10, help="epochs that a run trains")
    evaluate_every = _Wish("epoch", help='"epoch", a number of steps, or None')
    paused = Bool(False, help="whether training is to wait")
    thresholds = _Wish(0.5, help="one threshold for all classes, or one for each")
    selected_layer = Unicode(None, allow_none=True, help="path of the layer that views look at")
    selected_sample = Int(0, help="number of the sample that views look at")

    # -- facts: written by the loop
    status = Unicode("ready", read_only=True, help="ready, running, paused, done, stopped or failed")
    steps = Int(0, read_only=True, help="optimizer steps taken")
    epoch = Int(0, read_only=True, help="the epoch of the last step, from 1; 0 before the first step")
    loss = Float(math.nan, read_only=True, help="training loss of the last step")
    applied = Dict(read_only=True, help="what is really in force: control -> value")
    rejected = Dict(read_only=True, help="wishes that could not be met: control -> why")
    scores = AnyTrait(None, allow_none=True, read_only=True, help="Scores of the last evaluation, or None")
    evaluation = AnyTrait(None, allow_none=True, read_only=True, help="the last Evaluation, or None")
    layer_stats = AnyTrait(
        None, allow_none=True, read_only=True, help="LayerStats of the last sampled step, or None"
    )
    error = Unicode("", read_only=True, help="what made the run fail, one sentence")
    traceback = Unicode("", read_only=True, help="the traceback of the failure")
    notes = Tuple(read_only=True, help="what the session chose by itself, in sentences")
    pulse = Int(
        0, read_only=True, help="counts the times that facts were published; always the last to change"
    )
    line = Unicode("main", read_only=True, help="the line of the run that is under way")
    branches = Tuple(read_only=True, help="the lines that were left: a `core.lines.Branch` for each")
    snapshots = Tuple(read_only=True, help="(step, why) of the states of this line that are kept")
    blocking = Bool(False, read_only=True, help="whether a call of this session keeps its caller waiting")

    def __init__(
        self,
        model: nn.Module,
        train: Any = None,
        valid: Any = None,
        *,
        loss: Any = None,
        task: str | None = None,
        optimizer: Any = "adamw",
        lr: float | None = None,
        batch_size: int | None = None,
        epochs: int = 10,
        clip: Any = None,
        weight_decay: float | None = None,
        classes: Sequence[str] | None = None,
        target: Any = None,
        step: Callable[[nn.Module, Any], Any] | None = None,
        evaluate_every: str | int | None = "epoch",
        seed: int = 0,
        device: str | torch.device = "auto",
        threads: int | None = None,
        trainable: Any = None,
        snapshot_memory: int | None = None,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            raise TypeError(f"Session has no option {name!r}.{wishes.meant(name, _OPTIONS)}")
        super().__init__()
        self._mirroring_here = _Here()
        self._trainer, self._opened, notes = assemble(
            model, train, valid, loss=loss, task=task, classes=classes, optimizer=optimizer, lr=lr,
            batch_size=batch_size, clip=clip, weight_decay=weight_decay, target=target, step=step, seed=seed,
            device=device, threads=threads, trainable=trainable, memory=snapshot_memory,
            wish=lambda name: getattr(self, name),
            tell=self._told, note=self._noted,
        )  # fmt: skip
        # The wishes start as what is in force.
        in_force = self._trainer.steering.in_force()
        for name in Steering.CONTROLS:
            setattr(self, name, in_force[name])
        self.epochs, self.evaluate_every = epochs, evaluate_every
        self._told(applied=in_force, notes=notes)
        self.observe(self._wished, names=[*Steering.CONTROLS])
        self.observe(lambda change: self._trainer.orders.epochs_changed(change["new"]), names=["epochs"])
        self.observe(self._pause_wished, names=["paused"])

    # ------------------------------------------------------------------ what it is

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self._trainer.loop.model

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer in force."""
        return self._trainer.loop.optimizer

    @property
    def _task(self) -> Task:
        return self._opened.task

    @property
    def task(self) -> str:
        """The task: "multilabel", "multiclass", "binary", "regression" or "custom"."""
        return self._task.name

    def scores_of(self, output: torch.Tensor) -> torch.Tensor:
        """Return the probabilities that an output of the model stands for; for regression the output."""
        return self._task.scores(output)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, where given."""
        return self._opened.task.classes

    @property
    def device(self) -> torch.device:
        """Where training computes."""
        return self._trainer.loop.objective.device

    @property
    def has_valid(self) -> bool:
        """Whether there is validation data."""
        return self._opened.valid is not None

    @property
    def samples(self) -> Samples:
        """The validation samples one by one; the training samples where there are no others."""
        name, batches = "validation", self._opened.valid
        if batches is None:
            name, batches = "training", self._opened.train
        return Samples(batches, name, self.device, self._trainer.loop.objective.target)

    def history(self) -> pd.DataFrame:
        """Return a data frame with a row for each step: epoch, loss, lr, batch_size, grad_norm, seconds.

        `grad_norm` is the gradients' L2 norm before clipping; NaN in steps where nobody needed it and it was
        not measured, to save time. Once clipping was on, `clipped_norm` is that after it, and `clipped` 1 where
        the step was clipped. Rows of steps after which the model was evaluated hold `valid_loss` and
        the metrics too; a dict of losses has a column `loss_NAME` for each.
        """
        return self._trainer.loop.history.frame()

    def clipping(self, last: int = 200) -> dict[str, Any]:
        """Return how many of the `last` steps were clipped: steps (with clipping on), clipped, share (0..1)."""
        return clipping(self.record, last)

    @property
    def record(self) -> History:
        """The history as growing columns, for views: see `core.history.History`."""
        return self._trainer.loop.history

    def ledger(self) -> pd.DataFrame:
        """Return a data frame, a row a change: time, step, name, asked, applied, by, rejected, note."""
        return self._trainer.steering.ledger.frame()

    @property
    def changes(self) -> list[Entry]:
        """The ledger's entries, in order."""
        return self._trainer.steering.ledger.entries

    def progress(self) -> dict[str, Any]:
        """Return where the run is: epoch, epochs, steps, total, share (0..1), rate (steps/s), left (s)."""
        goal = self._trainer.orders.goal
        every = self.evaluate_every if self.has_valid else None
        return progress(
            self._trainer.loop, self._trainer.orders.began + self.epochs if goal is None else goal, every
        )

    def __repr__(self) -> str:
        return describing.describe(
            self._opened,
            self._trainer.loop,
            status=self.status,
            error=self.error,
            threads=self._trainer.threads,
            epochs=self.epochs,
            rejected=self.rejected,
        )

    # ------------------------------------------------------------------ wishes

    @traitlets.validate(
        "lr", "batch_size", "clip", "weight_decay", "threads", "trainable", "epochs", "evaluate_every",
        "thresholds",
    )  # fmt: skip
    def _read_wish(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        try:
            if name == "thresholds":
                return wishes.read_thresholds(value, self._opened.task.outputs)
            if name == "trainable":
                return self._trainer.loop.freezing.read(value)
            return getattr(wishes, f"read_{name}")(value)
        except ValueError as error:
            raise WishError(str(error)) from None

    def __setattr__(self, name: str, value: Any) -> None:
        # A misspelt wish must not vanish into an attribute that nobody reads.
        if not name.startswith("_") and not hasattr(HasTraits, name):
            known = getattr(type(self), name, None)
            if known is None:
                raise AttributeError(f"A Session has no {name!r}.{wishes.meant(name, _wishes())}")
            if not isinstance(known, traitlets.TraitType) or known.read_only:
                raise AttributeError(
                    f"{name} can be read, not set: what can be set is {', '.join(_wishes())}."
                )
        super().__setattr__(name, value)

    @contextlib.contextmanager
    def by(self, author: str) -> Iterator[None]:
        """Name who asks, in the ledger, for the wishes set inside the `with` block: "code", "panel"..."""
        token = _author.set(author)
        try:
            yield
        finally:
            _author.reset(token)

    def probe_layers(self, on: bool) -> None:
        """Say whether somebody looks at `layer_stats`, which are measured only then."""
        self._trainer.loop.watch.switch(self.model, on)

    def close(self) -> None:
        """End the run and let workers and observers go. What was measured can still be read."""
        super().close()
        self.unobserve_all()

    # ------------------------------------------------------------------ facts and pauses

    def _told(self, **facts: Any) -> None:
        """Write facts, in order; called on the training thread."""
        if "status" in facts:
            self._ordered()
        for name, value in facts.items():
            if name == "wishes":
                self._mirror(value)
            else:
                self.set_trait(name, value)

    def _by(self) -> str:
        return _author.get()

    def _blocks(self, on: bool) -> None:
        self.set_trait("blocking", on)

    def observe(self, handler: Callable[..., Any], names: Any = traitlets.All, type: Any = "change") -> None:
        """Have `handler(change)` called when a trait of `names` changes, as `HasTraits.observe` does.

        A handler that raises while the training tells of its facts stops neither it nor other handlers.
        """
        if not isinstance(handler, traitlets.EventHandler):  # a method of a subclass, marked as observer
            handler = Guarded(handler, self._observer_raised)
        super().observe(handler, names, type)

    def _observer_raised(self, handler: Any, error: Exception) -> bool:
        if not self._trainer.worker.here:
            return False  # the caller set a wish: it hears of the error
        name = getattr(handler, "__qualname__", type(handler).__name__)
        self._noted(f"An observer ({name}) raised {type(error).__name__}: {error}. The training goes on.")
        return True

    def _noted(self, note: str) -> None:
        # The twentieth different one tells nobody anything new.
        if note not in self.notes and len(self.notes) < 20:
            self.set_trait("notes", (*self.notes, note))

    def _wished(self, change: Any) -> None:
        if not self._mirroring_here.on:
            self._ask(change["name"], _author.get())

    def _pause_wished(self, change: Any) -> None:
        if self._mirroring_here.on:
            return
        if change["new"]:
            self.pause(wait=False)
        elif self._trainer.orders.paused:
            self.start()

    def _ordered(self) -> None:
        """Let the trait `paused` say what is so, whoever changed it last."""
        here, self._mirroring_here.on = self._mirroring_here.on, True
        try:
            while self.paused != self._trainer.orders.paused:
                self.paused = self._trainer.orders.paused
        finally:
            self._mirroring_here.on = here


#: What a Session can be given, and what can be set on it.
_OPTIONS = [n for n, p in inspect.signature(Session).parameters.items() if p.kind is not p.VAR_KEYWORD]


def _wishes() -> list[str]:
    return [name for name, trait in Session.class_traits().items() if not trait.read_only]
