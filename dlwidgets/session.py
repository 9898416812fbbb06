"""Session: the one observable object that a model, its data, its training and every view share."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import difflib
import math
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import torch
import traitlets
from torch import nn
from traitlets import Any as AnyTrait
from traitlets import Bool, Dict, Float, HasTraits, Int, Tuple, Unicode

from .core import cpus
from .core.batches import batch_length
from .core.borrowed import Streams, modes_kept, on_device, untouched_rng
from .core.controls import Clip, make_optimizer
from .core.data import read_inputs
from .core.ledger import Entry, Ledger
from .core.loop import Evaluation, Loop
from .core.opening import cast, choose_device, open_data
from .core.samples import Samples
from .core.trees import shapes, tree_map
from .core.worker import Worker

if TYPE_CHECKING:
    import pandas as pd

    from .core.summary import Summary

#: Facts are published at most this often [s]; views draw no faster.
PUBLISH = 0.1
#: What the loop puts in force between two steps.
CONTROLS = ("lr", "batch_size", "clip", "weight_decay")
#: What people type for what we call otherwise.
_MEANT = {
    "learning_rate": "lr", "rate": "lr", "batchsize": "batch_size", "bs": "batch_size", "grad_clip": "clip",
    "clip_norm": "clip", "max_norm": "clip", "num_epochs": "epochs", "n_epochs": "epochs", "class_names": "classes",
    "labels": "classes", "criterion": "loss", "loss_fn": "loss", "optim": "optimizer", "validation": "valid",
    "validation_data": "valid", "val": "valid", "random_state": "seed", "wd": "weight_decay", "threshold": "thresholds",
}
_author: contextvars.ContextVar[str] = contextvars.ContextVar("dlwidgets_author", default="code")


class WishError(traitlets.TraitError, ValueError):
    """A wish that no session could meet, said in one sentence."""


class Session(HasTraits):
    """A model, its data and its training, to be watched and steered while it runs.

    Parameters
    ----------
    model : the module to train. It stays yours: when nothing runs, its train/eval flags, its device and the
        global random generators are as you left them.
    train : `(X, y)` of tensors or arrays (axis 0 counts samples), a pandas DataFrame with `target=`, a map-style
        Dataset, an iterable of batches, or a DataLoader (its collate and workers are respected).
    valid : the same for validation; a number between 0 and 1 holds out that share of `train`; None for none.
    loss : `(output, targets) -> scalar tensor`, a class or a name of torch.nn losses; None: inferred.
    task : "multilabel", "multiclass", "binary" or "regression"; None: inferred from the targets.
    optimizer : a name of torch.optim, a class, a factory `parameters -> optimizer`, or an optimizer.
    lr : the learning rate; None: 1e-3, or that of an optimizer that was made already.
    batch_size : samples a step; a DataLoader brings its own, unless this is given.
    epochs : how many epochs `start()` and `fit()` train.
    clip : gradient clipping: None, a norm as 1.0, or ("norm" | "value", limit).
    weight_decay : None: what the optimizer has by default.
    classes : the names of the classes, in the order of the model's outputs.
    target : the column of a DataFrame, or the entry of a dict batch, that is to be predicted.
    step : `(model, batch) -> loss or dict of losses` for models that none of the tasks fits; it computes the
        loss only, the session does the rest. A dict of losses is summed.
    evaluate_every : "epoch", a number of steps, or None for never.
    seed : seeds the order of the samples and the random numbers of training. Same seed and same wishes at the
        same steps give the same weights, bit for bit, on the CPU.
    device : "auto" (CUDA where there is one, else where the model is), or a torch device.
    threads : threads torch uses in training; None: as many as there are CPUs really to be had.

    Notes
    -----
    *Wishes* are traits that a person or a view writes: `lr, batch_size, clip, weight_decay, epochs, paused,
    thresholds, selected_layer, selected_sample`. The loop reads them between two steps. *Facts* are read-only
    traits that the loop writes: `status, steps, epoch, loss, applied, rejected, scores, layer_stats, error,
    traceback, notes, pulse`. Every fact may be observed; observers are called on the training thread and
    should be quick.

    The weights are those of the plain loop: `torch.manual_seed(seed)`, a generator `g` seeded with `seed`,
    and for each epoch the batches of `torch.randperm(n, generator=g)` in order.
    """

    # -- wishes: written by people and views
    lr = Float(1e-3, help="learning rate asked for")
    batch_size = Int(32, help="samples a step asked for")
    clip = AnyTrait(None, allow_none=True, help='gradient clipping: None, a norm, or (mode, limit)')
    weight_decay = Float(None, allow_none=True, help="weight decay; None: the optimizer's default")
    epochs = Int(10, help="epochs that a run trains")
    evaluate_every = AnyTrait("epoch", help='"epoch", a number of steps, or None')
    paused = Bool(False, help="whether training is to wait")
    thresholds = AnyTrait(0.5, help="one threshold for all classes, or one for each")
    selected_layer = Unicode(None, allow_none=True, help="path of the layer that views look at")
    selected_sample = Int(0, help="number of the sample that views look at")

    # -- facts: written by the loop
    status = Unicode("ready", read_only=True, help="ready, running, paused, done, stopped or failed")
    steps = Int(0, read_only=True, help="optimizer steps taken")
    epoch = Int(0, read_only=True, help="the epoch that training is in, from 1; 0 before the first step")
    loss = Float(math.nan, read_only=True, help="training loss of the last step")
    applied = Dict(read_only=True, help="what is really in force: control -> value")
    rejected = Dict(read_only=True, help="wishes that could not be met: control -> why")
    scores = AnyTrait(None, allow_none=True, read_only=True, help="Scores of the last evaluation, or None")
    evaluation = AnyTrait(None, allow_none=True, read_only=True, help="the last Evaluation, or None")
    layer_stats = AnyTrait(None, allow_none=True, read_only=True, help="LayerStats of the last sampled step, or None")
    error = Unicode("", read_only=True, help="what made the run fail, one sentence")
    traceback = Unicode("", read_only=True, help="the traceback of the failure")
    notes = Tuple(read_only=True, help="what the session chose by itself, in sentences")
    pulse = Int(0, read_only=True, help="counts the times that facts were published")
    blocking = Bool(False, read_only=True, help="whether a call of this session keeps the main thread waiting")

    def __init__(
        self,
        model: nn.Module,
        train: Any,
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
        **unknown: Any,
    ) -> None:
        _refuse(unknown)
        if not isinstance(model, nn.Module):
            raise TypeError(f"model is of type {type(model).__name__}: a torch.nn.Module is wanted.")
        super().__init__()
        self._check_size(32 if batch_size is None else batch_size)
        self._model, self._seed = model, int(seed)
        #: The entry of a dict batch that is the target.
        self._target = target if isinstance(target, str) else None
        self._device = choose_device(device, model)
        opened = open_data(
            model, train, valid, batch_size=batch_size, seed=self._seed, device=self._device, target=target,
            step=step, task=task, loss=loss, classes=classes,
        )
        self._train, self._valid, self._task, self._example = opened.train, opened.valid, opened.task, opened.example
        made = isinstance(optimizer, torch.optim.Optimizer) or (callable(optimizer) and not isinstance(optimizer, type))
        chosen = make_optimizer(optimizer, model, lr if made or lr is not None else 1e-3, weight_decay)
        self._loop = Loop(
            model, self._train, task=self._task, optimizer=chosen, device=self._device, clip=Clip.read(clip),
            step=step, target=self._target,
        )
        if made and lr is not None:
            self._loop.rate.set(lr)
        self._streams = Streams.seeded(self._seed)
        self._threads, why = cpus.choose_threads(threads)
        self._worker = Worker(self._burst, self._fail)
        self._ledger = Ledger()
        self._summary: Summary | None = None
        self._wish_lock = threading.Lock()
        #: Wishes not yet looked at by the loop: name -> (value, who asked).
        self._asked: dict[str, tuple[Any, str]] = {}
        #: The run: it began after so many epochs, and is done after so many; a pause is due at this step.
        self._began, self._goal, self._until_step = 0, None, None
        self._exception: BaseException | None = None
        self._published = 0.0

        # The wishes start as what is in force.
        self.lr, self.batch_size = self._loop.rate.value, self._train.batch_size
        self.clip, self.epochs, self.evaluate_every = clip, epochs, evaluate_every
        decay = chosen.param_groups[0].get("weight_decay")
        self.weight_decay = None if decay is None else float(decay)
        self._set(applied=self._in_force(), notes=(
            f"Task: {self._task.name}, since {self._task.because}; loss {self._task.loss_name}.",
            f"Training on {self._device} with {why}.",
        ))
        self.observe(self._wished, names=[*CONTROLS])
        self.observe(self._goal_moved, names=["epochs"])
        self.observe(self._pause_wished, names=["paused"])
        # What was run here to look at the model must not slow the training thread.
        cpus.release_pool()

    # ------------------------------------------------------------------ what it is

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self._model

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer in force."""
        return self._loop.optimizer

    @property
    def task(self) -> str:
        """The task: "multilabel", "multiclass", "binary", "regression" or "custom"."""
        return self._task.name

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, where given."""
        return self._task.classes

    @property
    def device(self) -> torch.device:
        """Where training computes."""
        return self._device

    @property
    def threads(self) -> int:
        """How many threads torch uses in training."""
        return self._threads

    @property
    def has_valid(self) -> bool:
        """Whether there is validation data."""
        return self._valid is not None

    @property
    def samples(self) -> Samples:
        """The validation samples one by one; the training samples where there are no others."""
        name, batches = ("training", self._train) if self._valid is None else ("validation", self._valid)
        return Samples(batches, name, self._device, self._target)

    def history(self) -> pd.DataFrame:
        """Return a data frame with a row for each step: epoch, loss, lr, batch_size, grad_norm, seconds.

        Rows of steps after which the model was evaluated hold `valid_loss` and the metrics too.
        """
        return self._loop.history.frame()

    @property
    def record(self) -> Any:
        """The history as growing columns, for views: see `core.history.History`."""
        return self._loop.history

    def ledger(self) -> pd.DataFrame:
        """Return a data frame with a row for each change: time, step, name, asked, applied, by, rejected, note."""
        return self._ledger.frame()

    @property
    def changes(self) -> list[Entry]:
        """The ledger's entries, in order."""
        return self._ledger.entries

    def layers(self) -> Summary:
        """Return the model as a table of its layers, for one training sample."""
        if self._summary is None:
            from .core.summary import summary

            inputs = tree_map(lambda t: t[:1], self._example)
            # On the training thread: what looks into the model must not find it in the middle of a step.
            self._summary = self._result(self.at_step(lambda: summary(self._model, inputs)))
        return self._summary

    def progress(self) -> dict[str, Any]:
        """Return where the run is: epoch, epochs, steps, total (steps), share (0..1), rate (steps/s), left (s)."""
        loop, goal = self._loop, self._goal
        epochs = goal if goal is not None else self._began + self.epochs
        each, left = self._train.steps_in_epoch(), self._train.steps_left()
        total = None
        if each is not None:
            first = each - loop.steps % each if left is None else each if self._train.over else left
            total = loop.steps + first + max(0, epochs - loop.epochs - 1) * each
            if loop.epochs >= epochs:
                total = loop.steps
        rate = loop.history.rate()
        return {
            "epoch": self.epoch, "epochs": epochs, "steps": loop.steps, "total": total, "rate": rate,
            "share": None if not total else min(1.0, loop.steps / total),
            "left": None if not rate or total is None else (total - loop.steps) / rate,
        }

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self._model.parameters())
        train, valid = (_size_words(batches) for batches in (self._train, self._valid))
        steps = self._train.steps_in_epoch()
        clip = Clip.read(self.applied["clip"])
        lines = [
            f"Session of {type(self._model).__name__}: {count:,} parameters, on {self._device} "
            f"with {self._threads} thread{'s' if self._threads != 1 else ''}",
            f"  task       {self._task.name}" + (f", {len(self.classes)} classes" if self.classes else "")
            + f" ({self._task.because})",
            f"  loss       {self._task.loss_name}",
            f"  train      {train}, {shapes(tree_map(lambda t: t[0], self._example))} each, in batches of "
            f"{self._train.batch_size}" + (f": {steps:,} steps an epoch" if steps else ""),
            f"  valid      {valid}",
            f"  optimizer  {type(self.optimizer).__name__}, lr {self._loop.rate.value:g}"
            + (f", clip {clip}" if clip.mode != "off" else ""),
            f"  status     {self.status}, {self._loop.steps:,} steps taken" + (f": {self.error}" if self.error else ""),
        ]
        return "\n".join(lines)

    def __setattr__(self, name: str, value: Any) -> None:
        # A misspelt wish must not vanish into an attribute that nobody reads.
        if name.startswith("_") or hasattr(type(self), name):
            super().__setattr__(name, value)
        else:
            raise AttributeError(f"A Session has no {name!r}.{_meant(name)}")

    # ------------------------------------------------------------------ wishes

    @traitlets.validate("lr")
    def _valid_lr(self, proposal: Any) -> float:
        value = proposal["value"]
        if not math.isfinite(value) or value < 0:
            raise WishError(f"lr={value!r}: a learning rate is a number, 0 or more.")
        return value

    @traitlets.validate("batch_size")
    def _valid_batch_size(self, proposal: Any) -> int:
        self._check_size(proposal["value"])
        return proposal["value"]

    @staticmethod
    def _check_size(size: Any) -> None:
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise WishError(f"batch_size={size!r}: a whole number of samples, 1 or more, is wanted.")

    @traitlets.validate("clip")
    def _valid_clip(self, proposal: Any) -> Any:
        try:
            clip = Clip.read(proposal["value"])
        except ValueError as error:
            raise WishError(str(error)) from None
        return None if clip.mode == "off" else (clip.mode, clip.limit)

    @traitlets.validate("weight_decay")
    def _valid_weight_decay(self, proposal: Any) -> float | None:
        value = proposal["value"]
        if value is not None and (not math.isfinite(value) or value < 0):
            raise WishError(f"weight_decay={value!r}: a number, 0 or more, is wanted.")
        return value

    @traitlets.validate("epochs")
    def _valid_epochs(self, proposal: Any) -> int:
        if proposal["value"] < 1:
            raise WishError(f"epochs={proposal['value']!r}: a whole number, 1 or more, is wanted.")
        return proposal["value"]

    @traitlets.validate("evaluate_every")
    def _valid_evaluate_every(self, proposal: Any) -> Any:
        value = proposal["value"]
        if value not in (None, "epoch") and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise WishError(f'evaluate_every={value!r}: "epoch", a number of steps, or None is wanted.')
        return value

    @traitlets.validate("thresholds")
    def _valid_thresholds(self, proposal: Any) -> Any:
        value = proposal["value"]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        try:
            values = [float(v) for v in value]
        except (TypeError, ValueError):
            raise WishError(f"thresholds={value!r}: one number, or one for each class, is wanted.") from None
        if self.classes is not None and len(values) != len(self.classes):
            raise WishError(f"thresholds has {len(values)} numbers for {len(self.classes)} classes: one for each is wanted.")
        return values

    @contextlib.contextmanager
    def by(self, author: str) -> Iterator[None]:
        """Name who asks, in the ledger, for the wishes set inside the `with` block: "code", "panel"..."""
        token = _author.set(author)
        try:
            yield
        finally:
            _author.reset(token)

    def _wished(self, change: Any) -> None:
        with self._wish_lock:
            self._asked[change["name"]] = (change["new"], _author.get())

    def _goal_moved(self, change: Any) -> None:
        if self._goal is not None:
            self._goal = self._began + change["new"]

    def _pause_wished(self, change: Any) -> None:
        if change["new"]:
            if self._worker.going:
                self._worker.end("paused")
        elif self.status in ("paused", "failed"):
            self._worker.go()

    # ------------------------------------------------------------------ steering

    def start(self, epochs: int | None = None) -> Session:
        """Train in the background for `epochs` more epochs; return at once. A paused session goes on.

        Parameters
        ----------
        epochs : how many epochs; None: as `session.epochs` says, or those a paused run still has to do.
        """
        if epochs is not None:
            self.epochs = epochs
        resuming = self._goal is not None and epochs is None and self.status in ("running", "paused", "failed")
        if not resuming:
            self._began = self._loop.epochs
            self._goal = self._began + self.epochs
        self._until_step = None
        self.paused = False
        self._worker.go()
        return self

    def resume(self) -> Session:
        """Go on after a pause, or after a failure whose cause is mended; return at once."""
        return self.start()

    def pause(self, wait: bool = True) -> Session:
        """Pause after the step that is being taken; with `wait`, return once nothing runs any more."""
        self.paused = True
        return self._settle(wait)

    def stop(self, wait: bool = True) -> Session:
        """End the run after the step that is being taken. `start()` begins another, from the weights of now."""
        was_going = self._worker.end("stopped")
        self._goal = None
        # Where no loop runs, the fact is ours to write.
        if not was_going and self._worker.idle and self.status != "ready":
            self._set(status="stopped", pulse=self.pulse + 1)
        return self._settle(wait)

    def step(self, n: int = 1, wait: bool = True) -> Session:
        """Take `n` steps, then pause. With `wait`, return when they are taken.

        Raises
        ------
        Exception : with `wait`, what the model, the loss or the data raised.
        """
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise ValueError(f"step({n!r}): a whole number of steps, 1 or more, is wanted.")
        self._until_step = self._loop.steps + n
        self.paused = False
        self._worker.go()
        if wait:
            self._wait_for_end(reraise=True)
        return self

    def fit(self, epochs: int | None = None) -> Session:
        """Train and wait until done: for scripts, graders and CI. An interrupt pauses, the model kept.

        Raises
        ------
        Exception : what the model, the loss or the data raised.
        """
        self.start(epochs)
        self._wait_for_end(reraise=True)
        return self

    async def done(self) -> Session:
        """Wait until training ends or pauses, while the browser's messages are let in: `await session.done()`.

        Raises
        ------
        Exception : what the model, the loss or the data raised.
        """
        while not self._worker.idle:
            await asyncio.sleep(0.05)
        self._raise()
        return self

    def evaluate(self) -> Evaluation:
        """Evaluate on the validation data now, between two steps, and return loss, metrics and scores.

        Raises
        ------
        ValueError : there is no validation data.
        """
        if self._valid is None:
            raise ValueError("There is no validation data: pass valid=(X, y) to the Session.")
        return self._result(self.at_step(self._evaluate))

    def predict(self, X: Any, batch_size: int = 256) -> torch.Tensor:
        """Return what the model says of `X`, on the CPU.

        Multilabel: N x C of 0 and 1, at `session.thresholds`; binary: N of 0 and 1; multiclass: N class numbers;
        any other task: the model's output.
        """
        output = self._outputs(X, batch_size)
        if self.task == "multiclass":
            return output.argmax(dim=1)
        if self.task not in ("multilabel", "binary"):
            return output
        scores = self._task.scores(output).double()
        chosen = (scores >= torch.as_tensor(self.thresholds, dtype=torch.float64)).long()
        return chosen.reshape(-1) if self.task == "binary" else chosen

    def predict_scores(self, X: Any, batch_size: int = 256) -> torch.Tensor:
        """Return the probabilities that the model gives to `X` (N x C; N for binary), on the CPU."""
        return self._task.scores(self._outputs(X, batch_size))

    def at_step(self, work: Callable[[], Any]) -> Future[Any]:
        """Run `work()` on the training thread between two steps, or soon where nothing trains; return its Future.

        All computing with the model belongs there: the main thread would slow the training by a third
        (see `core.cpus.release_pool`). Random numbers drawn by `work` do not disturb the training's.
        """
        def apart() -> Any:
            with untouched_rng():
                return work()

        return self._worker.job(apart)

    def close(self) -> None:
        """End the run and let everything go."""
        self.stop()
        self.unobserve_all()

    # ------------------------------------------------------------------ waiting

    def _settle(self, wait: bool) -> Session:
        if wait:
            self._wait_for_end(reraise=False)
        return self

    def _wait_for_end(self, reraise: bool) -> None:
        with self._waiting():
            self._worker.wait()
        if reraise:
            self._raise()

    def _raise(self) -> None:
        if self._exception is not None and self.status == "failed":
            raise self._exception

    def _result(self, future: Future[Any]) -> Any:
        with self._waiting():
            return self._worker.result(future)

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        if self._worker.here:
            yield
            return
        self._set(blocking=True)
        try:
            yield
        finally:
            self._set(blocking=False)

    # ------------------------------------------------------------------ the training thread

    def _burst(self) -> None:
        """Run on the training thread: steps and jobs, until there is nothing to do."""
        with self._borrowed():
            self._run()

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[None]:
        """Take model, random generators and threads for training; give them back as they were."""
        threads = torch.get_num_threads()
        mine = Streams.now()
        with on_device(self._model, self._device), modes_kept(self._model):
            self._streams.install()
            torch.set_num_threads(self._threads)
            self._model.train()
            try:
                yield
            finally:
                self._streams = Streams.now()
                mine.install()
                torch.set_num_threads(threads)

    def _run(self) -> None:
        worker = self._worker
        self._loop.refresh()
        if worker.going:
            self._exception = None
            self._set(status="running", error="", traceback="")
            worker.begun()
            self._publish()
        while True:
            worker.do_jobs()
            if not worker.going:
                break
            if self._asked:
                self._apply()
            try:
                self._advance()
            except Exception as error:  # noqa: BLE001 - becomes a fact
                self._fail(error)
            if time.perf_counter() - self._published >= PUBLISH:
                self._publish()
        if self.status == "running":
            self._set(status=worker.ending or "paused")
            self._publish()

    def _advance(self) -> None:
        """Take one step, and do what an epoch's end or a limit asks for."""
        loop = self._loop
        if self._train.used_up:
            self._finish()
            return
        took = loop.step()
        if not took or self._train.over:
            loop.epochs += 1
            if self._valid is not None and self.evaluate_every == "epoch":
                self._evaluate()
            if self._goal is not None and loop.epochs >= self._goal:
                self._finish()
        if took and isinstance(self.evaluate_every, int) and loop.steps % self.evaluate_every == 0:
            if self._valid is not None:
                self._evaluate()
        if self._until_step is not None and loop.steps >= self._until_step:
            self._until_step = None
            # A run that ends with this very step is done, not paused.
            if self._worker.going:
                self._worker.end("paused")
                self.paused = True

    def _finish(self) -> None:
        self._worker.end("done")
        self._goal = None

    def _evaluate(self) -> Evaluation:
        size = max(256, self._train.batch_size)
        found = self._loop.evaluate(self._valid, size, self.classes)  # type: ignore[arg-type]
        self._loop.history.evaluation(self._loop.steps, valid_loss=found.loss, **found.metrics)
        self._set(evaluation=found, scores=found.scores)
        self._publish()
        return found

    def _outputs(self, X: Any, batch_size: int) -> torch.Tensor:
        X = cast(read_inputs(X, "X"), self._model)
        count = batch_length(X)
        if not count:
            raise ValueError("X has no samples.")

        def forward() -> torch.Tensor:
            parts = []
            for start in range(0, count, batch_size):
                output = self._loop.forward(tree_map(lambda t: t[start : start + batch_size], X))
                if not isinstance(output, torch.Tensor):
                    raise TypeError(f"The model's output is of type {type(output).__name__}: predict() needs a tensor.")
                parts.append(output.cpu())
            return torch.cat(parts)

        return self._result(self.at_step(forward))

    def _fail(self, error: BaseException) -> None:
        self._exception = error
        self._worker.end("failed")
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        sentence = str(error) or type(error).__name__
        if type(error).__name__ not in ("NotFinite",):
            sentence = f"{type(error).__name__}: {sentence}"
        self._set(error=sentence, traceback=text, status="failed")
        self._publish()

    def _apply(self) -> None:
        """Put the wishes in force, and write in the ledger what came of each."""
        with self._wish_lock:
            asked, self._asked = self._asked, {}
        rejected = dict(self.rejected)
        for name, (value, author) in asked.items():
            rejected.pop(name, None)
            before = self._in_force()[name]
            note = self._put_in_force(name, value)
            after = self._in_force()[name]
            refused = note is not None and note.startswith("!")
            note = (note or "").removeprefix("!")
            if refused:
                rejected[name] = note
            elif after == before and not note:
                continue  # there and back again between two steps
            self._ledger.add(Entry(self._loop.steps, name, value, after, author, note, refused))
        self._set(applied=self._in_force(), rejected=rejected)

    def _put_in_force(self, name: str, value: Any) -> str | None:
        """Apply one wish; return what is to be said of it, or "!" and why it is rejected."""
        if name == "lr":
            self._loop.rate.set(value)
        elif name == "batch_size":
            if why := self._train.why_not(value):
                return f"!{why}"
            self._train.batch_size = value
            return self._train.note()
        elif name == "clip":
            self._loop.clip = Clip.read(value)
        elif name == "weight_decay":
            groups = self._loop.optimizer.param_groups
            if "weight_decay" not in groups[0]:
                return f"!{type(self._loop.optimizer).__name__} has no weight decay"
            for group in groups:
                group["weight_decay"] = 0.0 if value is None else value
        return None

    def _in_force(self) -> dict[str, Any]:
        """Return the controls as they are read off the loop, not as they were asked for."""
        clip = self._loop.clip
        return {
            "lr": self._loop.rate.value,
            "batch_size": self._train.batch_size,
            "clip": None if clip.mode == "off" else (clip.mode, clip.limit),
            "weight_decay": self._loop.optimizer.param_groups[0].get("weight_decay"),
        }

    def _publish(self) -> None:
        loop = self._loop
        self._published = time.perf_counter()
        losses = loop.history.columns["loss"].values
        self._set(
            steps=loop.steps,
            epoch=loop.epochs + (0 if self._train.over or not loop.steps else 1),
            loss=float(losses[-1]) if len(losses) else math.nan,
            layer_stats=loop.layer_stats,
        )
        self._set(pulse=self.pulse + 1)
        if self._worker.here and self._threads > 1 and self.pulse % 16 == 0:
            # A cell that used torch meanwhile has given the main thread a pool again.
            self._worker.free_main_pool()

    def probe_layers(self, on: bool) -> None:
        """Say whether somebody looks at `layer_stats`, which are measured only then."""
        self._loop.probe(on)

    def _set(self, **facts: Any) -> None:
        for name, value in facts.items():
            self.set_trait(name, value)


# ---------------------------------------------------------------------- words


def _refuse(unknown: dict[str, Any]) -> None:
    for name in unknown:
        raise TypeError(f"Session has no option {name!r}.{_meant(name)}")


def _meant(name: str) -> str:
    options = [*Session.class_trait_names(), "loss", "task", "optimizer", "classes", "seed", "device", "target", "valid"]
    near = _MEANT.get(name.lower()) or next(iter(difflib.get_close_matches(name, options, n=1)), None)
    return f" Did you mean {near!r}?" if near else ""


def _size_words(batches: Any) -> str:
    if batches is None:
        return "none"
    return f"{batches.samples:,} samples" if batches.samples is not None else "samples not counted"
