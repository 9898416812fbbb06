"""What trains beside the model: a loss's parameters, averaged teachers."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ..base.held import GENERATORS
from ..base.state import same_bits
from .memories import Variables, entries_of, read_memory, remembers, write_memory

#: How deep objects are searched, how many at most, and the values of a bare tensor that is no parameter.
_DEEP, _MANY, _LARGE = 3, 500, 1_000_000
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type, types.ModuleType, np.generic)
#: Whose objects remember nothing of a person's; what of torch has a memory of its own.
_NOBODYS = ("dlwidgets.", "torch.")
_STEPPED = (LRScheduler, torch.amp.GradScaler)


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
    memories : objects and containers, by name without brackets: see `read_memory`.
    generators : random generators.
    """

    def __init__(self, model: nn.Module, loss: Any = None, step: Any = None) -> None:
        self._seen = {id(part) for part in (*model.modules(), *model.parameters(), *model.buffers())}
        self._left, self._loss, self._bare = _MANY, loss, set[int]()
        self.roots: dict[str, nn.Module] = {}
        self.modules: dict[str, nn.Module] = {}
        self.tensors: dict[str, torch.Tensor] = {}
        self.optimizers: dict[str, Optimizer] = {}
        self.memories: dict[str, Any] = {}
        self.generators: list[Any] = []
        for what, given in (("loss", loss), ("step", step)):
            if isinstance(given, nn.Module):
                self._add(what, given, _DEEP)
            elif given is not None:
                self._see("", given, _DEEP)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return their parameters by name."""
        found = {
            f"{path}.{name}": one for path, module in self.modules.items()
            for name, one in module.named_parameters(recurse=False)
        }  # fmt: skip
        return found | {name: one for name, one in self.tensors.items() if isinstance(one, nn.Parameter)}

    def loss_parameters(self) -> list[nn.Parameter]:
        """Return those that the optimizer is to move.

        They are those of a loss that is a module, and bare ones that a function works with: what else it has
        may be a teacher.
        """
        groups = [group for optimizer in self.optimizers.values() for group in optimizer.param_groups]
        moved = {id(one) for group in groups for one in group["params"]}
        own = list(self._loss.parameters()) if isinstance(self._loss, nn.Module) else []
        bare = [one for one in self.tensors.values() if isinstance(one, nn.Parameter)]
        return list({id(one): one for one in (*own, *bare) if id(one) not in moved}.values())

    def read_memories(self) -> dict[str, Any]:
        """Return what they remember, as plain data."""
        found = {name: read_memory(one) for name, one in self.memories.items()}
        return {name: kept for name, kept in found.items() if kept is not None}

    def write_memories(self, kept: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
        """Put back what `read_memories` returned; `tensors` has theirs by name."""
        places: dict[int, list[torch.Tensor]] = {}
        for name, one in self.tensors.items():
            if name in tensors:
                places.setdefault(id(one), []).append(tensors[name])
        # One tensor in places that had several cannot hold what each of them had.
        split = {key for key, (one, *more) in places.items() if not all(same_bits(one, two) for two in more)}
        for name, memory in self.memories.items():
            if name in kept:
                write_memory(memory, kept[name], lambda key, name=name: tensors.get(f"({name}.{key})"), split)

    def all_tensors(self) -> dict[str, torch.Tensor]:
        """Return their parameters, buffers and bare tensors by name."""
        buffers = {
            f"{path}.{name}": one for path, module in self.modules.items()
            for name, one in module.named_buffers(recurse=False)
        }  # fmt: skip
        return self.parameters() | buffers | self.tensors

    def _add(self, name: str, value: Any, deep: int) -> None:
        if isinstance(value, _PLAIN) or self._left <= 0:
            return
        if id(value) in self._seen:
            if id(value) in self._bare:
                self.tensors[f"({name})"] = value  # which is known by another name too
            return
        self._seen.add(id(value))
        self._left -= 1
        if isinstance(value, torch.Tensor):
            if isinstance(value, nn.Parameter) or value.numel() <= _LARGE:
                self.tensors[f"({name})"] = value
                self._bare.add(id(value))
        elif isinstance(value, nn.Module):
            self.roots[f"({name})"] = value
            for path, module in value.named_modules():
                if path == "" or id(module) not in self._seen:
                    self._seen.add(id(module))
                    self.modules[f"({name}).{path}".rstrip(".")] = module
                    self._remember(f"{name}.{path}".rstrip("."), module, deep)
        elif isinstance(value, Optimizer):
            self.optimizers[f"({name})"] = value
        elif isinstance(value, GENERATORS):
            self.generators.append(value)
        elif isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
            self._see(f"{name}.", value, deep)
        elif isinstance(value, _STEPPED) or not type(value).__module__.startswith(_NOBODYS):
            self._remember(name, value, deep)

    def _see(self, within: str, function: Any, deep: int) -> None:
        """Add what a function works with, assigns to and has as attributes."""
        for key, one in _seen_by(function) if deep else ():
            self._add(f"{within}{key}", one, deep - bool(within))
        plain = getattr(function, "__func__", function)
        if isinstance(plain, types.FunctionType) and not plain.__module__.startswith(_NOBODYS):
            self.memories[within.rstrip(".")] = Variables(plain)
            self.memories[f"{within}function"] = vars(plain)

    def _remember(self, name: str, value: Any, deep: int) -> None:
        """Note an object for what it remembers, and add its parts."""
        if not isinstance(value, tuple):
            if not remembers(value):
                return
            self.memories[name] = value
        if deep and not isinstance(value, np.ndarray):
            for key, one in entries_of(value).items():
                self._add(f"{name}.{key}", one, deep - 1)


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
