"""What trains beside the model: a loss's parameters, averaged teachers."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

#: How deep objects are searched, how many at most, and the values of a bare tensor that is no parameter.
_DEEP, _MANY, _LARGE = 3, 500, 1_000_000
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type, types.ModuleType)


class Companions:
    """What a loss or a step holds beside the model, found anew.

    Searched are the parts of a module or object, the variables that a function sees, and its own functions.
    What belongs to the model is left out.

    Attributes
    ----------
    roots : the outermost modules, by name.
    modules : these and all inside, by name: "(loss)", "(loss).scale", "(teacher).0".
    tensors : bare tensors, as a bank of memories or the shadow of an averaging object.
    optimizers : what moves them in the step itself.
    owners : other objects, whose numbers count along.
    """

    def __init__(self, model: nn.Module, loss: Any = None, step: Any = None) -> None:
        self._seen = {id(part) for part in (*model.modules(), *model.parameters(), *model.buffers())}
        self._left, self._loss = _MANY, loss
        self.roots: dict[str, nn.Module] = {}
        self.modules: dict[str, nn.Module] = {}
        self.tensors: dict[str, torch.Tensor] = {}
        self.optimizers: dict[str, Optimizer] = {}
        self.owners: dict[str, Any] = {}
        for what, given in (("loss", loss), ("step", step)):
            if isinstance(given, nn.Module):
                self._add(what, given, _DEEP)
            elif given is not None:
                for name, value in _seen_by(given):
                    self._add(name, value, _DEEP)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return their parameters by name."""
        found = {
            f"{path}.{name}": one for path, module in self.modules.items()
            for name, one in module.named_parameters(recurse=False)
        }  # fmt: skip
        return found | {name: one for name, one in self.tensors.items() if isinstance(one, nn.Parameter)}

    def loss_parameters(self) -> list[nn.Parameter]:
        """Return those of the loss, which the optimizer is to move."""
        return list(self._loss.parameters()) if isinstance(self._loss, nn.Module) else []

    def all_tensors(self) -> dict[str, torch.Tensor]:
        """Return their parameters, buffers and bare tensors by name."""
        buffers = {
            f"{path}.{name}": one for path, module in self.modules.items()
            for name, one in module.named_buffers(recurse=False)
        }  # fmt: skip
        return self.parameters() | buffers | self.tensors

    def _add(self, name: str, value: Any, deep: int) -> None:
        if isinstance(value, _PLAIN) or id(value) in self._seen or self._left <= 0:
            return
        self._seen.add(id(value))
        self._left -= 1
        if isinstance(value, torch.Tensor):
            if isinstance(value, nn.Parameter) or value.numel() <= _LARGE:
                self.tensors[f"({name})"] = value
        elif isinstance(value, nn.Module):
            self.roots[f"({name})"] = value
            for path, module in value.named_modules():
                if path == "" or id(module) not in self._seen:
                    self._seen.add(id(module))
                    self.modules[f"({name}).{path}".rstrip(".")] = module
        elif isinstance(value, Optimizer):
            self.optimizers[f"({name})"] = value
        elif deep:
            for key, one in self._parts(name, value):
                self._add(f"{name}.{key}", one, deep - 1)

    def _parts(self, name: str, value: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(value, (Mapping, list, tuple)):
            yield from value.items() if isinstance(value, Mapping) else enumerate(value)
        elif callable(value) and not hasattr(value, "__dict__"):
            return
        elif isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
            yield from _seen_by(value)
        elif hasattr(value, "__dict__") and not type(value).__module__.startswith(("dlwidgets.", "torch.")):
            self.owners[f"({name})"] = value
            yield from vars(value).items()


def _seen_by(function: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the names and values that a function works with."""
    if isinstance(function, functools.partial):
        yield from (("function", function.func), *enumerate(function.args), *function.keywords.items())
    elif isinstance(function, types.MethodType):
        yield "self", function.__self__
        yield from _seen_by(function.__func__)
    elif isinstance(function, types.FunctionType):
        if function.__module__.startswith("torch."):
            return
        outside = inspect.getclosurevars(function)
        yield from {**outside.globals, **outside.nonlocals}.items()
        defaults = inspect.signature(function).parameters.items()
        yield from ((name, one.default) for name, one in defaults if one.default is not one.empty)
    elif not isinstance(function, (types.BuiltinFunctionType, type)):
        yield "self", function
        yield from _seen_by(type(function).__call__)
