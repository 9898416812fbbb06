"""The training loop as single steps: each is taken whole or not at all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from .batches import Batches, batch_length
from .borrowed import Streams, looking
from .controls import Clip, Rate, grad_norm
from .data import Rows
from .governor import Governor
from .history import History
from .tasks import Task, unpack
from .trees import call, tree_map

if TYPE_CHECKING:
    from .probes import LayerProbe, LayerStats
    from .scores import Scores


class NotFinite(ArithmeticError):
    """The loss of a step is infinite or not a number; the step was not taken."""


@dataclass(frozen=True)
class Evaluation:
    """What a pass over the validation data found."""

    loss: float
    samples: int
    #: The scores of a classification task; None for any other.
    scores: Scores | None = None
    #: Metrics by name, as "macro_f1".
    metrics: dict[str, float] = field(default_factory=dict)


class Loop:
    """Trains a model one step at a time; whoever calls `step()` decides when, and may change controls between.

    A step draws a batch, computes the loss, clips the gradients and moves the weights, as the plain loop

        loss = loss_function(model(X), y)
        optimizer.zero_grad(); loss.backward(); optimizer.step()

    does, with the same result bit for bit. If anything in it raises, the batch is put back, buffers and
    random numbers are as before, and the weights have not moved. The model must be in train mode and on
    `device`; that is the caller's affair.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Batches,
        *,
        task: Task,
        optimizer: Optimizer,
        device: torch.device,
        clip: Clip = Clip(),  # noqa: B008 - frozen
        step: Callable[[nn.Module, Any], Any] | None = None,
        target: str | None = None,
    ) -> None:
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError("LBFGS evaluates the loss several times a step, which is not supported: take another optimizer.")
        self.model, self.batches, self.task, self.optimizer, self.device = model, batches, task, optimizer, device
        self.clip, self.rate = clip, Rate(optimizer)
        self.history = History()
        #: Optimizer steps taken, and epochs completed.
        self.steps = 0
        self.epochs = 0
        #: Statistics of the layers at the last step that was sampled for them.
        self.layer_stats: LayerStats | None = None
        self._custom, self._target = step, target
        self._norms, self._probes = Governor(0.005, least=0.0), Governor(0.005, least=0.25)
        self._probe: LayerProbe | None = None
        # Data that is made by code may draw from numpy and python; rows in memory draw from nothing.
        self._all_streams = not isinstance(getattr(batches, "source", None), Rows)
        self.refresh()

    def probe(self, on: bool) -> None:
        """Measure the layers' statistics in some of the steps, or stop: nobody pays for what is not shown."""
        from .probes import LayerProbe

        self._probe = LayerProbe(self.model) if on else None

    def refresh(self) -> None:
        """Note the model's tensors anew: a person may have changed its modules while nothing ran."""
        self._parameters = list(self.model.parameters())
        # Running statistics are small; what is large is a mask or a table that no step writes.
        self._buffers = [buffer for buffer in self.model.buffers() if buffer.numel() <= 1_000_000]

    def step(self) -> bool:
        """Take one step; return False, with nothing done, where the epoch has no batch left.

        Raises
        ------
        NotFinite : the loss is infinite or NaN.
        Exception : whatever the model, the loss or the data raised.
        """
        started = time.perf_counter()
        buffers = [buffer.clone() for buffer in self._buffers]
        streams = Streams.now() if self._all_streams else torch.get_rng_state()
        batch = None
        try:
            batch = self.batches.take()
            if batch is None:
                return False
            loss, parts = self._loss(self._there(batch))
            value = self._finite(loss)
            self.optimizer.zero_grad()
            loss.backward()
            norm = self._clip()
            probe = self._probe if self._probe is not None and self._probes.due() else None
            if probe is not None:
                began = time.perf_counter()
                probe.before()
                spent = time.perf_counter() - began
            self.optimizer.step()
            if probe is not None:
                began = time.perf_counter()
                self.layer_stats = probe.after(self.steps + 1)
                self._probes.spent(spent + time.perf_counter() - began)
        except BaseException:
            if batch is not None:
                self.batches.put_back()
            if isinstance(streams, Streams):
                streams.install()
            else:
                torch.set_rng_state(streams)
            with torch.no_grad():
                for buffer, kept in zip(self._buffers, buffers):
                    buffer.copy_(kept)
            raise
        self.steps += 1
        self.history.step(
            epoch=self.epochs + 1, loss=value, lr=self.rate.value, batch_size=batch_length(batch),
            grad_norm=norm, seconds=time.perf_counter() - started, **parts,
        )
        return True

    def evaluate(self, batches: Batches, batch_size: int, classes: tuple[str, ...] | None = None) -> Evaluation:
        """Return loss and scores over all of `batches`, in eval mode; model and random numbers stay as they are."""
        total, samples = 0.0, 0
        truths: list[torch.Tensor] = []
        guesses: list[torch.Tensor] = []
        with looking(self.model):
            for batch in batches.sweep(batch_size):
                batch = self._there(batch)
                size = batch_length(batch)
                if self._custom is not None:
                    loss, _ = self._loss(batch)
                else:
                    inputs, targets = unpack(batch, self._target)
                    output = call(self.model, inputs)
                    targets = self.task.prepare(targets, output)
                    loss = self.task.loss(output, targets)  # type: ignore[misc]
                    if isinstance(output, torch.Tensor) and isinstance(targets, torch.Tensor):
                        truths.append(targets.detach().cpu())
                        guesses.append(self.task.scores(output).cpu())
                total += float(loss) * size
                samples += size
        if not samples:
            raise ValueError("The validation data gave no samples.")
        scores, metrics = self._scored(truths, guesses, classes)
        return Evaluation(total / samples, samples, scores, metrics)

    def forward(self, inputs: Any) -> Any:
        """Return the model's output for a batch of inputs, on the loop's device; for looking only."""
        with looking(self.model):
            return call(self.model, tree_map(lambda tensor: tensor.to(self.device), inputs))

    def _there(self, batch: Any) -> Any:
        return tree_map(lambda tensor: tensor.to(self.device, non_blocking=True), batch)

    def _loss(self, batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss, and its parts by name where there are several."""
        if self._custom is not None:
            loss = self._custom(self.model, batch)
        else:
            inputs, targets = unpack(batch, self._target)
            output = call(self.model, inputs)
            loss = self.task.loss(output, self.task.prepare(targets, output))  # type: ignore[misc]
        parts: dict[str, float] = {}
        if isinstance(loss, Mapping):
            if not loss:
                raise TypeError("The step returned an empty dict: losses by name are wanted.")
            parts = {f"loss_{name}": float(value) for name, value in loss.items()}
            loss = sum(loss.values())
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise TypeError(f"The loss is {what}: one number (a scalar tensor) is wanted.")
        return loss, parts

    def _finite(self, loss: torch.Tensor) -> float:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NotFinite(
                f"The loss became {value} in step {self.steps + 1}; the step was not taken. "
                "A lower learning rate or gradient clipping often helps; then resume."
            )
        return value

    def _clip(self) -> float:
        """Clip, and return the total gradient norm before clipping; NaN in steps where it is not measured."""
        parameters = [p for p in self._parameters if p.grad is not None]
        norm = math.nan
        if self.clip.mode != "norm" and self._norms.due():
            began = time.perf_counter()
            norm = grad_norm(parameters)
            self._norms.spent(time.perf_counter() - began)
        clipped = self.clip.apply(parameters)
        return norm if clipped is None else clipped

    def _scored(
        self, truths: list[torch.Tensor], guesses: list[torch.Tensor], classes: tuple[str, ...] | None
    ) -> tuple[Scores | None, dict[str, float]]:
        if not truths:
            return None, {}
        truth, guess = torch.cat(truths), torch.cat(guesses)
        if self.task.name == "regression":
            return None, {"mean_absolute_error": float((guess - truth).abs().mean())}
        if self.task.name not in ("multilabel", "multiclass", "binary") or guess.ndim > 2:
            return None, {}
        from .scores import Scores

        if self.task.name == "multiclass" and truth.ndim == 2:
            truth = truth.argmax(dim=1)
        if self.task.name == "binary":
            truth, guess = truth.reshape(-1, 1), guess.reshape(-1, 1)
        if not bool(guess.isfinite().all()):
            raise NotFinite("The model's output on the validation data is infinite or NaN: there are no scores.")
        scores = Scores(truth.numpy(), guess.numpy(), classes)
        metrics = {}
        if self.task.name == "multiclass":
            metrics["accuracy"] = float((guess.argmax(dim=1) == truth).double().mean())
        metrics["macro_f1"] = macro_f1(scores)
        return scores, metrics


def macro_f1(scores: Scores, thresholds: Any = 0.5) -> float:
    """Return the mean over the classes of F1 = 2 TP / (2 TP + FP + FN), 0 where a class has neither."""
    counts = scores.confusion(thresholds)
    tp, wrong = counts[:, 1, 1].astype(float), (counts[:, 0, 1] + counts[:, 1, 0]).astype(float)
    return float((2 * tp / (2 * tp + wrong).clip(min=1)).mean())
