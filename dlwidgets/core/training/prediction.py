"""What a model predicts for new inputs, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ..base.trees import describe_shapes, slice_rows, tree_map, tree_tensors
from ..data.batches import IndexedBatches, batch_length
from ..data.detection import join_images, on_cpu
from ..data.loader import LoaderBatches
from ..data.output_losses import OutputLosses
from ..data.own_loss import find_output
from ..data.session_data import SessionData, cast_floats
from ..data.source import read_inputs
from ..data.task import unpack_batch
from .loop import Loop


def read_prediction_inputs(X: Any, opened: SessionData) -> Any:
    """Read inputs to predict for, in the form of the training's.

    Parameters
    ----------
    X : what `train=(X, y)` takes as X, a DataFrame with at least the training's columns, or a Dataset or
        DataLoader of inputs, or of (inputs, targets).

    Raises
    ------
    TypeError, ValueError : one sentence on what is wrong.
    """
    if isinstance(X, (Dataset, DataLoader)):
        return X
    if opened.task.name == "detection" and isinstance(X, (list, tuple)):
        return join_images([torch.as_tensor(one) for one in X])
    X = tuple(X) if isinstance(X, list) and isinstance(opened.example, tuple) else X
    X = cast_floats(read_inputs(X, "X", opened.columns), opened.dtype)
    if not batch_length(X):
        raise ValueError("X has no samples.")
    given, wanted = ([t.ndim for t in tree_tensors(part)] for part in (X, opened.example))
    if given != wanted:
        raise ValueError(
            f"X has shape {describe_shapes(X)}, the training's inputs {describe_shapes(opened.example)}: "
            "one row for each sample is wanted, also for a single one (X[None])."
        )
    return X


def shape_hint(X: Any, opened: SessionData) -> str:
    """Say where samples have another shape than the training's, or ""."""
    if isinstance(X, (Dataset, DataLoader)):
        return ""
    given, wanted = (
        describe_shapes(tree_map(lambda tensor: tensor[0], part)) for part in (X, opened.example)
    )
    return "" if given == wanted else f"X has inputs of shape {given} a sample, the training's {wanted}:"


def compute_outputs(loop: Loop, X: Any, batch_size: int) -> Any:
    """Return the model's output for X on the CPU, in eval mode.

    Of a detection it is a list with a dict for each image.
    """
    detects = loop.objective.task.name == "detection"
    if not isinstance(X, (Dataset, DataLoader)):
        starts = range(0, batch_length(X), batch_size)
        batches = (slice_rows(X, start, start + batch_size) for start in starts)
    else:
        source = LoaderBatches(X) if isinstance(X, DataLoader) else IndexedBatches(X, batch_size, seed=0)
        batches = (_inputs_of(batch, loop.objective.target) for batch in source.sweep(batch_size))
    parts = []
    with closing(loop.outputs(batches)) as outputs:
        for output in map(find_output, outputs):
            if detects:
                parts += on_cpu(output)
                continue
            several = isinstance(loop.objective.task.loss, OutputLosses)
            if not isinstance(output, torch.Tensor) and not several:
                kind = type(output).__name__
                raise TypeError(f"The model's output is of type {kind}: a tensor is wanted to predict from.")
            parts.append(tree_map(lambda one: one.reshape(one.shape or (1,)).cpu(), output))
            loop.before_step()  # other runs that wait go on meanwhile
    return parts if detects else _join(parts)


def _join(parts: Sequence[Any]) -> Any:
    """Return the outputs of batches as those of one batch."""
    first = parts[0]
    if isinstance(first, Mapping):
        return {name: _join([part[name] for part in parts]) for name in first}
    return torch.cat(parts) if isinstance(first, torch.Tensor) else type(first)(map(_join, zip(*parts)))


def _inputs_of(batch: Any, target: str | None) -> Any:
    """Return a batch of a Dataset or DataLoader without its targets."""
    if isinstance(batch, Mapping):
        return {key: value for key, value in batch.items() if key != target}
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return unpack_batch(batch)[0]
    return batch
