"""The verbs of a session: start, pause, step, stop, wait, freeze, evaluate, predict."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..base.trees import tree_map
from ..controls import wishes
from ..data.setup import Opened
from ..scoring.evaluation import Evaluation
from .prediction import outputs, read_for_prediction
from .snapshots.weights_file import save_weights
from .trainer import Trainer

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..controls.schedule.rate import Coming
    from ..layers.summary import Summary

#: How long a wish that holds at rest too is waited for, lest a long job holds up who made it [s].
_PATIENCE = 2.0


class Runnable:
    """Something that trains and can be told so; a session without its traits.

    Whoever inherits sets `_trainer` and `_opened`, has the wishes `epochs`, `thresholds` and `trainable` and
    the facts `applied` and `rejected`, calls `_ask` where a wish changes, and may take notice of orders
    (`_ordered`) and of callers that wait (`_blocks`). All methods may be called from any
    thread, also from observers on the training thread, where none of them waits.
    """

    _trainer: Trainer
    _opened: Opened
    epochs: int
    thresholds: Any
    trainable: Any
    applied: dict[str, Any]
    rejected: dict[str, str]

    def __init__(self) -> None:
        super().__init__()
        self._summary: Summary | None = None
        self._choosing = threading.RLock()
        self._closed = False
        self._waiters, self._counting = 0, threading.Lock()

    # -- steering

    def start(self, epochs: int | None = None) -> Self:
        """Train in the background for `epochs` more epochs; return at once. A paused session goes on.

        Parameters
        ----------
        epochs : how many epochs; None: as `session.epochs` says, or those a paused run still has to do. The
            rest of an epoch that was broken off counts as the first.

        Raises
        ------
        ValueError : the data was a generator, which has been read to its end.
        """
        self._check_open()
        if self._opened.train.used_up:
            raise ValueError(
                "train was a generator and has been read to its end: pass a list of batches, or a Dataset."
            )
        done, anew = self._trainer.loop.epochs, epochs is not None
        wanted = self.epochs if epochs is None else wishes.read_epochs(epochs)
        self._trainer.orders.start(done, wanted, anew)
        self.epochs = wanted
        return self._go()

    def resume(self) -> Self:
        """Go on after a pause, or after a failure whose cause is mended; return at once."""
        return self.start()

    def pause(self, wait: bool = True) -> Self:
        """Pause after the step that is being taken; with `wait`, return once nothing runs any more.

        An evaluation that was due is not waited for: it is made when the run goes on.
        """
        self._trainer.orders.pause()
        return self._settle(wait)

    def stop(self, wait: bool = True) -> Self:
        """End the run after the step that is being taken; `start()` begins another, from these weights."""
        self._trainer.orders.stop()
        return self._settle(wait)

    def step(self, n: int = 1, wait: bool = True) -> Self:
        """Take `n` steps, then pause. With `wait`, return when they are taken; an interrupt pauses.

        Raises
        ------
        Exception : with `wait`, what the model, the loss or the data raised.
        """
        self._check_open()
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise ValueError(f"step({n!r}): a whole number of steps, 1 or more, is wanted.")
        with self._interruptible(wait):
            self._trainer.orders.step(until=self._trainer.loop.steps + n)
            self._go()
        return self

    def fit(self, epochs: int | None = None) -> Self:
        """Train and wait until done: for scripts, graders and CI. An interrupt pauses, the model kept.

        A pause by anybody ends the waiting; `resume()` or another `fit()` goes on.

        Raises
        ------
        Exception : what the model, the loss or the data raised.
        """
        with self._interruptible():
            self.start(epochs)
        return self

    async def done(self) -> Self:
        """Wait for the end or a pause while the browser's messages are let in: `await session.done()`.

        Raises
        ------
        Exception : what the model, the loss or the data raised.
        """
        while not self._trainer.worker.idle:
            await asyncio.sleep(0.02)
        self._raise()
        return self

    def skip(self) -> int:
        """Leave out the batch that comes next, such as one that fails; return the number of its samples."""
        return self._result(self._trainer.skip)

    def close(self) -> None:
        """End the run and let workers go. What was measured can still be read."""
        if not self._closed:
            self.stop()
            self._closed = True
            self._opened.train.close()

    def freeze(self, *what: Any) -> Self:
        """Have `what` train no more, from the next step on; its weights and BatchNorm statistics stay.

        It is written into the wish `session.trainable`, and stays after `stop()` and `close()`. Where nothing
        runs it is so at once. `rejected["trainable"]` says why, where it cannot be.

        Parameters
        ----------
        what : layers, with everything below them, or parameters: a path as "features" or "features.0.weight",
            a pattern as "*.bias", "" for the whole model, or the module or parameter itself.

        Raises
        ------
        TypeError, ValueError : the model has no such part.
        """
        if not what:
            raise TypeError("freeze() wants to know what, as freeze('features') or freeze(model.features).")
        return self._choose(what, False)

    def unfreeze(self, *what: Any) -> Self:
        """Have `what` train again, from the next step on, also what was frozen before the session.

        Momentum and the like go on from where they were held; what the optimizer was never given is added to
        it. Everything else is as in `freeze`; without `what`, the whole model trains.
        """
        return self._choose(what or ("*",), True)

    def coming_rates(self, points: int = 200) -> Coming:
        """Return the rates that are to come, to be drawn before and during the run: see `Coming`.

        Steps count as in `history()`, up to the end of the run; before `start()`, of the run that it would
        begin. Nothing is touched by it. What waits for a metric (plateau) is drawn flat, and `note` says so.
        """
        return self._trainer.loop.rate.coming(points)

    @property
    def columns(self) -> tuple[Any, ...] | None:
        """The columns of the DataFrame that the inputs were, in order; None where they were none."""
        return self._opened.columns

    # -- asking the model

    def evaluate(self) -> Evaluation:
        """Evaluate on the validation data now, between two steps, and return loss, metrics and scores.

        Raises
        ------
        ValueError : there is no validation data.
        """
        if self._opened.valid is None:
            raise ValueError("There is no validation data: pass valid=(X, y) to the Session.")
        return self._result(self._trainer.evaluate)

    def predict(self, X: Any, batch_size: int = 256, labels: bool = True) -> torch.Tensor:
        """Return what the model says of `X`, on the CPU.

        Multilabel: N x C of 0 and 1, at `session.thresholds`; binary: N of 0 and 1; multiclass: N class
        numbers; any other task: the model's output. `X` is as in `train=(X, y)`, or a Dataset or DataLoader.

        Parameters
        ----------
        batch_size : samples that are computed at a time.
        labels : False: the probabilities instead, as `predict_scores` returns them.
        """
        if not labels:
            return self.predict_scores(X, batch_size)
        return self._opened.task.predictions(self._outputs(X, batch_size), self.thresholds)

    def predict_scores(self, X: Any, batch_size: int = 256) -> torch.Tensor:
        """Return the probabilities that the model gives to `X` (N x C; N for binary), on the CPU."""
        return self._opened.task.scores(self._outputs(X, batch_size))

    def save(self, path: Any, averaged: bool = True) -> Path:
        """Write the weights of now, between two steps, to a file; return its path.

        It is a state dict for the model as its class makes it: `model.load_state_dict(torch.load(path,
        weights_only=True))`. It is written whole or not at all.

        Parameters
        ----------
        averaged : where `ema` is on, write the averaged weights, as `predict` uses them.

        Raises
        ------
        OSError : it cannot be written there.
        """
        return save_weights(self._result(lambda: self._trainer.loop.regimen.weights(averaged)), path)

    def layers(self) -> Summary:
        """Return the model as a table of its layers, for one training sample, and what of it trains now."""
        from ..layers.summary import summary, with_trainable

        if self._summary is None:
            inputs = tree_map(lambda t: t[:1] if t.ndim else t, self._opened.example)
            # On the training thread: what looks into the model must not find it in the middle of a step.
            self._summary = self._result(lambda: summary(self._trainer.loop.model, inputs))
        else:
            self._summary = with_trainable(self._summary, self._trainer.loop.model)
        return self._summary

    def at_step(self, work: Callable[[], Any]) -> Future[Any]:
        """Run `work()` on the training thread, between two steps where it trains; return its Future.

        All computing with the model belongs there: the main thread would slow the training by a third (see
        `core.base.cpus.release_pool`). Random numbers that it draws and `model.eval()` do not disturb the
        training.
        """
        self._check_open()
        return self._trainer.at_step(work)

    def at_batch(self, work: Callable[[], Any]) -> Future[Any]:
        """Run `work()`, which only looks at the model, as `at_step` does, and in the midst of an evaluation too.

        Whoever looks does not wait for thousands of validation samples. The model is in eval mode then, and
        `work` sets no wish and changes no weight.
        """
        self._check_open()
        return self._trainer.at_step(work, looks=True)

    def _outputs(self, X: Any, batch_size: int) -> torch.Tensor:
        batch_size = wishes.read_batch_size(batch_size)
        X = read_for_prediction(X, self._opened)
        return self._result(lambda: outputs(self._trainer.loop, X, batch_size))

    # -- waiting

    def _ordered(self) -> None:
        """Take notice that an order was given."""

    def _blocks(self, on: bool) -> None:
        """Take notice of whether a caller waits."""

    def _choose(self, what: tuple[Any, ...], trains: bool) -> Self:
        self._check_open()
        loop = self._trainer.loop
        with self._choosing:  # two threads that freeze at once lose neither
            refused = "trainable" in self.rejected and not self._trainer.waits("trainable")
            # What was refused is not built upon: the person saw it refused, and goes on from what is so.
            now = self.applied["trainable"] if refused else self.trainable
            self.trainable = loop.freezing.added(now, what, trains, loop.optimizer)
        return self

    def _ask(self, name: str, by: str) -> None:
        """Have a wish that changed put in force; where it is at once, return after that."""
        future = self._trainer.asked(name, by)
        if future is not None and not self._trainer.worker.here:
            concurrent.futures.wait([future], timeout=_PATIENCE)
            if future.done():
                future.result()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("The session is closed: make a new one.")

    def _go(self) -> Self:
        self._ordered()
        self._trainer.worker.wake()
        return self

    def _settle(self, wait: bool) -> Self:
        """Let the training thread tell how it ended, unless somebody starts it again meanwhile."""
        self._go()
        if wait:
            with self._waiting():
                self._trainer.worker.wait(until=lambda: self._trainer.orders.going)
        return self

    @contextlib.contextmanager
    def _interruptible(self, wait: bool = True) -> Iterator[None]:
        """Wait for the end of what was started inside; an interrupt pauses it, a second gives up waiting."""
        try:
            yield
            if not wait:
                return
            with self._waiting():
                self._trainer.worker.wait()
        except KeyboardInterrupt:
            self._trainer.orders.pause()
            self._settle(wait=True)
        self._raise()

    def _raise(self) -> None:
        if self._trainer.failure is not None:
            raise self._trainer.failure

    def _result(self, work: Callable[[], Any]) -> Any:
        future = self.at_step(work)
        with self._waiting():
            return self._trainer.worker.result(future)

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        if self._trainer.worker.here:
            yield
            return
        try:
            self._count(1)
            yield
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._counting:
            self._waiters += more
        self._blocks(self._waiters > 0)
