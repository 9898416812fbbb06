"""The task: its loss and classes, and what targets and outputs mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..base.words import quote_names

TASKS = ("multilabel", "multiclass", "binary", "regression")


@dataclass(frozen=True)
class Task:
    """What the model's output means, and what it is compared with.

    Attributes
    ----------
    name : one of `TASKS`, or "custom".
    loss : `(output, targets) -> scalar tensor`; None where a custom step computes it.
    because : what was decided and from what, in a clause.
    classes : the names of the classes, where known.
    outputs : how many values the model puts out for a sample, or each of its positions; None where unknown.
    probabilities : whether the model puts out probabilities, and not logits.
    """

    name: str
    loss: Callable[[Any, Any], Any] | None
    because: str
    classes: tuple[str, ...] | None = None
    outputs: int | None = None
    probabilities: bool = False

    @property
    def loss_name(self) -> str:
        """Return the name of the loss as a person would write it."""
        if self.loss is None:
            return "the custom step's"
        return getattr(self.loss, "__name__", None) or type(self.loss).__name__

    def prepare(self, targets: Any, output: Any) -> Any:
        """Give the targets the dtype and shape that the loss wants."""
        if not isinstance(targets, torch.Tensor) or not isinstance(output, torch.Tensor):
            return targets
        if self.name == "multiclass":
            if targets.ndim == output.ndim and targets.shape == output.shape:
                return _cast_like(targets, output)  # one-hot, or a probability for each class
            if targets.ndim == output.ndim and targets.shape[1] == 1:
                targets = targets[:, 0]
            return targets if targets.dtype == torch.int64 else targets.long()
        if self.name in TASKS:
            if targets.dtype != output.dtype:
                targets = _cast_like(targets, output)
            # An output of shape (B, 1) beside targets of shape (B,) would broadcast to (B, B), silently.
            if output.shape != targets.shape and output.numel() == targets.numel():
                targets = targets.reshape(output.shape)
        return targets

    def scores(self, output: torch.Tensor) -> torch.Tensor:
        """Return probabilities (N x C; binary: N) of the output, unless regression."""
        output = output.detach().float()
        if self.name == "binary":
            output = output.reshape(-1)
        if self.probabilities:
            return output
        if self.name == "multiclass":
            return output.softmax(dim=1)
        return output.sigmoid() if self.name in ("multilabel", "binary") else output

    def predictions(self, output: torch.Tensor, thresholds: Any = 0.5) -> torch.Tensor:
        """Return what is said of each sample.

        Multilabel: N x C of 0 and 1, where the score reaches its threshold; binary: N of 0 and 1; multiclass:
        N class numbers; any other task: the output.
        """
        if self.name == "multiclass":
            return output.argmax(dim=1)
        if self.name not in ("multilabel", "binary"):
            return output
        return (self.scores(output).double() >= torch.as_tensor(thresholds, dtype=torch.float64)).long()


def _cast_like(targets: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    return targets.to(output.dtype) if output.is_floating_point() else targets.float()


def unpack_batch(batch: Any, target: str | None = None) -> tuple[Any, Any]:
    """Split a batch, a pair or a dict with a target entry.

    Raises
    ------
    TypeError : the batch is neither; pass `training_step=` to the session.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
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


def scalar_loss(loss: Any) -> tuple[torch.Tensor, dict[str, float]]:
    """Return a loss as a scalar; a dict's sum, and its parts.

    Raises
    ------
    TypeError : it is not one number.
    """
    parts: dict[str, float] = {}
    if not isinstance(loss, torch.Tensor) and isinstance(loss, Mapping):
        if not loss:
            raise TypeError("The step returned an empty dict: losses by name are wanted.")
        parts = {f"loss_{name}": float(torch.as_tensor(value).detach()) for name, value in loss.items()}
        loss = sum(loss.values())
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        given = isinstance(loss, torch.Tensor)
        what = f"a tensor of shape {tuple(loss.shape)}" if given else f"of type {type(loss).__name__}"
        raise TypeError(f"The loss is {what}: one number (a scalar tensor) is wanted, such as its mean.")
    return loss.reshape(()) if loss.ndim else loss, parts


def read_loss(loss: Any) -> Any:
    """Read a loss: a name or class of torch.nn, a function, None.

    Raises
    ------
    ValueError, TypeError : there is no such loss, or it cannot be called.
    """
    if isinstance(loss, str):
        named = {name.lower(): getattr(nn, name) for name in dir(nn) if name.endswith("Loss")}
        short = {name[: -len("loss")]: made for name, made in named.items()}
        short |= {"bce": nn.BCEWithLogitsLoss, "mae": nn.L1Loss, "ce": nn.CrossEntropyLoss}
        key = loss.lower().replace("_", "").replace(" ", "")
        chosen = named.get(key) or short.get(key)
        if chosen is None:
            raise ValueError(
                f"loss={loss!r} is not a loss of torch.nn: try loss=nn.CrossEntropyLoss(), or a function "
                "(output, targets) -> scalar tensor."
            )
        return chosen()
    if isinstance(loss, type) and issubclass(loss, nn.Module):
        return loss()
    if loss is not None and not callable(loss):
        raise TypeError(
            f"loss={loss!r} cannot be called: pass a function (output, targets) -> scalar tensor."
        )
    return loss
