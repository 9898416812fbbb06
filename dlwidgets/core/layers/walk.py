"""The one walk over a model's layers: which there are, their names, and how they hold one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

#: Modules that only hold others and are never called themselves.
HOLDERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


@dataclass(frozen=True)
class Layer:
    """One place in a model where a module stands.

    Attributes
    ----------
    path : its name from the model down, as in `named_modules`; "" for the model itself.
    name : the last part of the path; for the model, the name of its class.
    kind : the name of its class.
    depth : 0 for the model, 1 for what it holds, and so on.
    parent : the path of what holds it; None for the model.
    first : the path where the same module stands first; differs from `path` for a module that is held twice.
    """

    path: str
    name: str
    kind: str
    module: nn.Module
    depth: int
    parent: str | None
    first: str

    @property
    def again(self) -> bool:
        """Whether the same module stands further up already."""
        return self.first != self.path


def walk(model: nn.Module) -> list[Layer]:
    """Return the layers of `model`, each before those that it holds, in the order of their registration.

    A module that is held in two places is listed in both, with what is inside it in the first alone. A
    compiled model is listed as what it was compiled from.

    Raises
    ------
    TypeError : `model` is no module.
    """
    if not isinstance(model, nn.Module):
        given = type(model).__name__
        if isinstance(model, type):
            given = f"the class {model.__name__}: {model.__name__}(...) makes a model of it"
        raise TypeError(f"A torch.nn.Module is wanted, not {given}.")
    seen: dict[int, str] = {}

    def visit(module: nn.Module, path: str, name: str, depth: int, parent: str | None) -> Iterator[Layer]:
        first = seen.setdefault(id(module), path)
        yield Layer(path, name, kind_of(module), module, depth, parent, first)
        if first != path:
            return  # what holds itself would never end, and what is shared would be told twice
        for child, inner in module._modules.items():
            if inner is not None:
                yield from visit(inner, f"{path}.{child}" if path else child, child, depth + 1, path)

    model = uncompiled(model)
    return list(visit(model, "", kind_of(model), 0, None))


def uncompiled(model: nn.Module) -> nn.Module:
    """Return what `torch.compile` was given, or the model itself."""
    return getattr(model, "_orig_mod", model)


def kind_of(module: nn.Module) -> str:
    """Return the class name of a layer; of a TorchScript layer that of the class it was made from."""
    return getattr(module, "original_name", None) or type(module).__name__
