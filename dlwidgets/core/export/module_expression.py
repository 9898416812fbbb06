"""A module as the Python expression that makes it, checked by running."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import itertools
import sys
import time
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from ..base.isolation import preserve_random_state
from ..base.literals import format_literal, is_plain
from ..layers.structure import Structure, bare_structure, expression_of, structure
from ..layers.walk import uncompiled
from .sources import Sources, Unwritable, is_installed
from .text import format_call

#: How many guesses are made at most, and for how long [s].
_TRIES, _PATIENCE = 2000, 3.0
#: How many of them are looked through for layers that were exchanged.
_EXCHANGED = 20
#: Flags that a layer of torch keeps as whether it has a parameter.
_AS_PARAMETER = {"bias": ("bias", "in_proj_bias", "bias_ih_l0"), "add_bias_kv": ("bias_k",)}
#: Arguments that may be one number for all directions.
_EACH_WAY = ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size")
_UNKNOWN = inspect.Parameter.empty


@dataclass(frozen=True, eq=False, repr=False)
class Candidate:
    """A way to make something: its text, function and classes."""

    text: str
    make: Callable[[], Any]
    names: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return self.text

    def gives(self, wanted: Structure) -> Any:
        """Return what is made, if it has the structure that is wanted."""
        try:
            with preserve_random_state():
                built = self.make()
            return built if bare_structure(built) == wanted else None
        except Exception:  # noqa: BLE001 - a guess that does not fit may raise anything
            return None


def write_module(
    module: nn.Module,
    sources: Sources,
    wanted: Structure | None = None,
    texts: tuple[str, ...] = (),
    same: Callable[[nn.Module], bool] = lambda built: True,
) -> tuple[str, nn.Module]:
    """Return the expression for such a module, and what it makes.

    What is put on its weights, as by `torch.nn.utils.parametrizations`, is left out where its class does not
    put it on itself.

    Parameters
    ----------
    wanted : its structure; None: as it is now.
    texts : cells or files in which the call that made it may be found.
    same : says of a module of that structure whether it does the same.
    """
    wanted = bare_structure(module, wanted)
    for made in _find_candidates(module, sources, texts):
        if (built := made.gives(wanted)) is not None and same(built):
            for item in made.names:
                sources.use(item)
            return made.text, built
    raise Unwritable(f"the arguments that {type(module).__name__} was made with are not known")


def write_exchanged(
    module: nn.Module,
    sources: Sources,
    wanted: Structure,
    texts: tuple[str, ...],
    same: Callable[[nn.Module], bool],
) -> tuple[str, list[str], nn.Module]:
    """Return an expression, lines that exchange layers of it, and the model.

    For a model some of whose layers were put in after it was made, as by `model.fc = nn.Linear(8, 3)`. The parameters
    are those of `write_module`.
    """
    for made in itertools.islice(_find_candidates(module, sources, texts), _EXCHANGED):
        try:
            with preserve_random_state():
                built = made.make()
                lines = list(_exchange(built, module, sources, built, ""))
            if lines and bare_structure(built) == wanted and same(built):
                for item in made.names:
                    sources.use(item)
                return made.text, lines, built
        except Exception:  # noqa: BLE001 - a guess that does not fit may raise anything
            continue
    raise Unwritable(f"the arguments that {type(module).__name__} was made with are not known")


def _exchange(built: nn.Module, module: nn.Module, sources: Sources, whole: nn.Module, path: str) -> Iterator[str]:
    """Make a module like another; yield the lines that do so."""
    for name, child in module._modules.items():
        other, place = built._modules.get(name), f"{path}.{name}" if path else name
        if child is None or (other is not None and bare_structure(child) == bare_structure(other)):
            continue
        if type(other) is type(child) and child._modules and child._modules.keys() == other._modules.keys():
            yield from _exchange(other, child, sources, whole, place)
        else:
            text, built._modules[name] = write_module(child, sources)
            yield f"{expression_of(whole, place)} = {text}"
    for name, value in structure(module).modules[0][2]:
        if getattr(built, name, None) != value and type(value) in (bool, int, float, str):
            setattr(built, name, value)
            yield f"{expression_of(whole, path)}.{name} = {value!r}"


def _find_candidates(module: nn.Module, sources: Sources, texts: tuple[str, ...]) -> Iterator[Candidate]:
    if uncompiled(module) is not module:
        inner = _find_fitting(uncompiled(module), sources, texts)
        if inner is not None:
            kwargs = read_compilation(module)
            text = format_call("torch.compile", [inner.text], kwargs)
            yield Candidate(text, lambda: torch.compile(inner.make(), **kwargs), inner.names)
            sources.imports.add("import torch")
        return
    kind = type_before_parametrizations(module)
    if kind is nn.Sequential:
        yield _write_sequential(module, sources, texts)
        return
    name, own = sources.name_of(kind), not kind.__module__.startswith("torch.nn.")

    def call(args: list[Any], kwargs: dict[str, Any]) -> Candidate:
        inside = [one for one in (*args, *kwargs.values()) if isinstance(one, Candidate)]
        names = (kind, *(item for one in inside for item in one.names))

        def value(one: Any) -> Any:
            return one.make() if isinstance(one, Candidate) else one

        def make() -> nn.Module:
            return kind(*map(value, args), **{key: value(one) for key, one in kwargs.items()})

        return Candidate(format_call(name, map(repr, args), kwargs), make, names)

    if own:
        if (config := _write_config(module, sources)) is not None:
            yield call([config], {})
        yield from find_makers(kind, sources, texts)
        yield call([], {})
        yield from (call(*found) for found in find_calls(kind, texts))
    if (read := _read_arguments(module, sources, texts)) is not None:
        yield call(*read)
    if own:
        yield from (call([], guessed) for guessed in guess_arguments(module))


def read_compilation(model: nn.Module) -> dict[str, Any]:
    """Return the arguments with which a model was compiled."""
    from torch._dynamo.eval_frame import innermost_backend

    context: Any = getattr(model, "dynamo_ctx", None)
    if context is None:  # in place, as by model.compile()
        context = inspect.getclosurevars(model._compiled_call_impl).nonlocals["self"]
    backend, found = innermost_backend(context.callback), dict[str, Any]()
    if isinstance(backend, torch._TorchCompileInductorWrapper):
        options = backend.config
    elif isinstance(backend, torch._TorchCompileWrapper) and _is_backend(backend.compiler_name):
        found["backend"], options = backend.compiler_name, backend.kwargs.get("options")
    else:
        name = getattr(backend, "compiler_name", getattr(backend, "__name__", type(backend).__name__))
        raise Unwritable(
            f"the model was compiled with the function {name}, which torch knows by no name: compile it with a "
            'backend that has one, as backend="inductor", or train the model that is not compiled'
        )
    found |= {"options": dict(options)} if options else {}
    if (dynamic := getattr(context, "_dynamic", None)) is not None:
        found["dynamic"] = dynamic
    return found | ({"fullgraph": True} if getattr(context, "fullgraph", False) else {})


def _is_backend(name: Any) -> bool:
    return isinstance(name, str) and name in torch._dynamo.list_backends(exclude_tags=())


def _find_fitting(module: nn.Module, sources: Sources, texts: tuple[str, ...]) -> Candidate | None:
    candidates = _find_candidates(module, sources, texts)
    return next((made for made in candidates if made.gives(bare_structure(module)) is not None), None)


def _write_sequential(module: nn.Module, sources: Sources, texts: tuple[str, ...]) -> Candidate:
    children: dict[str, Candidate] = {}
    for name, child in module._modules.items():
        if (found := _find_fitting(child, sources, texts)) is None:
            layer = f"{type(child).__name__} (layer {name!r})"
            raise Unwritable(f"the arguments that {layer} was made with are not known")
        children[name] = found
    names = [nn.Sequential, *(item for made in children.values() for item in made.names)]
    head = sources.name_of(nn.Sequential)
    if [*children] == [str(number) for number in range(len(children))]:
        text = format_call(head, [made.text for made in children.values()], {}, open_up=True)
    else:
        pairs = ",\n".join(f"    ({name!r}, {made.text})" for name, made in children.items())
        text = f"{head}(OrderedDict([\n{pairs},\n]))"
        names.append(OrderedDict)

    def make() -> nn.Module:
        return nn.Sequential(OrderedDict((name, made.make()) for name, made in children.items()))

    return Candidate(text, make, tuple(names))


def _parameters(module: nn.Module) -> list[inspect.Parameter]:
    """Return what a module is made with, but for `*args` and `**kwargs`."""
    signature = inspect.signature(type_before_parametrizations(module).__init__)
    return [
        one for one in [*signature.parameters.values()][1:]
        if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]  # fmt: skip


def _read_arguments(
    module: nn.Module, sources: Sources, texts: tuple[str, ...]
) -> tuple[list[Any], dict[str, Any]] | None:
    """Read a module's arguments off its attributes, if all are there."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for parameter in _parameters(module):
        name, required = parameter.name, parameter.default is parameter.empty
        if name in ("device", "_weight", "_freeze"):
            continue
        value = _read_attribute(module, name, parameter.default)
        if isinstance(value, nn.Module):
            part, value = value, _UNKNOWN
            with contextlib.suppress(Unwritable):
                value = _find_fitting(part, sources, texts) or _UNKNOWN
        if value is _UNKNOWN:
            if required:
                return None
            continue
        if name == "stride" and hasattr(module, "kernel_size") and parameter.default is None:
            if _simplify_size(value) == _simplify_size(module.kernel_size):
                continue  # as a pool has it
        usual = type(value) in (type(parameter.default), int, float) and bool(value == parameter.default)
        if usual and not required:
            continue
        first = not args and not kwargs and name in ("p", "negative_slope", "upscale_factor")
        if (required or first) and parameter.kind is not parameter.KEYWORD_ONLY:
            args.append(value)
        else:
            kwargs[name] = value
    return args, kwargs


def _read_attribute(module: nn.Module, name: str, default: Any) -> Any:
    if name == "dtype":
        tensors = (*module.parameters(), *module.buffers())
        found = next((t.dtype for t in tensors if t.is_floating_point()), None)
        return _UNKNOWN if found in (None, torch.get_default_dtype()) else found
    value = getattr(module, name, _UNKNOWN)
    if name in _AS_PARAMETER and (type(default) is bool or isinstance(value, nn.Parameter)):
        if not isinstance(value, bool):
            kept = [getattr(module, one) for one in _AS_PARAMETER[name] if hasattr(module, one)]
            return any(one is not None for one in kept) if kept else _UNKNOWN
    if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter) and value.numel() <= 64:
        kind = "" if value.dtype in (torch.float32, torch.int64) else f", dtype={value.dtype}"
        if torch.equal(torch.tensor(value.tolist(), dtype=value.dtype), value.cpu()):
            return Candidate(f"torch.tensor({value.tolist()!r}{kind})", lambda: value)
    if isinstance(value, nn.Module):
        return value
    if not is_plain(value):
        return _UNKNOWN
    # What stands for one number in each direction reads better as that number.
    several = name in _EACH_WAY and isinstance(value, tuple) and len(value) > 1
    return _simplify_size(value) if several else value


#: What a configuration says of itself, and not of the model.
_OF_CONFIG = ("transformers_version", "model_type", "architectures", "dtype", "torch_dtype")


def _write_config(module: nn.Module, sources: Sources) -> Candidate | None:
    """Return the call that makes a model's configuration."""
    config = getattr(module, "config", None)
    if not hasattr(config, "to_diff_dict") or not is_installed(type(config).__module__):
        return None
    kind, given = type(config), {k: v for k, v in config.to_diff_dict().items() if k not in _OF_CONFIG}
    if not all(format_literal(value) is not None for value in given.values()):
        return None
    return Candidate(format_call(sources.name_of(kind), [], given), lambda: kind(**given), (kind,))


def find_makers(kind: type[Any], sources: Sources, texts: tuple[str, ...]) -> Iterator[Candidate]:
    """Yield calls of a package's functions that make its classes.

    As `torchvision.models.resnet18(num_classes=10)`: without the trained weights that they would fetch.
    """
    package = kind.__module__.partition(".")[0]
    if not is_installed(kind.__module__):
        return
    for function, node, scope in _calls_in(texts):
        if not inspect.isfunction(function) or function.__module__.partition(".")[0] != package:
            continue
        trained = [name for name in inspect.signature(function).parameters if name.startswith("weights")]
        try:
            args = [_evaluate(arg, scope) for arg in node.args]
            given = {str(one.arg): _evaluate(one.value, scope) for one in node.keywords if one.arg not in trained}
        except (ValueError, LookupError, AttributeError, TypeError):
            continue
        given |= dict.fromkeys(trained)
        text = format_call(sources.name_of(function), map(repr, args), given)
        yield Candidate(text, functools.partial(function, *args, **given), (function,))


def _calls_in(texts: tuple[str, ...]) -> Iterator[tuple[Any, ast.Call, dict[str, Any]]]:
    """Yield what is called in texts, the last call first."""
    scope = vars(sys.modules.get("__main__", object))
    for node in _call_nodes(texts):
        path, function = ast.unparse(node.func), None
        if all(map(str.isidentifier, names := path.split("."))):
            function = scope.get(names[0])
            for name in names[1:]:
                function = vars(function).get(name) if isinstance(function, types.ModuleType) else None
        if function is not None:
            yield function, node, dict(scope)


def _call_nodes(texts: tuple[str, ...]) -> Iterator[ast.Call]:
    """Yield the calls in texts of Python, the last first."""
    for text in reversed(texts):
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        yield from reversed([node for node in ast.walk(tree) if isinstance(node, ast.Call)])


def _simplify_size(size: Any) -> Any:
    return size[0] if isinstance(size, tuple) and len(set(size)) == 1 else size


def guess_arguments(module: nn.Module) -> Iterator[dict[str, Any]]:
    """Guess a module's arguments from the sizes of its weights."""
    choices: dict[str, list[Any]] = {}
    sizes = [size for p in module.parameters() for size in p.shape][::-1]
    sizes += [len(one) for one in module.modules() if isinstance(one, nn.ModuleList)]
    sizes = list(dict.fromkeys(sizes))[:12]
    for parameter in _parameters(module):
        required = parameter.default is parameter.empty
        known = vars(module).get(parameter.name, _UNKNOWN)
        if is_plain(known):
            choices[parameter.name] = [known]
        elif required or type(parameter.default) is int:
            choices[parameter.name] = [*([] if required else [parameter.default]), *sizes]
    began = time.perf_counter()
    for made in itertools.islice(itertools.product(*choices.values()), _TRIES):
        if time.perf_counter() - began > _PATIENCE:
            return
        yield dict(zip(choices, made))


def find_calls(kind: type[Any], texts: tuple[str, ...]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Yield the plain arguments of a class's calls in texts, last first."""
    scope = {**vars(sys.modules.get("__main__", object)), **vars(sys.modules.get(kind.__module__, object))}
    seen = []
    for node in _call_nodes(texts):
        if kind.__name__ not in (getattr(node.func, "attr", None), getattr(node.func, "id", None)):
            continue
        try:
            args = [_evaluate(arg, scope) for arg in node.args]
            kwargs = {str(one.arg): _evaluate(one.value, scope) for one in node.keywords}
        except (ValueError, LookupError, AttributeError, TypeError):
            continue
        if (args, kwargs) not in seen:
            seen.append((args, kwargs))
            yield args, kwargs


def _evaluate(node: Any, scope: Mapping[str, Any]) -> Any:
    """Evaluate constants, names, lengths and shapes, without running anything."""
    if isinstance(node, ast.Name):
        value = scope[node.id]
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "len" and len(node.args) == 1:
        value = len(scope[node.args[0].id])
    elif isinstance(node, ast.Subscript) and getattr(node.value, "attr", "") == "shape":
        value = scope[node.value.value.id].shape[ast.literal_eval(node.slice)]
    else:
        value = ast.literal_eval(node)
    if format_literal(value) is None:
        raise ValueError
    return value


def read_texts(kind: type[Any]) -> tuple[str, ...]:
    """Return texts that may call a class: files, then cells."""
    main = sys.modules.get("__main__")
    texts = []
    for module in (sys.modules.get(kind.__module__), main):
        path = getattr(module, "__file__", None)
        if path and module is not None and not is_installed(module.__name__):
            with contextlib.suppress(OSError):
                texts.append(Path(path).read_text("utf-8"))
    return (*texts, *(cell for cell in vars(main or object).get("In", []) if isinstance(cell, str)))
