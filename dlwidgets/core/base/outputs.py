"""The tensors in whatever a layer puts out, each with a name of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch


def parts(output: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each tensor of a layer's output with what tells it apart: "", "[1]", "[1][0]", "[hidden]"."""
    if isinstance(output, torch.Tensor):
        if not output.is_nested:
            yield "", output
        return
    if isinstance(output, Mapping):
        entries: Iterable[tuple[Any, Any]] = output.items()
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        entries = zip(output._fields, output, strict=True)
    elif isinstance(output, (tuple, list)):
        entries = enumerate(output)
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        entries = ((field.name, getattr(output, field.name)) for field in dataclasses.fields(output))
    elif isinstance(output, torch.distributions.Distribution):
        entries = ((name, getattr(output, name, None)) for name in output.arg_constraints)
    else:
        return
    for name, value in entries:
        for rest, tensor in parts(value):
            yield f"[{name}]{rest}", tensor


def layer_of(key: str) -> str:
    """Return the path of the layer behind a key of `Activations`: "lstm" for "lstm#2[1][0]"."""
    return key.split("#", 1)[0].split("[", 1)[0]


def described(output: Any) -> str:
    """Return what an output without tensors is, to follow "gives no tensor but ..."."""
    if isinstance(output, torch.Tensor):
        return "a nested one"
    if output is None:
        return "None"
    if isinstance(output, (dict, tuple)) and not output:
        return "nothing"
    return f"a {type(output).__name__}"
