"""A module as the Python expression that makes it, checked by making it and comparing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from ..base.isolation import preserve_random_state
from ..layers.structure import Structure, structure
from .calls import calls, guesses, is_plain
from .sources import Sources, Unwritable
from .text import format_call


def expression(
    module: nn.Module,
    sources: Sources,
    wanted: Structure | None = None,
    texts: tuple[str, ...] = (),
    same: Callable[[nn.Module], bool] = lambda built: True,
) -> tuple[str, nn.Module]:
    """Return the expression that makes a module of the same structure, and what it makes.

    Its classes and imports are noted in `sources`.

    Parameters
    ----------
    wanted : its structure; None: as it is now.
    texts : cells or files in which the call that made it may be found.
    same : says of a module of that structure whether it does the same.

    Raises
    ------
    Unwritable : its class, or the arguments it was made with, are not to be had, in a sentence.
    """
    for made in _candidates(module, sources, texts):
        if (built := _made(made, wanted or structure(module))) is not None and same(built):
            sources.use_all(made)
            return made.text, built
    raise Unwritable(f"the arguments that {type(module).__name__} was made with are not known")


@dataclass(frozen=True)
class Made:
    """A way to make a module: the text, what makes it, and the classes that it names."""

    text: str
    make: Callable[[], nn.Module]
    names: tuple[Any, ...] = ()


def _made(made: Made, wanted: Structure) -> nn.Module | None:
    """Return what is made, if it has the structure that is wanted."""
    try:
        with preserve_random_state():
            built = made.make()
        return built if structure(built) == wanted else None
    except Exception:  # noqa: BLE001 - a guess that does not fit may raise anything
        return None


def _candidates(module: nn.Module, sources: Sources, texts: tuple[str, ...]) -> Iterator[Made]:
    kind = type_before_parametrizations(module)
    if kind is nn.Sequential:
        yield from _sequential(module, sources, texts)
        return
    name = sources.name_of(kind)
    if not kind.__module__.startswith("torch.nn."):
        yield Made(f"{name}()", kind, (kind,))
        for args, kwargs in calls(kind, texts):
            yield Made(format_call(name, args, kwargs), lambda a=args, k=kwargs: kind(*a, **k), (kind,))
    args, kwargs = _from_attributes(module, sources, texts)
    if args is not None:
        used = tuple(
            name for one in (*args, *kwargs.values()) if isinstance(one, _Literal) for name in one.names
        )

        def make() -> nn.Module:
            return kind(*map(_value, args), **{key: _value(one) for key, one in kwargs.items()})

        yield Made(format_call(name, args, kwargs), make, (kind, *used))
    if not kind.__module__.startswith("torch.nn."):
        for kwargs in guesses(module):
            yield Made(format_call(name, [], kwargs), lambda k=kwargs: kind(**k), (kind,))


def _sequential(module: nn.Module, sources: Sources, texts: tuple[str, ...]) -> Iterator[Made]:
    children = []
    for name, child in module._modules.items():
        found = None
        for made in _candidates(child, sources, texts):
            if _made(made, structure(child)) is not None:
                found = made
                break
        if found is None:
            raise Unwritable(
                f"the arguments that {type(child).__name__} (layer {name!r}) was made with are not known"
            )
        children.append((name, found))
    used = tuple(one for _, made in children for one in made.names)
    head = sources.name_of(nn.Sequential)
    if [name for name, _ in children] == [str(i) for i in range(len(children))]:
        text = format_call(head, [Raw(made.text) for _, made in children], {}, open_up=True)
        yield Made(
            text, lambda: nn.Sequential(*(made.make() for _, made in children)), (nn.Sequential, *used)
        )
        return
    from collections import OrderedDict

    pairs = ",\n".join(f"    ({name!r}, {made.text})" for name, made in children)
    dictionary = f"OrderedDict([\n{pairs},\n])"
    yield Made(
        f"{head}({dictionary})",
        lambda: nn.Sequential(OrderedDict((name, made.make()) for name, made in children)),
        (nn.Sequential, OrderedDict, *used),
    )


class Raw(str):
    """Text that is an expression already, whose repr is itself."""

    def __repr__(self) -> str:
        return str(self)


#: Flags that a layer of torch keeps as whether it has a parameter.
_AS_PARAMETER = {"bias": ("bias", "in_proj_bias", "bias_ih_l0"), "add_bias_kv": ("bias_k",)}


def _from_attributes(module: nn.Module, sources: Sources, texts: tuple[str, ...]) -> tuple[Any, Any]:
    """Return a module's arguments, as its attributes of the same names have them; (None, None) without."""
    parameters = list(inspect.signature(type_before_parametrizations(module).__init__).parameters.values())[
        1:
    ]
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        name, required = parameter.name, parameter.default is parameter.empty
        if name in ("device", "_weight", "_freeze"):
            continue
        known, value = _attribute(module, name, parameter.default)
        if isinstance(value, nn.Module):
            known, value = _part(value, sources, texts)
        if not known:
            if required:
                return None, None
            continue
        if name == "stride" and hasattr(module, "kernel_size") and parameter.default is None:
            if _whole(value) == _whole(module.kernel_size):
                continue  # as a pool has it
        first = not args and not kwargs and name in ("p", "negative_slope", "upscale_factor")
        if (required or first) and parameter.kind is not parameter.KEYWORD_ONLY:
            if required or not _equal(value, parameter.default):
                args.append(value)
        elif required or not _equal(value, parameter.default):
            kwargs[name] = value
    return args, kwargs


def _attribute(module: nn.Module, name: str, default: Any) -> tuple[bool, Any]:
    if name == "dtype":
        found = next(
            (t.dtype for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()), None
        )
        return found is not None and found is not torch.get_default_dtype(), found
    if name == "inplace" and not hasattr(module, name):
        return False, None
    value = getattr(module, name, inspect.Parameter.empty)
    if name in _AS_PARAMETER and (isinstance(default, bool) or isinstance(value, nn.Parameter)):
        if isinstance(value, bool):
            return True, value
        kept = [getattr(module, one) for one in _AS_PARAMETER[name] if hasattr(module, one)]
        return (True, any(one is not None for one in kept)) if kept else (False, None)
    if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter) and value.numel() <= 64:
        kind = "" if value.dtype in (torch.float32, torch.int64) else f", dtype={value.dtype}"
        if torch.equal(torch.tensor(value.tolist(), dtype=value.dtype), value.cpu()):
            return True, _Literal(value, Raw(f"torch.tensor({value.tolist()!r}{kind})"))
    if isinstance(value, nn.Module):
        return True, value
    if not is_plain(value):
        return False, None
    # What stands for one number in each direction reads better as that number.
    each_way = ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size")
    if name in each_way and isinstance(value, tuple) and len(value) > 1 and len(set(value)) == 1:
        return True, value[0]
    return True, value


def _part(module: nn.Module, sources: Sources, texts: tuple[str, ...]) -> tuple[bool, Any]:
    """Return a module that another was given, as an argument."""
    try:
        for made in _candidates(module, sources, texts):
            if _made(made, structure(module)) is not None:
                return True, _Literal(None, made.text, made.make, made.names)
    except Unwritable:
        pass
    return False, None


class _Literal:
    """A value that is written otherwise than by its repr, or made anew each time."""

    def __init__(self, value: Any, text: str, make: Any = None, names: tuple[Any, ...] = ()) -> None:
        self.value, self._text, self.make, self.names = value, text, make, names

    def __repr__(self) -> str:
        return str(self._text)


def _whole(size: Any) -> Any:
    return size[0] if isinstance(size, tuple) and len(set(size)) == 1 else size


def _value(one: Any) -> Any:
    if not isinstance(one, _Literal):
        return one
    return one.value if one.make is None else one.make()


def _equal(value: Any, default: Any) -> bool:
    if isinstance(value, _Literal):
        return False
    return type(value) in (type(default), int, float) and bool(value == default)
