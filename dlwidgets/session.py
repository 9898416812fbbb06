"""Session: the one observable object that a model, its data, its training and every view share."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import traitlets
from torch import nn
from traitlets import Any as AnyTrait
from traitlets import Bool, Dict, Float, HasTraits, Int, Tuple, Unicode

from .core.controls import wishes
from .core.controls.optimizers import read_optimizer
from .core.controls.regimen_controls import RegimenControls
from .core.controls.steering import Steering
from .core.data.samples import Samples
from .core.data.task import Task
from .core.export.repeating import Repeatable
from .core.training import description as describing
from .core.training.assembly import assemble
from .core.training.observer import Guarded
from .core.training.recorded import Recorded
from .core.training.running import Runnable
from .core.training.snapshots.autosave import Resumable
from .core.training.snapshots.rewinding import Rewindable

_author: contextvars.ContextVar[str] = contextvars.ContextVar("dlwidgets_author", default="code")


class _Here(threading.local):
    """A flag of each thread."""

    on = False


class _Wish(AnyTrait):
    """A trait that one of `core.controls.wishes` reads, None included."""

    allow_none = False


class _OptimizerWish(_Wish):
    """The wish for an optimizer; read, it is the optimizer in force."""

    def get(self, obj: Any, cls: Any = None) -> Any:
        return obj._trainer.loop.optimizer


class WishError(traitlets.TraitError, ValueError):
    """A wish that no session could meet, said in one sentence."""


class Session(Runnable, Rewindable, Resumable, Repeatable, Recorded, HasTraits):
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
    optimizer : a name of torch.optim, a class, either with options as ("sgd", {"momentum": 0.9}), a factory
        `parameters -> optimizer`, or an optimizer. Set while it trains, the new one begins with empty state,
        at the rate in force unless it names another.
    lr : the learning rate that the schedule begins from; None: 1e-3, or that of an optimizer that was made
        already. Set while it trains, it is the rate from the next step on; under a schedule it is the rate
        that scales, as if it had begun from it: halved, it halves all rates to come.
    schedule : None for a rate that stays; "step", "exponential", "cosine", "cosine restarts", "one-cycle",
        "linear", "polynomial" or "plateau", which fit the run's length (see
        `core.controls.schedule.plan.NAMES`), with options as ("cosine", {"warmup": 100, "unit": "epoch",
        "eta_min": 1e-5}): those of torch's class, `warmup` (steps, or a share of the run below 1), `unit`
        ("step" or "epoch"), `over` (how many of them, in place of the run's), for plateau `metric`
        ("valid_loss", "loss", "accuracy"...); the name of any class of torch.optim.lr_scheduler
        with options, or a factory `optimizer -> scheduler`, both of which count epochs as in torch's own
        examples unless `unit` says otherwise. Set while it trains, it begins anew from the rate in force and
        spans the rest of the run. One that fits the run's length still ends with it where another batch size,
        `accumulate` or `epochs` makes its steps more or fewer: the rest of its curve is drawn out, or in.
    batch_size : samples a step; None: 32, or what a DataLoader brings.
    epochs : how many epochs `start()` and `fit()` train.
    clip : gradient clipping: None, a norm as 1.0, ("norm" | "value" | "adaptive", limit), or "adaptive"
        (AGC).
    weight_decay : None: what the optimizer has by default.
    classes : the names of the classes, in the order of the model's outputs.
    target : the column of a DataFrame, or the entry of a dict batch, that is to be predicted.
    step : `(model, batch) -> loss or dict of losses` for models that none of the tasks fits; it computes the
        loss only, the session does the rest. A dict of losses is summed.
    evaluate_every : "epoch", a number of steps, a time as "30 s" or "2 min" (of taking steps: pauses and
        evaluations do not count), or None for never.
    evaluate_samples : how many validation samples to evaluate: always the same, drawn at random with `seed`
        (the first where they have no numbers, as those of an iterable); None for all.
    seed : seeds the order of the samples and the random numbers of training. Same seed and same wishes at the
        same steps give the same weights, bit for bit, on the CPU.
    device : "auto" (CUDA where there is one, else where the model is), or a torch device.
    threads : threads torch uses in training; None: as many as there are CPUs really to be had. Where other
        work holds some of them, as a browser on a laptop with two, one fewer is often twice as fast; the last
        bits of the weights depend on it.
    trainable : what trains: `{"features": False}`, read in order, the last pattern that means a parameter
        counting; or a list of all that is to train, as `["classifier"]`; None: as the model is. A pattern is
        the path of a layer, the name of a parameter, or one with wildcards as "*.bias": see `freeze`.
    accumulate : batches a step; their gradients are those of the mean over all their samples.
    normalise : "unit", "unit_dim1", "max_norm", ("max_norm", 3.0) or "weight_norm" for all weights of two or
        more axes, or {pattern: rule}: see `core.controls.weight_normalisation.Normalising`.
    dropout : a rate for all dropout layers, or {pattern: rate}; None: as the model was made.
    label_smoothing : that of the training loss, where it has one; evaluations keep the loss as given.
    ema : decay, as 0.999, of an average of the weights that `evaluate` and `predict` then use.
    precision : "full", "bf16" (CPU, CUDA) or "fp16" (CUDA) for the forward pass of training.
    early_stopping : patience, (metric, patience), (metric, patience, min_delta), or a dict of these with
        `restore=True`, which puts the best weights back.
    snapshot_memory : bytes that snapshots may take, to go back to; None: a tenth of the memory that is really
        there but no more than 512 MB, or room for two where they take less than a quarter; 0: none are taken.
    checkpoint_dir, checkpoint_every : a folder for the state of the run, written every so many seconds while
        it trains on, and where it pauses or ends: `Session.from_checkpoint` goes on from there, in
        any kernel.

    Raises
    ------
    TypeError, ValueError
        One sentence on what does not fit, before anything is trained.

    Notes
    -----
    *Wishes* are traits that a person or a view writes: `lr, schedule, optimizer, momentum, betas, batch_size,
    clip, weight_decay, threads, trainable, epochs, evaluate_every, evaluate_samples, paused, thresholds,
    accumulate, normalise, dropout, label_smoothing, ema, precision, early_stopping, selected_layer,
    selected_sample`. The loop reads them between two steps.

    *Facts* are read-only traits that the loop writes: `status, steps, epoch, loss, applied, rejected, scores,
    past_scores, evaluation, layer_stats, error, traceback, notes, line, branches, snapshots, pulse`. Every
    fact may be observed; observers are called on the training thread and should be quick. One that raises is
    named in `notes`, and the training goes on.

    The weights are those of the plain loop: `torch.manual_seed(seed)`, a generator `g` seeded with `seed`,
    and for each epoch the batches of `torch.randperm(n, generator=g)` in order. While it trains in the
    background, the global random generators are the training's: a cell that draws from them meanwhile changes
    what comes after, as it would in any loop.
    """

    # -- wishes: written by people and views
    lr = _Wish(1e-3, help="learning rate asked for")
    optimizer = _OptimizerWish(("AdamW", {}), help="optimizer asked for; read, the one in force")
    schedule = _Wish(None, help="schedule asked for: (what, options), or None")
    momentum = _Wish(None, help="momentum asked for; None: the optimizer's own")
    betas = _Wish(None, help="betas asked for; None: the optimizer's own")
    batch_size = _Wish(32, help="samples a step asked for")
    clip = _Wish(None, help="gradient clipping asked for: (mode, limit), or None")
    weight_decay = _Wish(None, help="weight decay asked for; None: the optimizer's own")
    accumulate = _Wish(1, help="batches a step asked for, whose gradients are accumulated")
    normalise = _Wish(None, help="weight normalisation asked for: pattern -> rule, or None")
    dropout = _Wish(None, help="dropout rates asked for: pattern -> rate; None: as the model was")
    label_smoothing = _Wish(None, help="label smoothing asked for; None: the loss's own")
    ema = _Wish(None, help="decay of the averaged weights asked for, or None")
    precision = _Wish("full", help='"full", "bf16" or "fp16"')
    early_stopping = _Wish(None, help="(metric, patience, min_delta, restore), or None")
    threads = _Wish(None, help="threads of torch asked for; None: the session's own choice")
    trainable = _Wish(None, help="pattern -> whether it is to train; None: as the model was")
    epochs = _Wish(10, help="epochs that a run trains")
    evaluate_every = _Wish("epoch", help='"epoch", a number of steps, a time as "30 s", or None')
    evaluate_samples = _Wish(None, help="validation samples to evaluate; None: all")
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
    past_scores = Tuple(read_only=True, help="PastScores of the evaluations of all lines, thinned with age")
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
    branches = Tuple(read_only=True, help="the lines that were left: a `core.training.snapshots.lines.Branch` each")
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
        schedule: Any = None,
        batch_size: int | None = None,
        epochs: int = 10,
        clip: Any = None,
        weight_decay: float | None = None,
        classes: Sequence[str] | None = None,
        target: Any = None,
        step: Callable[[nn.Module, Any], Any] | None = None,
        evaluate_every: str | int | None = "epoch",
        evaluate_samples: int | None = None,
        seed: int = 0,
        device: str | torch.device = "auto",
        threads: int | None = None,
        trainable: Any = None,
        accumulate: int = 1,
        normalise: Any = None,
        dropout: Any = None,
        label_smoothing: float | None = None,
        ema: float | None = None,
        precision: str = "full",
        early_stopping: Any = None,
        snapshot_memory: int | None = None,
        checkpoint_dir: str | Path | None = None,
        checkpoint_every: float = 60.0,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            raise TypeError(f"Session has no option {name!r}.{wishes.meant(name, _OPTIONS)}")
        super().__init__()
        self._mirroring_here = _Here()
        self.epochs, self.evaluate_every, self.evaluate_samples = epochs, evaluate_every, evaluate_samples
        self._trainer, self._opened, notes = assemble(
            model, train, valid, loss=loss, task=task, classes=classes, optimizer=optimizer, lr=lr,
            batch_size=batch_size, clip=clip, weight_decay=weight_decay, target=target, step=step, seed=seed,
            device=device, threads=threads, trainable=trainable, schedule=schedule, memory=snapshot_memory,
            regimen={
                "accumulate": accumulate, "normalise": normalise, "dropout": dropout, "ema": ema,
                "label_smoothing": label_smoothing, "precision": precision, "early_stopping": early_stopping,
            },
            wish=self._asked_for, tell=self._told, note=self._noted,
        )  # fmt: skip
        self._autosave(checkpoint_dir, checkpoint_every)
        # The wishes start as what is in force.
        in_force = self._trainer.steering.applied()
        self._mirror(self._trainer.steering.wishes())
        self._told(applied=in_force, notes=notes)
        self.observe(self._wished, names=[*Steering.CONTROLS])
        self.observe(lambda change: self._trainer.epochs_changed(change["new"]), names=["epochs"])
        self.observe(self._pause_wished, names=["paused"])

    # ------------------------------------------------------------------ what it is

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self._trainer.loop.model

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
        "evaluate_samples", "thresholds", "optimizer", "schedule", "momentum", "betas",
        *RegimenControls.CONTROLS,
    )  # fmt: skip
    def _read_wish(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        try:
            if name == "thresholds":
                return wishes.read_thresholds(value, self._opened.task.outputs)
            if name == "trainable":
                return self._trainer.loop.freezing.read(value)
            if name == "schedule":
                return self._trainer.loop.rate.read(value)
            if name in RegimenControls.CONTROLS:
                return self._trainer.steering.read_wish(name, value)
            if name == "optimizer":
                return read_optimizer(value, self.model)
            return getattr(wishes, f"read_{name}")(value)
        except (ValueError, TypeError) as error:
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
        if name not in ("lr", "schedule"):
            return super().__setattr__(name, value)
        # Under a schedule, the same wish once more asks for something: the rate has moved since.
        before = getattr(self, name)
        super().__setattr__(name, value)
        if getattr(self, name) == before and not self._mirroring_here.on:
            self._ask(name, _author.get())

    @contextlib.contextmanager
    def by(self, author: str) -> Iterator[None]:
        """Name who asks, in the ledger, for the wishes set inside the `with` block: "code", "panel"..."""
        token = _author.set(author)
        try:
            yield
        finally:
            _author.reset(token)

    def _asked_for(self, name: str) -> Any:
        return self._trait_values["optimizer"] if name == "optimizer" else getattr(self, name)

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
