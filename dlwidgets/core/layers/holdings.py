"""Who holds which tensors: each layer's parameters and buffers and those inside it, every tensor once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch.nn.parameter import is_lazy

from .walk import Layer


@dataclass
class Holding:
    """What a layer holds.

    Attributes
    ----------
    tensors, buffers : the parameters and buffers of the layer and of those inside, by identity.
    own : how many numbers its own parameters have.
    tied : how many of these a layer further up the model has too.
    tied_to : that layer's path; None where nothing is tied.
    """

    tensors: dict[int, torch.Tensor] = field(default_factory=dict)
    buffers: dict[int, torch.Tensor] = field(default_factory=dict)
    own: int = 0
    tied: int = 0
    tied_to: str | None = None


def holdings_of(layers: Sequence[Layer]) -> dict[str, Holding]:
    """Return path -> what the layer there holds; one that stands in a second place holds the same there."""
    holdings = {layer.path: Holding() for layer in layers}
    first: dict[int, str] = {}
    for layer in layers:
        holding = holdings[layer.path]
        for tensor in layer.module._parameters.values():
            if tensor is None or id(tensor) in holding.tensors:
                continue
            holding.tensors[id(tensor)] = tensor
            holding.own += numel_of(tensor)
            if (holder := first.setdefault(id(tensor), layer.path)) != layer.path:
                holding.tied += numel_of(tensor)
                holding.tied_to = holding.tied_to or holder
        kept = layer.module._buffers.values()
        holding.buffers = {id(buffer): buffer for buffer in kept if buffer is not None}
    for layer in reversed(layers):
        holding = holdings[layer.path]
        if layer.again:  # what is inside is listed at its first place, which comes later here
            for module in layer.module.modules():
                holding.tensors.update((id(t), t) for t in module._parameters.values() if t is not None)
                holding.buffers.update((id(t), t) for t in module._buffers.values() if t is not None)
        if layer.parent is not None:
            # In place: a copy for each layer inside would make a wide model take the square of their number.
            holdings[layer.parent].tensors.update(holding.tensors)
            holdings[layer.parent].buffers.update(holding.buffers)
    return holdings


def numel_of(tensor: torch.Tensor) -> int:
    """Return how many numbers a tensor has; a lazy one has none yet."""
    return 0 if is_lazy(tensor) else tensor.numel()


def bytes_of(tensor: torch.Tensor) -> int:
    """Return the memory of a tensor; a lazy one takes none yet."""
    return 0 if is_lazy(tensor) else tensor.numel() * tensor.element_size()
