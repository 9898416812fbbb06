"""The arguments that a class may have been called with: as calls in cells and files have them, or guessed."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from ..base.literals import format_literal, is_plain
from .sources import is_installed

#: How many guesses are made at most, and for how long [s].
_TRIES, _PATIENCE = 2000, 3.0


def guesses(module: nn.Module) -> Iterator[dict[str, Any]]:
    """Yield arguments that a module may have been made with, from the sizes of its weights.

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


def calls(kind: type[Any], texts: tuple[str, ...]) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Yield the arguments of the calls of a class that stand in some texts, the last first, where plain."""
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
                args = [_evaluated(arg, scope) for arg in node.args]
                kwargs = {str(one.arg): _evaluated(one.value, scope) for one in node.keywords}
            except (ValueError, LookupError, AttributeError, TypeError):
                continue
            if (args, kwargs) not in seen:
                seen.append((args, kwargs))
                yield args, kwargs


def _evaluated(node: ast.AST, scope: Mapping[str, Any]) -> Any:
    """Return the value of an expression that runs nothing: constants, names of them, lengths and shapes."""
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


def texts_of(kind: type[Any]) -> tuple[str, ...]:
    """Return texts in which a class may have been called: a notebook's cells, the file of the program."""
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
