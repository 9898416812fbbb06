"""A session's data, tried with its model on a few samples."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler

from ..base.framework_loss import FrameworkLoss
from ..base.isolation import (
    eval_mode,
    is_offloaded,
    isolate_model,
    preserve_random_state,
    run_forward,
    use_device,
    watch_model,
)
from ..base.trees import call_model, describe_shapes, slice_rows, tree_map, tree_tensors
from ..base.words import pluralize, quote_error
from ..layers.example_input import as_tensors
from ..layers.foreign import build_by, is_unbuilt
from ..layers.forward import find_out_of_range
from ..layers.forward_error import explain_foreign
from ..layers.framework import framework_of, gives_batches, is_foreign, rows_of_table
from ..layers.kinds import dtype_name
from ..layers.walk import kind_of, walk
from .batches import Batches, IndexedBatches
from .detection import DetectionSamples, UnequalSamples
from .groups import draw_groups, read_groups, take_column
from .labels import numbered, row_names
from .loader import LoaderBatches
from .output_losses import OutputLosses, several, takes_outputs
from .own_loss import find_entry, gather_losses
from .own_loss_trial import OwnLossTrial
from .reduction import Reduction, find_reduction
from .source import Rows, read_data, split_data
from .stream import StreamBatches
from .task import (
    KnownLabelsLoss,
    Task,
    check_task_name,
    classes_second,
    find_unknown,
    ignored_class,
    infer_task,
    looks_like_probabilities,
    read_class_names,
    unpack_batch,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Samples that are looked at to infer the task, and that the model is tried on.
_PEEK, TRY = 32, 4
#: Samples with numbers below 0 on which embeddings are tried.
_BELOW = 256


@dataclass(frozen=True)
class SessionData:
    """The data as batches, the task, and a few example inputs."""

    train: Batches
    valid: Batches | None
    task: Task
    example: Any  #: A few inputs, as a batch.
    targets: Any = None  #: Their targets, and those of more samples.
    dtype: torch.dtype | None = None  #: The model's own floating dtype; None where it has none.
    columns: tuple[Any, ...] | None = None  #: The columns of the DataFrame that the inputs were.
    notes: tuple[str, ...] = ()  #: What was found, or done to the data, in sentences.
    split: str = ""  #: Which groups were held out of the training data, in a sentence; "" where none were.
    target: str | None = None  #: The entry of a dict batch that is the target.


def prepare_data(
    model: nn.Module, train: Any, valid: Any, *, batch_size: int | None, seed: int, device: torch.device,
    target: Any = None, training_step: Callable[[nn.Module, Any], Any] | None = None,
    task: str | None = None, loss: Any = None, classes: Sequence[str] | None = None, groups: Any = None,
) -> SessionData:  # fmt: skip
    """Read the data, try the model on it, and infer the task.

    The parameters are those of `Session`. The model is left as it was. Raises ValueError, TypeError: one
    sentence on what was given, what is wanted and what to do.
    """
    if all(hasattr(given, "dtype") and hasattr(given, "shape") for given in (train, valid)):
        raise TypeError(
            "The third argument is the validation data: pass the targets along with X, as train=(X, y)."
        )
    check_task_name(task)
    if training_step is not None and (task not in (None, "detection") or loss is not None):
        raise ValueError("training_step= computes the loss itself: leave task= and loss= out.")
    names, dtype = read_class_names(classes), float_dtype(model)
    share = valid if isinstance(valid, (int, float)) and not isinstance(valid, bool) else None
    train, valid, groups, notes = _take_groups(train, valid, groups)
    source, parted = (valid if share is None else train), ""
    train = read_data(train, name="train", target=target, classes=names)
    if share is not None:
        groups = None if groups is None else _number_groups(groups, source, train, "train")
        held = None if groups is None else draw_groups(groups, share, seed)
        train, valid = split_data(train, share, seed, held)
        if groups is not None:
            count, groups = len(np.unique(groups)), groups[held]
            said = f"{pluralize(len(np.unique(groups)), 'whole group')} of {count:,}"
            parted = f"Held out as valid: {said}, {len(groups):,} of {pluralize(len(held), 'sample')}."
    elif valid is not None:
        like = train if isinstance(train, Rows) else None
        valid = read_data(valid, name="valid", target=target, classes=names, like=like)
        groups = None if groups is None else _number_groups(groups, source, valid, "valid")
    if dtype is not None and isinstance(train, Rows):
        given = {t.dtype for t in tree_tensors(train.inputs) if t.is_floating_point()} - {dtype}
        if given:
            was, now = dtype_name(given.pop()), dtype_name(dtype)
            notes += (f"X was {was} and is {now} now, as the model's weights are.",)
    # What gives its samples itself, as a Dataset or a loader, stays that very object.
    read = (Rows, list, DetectionSamples)
    train, valid = (cast_floats(part, dtype) if isinstance(part, read) else part for part in (train, valid))
    supply, check = _open_batches(train, valid, batch_size, seed)
    if check is not None:
        check.groups = groups
        if isinstance(valid, Rows) and valid.names and not numbered(valid.names):
            check.names = valid.names
    names = names or getattr(train, "classes", None)
    columns = getattr(train, "columns", None)

    batch = _peek(supply, "train")
    entry = target if isinstance(target, str) else None
    tried, guess = OwnLossTrial(model, device, task, loss, training_step, names), entry or find_entry(batch)
    if (own := tried.find(batch, guess, supply, check)) is not None:
        return SessionData(supply, check, own, *tried.example, dtype, columns, notes, parted, guess)
    if training_step is not None:
        found = Task("custom", None, "training_step= was given", names)
        example = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        return SessionData(supply, check, found, slice_rows(example, 0, TRY), None, dtype, columns, notes, parted)

    inputs, targets = unpack_batch(batch, entry)
    example, output = try_model(model, inputs, supply.batch_size, device)
    every = train.targets if isinstance(train, Rows) else targets
    named = isinstance(train, Rows) and train.named
    looked = all(part is None or isinstance(part, Rows) for part in (train, valid))
    unknown = _has_unknown(valid) or (False if looked else None)
    last = framework_of(model).channels_last
    usual = functools.partial(framework_of(model).usual_loss, model)
    infer = functools.partial(infer_task, channels_last=last, usual=usual)
    if takes_outputs(loss) and several(output, targets):
        losses = loss if isinstance(loss, OutputLosses) else OutputLosses(loss)
        outputs = framework_of(model).output_names(model)
        found = Task("custom", losses, losses.find_tasks(outputs, output, every, infer), names)
    else:
        found = infer(every, output, task=task, loss=loss, classes=names, named=named, unknown=unknown)
    train, valid = _mark_unknown(train, supply, found), _mark_unknown(valid, check, found)
    if isinstance(train, Rows):
        inputs, targets = _peek(supply, "train")
    reduction = try_loss(found, slice_rows(targets, 0, TRY), slice_rows(output, 0, TRY))
    masked = isinstance(found.loss, KnownLabelsLoss)
    found = replace(found, reduction=Reduction(masked=True) if masked else reduction)
    if found.because.endswith("where unknown") and not masked:
        notes += (f"Unknown labels, -1 or NaN, are given to {found.loss_name} as they are: it is to leave them out.",)
    if not found.probabilities and looks_like_probabilities(found.name, classes_second(output, last)):
        last = "softmax" if found.name == "multiclass" else "sigmoid"
        other = "nn.BCELoss()" if last == "sigmoid" else "'nll_of_probabilities'"
        other = found.loss.cure if isinstance(found.loss, FrameworkLoss) and found.loss.cure else other
        notes += (
            f"The model's outputs look like probabilities, but {found.loss_name} wants them as they are "
            f"before the {last}: leave it out of the model, or pass loss={other}.",
        )
    check_finite(model, train, "train", device)
    check_lookups(model, train, "train", device)
    check_single(model, supply, example, device)
    if check is not None:
        _check_valid(model, valid, check, found, example, entry, device)
    every = train.targets if isinstance(train, Rows) else targets
    return SessionData(supply, check, found, example, every, dtype, columns, notes, parted, entry)


def build_by_data(model: nn.Module, train: Any, target: Any = None) -> tuple[Any, str]:
    """Build a model that waits for a shape by its data.

    Returns the data, which begin anew where they can be read once only, and what was done, in a sentence: "" where the
    model is built. Raises ValueError: in a sentence, which layer takes no such inputs.
    """
    if not is_unbuilt(layers := walk(model)):
        return train, ""
    given = train
    if isinstance(train, Iterator):
        given = [*itertools.islice(train, 1)]
        train = itertools.chain(given, train)
    batch = _peek(_open_batches(read_data(given, target=target), None, None, 0)[0], "train")
    entry = target if isinstance(target, str) else find_entry(batch)
    try:
        inputs, _ = unpack_batch(batch, entry)
    except TypeError:  # training_step= knows what to make of it
        inputs = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    try:
        _, said = build_by(layers, as_tensors(model, inputs), copied=False) or (model, "")
    except ValueError as error:
        raise ValueError(f"The model is not built yet, and not to be built by the data: {error}") from error
    return train, f"{said.removesuffix('.')}, as of the data."


def _take_groups(train: Any, valid: Any, groups: Any) -> tuple[Any, Any, Any, tuple[str, ...]]:
    """Return the data without its column of groups, these, and notes."""
    if groups is not None and valid is None:
        raise ValueError("groups= is of the validation data, and there is none: pass valid=0.2 or valid=(X, y).")
    if not isinstance(groups, str):
        return train, valid, groups, ()
    name = groups
    train, groups = take_column(train, name, "train")
    if isinstance(valid, (int, float)):
        return train, valid, groups, ()
    valid, own = take_column(valid, name, "valid")
    both = len({*groups} & {*own})
    said = f"{both:,} of {pluralize(len({*own}), 'group')} of valid ({name}) are in train too: known to the model."
    return train, valid, own, (said,) if both else ()


def _number_groups(groups: Any, given: Any, read: Any, name: str) -> NDArray[np.int64]:
    """Number the groups of the samples of train or valid."""
    data = read
    if isinstance(read, DataLoader):
        plain = type(read.batch_sampler) is BatchSampler and type(read.sampler) is SequentialSampler
        data = read.dataset if plain and not read.drop_last else None
    if not isinstance(data, Rows) and (isinstance(data, list) or not hasattr(data, "__getitem__")):
        raise TypeError(
            f"groups= needs {name} with its samples in one order: (X, y), a DataFrame, a Dataset or a DataLoader "
            "with shuffle=False and drop_last=False."
        )
    if np.ndim(groups) == 1 and len(groups) != len(data):
        raise ValueError(
            f"groups= names {pluralize(len(groups), 'group')} for {pluralize(len(data), 'sample')} of {name}: give "
            f"one for each sample of {name}"
            + ("." if name == "train" else "; those of train are not wanted where valid is data of its own.")
        )
    parts = given if isinstance(given, tuple) else [given]
    return read_groups(groups, next((one for one in parts if row_names(one) is not None), None), len(data))


def _has_unknown(part: Any) -> bool:
    tensor = isinstance(part, Rows) and isinstance(part.targets, torch.Tensor)
    return tensor and bool(find_unknown(part.targets).any())


def _mark_unknown(part: Any, batches: Batches | None, task: Task) -> Any:
    """Give unknown class numbers the number that the loss leaves out."""
    ignored = ignored_class(task.loss)
    if ignored is None or not isinstance(part, Rows) or not isinstance(batches, IndexedBatches):
        return part
    unknown = find_unknown(part.targets)
    if part.targets.is_floating_point() and bool((part.targets != part.targets.floor())[~unknown].any()):
        return part  # probabilities of the classes
    if bool(unknown.any()) and (ignored != -1 or part.targets.is_floating_point()):
        part = batches.source = replace(part, targets=part.targets.masked_fill(unknown, ignored).long())
    return part


def cast_floats(part: Any, dtype: torch.dtype | None) -> Any:
    """Cast the real numbers of rows or tensors to the model's dtype.

    Arrays of float64 beside weights of float32 are the commonest first error.
    """
    if dtype is None:
        return part
    if isinstance(part, Rows):
        return replace(part, inputs=cast_floats(part.inputs, dtype), targets=cast_floats(part.targets, dtype))
    if isinstance(part, DetectionSamples):
        return part.cast(dtype)
    return tree_map(lambda t: t.to(dtype) if t.is_floating_point() and t.dtype != dtype else t, part)


def choose_device(wanted: str | torch.device, model: nn.Module) -> torch.device:
    """Choose a device; "auto" prefers CUDA to the model's own CPU.

    Raises ValueError: torch knows no such device, or it is not there.
    """
    if is_offloaded(model):
        cure = "accelerate.hooks.remove_hook_from_submodules(model)"
        raise ValueError(f"The model's weights are offloaded and cannot be trained so: {cure} brings them back.")
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


def _open_batches(
    train: Any, valid: Any, batch_size: int | None, seed: int
) -> tuple[Batches, Batches | None]:
    size = 32 if batch_size is None else batch_size

    def opened(source: Any, name: str, shuffle: bool) -> Batches:
        numbered = hasattr(source, "__getitem__") and not isinstance(source, (list, IterableDataset))
        numbered = numbered and not gives_batches(source)
        try:
            with preserve_random_state():
                if isinstance(source, DataLoader):
                    return LoaderBatches(source)
                if isinstance(source, Rows) or (numbered and hasattr(source, "__len__")):
                    return IndexedBatches(source, size, seed, shuffle)
                return StreamBatches(source, size)
        except Exception as error:
            raise ValueError(f"{name} gave no batch to look at: {quote_error(error)}") from error

    supply = opened(train, "train", shuffle=True)
    check = None if valid is None else opened(valid, "valid", shuffle=False)
    if batch_size is not None:
        if why := supply.why_not(size):
            raise ValueError(f"batch_size={size} cannot be had: {why}.")
        supply.batch_size = size
    elif why := supply.why_not(supply.batch_size):
        raise ValueError(f"train has no batch: {why}.")
    if check is not None and check.once:
        raise ValueError("valid can be read once only (a generator): pass a list of batches, or a Dataset.")
    return supply, check


def _peek(supply: Batches, name: str) -> Any:
    """Return a batch of the first samples, or of the first alone."""
    for count in (_PEEK, 1):
        try:
            with preserve_random_state():
                return supply.peek(count)
        except UnequalSamples as error:
            if supply.batch_size > 1:
                raise ValueError(f"{name}: {error}") from error
            problem = error
        except Exception as error:  # noqa: BLE001 - the last is told
            problem = error
    what = f"{type(problem).__name__}: {quote_error(problem)}"
    raise ValueError(f"{name} gave no batch to look at: {what}") from problem


def _check_valid(
    model: nn.Module, source: Any, check: Batches, task: Task, example: Any, entry: str | None,
    device: torch.device,
) -> None:  # fmt: skip
    inputs, targets = (slice_rows(part, 0, TRY) for part in unpack_batch(_peek(check, "valid"), entry))
    one, other = ([tuple(t.shape[1:]) for t in tree_tensors(part)] for part in (inputs, example))
    fits = one == other
    try:
        _, output = try_model(model, inputs, check.batch_size, device)
        fits = True
        if task.name == "custom":
            return
        if isinstance(source, Rows):
            infer_task(source.targets, output, task=task.name, loss=task.loss, channels_last=task.channels_last)
        try_loss(task, targets, slice_rows(output, 0, TRY))  # some inputs cannot be sliced
    except ValueError as error:
        if fits:
            raise ValueError(f"In the validation data: {error}") from error
        samples = (tree_map(lambda t: t[0] if t.ndim else t, part) for part in (inputs, example))
        given, wanted = map(describe_shapes, samples)
        raise ValueError(
            f"valid has inputs of shape {given} a sample, train of {wanted}: they must match."
        ) from error
    check_finite(model, source, "valid", device)
    check_lookups(model, source, "valid", device)


def float_dtype(model: nn.Module) -> torch.dtype | None:
    """Return the dtype of the model's first floating parameter, or None."""
    return next((p.dtype for p in model.parameters() if p.dtype.is_floating_point), None)


def try_model(model: nn.Module, inputs: Any, batch_size: int, device: torch.device) -> tuple[Any, Any]:
    """Return a few inputs and the model's output, on the CPU.

    The model is left as it was. ValueError, where it fails, hints at what may be wrong.
    """
    first: Exception | None = None
    # A model that writes its batch size into its shapes runs on a whole batch only.
    for count in (TRY, batch_size):
        part = slice_rows(inputs, 0, count)
        try:
            return part, _run(model, part, device)
        except Exception as error:  # noqa: BLE001 - the first is told
            first = first or error
    shapes = describe_shapes(slice_rows(inputs, 0, TRY))
    if first is not None and (said := explain_foreign(first, model, slice_rows(inputs, 0, TRY))):
        raise ValueError(f"{kind_of(model)} fails on a batch of inputs of shape {shapes}. {said}") from first
    raise ValueError(
        f"{type(model).__name__} fails on a batch of inputs of shape {shapes}: "
        f"{quote_error(first)}{_hint(model, inputs, first)} dlwidgets.summary(model, X[:1]) shows where."
    ) from first


def _run(model: nn.Module, inputs: Any, device: torch.device) -> Any:
    with use_device(model, device), eval_mode(model):
        # A copy, since the model may write into what it is given; and by which it may differentiate.
        def copied() -> Any:
            return tree_map(lambda tensor: tensor.to(device, copy=True), inputs)

        output = run_forward(model, lambda: call_model(model, copied()))
    return tree_map(lambda tensor: tensor.cpu(), output)


def _hint(model: nn.Module, inputs: Any, error: Any) -> str:
    if "required positional argument" in str(error):
        return (
            " What it takes beside X is a part of X, as train=((X1, X2), y), or what training_step=(model, batch) -> "
            "loss calls it with."
        )
    dtype = float_dtype(model)
    for tensor in tree_tensors(inputs):
        if tensor.dtype == torch.uint8:
            return " The inputs are uint8: X.float() / 255 may be what the model wants."
        if tensor.is_floating_point() and dtype is not None and tensor.dtype != dtype:
            given, wanted = dtype_name(tensor.dtype), dtype_name(dtype)
            return f" The inputs are {given}, the model's weights {wanted}: let the Dataset return those."
        looked_up = any(rows_of_table(module) is not None for module in model.modules())
        if not tensor.is_floating_point() and not looked_up:
            return f" The inputs are {dtype_name(tensor.dtype)}: X.float() may be what the model wants."
    return ""


def try_loss(task: Task, targets: Any, output: Any) -> Reduction | None:
    """Return how the loss reduces a batch, where it is known.

    Raises ValueError: the loss fails or is not one number.
    """
    loss: Any = task.loss
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(preserve_random_state())
            if isinstance(loss, nn.Module):
                stack.enter_context(use_device(loss, torch.device("cpu")))
                stack.enter_context(isolate_model(loss))
                stack.enter_context(watch_model(loss))
            ready = task.prepare(targets, output)
            gather_losses(loss(output, ready))
            if isinstance(loss, FrameworkLoss):
                return Reduction(loss.summed) if loss.summed or loss.by_samples else None
            with contextlib.suppress(Exception):  # one sample may be too few for it
                return find_reduction(loss, output, ready)
            return None
    except Exception as error:
        logits = "between 0 and 1" in str(error) and task.loss_name == "BCELoss"
        raise ValueError(
            f"The loss {task.loss_name} fails on outputs of shape {describe_shapes(output)} "
            f"and targets of shape {describe_shapes(targets)}: {quote_error(error)}"
            + (" A last layer without a sigmoid goes with BCEWithLogitsLoss." if logits else "")
            + (loss.hint(targets, output) if isinstance(loss, FrameworkLoss) else "")
        ) from error


def check_finite(model: nn.Module, source: Any, name: str, device: torch.device) -> None:
    """Raise ValueError where inputs and the model's outputs are not finite."""
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
    output = _run(model, source.take(slice(first, first + 1))[0], device)
    if not isinstance(output, torch.Tensor) or bool(output.isfinite().all()):
        return
    raise ValueError(
        f"{name} has inputs that are NaN or infinite in {int(bad.sum())} of "
        f"{pluralize(len(source), 'sample')}, the first is sample {first}: fill them in, "
        "or leave those samples out."
    )


def check_lookups(model: nn.Module, source: Any, name: str, device: torch.device) -> None:
    """Raise ValueError where an embedding has no row for a number."""
    tables = [rows for module in model.modules() if (rows := rows_of_table(module)) is not None]
    if not tables or not isinstance(source, Rows):
        return
    whole = [t for t in tree_tensors(source.inputs) if t.numel() and not t.is_complex()]
    if all(float(t.min()) >= 0 and float(t.max()) < min(tables) for t in whole):
        return
    if said := find_out_of_range(model, source.inputs) or _find_below_zero(model, source, device):
        raise ValueError(f"In {name}, {said}")


def _find_below_zero(model: nn.Module, source: Rows, device: torch.device) -> str:
    """Say which embedding is given numbers below 0, and does not mind.

    Keras on torch counts such rows from the end of the table, unnoticed.
    """
    below = torch.zeros(len(source), dtype=torch.bool)
    for tensor in tree_tensors(source.inputs):
        if not tensor.is_floating_point() or bool((tensor == tensor.floor()).all()):
            below |= (tensor < 0).reshape(len(source), -1).any(1).cpu()
    index = below.nonzero()[:_BELOW, 0]
    found: list[str] = []

    def see(layer: Any, module: nn.Module, given: Any) -> None:
        if given and isinstance(given[0], torch.Tensor) and bool((given[0] < 0).any()):
            row = int((given[0] < 0).nonzero()[0, 0])
            first = f", the first in row {index[row]}" if len(given[0]) == len(index) else ""
            wants = f"wants numbers from 0 to {rows_of_table(module) - 1:,}"  # type: ignore[operator]
            found.append(f"{layer.path} ({layer.kind}) {wants}: {int(given[0].min())} is among them{first}.")

    tables = [layer for layer in walk(model) if is_foreign(layer.module) and rows_of_table(layer.module) is not None]
    if tables and len(index):
        with contextlib.ExitStack() as stack:
            for layer in tables:
                hook = layer.module.register_forward_pre_hook(functools.partial(see, layer))
                stack.callback(hook.remove)
            _run(model, source.take(index)[0], device)
    return found[0] if found else ""


def check_single(model: nn.Module, supply: Batches, example: Any, device: torch.device) -> None:
    """Raise ValueError where BatchNorm would get a batch of one sample."""
    size = supply.batch_size
    single = size == 1 or (supply.samples is not None and supply.samples % size == 1)
    dropped = size > 1 and supply.steps_in_epoch() == (supply.samples or 0) // size
    if not single or dropped or not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return
    try:
        with use_device(model, device), eval_mode(model):
            model.train()
            there = tree_map(lambda tensor: tensor[:1].to(device, copy=True), example)
            run_forward(model, lambda: call_model(model, there))
    except ValueError as error:
        what = "batch holds one sample" if size == 1 else "last batch of each epoch would hold one sample"
        raise ValueError(
            f"With batch_size={size} the {what}, on which BatchNorm cannot be trained: "
            "take another batch_size."
        ) from error
