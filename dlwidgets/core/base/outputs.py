"""The tensors in a layer's output, of whatever type: named, and replaced."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import torch


def named_tensors(output: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each tensor with its place: "", "[1]", "[1][0]", "[hidden]"."""
    if isinstance(output, torch.Tensor):
        if not output.is_nested:
            yield "", outside_transforms(output)
        return
    distribution = isinstance(output, torch.distributions.Distribution)
    for name in output.arg_constraints if distribution else _names(output):
        value = getattr(output, name, None) if distribution else _get(output, name)
        for rest, tensor in named_tensors(value):
            yield f"[{name}]{rest}", tensor


def outside_transforms(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor as it is outside of vmap and grad."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        inner = functorch.get_unwrapped(tensor)
        mapped = functorch.is_batchedtensor(tensor)
        tensor = inner.movedim(functorch.maybe_get_bdim(tensor), 0) if mapped else inner
    return tensor


def between_transforms() -> AbstractContextManager[Any]:
    """Return a context in which no vmap or grad acts."""
    if torch._C._functorch.peek_interpreter_stack() is None:
        return nullcontext()
    return torch._functorch.pyfunctorch.temporarily_clear_interpreter_stack()


def replace_first_tensor(output: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return a copy of `output` with `change(its first tensor)` in that place.

    None where it holds no tensor.
    """
    if isinstance(output, torch.Tensor):
        return change(output)
    for name in _names(output):
        old = _get(output, name)
        if next(named_tensors(old), None) is None:
            continue
        new = replace_first_tensor(old, change)
        if isinstance(output, Mapping):
            made: Any = copy.copy(output)
            made[name] = new
            return made
        if hasattr(output, "_fields"):
            return output._replace(**{name: new})
        if isinstance(output, (tuple, list)):
            return type(output)(new if number == name else one for number, one in enumerate(output))
        return dataclasses.replace(output, **{name: new})
    return None


def run_to_end(output: Any, most: int = 1_000) -> tuple[Any, bool]:
    """Return an output, what it yields as a list; and whether all.

    A forward that yields runs only while it is asked for more; after `most` it is asked no further.
    """
    if type(output) in (tuple, list, dict):
        names = _names(output)
        parts = [run_to_end(output[name], most) for name in names]
        if all(part is output[name] for name, (part, _) in zip(names, parts)):
            return output, True
        made = [part for part, _ in parts]
        return dict(zip(names, made)) if isinstance(output, dict) else made, all(ended for _, ended in parts)
    if not isinstance(output, Iterator):
        return output, True
    found = list(islice(output, most + 1))
    return found[:most], len(found) <= most


def layer_path(key: str) -> str:
    """Return the layer of a key of `Activations`: "lstm" for "lstm#2[1][0]"."""
    return key.split("#", 1)[0].split("[", 1)[0]


def describe_output(output: Any) -> str:
    """Describe an output without tensors, to follow "gives no tensor but ..."."""
    if isinstance(output, torch.Tensor):
        return "a nested one"
    if output is None:
        return "None"
    if isinstance(output, (dict, tuple)) and not output:
        return "nothing"
    return f"a {type(output).__name__}"


def _names(output: Any) -> list[Any]:
    """Return the keys, field names or positions of a container."""
    if isinstance(output, Mapping):
        return list(output)
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return list(output._fields)
    if isinstance(output, (tuple, list)):
        return list(range(len(output)))
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return [field.name for field in dataclasses.fields(output)]
    return []


def _get(output: Any, name: Any) -> Any:
    keyed = isinstance(output, Mapping) or isinstance(name, int)
    return output[name] if keyed else getattr(output, name)
