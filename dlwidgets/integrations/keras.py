"""Keras's own `fit` as the loop that a session follows and steers."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.controls.clipping import Clip
from ..core.layers import framework
from ..core.training.hosted import Host, Hosting

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..core.training.run import Run

_COMPILED = "fit moves the weights by the compiled {}: model.compile({}=...) and another fit change it"
#: Why a control cannot be changed while fit trains, on any backend.
_NOT_THERE = {
    "batch_size": "batch_size= is an argument of model.fit, which cuts its own data",
    "epochs": "epochs= is an argument of model.fit, which was told how many",
    "optimizer": _COMPILED.format("optimizer", "optimizer"),
    "momentum": _COMPILED.format("optimizer", "optimizer"),
    "betas": _COMPILED.format("optimizer", "optimizer"),
    "weight_decay": _COMPILED.format("optimizer", "optimizer"),
    "lr_scale": "a Keras optimizer has one rate for all weights",
    "loss_function": "fit computes the compiled loss: model.compile(loss=...) and another fit change it",
    "loss_weights": "fit computes the compiled loss: model.compile(loss_weights=...) and another fit change it",
    "label_smoothing": "fit computes the compiled loss, whose own label_smoothing= it has",
    "accumulate": "a Keras optimizer accumulates by itself: gradient_accumulation_steps= of it",
    "input_scaling": "fit hands its data to the model as it is: a layer Rescaling or Normalization scales it",
    "head": "fit goes on with the layers and labels that it began with: give the model its new head before",
    "precision": "Keras chose it when the layers were made: keras.mixed_precision.set_global_policy(...) before that",
    "threads": "fit goes on with as many as it began with: torch.set_num_threads(...) before it",
}
#: What changes the step itself, which TensorFlow and JAX trace once.
_IN_STEP = frozenset(("trainable", "unfreeze_at", "dropout", "reinitialise", "normalise", "ema"))


def make_callback(run: Run, check: Callable[[], None]) -> Any:
    """Return a `keras.callbacks.Callback` by which a run follows `fit`.

    `check()` raises where the model must not be trained now. TypeError says that the model is none of Keras's.
    """
    if not framework.framework_of(run.loop.model).trains_itself:
        raise TypeError(
            f"keras_callback() is for Keras models, and this is a {type(run.loop.model).__name__}: session.start() "
            "trains it."
        )
    return _callback_class()(run, check)


@functools.cache
def _callback_class() -> type:
    import keras

    class SessionCallback(keras.callbacks.Callback):
        """Has a session of dlwidgets follow and steer `model.fit`."""

        def __init__(self, run: Run, check: Callable[[], None]) -> None:
            super().__init__()
            self._run, self._check = run, check
            self._hosting: Hosting | None = None
            self._fit: Fit | None = None

        def on_train_begin(self, logs: Any = None) -> None:
            session_model = framework.handed_over(self._run.loop.model)
            if self._model is not session_model:
                raise ValueError(
                    f"This callback is of a session of another model ({session_model.name}) than fit trains "
                    f"({self._model.name}): dlwidgets.Session(model, ...) makes one of its own."
                )
            self._check()
            self._hosting = None

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if self._hosting is not None:
                return
            self._fit = Fit(self._model, self._run)
            self._hosting = Hosting(self._run, self._fit)
            size = self._fit.called_with.get("batch_size")
            try:
                self._go_on(self._hosting.begin(self.params["epochs"] - epoch, self.params.get("steps"), size))
            except BaseException:
                self._fit.left()
                raise
            self._fit.listen(self._hosting)

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if self._fit is not None:
                self._fit.begin_step()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self._hosting is not None and self._fit is not None:
                self._go_on(self._hosting.stepped(*self._fit.last_step(logs or {})))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if self._hosting is not None and self._fit is not None:
                self._go_on(self._hosting.epoch_ended(self._fit.figures(logs or {})))

        def on_train_end(self, logs: Any = None) -> None:
            if self._hosting is not None:
                self._hosting.finished()
            self._hosting = self._fit = None

        def _go_on(self, goes_on: bool) -> None:
            if not goes_on:
                self._model.stop_training = True

    return SessionCallback


class Fit(Host):
    """A `fit` under way, as a run asks it.

    Attributes
    ----------
    called_with : the arguments of fit, where they are to be had.
    """

    name = "Keras's fit"

    def __init__(self, model: Any, run: Run) -> None:
        import keras

        self._model, self._run, self._backend = model, run, keras.config.backend()
        self.hides_state = self._backend == "jax"
        self._optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        self.optimizer_name = type(self._optimizer).__name__
        eager = model.run_eagerly or (self._backend == "torch" and model.jit_compile is not True)
        #: Why a step cannot be changed from outside; "" where it can.
        self._traced = "" if eager else (
            f"Keras traced its step with {_BACKENDS[self._backend]}, and would not see a change: "
            "model.compile(..., run_eagerly=True), or the torch backend, lets it be changed"
        )  # fmt: skip
        self._asked: float | None = None
        #: What a person made of the rate that Keras's own schedule gives.
        self._factor = 1.0
        self._schedule: Any = None
        self._thread, self._frame = threading.get_ident(), _find_fit(model)
        self.called_with: Mapping[str, Any] = {} if self._frame is None else dict(self._frame.f_locals)
        #: Loss, samples and rate of the step under way, as they are seen; totals of the loss up to the last.
        self._seen: tuple[Any, Any] | None = None
        self._taken_at, self._totals = 0.0, (0.0, 0.0)
        self._undo: list[Callable[[], None]] = []
        self._forward = contextlib.ExitStack()  # what hears of activations, up to the loss
        #: Takes a step of Keras's; what stands in its place while the session follows.
        self._take: Any = None
        self._step: Any = None

    # -- its own thread

    def listen(self, hosting: Hosting) -> None:
        """Have each step tell its loss, its rate, and what it raises."""
        model, watch, self._take = self._model, self._run.loop.watch, self._model.train_function

        def step(*batch: Any) -> Any:
            if not self.hides_state:
                self._taken_at = self.rate() or 0.0
            self._look()
            try:
                return self._take(*batch)
            except BaseException as error:
                # On other backends the step draws its batch, and so is told of the end of the data.
                if type(error).__name__ not in ("StopIteration", "OutOfRangeError"):
                    hosting.failed(error)
                raise
            finally:
                self._forward.close()

        model.train_function = self._step = step
        self._undo.append(lambda: setattr(model, "train_function", self._take))
        tracker = getattr(model, "_loss_tracker", None)
        if tracker is not None and not self._traced:
            update = tracker.update_state

            def see(values: Any, sample_weight: Any = None) -> Any:
                self._seen = values, sample_weight
                self._forward.close()
                watch.see_loss(values)
                return update(values, sample_weight=sample_weight)

            tracker.update_state = see
            self._undo.append(lambda: vars(tracker).pop("update_state", None))
        if not self.why_not_measured():
            self._follow_optimizer()

    def _look(self) -> None:
        """Have the step that begins measured if it is time."""
        each = self._optimizer.gradient_accumulation_steps
        if not self.why_not_measured() and not (each and (_number(self._optimizer._iterations) + 1) % each):
            self._forward.enter_context(self._run.loop.watch.forward())

    def _follow_optimizer(self) -> None:
        """Have the layers measured with the gradients that move the weights."""
        optimizer, watch = self._optimizer, self._run.loop.watch
        clip, decay = optimizer._clip_gradients, optimizer._apply_weight_decay
        clipped: list[torch.Tensor] = []

        def note_clipped(gradients: Any) -> Any:
            clipped[:] = found = clip(gradients)
            return found

        def note_weights(variables: Any) -> None:
            if watch.looking:
                own = [one.value.grad for one in variables]
                for one, gradient in zip(variables, clipped):
                    one.value.grad = gradient
                watch.before()
                for one, gradient in zip(variables, own):
                    one.value.grad = gradient
            clipped.clear()
            decay(variables)

        optimizer._clip_gradients, optimizer._apply_weight_decay = note_clipped, note_weights
        self._undo += [partial(vars(optimizer).pop, name) for name in ("_clip_gradients", "_apply_weight_decay")]

    def begin_step(self) -> None:
        """Note the rate of a step in which it cannot be read."""
        if self.hides_state:
            self._taken_at = self.rate() or 0.0

    def last_step(self, logs: Mapping[str, Any]) -> tuple[float, int, float, dict[str, float]]:
        """Return the last step's loss, samples, rate, and metrics so far."""
        metrics = {f"train_{name}": number for name, number in _numbers(logs).items() if name != "loss"}
        size = self._run.loop.batches.batch_size
        seen, self._seen = self._seen, None
        if seen is not None:
            return _number(seen[0]), size if seen[1] is None else int(seen[1]), self._taken_at, metrics
        self.ready()
        tracker = getattr(self._model, "_loss_tracker", None)
        totals = (0.0, 0.0) if tracker is None else (_number(tracker.total), _number(tracker.count))
        before, self._totals = self._totals, totals
        if totals[1] < before[1] or totals == (0.0, 0.0):
            before = 0.0, 0.0  # an epoch began
        count = totals[1] - before[1]
        loss = (totals[0] - before[0]) / count if count else _numbers(logs).get("loss", np.nan)
        return loss, int(count) or size, self._taken_at, metrics

    def figures(self, logs: Mapping[str, Any]) -> dict[str, float]:
        """Return what fit's own validation found, by the names of the history.

        Where the session evaluates by itself they keep Keras's names: "val_loss" beside "valid_loss".
        """
        self._totals = 0.0, 0.0
        found = {name: one for name, one in _numbers(logs).items() if name.startswith("val_")}
        if self._run.data.valid is not None and self._run.wish("evaluate_every") is not None:
            return found
        return {"valid_loss" if name == "val_loss" else name[4:]: number for name, number in found.items()}

    # -- what a run asks

    def alive(self) -> bool:
        frame = sys._current_frames().get(self._thread)
        if self._frame is None:
            return frame is not None
        while frame is not None and frame is not self._frame:
            frame = frame.f_back
        return frame is not None

    def ready(self) -> None:
        if self._backend == "jax":
            self._model.jax_state_sync()
        elif self._backend == "torch" and "_torch_params" in self._model._modules:
            framework.adopt(self._model)  # fit has built the model once more

    def left(self) -> None:
        while self._undo:
            self._undo.pop()()
        self._frame, self.called_with = None, {}

    def rate(self) -> float | None:
        found = _number(self._optimizer.learning_rate)
        # Kept as it was asked for, where a single precision is all that lies between.
        same = self._asked is not None and np.float32(self._asked) == np.float32(found)
        return self._asked if same else float(str(np.float32(found)))

    def set_rate(self, rate: float) -> None:
        import keras

        optimizer, self._asked = self._optimizer, rate
        own = optimizer._learning_rate
        if isinstance(own, keras.Variable):
            optimizer.learning_rate = rate
            return
        if self._schedule is None:
            self._schedule = own
            self._undo.append(lambda: setattr(optimizer, "learning_rate", self._schedule))
            optimizer.learning_rate = _scaled(own, lambda: self._factor)
        before = self.rate() or 0.0
        if before:
            self._factor *= rate / before

    def clip(self) -> Clip:
        one = self._optimizer
        if one.clipnorm:
            return Clip("each", float(one.clipnorm))
        if one.global_clipnorm:
            return Clip("norm", float(one.global_clipnorm))
        return Clip("value", float(one.clipvalue)) if one.clipvalue else Clip()

    def set_clip(self, clip: Clip) -> str:
        one = self._optimizer
        one.clipnorm = clip.limit if clip.mode == "each" else None
        one.global_clipnorm = clip.limit if clip.mode == "norm" else None
        one.clipvalue = clip.limit if clip.mode == "value" else None
        if not self._traced:
            return ""
        # Of itself Keras goes on with the step that it traced, and the change would do nothing.
        self._model.make_train_function(force=True)
        self._take, self._model.train_function = self._model.train_function, self._step
        return f"the step, which {_BACKENDS[self._backend]} would have gone on with as it was, is traced anew"

    def why_not(self, control: str, wish: Any) -> str:
        import keras

        if control in _NOT_THERE:
            return _NOT_THERE[control]
        if control in _IN_STEP and self._traced:
            return self._traced
        if control == "clip" and wish is not None and wish[0] == "adaptive":
            return "a Keras optimizer clips by norm or by value alone"
        if control in ("lr", "schedule") and not isinstance(self._optimizer._learning_rate, keras.Variable):
            if self._traced:
                return f"the rate goes by a schedule of Keras's own, and {self._traced}"
            if control == "schedule":
                return "the rate goes by a schedule of Keras's own: lr= scales it"
        return ""

    def parameters(self) -> list[nn.Parameter]:
        if self._backend == "torch":
            return [one.value for one in self._model.trainable_variables]
        return list(self._run.loop.model.parameters())

    def tensors(self) -> dict[str, torch.Tensor]:
        if self._backend != "torch":
            return {}
        # Without the optimizer's name, which Keras numbers.
        return {one.path.partition("/")[2]: one.value for one in self._optimizer.variables}

    def why_not_measured(self) -> str:
        if self._backend == "torch" and not self._traced:
            return ""
        return f"fit's step runs inside {_BACKENDS[self._backend]}, which shows no gradients or activations of it"

    def notes(self) -> list[str]:
        one, each = self._optimizer, self._model.steps_per_execution
        said = []
        if one.clipnorm:
            said.append(
                f"Keras clips the gradient of each weight by its own norm, at clipnorm={one.clipnorm:g}, which is not "
                "shown as clipping here; session.clip takes its place."
            )
        if each > 1:
            said.append(f"Keras takes {each} steps at a time (steps_per_execution): here they count as one.")
        return said

    def check(self) -> None:
        if not self._optimizer.built:
            return  # it will be in the first step, of what trains then: TensorFlow traces that late
        known = self._optimizer._trainable_variables_indices
        if any(self._optimizer._var_key(one) not in known for one in self._model.trainable_variables):
            raise ValueError("Keras's optimizer was made without these weights: model.compile(...) and another fit")

    def why_no_way_back(self) -> str:
        return "" if self._backend == "torch" else f"the weights are {_BACKENDS[self._backend]}'s"


_BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch.compile"}


def _find_fit(model: Any) -> Any:
    """Return the frame of this thread's fit of a model, or None."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
            return frame
        frame = frame.f_back
    return None


def _scaled(schedule: Any, factor: Callable[[], float]) -> Any:
    """Return a schedule of Keras's, or a function, times a factor."""
    import keras

    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return lambda: schedule() * factor()

    class Scaled(keras.optimizers.schedules.LearningRateSchedule):
        """A schedule, and what a person made of it."""

        def __call__(self, step: Any) -> Any:
            return schedule(step) * factor()

        def get_config(self) -> dict[str, Any]:
            return schedule.get_config()

    return Scaled()


def _number(value: Any) -> float:
    value = getattr(value, "value", value)
    if hasattr(value, "item"):
        return float(value.item())  # a tenth of the time of the way that every backend has
    import keras

    return float(keras.ops.convert_to_numpy(value))


def _numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Return the logs that are one number each."""
    found = {}
    for name, value in logs.items():
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            continue
    return found
