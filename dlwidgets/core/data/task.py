"""The task: what targets and outputs mean, and its inference from them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..base.framework_loss import FrameworkLoss
from ..base.numbers import read_integer
from ..base.trees import describe_shapes
from ..base.words import did_you_mean, pluralize, quote_error, quote_names
from ..layers.framework import read_framework_loss
from .detection import is_target, join_images
from .labels import refuse_shifted, refuse_signs
from .output_losses import OutputLosses
from .own_loss import OwnLoss
from .reduction import Reduction

#: The tasks of which a loss compares outputs with targets, a row each; a "detection" finds boxes in images.
TASKS = ("multilabel", "multiclass", "binary", "regression")
#: What people call the loss of a softmax's outputs.
_OF_PROBABILITIES = ("nllofprobabilities", "nlllossofprobabilities", "crossentropyofprobabilities", "ceofprobabilities")


@dataclass(frozen=True)
class Task:
    """What the model's output means, and what it is compared with."""

    name: str  #: One of `TASKS`, "detection", or "custom".
    #: `(output, targets) -> scalar tensor`; None where a custom step computes it, or the model.
    loss: Callable[[Any, Any], Any] | None
    because: str  #: What was decided and from what, in a clause.
    classes: tuple[str, ...] | None = None  #: The names of the classes, where known.
    #: How many values the model puts out for a sample, or each of its positions; None where unknown.
    outputs: int | None = None
    probabilities: bool = False  #: Whether the model puts out probabilities, and not logits.
    reduction: Reduction | None = None  #: How the loss makes one number of a batch, where known.
    signed: bool = False  #: Whether -1 is no, as a loss of one's own wants it, and not unknown.
    own: OwnLoss | None = None  #: How the model is called for the loss that it computes itself, if it does.
    channels_last: bool = False  #: Whether classes are the last axis of the outputs, and not the second.

    @property
    def loss_name(self) -> str:
        """Return the name of the loss as a person would write it."""
        if self.loss is None:
            return "the custom step's" if self.own is None else "the model's own"
        if isinstance(self.loss, KnownLabelsLoss):
            return type(self.loss.whole).__name__
        return getattr(self.loss, "__name__", None) or type(self.loss).__name__

    @property
    def loss_alike(self) -> str:
        """The name of torch's loss that is the same, or its own."""
        return (isinstance(self.loss, FrameworkLoss) and self.loss.alike) or self.loss_name

    def prepare(self, targets: Any, output: Any) -> Any:
        """Give the targets the dtype and shape that the loss wants."""
        if not isinstance(targets, torch.Tensor) or not isinstance(output, torch.Tensor):
            return targets
        if self.name == "multiclass":
            if targets.ndim == output.ndim and targets.shape == output.shape:
                own = isinstance(self.loss, FrameworkLoss)  # which casts them itself
                return targets if own else _cast_like(targets, output)  # one-hot, or a probability for each class
            axis = -1 if self.channels_last else 1
            if targets.ndim == output.ndim and targets.shape[axis] == 1:
                targets = targets.select(axis, 0)
            if (ignored := ignored_class(self.loss)) not in (None, -1):
                targets = targets.masked_fill(find_unknown(targets), ignored)
            return targets if targets.dtype == torch.int64 else targets.long()
        if self.name in TASKS:
            if targets.dtype != output.dtype and not isinstance(self.loss, FrameworkLoss):
                targets = _cast_like(targets, output)
            # An output of shape (B, 1) beside targets of shape (B,) would broadcast to (B, B), silently.
            if output.shape != targets.shape and output.numel() == targets.numel():
                targets = targets.reshape(output.shape)
        return targets

    def scores(self, output: torch.Tensor) -> torch.Tensor:
        """Return float64 probabilities (N x C; binary: N); else the output."""
        if not isinstance(output, torch.Tensor):
            return output
        output = output.detach()
        if self.name not in ("multilabel", "multiclass", "binary"):
            return output.float()
        # In float32 all logits above 17 would be a probability of 1, and tie.
        output = (output.cpu() if output.device.type == "mps" else output).double()
        if self.name == "binary":
            output = output.reshape(-1)
        if self.probabilities:
            return output
        if self.name == "multiclass":
            return output.softmax(dim=-1 if self.channels_last else 1)
        return output.sigmoid()

    def predictions(self, output: torch.Tensor, thresholds: Any = 0.5) -> torch.Tensor:
        """Return what is said of each sample.

        Multilabel: N x C of 0 and 1, where the score reaches its threshold; binary: N of 0 and 1; multiclass:
        N class numbers; any other task: the output.
        """
        if self.name == "multiclass":
            return output.argmax(dim=-1 if self.channels_last else 1)
        if self.name not in ("multilabel", "binary"):
            return output
        return (self.scores(output) >= torch.as_tensor(thresholds, dtype=torch.float64)).long()


def _cast_like(targets: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    return targets.to(output.dtype) if output.is_floating_point() else targets.float()


def unpack_batch(batch: Any, target: str | None = None) -> tuple[Any, Any]:
    """Split a batch, a pair or a dict with a target entry.

    Images that a loader gives as a list are joined where their targets are boxes: see `join_images`. Raises
    TypeError: the batch is neither; pass `training_step=` to the session.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        found = isinstance(batch[1], (tuple, list)) and len(batch[1]) > 0 and is_target(batch[1][0])
        return (join_images(batch[0]) if found else batch[0]), batch[1]
    if isinstance(batch, Mapping):
        if target is None or target not in batch:
            raise TypeError(
                f"A batch is a dict with {quote_names(batch)}: say which entry is the target "
                "(target=...), or pass training_step=(model, batch) -> loss."
            )
        return {key: value for key, value in batch.items() if key != target}, batch[target]
    parts = f" with {len(batch)} parts" if isinstance(batch, (tuple, list)) else ""
    raise TypeError(
        f"A batch is of type {type(batch).__name__}{parts}, not (inputs, targets): "
        "pass training_step=(model, batch) -> loss."
    )


def read_loss(loss: Any, foreign: bool = False) -> Any:
    """Read a loss: a name or class of torch.nn, a function, None.

    `foreign`: the model is of another framework, whose names come before torch's.

    Raises ValueError, TypeError: there is no such loss, or it cannot be called.
    """
    if isinstance(loss, str):
        if foreign and (found := read_framework_loss(loss)) is not None:
            return found
        named = {name.lower(): getattr(nn, name) for name in dir(nn) if name.endswith("Loss")}
        short = {name[: -len("loss")]: made for name, made in named.items()}
        short |= {"bce": nn.BCEWithLogitsLoss, "mae": nn.L1Loss, "ce": nn.CrossEntropyLoss}
        short |= {"binarycrossentropy": nn.BCELoss, "binarycrossentropywithlogits": nn.BCEWithLogitsLoss}
        # Of outputs that are probabilities already.
        short |= {"bceofprobabilities": nn.BCELoss}
        short |= dict.fromkeys(_OF_PROBABILITIES, NLLOfProbabilities)
        key = loss.lower().replace("_", "").replace(" ", "")
        chosen = named.get(key) or short.get(key)
        if chosen is None and (found := read_framework_loss(loss)) is not None:
            return found
        if chosen is None:
            raise ValueError(
                f"loss={loss!r} is not a loss of torch.nn: try loss=nn.CrossEntropyLoss(), or a function "
                f"(output, targets) -> scalar tensor.{did_you_mean(key, named)}"
            )
        return chosen()
    if isinstance(loss, (list, tuple, Mapping)):
        if isinstance(loss, Mapping):
            return OutputLosses({name: read_loss(one, foreign) for name, one in loss.items()})
        return OutputLosses([read_loss(one, foreign) for one in loss])
    if loss is not None and (found := read_framework_loss(loss)) is not None:
        return found
    if isinstance(loss, type) and issubclass(loss, nn.Module):
        try:
            return loss()
        except TypeError as error:
            name = f"loss={loss.__name__}"
            said = f"{name} cannot be made: {quote_error(error)} Make it first, as {name}(...)."
            raise TypeError(said) from error
    if loss is not None and not callable(loss):
        raise TypeError(
            f"loss={loss!r} cannot be called: pass a function (output, targets) -> scalar tensor."
        )
    return loss


class NLLOfProbabilities(nn.Module):
    """The negative log likelihood of outputs that are probabilities already.

    It is `nn.NLLLoss` of their logarithm: for a model that ends with a softmax, what `nn.CrossEntropyLoss` is for
    one that ends with logits.
    """

    def __init__(self, ignore_index: int = -100) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean over class numbers, or rows of probabilities."""
        # Of 0 the logarithm is infinite, and so would be the loss.
        log = output.clamp(min=torch.finfo(output.dtype).tiny).log()
        if targets.shape == output.shape:
            return -(targets * log).sum(1).mean()
        return nn.functional.nll_loss(log, targets, ignore_index=self.ignore_index)


class KnownLabelsLoss(nn.Module):
    """The mean of a loss over the labels that are known.

    Unknown are -1 and NaN. Where a batch knows none, it is 0.

    Parameters
    ----------
    whole : the mean loss of labels that are all known.
    met : whether some are unknown. On the CPU it is `whole` until one is met, to the last bit; elsewhere a look
        would wait for the device.
    """

    def __init__(self, whole: nn.Module, met: bool = True) -> None:
        super().__init__()
        self.whole, self.each, self.reduction, self.met = whole, copy.copy(whole), "mean", met
        self.each.reduction = "none"

    def forward(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of the targets that are 0 or more."""
        known = targets >= 0
        if not self.met and targets.device.type == "cpu":
            self.met = not bool(known.all())
            if not self.met and self.reduction == "mean":
                return self.whole(output, targets)
        each = torch.where(known, self.each(output, torch.where(known, targets, 0.0)), 0.0)
        if self.reduction == "none":
            return each
        return each.sum() / known.sum().clamp(min=1e-9)


# -- the task, inferred

#: The loss of each task, as in PyTorch's own classification and regression examples.
_LOSSES: dict[str, type[nn.Module]] = {
    "multilabel": nn.BCEWithLogitsLoss, "multiclass": nn.CrossEntropyLoss,
    "binary": nn.BCEWithLogitsLoss, "regression": nn.MSELoss,
}  # fmt: skip
_CLASS_LOSSES = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss, NLLOfProbabilities)
_NUMBER_LOSSES = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)
_LOGIT_LOSSES = (nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss, nn.SoftMarginLoss, *_CLASS_LOSSES[:3])
_PROBABILITY_LOSSES = (nn.BCELoss, NLLOfProbabilities)
_LOGIT_FUNCTIONS = (
    F.binary_cross_entropy_with_logits, F.cross_entropy, F.nll_loss, F.multilabel_soft_margin_loss
)  # fmt: skip
_LABEL_LOSSES = (nn.BCELoss, nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss)
#: Rows with exactly one 1 each are taken for one-hot classes from so many rows on.
_ENOUGH = 20


def infer_task(
    targets: Any, output: Any, *, task: str | None = None, loss: Any = None,
    classes: Sequence[str] | None = None, named: bool = False, unknown: bool | None = False,
    channels_last: bool = False, usual: Callable[[str, Any, Any], Any] = lambda task, targets, output: None,
) -> Task:  # fmt: skip
    """Return the task that fits the targets and the model's output.

    Parameters
    ----------
    targets : a tensor of targets, one row a sample: all of them, or those of one batch.
    output : what the model gave for a few samples.
    task : one of "multilabel", "multiclass", "binary", "regression"; None to infer.
    loss : a function (output, targets) -> scalar tensor, a class of torch.nn losses or its name; None: the
        task's.
    classes : the names of the classes; checked against the output.
    named : whether the targets were names of classes, so that numbers are out of the question.
    unknown : whether labels are unknown elsewhere, as in the validation data, though not in these targets; None:
        these are the first of more that cannot be looked through.
    channels_last : whether classes are the last axis of the outputs, and not the second.
    usual : returns the loss of a task by its name, the targets and the output, where that is not torch's usual one.

    Raises ValueError, TypeError: one sentence on what does not fit.
    """
    check_task_name(task)
    loss, names = read_loss(loss), read_class_names(classes)
    tensors = isinstance(targets, torch.Tensor) and isinstance(output, torch.Tensor)
    if loss is not None and task is None and not tensors:
        return Task("custom", loss, "the targets or the output are not tensors", names)
    if not tensors:
        what, found = "model's output is", output
        if isinstance(output, torch.Tensor):
            what, found = "targets are", targets
        raise TypeError(
            f"The {what} of type {type(found).__name__}, not a tensor: pass loss=(output, targets) -> loss, "
            "or training_step=(model, batch) -> loss."
        )
    if output.ndim == 0:
        raise ValueError("The model puts out a single number for a batch: one row for each sample is wanted.")
    because, raw = "it was given", (targets, output)
    targets = classes_second(targets, channels_last) if targets.ndim == output.ndim else targets
    output = classes_second(output, channels_last)
    if task is None:
        task, because = _infer_by_targets(targets, output, loss, named)
    outputs = output.shape[1] if output.ndim > 1 else 1
    if loss is None and task != "regression":
        loss = usual(task, *raw)
    known = loss is None or isinstance(loss, (*_LOSSES.values(), *_PROBABILITY_LOSSES, KnownLabelsLoss))
    known = known or (isinstance(loss, FrameworkLoss) and bool(loss.compares))
    settled = isinstance(loss, KnownLabelsLoss) or getattr(loss, "ignore_index", None) == -1
    if known and task != "regression" and not settled:
        _refuse_unclear(task, targets, outputs)
    minus = task == "multiclass" and (unknown or bool(find_unknown(targets).any()))
    if minus and isinstance(loss, FrameworkLoss):
        loss = loss.leave_out_unknown() or loss
    if loss is None:
        loss = nn.CrossEntropyLoss(ignore_index=-1) if minus else _LOSSES[task]()
    if isinstance(loss, _LOGIT_LOSSES) or loss in _LOGIT_FUNCTIONS:
        probabilities = False
    elif isinstance(loss, _PROBABILITY_LOSSES) or loss is F.binary_cross_entropy:
        probabilities = True
    elif isinstance(loss, FrameworkLoss) and loss.takes_probabilities is not None:
        probabilities = loss.takes_probabilities
    else:
        probabilities = looks_like_probabilities(task, output)
    signed = task in ("multilabel", "binary") and not known and not bool((targets == 0).any())
    signed = signed and bool((targets == -1).any()) and bool((targets == 1).any())
    if signed:
        because += ", -1 for no"
    elif task in ("multilabel", "binary"):
        met = bool(unknown) or bool(find_unknown(targets).any())
        because += ", -1 or NaN where unknown" if met else ""
        loss = _mask_unknown(loss, met) if met or unknown is None else loss
    found = Task(task, loss, because, names, outputs, probabilities, signed=signed, channels_last=channels_last)
    if named:
        _check_names(found, named)
    if task == "multiclass" and targets.shape[1:] != output.shape[1:] and _compares_numbers(loss):
        raise ValueError(
            f"{found.loss_name} compares each output with a number, and the targets are the numbers of classes: pass "
            "one-hot targets, or a loss of classes, as nn.CrossEntropyLoss()."
        )
    # A NaN in it is a fault of another kind, and is told of in the first step.
    logits = not looks_like_probabilities(task, output) and bool(output.isfinite().all())
    if isinstance(loss, NLLOfProbabilities) and logits:
        raise ValueError(
            "The model's outputs are no probabilities, which are 0 or more and sum to 1 for each sample: of logits the "
            "loss is nn.CrossEntropyLoss()."
        )
    if isinstance(loss, FrameworkLoss) and loss.takes_probabilities and logits:
        last = "softmax" if task == "multiclass" else "sigmoid"
        raise ValueError(
            f"{found.loss_name} wants probabilities, and the model's outputs are none: pass loss={loss.cure}, which is "
            f'the one of logits, or end the model with activation="{last}".'
        )
    if known:
        _check_fit(found, targets, output)
    _check_names(found, named)
    return found


def check_task_name(task: Any) -> None:
    """Raise ValueError where `task` is no name of a task, nor None."""
    known = (*TASKS, "detection")
    if task is not None and task not in known:
        raise ValueError(
            f"task={task!r} is none of {', '.join(known)}; for any other, "
            f"pass training_step=(model, batch) -> loss.{did_you_mean(str(task).lower(), known)}"
        )


def read_class_names(classes: Any) -> tuple[str, ...] | None:
    """Read class names as a tuple of texts; None for None.

    A mapping has names and numbers, either way round, as the `class_to_idx` of an image folder has.

    Raises TypeError, ValueError: they have no order, are one text, or one comes twice.
    """
    if classes is None:
        return None
    if isinstance(classes, (str, bytes)):
        raise TypeError(f"classes={classes!r} is one text: pass a list of names.")
    if isinstance(classes, (set, frozenset)):
        raise TypeError(f"classes={classes!r} has no order: pass a list, in the order of the model's outputs.")
    if isinstance(classes, Mapping):
        classes = _order_names(classes)
    try:
        names = tuple(str(name) for name in classes)
    except TypeError:
        raise TypeError(
            f"classes={classes!r} is of type {type(classes).__name__}: pass a list of names."
        ) from None
    if not names:
        raise ValueError("classes is empty: pass a list of names, or None.")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"classes has the name {twice!r} twice: each class needs a name of its own.")
    return names


def _order_names(classes: Mapping[Any, Any]) -> list[Any]:
    """Return the names of a mapping in the order of their numbers."""
    for named in (classes, {number: name for name, number in classes.items()}):
        numbers = [read_integer(number) for number in named]
        if None not in numbers and sorted(numbers) == list(range(len(classes))):  # type: ignore[type-var]
            return [name for _, name in sorted(zip(numbers, named.values()))]
    raise ValueError(
        f"classes={dict(classes)!r}: a mapping of names to the numbers 0 to {len(classes) - 1} is wanted, each "
        "number once, or a list of names."
    )


def find_unknown(targets: torch.Tensor) -> torch.Tensor:
    """Return which labels are unknown: -1 or NaN, which is not itself."""
    unknown = targets == -1
    return unknown | (targets != targets) if targets.is_floating_point() else unknown


def _refuse_unclear(task: str, targets: torch.Tensor, outputs: int) -> None:
    """Raise ValueError where -1 may be a class as well as unknown."""
    if not bool(find_unknown(targets).any()):
        return
    if bool(find_unknown(targets).all()):
        raise ValueError("No label of the targets is known: all are -1 or NaN.")
    if task == "multiclass" and outputs > 2:
        refuse_shifted(targets, outputs, "The targets hold")
    else:
        refuse_signs(targets, "The targets hold", '; where they are numbers, pass task="regression"')


def ignored_class(loss: Any) -> int | None:
    """Return the class number that a loss leaves out, or None."""
    return getattr(loss, "ignore_index", -100 if loss in (F.cross_entropy, F.nll_loss) else None)


def _mask_unknown(loss: Any, met: bool) -> Any:
    """Return a loss that leaves unknown labels out, or one's own."""
    if not met and loss is F.binary_cross_entropy_with_logits:
        return loss
    if met and isinstance(loss, nn.MultiLabelSoftMarginLoss):
        raise ValueError(
            "The targets hold -1 or NaN, which are unknown labels, and MultiLabelSoftMarginLoss cannot leave them "
            "out: take BCEWithLogitsLoss, which is the same mean, or leave loss= out."
        )
    loss = nn.BCEWithLogitsLoss() if loss is F.binary_cross_entropy_with_logits else loss
    if met and isinstance(loss, FrameworkLoss):
        loss = loss.leave_out_unknown() or loss
    if not isinstance(loss, (nn.BCEWithLogitsLoss, nn.BCELoss)):
        return loss
    if loss.reduction != "mean" and not met:
        return loss
    if loss.reduction != "mean":
        raise ValueError(
            f"The targets hold -1 or NaN, which are unknown labels, and {type(loss).__name__} has "
            f"reduction={loss.reduction!r}: leave it to be the mean, or leave loss= out."
        )
    return KnownLabelsLoss(loss, met)


def _infer_by_targets(targets: torch.Tensor, output: torch.Tensor, loss: Any, named: bool) -> tuple[str, str]:
    columns = output.shape[1] if output.ndim > 1 else 1
    flat = targets.ndim == 1 or (targets.ndim == 2 and targets.shape[1] == 1)
    known = targets[targets == targets]
    whole = not targets.is_floating_point() or bool((known == known.floor()).all())
    # Beside a loss of one's own -1 may be meant as a number, unless there are columns of 0 and 1.
    labels = known[known != -1]
    by_label = isinstance(loss, _LABEL_LOSSES) or getattr(loss, "compares", "") == "labels"
    if loss is not None and not by_label and (flat or not bool((known == 0).any())):
        labels = known
    zero_one = bool(((labels == 0) | (labels == 1)).all())
    kind = getattr(loss, "__name__", type(loss).__name__)
    of_classes = isinstance(loss, _CLASS_LOSSES) or getattr(loss, "compares", "") == "multiclass"
    if of_classes or loss in (F.cross_entropy, F.nll_loss):
        return "multiclass", f"the loss is {kind}"
    if _compares_numbers(loss):
        return "regression", f"the loss is {kind}"
    if named and not flat:
        return "multilabel", "the targets are lists of labels"
    by_side = isinstance(loss, nn.SoftMarginLoss) or getattr(loss, "takes_signs", False)
    sides = by_side and bool(((known == 1) | (known == -1)).all())
    shares = by_label and bool(((labels >= 0) & (labels <= 1)).all()) and not zero_one
    if targets.ndim <= 2 and (sides or shares):
        return ("binary" if flat and columns == 1 else "multilabel"), f"the loss is {kind}"
    if flat:
        if named:
            return ("multiclass" if columns > 1 else "binary"), "the targets are names of classes"
        # Labels kept as real numbers; beside a loss of one's own they may as well be numbers.
        if columns > 1 and output.ndim == 2 and (not targets.is_floating_point() or (whole and loss is None)):
            because = f"the targets are whole numbers, one a sample, and the model puts out {columns} values"
            return "multiclass", because
        if zero_one:
            return "binary", "the targets are 0 or 1, one a sample"
        if not targets.is_floating_point() and columns == 1:
            return "regression", "the targets are numbers and the model puts out one value"
        return "regression", "the targets are real numbers"
    if targets.ndim == 2 and zero_one:
        hot = labels.numel() == targets.numel() and bool((targets.sum(1, dtype=torch.float64) == 1).all())
        if hot and len(targets) >= _ENOUGH and not by_label:
            return "multiclass", f"each row of the {targets.shape[1]} columns has exactly one 1 (one-hot)"
        return "multilabel", f"the targets are 0 or 1 in {targets.shape[1]} columns"
    if targets.ndim > 1 and not targets.is_floating_point() and output.ndim == targets.ndim + 1:
        because = f"the targets are whole numbers, one a position, and the model puts out {columns} values"
        return "multiclass", because
    return "regression", f"the targets are numbers of shape {describe_shapes(targets[0])} a sample"


def _compares_numbers(loss: Any) -> bool:
    numbers = isinstance(loss, _NUMBER_LOSSES) or getattr(loss, "compares", "") == "numbers"
    return numbers or loss in (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss)


def classes_second(output: torch.Tensor, channels_last: bool) -> torch.Tensor:
    """Return outputs with classes on the second axis, as torch has."""
    return output.movedim(-1, 1) if channels_last and getattr(output, "ndim", 0) > 2 else output


def looks_like_probabilities(task: str, output: torch.Tensor) -> bool:
    """Say whether outputs lie in 0..1 and, for multiclass, sum to 1."""
    if task not in ("multilabel", "multiclass", "binary") or not output.is_floating_point():
        return False
    off = 1e-3 if output.dtype.itemsize > 2 else 2e-2
    inside = bool(((output >= 0) & (output <= 1)).all())
    if task != "multiclass":
        return inside
    return inside and output.ndim > 1 and bool(torch.isclose(output.float().sum(1), torch.ones(()), atol=off).all())


def _check_fit(task: Task, targets: torch.Tensor, output: torch.Tensor) -> None:
    """Raise ValueError where the targets cannot be compared with the output."""
    if task.name == "regression" and bool((targets != targets).any()):
        rows = targets.isnan().reshape(len(targets), -1).any(1)
        raise ValueError(
            f"The targets hold NaN in {pluralize(int(rows.sum()), 'sample')}, "
            f"the first is sample {int(rows.int().argmax())}: leave those samples out, or give each a value."
        )
    given, out = tuple(targets.shape[1:]), tuple(output.shape[1:])
    if task.name == "multiclass":
        if output.ndim < 2:
            raise ValueError(
                f"The model puts out shape {tuple(output.shape)}; multiclass needs one value for each class."
            )
        if given != out:
            _check_labels(task, targets, output)
        return
    if task.name in ("multilabel", "binary"):
        known = targets[~find_unknown(targets)]
        low, high = float(known.min()), float(known.max())
        if low < 0 or high > 1:
            raise ValueError(
                f"The targets hold {low if low < 0 else high:g}; "
                f"a {task.name} task has targets between 0 and 1."
            )
    if math.prod(given) != math.prod(out):
        raise ValueError(
            f"The targets have {pluralize(math.prod(given), 'value')} a sample, "
            f"but the model puts out {math.prod(out)}. "
            f"The model's last layer should put out {math.prod(given)}: dlw.with_head(model, {math.prod(given)})."
        )


def _check_labels(task: Task, targets: torch.Tensor, output: torch.Tensor) -> None:
    count, ignored = output.shape[1], getattr(task.loss, "ignore_index", -100)
    where, wanted = tuple(targets.shape[1:]), tuple(output.shape[2:])
    if where != wanted and where != (1, *wanted):
        each = f"whole numbers of shape {wanted}" if wanted else "one whole number"
        raise ValueError(
            f"The targets have shape {where} a sample and the model's output {tuple(output.shape[1:])}: "
            f"for {count} classes each sample has {each}, or a number for each class."
        )
    every, targets = targets, targets[~find_unknown(targets)]
    if targets.is_floating_point() and bool((targets != targets.floor()).any()):
        raise ValueError(
            "The targets are not whole numbers: "
            "a multiclass task has the number of its class for each sample."
        )
    labels = targets[targets != ignored]
    if not len(labels):
        return
    low, high = int(labels.min()), int(labels.max())
    if high >= count or low < 0:
        outside = ~find_unknown(every) & (every != ignored) & ((every < 0) | (every >= count))
        rows = outside.reshape(len(every), -1).any(1).nonzero().flatten().tolist()
        hint = f" They do not in {pluralize(len(rows), 'sample')}, the first is sample {rows[0]}."
        if low >= 0 and len(labels[labels >= count].unique()) == high + 1 - count:  # no odd one, as 255 for the border
            hint += f" For {high + 1} classes it is dlw.with_head(model, {high + 1})."
        hint = " Count from 0: pass y - 1." if low == 1 and high == count else hint
        raise ValueError(
            f"The targets hold the label {high if high >= count else low}, but the model puts out "
            f"{pluralize(count, 'value')}: labels go from 0 to {count - 1}.{hint}"
        )


def _check_names(task: Task, named: bool) -> None:
    count = len(task.classes or ())
    fits = count in (1, 2) if task.name == "binary" else count == task.outputs
    if task.classes is None or fits:
        return
    out = f"the model puts out {pluralize(task.outputs or 1, 'value')} a sample"
    if named:
        raise ValueError(
            f"The targets name {pluralize(count, 'class')}, but {out}: "
            f"its last layer should put out {count}, as dlw.with_head(model, {count}), or more names be passed as "
            "classes=."
        )
    also = f" (the task is regression, since {task.because})" if task.name == "regression" else ""
    raise ValueError(f"classes has {pluralize(count, 'name')}, but {out}{also}: one name for each is wanted.")
