"""A module as the Python expression that makes it, checked by running."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from ..base.isolation import preserve_random_state
from ..base.literals import format_literal, is_plain
from ..layers.structure import Structure, structure
from .sources import Sources, Unwritable, is_installed
from .text import format_call

#: How many guesses are made at most, and for how long [s].
_TRIES, _PATIENCE = 2000, 3.0


def write_module(
    module: nn.Module,
    sources: Sources,
    wanted: Structure | None = None,
    texts: tuple[str, ...] = (),
    same: Callable[[nn.Module], bool] = lambda built: True,
) -> tuple[str, nn.Module]:
    """Return the expression for such a module, and what it makes.

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
    for made in _find_candidates(module, sources, texts):
        if (built := _try(made, wanted or structure(module))) is not None and same(built):
            sources.use_all(made)
            return made.text, built
    raise Unwritable(f"the arguments that {type(module).__name__} was made with are not known")


@dataclass(frozen=True)
class Candidate:
    """A way to make a module: its text, function and classes."""

    text: str
    make: Callable[[], nn.Module]
    names: tuple[Any, ...] = ()


def _try(made: Candidate, wanted: Structure) -> nn.Module | None:
    """Return what is made, if it has the structure that is wanted."""
    try:
        with preserve_random_state():
            built = made.make()
        return built if structure(built) == wanted else None
    except Exception:  # noqa: BLE001 - a guess that does not fit may raise anything
        return None


def _find_candidates(module: nn.Module, sources: Sources, texts: tuple[str, ...]) -> Iterator[Candidate]:
    kind = type_before_parametrizations(module)
    if kind is nn.Sequential:
        yield from _sequential_candidates(module, sources, texts)
        return
    name = sources.name_of(kind)
    if not kind.__module__.startswith("torch.nn."):
        yield Candidate(f"{name}()", kind, (kind,))
        for args, kwargs in find_calls(kind, texts):
            yield Candidate(format_call(name, args, kwargs), lambda a=args, k=kwargs: kind(*a, **k), (kind,))
    args, kwargs = _read_attributes(module, sources, texts)
    if args is not None:
        used = tuple(
            name for one in (*args, *kwargs.values()) if isinstance(one, _Literal) for name in one.names
        )

        def make() -> nn.Module:
            return kind(*map(_value, args), **{key: _value(one) for key, one in kwargs.items()})

        yield Candidate(format_call(name, args, kwargs), make, (kind, *used))
    if not kind.__module__.startswith("torch.nn."):
        for kwargs in guess_arguments(module):
            yield Candidate(format_call(name, [], kwargs), lambda k=kwargs: kind(**k), (kind,))


def _sequential_candidates(
    module: nn.Module, sources: Sources, texts: tuple[str, ...]
) -> Iterator[Candidate]:
    children = []
    for name, child in module._modules.items():
        found = None
        for made in _find_candidates(child, sources, texts):
            if _try(made, structure(child)) is not None:
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
        yield Candidate(
            text, lambda: nn.Sequential(*(made.make() for _, made in children)), (nn.Sequential, *used)
        )
        return
    from collections import OrderedDict

    pairs = ",\n".join(f"    ({name!r}, {made.text})" for name, made in children)
    dictionary = f"OrderedDict([\n{pairs},\n])"
    yield Candidate(
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


def _read_attributes(module: nn.Module, sources: Sources, texts: tuple[str, ...]) -> tuple[Any, Any]:
    """Read a module's arguments off its attributes, or return (None, None)."""
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
        known, value = _read_attribute(module, name, parameter.default)
        if isinstance(value, nn.Module):
            known, value = _read_part(value, sources, texts)
        if not known:
            if required:
                return None, None
            continue
        if name == "stride" and hasattr(module, "kernel_size") and parameter.default is None:
            if _simplify_size(value) == _simplify_size(module.kernel_size):
                continue  # as a pool has it
        first = not args and not kwargs and name in ("p", "negative_slope", "upscale_factor")
        if (required or first) and parameter.kind is not parameter.KEYWORD_ONLY:
            if required or not _is_equal(value, parameter.default):
                args.append(value)
        elif required or not _is_equal(value, parameter.default):
            kwargs[name] = value
    return args, kwargs


def _read_attribute(module: nn.Module, name: str, default: Any) -> tuple[bool, Any]:
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


def _read_part(module: nn.Module, sources: Sources, texts: tuple[str, ...]) -> tuple[bool, Any]:
    """Return a module that another was given, as an argument."""
    try:
        for made in _find_candidates(module, sources, texts):
            if _try(made, structure(module)) is not None:
                return True, _Literal(None, made.text, made.make, made.names)
    except Unwritable:
        pass
    return False, None


class _Literal:
    """A value that is not written by its repr, or made anew."""

    def __init__(self, value: Any, text: str, make: Any = None, names: tuple[Any, ...] = ()) -> None:
        self.value, self._text, self.make, self.names = value, text, make, names

    def __repr__(self) -> str:
        return str(self._text)


def _simplify_size(size: Any) -> Any:
    return size[0] if isinstance(size, tuple) and len(set(size)) == 1 else size


def _value(one: Any) -> Any:
    if not isinstance(one, _Literal):
        return one
    return one.value if one.make is None else one.make()


def _is_equal(value: Any, default: Any) -> bool:
    if isinstance(value, _Literal):
        return False
    return type(value) in (type(default), int, float) and bool(value == default)


def guess_arguments(module: nn.Module) -> Iterator[dict[str, Any]]:
    """Guess a module's arguments from the sizes of its weights.

    Whoever asks makes it with them and compares.
    """
    choices: dict[str, list[Any]] = {}
    sizes = [size for p in module.parameters() for size in p.shape]
    sizes = list(
        dict.fromkeys(
            [*reversed(sizes), *(len(one) for one in module.modules() if isinstance(one, nn.ModuleList))]
        )
    )
    for parameter in list(
        inspect.signature(type_before_parametrizations(module).__init__).parameters.values()
    )[1:]:
        required = parameter.default is parameter.empty
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        known = vars(module).get(parameter.name, parameter.empty)
        if known is not parameter.empty and is_plain(known):
            choices[parameter.name] = [known]
        elif required or type(parameter.default) is int:
            choices[parameter.name] = [*([] if required else [parameter.default]), *sizes[:12]]
    began = time.perf_counter()
    for made in itertools.islice(itertools.product(*choices.values()), _TRIES):
        if time.perf_counter() - began > _PATIENCE:
            return
        yield dict(zip(choices, made))


def find_calls(kind: type[Any], texts: tuple[str, ...]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Yield the plain arguments of a class's calls in texts, last first."""
    scope = {**vars(sys.modules.get("__main__", object)), **vars(sys.modules.get(kind.__module__, object))}
    seen = []
    for text in reversed(texts):
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        for node in reversed(list(ast.walk(tree))):
            if not isinstance(node, ast.Call):
                continue
            called = (
                node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            )
            if called != kind.__name__:
                continue
            try:
                args = [_evaluate(arg, scope) for arg in node.args]
                kwargs = {str(one.arg): _evaluate(one.value, scope) for one in node.keywords}
            except (ValueError, LookupError, AttributeError, TypeError):
                continue
            if (args, kwargs) not in seen:
                seen.append((args, kwargs))
                yield args, kwargs


def _evaluate(node: ast.AST, scope: Mapping[str, Any]) -> Any:
    """Evaluate constants, names, lengths and shapes, without running anything."""
    if isinstance(node, ast.Name):
        value = scope[node.id]
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "len" and len(node.args) == 1:
        value = len(scope[node.args[0].id]) if isinstance(node.args[0], ast.Name) else None
    elif (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "shape"
    ):
        value = scope[node.value.value.id].shape[ast.literal_eval(node.slice)]  # type: ignore[attr-defined]
    else:
        value = ast.literal_eval(node)  # type: ignore[arg-type]
    if format_literal(value) is None:
        raise ValueError
    return value


def read_texts(kind: type[Any]) -> tuple[str, ...]:
    """Return texts that may call a class: cells and files."""
    main = sys.modules.get("__main__")
    cells = [cell for cell in vars(main).get("In", []) if isinstance(cell, str)] if main else []
    files = []
    for module in (sys.modules.get(kind.__module__), main):
        path = getattr(module, "__file__", None)
        if path and not is_installed(module.__name__ if module else ""):
            try:
                with open(path, encoding="utf-8") as file:
                    files.append(file.read())
            except OSError:
                continue
    return (*files, *cells)
