"""What is to be learnt: the task, its loss and its classes, inferred from the targets and said in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .trees import shapes

TASKS = ("multilabel", "multiclass", "binary", "regression")
#: The loss of each task, as in PyTorch's own classification and regression examples.
_LOSSES: dict[str, type[nn.Module]] = {
    "multilabel": nn.BCEWithLogitsLoss,
    "multiclass": nn.CrossEntropyLoss,
    "binary": nn.BCEWithLogitsLoss,
    "regression": nn.MSELoss,
}


@dataclass(frozen=True)
class Task:
    """A task: what the model's output means, what it is compared with, and why we think so."""

    name: str
    loss: Callable[[Any, Any], Any] | None
    #: What was decided and from what, in a clause.
    because: str
    classes: tuple[str, ...] | None = None

    @property
    def loss_name(self) -> str:
        """Return the name of the loss as a person would write it."""
        if self.loss is None:
            return "the custom step's"
        return getattr(self.loss, "__name__", None) or type(self.loss).__name__

    def prepare(self, targets: Any, output: Any) -> Any:
        """Return the targets in the dtype and shape that the loss wants beside `output`."""
        if not isinstance(targets, torch.Tensor):
            return targets
        if self.name in ("multilabel", "binary", "regression"):
            like = output.dtype if isinstance(output, torch.Tensor) and output.is_floating_point() else torch.float32
            targets = targets.to(like)
            # An output of shape (B, 1) beside targets of shape (B,) would broadcast to (B, B), silently.
            if isinstance(output, torch.Tensor) and output.shape != targets.shape:
                if output.numel() == targets.numel() and targets.ndim <= 2:
                    targets = targets.reshape(output.shape)
            return targets
        if self.name == "multiclass" and not targets.is_floating_point():
            if targets.ndim == 2 and targets.shape[1] == 1:
                targets = targets[:, 0]
            return targets.long()
        return targets

    def scores(self, output: torch.Tensor) -> torch.Tensor:
        """Return probabilities (N x C; N for binary) from the model's output; regression: the output itself."""
        output = output.detach().float()
        if self.name == "multiclass":
            return output.softmax(dim=1)
        if self.name in ("multilabel", "binary"):
            return output.sigmoid() if isinstance(self.loss, nn.BCEWithLogitsLoss) else output
        return output


def infer_task(
    targets: Any,
    output: Any,
    *,
    task: str | None = None,
    loss: Any = None,
    classes: Sequence[str] | None = None,
    whole: bool = True,
) -> Task:
    """Return the task that fits the targets and the model's output.

    Parameters
    ----------
    targets : a tensor of targets, one row a sample: all of them, or those of one batch (`whole=False`).
    output : what the model gave for a few samples.
    task : one of "multilabel", "multiclass", "binary", "regression"; None to infer.
    loss : a function (output, targets) -> scalar tensor, a class of torch.nn losses or its name; None: the task's.
    classes : the names of the classes; checked against the output.

    Raises
    ------
    ValueError, TypeError : one sentence on what does not fit.
    """
    if task is not None and task not in TASKS:
        raise ValueError(f"task={task!r} is none of {', '.join(TASKS)}; for any other, pass step=(model, batch) -> loss.")
    loss = _loss(loss)
    if loss is not None and task is None and not (isinstance(targets, torch.Tensor) and isinstance(output, torch.Tensor)):
        return Task("custom", loss, "the targets or the output are not tensors", _names(classes))
    if not isinstance(output, torch.Tensor):
        raise TypeError(
            f"The model's output is of type {type(output).__name__}, not a tensor: pass loss=(output, targets) -> loss, "
            "or step=(model, batch) -> loss."
        )
    if not isinstance(targets, torch.Tensor):
        raise TypeError(
            f"The targets are of type {type(targets).__name__}, not a tensor: pass loss=(output, targets) -> loss, "
            "or step=(model, batch) -> loss."
        )
    if task is None:
        task, because = _guess(targets, output, loss)
    else:
        because = "as given"
    found = Task(task, loss or _LOSSES[task](), because, _names(classes))
    if loss is None or isinstance(loss, tuple(_LOSSES.values())):
        _check(found, targets, output)
    count = class_count(found, output)
    if found.classes is not None and count is not None and len(found.classes) != count:
        raise ValueError(
            f"classes has {len(found.classes)} names, but the model puts out {count} "
            f"value{'s' if count != 1 else ''} a sample: one name for each is wanted."
        )
    return found


def class_count(task: Task, output: Any) -> int | None:
    """Return how many classes the output speaks of; None for regression and custom tasks."""
    if task.name in ("multilabel", "multiclass") and isinstance(output, torch.Tensor) and output.ndim >= 2:
        return output.shape[1]
    if task.name == "binary":
        # One column, but two things it can say; one name is enough for the positive class.
        return 1 if task.classes is None or len(task.classes) == 1 else 2
    return None


def _names(classes: Sequence[str] | None) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if isinstance(classes, str):
        raise TypeError(f"classes={classes!r} is one text: pass a list of names.")
    return tuple(str(name) for name in classes)


def _loss(loss: Any) -> Any:
    if isinstance(loss, str):
        named = {name.lower(): getattr(nn, name) for name in dir(nn) if name.endswith("Loss")}
        short = {name[: -len("loss")]: made for name, made in named.items()}
        key = loss.lower().replace("_", "")
        short["bce"], short["mae"] = nn.BCEWithLogitsLoss, nn.L1Loss
        chosen = named.get(key) or short.get(key)
        if chosen is None:
            raise ValueError(f"loss={loss!r} is not a loss of torch.nn: try loss=nn.CrossEntropyLoss(), or a function.")
        return chosen()
    if isinstance(loss, type) and issubclass(loss, nn.Module):
        return loss()
    if loss is not None and not callable(loss):
        raise TypeError(f"loss={loss!r} cannot be called: pass a function (output, targets) -> scalar tensor.")
    return loss


def _guess(targets: torch.Tensor, output: torch.Tensor, loss: Any) -> tuple[str, str]:
    columns = output.shape[1] if output.ndim == 2 else 1
    flat = targets.ndim == 1 or (targets.ndim == 2 and targets.shape[1] == 1)
    known = targets[~targets.isnan()] if targets.is_floating_point() else targets
    zero_one = bool(((known == 0) | (known == 1)).all())
    if isinstance(loss, (nn.CrossEntropyLoss, nn.NLLLoss)):
        return "multiclass", f"the loss is {type(loss).__name__}"
    if isinstance(loss, (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)):
        return "regression", f"the loss is {type(loss).__name__}"
    if flat:
        if not targets.is_floating_point() and columns > 1:
            return "multiclass", f"the targets are whole numbers, one a sample, and the model puts out {columns} values"
        if zero_one:
            return "binary", "the targets are 0 or 1, one a sample"
        if not targets.is_floating_point() and columns == 1 and not isinstance(loss, nn.BCEWithLogitsLoss):
            return "regression", "the targets are numbers and the model puts out one value"
        return "regression", "the targets are real numbers"
    if targets.ndim == 2 and zero_one:
        ones = known.reshape(targets.shape).sum(1) if known.numel() == targets.numel() else None
        if ones is not None and len(targets) >= 20 and bool((ones == 1).all()) and not isinstance(loss, nn.BCEWithLogitsLoss):
            return "multiclass", f"each row of the {targets.shape[1]} columns has exactly one 1 (one-hot)"
        return "multilabel", f"the targets are 0 or 1 in {targets.shape[1]} columns"
    if targets.ndim > 2 and not targets.is_floating_point() and output.ndim == targets.ndim + 1:
        return "multiclass", "the targets are whole numbers, one a position"
    return "regression", f"the targets are real numbers of shape {shapes(targets[:1])} a sample"


def _check(task: Task, targets: torch.Tensor, output: torch.Tensor) -> None:
    """Raise ValueError where the targets cannot be compared with the output."""
    given, out = tuple(targets.shape[1:]), tuple(output.shape[1:])
    if task.name == "multiclass":
        if output.ndim < 2:
            raise ValueError(f"The model puts out shape {tuple(output.shape)}; multiclass needs one value for each class.")
        if targets.is_floating_point():
            if given != out:
                raise ValueError(f"The targets have {given} values a sample and the model's output {out}: they must match.")
            return
        low, high, count = int(targets.min()), int(targets.max()), output.shape[1]
        ignored = getattr(task.loss, "ignore_index", -100)
        if high >= count or (low < 0 and bool(((targets < 0) & (targets != ignored)).any())):
            wrong = high if high >= count else low
            raise ValueError(
                f"The targets hold the label {wrong}, but the model puts out {count} classes: "
                f"labels go from 0 to {count - 1}."
            )
        return
    if task.name in ("multilabel", "binary"):
        known = targets[~targets.isnan()] if targets.is_floating_point() else targets
        if known.numel() and (float(known.min()) < 0 or float(known.max()) > 1):
            bad = float(known.min()) if float(known.min()) < 0 else float(known.max())
            raise ValueError(f"The targets hold {bad:g}; a {task.name} task has targets between 0 and 1.")
        if targets.is_floating_point() and bool(targets.isnan().any()):
            raise ValueError("The targets hold NaN: give each a 0 or a 1, or leave those samples out.")
    count = lambda shape: int(torch.tensor(shape).prod()) if shape else 1  # noqa: E731
    if count(given) != count(out):
        what = f"{count(given)} value{'s' if count(given) != 1 else ''}"
        hint = ""
        if task.name in ("multilabel", "regression", "binary"):
            hint = f" The model's last layer should put out {count(given)}."
        raise ValueError(f"The targets have {what} a sample, but the model puts out {count(out)}.{hint}")


def unpack(batch: Any, target: str | None = None) -> tuple[Any, Any]:
    """Return (inputs, targets) of a batch: a pair, or a dict whose `target` entry is to be predicted.

    Raises
    ------
    TypeError : the batch is neither; pass `step=` to the session.
    """
    if isinstance(batch, Mapping):
        if target is None or target not in batch:
            raise TypeError(
                f"A batch is a dict with {', '.join(map(repr, list(batch)[:8]))}: say which entry is the target (target=...), "
                "or pass step=(model, batch) -> loss."
            )
        return {key: value for key, value in batch.items() if key != target}, batch[target]
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    parts = f" with {len(batch)} parts" if isinstance(batch, (tuple, list)) else ""
    raise TypeError(
        f"A batch is of type {type(batch).__name__}{parts}, not (inputs, targets): pass step=(model, batch) -> loss."
    )
