"""What the house asks of a framework, and torch's own answers."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import nn


def adopt(model: Any) -> Any:
    """Return a model as the module that the house works on.

    A torch module is returned as it is. A Keras model on the torch backend is one, too, but hides its layers: they are
    registered in it, which changes nothing that Keras does. For one on another backend a module that stands for it is
    returned, always the same one. What is no model comes back as it is.
    """
    adapter = _adapter(type(model))
    return model if adapter is None else adapter.register_layers(model)


def handed_over(model: Any) -> Any:
    """Return what a person handed over, of what `adopt` returned."""
    return getattr(model, "_dlwidgets_stands_for", model)


def acts_as(module: Any, kinds: type | tuple[type, ...]) -> bool:
    """Say whether a layer does what one of torch's kinds does.

    Attributes of a layer of another framework have other names.
    """
    if isinstance(module, kinds):
        return True
    adapter = _adapter(type(module))
    return adapter is not None and issubclass(adapter.counterpart(module), kinds)


def counted_beside(module: nn.Module) -> list[torch.Tensor]:
    """List the buffers that a layer's framework counts as parameters.

    Keras counts the moving statistics of BatchNormalization; torch counts none.
    """
    adapter = _adapter(type(module))
    return [] if adapter is None else adapter.statistics_counted(module)


@cache
def _adapter(kind: type) -> ModuleType | None:
    """Return what knows a class's framework; None for torch's own."""
    if any(one.__module__ == "keras.src.layers.layer" for one in kind.__mro__):
        from .keras import adoption

        return adoption
    return None
