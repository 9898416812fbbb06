"""Shapes of a Keras model's inputs, known or likely."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

Shape = tuple[int | None, ...]

#: What a convolution over so many axes of space is given in lessons, and what these sizes are.
_PICTURES: dict[int, tuple[tuple[int, ...], str]] = {
    1: ((100, 8), "steps and channels"),
    2: ((28, 28, 1), "height, width and channels"),
    3: ((16, 64, 64, 1), "depth, height, width and channels"),
}
_SEQUENCES = {"RNN", "Bidirectional", "TimeDistributed", "MultiHeadAttention", "GroupQueryAttention", "Attention"}


def input_shapes(model: Any) -> Any:
    """Return the shapes of a built model's inputs.

    One shape, the batch first, or a list or dict of them, with None for what is open. None: no shape built it.
    """
    struct = _struct(model)
    if struct is not None:
        return _mapped(struct, lambda tensor: tuple(tensor.shape))
    # A subclassed model writes down what its first call, or `build`, was given.
    noted = getattr(model, "_build_shapes_dict", None) or {}
    shapes = {name.removesuffix("_shape"): shape for name, shape in noted.items() if shape is not None}
    if not shapes or not all(map(_is_shape, shapes.values())):
        return None
    free = {name: (None, *shape[1:]) for name, shape in shapes.items()}
    return free if len(free) > 1 else next(iter(free.values()))


def input_tensors(model: Any) -> Any:
    """Return empty inputs that a model was built for, or None.

    They are on the meta device, of a batch of one: a tuple, or a dict of keywords. None where a size is open, too.
    """
    shapes = input_shapes(model)
    if shapes is None or open_sizes(model):
        return None
    struct = _struct(model)
    types = None if struct is None else _mapped(struct, lambda tensor: getattr(torch, tensor.dtype, None))

    def made(shape: Any, kind: Any) -> torch.Tensor:
        return torch.empty([1 if size is None else size for size in shape], dtype=kind, device="meta")

    main = getattr(torch, model.compute_dtype)
    if isinstance(shapes, dict):
        return {name: made(shape, main if types is None else types[name]) for name, shape in shapes.items()}
    if isinstance(shapes, list):
        return tuple(made(shape, kind) for shape, kind in zip(shapes, types))
    return (made(shapes, main if types is None else types),)


def open_sizes(model: Any) -> list[Shape]:
    """List input shapes that are open beyond the batch."""
    shapes = input_shapes(model)
    every = shapes.values() if isinstance(shapes, dict) else shapes if isinstance(shapes, list) else [shapes]
    return [shape for shape in every if shape is not None and None in shape[1:]]


def example_shape(layer: Any, flattened: bool = False) -> tuple[tuple[int, ...], str]:
    """Return a shape that suits a layer, and its sizes in words.

    `flattened`: whether what it is given is flattened before.
    """
    names = {one.__name__ for one in type(layer).__mro__}
    if flattened:
        return (28, 28), "height and width"
    if isinstance(rank := getattr(layer, "rank", None), int) and rank in _PICTURES:
        shape, words = _PICTURES[rank]
        if getattr(layer, "data_format", None) == "channels_first":
            return (shape[-1], *shape[:-1]), f"channels, {words.removesuffix(' and channels').replace(', ', ' and ')}"
        return shape, words
    if "Embedding" in names:
        return (100,), "number of tokens"
    if names & _SEQUENCES:
        return (100, 8), "steps and features"
    return (784,), "number of features"


def _struct(model: Any) -> Any:
    """Return the inputs of a graph of layers, or None."""
    graph = model if hasattr(model, "_inputs_struct") else getattr(model, "_functional", None)
    return getattr(graph, "_inputs_struct", None)


def _mapped(struct: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(struct, Mapping):
        return {name: change(one) for name, one in struct.items()}
    if isinstance(struct, (list, tuple)):
        return [change(one) for one in struct] if len(struct) > 1 else change(struct[0])
    return change(struct)


def _is_shape(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(size is None or isinstance(size, int) for size in value)
