"""The pre-flight: one batch tried on a copy of the model."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..base.isolation import eval_mode, preserve_model, preserve_random_state, watch_model
from ..base.slices import pause, unpaused
from ..base.trees import slice_rows, tree_map, tree_tensors
from ..base.words import quote_error
from ..data.batches import batch_length
from ..data.objective import Objective
from ..data.task import TASKS, unpack_batch
from ..layers.probes import LayerMonitor, LayerStats
from ..layers.stand_in import cloned, is_small
from .data_facts import DataFacts, EntranceProbe, measure_data

if TYPE_CHECKING:
    from ..data.task import Task
    from ..training.loop import Loop
    from ..training.run import Run

#: Samples of the batch; the steps on it, at which rate of Adam, and how long at most [s].
_SAMPLES, _STEPS, _RATE, _LIMIT = 16, 60, 3e-3, 0.8
#: The time of a first step up to which mixing is measured after it, unasked [s].
_QUICK = 0.5
#: Steps between two moments in which others may go on.
_CHUNK = 5
#: Samples on which mixing is measured.
_FEW = 4
#: The change of a sample's output, as a share of its size, from which the others of its batch are seen in it: rounding
#: is 1e-7.
_SEEN = 1e-4


@dataclass(frozen=True)
class Mixing:
    """Whether the output for a sample depends on others of its batch.

    Attributes
    ----------
    change : how far it moves, as a share of its size, when the others are replaced; 0 where it does not depend.
    layer : the path of the first layer whose output moves; None where none does, or it has no sample axis.
    samples : in the batch.
    """

    change: float
    layer: str | None
    samples: int

    @property
    def seen(self) -> bool:
        """Whether the change is more than rounding."""
        return self.change > _SEEN


@dataclass(frozen=True)
class Preflight:
    """What a batch tried on a copy of the model showed.

    Attributes
    ----------
    losses : of `samples` that are fitted over and over by Adam, from the model as it is; empty where that failed.
    floor : the least loss that they have under an output that is the same for all; None where not known.
    mixing : None where it was not measured.
    look : what the first of those steps showed of the layers; None where it could not be taken.
    why : why a check was not made, in a clause, by its name: "batch", "fit", "mixing".
    seconds : what it took.
    """

    samples: int = 0
    losses: tuple[float, ...] = ()
    floor: float | None = None
    mixing: Mixing | None = None
    look: LayerStats | None = None
    why: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def make_preflight(run: Run) -> tuple[Preflight, DataFacts | None]:
    """Try one batch on a copy; return what was found.

    Weights, buffers, optimizer, random numbers, modes, and the data's order and place are as before. It pauses
    between steps: see `base.slices`.
    """
    began, loop, why = time.perf_counter(), run.loop, dict[str, str]()
    batch = None
    with _noting(why, "batch"), unpaused():
        batch = loop.batches.preview(_SAMPLES)
    pause()
    facts, entrance = None, None
    with _noting(why, "batch"):
        facts = measure_data(run.data, batch, loop.objective.target)
    pause()
    losses, floor, mixing, look = (), None, None, None
    if batch is not None:
        there = loop.objective.to_device(batch)
        with _noting(why, "fit"):
            trial = BatchTrial(loop, there)
            losses, floor = trial.fit(), trial.fit_constant()
            entrance, look = trial.entrance.found, trial.look
        pause()
        with _noting(why, "mixing"), unpaused():
            mixing = measure_mixing(loop, slice_rows(there, 0, _FEW))
    facts = facts and replace(facts, entrance=entrance)
    size = 0 if batch is None else batch_length(batch)
    return Preflight(size, losses, floor, mixing, look, why, time.perf_counter() - began), facts


class _NotMade(Exception):
    """Says in a clause why a check cannot be made."""


@contextlib.contextmanager
def _noting(why: dict[str, str], name: str) -> Iterator[None]:
    """Note why a check failed, under its name."""
    try:
        yield
    except _NotMade as reason:
        why[name] = str(reason)
    except Exception as error:  # noqa: BLE001 - said; the training is not to fail of it
        why[name] = f"it failed: {type(error).__name__}: {quote_error(error)}"


class BatchTrial:
    """A copy of the model that learns one batch over and over.

    Dropout is off. Of the model, its loss and its training step nothing is changed. `look` is what its first step
    showed of the layers.

    Raises
    ------
    _NotMade : the model is too large, cannot be copied, or has nothing to train.
    """

    def __init__(self, loop: Loop, batch: Any) -> None:
        if not is_small(loop.model):
            raise _NotMade("the model has over 64 MB of weights, and a copy would take as much again")
        self._loop, self._batch = loop, batch
        with unpaused():
            self._twin = cloned(loop.model)
        for own, twin in zip(loop.model.modules(), self._twin.modules()):
            twin.training = own.training and not isinstance(own, nn.modules.dropout._DropoutNd)
        self._parameters = [one for one in self._twin.parameters() if one.requires_grad]
        if not self._parameters:
            raise _NotMade("no parameter is to be trained")
        own = loop.objective
        self._objective = Objective(self._twin, own.task, own.device, own.custom, own.target)
        self._optimizer = torch.optim.Adam(self._parameters, lr=_RATE)
        self.entrance = EntranceProbe(self._twin)
        self.look: LayerStats | None = None
        self._watch = LayerMonitor()
        self._watch.switch(self._twin, True)

    def fit(self) -> tuple[float, ...]:
        """Return the batch's losses, from the model as it is."""
        losses: list[float] = []
        until = time.perf_counter() + _LIMIT
        self.entrance.hang()
        while len(losses) <= _STEPS and time.perf_counter() < until:
            with unpaused(), self._apart():
                for _ in range(_CHUNK):
                    losses.append(self._step())
                    if not math.isfinite(losses[-1]):
                        return tuple(losses)
                    if time.perf_counter() > until:
                        break
            pause()
        return tuple(losses)

    @contextlib.contextmanager
    def _apart(self) -> Iterator[None]:
        """Give back what copy, model and step have in common."""
        own = self._loop.objective
        with contextlib.ExitStack() as stack:
            if own.custom is not None:
                stack.enter_context(eval_mode(self._loop.model))  # which the step may know by another way
            stack.enter_context(preserve_random_state())
            stack.enter_context(preserve_model(self._twin, None))
            stack.enter_context(own.preserve_companions())
            stack.enter_context(torch.enable_grad())
            with watch_model(self._twin):
                yield

    def _step(self) -> float:
        self._optimizer.zero_grad()
        batch = tree_map(torch.clone, self._batch)  # into which the model may write
        with self._watch.forward():
            loss, _ = self._objective.loss(batch)
        self._watch.see_loss(loss)
        loss.backward()
        self._watch.before()
        self._optimizer.step()
        if self.look is None:
            self.look = self._watch.after(1)
            self._watch.switch(self._twin, False)
        return float(loss.detach())

    def fit_constant(self) -> float | None:
        """Return the least loss of one output for all."""
        task, own = self._objective.task, self._loop.objective
        if task.name not in TASKS:
            return None
        with unpaused(), preserve_random_state(), own.preserve_companions():
            inputs, targets = unpack_batch(self._batch, own.target)
            output = next(tree_tensors(self._loop.forward(inputs)), None)
            if output is None or not output.is_floating_point():
                return None
            return _fit_constant(task, output.detach(), targets)


def _fit_constant(task: Task, output: torch.Tensor, targets: Any) -> float:
    """Return the least loss of one row for all samples."""
    ready = task.prepare(targets, output)
    with torch.enable_grad():
        row = output.mean(0, keepdim=True).clone().requires_grad_()
        optimizer = torch.optim.Adam([row], lr=0.1)
        least = math.inf
        for _ in range(_STEPS):
            used = row.clamp(1e-6, 1 - 1e-6) if task.probabilities else row
            if task.loss_name == "NLLLoss":  # which takes log-probabilities: of any other row it has no least
                used = row.log_softmax(1)
            loss = task.loss(used.expand_as(output), ready)  # type: ignore[misc]
            least = min(least, float(loss.detach()))
            (row.grad,) = torch.autograd.grad(loss, row)
            optimizer.step()
    return least


# -- samples of a batch that are seen in one another's outputs


def mix_in_passing(loop: Loop, batch: Any) -> Preflight:
    """Measure mixing in a step's batch, if that is quick."""
    why = {"fit": "a batch is tried before the first step alone: session.diagnose() does it there"}
    mixing = None
    with _noting(why, "mixing"):
        if loop.history.seconds > _QUICK or not is_small(loop.model):
            raise _NotMade("the model is slow: session.diagnose() measures it before the first step")
        mixing = measure_mixing(loop, slice_rows(batch, 0, _FEW))
    return Preflight(batch_length(batch), mixing=mixing, why=why)


def measure_mixing(loop: Loop, batch: Any) -> Mixing:
    """Return how far a sample's output depends on its batch.

    In eval mode the other samples are replaced by copies of it, and nothing may change, to the last bits. So whole
    numbers are tried as well, to which there is no gradient.

    Raises
    ------
    _NotMade : what a sample is cannot be told, or outputs differ by chance.
    """
    objective = loop.objective
    if objective.custom is not None:
        raise _NotMade("training_step= alone knows what of a batch is a sample")
    if objective.task.name == "detection":
        raise _NotMade("boxes are no row for each sample")
    inputs, _ = unpack_batch(batch, objective.target)
    size = batch_length(batch)
    if size < 2 or any(not one.ndim or len(one) != size for one in tree_tensors(inputs)):
        raise _NotMade("the inputs have no axis of two samples or more in common")
    row = size // 2
    same = tree_map(lambda one: one[row : row + 1].expand_as(one).clone(), inputs)
    with contextlib.closing(loop.outputs([inputs, same])) as outputs:
        first, alone = (next(tree_tensors(one), None) for one in outputs)
    if first is None or not first.ndim or len(first) != size or not first.is_floating_point():
        raise _NotMade("the output has no row for each sample")
    if not bool(first[row].isfinite().all()):
        raise _NotMade("the output is not finite")
    found = Mixing(_change(first[row], alone[row]), None, size)
    return replace(found, layer=_first_mixed(loop, inputs, same, row)) if found.seen else found


def _first_mixed(loop: Loop, inputs: Any, same: Any, row: int) -> str | None:
    """Return the first layer that mixes; raise where outputs are random."""
    taps = [_RowTap(loop.model, row, batch_length(inputs)) for _ in range(3)]
    rows = []
    with contextlib.closing(loop.outputs([inputs, inputs, same])) as outputs:
        for tap in taps:
            with tap:
                rows.append(next(tree_tensors(next(outputs)))[row])
    if not torch.equal(rows[0], rows[1]):
        raise _NotMade("the same inputs give other outputs each time")
    here, _, there = (tap.rows for tap in taps)
    return next((path for path, one in here.items() if _change(one, there.get(path)) > _SEEN), None)


def _change(one: torch.Tensor, other: torch.Tensor | None) -> float:
    if other is None or one.shape != other.shape:
        return 0.0
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-12))


class _RowTap:
    """Keeps what each layer puts out for one sample, in one forward."""

    def __init__(self, model: nn.Module, row: int, size: int) -> None:
        self._model, self._row, self._size = model, row, size
        self._handles: list[Any] = []
        self.rows: dict[str, torch.Tensor] = {}

    def __enter__(self) -> _RowTap:
        if not hasattr(self._model, "_orig_mod"):
            leaves = [(path, one) for path, one in self._model.named_modules() if not any(True for _ in one.children())]
            for path, module in leaves:
                if not isinstance(module, torch.jit.ScriptModule):
                    self._handles.append(module.register_forward_hook(self._keep(path)))
        return self

    def _keep(self, path: str) -> Any:
        def keep(module: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and output.ndim and len(output) == self._size and output.numel():
                if output.is_floating_point():
                    self.rows.setdefault(path, output[self._row].detach().clone())

        return keep

    def __exit__(self, *error: Any) -> None:
        for handle in self._handles:
            handle.remove()
