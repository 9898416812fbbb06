"""The one walk over a model's layers: whoever lists, hooks or counts layers takes them from here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn


class Place(NamedTuple):
    """A layer and where it stands: its dotted path ("" for the model itself), how deep, whether it has layers inside."""

    path: str
    module: nn.Module
    depth: int
    leaf: bool


def walk(model: nn.Module) -> Iterator[Place]:
    """Yield the model and every layer in it, outer before inner, in the order of registration.

    A layer that is registered in several places is yielded once, at the first. Models that hide their layers
    from torch get a branch of their own here.
    """
    for path, module in model.named_modules():
        depth = path.count(".") + 1 if path else 0
        yield Place(path, module, depth, next(module.children(), None) is None)


def parent(path: str) -> str | None:
    """Return the path of the layer around `path`; None for the model itself."""
    return None if not path else path.rpartition(".")[0]
