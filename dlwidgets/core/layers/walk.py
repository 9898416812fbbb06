"""The layers of a model, and the tensors that each holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .framework import adopt, describe_no_module, framework_of

#: Modules that only hold others and are never called themselves.
HOLDERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


@dataclass(frozen=True)
class Layer:
    """One place in a model where a module stands."""

    path: str  #: Its name from the model down, as in `named_modules`; "" for the model itself.
    name: str  #: The last part of the path; for the model, the name of its class.
    kind: str  #: The name of its class.
    module: nn.Module
    depth: int  #: 0 for the model, 1 for what it holds, and so on.
    parent: str | None  #: The path of what holds it; None for the model.
    #: The path where the same module stands first; differs from `path` for a module that is held twice.
    first: str

    @property
    def again(self) -> bool:
        """Whether the same module stands further up already."""
        return self.first != self.path


def walk(model: nn.Module) -> list[Layer]:
    """List the layers of a model, outer before inner, as registered.

    A module that is held in two places is listed in both, with what is inside it in the first alone. A
    compiled model is listed as what it was compiled from. Raises TypeError: `model` is no module.
    """
    model = adopt(model)
    if not isinstance(model, nn.Module):
        raise TypeError(f"A torch.nn.Module is wanted, {describe_no_module(model)}.")
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


def module_at(model: nn.Module, path: str) -> nn.Module:
    """Return the module at a path; "" for the model.

    As `get_submodule`, which asks for attributes: those of a Keras model shadow a layer named "output".

    Raises
    ------
    AttributeError : there is none.
    """
    for name in path.split(".") if path else ():
        inside = model._modules.get(name, uncompiled(model)._modules.get(name))
        if inside is None:
            raise AttributeError(f"{type(model).__name__} has no layer {name!r}, as {path!r} says.")
        model = inside
    return model


def tensor_at(model: nn.Module, name: str) -> torch.Tensor:
    """Return the parameter or buffer of a name.

    Raises
    ------
    AttributeError : there is none.
    """
    path, _, key = name.rpartition(".")
    module = module_at(model, path)
    found = module._parameters.get(key)
    found = module._buffers.get(key) if found is None else found
    if found is None:
        raise AttributeError(f"{type(module).__name__} has no parameter or buffer {key!r}, as {name!r} says.")
    return found


def uncompiled(model: nn.Module) -> nn.Module:
    """Return what `torch.compile` was given, or the model itself."""
    return getattr(model, "_orig_mod", model)


def kind_of(module: nn.Module) -> str:
    """Return the class name of a layer, the original one under TorchScript."""
    return getattr(module, "original_name", None) or type(module).__name__


@dataclass
class Holding:
    """What a layer holds."""

    #: The parameters of the layer and of those inside, by identity.
    tensors: dict[int, torch.Tensor] = field(default_factory=dict)
    #: The buffers that its framework counts as parameters, and all others.
    counted: dict[int, torch.Tensor] = field(default_factory=dict)
    buffers: dict[int, torch.Tensor] = field(default_factory=dict)
    own: int = 0  #: How many numbers its own parameters have.
    tied: int = 0  #: How many of these a layer further up the model has too.
    tied_to: str | None = None  #: That layer's path; None where nothing is tied.

    @property
    def trainable(self) -> str:
        """Whether its parameters train: "yes", "no", "partly"; "" without parameters."""
        flags = {tensor.requires_grad for tensor in self.tensors.values()}
        flags = flags or {False for _ in self.counted}
        return "" if not flags else "partly" if len(flags) > 1 else "yes" if True in flags else "no"

    @property
    def parameters(self) -> list[torch.Tensor]:
        """All that count as parameters."""
        return [*self.tensors.values(), *self.counted.values()]

    @property
    def trained(self) -> int:
        """How many numbers its trainable parameters have."""
        return sum(numel_of(tensor) for tensor in self.tensors.values() if tensor.requires_grad)


def counted_tensors(model: nn.Module) -> list[torch.Tensor]:
    """List what counts as a model's parameters: see `Framework.counted_beside`."""
    beside = (framework_of(module).counted_beside(module) for module in model.modules())
    return [*model.parameters(), *(tensor for one in beside for tensor in one)]


def holdings_of(layers: Sequence[Layer]) -> dict[str, Holding]:
    """Return path -> what the layer there holds."""
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
        holding.counted = {id(buffer): buffer for buffer in framework_of(layer.module).counted_beside(layer.module)}
        holding.own += sum(map(numel_of, holding.counted.values()))
        kept = layer.module._buffers.values()
        holding.buffers = {id(one): one for one in kept if one is not None and id(one) not in holding.counted}
    for layer in reversed(layers):
        holding = holdings[layer.path]
        if layer.again:  # what is inside is listed at its first place, which comes later here
            holding.tensors.update((id(tensor), tensor) for tensor in layer.module.parameters())
            for module in layer.module.modules():
                holding.counted.update((id(tensor), tensor) for tensor in framework_of(module).counted_beside(module))
            held = ((id(tensor), tensor) for tensor in layer.module.buffers())
            holding.buffers.update((key, tensor) for key, tensor in held if key not in holding.counted)
        if layer.parent is not None:
            # In place: a copy for each layer inside would make a wide model take the square of their number.
            holdings[layer.parent].tensors.update(holding.tensors)
            holdings[layer.parent].counted.update(holding.counted)
            holdings[layer.parent].buffers.update(holding.buffers)
    return holdings


def numel_of(tensor: torch.Tensor) -> int:
    """Count the numbers of a tensor; a lazy one has none."""
    return 0 if is_lazy(tensor) else tensor.numel()


def bytes_of(tensor: torch.Tensor) -> int:
    """Return the memory of a tensor; a lazy one takes none yet."""
    return 0 if is_lazy(tensor) else tensor.numel() * tensor.element_size()
