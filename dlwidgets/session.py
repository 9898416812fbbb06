"""Session: the one object that model, data, training and views share."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import inspect
import itertools
import math
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import nn
from traitlets import Any as AnyTrait
from traitlets import Bool, Dict, HasTraits, Int, Tuple, Unicode

from .core.base.comm_pump import find_pump
from .core.base.fact_table import FactTable
from .core.base.frontend import find_frontend
from .core.base.history import History
from .core.base.ledger import Entry
from .core.base.numbers import read_count, read_integer, read_number
from .core.base.slices import unpaused
from .core.base.threads import make_thread
from .core.base.trees import slice_rows
from .core.base.words import pluralize, quote_error
from .core.controls.clipping import clipping
from .core.controls.early_stopping import restored_from
from .core.controls.near_names import name_hint
from .core.controls.steering import CONTROLS, read_alone
from .core.data.samples import Samples
from .core.data.task import Task
from .core.doctor.examination import Check, Examination
from .core.doctor.finding import Finding, choose_finding, find_finding
from .core.doctor.rate_finder import RateSearch, check_range, search_rates
from .core.doctor.remedies import Case, Offer, find_remedy, offer_remedies, take_remedy
from .core.doctor.report import write_report
from .core.doctor.trials import RemedyTrials, choose_offers, plan_trials
from .core.layers.framework import adopt, framework_of, handed_over
from .core.layers.walk import numel_of
from .core.scoring.evaluation import Evaluation
from .core.training.assembly import assemble, describe
from .core.training.microscope import Microscope
from .core.training.prediction import compute_outputs, read_prediction_inputs, shape_hint
from .core.training.proof import proofs_frame
from .core.training.replay import ledger_frame, read_ledger
from .core.training.snapshots.checkpoints import autosave, describe_others, load, resume
from .core.training.snapshots.state_file import save_weights
from .core.training.snapshots.timeline import Branch, Comparison, Timeline, compare_lines
from .core.training.starts import StartTrials, estimate_starts, plan_starts, read_length
from .core.training.trials import check_trials, try_each

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Self

    from .core.controls.schedule.rate import RateForecast
    from .core.layers.load_weights import WeightsReport
    from .core.layers.split import Split
    from .core.layers.summary import Summary
    from .core.scoring.past_scores import PastScores

#: Every session of this kernel by number, in the order in which they were made.
_made: weakref.WeakValueDictionary[int, Session] = weakref.WeakValueDictionary()
_numbers = itertools.count(1)
#: Told of each session once it is made, and once it is closed.
on_made: list[Callable[[Session], None]] = []
on_closed: list[Callable[[Session], None]] = []
_author: contextvars.ContextVar[str] = contextvars.ContextVar("dlwidgets_author", default="code")


class _Here(threading.local):
    on = False  # for each thread


class _Wish(AnyTrait):
    """A trait that the control of its name reads, None included."""

    allow_none = False

    def validate(self, obj: Any, value: Any) -> Any:
        # What the run tells was read when it was asked for: the model may have been another then.
        told = vars(obj).get("_run") is None or obj._mirroring_here.on
        return value if told else obj._read(self.name, value)


class _OptimizerWish(_Wish):
    """The wish for an optimizer; read, it is the optimizer in force."""

    def get(self, obj: Any, cls: Any = None) -> Any:
        return obj._run.loop.optimizer


class _Now(AnyTrait):
    """A fact that reads as it is at that moment."""

    def get(self, obj: Any, cls: Any = None) -> Any:
        run = vars(obj).get("_run")
        return super().get(obj, cls) if run is None else run.now(self.name)


class WishError(traitlets.TraitError, ValueError):
    """A wish that no session could meet, said in one sentence."""


class _Guarded:
    """Calls `handler`; where `caught(handler, error)` says True, all goes on.

    Equal to its handler, so that a list of observers finds it by the handler.
    """

    def __init__(self, handler: Callable[..., Any], caught: Callable[[Any, Exception], bool]) -> None:
        self.handler, self._caught = handler, caught

    def __call__(self, change: Any) -> Any:
        try:
            return self.handler(change)
        except Exception as error:
            if not self._caught(self.handler, error):
                raise

    def __eq__(self, other: object) -> bool:
        return self.handler == (other.handler if isinstance(other, _Guarded) else other)

    def __hash__(self) -> int:
        return hash(self.handler)


class Session(HasTraits):
    """A model, its data and its training, to watch and steer.

    Parameters
    ----------
    model : the module to train; of a Keras model that was compiled, what is not given here is taken from `compile()`,
        and `notes` say so; one that is not built yet is built by the data. It stays yours: when nothing runs, its
        train/eval flags, its device and the global random generators are as you left them.
    train : `(X, y)` of tensors or arrays (axis 0 counts samples), a pandas DataFrame with `target=`, a
        map-style Dataset, an iterable of batches, or a DataLoader (its collate and workers are respected).
    valid : the same for validation; a number between 0 and 1 holds out that share of `train`; None for none.
    loss : `(output, targets) -> scalar tensor`, a class or a name of torch.nn losses, as "cross_entropy",
        "bce_with_logits", "nll_loss" or "mse"; where the model puts out probabilities already, "nll_of_probabilities"
        (after a softmax) or "bce_of_probabilities" (after a sigmoid: `nn.BCELoss`); None: inferred. Another one is set
        while it trains as `session.loss_function`: it trains and is evaluated from the next step on, and None is
        the first again. (`session.loss` is the loss of the last step.)
    task : "multilabel", "multiclass", "binary", "regression" or "detection"; None: inferred from the targets. A
        detection has batches (images, targets), in torchvision's convention: targets a list with a dict for each image,
        "boxes" (n x 4: x1 y1 x2 y2 in pixels) and "labels" (n numbers of classes); in train mode
        `model(images, targets)` returns a dict of losses, in eval mode `model(images)` a dict of "boxes", "labels" and
        "scores" for each. Its losses are evaluated with all that holds layers in train mode, and the layers themselves
        in eval mode: BatchNorm learns nothing, nothing is dropped out.
    optimizer : a name of torch.optim, a class, either with options as ("sgd", {"momentum": 0.9}), a factory
        `parameters -> optimizer`, or an optimizer; None: AdamW. Set while it trains, the new one begins with empty
        state, at the rate in force unless it names another.
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
    epochs : how many epochs `start()` and `fit()` train; None: 10, unless they are told how many.
    clip : gradient clipping: None, a norm as 1.0, ("norm" | "value" | "adaptive" | "each", limit), or "adaptive"
        (AGC); "each" is the norm of each tensor's own gradient.
    weight_decay : None: what the optimizer has by default.
    classes : the names of the classes, in the order of the model's outputs, or name -> number (or back).
    target : the column of a DataFrame, or the entry of a dict batch, that is to be predicted.
    groups : what samples belong to, as their patients: the column that says it, which then is no input, or the
        group of each sample of `train` where `valid` is a share, else of `valid`. Such a share holds out whole
        groups, and the session's scores have them: see `Scores`.
    training_step : `(model, batch) -> loss`, for models that none of the tasks fits; the session does the rest. It may
        return one number; a dict or tuple of numbers, which are summed, each a curve of its own; or what has a "loss"
        (`.loss`, `{"loss": ...}`, `(loss, {...})`): that is the loss, and other numbers are shown only. So may the
        forward of a model that takes the targets beside the inputs, as those of Hugging Face do (`labels`), for which
        no step is needed.
    evaluate_every : "epoch", a number of steps, a time as "30 s" or "2 min" (of taking steps: pauses and
        evaluations do not count), or None for never.
    evaluate_samples : how many validation samples to evaluate: always the same, drawn at random with `seed`
        (the first where they have no numbers, as those of an iterable); None for all.
    seed : of the order of the samples and the random numbers of training: same seed, same wishes at the same
        steps, same weights, bit for bit, on the CPU.
    device : "auto" (CUDA where there is one, else where the model is), or a torch device.
    threads : threads torch uses in training; None: as many as there are CPUs really to be had. Where other
        work holds some of them, as a browser on a laptop with two, one fewer is often twice as fast; the last
        bits of the weights depend on it.
    trainable : what trains: `{"features": False}`, read in order, the last pattern that means a parameter
        counting; or a list of all that is to train, as `["classifier"]` or `model.head.parameters()`; None: as the
        model is. A pattern is the path of a layer, the name of a parameter, or what else `freeze` takes.
    lr_scale : factors on the learning rate, as `{"backbone": 0.1}`: read as `trainable` is, a number of 0 or more for
        each pattern; 1 for what none means. Or ("layer_decay", 0.8): the rate of each block is that times the rate
        of the block behind it, and the head has all of it (ELECTRA, BEiT, timm). The groups of the optimizer are
        split by it, with all that it keeps of each parameter; the rates of a schedule and of own groups are
        multiplied, and `applied["lr_groups"]` has what is in force.
    unfreeze_at : a timetable, as `{"backbone.layer4": 200, "backbone": "3 epochs"}`: what it names, as in `trainable`,
        is frozen from when this is asked for, and trains once so many steps were taken, or epochs completed, since the
        session began ("epoch 3" is the beginning of the third); what is over by then trains at once. A time alone is
        the backbone's. Or ("gradual", "1 epoch"): the head trains, and each epoch from now on one more block before it
        (ULMFiT). The ledger has each such change of `trainable`, by "timetable"; `applied["timetable"]` says what is
        to come.
    reinitialise : layers whose parameters are drawn anew, as `reset_parameters()` does, statistics of BatchNorm
        reset, and what the optimizer and `ema` kept of them begun anew: a path as "classifier", with all below it,
        or several as a list; with ("classifier", "kaiming"), "xavier" or "orthogonal" the weights of two or more
        axes are drawn by that function of torch.nn.init, and biases are 0. Given here, before the first step; set
        while it trains, between two steps, each time it is set. Read, it says which were drawn last, how, and how
        many times layers were drawn so far.
    input_scaling : how the inputs are scaled before the model, wherever the session calls it (training, evaluation,
        `predict`, activations, layers): "standardize", each channel of images or each column to mean 0 and standard
        deviation 1, as measured on at most 2,048 training samples; "0..1", divided by 255; (mean, std) as numbers,
        or one for each channel; None: as they are. uint8 becomes float32. `save()` writes weights for inputs that
        are scaled so: `applied` has the numbers.
    accumulate : batches a step; their gradients are those of the mean over all their samples.
    normalise : "unit", "unit_dim1", "max_norm", ("max_norm", 3.0) or "weight_norm" for all weights of two or
        more axes, or {pattern: rule}: see `core.controls.normalise.WeightNormalisation`.
    dropout : a rate for all dropout layers, or {pattern: rate}; None: as the model was made.
    label_smoothing : that of the training loss, where it has one; evaluations keep the loss as given.
    loss_weights : `{"box": 0.05}`, what named losses count in the sum that training minimises, where the step or the
        model returns several; of others 1. The history and the evaluations show each without its weight.
    ema : decay, as 0.999, of an average of the weights that `evaluate` and `predict` then use.
    precision : "full", "bf16" (CPU, CUDA) or "fp16" (CUDA) for the forward pass of training.
    early_stopping : patience, (metric, patience), (metric, patience, min_delta), or a dict of these with
        `restore=True`, which puts the best weights back when the run ends: done, stopped early, by `stop()` or
        `close()`; `undo()` then brings back the last ones. What pauses, is interrupted or fails can go on,
        and keeps the newest.
    on_divergence : what is done on a loss that explodes, or a number that is not finite after the loss had risen:
        "pause": the run goes back to the last good snapshot and pauses there, what came after it kept as a branch;
        `fit()` raises the error, which says where the run stands. "rewind": it goes on from there by itself with a
        tenth of the rate, three times in a run at most. "go on": a step that is not finite is left out, ten in a row
        at most. Where the loss was on its course up to the step that failed, the batch itself is not finite, or
        nothing is kept from before, the run fails where it is, its last state kept.
    snapshot_memory : bytes that snapshots may take, to go back to; None: a tenth of the memory that is really
        there but no more than 512 MB, or room for two where they take less than a quarter; 0: none are taken.
    checkpoint_dir, checkpoint_every : a folder for the state of the run, written every so many seconds while
        it trains on, and where it pauses or ends: `Session.from_checkpoint` goes on from there.

    Raises
    ------
    TypeError, ValueError
        One sentence on what does not fit, before anything is trained.

    Notes
    -----
    *Wishes* are traits that a person or a view writes: `lr, schedule, optimizer, momentum, betas, batch_size,
    clip, weight_decay, threads, trainable, lr_scale, unfreeze_at, epochs, evaluate_every, evaluate_samples, paused,
    thresholds, iou_threshold, accumulate, input_scaling, reinitialise, head, normalise, dropout, loss_function,
    loss_weights, label_smoothing, ema, precision, early_stopping, on_divergence, selected_layer, selected_sample,
    selected_step`. The loop reads them between two steps.

    *Facts* are read-only traits that the loop writes: `status, steps, epoch, loss, applied, rejected, scores,
    past_scores, evaluation, layer_stats, proof, findings, error, traceback, notes, line, branches, snapshots, trials,
    host, rate_search, remedy_trials, start_trials, pulse`.
    Every fact may be observed; observers are called on the training thread, at most ten times a second while
    it trains, and should be quick. One that raises is named in `notes`, and the training goes on. Where the
    run is (`steps, epoch, loss, line, snapshots`) reads as it is at that moment.

    While settings, remedies or rates are tried (`try_each`, `try_remedies`, `find_lr`) the status is "trying" and
    `trials` says how far each is; all else stays as where the run was left. A trial's line is one of `branches`
    once it has ended.

    The weights are those of the plain loop: `torch.manual_seed(seed)`, a generator `g` seeded with `seed`,
    and for each epoch the batches of `torch.randperm(n, generator=g)` in order. While it trains in the
    background, the global random generators are the training's: a cell that draws from them meanwhile changes
    what comes after, as it would in any loop; `notes` says so where torch's on the CPU show it. Sessions that train
    at once take turns, a step each, and each has its own random numbers: its weights are those that it has alone.

    It trains on a thread of its own. Where a page shows nothing of threads, as in Google Colab, `fit()` and
    `run_here()` train on the caller's; where none can be started all do, or, after `start()`, the event loop between
    two cells. The weights are the same.
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
    unfreeze_at = _Wish(None, help="timetable asked for: pattern -> when it begins to train, or None")
    lr_scale = _Wish(None, help="factors on the rate asked for: pattern -> factor; None: the same rate for all")
    dropout = _Wish(None, help="dropout rates asked for: pattern -> rate; None: as the model was")
    loss_function = _Wish(None, help="loss asked for, as `loss=` takes it; None: that of the beginning")
    label_smoothing = _Wish(None, help="label smoothing asked for; None: the loss's own")
    loss_weights = _Wish(None, help="weights of named losses asked for, as {'box': 0.05}; None: 1 each")
    ema = _Wish(None, help="decay of the averaged weights asked for, or None")
    precision = _Wish("full", help='"full", "bf16" or "fp16"')
    early_stopping = _Wish(None, help="(metric, patience, min_delta, restore), or None")
    on_divergence = _Wish("pause", help='"pause", "rewind" or "go on": on a loss that explodes or is not finite')
    threads = _Wish(None, help="threads of torch asked for; None: the session's own choice")
    input_scaling = _Wish(None, help='"standardize", "0..1", (mean, std), or None')
    reinitialise = _Wish(None, help="layers to draw anew; read, (layers, init, times) of those drawn last, or None")
    head = _Wish(None, help="classes of a new head; read, (classes, names, layers, seed, times) of the last, or None")
    trainable = _Wish(None, help="pattern -> whether it is to train; None: as the model was")
    epochs = _Wish(10, help="epochs that a run trains")
    evaluate_every = _Wish("epoch", help='"epoch", a number of steps, a time as "30 s", or None')
    evaluate_samples = _Wish(None, help="validation samples to evaluate; None: all")
    paused = Bool(False, help="whether training is to wait")
    thresholds = _Wish(0.5, help="one threshold, or one for each class; None: multiclass by the likeliest")
    iou_threshold = _Wish(0.5, help="of a detection, the overlap (IoU) from which on a box counts as found")
    selected_layer = Unicode(None, allow_none=True, help="path of the layer that views look at")
    selected_sample = Int(0, help="number of the sample that views look at")
    selected_step = Int(None, allow_none=True, help="the step that views mark; None for none")

    # -- facts: written by the loop
    status = Unicode("ready", read_only=True, help="ready, running, paused, trying, done, stopped or failed")
    steps = _Now(0, read_only=True, help="optimizer steps taken")
    epoch = _Now(0, read_only=True, help="the epoch of the last step, from 1; 0 before the first step")
    loss = _Now(math.nan, read_only=True, help="training loss of the last step")
    applied = Dict(read_only=True, help="what is really in force: control -> value")
    rejected = Dict(read_only=True, help="wishes that could not be met: control -> why")
    scores = AnyTrait(None, allow_none=True, read_only=True, help="Scores of the last evaluation, or None")
    past_scores = Tuple(read_only=True, help="PastScores of the evaluations of all lines, thinned with age")
    evaluation = AnyTrait(None, allow_none=True, read_only=True, help="the last Evaluation, or None")
    layer_stats = AnyTrait(None, allow_none=True, read_only=True, help="LayerStats sampled last, or None")
    error = Unicode("", read_only=True, help="what made the run fail, one sentence")
    traceback = Unicode("", read_only=True, help="the traceback of the failure")
    notes = Tuple(read_only=True, help="what the session chose by itself, in sentences")
    pulse = Int(0, read_only=True, help="counts how often facts were told; always the last to change")
    line = _Now("main", read_only=True, help="the line of the run that is under way")
    branches = Tuple(read_only=True, help="lines that were left: `core.training.snapshots.timeline.Branch`")
    proof = _Now(None, allow_none=True, read_only=True, help="the newest Proof of what is frozen, or None")
    findings = Tuple(read_only=True, help="what the doctor found: `core.doctor.finding.Finding`, worst first")
    rate_search = AnyTrait(None, allow_none=True, read_only=True, help="the last RateSearch of `find_lr`, or None")
    remedy_trials = AnyTrait(None, allow_none=True, read_only=True, help="the last RemedyTrials, or None")
    start_trials = AnyTrait(None, allow_none=True, read_only=True, help="the last StartTrials, or None")
    trials = Tuple(read_only=True, help="`core.training.trials.Trial` of each of the settings being tried")
    snapshots = _Now((), read_only=True, help="(step, why) of the states of this line that are kept")
    host = Unicode("", read_only=True, help="what takes the steps in its stead, as Keras's fit; empty for none")
    blocking = Bool(False, read_only=True, help="whether a call of this session keeps its caller waiting")

    def __init__(
        self,
        model: nn.Module,
        train: Any = None,
        valid: Any = None,
        *,
        loss: Any = None,
        task: str | None = None,
        optimizer: Any = None,
        lr: float | None = None,
        schedule: Any = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        clip: Any = None,
        weight_decay: float | None = None,
        classes: Sequence[str] | Mapping[Any, Any] | None = None,
        target: Any = None,
        groups: Any = None,
        training_step: Callable[[nn.Module, Any], Any] | None = None,
        evaluate_every: str | int | None = "epoch",
        evaluate_samples: int | None = None,
        seed: int = 0,
        device: str | torch.device = "auto",
        threads: int | None = None,
        trainable: Any = None,
        lr_scale: Any = None,
        unfreeze_at: Any = None,
        reinitialise: Any = None,
        input_scaling: Any = None,
        accumulate: int = 1,
        normalise: Any = None,
        dropout: Any = None,
        label_smoothing: float | None = None,
        loss_weights: Mapping[str, float] | None = None,
        ema: float | None = None,
        precision: str = "full",
        early_stopping: Any = None,
        on_divergence: str = "pause",
        snapshot_memory: int | None = None,
        checkpoint_dir: str | Path | None = None,
        checkpoint_every: float = 60.0,
        **unknown: Any,
    ) -> None:
        model = adopt(model)
        _refuse_shared(model)
        # A control that is not written out above is an option and a trait all the same.
        unlisted = [one for one in CONTROLS if not self.has_trait(one.name)]
        more = {one.name: unknown.pop(one.name) for one in unlisted if one.name in unknown}
        for name in unknown:
            raise TypeError(f"Session has no option {name!r}.{name_hint(name, _OPTIONS)}")
        super().__init__()
        if unlisted:
            self.add_traits(**{one.name: _Wish(one.default, help=one.__doc__) for one in unlisted})
        self._mirroring_here, self._choosing = _Here(), threading.RLock()
        self._summary: Summary | None = None
        self._summary_size = 0
        #: Key of a finding -> the place that its remedies are of, and these.
        self._offered: dict[Any, tuple[Any, tuple[Offer, ...]]] = {}
        self.epochs = self._read("epochs", 10 if epochs is None else epochs)
        self.evaluate_every = self._read("evaluate_every", evaluate_every)
        self.evaluate_samples = self._read("evaluate_samples", evaluate_samples)
        self.on_divergence = self._read("on_divergence", on_divergence)
        controls = {
            "optimizer": optimizer, "lr": lr, "schedule": schedule, "batch_size": batch_size, "clip": clip,
            "weight_decay": weight_decay, "threads": threads, "trainable": trainable, "ema": ema,
            "accumulate": accumulate, "normalise": normalise, "dropout": dropout, "precision": precision,
            "label_smoothing": label_smoothing, "loss_weights": loss_weights, "early_stopping": early_stopping,
            "input_scaling": input_scaling, "lr_scale": lr_scale, "unfreeze_at": unfreeze_at, **more,
        }  # fmt: skip
        self._run, notes = assemble(
            model, train, valid, loss=loss, task=task, classes=classes, target=target, groups=groups,
            training_step=training_step, seed=seed, device=device, memory=snapshot_memory,
            controls=controls, wish=self._asked_for, tell=self._told, note=self._noted,
        )  # fmt: skip
        self._run.attendant = Examination(self._run)
        self._run.orders.planned = None if epochs is None else self.epochs
        self.thresholds = None  # read as the rule of the task
        # The wishes start as what is in force.
        self._told(wishes=self._run.steering.wishes(), applied=self._run.steering.applied(), notes=notes)
        self.observe(self._wished, names=[*self._run.steering.names])
        self.observe(lambda change: self._run.epochs_changed(change["new"]), names=["epochs"])
        self.observe(self._pause_wished, names=["paused"])
        self.observe(self._iou_wished, names=["iou_threshold"])
        if reinitialise is not None:
            self.reinitialise = reinitialise
            if why := self.rejected.get("reinitialise"):
                raise ValueError(f"reinitialise={reinitialise!r}: {why}.")
        self._run.autosave = autosave(self._run, checkpoint_dir, checkpoint_every)
        if self._run.autosave is not None and (others := describe_others(Path(checkpoint_dir).expanduser())):
            self._noted(others)
        self._note_others()
        _made[next(_numbers)] = self
        for told in on_made:
            told(self)

    # ------------------------------------------------------------------ what it is

    @property
    def model(self) -> nn.Module:
        """The model."""
        return handed_over(self._run.loop.model)

    @property
    def module(self) -> nn.Module:
        """The model as the module that the views read: see `core.layers.framework.adopt`."""
        return self._run.loop.model

    @property
    def _task(self) -> Task:
        return self._run.loop.objective.task

    @property
    def task(self) -> str:
        """The task: "multilabel", "multiclass", "binary", "regression" or "custom"."""
        return self._task.name

    def scores_of(self, output: torch.Tensor) -> torch.Tensor:
        """Return an output's probabilities; for regression the output."""
        return self._task.scores(output)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, where given."""
        return self._task.classes

    @property
    def device(self) -> torch.device:
        """Where training computes."""
        return self._run.loop.objective.device

    @property
    def columns(self) -> tuple[Any, ...] | None:
        """The columns of the DataFrame that the inputs were, or None."""
        return self._run.data.columns

    @property
    def split(self) -> Split:
        """The proposed backbone and head, and why: see `Split`.

        Both are patterns for `freeze`: `session.freeze(*session.split.backbone)`.
        """
        from .core.layers.split import propose_split

        def followed() -> Summary | None:
            with contextlib.suppress(Exception):  # a model that cannot be followed has its layers as registered
                return self.layers()
            return None

        return propose_split(self.module, followed)

    @property
    def has_valid(self) -> bool:
        """Whether there is validation data."""
        return self._run.data.valid is not None

    @property
    def samples(self) -> Samples:
        """The validation samples, or without them the training samples."""
        data, target = self._run.data, self._run.loop.objective.target
        name, batches = ("validation", data.valid) if self.has_valid else ("training", data.train)
        return Samples(batches, name, self.device, target)

    def _note_others(self) -> None:
        """Note which other sessions train, or wait with these weights."""
        for other in _living():
            if other is self:
                continue
            if other._trains:
                what = f"{_titled(other)} trains in this kernel too: the two take turns, a step each."
            elif other.paused and _share_weights(self.module, other.module):
                what = f"{_titled(other)} is paused and has the same weights: it would go on from those made here."
            else:
                continue
            # Not looked for anew in each of many calls: where it stands among all takes long to find.
            if not any(note.startswith(what) for note in self.notes):
                self._noted(f"{what} {_called(other)}.stop() ends it.")

    @property
    def _trains(self) -> bool:
        return self._run.orders.going or self.status == "trying"

    def __repr__(self) -> str:
        return describe(self._run, self.status, self.error, self.epochs, self.rejected)

    # ------------------------------------------------------------------ orders

    def start(self, epochs: int | None = None) -> Self:
        """Train in the background; return at once. A paused session goes on.

        Parameters
        ----------
        epochs : None: as `session.epochs` says, or those a paused run still has to do. So many: that many,
            and a run that has more left pauses there, to be gone on with; `session.epochs` stays. The rest of an
            epoch that was broken off counts as the first.

        Raises
        ------
        ValueError : the data was a generator, which has been read to its end.
        """
        self._check_free()
        if epochs is None and self._run.orders.complete:
            return self._say_done()
        wanted = self.epochs if epochs is None else read_alone("epochs", epochs)
        self._run.begin(wanted, only=epochs is not None)
        self._run.go()
        if said := self._run.worker.why_unseen():
            self._noted(f"{said} {name_in_code(self)}.run_here() trains in the cell.")
        return self

    def run_here(self, steps: int | None = None, *, epochs: int | None = None, seconds: float | None = None) -> Self:
        """Train on the calling thread, and let the page's clicks in.

        For hosts where a thread cannot be started, or reaches no page, as Google Colab: the cell takes the steps in
        slices, and the views live meanwhile. Everything else is as of a run in the background, to the last bit of the
        weights, and one that is under way is taken over. Pause in a view ends it, and so does an interrupt, after the
        step being taken: the run then waits, as after `pause()`.

        Clicks come in where the kernel permits it: on ipykernel 6, or where the page has a subshell of ipykernel 7.

        Parameters
        ----------
        steps : None: as many as `start` takes; else so many, and then it pauses.
        epochs : as of `start`.
        seconds : pause after so many, if it is not done before.

        Raises
        ------
        Exception : what the model, the loss or the data raised.
        """
        self._check_free()
        count, most = read_count(steps), read_number(seconds)
        if steps is not None and (count is None or epochs is not None):
            raise ValueError(f"run_here({steps!r}): a whole number of steps, 1 or more, is wanted, or epochs=.")
        if seconds is not None and (most is None or not most > 0):
            raise ValueError(f"run_here(seconds={seconds!r}): a number above 0 is wanted.")
        run, frontend = self._run, find_frontend()
        if frontend.pages and frontend.name != "jupyter" and find_pump() is None:
            self._noted("While run_here() trains, no click is heard in this kernel: an interrupt of the cell pauses.")
        with run.worker.drive(), run.awaiting_end(seconds=most):
            if count is None:
                self.start(epochs)
            else:
                run.orders.step(until=self.steps + count)
                run.go()
        return self

    def _check_free(self, alone: bool = False) -> None:
        """Raise where it is closed, cannot train, or another trains its weights."""
        self._run.check_open()
        self._run.check_trains(alone)
        _refuse_shared(self.module, self)
        self._note_others()

    def resume(self) -> Self:
        """Go on after a pause or a mended failure; return at once.

        A run that is done stays so, and a warning says how to train more.
        """
        return self._say_done() if self._run.orders.ending == "done" else self.start()

    def _say_done(self) -> Self:
        said = (
            f"The run is done, after {pluralize(self.steps, 'step')}: nothing is left of it. "
            "fit(3) or start(3) trains three epochs more."
        )
        self._noted(said)
        warnings.warn(said, stacklevel=3)
        return self

    def pause(self, wait: bool = True) -> Self:
        """Pause after the current step; with `wait`, return when nothing runs.

        An evaluation that was due is not waited for: it is made when the run goes on.
        """
        self._run.orders.pause()
        self._run.settle(wait)
        if wait:
            self._run.flush()
        return self

    def stop(self, wait: bool = True) -> Self:
        """End the run after the current step; `start()` begins another.

        With `wait` it returns when its last state is on disk, where there is a `checkpoint_dir`; so do
        `fit()`, `pause()`, `close()` and `done()`.
        """
        self._run.orders.stop()
        self._run.settle(wait)
        if wait:
            self._run.flush()
        return self

    def step(self, n: int = 1, wait: bool = True) -> Self:
        """Take `n` steps, then pause; with `wait`, return then.

        An interrupt pauses, as in `fit`. So that many calls in a row stay quick, not each of them writes its state
        where there is a `checkpoint_dir`: `pause()`, `stop()`, `close()`, `save_checkpoint()` and the end of the
        script do.

        Raises
        ------
        Exception : with `wait`, what the model, the loss or the data raised.
        """
        self._check_free()
        if (count := read_count(n)) is None:
            raise ValueError(f"step({n!r}): a whole number of steps, 1 or more, is wanted.")
        with self._run.worker.drive_if_hidden(), self._run.awaiting_end(wait):
            self._run.orders.step(until=self.steps + count)
            self._run.go()
            if self._run.worker.hidden:  # on this thread, seen at once
                self._run.worker.wait()
        return self

    def fit(self, epochs: int | None = None, *, progress: bool = True) -> Self:
        """Train and wait until done: for scripts, graders and CI.

        An interrupt pauses, the model kept, and a script then hears of it as KeyboardInterrupt. A pause by
        anybody ends the waiting; `resume()` or another `fit()` goes on.

        Parameters
        ----------
        epochs : as of `start`.
        progress : whether a bar shows how far it is; on no terminal, as in a log, a line an epoch (stderr). Below it
            stands a line for each of `findings` that lasts.

        Raises
        ------
        Exception : what the model, the loss or the data raised.
        """
        try:
            with self._run.worker.drive_if_hidden(), self._run.awaiting_end(progress=progress):
                self.start(epochs)
        finally:
            self._run.flush()
            if progress:
                write_report(self.findings)
        return self

    def keras_callback(self) -> Any:
        """Return a callback by which this session follows `model.fit`.

        `model.fit(X, y, epochs=5, callbacks=[session.keras_callback()])`: all views show that training; `pause()`,
        `resume()`, `step(n)` and `stop()` hold and end it, and wishes hold from its next step. Data, epochs, optimizer
        and loss are those of `fit` and `compile`; `rejected` says of a wish that cannot be met there why. `train=` may
        be left out of such a session. A callback may be used for any number of `fit`s, one after the other.

        While a cell runs `fit`, JupyterLab hands the page's clicks over where it has ipykernel 7; a notebook without
        subshells does when the cell has ended: `session.in_background(lambda: model.fit(...))` trains beside it.

        Raises
        ------
        TypeError : the model is none of Keras's.
        """
        from .integrations.keras import make_callback

        return make_callback(self._run, lambda: _refuse_shared(self.module, self))

    def in_background(self, work: Callable[[], Any]) -> Future[Any]:
        """Do `work()`, as a `model.fit`, on a thread; return its Future.

        The cell returns at once, where the host has threads. What it raises is raised by the Future's `result()`, and
        stands in `error` where the session followed it.
        """
        future: Future[Any] = Future()

        def do() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it belongs to who asked
                future.set_exception(error)

        try:
            make_thread(do, "dlwidgets-background").start()
        except RuntimeError:  # a host without threads
            do()
        return future

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until nothing runs: the end of the run, or a pause.

        An interrupt ends the waiting alone. In a notebook `await session.done()` lets the page's messages in.

        Parameters
        ----------
        timeout : seconds to wait at most; None: however long it takes. `session.status` says what came.

        Raises
        ------
        Exception : what the model, the loss or the data raised.
        """
        seconds = read_number(timeout)
        if timeout is not None and (seconds is None or not seconds >= 0):
            raise ValueError(f"wait({timeout!r}): seconds, 0 or more, are wanted, or None.")
        self._run.await_rest(seconds)
        return self

    async def done(self) -> Self:
        """Wait for the end or a pause: `await session.done()`.

        The browser's messages are let in meanwhile. Raises what the model, the loss or the data raised.
        """
        run, saves = self._run, self._run.autosave
        run.worker.plan()
        while not run.worker.idle:
            await asyncio.sleep(0.02)
        if saves is not None and not run.closed:
            await asyncio.wrap_future(run.at_step(saves.save_last))
        while not run.worker.idle or (saves is not None and saves.checkpoints.busy):
            await asyncio.sleep(0.02)
        run.raise_failure()
        return self

    def skip(self) -> int:
        """Leave out the next batch, as one that fails; return its size."""
        return self._run.result(self._run.skip)

    def at_step(self, work: Callable[[], Any]) -> Future[Any]:
        """Run `work()` on the training thread between two steps; return its Future.

        All computing with the model belongs there: the main thread would slow the training by a third (see
        `core.base.machine.release_thread_pool`). Random numbers that it draws and `model.eval()` do not
        disturb the training.
        """
        return self._run.at_step(work)

    def at_batch(self, work: Callable[[], Any]) -> Future[Any]:
        """Run `work()`, which only looks, as `at_step` and during evaluations.

        Whoever looks does not wait for thousands of validation samples. The model is in eval mode then, and
        `work` sets no wish and changes no weight.
        """
        return self._run.at_step(work, looks=True)

    def close(self) -> None:
        """End the run; what was measured can still be read."""
        self._run.close()
        self.unobserve_all()
        for told in on_closed:
            told(self)

    # ------------------------------------------------------------------ what trains, and at which rate

    def freeze(self, *what: Any) -> Self:
        """Freeze weights and BatchNorm statistics from the next step on.

        It is written into the wish `session.trainable`, and stays after `stop()` and `close()`. Where nothing
        runs it is so at once. `rejected["trainable"]` says why, where it cannot be.

        Parameters
        ----------
        what : layers, with everything below them, or parameters: a path as "features" or "features.0.weight", a
            pattern as "*.bias", "" for the whole model; the module or parameter itself, as `model.features`; several,
            as `model.features.parameters()` or a list; a class, `nn.BatchNorm2d` or "BatchNorm2d"; or numbers, 0,
            -1, `range(29)` or `slice(0, 29)`: they count what the model holds directly, or, where that is one
            container alone, what is in it, as `model.model[i]` of a model that wraps one `nn.Sequential`.

        Raises
        ------
        TypeError, ValueError : the model has no such part.
        """
        if not what:
            raise TypeError("freeze() wants to know what, as freeze('features') or freeze(model.features).")
        return self._choose(what, False)

    def unfreeze(self, *what: Any) -> Self:
        """Have `what` train again, also what was frozen before the session.

        Momentum and the like go on from where they were held; what the optimizer was never given is added to
        it. Everything else is as in `freeze`; without `what`, the whole model trains.
        """
        return self._choose(what or ("*",), True)

    def freeze_to(self, layer: Any) -> Self:
        """Freeze a layer and all before it; the rest trains.

        Before it is what comes before it in the forward, which is the order of `layers()`. What was frozen or
        unfrozen until then no longer counts. Everything else is as in `freeze`.

        Parameters
        ----------
        layer : a path as "backbone.layer3", the module itself, or its number: see `freeze`.

        Raises
        ------
        TypeError, ValueError : the model has no such layer.
        """
        self._run.check_open()
        loop = self._run.loop
        order = [row.path for row in self.layers().rows]
        with self._choosing:
            self.trainable = loop.freezing.only_after(layer, order, loop.optimizer)
        return self

    def why_frozen(self) -> dict[str, str]:
        """Return path -> by what a layer is frozen.

        As "by 'features'", the pattern that counts; "by requires_grad alone" where no wish froze it; and whether its
        running statistics are held.
        """
        return self._run.loop.freezing.reasons()

    def _choose(self, what: tuple[Any, ...], trains: bool) -> Self:
        self._run.check_open()
        loop = self._run.loop
        with self._choosing:  # two threads that freeze at once lose neither
            # What was refused is not built upon: the person saw it refused, and goes on from what is so.
            refused = "trainable" in self.rejected and not self.waits("trainable")
            now = self.applied["trainable"] if refused else self.trainable
            self.trainable = loop.freezing.extend(now, what, trains, loop.optimizer)
        return self

    def new_head(
        self, classes: int | Sequence[str] | Mapping[str, int], *, layer: str | None = None, seed: int | None = None
    ) -> Self:
        """Give the model a last layer for other classes.

        As `dlw.with_head` does, and all else follows: the optimizer moves it in the group of the old one, what is
        frozen by a pattern stays so, averages begin anew with it, and evaluations have the new number and names of
        classes. It is written down, so that going back, checkpoints and scripts have the layers of then. Where the
        labels do not fit so many classes, `rejected["head"]` says so.

        Parameters
        ----------
        layer : the path of the layer; None: the last of the head.
        seed : of the new weights; None: the session's own plus how often it was given a new head.

        Raises
        ------
        TypeError, ValueError : in a sentence: no classes, or the model has no such layer.
        """
        self._run.check_open()
        self.head = {"classes": classes, "layer": layer, "seed": seed}
        return self

    def coming_rates(self, points: int = 200) -> RateForecast:
        """Return the rates to come, to be drawn: see `RateForecast`.

        Steps count as in `history()`, up to the end of the run; before `start()`, of the run that it would
        begin. Nothing is touched by it. What waits for a metric (plateau) is drawn flat, and `note` says so.
        """
        if (number := read_count(points)) is None:
            raise ValueError(f"coming_rates({points!r}): a whole number of points, 1 or more, is wanted.")
        return self._run.loop.rate.forecast(number)

    # ------------------------------------------------------------------ asking the model

    def evaluate(self) -> Evaluation:
        """Return loss, metrics and scores of the validation data now.

        Raises
        ------
        ValueError : there is no validation data.
        """
        if not self.has_valid:
            raise ValueError("There is no validation data: pass valid=(X, y) to the Session.")
        return self._run.result(self._run.evaluate)

    def predict(self, X: Any, batch_size: int = 256, labels: bool = True) -> torch.Tensor:
        """Return what the model says of `X`, on the CPU.

        Multilabel: N x C of 0 and 1, at `session.thresholds`; binary: N of 0 and 1; multiclass: N class
        numbers; any other task: the model's output. Without `labels` the probabilities, as `predict_scores`.

        Parameters
        ----------
        X : as in `train=(X, y)`, or a Dataset or DataLoader.
        batch_size : samples that are computed at a time.
        """
        if not labels:
            return self.predict_scores(X, batch_size)
        return self._task.predictions(self._outputs(X, batch_size), self.thresholds)

    def predict_scores(self, X: Any, batch_size: int = 256) -> torch.Tensor:
        """Return the probabilities for `X`, N x C or N, on CPU."""
        return self._task.scores(self._outputs(X, batch_size))

    def _outputs(self, X: Any, batch_size: int) -> torch.Tensor:
        batch_size = read_alone("batch_size", batch_size)
        X = read_prediction_inputs(X, self._run.data)
        try:
            return self._run.result(lambda: compute_outputs(self._run.loop, X, batch_size))
        except RuntimeError as error:
            if said := shape_hint(X, self._run.data):
                raise ValueError(f"{said} {quote_error(error)}") from error
            raise

    def save(self, path: Any, averaged: bool = True, best: bool = False) -> Path:
        """Write the weights of now, whole or not; return the path.

        It is a state dict for the model as its class makes it: `model.load_state_dict(torch.load(path,
        weights_only=True))`; where `ema` is on and with `averaged`, of the averaged weights that `predict`
        uses. With `best`, those of the best evaluation by the metric of `early_stopping`, whatever the model
        has now. A path that ends in .safetensors becomes such a file; of a Keras model, one in .keras or
        .weights.h5 is written by Keras itself.

        Raises
        ------
        OSError : it cannot be written there.
        ValueError : with `best`: there is no `early_stopping`, or nothing was evaluated yet.
        """
        loop = self._run.loop
        wanted = loop.best_weights if best else lambda: loop.weights(averaged)
        path = _read_path("save", path)
        written = self._run.result(lambda: framework_of(self.model).write_own_file(self.model, wanted(), path))
        return written or save_weights(self._run.result(wanted), path)

    def load_weights(self, weights: Any, *, strict: bool = False, entry: str | None = None) -> WeightsReport:
        """Load weights into the model, between two steps; report each.

        What and how is as of `dlw.load_weights`. Before the first step the run begins with them. After it the optimizer
        keeps what it has, and there is no way back to before, nor a script: neither has the file.

        Raises
        ------
        TypeError, ValueError : in a sentence, why nothing was loaded.
        """
        return self._run.result(lambda: self._run.load_weights(weights, strict, entry))

    def layers(self) -> Summary:
        """Return the model's layers as a table, for one training sample."""
        from .core.layers.summary import with_trainable

        if self._summary is None or self._summary_size != self._size():
            return self._run.result(self._make_layers, sliced=True)
        self._summary = with_trainable(self._summary, self.module)
        return self._summary

    def in_slices(self, work: Callable[[], Any]) -> Future[Any]:
        """Run `work()`, which pauses by itself, a slice between two steps."""
        return self._run.in_slices(work)

    def find_layers(self) -> Future[Summary]:
        """Have the table of `layers()` made between steps, in slices."""
        if self._summary is not None and self._summary_size == self._size():
            return self._run.at_step(self.layers)
        return self._run.in_slices(self._make_layers)

    def _size(self) -> int:
        """Count the model's parameters: with another head they are others."""
        return sum(map(numel_of, self.module.parameters()))

    def _make_layers(self) -> Summary:
        """Make the table of the layers, between two steps."""
        from .core.layers.stand_in import try_copy
        from .core.layers.summary import summary

        inputs, self._summary_size = slice_rows(self._run.data.example, 0, 1), self._size()
        with unpaused():
            twin = try_copy(self.module)
            self._summary = summary(self.module, inputs) if twin is None else None
        # Of a copy, since the model is trained between two slices.
        if twin is not None:
            self._summary = summary(twin, inputs)
        return self._summary

    def microscope(self) -> Microscope:
        """Return what tells of the next step: see `Microscope`.

        `session.at_step(scope.before)`, then `session.step()`, then `scope.after()`: its batch, the losses of
        its samples, and what moved how far.
        """
        return Microscope(self._run.loop)

    # ------------------------------------------------------------------ what is wrong

    def diagnose(self) -> pd.DataFrame:
        """Return what is wrong, and what was checked, as a data frame.

        Before the first step it first checks the data, the model and whether a copy of it learns one batch, which
        takes a second or two and leaves no trace.

        A row for each of `findings`, those that last first, by severity; then the checks that did not run, with
        why; then those that were quiet. Columns are check, outcome ("found", "over", "not run", "quiet"), severity,
        layer, since and until (steps), what (sentences), remedies.
        """
        attendant = self._run.attendant
        if not self.steps and not self._run.orders.going:
            self._run.result(attendant.look_before, sliced=True)
        return self._run.result(attendant.frame)

    @property
    def checks(self) -> tuple[Check, ...]:
        """What came of each of the doctor's rules, in order."""
        return self._run.attendant.checks

    def remedies(self, finding: Finding | str) -> tuple[Offer, ...]:
        """Return what may help with a finding, the likeliest first.

        Each `Offer` has its name, the label of a button with its numbers, the wishes that it makes, the step to which
        it goes `back` first (None where it does not), and `why_not`, where it does not apply here. While it trains
        they are as of the last three seconds.

        Parameters
        ----------
        finding : one of `findings`, or the name of its rule.

        Raises
        ------
        ValueError : nothing was found of that name.
        """
        found = find_finding(finding, self.findings)
        # To read wishes for schedules takes milliseconds, and views ask ten times a second.
        now = int(time.monotonic() / 3) if self._run.orders.going else self.steps
        place = found.step, found.remedies, self.line, len(self.changes), now
        kept = self._offered.get(found.key)
        if kept is None or kept[0] != place:
            self._offered[found.key] = kept = place, offer_remedies(Case.of(self._run, found))
        return kept[1]

    def apply_remedy(self, finding: Finding | str, remedy: str | None = None) -> Self:
        """Make a remedy's changes, gone back first where it wants that.

        Where it goes back the run pauses there; nothing goes on by itself. The changes stand in the ledger by
        "doctor", and one `undo()` takes back all of it.

        Parameters
        ----------
        finding : one of `findings`, or the name of its rule, as "loss_diverging".
        remedy : the name of one of its remedies, as "lower_rate"; None: the first that applies.

        Raises
        ------
        ValueError : in a sentence: nothing was found of that name, the finding has no such remedy, or it does not
            apply here.
        """
        offer = find_remedy(remedy, offer_remedies(Case.of(self._run, find_finding(finding, self.findings))))
        if offer.back is None:
            with self.by("doctor"):
                for name, value in offer.settings.items():
                    setattr(self, name, value)
        else:
            self._run.travel(lambda timeline: take_remedy(self._run, offer))
        return self

    def try_remedies(
        self, finding: Finding | str | None = None, steps: int = 50, remedies: Sequence[str] | None = None
    ) -> RemedyTrials:
        """Try remedies side by side, and say which helps most.

        From the last good state each of them, and changing nothing, takes so many steps on the same batches. They lie
        side by side as `branches`; the run pauses, and is left where it was, bit for bit. What came of it is also the
        fact `remedy_trials`; `take()` goes on from the end of the best. A pause or an interrupt ends it.

        Parameters
        ----------
        finding : one of `findings`, or the name of its rule; None: the first that lasts and names remedies.
        remedies : names of `core.doctor.remedies.REMEDIES`; None: those of the finding that apply here.

        Raises
        ------
        ValueError : in a sentence: nothing was found, no remedy applies, or the data can be read once only.
        """
        self._check_free(alone=True)
        check_trials(steps, [{}], None, "try_remedies")
        case = choose_finding(finding, self.findings, self.steps, remedies)
        offers, back = choose_offers(self._run, case, remedies)

        def go_to(line: str) -> None:
            with self.by("doctor"):
                self.switch(line)

        work = plan_trials(self._run, case, offers, steps, back, go_to)
        found = self._run.await_visit(self._run.visit(work, "remedy_trials"))
        self._run.settle()
        return found

    def find_lr(self, start: float = 1e-7, end: float = 10.0, steps: int = 100) -> RateSearch:
        """Search the learning rate by a range test, which leaves no trace.

        Steps are taken with a rate that grows from `start` to `end`, until the loss is four times its least; then
        everything is put back bit for bit: weights, optimizer, schedule, random numbers, the place in the data. A run
        that goes is held up meanwhile, and goes on. What was found is also the fact `rate_search`; `take("valley")`
        sets the rate, by "doctor". Several parameter groups keep their ratios. A pause or an interrupt ends it.

        Parameters
        ----------
        start, end : the rates of the first and the last step; they grow by the same factor in each.
        steps : how many are taken at most, over the ends of epochs.

        Raises
        ------
        ValueError : in a sentence: no range, the optimizer has no rate, or the data can be read once only.
        """
        self._check_free(alone=True)

        def set_rate(rate: float) -> None:
            with self.by("doctor"):
                self.lr = rate

        work = search_rates(self._run, *check_range(start, end, steps), set_rate)
        return self._run.await_visit(self._run.aside(work, "rate_search"))

    # ------------------------------------------------------------------ going back

    def rewind(self, step: int, exact: bool = True) -> Self:
        """Go back to the state after `step` steps, and pause there.

        The run then goes on as it would have. What comes after `step` stays as a branch: see `branches` and
        `switch`. Changes that were made right after `step`, before the next, are taken back too. The steps
        from the last snapshot up to `step` are taken again, with the changes at their steps: on the CPU that
        gives the same weights bit for bit.

        Parameters
        ----------
        step : 0 for the beginning; a negative number counts from now: -100 is a hundred steps back.
        exact : False: go to the snapshot that is nearest instead, which takes no step.

        Raises
        ------
        ValueError : the step was not taken, nothing is kept, or the data cannot be read again.
        """
        if (number := read_integer(step)) is None:
            raise ValueError(f"rewind({step!r}): the number of a step is wanted, 0 for the beginning.")
        return self._travel(lambda timeline, by: timeline.rewind(number, exact, by))

    def undo(self) -> Self:
        """Go to right before the last change, and pause there.

        Steps that were taken since then stay as a branch.

        Raises
        ------
        ValueError : nothing was changed on this line, or there is no way back.
        """
        return self._travel(lambda timeline, by: timeline.undo(by))

    def switch(self, branch: Branch | str) -> Self:
        """Go to another line's end, and pause; this line stays a branch.

        Raises
        ------
        ValueError : there is no such line.
        """
        return self._travel(lambda timeline, by: timeline.switch(branch, by))

    def _travel(self, work: Callable[[Timeline, str], Any]) -> Self:
        by = _author.get()
        self._run.travel(lambda timeline: work(timeline, by))
        return self

    def compare(self, branch: Branch | str, other: Branch | str | None = None) -> Comparison:
        """Compare settings and metrics of a line and another (None: this)."""
        timeline = self._run.timeline
        return compare_lines(timeline.branch(branch), timeline.branch(self.line if other is None else other))

    def try_each(
        self, steps: int, *settings: Mapping[str, Any], keep: int | None = None
    ) -> tuple[Branch, ...]:
        """Train with each of several settings from here; return their lines.

        "Same step, two learning rates" is `session.try_each(50, {"lr": 1e-3}, {"lr": 1e-2})`. Each starts
        from the same state and sees the same batches. A try whose loss becomes infinite ends there, and its
        `note` says so.

        Parameters
        ----------
        settings : wishes by name, as {"lr": 0.1, "clip": 1.0}.
        keep : the number of the try to go on with, from 0; None: the run is left where it was.

        Raises
        ------
        ValueError, TypeError : in a sentence: no steps, no settings, or one that cannot be read.
        """
        self._check_free(alone=True)
        check_trials(steps, settings, keep)
        read = [{name: self.read_wish(name, value) for name, value in one.items()} for one in settings]
        return try_each(self._run, steps, read, keep, _author.get())

    def compare_starts(self, steps: int | None = None, epochs: int | None = None, *, start: int = 0) -> StartTrials:
        """Train head only, all, and from scratch, from the same start.

        Each takes the same steps on the same batches, with the settings that the run has at `start`: "head only"
        with all but `split.head` frozen; "all" with nothing frozen; "from scratch" with nothing frozen, all layers
        drawn anew, and one rate for all. They lie side by side as `branches` of these names, with the seconds that
        each took; the run pauses, and is left where it was, bit for bit. What came of it is also the fact
        `start_trials`; `take("all")` goes on from the end of one. A pause or an interrupt ends it.

        Parameters
        ----------
        steps, epochs : how many each takes; None: three epochs, or 100 steps where an epoch has no known end.
        start : the step from which all begin.

        Raises
        ------
        ValueError : in a sentence: no head can be told from a backbone, the data can be read once only, or nothing
            is kept of `start`.
        """
        self._check_free(alone=True)
        length, by, split = read_length(steps, epochs, start), _author.get(), self.split
        if not split:
            raise ValueError(f"compare_starts() needs a head: {split.because}")

        def go_to(line: str) -> None:
            with self.by(by):
                self.switch(line)

        work = plan_starts(self._run, split.head, *length, start, by, go_to)
        found = self._run.await_visit(self._run.visit(work, "start_trials"))
        self._run.settle()
        return found

    def estimate_starts(self, epochs: int = 1) -> float | None:
        """Return about how long `compare_starts` takes [s].

        It is reckoned from the steps of late and the last evaluation; None before there were any.
        """
        return estimate_starts(self._run, epochs)

    @property
    def timeline(self) -> Timeline:
        """The snapshots and lines, for the training thread: see `at_step`."""
        return self._run.timeline

    @property
    def line_changes(self) -> list[Entry]:
        """The ledger's entries in force on this line, in order."""
        return self._run.now("changes")

    def past_on(self, branch: Branch | str | None = None) -> tuple[PastScores, ...]:
        """Return those of `past_scores` on a line (None: this one), by step."""
        line = self._run.timeline.line_named(self.line if branch is None else branch)
        return self._run.evaluations.past.of(line.went_through)

    # ------------------------------------------------------------------ on disk, and once more

    @classmethod
    def from_checkpoint(
        cls,
        folder: str | Path,
        model: Any,
        train: Any,
        valid: Any = None,
        *,
        run: str | None = None,
        **options: Any,
    ) -> Self:
        """Return a session that goes on from a folder's newest checkpoint.

        On the CPU it goes on bit for bit: `session.resume()` trains what was left of the run, one that was
        stopped or closed included. A run that is done stays done: `fit(3)` trains three epochs more, and an
        `epochs=` larger than that of then what is missing; one of `epochs=2` has one left after `fit(1)`. New
        checkpoints go into the same folder. Snapshots
        and branches of then are not there; the history, the ledger and where it began are, so that
        `to_script` writes the whole run.

        Parameters
        ----------
        model, train, valid, options : as they were given to the `Session` of then. All wishes are those of
            then, as they were set while it trained, also where an argument repeats what it was made with, or
            is left out. An argument that differs from what it was made with is wished for from here on.
        run : which of several runs in the folder, as the notes name them; None: that which was written last.

        Raises
        ------
        ValueError : in a sentence: there is no checkpoint that can be read, or it does not fit the model.

        Notes
        -----
        Where the place in the data is not to be had, as after another DataLoader, `notes` says so, and the
        rest of the epoch comes in another order.
        """
        found, notes = load(_read_path("from_checkpoint", folder), run)
        keep = {"checkpoint_dir": folder, "checkpoint_every": 60.0}
        keep |= {name: options.pop(name) for name in tuple(keep) if name in options}
        session = cls(model, train, valid, **options)
        given = {one.name: session._asked_for(one.name) for one in CONTROLS if one.name in options}
        try:
            saves = autosave(session._run, *keep.values())
            anew = resume(session._run, found, folder, given, saves)
        except BaseException:
            session.close()
            raise
        for name in anew:
            setattr(session, name, given[name])
        if anew:
            notes.append(f"Given anew, and so from here on: {', '.join(anew)}.")
        for said in notes:
            session._noted(said)
        return session

    def save_checkpoint(self, wait: bool = True) -> Self:
        """Write a checkpoint of now; with `wait`, return once it is there.

        Raises
        ------
        ValueError : the session has no `checkpoint_dir`.
        OSError : with `wait`: it could not be written.
        """
        autosave = self._run.autosave
        if autosave is None:
            raise ValueError("There is no folder for checkpoints: pass checkpoint_dir= to the Session.")
        if wait:
            autosave.write()
        else:
            self._run.result(autosave.save)
        return self

    def to_script(self, path: str | os.PathLike[str], *, data: bool = True) -> Path:
        """Write the run as a plain PyTorch script, and return its path.

        The script imports no dlwidgets. Run on the CPU with the same PyTorch and as many threads it gives the
        weights of now, bit for bit: it begins with the weights that the run began with, sees the same
        batches, and makes each change at its step. Where the run was taken back, it has the line under way
        alone. First weights and data lie beside it, as "run.initial.pt" and "run.data.pt" for "run.py".

        Multilabel and binary models end with a function `predict`, which says 1 or 0 at `session.thresholds`,
        and with what it finds and misses on validation data in memory ("run.valid.pt").

        Parameters
        ----------
        data : False: the data is left out, and the script has a marked place for it.

        Raises
        ------
        ValueError : no step was taken, or something of the run cannot be written, in one sentence.

        Notes
        -----
        The first weights are kept in the CPU's memory from the first step on, where they take no more than
        the memory that is set aside for snapshots by itself. Where the script needs something put into it by
        hand, as a model whose source is not to be had, it stops there and says what, and a warning does here.
        """
        from .core.export.script import export_script

        path = _read_path("to_script", path)
        if path.suffix != ".py":
            raise ValueError(f"to_script({str(path)!r}): the name of a Python file is wanted, as 'run.py'.")
        thresholds = self.thresholds
        for note in self._run.result(lambda: export_script(self._run, path, data, thresholds)):
            warnings.warn(f"{path.name}: {note}", stacklevel=2)
        return path

    def replay(self, ledger: Any) -> Self:
        """Replay another run's changes, each at its step, as this trains.

        With the same model, data and seed it gives the same weights, bit for bit, as far as the ledger goes.
        Nothing trains by this alone: `fit()`, `start()` and `step()` do. What was rejected or undone is left
        out, and in this session's ledger the changes are by "replay".

        Parameters
        ----------
        ledger : a data frame as `session.ledger()` gives it, its entries, or the path of a file that it was
            written to with `to_json` or `to_csv`.

        Raises
        ------
        TypeError, ValueError : steps were taken already, or the ledger does not fit, in one sentence.
        """
        self._run.check_open()
        if steps := self.steps:
            untrained = "a ledger is replayed by one that was not trained yet"
            raise ValueError(f"This session is at step {steps:,}: {untrained}.")
        self._run.pending = read_ledger(ledger, self._run.steering.names, self._read)
        return self

    # ------------------------------------------------------------------ what was written down

    def history(self) -> pd.DataFrame:
        """Return a data frame, a row a step, with what was measured.

        Columns are epoch, loss, lr (that the step was taken with), batch_size, grad_norm, seconds.
        `grad_norm` is the gradients' L2 norm before clipping; NaN in steps where nobody needed it and it was
        not measured, to save time. Once clipping was on, `clipped_norm` is that after it, and `clipped` 1
        where the step was clipped. Rows of steps after which the model was evaluated hold `valid_loss` and
        the metrics too; a dict of losses has a column `loss_NAME` for each. Where the best weights were put
        back, `restored` is the step that they are of.
        """
        frame = self.record.frame()
        for entry in self.line_changes:
            if (step := restored_from(entry)) is not None:
                frame.loc[entry.step, "restored"] = step
        return frame

    def proofs(self, now: bool = False) -> pd.DataFrame:
        """Return a data frame, a row a proof of this line.

        After an epoch, where there is time, and at the end of a run the tensors that are frozen are compared with what
        they were when they were frozen, by a hash (BLAKE2b) of their bytes. Columns are epoch, tensors, parameters,
        holds (whether nothing changed), changed (names, with how far each moved and since when), before and digest
        (the hashes of then and of that step, equal where nothing changed), seconds.

        Parameters
        ----------
        now : make one of now first.
        """
        if now:
            self._run.result(self._run.prove)
        return proofs_frame(self.record.proofs)

    def clipping(self, last: int = 200) -> dict[str, Any]:
        """Count the `last` steps: steps (with clipping), clipped, share (0..1)."""
        return clipping(self.record, last)

    @property
    def record(self) -> History:
        """The history as growing columns, for views: see `core.base.history.History`."""
        return self._run.now("history")

    def ledger(self) -> pd.DataFrame:
        """Return a data frame, a row a change.

        Columns are time, step, name, asked, applied, by, rejected, note, line, and two more. `undone` says
        that a rewind took it back, or that it belongs to a line that was left. `exactly` is (asked, applied)
        as Python writes them, so that a ledger written to a file loses no digit.
        """
        return ledger_frame(self._run)

    @property
    def changes(self) -> list[Entry]:
        """The ledger's entries, in order."""
        return self._run.steering.ledger.entries

    def waits(self, name: str) -> bool:
        """Say whether a wish has changed and is not settled yet."""
        return self._run.waits(name)

    def why_not(self, name: str) -> str:
        """Return why a control cannot be changed now, or ""."""
        return self._run.steering.why_not(name)

    @property
    def why_not_trained(self) -> str:
        """Why it takes no steps by itself, or ""."""
        try:
            self._run.check_trains()
        except ValueError as error:
            return str(error)
        return ""

    @property
    def checkpoint_dir(self) -> Path | None:
        """The folder that checkpoints are written to, or None."""
        saves = self._run.autosave
        return None if saves is None else saves.checkpoints.folder

    @property
    def why_not_measured(self) -> str:
        """Why steps show nothing of their layers, or ""."""
        return self._run.loop.watch.why_not

    def progress(self) -> dict[str, Any]:
        """Return epoch, epochs, steps, total, share (0..1), rate (steps/s), left (s)."""
        return self._run.now("progress")

    # ------------------------------------------------------------------ wishes

    def _read(self, name: str, value: Any) -> Any:
        run = vars(self).get("_run")
        try:
            return read_alone(name, value) if run is None else run.steering.read(name, value)
        except (ValueError, TypeError) as error:
            raise WishError(str(error)) from None

    def read_wish(self, name: str, value: Any) -> Any:
        """Read a value for a control, without wishing for it.

        Raises
        ------
        ValueError, TypeError : in a sentence, why it cannot be.
        """
        steering = self._run.steering
        if name not in steering.names:
            hint = name_hint(str(name), steering.names)
            raise ValueError(f"{name!r} is no control: there are {', '.join(steering.names)}.{hint}")
        return steering.read(name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        # A misspelt wish must not vanish into an attribute that nobody reads.
        if not name.startswith("_") and not hasattr(HasTraits, name):
            known = getattr(type(self), name, None)
            if known is None:
                raise AttributeError(f"A Session has no {name!r}.{name_hint(name, _wishes(type(self)))}")
            if not isinstance(known, traitlets.TraitType) or known.read_only:
                names = ", ".join(_wishes(type(self)))
                raise AttributeError(f"{name} can be read, not set: what can be set is {names}.")
        if name not in ("lr", "schedule", "reinitialise"):
            return super().__setattr__(name, value)
        # Under a schedule, the same wish once more asks for something: the rate has moved since. So does a layer to
        # be drawn anew that could not be before.
        before = getattr(self, name)
        super().__setattr__(name, value)
        if getattr(self, name) == before and not self._mirroring_here.on:
            self._run.ask(name, _author.get())

    @contextlib.contextmanager
    def by(self, author: str) -> Iterator[None]:
        """Name who asks, as "panel", for wishes set inside `with`."""
        token = _author.set(author)
        try:
            yield
        finally:
            _author.reset(token)

    def _asked_for(self, name: str) -> Any:
        return self._trait_values["optimizer"] if name == "optimizer" else getattr(self, name)

    # ------------------------------------------------------------------ facts and pauses

    def _told(self, **facts: Any) -> None:
        """Write facts, in order; but for `paused`, `blocking` on one thread."""
        for name, value in facts.items():
            if name == "wishes":
                with self._mirroring():
                    for wish, in_force in value.items():
                        setattr(self, wish, in_force)
            elif name == "paused":
                with self._mirroring():
                    # What is so, whoever changed it last.
                    while self.paused != self._run.orders.paused:
                        self.paused = self._run.orders.paused
            else:
                self.set_trait(name, value)

    @contextlib.contextmanager
    def _mirroring(self) -> Iterator[None]:
        """Let wishes be set on this thread that ask for nothing."""
        here, self._mirroring_here.on = self._mirroring_here.on, True
        try:
            yield
        finally:
            self._mirroring_here.on = here

    def observe(self, handler: Callable[..., Any], names: Any = traitlets.All, type: Any = "change") -> None:
        """Have `handler(change)` called when a trait of `names` changes.

        As `HasTraits.observe`, but a handler that raises while the training tells of its facts stops neither
        it nor other handlers.
        """
        if not isinstance(handler, traitlets.EventHandler):  # a method of a subclass, marked as observer
            handler = _Guarded(handler, self._observer_raised)
        super().observe(handler, names, type)

    def _observer_raised(self, handler: Any, error: Exception) -> bool:
        if not self._run.worker.here:
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
            self._run.ask(change["name"], _author.get())

    def _iou_wished(self, _: Any) -> None:
        run = self._run
        if run.evaluations.latest is not None:
            judged = run.at_step(lambda: run.tell(**run.evaluations.facts()), looks=True)
            if self.status != "running" and not run.worker.here:
                judged.result()

    def _pause_wished(self, change: Any) -> None:
        if self._mirroring_here.on:
            return
        if change["new"]:
            self.pause(wait=False)
        elif self._run.orders.paused:
            try:
                self.start()
            except BaseException:
                self._told(paused=True)
                raise


class Sessions(list[Session]):
    """The sessions of a kernel, shown as a table."""

    def _table(self) -> FactTable:
        heads = ("", "name", "model", "status", "step", "epochs") if self else ()
        rows = []
        for number, one in enumerate(self):
            name, model = bound_name(one) or "-", type(one.model).__name__
            epochs = f"{one.epoch:,} of {one.progress()['epochs']:,}"
            rows.append((f"[{number}]", name, model, one.status, f"{one.steps:,}", epochs))
        return FactTable(rows, heads, "" if self else "no session: dlwidgets.Session(model, train=(X, y)) makes one")

    def __repr__(self) -> str:
        return str(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()


def sessions() -> Sessions:
    """Return the sessions of this kernel that are not closed, oldest first.

    Shown, it is a table: number, the name that the session has in the notebook or script, model, status, step
    and epoch. `dlwidgets.sessions()[0].stop()` ends a run whose name now means another. A session that trains
    lives on without a name; one that nobody holds any more is not kept for this list.
    """
    gc.collect()  # a session and its run hold each other
    return _living()


def numbered_sessions() -> dict[int, Session]:
    """Return number -> session of those that are not closed, oldest first.

    They are counted as they are made, so that a number is never another's. Those that nobody holds any more may still
    be among them.
    """
    return {number: one for number, one in sorted(_made.items()) if not one._run.closed}


def _living() -> Sessions:
    return Sessions(numbered_sessions().values())


def bound_name(session: Session) -> str:
    """Return a session's name in the notebook or script, "" for none."""
    named = vars(sys.modules["__main__"]).items()
    return next((name for name, value in [*named] if value is session and not name.startswith("_")), "")


def name_in_code(session: Session) -> str:
    """Return a session's name in the notebook, or an expression for it."""
    return bound_name(session) or _called(session)


def _called(session: Session) -> str:
    """Return an expression that means a session whatever names mean."""
    return f"dlwidgets.sessions()[{sessions().index(session)}]"


def _titled(session: Session) -> str:
    name = bound_name(session)
    return f"Another session ({name + ', ' if name else ''}{type(session.model).__name__})"


def _read_path(call: str, path: Any) -> Path:
    try:
        return Path(path)
    except TypeError:
        raise TypeError(f"{call}({path!r}): a path is wanted, as 'runs/one'.") from None


def _share_weights(model: nn.Module, other: nn.Module) -> bool:
    return not {id(p) for p in model.parameters()}.isdisjoint(id(p) for p in other.parameters())


def _refuse_shared(model: Any, session: Session | None = None) -> None:
    """Raise RuntimeError where another session trains a model's weights."""
    for other in _living() if isinstance(model, nn.Module) else ():
        if other is not session and other._trains and _share_weights(model, other.module):
            raise RuntimeError(
                f"{_titled(other)} trains these weights, at step {other.steps:,}: end it first with "
                f"{name_in_code(other)}.stop()."
            )


#: What a Session can be given, and what can be set on it.
_OPTIONS = [n for n, p in inspect.signature(Session).parameters.items() if p.kind is not p.VAR_KEYWORD]


def _wishes(kind: type[Session]) -> list[str]:
    return [name for name, trait in kind.class_traits().items() if not trait.read_only]
