"""Samplers, datasets and other objects as calls, checked by making them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ..base.isolation import preserve_random_state
from ..base.literals import format_literal
from ..base.state import same_state
from .draft import Draft
from .module_expression import find_calls, read_texts, write_module
from .sources import Unwritable
from .text import format_call

#: Numbers that are written out, at most; more lie beside the script.
_FEW = 16


class ObjectWriter:
    """Writes objects as calls with what they keep of the arguments.

    An object is made anew and compared with that of now: one that keeps count of what it gave is refused.

    Parameters
    ----------
    names : what the script has already, and what it is called there.
    """

    def __init__(self, draft: Draft, names: Mapping[str, Any]) -> None:
        self._draft, self._names = (
            draft,
            {id(value): name for name, value in names.items() if value is not None},
        )
        #: What lies beside the script.
        self._kept: dict[str, torch.Tensor] = {}

    def loading(self) -> str:
        """Return the line that loads what is saved; "" for none."""
        if not self._kept:
            return ""
        path = self._draft.save_beside("parts", self._kept, "what decides the order of the samples")
        return f"parts = torch.load({path}, weights_only=True)\n"

    def write(self, value: Any, name: str = "values") -> str:
        """Return the expression for a value; `name` is what to call it.

        Raises
        ------
        Unwritable : in a clause, what of it cannot be written.
        """
        if id(value) in self._names:
            return self._names[id(value)]
        if isinstance(value, (torch.Tensor, np.ndarray)) or _is_long(value):
            return self._keep(value, name)
        if isinstance(value, range):
            return repr(value)
        if (text := format_literal(value)) is not None:
            return text
        if type(value) in (list, tuple):
            inside = "".join(f"{self.write(one, name)}, " for one in value)
            return f"({inside.strip()})" if type(value) is tuple else f"[{inside.rstrip(', ')}]"
        if type(value) is dict:
            pairs = (f"{self.write(key)}: {self.write(one, str(key))}" for key, one in value.items())
            return f"{{{', '.join(pairs)}}}"
        if type(value) is types.SimpleNamespace:
            self._draft.sources.imports.add("import types")
            given = ", ".join(f"{key}={self.write(one, key)}" for key, one in vars(value).items())
            return f"types.SimpleNamespace({given})"
        if isinstance(value, functools.partial):
            self._draft.sources.imports.add("import functools")
            args = [self.write(one) for one in (value.func, *value.args)]
            given = [f"{key}={self.write(one, key)}" for key, one in value.keywords.items()]
            return f"functools.partial({', '.join([*args, *given])})"
        if isinstance(value, nn.Module):
            text, made = write_module(value, self._draft.sources, None, read_texts(type(value)))
            if not same_state(made.state_dict(), value.state_dict()):
                raise Unwritable(f"the weights of a {type(value).__name__} were made elsewhere")
            return text
        if isinstance(value, type) or inspect.isroutine(value):
            return self._draft.sources.use_function(value)
        if isinstance(value, torch.Generator) or not hasattr(value, "__dict__"):
            raise Unwritable(f"what a {type(value).__name__} began with is not known")
        return self._write_call(value)

    def _keep(self, value: Any, name: str) -> str:
        """Return the expression of numbers: written out, or loaded."""
        try:
            tensor = torch.as_tensor(value).detach().cpu().contiguous().clone()
        except (TypeError, ValueError, RuntimeError):
            raise Unwritable(f"{name} holds what is no number") from None
        after = {np.ndarray: ".numpy()", list: ".tolist()", tuple: ".tolist()"}.get(type(value), "")
        if tensor.numel() <= _FEW and not after and same_state(torch.tensor(tensor.tolist()), tensor):
            return f"torch.tensor({tensor.tolist()!r})"
        if after == ".tolist()":
            tensor = tensor.double() if tensor.is_floating_point() else tensor
        while name in self._kept and not same_state(self._kept[name], tensor):
            name += "_"
        self._kept[name] = tensor
        text = f'parts["{name}"]{after}'
        return f"tuple({text})" if isinstance(value, tuple) else text

    def _write_call(self, value: Any) -> str:
        kind, sources = type(value), self._draft.sources
        calls: list[tuple[list[Any], dict[str, Any]]] = [([], {})]
        read = None
        with contextlib.suppress(ValueError):  # no signature is known
            read = _read_arguments(value)
        if read is not None:
            calls.insert(0, read)
        for args, kwargs in (*calls, *find_calls(kind, read_texts(kind))):
            if not _makes(functools.partial(kind, *args, **kwargs), value):
                continue
            head = sources.use(kind)
            texts = [self.write(one, name) for one, name in zip(args, _names(kind, args))]
            given = [f"{key}={self.write(one, key)}" for key, one in kwargs.items()]
            return format_call(head, [*texts, *given], {})
        raise Unwritable(f"the arguments that {kind.__name__} was made with are not known")


def _names(kind: type[Any], args: list[Any]) -> list[str]:
    names = [one.name for one in inspect.signature(kind).parameters.values()]
    return [*names[: len(args)], *["values"] * (len(args) - len(names))]


def _is_long(value: Any) -> bool:
    return type(value) in (list, tuple) and len(value) > _FEW and set(map(type, value)) <= {int, float}


def _read_arguments(value: Any) -> tuple[list[Any], dict[str, Any]] | None:
    """Read an object's arguments off its attributes, if all are there."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    kept = vars(value)
    for one in inspect.signature(type(value)).parameters.values():
        name = next((name for name in (f"_{one.name}", one.name) if name in kept), None)
        if one.kind is one.VAR_POSITIONAL and name is not None:
            args += kept[name]
        elif name is None and one.default is one.empty and one.kind is not one.VAR_KEYWORD:
            return None
        elif name is None or kept[name] is one.default:
            continue
        elif one.default is one.empty and one.kind is not one.KEYWORD_ONLY:
            args.append(kept[name])
        elif type(kept[name]) is not type(one.default) or not _is_alike(kept[name], one.default):
            kwargs[one.name] = kept[name]
    return args, kwargs


def _makes(make: Callable[[], Any], value: Any) -> bool:
    try:
        with preserve_random_state():
            return _is_alike(make(), value)
    except Exception:  # noqa: BLE001 - a guess that does not fit may raise anything
        return False


def _is_alike(one: Any, other: Any, depth: int = 6) -> bool:
    """Say whether two objects have equal attributes, at any depth."""
    if one is other:
        return True
    if type(one) is not type(other) or not depth:
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is_alike(one[key], other[key], depth - 1) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(_is_alike(*pair, depth - 1) for pair in zip(one, other))
    if isinstance(one, (torch.Tensor, np.ndarray)) or not hasattr(one, "__dict__"):
        return same_state(one, other)
    return _is_alike(vars(one), vars(other), depth - 1)
