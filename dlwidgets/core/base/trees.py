"""Tensors inside tuples, lists, dicts and objects, as batches have them."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

#: What holds no tensors and is met often, and the objects inside objects that are looked into.
_PLAIN, _DEEPEST = (str, bytes, int, float, complex, bool, type(None)), 3


def tree_map(change: Callable[[torch.Tensor], Any], tree: Any, depth: int = 0) -> Any:
    """Return `tree` with each tensor replaced by `change(tensor)`; the rest stays.

    An object with tensors among its attributes, as a graph or a dataclass, is copied.
    """
    # In this order, since it is asked in every step: to ask for a Mapping takes longest.
    if isinstance(tree, torch.Tensor):
        return change(tree)
    if isinstance(tree, PackedSequence):  # its lengths stay on the CPU
        data, sizes, *orders = tree
        return PackedSequence(change(data), sizes, *(tree_map(change, order, depth) for order in orders))
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(tree_map(change, value, depth) for value in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)(tree_map(change, value, depth) for value in tree)
    if isinstance(tree, _PLAIN):
        return tree
    if isinstance(tree, Mapping):
        made = {key: tree_map(change, value, depth) for key, value in tree.items()}
        return made if type(tree) is dict else keep_kind(tree, made)
    held = _held(tree, depth)
    if next(tree_tensors(held, depth + 1), None) is None:
        return tree
    twin = copy.copy(tree)
    for name, value in _held(twin, depth).items():
        object.__setattr__(twin, name, tree_map(change, value, depth + 1))
    return twin


def tree_tensors(tree: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    """Yield the tensors of `tree` in order, those in objects as well."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, (tuple, list)):
        for value in tree:
            yield from tree_tensors(value, depth)
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from tree_tensors(value, depth)
    elif not isinstance(tree, _PLAIN) and (held := _held(tree, depth)):
        yield from tree_tensors(held, depth + 1)


def keep_kind(tree: Mapping[Any, Any], made: dict[Any, Any]) -> Any:
    """Return a mapping of the kind of `tree`, as a BatchEncoding."""
    try:
        twin: Any = copy.copy(tree)
        for key, value in made.items():
            twin[key] = value
    except (TypeError, AttributeError):  # it cannot be written
        return made
    return twin


def _held(value: Any, depth: int) -> dict[str, Any]:
    """Return the attributes of an object that may hold tensors."""
    if depth >= _DEEPEST or isinstance(value, (type, types.ModuleType, torch.nn.Module)):
        return {}
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    return dict(getattr(value, "__dict__", ()))


def slice_rows(tree: Any, first: int, last: int) -> Any:
    """Return rows `first` to `last` (excluded) of equally long tensors.

    So it does of samples in a list, where that is the one argument, and of a batch whose targets are dicts in a list.
    """
    if isinstance(tree, tuple) and len(tree) == 1 and isinstance(tree[0], list):
        return (tree[0][first:last],)
    if isinstance(tree, (tuple, list)) and len(tree) == 2 and isinstance(tree[1], (tuple, list)) and tree[1]:
        if isinstance(tree[1][0], Mapping) and isinstance(tree[0], (torch.Tensor, tuple, list)):
            return type(tree)((tree[0][first:last], tree[1][first:last]))
    lengths = {len(t) if t.ndim and not t.is_nested else None for t in tree_tensors(tree)}
    if len(lengths) != 1 or None in lengths:
        return tree
    return tree_map(lambda tensor: tensor[first:last], tree)


def arrays_to_tensors(tree: Any) -> Any:
    """Return a batch with tensors in the place of arrays.

    Looked into are tuples, lists and dicts. What has none is returned as it is.
    """
    if isinstance(tree, (torch.Tensor, *_PLAIN, np.generic)):
        return tree
    if type(tree) in (tuple, list):
        made = [arrays_to_tensors(one) for one in tree]
        return tree if all(one is two for one, two in zip(tree, made)) else type(tree)(made)
    if type(tree) is dict:
        entries = {key: arrays_to_tensors(one) for key, one in tree.items()}
        return tree if all(entries[key] is one for key, one in tree.items()) else entries
    if all(hasattr(tree, name) for name in ("__array__", "dtype", "shape")):
        array = np.asarray(tree)
        if array.dtype.kind in "biuf":
            # torch warns of memory that it may not write, and knows no negative strides.
            return torch.as_tensor(np.ascontiguousarray(array) if array.flags.writeable else array.copy())
    return tree


def describe_shapes(tree: Any) -> str:
    """Describe the shapes of the tensors in `tree`: "(4, 1, 28, 28)"."""
    found = [str(tuple(tensor.shape)) for tensor in tree_tensors(tree)]
    return ", ".join(found) if found else type(tree).__name__


#: How models of other frameworks are called, by their class: `(model, inputs) -> output`. An adapter enters its own.
CALLS: dict[type, Callable[[Any, Any], Any]] = {}


def call_model(model: Callable[..., Any], inputs: Any) -> Any:
    """Call `model`: a tuple or list gives positional arguments, a dict keywords.

    As one argument it is given a list of several where it takes one alone (images to find things in), a dict
    whose keys it does not take (a batch by name), and every other object.
    """
    if CALLS and (call := CALLS.get(type(model))) is not None:
        return call(model, inputs)
    stars = find_stars(model, inputs)
    return model(**inputs) if stars == "**" else model(*inputs) if stars else model(inputs)


def find_stars(model: Callable[..., Any], inputs: Any) -> str:
    """Return what stands before inputs in a call: "", "*" or "**"."""
    if isinstance(inputs, torch.Tensor):
        return ""
    several = isinstance(inputs, (tuple, list)) and not hasattr(inputs, "_fields")
    if not several and not isinstance(inputs, Mapping) or Takes.of(model).as_one(inputs):
        return ""
    return "*" if several else "**"


@dataclasses.dataclass(frozen=True)
class Takes:
    """What the forward of a model takes."""

    names: tuple[str, ...] | None = None  #: Its arguments; None where any keyword will do.
    needed: tuple[str, ...] = ("input",)  #: Those without a default.
    most: int | None = None  #: How many positional ones; None: any number.
    first: str | None = None  #: The first positional one.

    @classmethod
    def of(cls, model: Callable[..., Any]) -> Takes:
        """Read the signature of the forward; without one, anything goes."""
        forward = getattr(getattr(model, "_orig_mod", model), "forward", model)
        try:
            every = list(inspect.signature(forward).parameters.values())
        except (TypeError, ValueError):
            return cls()
        kinds = {parameter.kind for parameter in every}
        single = [p for p in every if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        places = [p.name for p in single if p.kind is not p.KEYWORD_ONLY]
        return cls(
            None if inspect.Parameter.VAR_KEYWORD in kinds else tuple(p.name for p in single),
            tuple(p.name for p in single if p.default is p.empty),
            None if inspect.Parameter.VAR_POSITIONAL in kinds else len(places), next(iter(places), None),
        )  # fmt: skip

    def as_one(self, given: Any) -> bool:
        """Say whether a list or dict is one argument, not several."""
        if not isinstance(given, Mapping):
            return self.most == 1 and len(given) > 1
        if not given or self.first is None or len(self.needed) > 1:
            return False
        if self.names is None:
            return bool(self.needed) and self.first not in given
        known = [key in self.names for key in given]
        return not all(known) if self.most == 1 else not any(known)
