"""Inputs to trace a model with, from a batch or shapes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ..base.trees import tree_map, tree_tensors
from .kinds import wanted_input
from .walk import Layer, uncompiled


@dataclass(frozen=True)
class Example:
    """Inputs for one call of a model."""

    #: A tuple of positional inputs, or a dict of keywords. Those made from shapes are on the meta device:
    #: they hold no values.
    inputs: tuple[Any, ...] | dict[str, Any]
    notes: tuple[str, ...] = ()  #: What was made of the things given, in sentences.
    typed: bool = True  #: Whether the person said which dtype the inputs have.

    @property
    def batch(self) -> int | None:
        """The size of the first axis, where all inputs agree on it."""
        sizes = {int(tensor.shape[0]) if tensor.ndim else None for tensor in tree_tensors(self.inputs)}
        return sizes.pop() if len(sizes) == 1 else None

    def whole(self) -> Example:
        """Return the same with whole numbers in place of real ones."""
        inputs = tree_map(lambda t: t.to(torch.long) if t.is_floating_point() else t, self.inputs)
        note = "The inputs are taken as whole numbers (torch.long), as an embedding looks them up."
        return replace(self, inputs=inputs, notes=(*self.notes, note), typed=True)


def from_input(model: nn.Module, given: Any, dtype: torch.dtype | None = None) -> Example:
    """Read inputs: a tensor, array, tuple, dict, or batch of a DataLoader.

    A list is a batch as a DataLoader gives it: its first entries are the inputs, as many as the model's
    forward needs, the rest targets. So are the entries of a tuple, and the keys of a dict, that forward has
    no room for. Raises TypeError, ValueError: there is no tensor in it.
    """
    notes: list[str] = []
    real = _real_dtype(model)

    def read(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: read(part) for key, part in value.items()}
        if isinstance(value, (tuple, list)):
            parts = map(read, value)
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        if hasattr(value, "to_numpy") and hasattr(value, "columns"):
            value = value.to_numpy()
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
            value = torch.from_numpy(np.array(value))
            # numpy's own default is float64, which nobody chose.
            value = value.to(real) if value.is_floating_point() else value
        if isinstance(value, torch.Tensor) and dtype is not None and value.is_floating_point():
            value = value.to(dtype)
        return value

    inputs = read(_fitted(model, given, notes))
    if not any(True for _ in tree_tensors(inputs)):
        raise TypeError(
            f"input is of type {type(given).__name__} and holds no tensor: a tensor, an array, a tuple of "
            "positional inputs, a dict of keywords or a batch of a DataLoader is wanted."
        )
    return Example(inputs, tuple(notes))


def from_shape(model: nn.Module, shape: Any, dtype: Any = None) -> list[Example]:
    """Read one shape, several, or a dict of them; return possible examples.

    The likeliest comes first: with a batch axis of 1 in front, except where a shape begins with None or -1,
    which stand for it. Should the model not take that, the shape is meant to have its batch axis already.
    Raises TypeError, ValueError: it is no shape.
    """
    listed = isinstance(shape, (tuple, list)) and all(isinstance(one, (tuple, list)) for one in shape)
    given = shape if isinstance(shape, Mapping) else dict(enumerate(shape if listed and shape else [shape]))
    shapes = {name: _one_shape(one) for name, one in given.items()}
    types = dict.fromkeys(shapes, dtype)
    if isinstance(dtype, Mapping) and isinstance(shape, Mapping):
        types = {name: dtype[name] for name in shapes}
    elif listed and isinstance(dtype, Sequence) and not isinstance(dtype, str):
        if len(dtype) != len(shapes):
            raise ValueError(
                f"{len(shapes)} shapes and {len(dtype)} dtypes were given: one for each is wanted."
            )
        types = dict(enumerate(dtype))
    real = _real_dtype(model)

    def made(batched: bool, *notes: str) -> Example:
        found = {}
        for name, one in shapes.items():
            sizes = [1 if size is None else size for size in one]
            front = [1] if batched and one[0] is not None else []
            found[name] = torch.empty(front + sizes, dtype=_dtype(types[name], real), device="meta")
        inputs = found if isinstance(shape, Mapping) else tuple(found.values())
        return Example(inputs, notes, typed=dtype is not None)

    if all(one[0] is None for one in shapes.values()):
        return [made(True)]
    return [made(True), made(False, "The shape is taken with its first axis as the batch.")]


def _fitted(model: nn.Module, given: Any, notes: list[str]) -> tuple[Any, ...] | dict[str, Any]:
    """Return the inputs among what was given; note what was left out."""
    needed, most, keywords = _parameters(model)
    if isinstance(given, Mapping):
        extra = [] if keywords is None else [key for key in given if key not in keywords]
        if not 0 < len(extra) < len(given):
            return dict(given)
        notes.append(f"Left out: {', '.join(map(str, extra))}, which the model's forward does not take.")
        return {key: value for key, value in given.items() if key not in extra}
    if not isinstance(given, (tuple, list)) or hasattr(given, "_fields"):
        return (given,)
    if not given:
        raise ValueError("input is empty: a batch is wanted.")
    if isinstance(given, list):
        count = len(given) if len(given) == 1 else min(max(1, needed), len(given))
        if needed == 0 and most is None:
            count = max(1, len(given) - 1)  # forward(*inputs): all but the targets
    else:
        count = len(given) if most is None else min(len(given), max(1, most))
    only = given[0]
    if count == len(given) == 1 and isinstance(given, list) and isinstance(only, Mapping):
        return _fitted(model, only, notes)
    if count == len(given):
        return tuple(given)
    notes.append(
        f"Of the {len(given)} entries the first {'is' if count == 1 else f'{count} are'} taken as input, "
        f"the rest as {'targets' if len(given) - count > 1 else 'target'}."
    )
    if count == 1 and isinstance(only, (Mapping, tuple, list)):
        return _fitted(model, tuple(only) if isinstance(only, list) else only, notes)
    return tuple(given[:count])


def _parameters(model: nn.Module) -> tuple[int, int | None, set[str] | None]:
    """Return inputs needed, most positional ones, and names; None: any."""
    parameters = _forward_parameters(model)
    if parameters is None:
        return 1, None, None
    kinds = inspect.Parameter
    places = [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    any_place = any(p.kind is kinds.VAR_POSITIONAL for p in parameters)
    any_name = any(p.kind is kinds.VAR_KEYWORD for p in parameters)
    needed = sum(1 for p in places if p.default is kinds.empty)
    return needed, None if any_place else len(places), None if any_name else {p.name for p in parameters}


def _forward_parameters(model: nn.Module) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(uncompiled(model).forward).parameters.values())
    except (TypeError, ValueError):
        return None


def _real_dtype(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())


def _one_shape(shape: Any) -> tuple[int | None, ...]:
    sizes = (shape,) if isinstance(shape, (int, np.integer)) and not isinstance(shape, bool) else shape
    if not isinstance(sizes, (tuple, list)) or not sizes:
        raise TypeError(
            f"input_shape={shape!r}: the shape of one sample, as (3, 64, 64), or several of these, is wanted."
        )
    found: list[int | None] = []
    for place, size in enumerate(sizes):
        if place == 0 and (size is None or size == -1):
            found.append(None)
        elif isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size >= 0:
            found.append(int(size))
        else:
            raise ValueError(f"input_shape={shape!r}: sizes are whole numbers, 0 or more; {size!r} is none.")
    return tuple(found)


def _dtype(dtype: Any, real: torch.dtype) -> torch.dtype:
    if dtype is None:
        return real
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if isinstance(found, torch.dtype):
        return found
    raise TypeError(f"dtype={dtype!r}: a torch dtype, as torch.float32 or torch.long, is wanted.")


def input_hint(layers: Sequence[Layer], call: str = "summary") -> str:
    """Say, where no input was given, which layer needs what.

    `call` is how the function is reached that takes an input.
    """
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = _forward_parameters(layers[0].module) or []
    names = [p.name for p in parameters if p.kind not in variable and p.default is inspect.Parameter.empty]
    said, shape = "", f"{call}(model, input_shape=...)"
    wants = ((layer, wanted_input(layer.module)) for layer in layers)
    layer, want = next((pair for pair in wants if pair[1] is not None), (layers[0], None))
    if want is not None:
        said = f"{layer.path or 'it'} ({layer.kind}) comes first and wants {want.shape}"
        said += f", {want.also}" if want.also else ""
        sizes = ", ".join(map(str, want.sample)) + ("," if len(want.sample) == 1 else "")
        letters = [size for size in want.sample if isinstance(size, str)]
        shape = f"{call}(model, input_shape=({sizes}){', dtype=torch.long' if want.whole_numbers else ''})"
        if letters:
            named = " and ".join((", ".join(letters[:-1]), letters[-1]) if letters[1:] else letters)
            shape += f" with your own {named}"
    if len(names) > 1:
        said = f" {said[0].upper()}{said[1:]}." if said else ""
        listed = ", ".join(names)
        return (
            f"No input was given, so there are no shapes: the model's forward takes {listed}. "
            f"Pass a tuple of them, {call}(model, ({listed})).{said}"
        )
    return (
        f"No input was given, so there are no shapes{': ' if said else ''}{said}. "
        f"Pass a batch, {call}(model, X[:1]), or the shape of one sample, {shape}."
    )
