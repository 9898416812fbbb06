"""Tensors inside tuples, lists and dicts, as inputs and batches have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch


def tree_map(change: Callable[[torch.Tensor], Any], tree: Any) -> Any:
    """Return `tree` with each tensor replaced by `change(tensor)`; the rest stays."""
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


def tree_tensors(tree: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of `tree` in order."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, (Mapping, tuple, list)):
        for value in tree.values() if isinstance(tree, Mapping) else tree:
            yield from tree_tensors(value)


def slice_rows(tree: Any, first: int, last: int) -> Any:
    """Return rows `first` to `last` (excluded) of equally long tensors."""
    lengths = {len(tensor) if tensor.ndim else None for tensor in tree_tensors(tree)}
    if len(lengths) != 1 or None in lengths:
        return tree
    return tree_map(lambda tensor: tensor[first:last], tree)


def describe_shapes(tree: Any) -> str:
    """Describe the shapes of the tensors in `tree`: "(4, 1, 28, 28)"."""
    found = [str(tuple(tensor.shape)) for tensor in tree_tensors(tree)]
    return ", ".join(found) if found else type(tree).__name__


def call_model(model: Callable[..., Any], inputs: Any) -> Any:
    """Call `model`: a tuple gives positional arguments, a dict keywords."""
    if isinstance(inputs, torch.Tensor):
        return model(inputs)
    if isinstance(inputs, (tuple, list)):
        return model(*inputs)
    return model(**inputs) if isinstance(inputs, Mapping) else model(inputs)
