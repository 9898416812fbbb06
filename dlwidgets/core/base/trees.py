"""Tensors inside tuples, lists and dicts: inputs and batches come in all three."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch


def tree_map(change: Callable[[torch.Tensor], Any], tree: Any) -> Any:
    """Return `tree` with each tensor replaced by `change(tensor)`; what is not a tensor stays."""
    # In this order, since it is asked in every step: to ask for a Mapping takes longest.
    if isinstance(tree, torch.Tensor):
        return change(tree)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(tree_map(change, value) for value in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)(tree_map(change, value) for value in tree)
    if isinstance(tree, Mapping):
        return {key: tree_map(change, value) for key, value in tree.items()}
    return tree


def tensors(tree: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of `tree` in order."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from tensors(value)
    elif isinstance(tree, (tuple, list)):
        for value in tree:
            yield from tensors(value)


def rows(tree: Any, first: int, last: int) -> Any:
    """Return samples `first` to `last` (excluded) of a batch; all of it where it has no common axis 0."""
    lengths = {len(tensor) if tensor.ndim else None for tensor in tensors(tree)}
    if len(lengths) != 1 or None in lengths:
        return tree
    return tree_map(lambda tensor: tensor[first:last], tree)


def shapes(tree: Any) -> str:
    """Return the shapes of the tensors in `tree` in words, as "(4, 1, 28, 28)"."""
    found = [str(tuple(tensor.shape)) for tensor in tensors(tree)]
    return ", ".join(found) if found else type(tree).__name__


def call(model: Callable[..., Any], inputs: Any) -> Any:
    """Call `model` on `inputs`: a tuple as positional arguments, a dict as keywords, else as they are."""
    if isinstance(inputs, torch.Tensor):
        return model(inputs)
    if isinstance(inputs, (tuple, list)):
        return model(*inputs)
    return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)
