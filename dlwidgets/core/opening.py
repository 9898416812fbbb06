"""Opening a session: what was handed over is read, tried once on a few samples, and refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from . import data
from .batches import Batches, Streamed, batches_of
from .borrowed import looking, on_device, untouched_rng
from .tasks import Task, infer_task, unpack
from .trees import call, shapes, tensors, tree_map


@dataclass(frozen=True)
class Opened:
    """The data as batches, what is to be learnt from it, and a few inputs to look at the model with."""

    train: Batches
    valid: Batches | None
    task: Task
    example: Any


def open_data(
    model: nn.Module,
    train: Any,
    valid: Any,
    *,
    batch_size: int | None,
    seed: int,
    device: torch.device,
    target: Any = None,
    step: Callable[[nn.Module, Any], Any] | None = None,
    task: str | None = None,
    loss: Any = None,
    classes: Sequence[str] | None = None,
) -> Opened:
    """Read the data, run the model once on a few samples, and infer the task.

    The parameters are those of `Session`. The model is left as it was.

    Raises
    ------
    ValueError, TypeError : one sentence on what was given, what is wanted and what to do.
    """
    if isinstance(train, torch.Tensor) and isinstance(valid, torch.Tensor):
        raise TypeError("The second argument is the validation data: pass train=(X, y).")
    train = data.read(train, name="train", target=target)
    if isinstance(valid, (int, float)) and not isinstance(valid, bool):
        train, valid = data.split(train, float(valid), seed)
    elif valid is not None:
        valid = data.read(valid, name="valid", target=target, like=train if isinstance(train, data.Rows) else None)
    train, valid = cast(train, model), cast(valid, model)

    size = 32 if batch_size is None else batch_size
    supply = batches_of(train, batch_size=size, seed=seed)
    if batch_size is not None:
        if why := supply.why_not(size):
            raise ValueError(f"batch_size={size} cannot be had: {why}.")
        supply.batch_size = size
    check = None if valid is None else batches_of(valid, batch_size=size, seed=seed, shuffle=False)
    if isinstance(check, Streamed) and iter(valid) is valid:
        raise ValueError("valid can be read once only (a generator): pass a list of batches, or a Dataset.")

    try:
        with untouched_rng():
            batch = supply.few(4)
    except Exception as error:
        raise ValueError(f"train gave no batch to look at: {error}") from error
    names = classes if classes is not None else getattr(train, "classes", None)
    if step is not None:
        if task is not None or loss is not None:
            raise ValueError("step= computes the loss itself: leave task= and loss= out.")
        found = Task("custom", None, "step= was given", tuple(map(str, names)) if names is not None else None)
        return Opened(supply, check, found, batch[0] if isinstance(batch, (tuple, list)) and batch else batch)

    inputs, targets = unpack(batch, target if isinstance(target, str) else None)
    output = _try(model, inputs, device)
    every = train.targets if isinstance(train, data.Rows) else targets
    found = infer_task(every, output, task=task, loss=loss, classes=names)
    if isinstance(valid, data.Rows):
        _check_valid(valid, inputs, output, found, names)
    return Opened(supply, check, found, inputs)


def cast(part: Any, model: nn.Module) -> Any:
    """Return rows, or a tree of tensors, with their real numbers in the model's own dtype.

    Arrays of float64 beside weights of float32 are the commonest first error.
    """
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    if dtype is None:
        return part
    if isinstance(part, data.Rows):
        return data.Rows(cast(part.inputs, model), part.targets, part.classes)
    return tree_map(lambda t: t.to(dtype) if t.is_floating_point() and t.dtype != dtype else t, part)


def choose_device(wanted: str | torch.device, model: nn.Module) -> torch.device:
    """Return the device that is meant; "auto" is where the model is, or CUDA where the model is on the CPU.

    Raises
    ------
    ValueError : torch knows no such device.
    """
    if wanted != "auto":
        try:
            return torch.device(wanted)
        except RuntimeError as error:
            raise ValueError(f'device={wanted!r} is not known to torch: try "cpu", "cuda" or "auto".') from error
    home = next((p.device for p in model.parameters()), torch.device("cpu"))
    return torch.device("cuda", torch.cuda.current_device()) if home.type == "cpu" and torch.cuda.is_available() else home


def _try(model: nn.Module, inputs: Any, device: torch.device) -> Any:
    try:
        with on_device(model, device), looking(model):
            output = call(model, tree_map(lambda tensor: tensor.to(device), inputs))
    except Exception as error:
        hint = ""
        if any(tensor.dtype == torch.uint8 for tensor in tensors(inputs)):
            hint = " The inputs are uint8: X.float() / 255 may be what the model wants."
        raise ValueError(
            f"{type(model).__name__} fails on a batch of inputs of shape {shapes(inputs)}: {error}.{hint} "
            "dlwidgets.summary(model, X[:1]) shows where."
        ) from error
    return tree_map(lambda tensor: tensor.cpu(), output)


def _check_valid(valid: data.Rows, inputs: Any, output: Any, task: Task, classes: Any) -> None:
    theirs, ours = (tuple(t.shape[1:] for t in tensors(part)) for part in (valid.inputs, inputs))
    if theirs != ours:
        one, other = (shapes(tree_map(lambda t: t[0], part)) for part in (valid.inputs, inputs))
        raise ValueError(f"valid has inputs of shape {one} a sample, train of {other}: they must match.")
    if task.name == "custom":
        return
    try:
        infer_task(valid.targets, output, task=task.name, loss=task.loss, classes=classes)
    except ValueError as error:
        raise ValueError(f"In the validation data: {error}") from error
