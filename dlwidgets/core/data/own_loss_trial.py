"""Whether a model computes its loss itself, found by trying it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ..base.isolation import eval_mode, run_forward, use_device
from ..base.trees import call_model, slice_rows, tree_map
from ..base.words import quote_error
from .batches import Batches, IndexedBatches
from .detection import DetectionSamples, check_batch, check_labels, holds_detections, is_target_list
from .own_loss import OwnLoss, find_call, find_logits, form_of, gather_losses, looks_like_loss, loss_mode
from .task import Task, unpack_batch

#: Samples on which it is tried.
_TRY = 4


@dataclass
class OwnLossTrial:
    """Tries a model for losses of its own; leaves no trace.

    Attributes
    ----------
    task, loss, step, classes : what was asked for.
    example : the inputs and the targets that it was tried on, once it was.
    """

    model: nn.Module
    device: torch.device
    task: str | None
    loss: Any
    step: Callable[[nn.Module, Any], Any] | None
    classes: Sequence[str] | None
    example: tuple[Any, Any] = (None, None)

    def find(self, batch: Any, entry: str | None, supply: Batches, check: Batches | None) -> Task | None:
        """Return the task of a detector, or of an own loss.

        None: it is neither. Raises ValueError: in a sentence, what does not fit.
        """
        try:
            _, targets = unpack_batch(batch, entry)
        except TypeError:
            return None
        pair = isinstance(batch, (tuple, list))
        if self.task == "detection" or (pair and is_target_list(targets) and self.step is None):
            check_batch(*batch, "train", self.classes) if pair else self._refuse_form()
            for part, name in ((supply, "train"), (check, "valid")):
                self._check_labels(part, name)
            return self._detection(batch)
        if self.step is not None:
            return self._detection_by_step(batch) if pair and is_target_list(targets) else None
        return None if self.loss is not None or self.task == "regression" else self._own(batch, entry)

    def _refuse_form(self) -> None:
        raise ValueError(
            'task="detection" wants batches (images, targets), targets a list with a dict of "boxes" and "labels" for '
            "each image."
        )

    def _check_labels(self, part: Batches | None, name: str) -> None:
        source = part.source if isinstance(part, IndexedBatches) else None
        if isinstance(source, DetectionSamples) and self.classes:
            for number, target in enumerate(source.targets):
                check_labels(torch.as_tensor(target["labels"]), f"Sample {number} of {name}", self.classes)

    # -- boxes

    def _detection(self, batch: Any) -> Task:
        """Return the task of a detector, tried on a few images."""
        raw = slice_rows((batch[0], batch[1]), 0, _TRY // 2)
        inputs, targets = unpack_batch(raw)
        self.example = inputs, targets
        found, own = Task("detection", self.loss, "the targets are boxes with labels", _names(self.classes)), None
        if self.step is None and self.loss is None:
            own, error = self._try(find_call(self.model, inputs), *raw, single=True)
            name = type(self.model).__name__
            if isinstance(error, ValueError):  # it was called as it wants, and says what is wrong with the data
                raise ValueError(f"{name} says of the first images: {quote_error(error)}") from error
            if own is None:
                raise ValueError(
                    f"The targets are boxes, and {name} gives no loss for them{_because(error)}: a detector is called "
                    "as model(images, targets) and returns a dict of losses in train mode; for any other pass "
                    "training_step=(model, batch) -> loss."
                ) from error
        if not self._detects(inputs):
            if self.task == "detection":
                raise ValueError(
                    f'task="detection": in eval mode {type(self.model).__name__} is to return a dict of "boxes", '
                    '"labels" and "scores" for each image.'
                )
            said = f"the targets are boxes, and what {type(self.model).__name__} returns in eval mode is none"
            return replace(found, name="custom", because=said, own=own)
        return replace(found, own=own)

    def _detection_by_step(self, batch: Any) -> Task | None:
        raw = slice_rows((batch[0], batch[1]), 0, _TRY)
        try:
            check_batch(*raw, "train", self.classes)
            if not self._detects(unpack_batch(raw)[0]):
                return None
        except Exception:  # noqa: BLE001 - the step alone knows what it does with the batch
            return None
        self.example = unpack_batch(raw)
        because = "training_step= was given, and the targets are boxes"
        return Task("detection", None, because, _names(self.classes))

    def _detects(self, inputs: Any) -> bool:
        return holds_detections(self._run(lambda: call_model(self.model, self._there(inputs))))

    # -- any other loss

    def _own(self, batch: Any, entry: str | None) -> Task | None:
        """Return the task of a model that gives its loss, or None."""
        inputs, targets = unpack_batch(batch, entry)
        call = find_call(self.model, inputs)
        if call is None:
            return None
        inputs, targets = slice_rows((inputs, targets), 0, _TRY)
        own, error = self._try(call, inputs, targets)
        if own is None:
            if error is not None and call.by_name and call.key == "labels":
                raise ValueError(f"{type(self.model).__name__} gives no loss for a batch{_because(error)}.") from error
            return None
        self.example = inputs, targets
        logits = find_logits(self._run(lambda: own(self.model, *map(self._there, (inputs, targets)))))
        words = f"the model computes its loss from {call.key}"
        return replace(_infer(logits, targets, own, self.model), because=words, classes=_names(self.classes))

    def _try(
        self, call: OwnLoss | None, inputs: Any, targets: Any, single: bool = False
    ) -> tuple[OwnLoss | None, Exception | None]:  # fmt: skip
        """Return how the loss is had, or None and what failed."""
        if call is None:
            return None, None
        failed: Exception | None = None
        for in_training in (True,) if single else (False, True):
            tried = replace(call, single=single, in_training=in_training)

            def work(tried: OwnLoss = tried) -> OwnLoss | None:
                with torch.enable_grad(), loss_mode(self.model) if tried.in_training else nullcontext():
                    returned = tried(self.model, *map(self._there, (inputs, targets)))
                if not looks_like_loss(returned):
                    return None
                form = form_of(returned)
                return replace(tried, returns=form, names=dict(gather_losses(returned, None, form).names))

            try:
                found = self._run(work)
            except Exception as error:  # noqa: BLE001 - whatever it raises is told
                failed = error
                continue
            if found is not None:
                return found, None
        return None, failed

    def _run(self, work: Callable[[], Any]) -> Any:
        with use_device(self.model, self.device), eval_mode(self.model):
            return run_forward(self.model, work)

    def _there(self, tree: Any) -> Any:
        """Return a copy on the device: the model may write into it."""
        return tree_map(lambda tensor: tensor.to(self.device, copy=True), tree)


def _because(error: Exception | None) -> str:
    return "" if error is None else f" ({type(error).__name__}: {quote_error(error).rstrip('.')})"


def _names(classes: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if classes is None else tuple(classes)


def _infer(logits: Any, targets: Any, own: OwnLoss, model: nn.Module) -> Task:
    """Return the task that logits and targets tell, "custom" where none."""
    name, outputs = "custom", None
    if isinstance(logits, torch.Tensor) and isinstance(targets, torch.Tensor) and targets.shape[:1] == logits.shape[:1]:
        whole = not targets.is_floating_point()
        if logits.ndim == 2 and targets.ndim == 1:
            name, outputs = ("multiclass" if whole and logits.shape[1] > 1 else "regression"), logits.shape[1]
        elif logits.shape == targets.shape and bool(((targets == 0) | (targets == 1)).all()):
            name, outputs = "multilabel", logits.shape[1]
        elif logits.ndim == 3 and whole and logits.shape[:2] == targets.shape:
            tokens = getattr(getattr(model, "config", None), "vocab_size", None)
            own = replace(own, next_token=logits.shape[2] == tokens)
    return Task(name, None, "", outputs=outputs, own=own)
