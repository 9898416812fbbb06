"""Opening a session: what was handed over is read, tried once on a few samples, and refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from . import data
from .batches import Batches, Shuffled
from .borrowed import looking, modes_kept, on_device, untouched_rng
from .inference import class_names, infer_task, looks_like_probabilities
from .loaded import Loaded
from .streamed import Streamed
from .tasks import Task, one_number, unpack
from .trees import call, rows, shapes, tensors, tree_map
from .wording import counted

#: Samples that are looked at to infer the task, and those that the model is tried on.
_LOOK, _TRY = 32, 4


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
        raise TypeError("The third argument is the validation data: pass the targets along with X, as train=(X, y).")
    if step is not None and (task is not None or loss is not None):
        raise ValueError("step= computes the loss itself: leave task= and loss= out.")
    names, dtype = class_names(classes), _dtype(model)
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
        return Opened(supply, check, found, rows(example, 0, _TRY), dtype, columns, notes)

    entry = target if isinstance(target, str) else None
    inputs, targets = unpack(batch, entry)
    example, output = _try(model, inputs, supply.batch_size, device)
    every = train.targets if isinstance(train, data.Rows) else targets
    named = isinstance(train, data.Rows) and train.named
    found = infer_task(every, output, task=task, loss=loss, classes=names, named=named)
    _try_loss(found, rows(targets, 0, _TRY), rows(output, 0, _TRY))
    if not found.probabilities and looks_like_probabilities(found.name, output):
        last = "softmax" if found.name == "multiclass" else "sigmoid"
        notes += (
            f"The model's outputs look like probabilities, but {found.loss_name} wants them as they are before the "
            f"{last}: leave it out of the model" + (", or pass loss=nn.BCELoss()." if last == "sigmoid" else "."),
        )
    _check_finite(model, train, "train", device)
    _check_single(model, supply, example, device)
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


def _dtype(model: nn.Module) -> torch.dtype | None:
    return next((p.dtype for p in model.parameters() if p.dtype.is_floating_point), None)


def _cast_note(train: Any, dtype: torch.dtype | None) -> tuple[str, ...]:
    if dtype is None or not isinstance(train, data.Rows):
        return ()
    other = {t.dtype for t in tensors(train.inputs) if t.is_floating_point()} - {dtype}
    if not other:
        return ()
    return (f"X was {_plain(other.pop())} and is {_plain(dtype)} now, as the model's weights are.",)


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _batches(source: Any, size: int, seed: int, shuffle: bool) -> Batches:
    if isinstance(source, DataLoader):
        return Loaded(source)
    iterable = isinstance(source, (list, torch.utils.data.IterableDataset))
    if hasattr(source, "__getitem__") and hasattr(source, "__len__") and not iterable or isinstance(source, data.Rows):
        return Shuffled(source, size, seed, shuffle)
    return Streamed(source, size)


def _supply(train: Any, valid: Any, batch_size: int | None, seed: int) -> tuple[Batches, Batches | None]:
    size = 32 if batch_size is None else batch_size
    made: list[Batches] = []
    for name, source, shuffle in (("train", train, True), ("valid", valid, False)):
        if source is None:
            continue
        try:
            with untouched_rng():
                made.append(_batches(source, size, seed, shuffle))
        except Exception as error:
            raise ValueError(f"{name} gave no batch to look at: {error}.") from error
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
            with untouched_rng():
                return supply.few(count)
        except Exception as error:  # noqa: BLE001 - the second is told
            problem = error
    raise ValueError(f"{name} gave no batch to look at: {type(problem).__name__}: {problem}") from problem


def _try(model: nn.Module, inputs: Any, batch_size: int, device: torch.device) -> tuple[Any, Any]:
    """Return a few inputs and the model's output for them."""
    first: Exception | None = None
    # A model that writes its batch size into its shapes runs on a whole batch only.
    for count in (_TRY, batch_size):
        part = rows(inputs, 0, count)
        try:
            return part, _forward(model, part, device)
        except Exception as error:  # noqa: BLE001 - the first is told
            first = first or error
    raise ValueError(
        f"{type(model).__name__} fails on a batch of inputs of shape {shapes(rows(inputs, 0, _TRY))}: "
        f"{_sentence(first)}{_hint(model, inputs)} dlwidgets.summary(model, X[:1]) shows where."
    ) from first


def _forward(model: nn.Module, inputs: Any, device: torch.device) -> Any:
    with on_device(model, device), looking(model):
        output = call(model, tree_map(lambda tensor: tensor.to(device), inputs))
    return tree_map(lambda tensor: tensor.cpu(), output)


def _sentence(error: BaseException | None) -> str:
    text = str(error).strip().split("\n")[0] or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _hint(model: nn.Module, inputs: Any) -> str:
    dtype = _dtype(model)
    for tensor in tensors(inputs):
        if tensor.dtype == torch.uint8:
            return " The inputs are uint8: X.float() / 255 may be what the model wants."
        if tensor.is_floating_point() and dtype is not None and tensor.dtype != dtype:
            return f" The inputs are {_plain(tensor.dtype)}, the model's weights {_plain(dtype)}: let the Dataset return those."
        if not tensor.is_floating_point() and not any(isinstance(m, (nn.Embedding, nn.EmbeddingBag)) for m in model.modules()):
            return f" The inputs are {_plain(tensor.dtype)}: X.float() may be what the model wants."
    return ""


def _try_loss(task: Task, targets: Any, output: Any) -> None:
    try:
        with untouched_rng(), torch.no_grad():
            loss = task.loss(output, task.prepare(targets, output))  # type: ignore[misc]
        one_number(loss)
    except Exception as error:
        raise ValueError(
            f"The loss {task.loss_name} fails on outputs of shape {shapes(output)} and targets of shape {shapes(targets)}: "
            f"{_sentence(error)}"
        ) from error


def _check_finite(model: nn.Module, source: Any, name: str, device: torch.device) -> None:
    """Raise ValueError where inputs hold NaN or infinite values and the model passes them on."""
    if not isinstance(source, data.Rows):
        return
    bad = torch.zeros(len(source), dtype=torch.bool)
    for tensor in tensors(source.inputs):
        # A sum needs no memory and shows NaN and infinity, though sometimes where there is none.
        if tensor.is_floating_point() and not bool(tensor.sum().isfinite()):
            bad |= ~tensor.isfinite().reshape(len(source), -1).all(1).cpu()
    if not bool(bad.any()):
        return
    first = int(bad.int().argmax())
    output = _forward(model, source.take(slice(first, first + 1))[0], device)
    if not isinstance(output, torch.Tensor) or bool(output.isfinite().all()):
        return
    raise ValueError(
        f"{name} has inputs that are NaN or infinite in {int(bad.sum())} of {counted(len(source), 'sample')}, the first is "
        f"sample {first}: fill them in, or leave those samples out."
    )


def _check_single(model: nn.Module, supply: Batches, example: Any, device: torch.device) -> None:
    """Raise ValueError where a batch of one sample will come up that BatchNorm cannot be trained on."""
    size = supply.batch_size
    single = size == 1 or (supply.samples is not None and supply.samples % size == 1)
    if not single or not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        return
    if supply.steps_in_epoch() == (supply.samples or 0) // size and size > 1:
        return  # the loader drops it
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with on_device(model, device), modes_kept(model), untouched_rng(), torch.no_grad():
            model.train()
            call(model, tree_map(lambda tensor: tensor[:1].to(device), example))
    except ValueError as error:
        what = "holds one sample" if size == 1 else "of each epoch would hold one sample"
        raise ValueError(
            f"With batch_size={size} the {'' if size == 1 else 'last '}batch {what}, on which BatchNorm cannot be trained: "
            "take another batch_size."
        ) from error
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


def _check_valid(
    model: nn.Module, source: Any, check: Batches, task: Task, example: Any, entry: str | None, device: torch.device
) -> None:
    inputs, targets = unpack(_few(check, "valid"), entry)
    inputs, targets = rows(inputs, 0, _TRY), rows(targets, 0, _TRY)
    one, other = ([tuple(t.shape[1:]) for t in tensors(part)] for part in (inputs, example))
    given, wanted = (shapes(tree_map(lambda t: t[0] if t.ndim else t, part)) for part in (inputs, example))
    try:
        _, output = _try(model, inputs, check.batch_size, device)
    except ValueError as error:
        if one == other:
            raise ValueError(f"In the validation data: {error}") from error
        raise ValueError(f"valid has inputs of shape {given} a sample, train of {wanted}: they must match.") from error
    if task.name == "custom":
        return
    try:
        if isinstance(source, data.Rows):
            infer_task(source.targets, output, task=task.name, loss=task.loss)
        _try_loss(task, targets, output)
    except ValueError as error:
        raise ValueError(f"In the validation data: {error}") from error
    _check_finite(model, source, "valid", device)
