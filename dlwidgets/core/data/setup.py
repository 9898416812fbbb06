"""Opening a session: what was handed over is read, tried on a few samples, or refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from ..base.isolation import preserve_random_state
from ..base.trees import describe_shapes, slice_rows, tree_map, tree_tensors
from ..base.words import quote_error
from . import forms as data
from .batches import Batches, Shuffled
from .loader import Loaded
from .stream import Streamed
from .task import Task, unpack
from .task_inference import class_names, infer_task, looks_like_probabilities
from .trial import TRY, check_finite, check_single, float_dtype, plain, try_loss, try_model

#: Samples that are looked at to infer the task.
_LOOK = 32


@dataclass(frozen=True)
class Opened:
    """The data as batches, what is to be learnt from it, and a few inputs to look at the model with.

    Attributes
    ----------
    example : a few inputs, as a batch.
    dtype : the model's own floating dtype; None where it has none.
    columns : the columns of the DataFrame that the inputs were.
    notes : what was found, or done to the data, in sentences.
    """

    train: Batches
    valid: Batches | None
    task: Task
    example: Any
    dtype: torch.dtype | None = None
    columns: tuple[Any, ...] | None = None
    notes: tuple[str, ...] = ()


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
    if valid is not None and _is_array(train) and _is_array(valid):
        raise TypeError(
            "The third argument is the validation data: pass the targets along with X, as train=(X, y)."
        )
    if step is not None and (task is not None or loss is not None):
        raise ValueError("step= computes the loss itself: leave task= and loss= out.")
    names, dtype = class_names(classes), float_dtype(model)
    train = data.read(train, name="train", target=target, classes=names)
    if isinstance(valid, (int, float)) and not isinstance(valid, bool):
        train, valid = data.split(train, valid, seed)
    elif valid is not None:
        like = train if isinstance(train, data.Rows) else None
        valid = data.read(valid, name="valid", target=target, classes=names, like=like)
    notes = _cast_note(train, dtype)
    train, valid = cast(train, dtype), cast(valid, dtype)
    supply, check = _supply(train, valid, batch_size, seed)
    names = names or getattr(train, "classes", None)
    columns = getattr(train, "columns", None)

    batch = _few(supply, "train")
    if step is not None:
        found = Task("custom", None, "step= was given", names)
        example = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        return Opened(supply, check, found, slice_rows(example, 0, TRY), dtype, columns, notes)

    entry = target if isinstance(target, str) else None
    inputs, targets = unpack(batch, entry)
    example, output = try_model(model, inputs, supply.batch_size, device)
    every = train.targets if isinstance(train, data.Rows) else targets
    named = isinstance(train, data.Rows) and train.named
    found = infer_task(every, output, task=task, loss=loss, classes=names, named=named)
    try_loss(found, slice_rows(targets, 0, TRY), slice_rows(output, 0, TRY))
    if not found.probabilities and looks_like_probabilities(found.name, output):
        last = "softmax" if found.name == "multiclass" else "sigmoid"
        notes += (
            f"The model's outputs look like probabilities, but {found.loss_name} wants them as they are "
            f"before the {last}: leave it out of the model"
            + (", or pass loss=nn.BCELoss()." if last == "sigmoid" else "."),
        )
    check_finite(model, train, "train", device)
    check_single(model, supply, example, device)
    if check is not None:
        _check_valid(model, valid, check, found, example, entry, device)
    return Opened(supply, check, found, example, dtype, columns, notes)


def cast(part: Any, dtype: torch.dtype | None) -> Any:
    """Return rows, or a tree of tensors, with their real numbers in the model's own dtype.

    Arrays of float64 beside weights of float32 are the commonest first error.
    """
    if dtype is None:
        return part
    if isinstance(part, data.Rows):
        return replace(part, inputs=cast(part.inputs, dtype), targets=cast(part.targets, dtype))
    return tree_map(lambda t: t.to(dtype) if t.is_floating_point() and t.dtype != dtype else t, part)


def choose_device(wanted: str | torch.device, model: nn.Module) -> torch.device:
    """Return the device that is meant; "auto" is where the model is, or CUDA where the model is on the CPU.

    Raises
    ------
    ValueError : torch knows no such device, or it is not there.
    """
    if isinstance(wanted, str) and wanted == "auto":
        home = next((p.device for p in model.parameters()), torch.device("cpu"))
        if home.type == "cpu" and torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return home
    try:
        device = torch.device(wanted)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f'device={wanted!r} is not known to torch: try "cpu", "cuda" or "auto".') from error
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f'device={wanted!r} is not to be had here: try "cpu" or "auto".') from error
    return device


def _is_array(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or (hasattr(value, "dtype") and hasattr(value, "shape"))


def _cast_note(train: Any, dtype: torch.dtype | None) -> tuple[str, ...]:
    if dtype is None or not isinstance(train, data.Rows):
        return ()
    other = {t.dtype for t in tree_tensors(train.inputs) if t.is_floating_point()} - {dtype}
    if not other:
        return ()
    return (f"X was {plain(other.pop())} and is {plain(dtype)} now, as the model's weights are.",)


def _batches(source: Any, size: int, seed: int, shuffle: bool) -> Batches:
    if isinstance(source, DataLoader):
        return Loaded(source)
    numbered = hasattr(source, "__getitem__") and not isinstance(source, (list, IterableDataset))
    if isinstance(source, data.Rows) or (numbered and hasattr(source, "__len__")):
        return Shuffled(source, size, seed, shuffle)
    return Streamed(source, size)


def _supply(train: Any, valid: Any, batch_size: int | None, seed: int) -> tuple[Batches, Batches | None]:
    size = 32 if batch_size is None else batch_size
    made: list[Batches] = []
    for name, source, shuffle in (("train", train, True), ("valid", valid, False)):
        if source is None:
            continue
        try:
            with preserve_random_state():
                made.append(_batches(source, size, seed, shuffle))
        except Exception as error:
            raise ValueError(f"{name} gave no batch to look at: {quote_error(error)}") from error
    supply, check = made[0], made[1] if len(made) > 1 else None
    if batch_size is not None:
        if why := supply.why_not(size):
            raise ValueError(f"batch_size={size} cannot be had: {why}.")
        supply.batch_size = size
    elif why := supply.why_not(supply.batch_size):
        raise ValueError(f"train has no batch: {why}.")
    if isinstance(check, Streamed) and iter(valid) is valid:
        raise ValueError("valid can be read once only (a generator): pass a list of batches, or a Dataset.")
    return supply, check


def _few(supply: Batches, name: str) -> Any:
    """Return a batch of the first samples; of one where some of the first cannot be read."""
    for count in (_LOOK, 1):
        try:
            with preserve_random_state():
                return supply.few(count)
        except Exception as error:  # noqa: BLE001 - the last is told
            problem = error
    what = f"{type(problem).__name__}: {quote_error(problem)}"
    raise ValueError(f"{name} gave no batch to look at: {what}") from problem


def _check_valid(
    model: nn.Module,
    source: Any,
    check: Batches,
    task: Task,
    example: Any,
    entry: str | None,
    device: torch.device,
) -> None:
    inputs, targets = unpack(_few(check, "valid"), entry)
    inputs, targets = slice_rows(inputs, 0, TRY), slice_rows(targets, 0, TRY)
    one, other = ([tuple(t.shape[1:]) for t in tree_tensors(part)] for part in (inputs, example))
    given, wanted = (
        describe_shapes(tree_map(lambda t: t[0] if t.ndim else t, part)) for part in (inputs, example)
    )
    try:
        _, output = try_model(model, inputs, check.batch_size, device)
    except ValueError as error:
        if one == other:
            raise ValueError(f"In the validation data: {error}") from error
        raise ValueError(
            f"valid has inputs of shape {given} a sample, train of {wanted}: they must match."
        ) from error
    if task.name == "custom":
        return
    try:
        if isinstance(source, data.Rows):
            infer_task(source.targets, output, task=task.name, loss=task.loss)
        try_loss(task, targets, output)
    except ValueError as error:
        raise ValueError(f"In the validation data: {error}") from error
    check_finite(model, source, "valid", device)
