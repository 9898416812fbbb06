"""A run whose steps another loop takes, each granted."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from ..base.words import pluralize
from ..controls.clipping import Clip
from ..data.hosted_batches import HostedBatches
from .loop import HELPS, NotFinite

if TYPE_CHECKING:
    from .run import Run

#: How long either side waits before it looks whether the other is still there [s].
_PATIENCE = 0.05
#: So many first steps of a run are all looked at.
_FIRST = 10


class Host:
    """What a run asks of the loop that takes its steps.

    All but `name` is asked on the training thread while the loop waits.

    Attributes
    ----------
    name, optimizer_name : what the loop and its optimizer are called in sentences.
    hides_state : whether the rate can be read only where the training thread has called `ready`.
    """

    name = "another loop"
    optimizer_name = "HostedOptimizer"
    hides_state = False

    def alive(self) -> bool:
        """Say whether the loop, in a step, is under way."""
        return True

    def ready(self) -> None:
        """Have the model's weights in the model, once a step was taken."""

    def rate(self) -> float | None:
        """Return the learning rate of the next step."""
        return None

    def set_rate(self, rate: float) -> None:
        """Have the next step taken with a rate."""
        raise ValueError(f"{self.name} has no rate that could be set")

    def clip(self) -> Clip:
        """Return how gradients are clipped."""
        return Clip()

    def set_clip(self, clip: Clip) -> str:
        """Have the gradients of the next step clipped; return a note."""
        raise ValueError(f"{self.name} clips as it was told when it began")

    def why_not(self, control: str, wish: Any) -> str:
        """Return why a wish cannot be met, or "".

        Asked with a wish of None, it is about the control as a whole.
        """
        return ""

    def parameters(self) -> list[nn.Parameter]:
        """Return what the optimizer moves."""
        return []

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what the optimizer keeps, as tensors that are written in place."""
        return {}

    def why_not_measured(self) -> str:
        """Return why no step shows its layers, or ""."""
        return f"{self.name} does not show its steps from inside"

    def notes(self) -> list[str]:
        """Return what a person should know of it, in sentences."""
        return []

    def check(self) -> None:
        """Raise ValueError, in a clause, where the next step would fail."""

    def left(self) -> None:
        """Be as before the run followed."""

    def why_no_way_back(self) -> str:
        """Return why no state can be put back, or ""."""
        return ""


class HostedOptimizer(Optimizer):
    """Another loop's optimizer, as far as a run reads and writes it.

    Its groups hold the rate, and its state what the optimizer keeps, in the loop's own tensors.
    """

    of_another_loop = True

    def __init__(self, host: Host, kept: Mapping[str, torch.Tensor]) -> None:
        rate, moved = host.rate(), host.parameters()
        super().__init__([{"params": moved, **({} if rate is None else {"lr": rate})}], {})
        self.kept = self.state[moved[0]] = dict(kept)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        raise RuntimeError("Another loop moves the weights.")


class Hosting:
    """Has a run follow a loop that is not its own.

    The loop's thread calls `begin`, `stepped`, `epoch_ended` and `finished`, and waits in each of them until it may
    go on. The training thread works only while it waits: exactly one of the two runs at any time. Where nothing is to
    be done, and no facts are due, `stepped` writes the step down by itself.

    Attributes
    ----------
    over : whether the loop has ended.
    """

    def __init__(self, run: Run, host: Host) -> None:
        self._run, self.host = run, host
        self._change = threading.Condition()
        #: Whether the loop takes a step; what is to be done on the training thread once it was taken.
        self._granted, self._report = False, None
        self.over = False
        self._waiting = contextlib.ExitStack()  # the count of those who wait for the run
        self._batches = HostedBatches()
        self._granted_at = time.perf_counter()

    # -- the loop's thread

    def begin(self, epochs: int, steps: int | None, batch_size: int | None = None) -> bool:
        """Begin a run of so many epochs; return whether to take steps.

        Raises
        ------
        RuntimeError : in a sentence: the session is closed, or trains already.
        """
        run = self._run
        run.check_open()
        if run.hosting is not None and run.hosting.host.alive() or run.orders.going or run.orders.paused:
            raise RuntimeError(
                f"The session has a run already, at step {run.loop.steps:,}: session.stop() ends it, and then "
                f"{self.host.name} can train."
            )
        own = run.data.train
        self._batches = batches = own if isinstance(own, HostedBatches) else HostedBatches()
        batches.each, batches.taken, batches.batch_size = steps, 0, batch_size or run.loop.batches.batch_size
        run.result(self._attach)
        if run.worker.threadless:
            self.over = True
            run.result(self._detach)
            raise RuntimeError(
                f"{self.host.name} cannot be followed here, where no thread can be started: session.fit() trains."
            )
        if threading.current_thread() is threading.main_thread():
            self._waiting.enter_context(run.waiting())
        run.orders.start(run.loop.epochs, epochs)
        run.go()
        return self.may_step()

    def may_step(self) -> bool:
        """Return whether to take a step; a pause waits.

        Raises
        ------
        Exception : what made the run fail.
        """
        run = self._run
        try:
            while True:
                with self._change:
                    if self._granted:
                        return True
                    if self.over or run.worker.idle and self._ended():
                        break
                    self._change.wait(_PATIENCE)
        except BaseException as error:
            self.failed(error)
            raise
        if run.failure is not None and not self.over:
            self.finished()
            raise run.failure
        return False

    def stepped(self, loss: float, size: int, rate: float, measured: Mapping[str, float]) -> bool:
        """Tell of a step on `size` samples; return whether to go on."""
        now = time.perf_counter()
        seconds, self._granted_at = now - self._granted_at, now
        if not self._granted or self._must_meet(loss):
            return self._hand_over(lambda: self._took(loss, size, rate, seconds, measured))
        # The training thread waits: a step of which it need not know now costs no change of threads.
        self._took(loss, size, rate, seconds, measured)
        self.write()
        return True

    def _must_meet(self, loss: float) -> bool:
        """Say whether the training thread is to work after this step."""
        run = self._run
        if self.host.hides_state or run.loop.steps < _FIRST or not math.isfinite(loss):
            return True
        return run.has_work_after_step()

    def epoch_ended(self, figures: Mapping[str, float]) -> bool:
        """Tell of an epoch's end and its figures; as `stepped`."""
        return self._hand_over(lambda: self._epoch_over(figures))

    def finished(self) -> None:
        """Tell that the loop has ended by itself."""
        self._leave(self._end)

    def failed(self, error: BaseException) -> None:
        """Tell that an exception ends the loop."""
        self._leave(lambda: self._break(error))

    def _hand_over(self, report: Callable[[], bool]) -> bool:
        with self._change:
            if not self._granted:
                return False  # stopped: nobody listens
            self._granted, self._report = False, report
            self._change.notify_all()
        return self.may_step()

    def _leave(self, report: Callable[[], bool]) -> None:
        """Have the run end, and be as before there was a loop."""
        if self.over:
            return
        with self._change:
            self.over, listens = True, self._granted
            if listens:
                self._granted, self._report = False, report
                self._change.notify_all()
        run = self._run
        if not listens and (run.orders.going or run.orders.paused):
            self._break(None)
        run.settle(wait=False)
        run.worker.wait()
        if run.hosting is self:
            run.result(self._detach)

    def _ended(self) -> bool:
        orders = self._run.orders
        return not orders.going and (not orders.paused or self._run.failure is not None)

    # -- the training thread

    def take_step(self) -> bool:
        """Have the loop take a step, or end its epoch; see `Loop.step`.

        Raises
        ------
        ValueError : in a clause, where steps are to be taken that are not the loop's next.
        NotFinite : the loss became infinite or NaN.
        """
        run = self._run
        if run.elsewhere:
            raise ValueError(
                f"{self.host.name} takes each step once, and goes on in its data: rewind(step, exact=False) "
                "goes to the nearest state that is kept"
            )
        self.write()
        lost = False
        with self._change:
            self._granted, self._report, self._granted_at = True, None, time.perf_counter()
            self._change.notify_all()
            while self._report is None:
                self._change.wait(_PATIENCE)
                if self._report is None and (lost := not self.host.alive()):
                    self.over, self._granted, self._report = True, False, lambda: self._break(None)
        report, self._report = self._report, None
        if not self.over:
            self.host.ready()
        try:
            return report()
        finally:
            if lost:
                self._detach()

    def _took(self, loss: float, size: int, rate: float, seconds: float, measured: Mapping[str, float]) -> bool:
        loop, batches = self._run.loop, self._batches
        batches.taken, batches.batch_size = batches.taken + 1, size if not batches.taken else batches.batch_size
        self._read()
        loop.took(loss, size, rate, seconds, measured)
        if not math.isfinite(loss):
            if not loop.watch.why_not and (loop.layer_stats is None or loop.layer_stats.step != loop.steps):
                loop.layer_stats = loop.watch.failed(loop.steps) or loop.layer_stats
            raise NotFinite(f"The loss became {loss} in step {loop.steps} of {self.host.name}. {HELPS}")
        return True

    def _epoch_over(self, figures: Mapping[str, float]) -> bool:
        self._read()
        self._batches.taken = 0
        self._run.loop.epoch_over(figures)
        return False

    def _end(self) -> bool:
        orders = self._run.orders
        if orders.going or orders.paused:
            orders.finish()
        return False

    def _break(self, error: BaseException | None) -> bool:
        run = self._run
        where = pluralize(run.loop.steps, "step")
        if error is not None and isinstance(error, Exception):
            raise error
        run.orders.stop()
        run.note(f"{self.host.name} was left before its end, after {where}: the model is as it was left.")
        return False

    def _attach(self) -> None:
        run, host = self._run, self.host
        host.ready()
        loop, kept = run.loop, host.tensors()
        if not isinstance(now := loop.optimizer, HostedOptimizer):
            run.own_optimizer = now
        made = now
        if not isinstance(now, HostedOptimizer) or [*map(id, now.kept.values())] != [*map(id, kept.values())]:
            made = type(host.optimizer_name, (HostedOptimizer,), {})(host, kept)
        left, loop.left_for_host = loop.left_for_host, {}
        if left.keys() == kept.keys() and all(one.shape == left[name].shape for name, one in kept.items()):
            for name, one in kept.items():
                one.copy_(left[name])
        elif left:
            run.note(f"The optimizer of {host.name} is another than then, and begins anew.")
        for said in host.notes():
            run.note(said)
        loop.watch.why_not = host.why_not_measured()
        loop.clip, self._batches.why_not_kept = host.clip(), host.why_no_way_back()
        run.hosting = loop.host = run.steering.host = self
        run.exchange(self._batches, made)
        run.tell(host=host.name)

    def _detach(self) -> None:
        run = self._run
        run.hosting = run.loop.host = run.steering.host = None
        self.host.left()
        self._waiting.close()
        run.tell(host="")

    def _read(self) -> None:
        """Take over the rate that the loop's own schedule has set."""
        rate = self.host.rate()
        for group in self._run.loop.optimizer.param_groups:
            if rate is not None:
                group["lr"] = rate

    def write(self) -> str:
        """Put in force what was written; return a note.

        Raises
        ------
        ValueError : in a clause, what the loop does not take.
        """
        loop, host, note = self._run.loop, self.host, ""
        try:
            for group in loop.optimizer.param_groups:
                if "lr" in group and group["lr"] != host.rate():
                    host.set_rate(float(group["lr"]))
            if loop.clip != host.clip():
                note = host.set_clip(loop.clip)
        finally:
            self._read()
            loop.clip = host.clip()
        return note

    def put_in_force(self) -> str:
        """Put in force what a control has changed; return a note.

        Raises ValueError, in a clause, where the loop does not take it.
        """
        note = self.write()
        self.host.check()
        return note

    def why_not(self, control: str, wish: Any = None) -> str:
        """Return why a wish cannot be met, or ""."""
        return self.host.why_not(control, wish)
