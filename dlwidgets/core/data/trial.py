"""A model tried on a few samples before anything is trained, and what goes wrong said in one sentence."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..base.isolation import eval_mode, preserve_buffers, preserve_modes, preserve_random_state, use_device
from ..base.trees import call_model, describe_shapes, slice_rows, tree_map, tree_tensors
from ..base.words import pluralize, quote_error
from .batches import Batches
from .forms import Rows
from .task import Task, one_number

#: Samples that the model is tried on.
TRY = 4


def plain(dtype: torch.dtype) -> str:
    """Return the name of a dtype without its module, as "float32"."""
    return str(dtype).removeprefix("torch.")


def float_dtype(model: nn.Module) -> torch.dtype | None:
    """Return the dtype of the model's first floating parameter; None where it has none."""
    return next((p.dtype for p in model.parameters() if p.dtype.is_floating_point), None)


def try_model(model: nn.Module, inputs: Any, batch_size: int, device: torch.device) -> tuple[Any, Any]:
    """Return a few inputs and the model's output for them, on the CPU; the model is left as it was.

    Raises
    ------
    ValueError : the model fails, with a hint at what may be wrong.
    """
    first: Exception | None = None
    # A model that writes its batch size into its shapes runs on a whole batch only.
    for count in (TRY, batch_size):
        part = slice_rows(inputs, 0, count)
        try:
            return part, _forward(model, part, device)
        except Exception as error:  # noqa: BLE001 - the first is told
            first = first or error
    raise ValueError(
        f"{type(model).__name__} fails on a batch of inputs of shape {describe_shapes(slice_rows(inputs, 0, TRY))}: "
        f"{quote_error(first)}{_hint(model, inputs)} dlwidgets.summary(model, X[:1]) shows where."
    ) from first


def _forward(model: nn.Module, inputs: Any, device: torch.device) -> Any:
    with use_device(model, device), eval_mode(model):
        output = call_model(model, tree_map(lambda tensor: tensor.to(device), inputs))
    return tree_map(lambda tensor: tensor.cpu(), output)


def _hint(model: nn.Module, inputs: Any) -> str:
    dtype = float_dtype(model)
    for tensor in tree_tensors(inputs):
        if tensor.dtype == torch.uint8:
            return " The inputs are uint8: X.float() / 255 may be what the model wants."
        if tensor.is_floating_point() and dtype is not None and tensor.dtype != dtype:
            given, wanted = plain(tensor.dtype), plain(dtype)
            return f" The inputs are {given}, the model's weights {wanted}: let the Dataset return those."
        if not tensor.is_floating_point() and not any(
            isinstance(m, (nn.Embedding, nn.EmbeddingBag)) for m in model.modules()
        ):
            return f" The inputs are {plain(tensor.dtype)}: X.float() may be what the model wants."
    return ""


def try_loss(task: Task, targets: Any, output: Any) -> None:
    """Raise ValueError where the loss cannot be computed, or is not one number."""
    try:
        with preserve_random_state(), torch.no_grad():
            loss = task.loss(output, task.prepare(targets, output))  # type: ignore[misc]
        one_number(loss)
    except Exception as error:
        raise ValueError(
            f"The loss {task.loss_name} fails on outputs of shape {describe_shapes(output)} "
            f"and targets of shape {describe_shapes(targets)}: {quote_error(error)}"
        ) from error


def check_finite(model: nn.Module, source: Any, name: str, device: torch.device) -> None:
    """Raise ValueError where inputs hold NaN or infinite values and the model passes them on."""
    if not isinstance(source, Rows):
        return
    bad = torch.zeros(len(source), dtype=torch.bool)
    for tensor in tree_tensors(source.inputs):
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
        f"{name} has inputs that are NaN or infinite in {int(bad.sum())} of "
        f"{pluralize(len(source), 'sample')}, the first is sample {first}: fill them in, "
        "or leave those samples out."
    )


def check_single(model: nn.Module, supply: Batches, example: Any, device: torch.device) -> None:
    """Raise ValueError where a batch of one sample will come up that BatchNorm cannot be trained on."""
    size = supply.batch_size
    single = size == 1 or (supply.samples is not None and supply.samples % size == 1)
    dropped = size > 1 and supply.steps_in_epoch() == (supply.samples or 0) // size
    if not single or dropped or not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return
    try:
        with (
            use_device(model, device),
            preserve_modes(model),
            preserve_buffers(model),
            preserve_random_state(),
            torch.no_grad(),
        ):
            model.train()
            call_model(model, tree_map(lambda tensor: tensor[:1].to(device), example))
    except ValueError as error:
        what = "batch holds one sample" if size == 1 else "last batch of each epoch would hold one sample"
        raise ValueError(
            f"With batch_size={size} the {what}, on which BatchNorm cannot be trained: "
            "take another batch_size."
        ) from error
