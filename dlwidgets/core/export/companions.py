"""What a loss or a step works with, as lines."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np
import torch
from torch import nn

from ..base.literals import format_literal
from ..base.state import same_state
from ..data.memories import Variables, read_memory, remembers
from ..layers.structure import expression_of
from ..layers.walk import uncompiled
from .draft import Draft
from .module_expression import read_texts, write_module
from .objects import ObjectWriter
from .sources import Unwritable

#: Numbers of a tensor that are written out, at most; more lie beside the script.
_FEW = 16


class CompanionWriter:
    """Writes modules, tensors and other objects that a person's function uses.

    They begin with what they held before the first step: a teacher may be averaged while it trains.

    Attributes
    ----------
    lines : those that make them, in order.
    """

    def __init__(self, draft: Draft) -> None:
        self.lines: list[str] = []
        self._draft, self._held = draft, draft.loop.objective.companions
        self._names: dict[str, Any] = {}

    def bring(self, name: str, value: Any) -> None:
        """Make an object under the name that the function has for it."""
        if name in self._names:
            return
        if isinstance(value, nn.Module):
            made = self._write_module(name, value)
        elif isinstance(value, (torch.Tensor, np.ndarray)):
            made = [f"\0{name}\0 = {self._write_tensor(name, value)}"]
        else:
            made = [f"\0{name}\0 = {self.write(value, name)}"]
        self._names[name] = value
        self._draft.sources.brought.add(name)
        self.lines += made

    def write(self, value: Any, name: str) -> str:
        """Return the expression of a callable or another object."""
        if inspect.ismethod(value):
            return f"{self.write(value.__self__, name)}.{value.__name__}"
        if isinstance(value, functools.partial):
            given = {f"{name}_{number}": one for number, one in enumerate(value.args)} | value.keywords
            for key, one in given.items():
                if isinstance(one, (nn.Module, torch.Tensor, np.ndarray)):
                    self.bring(key, one)
        kept, now = self._first_memory(value), read_memory(value) if remembers(value) else None
        if (kept or now) and not same_state(kept, now):
            raise Unwritable(f"the {type(value).__name__} has changed in the run")
        writer = ObjectWriter(self._draft, {f"\0{key}\0": one for key, one in self._names.items()})
        text = writer.write(value, name)
        if writer.loading():
            raise Unwritable(f"the {type(value).__name__} holds tensors")
        named = set(map(id, self._names.values()))
        for key, one in self._held.tensors.items():
            if id(one) not in named and not same_state(self._draft.origin.beside.get(key), one.detach().cpu()):
                raise Unwritable(f"the tensor {key.strip('()')} has changed in the run")
        return text

    def first_value(self, name: str, value: Any) -> Any:
        """Return what a plain variable or container was before the run."""
        if format_literal(value) is None:
            return value
        kept = self._first_memory(value) if isinstance(value, (list, dict)) else None
        if isinstance(value, dict) and kept is not None:
            now = read_memory(value) or {}
            return {key: one for key, one in value.items() if key in kept or key not in now} | kept
        if kept is not None:
            return list(kept.values())
        for key, memory in self._held.memories.items():
            before = self._draft.origin.beside.get(key, {})
            if isinstance(memory, Variables) and memory.read().get(name) is value:
                return before.get(name, value)
        return value

    def _first_memory(self, value: Any) -> Any:
        keys = (key for key, memory in self._held.memories.items() if memory is value)
        return next((self._draft.origin.beside[key] for key in keys if key in self._draft.origin.beside), None)

    def _write_module(self, name: str, module: nn.Module) -> list[str]:
        draft, model = self._draft, uncompiled(self._draft.model)
        for path, one in model.named_modules():
            if one is module:
                return [f"\0{name}\0 = {expression_of(model, path)}"]
        text, _ = write_module(module, draft.sources, None, read_texts(type(module)))
        if not (state := module.state_dict()):
            return [f"\0{name}\0 = {text}"]
        made = [f"\0{name}\0 = {text}{draft.to_device}"]
        root = next((key for key, one in self._held.roots.items() if one is module), "")
        kept = draft.origin.beside.get(root)
        if kept is None or kept.keys() != state.keys():
            raise Unwritable(f"what {name} began with was not kept")
        path = draft.save_beside(name, dict(kept), f"what {name} began with")
        made.append(f"\0{name}\0.load_state_dict(torch.load({path}, weights_only=True))")
        if len(modes := {one.training for one in module.modules()}) > 1:
            raise Unwritable(f"some layers of {name} are in train mode and others are not")
        made += [f"\0{name}\0.eval()"] if modes == {False} else []
        made += [] if any(p.requires_grad for p in module.parameters()) else [f"\0{name}\0.requires_grad_(False)"]
        return made

    def _write_tensor(self, name: str, value: Any) -> str:
        self._draft.sources.imports.add("import torch")
        if isinstance(value, np.ndarray):
            kept = self._first_memory(value)
            kept = torch.from_numpy((value if kept is None else kept).copy())
            path = self._draft.save_beside(name, kept, f"the numbers of {name}")
            return f"torch.load({path}, weights_only=True).numpy()"
        key = next((key for key, one in self._held.tensors.items() if one is value), "")
        kept = self._draft.origin.beside.get(key)
        if kept is None or value.requires_grad:
            raise Unwritable(f"what {name} began with was not kept, or it trains")
        there = "" if value.device.type == "cpu" else self._draft.to_device
        if kept.numel() <= _FEW and same_state(torch.tensor(kept.tolist()), kept):
            return f"torch.tensor({kept.tolist()!r}){there}"
        path = self._draft.save_beside(name, kept, f"what {name} began with")
        return f"torch.load({path}, weights_only=True){there}"
