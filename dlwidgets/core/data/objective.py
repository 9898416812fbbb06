"""The loss of a model on a batch, its task's or custom."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..base.random_state import Generators
from ..base.trees import call_model, tree_map, tree_tensors
from ..layers.framework import framework_of
from .companions import Companions
from .own_loss import Losses, find_logits, form_of, gather_losses, loss_mode
from .reduction import LossCalls
from .task import Task, find_unknown, unpack_batch


class Objective:
    """The loss of `model` on a batch, on `device`.

    Parameters
    ----------
    step : `(model, batch) -> loss`, or losses, in the task's stead: see `own_loss.gather_losses`.
    target : the entry of a dict batch that is the target.
    tried : the inputs of a few samples, and the targets of these and more: another loss is tried on them.
    """

    def __init__(
        self, model: nn.Module, task: Task, device: torch.device,
        step: Callable[[nn.Module, Any], Any] | None = None, target: str | None = None, tried: Any = None,
    ) -> None:  # fmt: skip
        self.model, self.task, self.device, self.custom, self.target = model, task, device, step, target
        #: Whether class numbers were met that are unknown and that the loss would not know.
        self.met_unknown = False
        self.tried = tried
        #: Lists what the model adds to the loss, as the penalties of its regularizers; None where it never does.
        self.added = framework_of(model).added_losses(model)
        #: The loss of training in the task's stead, where one is wished for.
        self.smoothing = SmoothedLoss(task, self.given)
        #: The weight of each named loss that has another than 1; the names that were met, and what stands for them in
        #: what is returned.
        self.weights: dict[str, float] = {}
        self.names: dict[str, Any] = {} if task.own is None else dict(task.own.names)
        #: What gives the loss of what it returns: see `form_of`.
        self.form = None if task.own is None else task.own.returns

    @property
    def given(self) -> bool:
        """Whether a step or the model itself computes the loss."""
        return self.custom is not None or self.task.own is not None

    def change_task(self, task: Task) -> None:
        """Go on with another loss, with the label smoothing that it has."""
        self.task, self.smoothing = task, SmoothedLoss(task, self.given)

    @property
    def companions(self) -> Companions:
        """What the loss or the step holds beside the model."""
        return Companions(self.model, self.task.loss, self.custom)

    @contextmanager
    def preserve_companions(self) -> Iterator[None]:
        """Set what loss or step hold to eval mode; give it back.

        A step trains it where it is evaluated, too.
        """
        before = self.companions
        tensors = {name: one.detach().clone() for name, one in before.all_tensors().items()}
        leaves = [one for one in before.all_tensors().values() if one.is_leaf]
        gradients = [(one, one.grad, None if one.grad is None else one.grad.clone()) for one in leaves]
        memories, generators = copy.deepcopy(before.read_memories()), Generators(*before.generators)
        drawn = generators.state()
        moved = {name: copy.deepcopy(one.state_dict()) for name, one in before.optimizers.items()}
        modes = [(module, module.training) for module in before.modules.values()]
        for module in before.roots.values():
            module.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
            before.write_memories(memories, tensors)
            # Anew: some make other tensors in each step.
            now = self.companions.all_tensors()
            with torch.no_grad():
                for name, kept in tensors.items():
                    if name in now and now[name].shape == kept.shape:
                        now[name].copy_(kept)
                for one, gradient, held in gradients:
                    one.grad = gradient
                    if gradient is not None and held is not None:
                        gradient.copy_(held)
            for name, one in before.optimizers.items():
                one.load_state_dict(moved[name])
            generators.install(drawn)

    def to_device(self, batch: Any) -> Any:
        """Return a batch on the device where training computes."""
        device = self.device
        return tree_map(lambda t: t if t.device == device else t.to(device, non_blocking=True), batch)

    def loss(self, batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of a batch on the device, and its parts."""
        try:
            if self.given:
                return self._summed(self._returned(batch))
            if self.task.name == "multiclass" and not self.met_unknown and self.device.type == "cpu":
                targets = unpack_batch(batch, self.target)[1]
                self.met_unknown = isinstance(targets, torch.Tensor) and bool(find_unknown(targets).any())
            return self._summed(self._add(self.compute(batch, self.smoothing.loss)[0]))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                "A batch holds one sample, on which BatchNorm cannot be trained: session.skip() leaves it out, "
                "and with another batch_size, or drop_last=True of a DataLoader, there is none."
            ) from error

    def compute(self, batch: Any, loss: Callable[[Any, Any], Any] | None = None) -> tuple[Any, Any, Any]:
        """Return loss (in the task's stead: `loss`), output and prepared targets."""
        inputs, targets = unpack_batch(batch, self.target)
        output = call_model(self.model, inputs)
        whole = isinstance(output, torch.Tensor) or self.task.outputs is None
        targets = self.task.prepare(targets, output if whole else next(tree_tensors(output), None))
        try:
            return (loss or self.task.loss)(output, targets), output, targets  # type: ignore[misc]
        except (TypeError, AttributeError) as error:
            if whole:
                raise
            raise TypeError(
                f"In train mode the model returns {type(output).__name__} in the place of the tensor of eval "
                "mode: pass a loss that takes both, as loss=lambda out, y: f(out, y) if torch.is_tensor(out) "
                "else f(out[0], y) + 0.4 * f(out[1], y), where f is the loss of one."
            ) from error
        except IndexError as error:
            if self.task.name == "multiclass" and (label := re.match(r"Target (-?\d+) is out of", str(error))):
                raise ValueError(
                    f"A batch holds the label {label[1]}, but the model puts out {self.task.outputs} values: labels "
                    f"go from 0 to {(self.task.outputs or 0) - 1}, and -1 is unknown."
                ) from error
            raise

    def _add(self, returned: Any) -> Any:
        """Return what a loss returned with what the model adds to it."""
        if self.added is None or not (added := self.added()):
            return returned
        return {**(returned if isinstance(returned, Mapping) else {"data": returned}), "regularization": sum(added)}

    def _summed(self, returned: Any) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of what was returned, and its columns; note names."""
        self.form = form_of(returned)
        found = gather_losses(returned, self.weights, self.form)
        if found.names.keys() - self.names.keys():
            self.names = {**self.names, **found.names}
        return found.total, found.columns()

    def _returned(self, batch: Any) -> Any:
        """Return what the step, or else the model, returns."""
        if self.custom is not None:
            return self.custom(self.model, batch)
        if isinstance(batch, (tuple, list)):
            return self.task.own(self.model, *batch)  # type: ignore[misc]
        return self.task.own(self.model, *unpack_batch(batch, self.target))  # type: ignore[misc]

    def measure(self, batch: Any, calls: LossCalls) -> tuple[Losses, Any, Any]:
        """Return the losses, output and targets; have the loss's `calls` noted.

        Losses have no weights here, so that they can be compared when these were changed.
        """
        detects, own = self.task.name == "detection", self.task.own
        in_training = detects or (own is not None and own.in_training)
        # Into which the model may write, before it is asked for what it finds.
        copied = tree_map(torch.clone, batch) if in_training else batch
        with loss_mode(self.model) if in_training else nullcontext():
            if self.given:
                # Under gradients it shows what of a tuple is the loss.
                with calls, torch.enable_grad() if self.form is None else nullcontext():
                    returned = self._returned(copied)
                    self.form = form_of(returned) if self.form is None else self.form
                output, targets = None, None
                if own is not None:
                    output, targets = find_logits(returned), unpack_batch(batch, self.target)[1]
            else:
                returned, output, targets = self.compute(copied, self._noting(calls))
                with calls:
                    returned = self._add(returned)
        if detects:
            inputs, targets = unpack_batch(batch, self.target)
            output = call_model(self.model, inputs)
        found = gather_losses(returned, None, self.form)
        self.names = self.names or dict(found.names)
        return found, output, targets

    def _noting(self, calls: LossCalls) -> Callable[[Any, Any], Any]:
        """Return the task's loss, whose calls are noted."""

        def noted(output: Any, targets: Any) -> Any:
            with calls:
                return self.task.loss(output, targets)  # type: ignore[misc]

        return noted

    @property
    def summed(self) -> bool:
        """Whether a batch's loss is a sum, no mean."""
        return self.task.reduction is not None and self.task.reduction.summed

    def weigh(self, batch: Any) -> float | None:
        """Return what a batch's mean divides by, or None."""
        if self.given or self.task.reduction is None:
            return None
        return self.task.reduction.weigh(unpack_batch(batch, self.target)[1])

    def find_nonfinite(self, batch: Any) -> str:
        """Say what in a batch is NaN or infinite; "" for nothing."""
        parts = {"batch": batch}
        if self.custom is None:
            parts = dict(zip(("inputs", "targets"), unpack_batch(batch, self.target)))
        for name, part in parts.items():
            if any(t.is_floating_point() and not bool(t.isfinite().all()) for t in tree_tensors(part)):
                verb = "holds" if name == "batch" else "hold"
                return f"The {name} of this batch {verb} NaN or infinite values."
        return ""


class SmoothedLoss:
    """The loss of training: the task's, with a wished label smoothing.

    Evaluations keep the loss that was given, so that its values before and after a change can be compared.
    """

    def __init__(self, task: Task, custom: bool = False) -> None:
        self._task, self._custom = task, custom
        self.wish: float | None = None
        #: The loss in the task's stead; None: the task's own.
        self.loss: Callable[[Any, Any], Any] | None = None

    @property
    def value(self) -> float | None:
        """The smoothing in force; None where the loss has none."""
        if self._custom:
            return None
        if self.wish is not None:
            return self.wish
        if self._task.loss is F.cross_entropy:
            return 0.0
        own = getattr(self._task.loss, "label_smoothing", None)
        return float(own) if isinstance(own, (int, float)) else None

    def put(self, wish: float | None) -> None:
        """Put a smoothing in force; None is the loss's own.

        Raises ValueError: the loss has no label smoothing, in a clause.
        """
        own = self._task.loss
        if wish is not None and self.value is None:
            name = self._task.loss_name
            if self._custom:
                name = f"the loss is what {'training_step=' if self._task.own is None else 'the model'} returns, which"
            there = getattr(self._task.loss, "smoothed", "CrossEntropyLoss has")
            raise ValueError(f"{name} has no label smoothing: {there}")
        self.wish, self.loss = wish, None
        if wish is None:
            return
        if own is F.cross_entropy:
            self.loss = functools.partial(F.cross_entropy, label_smoothing=wish)
        elif isinstance(own, nn.Module):
            made = copy.copy(own)  # shares the weights of the classes
            made.label_smoothing = wish  # type: ignore[assignment]
            self.loss = made
