"""Inputs to trace a model with, from a batch or shapes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ..base.trees import Takes, keep_kind, tree_map, tree_tensors
from ..base.words import quote_names
from .foreign import say_unready
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
    guess: bool = False  #: Whether another reading is told of where this one fails as well.

    @property
    def batch(self) -> int | None:
        """The size of the first axis, where all inputs agree on it."""
        sizes = {int(tensor.size(0)) if tensor.ndim else None for tensor in tree_tensors(self.inputs)}
        return sizes.pop() if len(sizes) == 1 else None

    def whole(self, place: int) -> Example:
        """Return the same with whole numbers in the tensor at `place`."""
        count, number = sum(1 for _ in tree_tensors(self.inputs)), itertools.count()
        inputs = tree_map(lambda t: t.to(torch.long) if next(number) == place else t, self.inputs)
        which = "The input is" if count == 1 else f"Input {place + 1} of {count} is"
        note = f"{which} taken as whole numbers (torch.long), as an embedding looks them up."
        return replace(self, inputs=inputs, notes=(*self.notes, note))

    def complex(self) -> Example:
        """Return the same with complex numbers in place of real ones."""
        return replace(self, inputs=tree_map(lambda t: t.to(t.dtype.to_complex()), self.inputs))


def from_input(model: nn.Module, given: Sequence[Any], dtype: Any = None) -> list[Example]:
    """Read what was given as input; return possible examples.

    The likeliest comes first. Several are positional inputs. One is a tensor, an array, rows as lists, a
    tuple of positional inputs, a dict of keywords, a batch of a DataLoader or any object. A list is a batch
    as a DataLoader gives it: its first entries are the inputs, as many as the model's forward needs, the rest
    targets. So are the entries of a tuple, and the keys of a dict, that forward has no room for. Before that
    it is tried as the one argument of a forward that takes no more. Shapes are read by `from_shape`.
    Raises TypeError, ValueError: it is nothing.
    """
    takes = Takes.of(uncompiled(model))
    only = given[0] if len(given) == 1 else tuple(given)
    if isinstance(only, (DataLoader, Dataset)):
        loader = "loader" if isinstance(only, DataLoader) else "DataLoader(dataset, 4)"
        raise TypeError(f"input is a {type(only).__name__}: a batch is wanted, as next(iter({loader})).")
    examples = []
    if shapes := _shapes_in(only):
        numbers = isinstance(only, (tuple, list)) and len(takes.needed) == len(only) > 1
        if numbers and not isinstance(only[0], (tuple, list)):
            examples = [Example(tuple(only), guess=True)]  # numbers that the forward takes one by one
        note = f"{_written(only)} is read as the shape of one sample, as with input_shape=."
        made = from_shape(model, shapes, dtype)
        return [*examples, *(replace(one, notes=(note, *one.notes)) for one in made)]
    readings = [Example(only)] if len(given) > 1 else _readings(takes, read_rows(only, model))
    return [replace(one, inputs=_as_tensors(model, one.inputs, dtype)) for one in readings]


def holds_tensors(example: Example) -> bool:
    """Say whether there is a tensor in the inputs."""
    return any(True for _ in tree_tensors(example.inputs))


def _shapes_in(given: Any) -> Any:
    """Return shapes that stand in the place of inputs, or None."""

    def is_shape(value: Any) -> bool:
        sizes = isinstance(value, (tuple, list)) and len(value) > 0
        return sizes and all(
            isinstance(size, (int, np.integer))
            and not isinstance(size, bool)
            or (place == 0 and size is None)
            for place, size in enumerate(value)
        )

    if is_shape(given) and any(size is not None for size in given):
        return tuple(given)
    # Lists of lists are rows.
    parts = list(given.values()) if isinstance(given, Mapping) else given
    if (
        isinstance(parts, (tuple, list))
        and parts
        and all(isinstance(p, tuple) and is_shape(p) for p in parts)
    ):
        return given if isinstance(given, Mapping) else list(given)
    return None


def _written(shape: Any) -> str:
    return str(tuple(shape)) if isinstance(shape, (torch.Size, list)) else str(shape)


def read_rows(given: Any, model: nn.Module | None = None) -> Any:
    """Return lists of numbers as a tensor, all else as it is.

    For a model they are as its weights; whole numbers stay so where it looks some up, and without a model.
    """
    first = given
    while isinstance(first, list) and first:
        first = first[0]
    if not isinstance(given, list) or not isinstance(first, (int, float, complex)):
        return given
    try:
        made = torch.from_numpy(np.asarray(given if isinstance(given[0], list) else [given]))
    except (TypeError, ValueError):
        return given  # of other lengths, or not of numbers alone
    if model is None:
        return made
    looked_up = any(isinstance(module, (nn.Embedding, nn.EmbeddingBag)) for module in model.modules())
    keep = isinstance(first, bool) or (looked_up and not made.is_floating_point())
    return made if keep else made.to(main_dtype(model))


def read_frame(frame: Any) -> np.ndarray[Any, Any]:
    """Return a frame or column of numbers as an array."""
    array = frame.to_numpy()
    if array.dtype.kind != "O":
        return array
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        kinds = {str(name): frame[name].dtype.kind for name in getattr(frame, "columns", ())}
        others = quote_names(name for name, kind in kinds.items() if kind not in "biufc")
        where = f" in {others}" if others else ""
        raise TypeError(
            f"The {type(frame).__name__} holds other things than numbers{where}: "
            "pandas.get_dummies, or .astype('category').cat.codes, turns words into numbers."
        ) from None


def as_tensors(model: nn.Module, inputs: Any) -> Any:
    """Return inputs with rows of numbers and arrays as tensors."""
    inputs = read_rows(inputs, model)
    several = isinstance(inputs, (Mapping, tuple, list)) and not hasattr(inputs, "_fields")
    if not several:
        return _as_tensors(model, (inputs,), None)[0]
    made = _as_tensors(model, inputs, None)
    return keep_kind(inputs, made) if isinstance(inputs, Mapping) and type(inputs) is not dict else made


def _as_tensors(model: nn.Module, given: Any, dtype: Any) -> Any:
    """Return inputs with arrays as tensors, in the dtypes asked for."""
    wanted: Any = dtype
    if isinstance(dtype, (list, tuple)) or (isinstance(dtype, Mapping) and not isinstance(given, Mapping)):
        if len(dtype) != len(given):
            raise ValueError(
                f"{len(given)} inputs and {len(dtype)} dtypes were given: one for each is wanted."
            )
        wanted = dict(enumerate(dtype))
    main = main_dtype(model)

    def read(value: Any, to: torch.dtype | None) -> Any:
        if isinstance(value, Mapping) and not isinstance(value, torch.Tensor):
            made = {key: read(part, to) for key, part in value.items()}
            return made if type(value) is dict else keep_kind(value, made)
        if isinstance(value, list) and value and isinstance(value[0], list):
            value = read_rows(value, model)
        if isinstance(value, (tuple, list)):
            parts = [read(part, to) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        if hasattr(type(value), "to_numpy"):
            value = read_frame(value)
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biufc":
            value = torch.from_numpy(np.array(value))
            # numpy's own default is float64, which nobody chose.
            real = value.is_floating_point() and main.is_floating_point
            value = value.to(main) if real or value.is_complex() and main.is_complex else value
        if isinstance(value, torch.Tensor) and to is not None and value.is_floating_point():
            value = value.to(to)
        return value

    def chosen(name: Any) -> torch.dtype | None:
        one = wanted.get(name) if isinstance(wanted, Mapping) else wanted
        return None if one is None else _dtype(one, main)

    if isinstance(given, Mapping):
        return {name: read(part, chosen(name)) for name, part in given.items()}
    return tuple(read(part, chosen(place)) for place, part in enumerate(given))


def from_shape(model: nn.Module, shape: Any, dtype: Any = None) -> list[Example]:
    """Read one shape, several, or a dict of them; return possible examples.

    The likeliest comes first: with a batch axis of 1 in front, except where a shape begins with None or -1,
    which stand for it. Should the model not take that, the shape is meant to have its batch axis already.
    Raises TypeError, ValueError: it is no shape.
    """
    shape = shape.tolist() if isinstance(shape, np.ndarray) else shape
    listed = isinstance(shape, (tuple, list)) and all(isinstance(one, (tuple, list)) for one in shape)
    given = shape if isinstance(shape, Mapping) else dict(enumerate(shape if listed and shape else [shape]))
    shapes = {name: _one_shape(one) for name, one in given.items()}
    types = dict.fromkeys(shapes, dtype)
    if isinstance(dtype, Mapping) and isinstance(shape, Mapping):
        types = {name: dtype.get(name) for name in shapes}
    elif listed and isinstance(dtype, Sequence) and not isinstance(dtype, str):
        if len(dtype) != len(shapes):
            raise ValueError(
                f"{len(shapes)} shapes and {len(dtype)} dtypes were given: one for each is wanted."
            )
        types = dict(enumerate(dtype))
    main = main_dtype(model)

    def made(batched: bool, *notes: str) -> Example:
        found = {}
        for name, one in shapes.items():
            sizes = [1 if size is None else size for size in one]
            front = [1] if batched and one[0] is not None else []
            found[name] = torch.empty(front + sizes, dtype=_dtype(types[name], main), device="meta")
        inputs = found if isinstance(shape, Mapping) else tuple(found.values())
        return Example(inputs, notes, typed=dtype is not None)

    if all(one[0] is None for one in shapes.values()):
        return [made(True)]
    return [made(True), made(False, "The shape is taken with its first axis as the batch.")]


def _readings(takes: Takes, given: Any) -> list[Example]:
    """Return what one input may mean, the likeliest first."""
    if isinstance(given, Mapping):
        extra = [] if takes.names is None else [key for key in given if key not in takes.names]
        left = f"Left out: {', '.join(map(str, extra))}, which the model's forward does not take."
        keywords = Example({key: value for key, value in given.items() if key not in extra}, (left,))
        some = 0 < len(extra) < len(given)
        if takes.as_one(given):
            return [Example((given,), guess=some), *([keywords] if some else [])]
        return [keywords if some else Example(dict(given))]
    if not isinstance(given, (tuple, list)) or hasattr(given, "_fields"):
        by_name = takes.first is None and takes.most == 0 and len(takes.needed) == 1
        return [Example({takes.needed[0]: given} if by_name else (given,))]
    if given == () and not takes.needed:
        return [Example(())]
    if not given:
        raise ValueError("input is empty: a batch is wanted.")
    one = takes.first is not None and len(takes.needed) <= 1
    if one and (isinstance(given, list) or (takes.most == 1 and len(given) > 1)):
        note = f"The {type(given).__name__} is given as it is, as the forward's one argument."
        return [Example((given,), (note,), guess=True), *_as_batch(takes, given)]
    return _as_batch(takes, given)


def _as_batch(takes: Takes, given: Any) -> list[Example]:
    """Read a tuple of inputs, or a batch with targets last."""
    needed, most = len(takes.needed), takes.most
    if isinstance(given, list):
        count = len(given) if len(given) == 1 else min(max(1, needed), len(given))
        if needed == 0 and most is None:
            count = max(1, len(given) - 1)  # forward(*inputs): all but the targets
    else:
        count = len(given) if most is None else min(len(given), max(1, most))
    only, nested = given[0], isinstance(given[0], (Mapping, tuple, list))
    note = (
        f"Of the {len(given)} entries the first {'is' if count == 1 else f'{count} are'} taken as input, "
        f"the rest as {'targets' if len(given) - count > 1 else 'target'}."
    )
    notes = () if count == len(given) else (note,)
    if count == 1 and nested and (notes or (isinstance(given, list) and isinstance(only, Mapping))):
        inner = _readings(takes, tuple(only) if isinstance(only, list) else only)
        if isinstance(only, list) and takes.first is not None and needed <= 1 < len(given):
            inner = [Example((only,), guess=True), *inner]
        return [replace(example, notes=(*notes, *example.notes)) for example in inner]
    return [Example(tuple(given[:count]), notes)]


def main_dtype(model: nn.Module) -> torch.dtype:
    """Return the dtype of the first real or complex weights."""
    types = (p.dtype for p in model.parameters() if p.is_floating_point() or p.is_complex())
    return next(types, torch.get_default_dtype())


def _one_shape(shape: Any) -> tuple[int | None, ...]:
    sizes = (shape,) if isinstance(shape, (int, np.integer)) and not isinstance(shape, bool) else shape
    if isinstance(shape, torch.Tensor):
        raise TypeError("input_shape is a tensor: a batch is given as input, as summary(model, X[:1]).")
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
    if found is float:
        return real
    if isinstance(found, (type, np.dtype)):
        with suppress(TypeError):
            found = torch.from_numpy(np.empty(0, found)).dtype
    if isinstance(found, torch.dtype):
        return found
    raise TypeError(f"dtype={dtype!r}: a torch dtype, as torch.float32 or torch.long, is wanted.")


def input_hint(layers: Sequence[Layer], call: str = "summary") -> str:
    """Say, where no input was given, which layer needs what.

    `call` is how the function is reached that takes an input.
    """
    if unready := say_unready(layers, call):
        return unready
    names = Takes.of(layers[0].module).needed
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
