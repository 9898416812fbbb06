"""The names a script needs, imported, or written out with their source."""

from __future__ import annotations
import __future__

import ast
import contextlib
import inspect
import linecache
import symtable
import sys
import textwrap
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..base.literals import Unwritable, format_literal
from ..base.state import same_state
from ..base.words import quote_error
from ..layers.framework import public_module
from .text import use_double_quotes

#: Must be the first line of code where it is.
_FUTURE = "from __future__ import annotations"


class Sources:
    """Imports and definitions of a script, gathered as names are asked for.

    A class or function of an installed package is imported. What was defined in a notebook, a program or any
    other file is written out with its source, and with all that the source names: other functions and
    classes, modules, and constants.
    """

    def __init__(self) -> None:
        self.imports: set[str] = set()
        #: name -> source, in the order in which they can be run.
        self.definitions: dict[str, str] = {}
        #: What makes an object of another kind, and the names that it made.
        self.bring_object: Callable[[str, Any], None] | None = None
        self.brought: set[str] = set()
        #: What a variable was, where it changes in the run.
        self.first_value: Callable[[str, Any], Any] = lambda name, value: value
        self._objects: dict[str, Any] = {}
        self._under_way: set[str] = set()

    def name_of(self, item: Any) -> str:
        """Return a class's or function's name in the script; note nothing."""
        return _known_name(item) or item.__name__

    def use(self, item: Any) -> str:
        """Note a class's or function's import or source; return its name."""
        if (known := _known_name(item)) is not None:
            self.imports.add("import torch" if known.startswith("torch.") else "from torch import nn")
            return known
        name = getattr(item, "__name__", "")
        if is_installed(getattr(item, "__module__", None) or "") and (home := _find_home(name, item)):
            self.imports.add(f"from {home} import {name}")
            self._claim(name, item)
        elif name not in self._under_way and not (
            name in self.definitions and self._objects.get(name) is item
        ):
            if not isinstance(item, (type, types.FunctionType)):
                raise Unwritable(f"of type {type(item).__name__} has no source that can be written out")
            source = _find_source(item)
            self._claim(name, item)
            self._under_way.add(name)
            try:
                self._resolve(source, item)
            finally:
                self._under_way.discard(name)
            self.definitions[name] = source
        return name

    def use_function(self, function: Any) -> str:
        """Do as `use`, but return a lambda's own text."""
        if getattr(function, "__name__", "") != "<lambda>":
            return self.use(function)
        source = _find_lambda_source(function)
        self._resolve(source, function)
        return source

    def objects(self) -> dict[str, Any]:
        """Return what the names mean that were written out or imported."""
        return dict(self._objects)

    def imports_text(self, before: str = "") -> str:
        """Return the imports, `before` and the standard library's first."""
        future = [one for one in (_FUTURE if _FUTURE in self.imports else "", before) if one]
        merged: dict[str, list[str]] = {}
        for line in sorted(self.imports - {_FUTURE}, key=lambda line: (line.startswith("from"), line.lower())):
            head, _, name = line.partition(" import ")
            merged.setdefault(head, []).append(name)
        groups: dict[bool, list[str]] = {False: [], True: []}
        for head, names in merged.items():
            installed = head.split()[1].split(".")[0] not in sys.stdlib_module_names
            groups[installed].append(f"{head} import {', '.join(names)}" if names[0] else head)
        return "\n\n".join([*future, *("\n".join(group) for group in groups.values() if group)])

    def _claim(self, name: str, item: Any) -> None:
        there = self._objects.setdefault(name, item)
        if there is not item and not same_state(there, item):
            raise Unwritable(f"there are two different things called {name!r}")

    def _resolve(self, source: str, item: Any) -> None:
        """Note all that a source names and does not bring itself."""
        scope = _scope(item)
        if scope.get("annotations") is __future__.annotations:
            self.imports.add(_FUTURE)  # its annotations may name what is defined only later
        for name in _find_free_names(source):
            # One that is not there would be an error in the notebook, too.
            if name != getattr(item, "__name__", None) and name in scope:
                self._bring(name, self.first_value(name, scope[name]), item)

    def _bring(self, name: str, value: Any, user: Any) -> None:
        if isinstance(value, types.ModuleType):
            home, _, short = value.__name__.rpartition(".")
            if not is_installed(value.__name__):
                raise Unwritable(f"{user.__name__} uses the module {value.__name__}, which is not installed")
            if home and name == short:
                self.imports.add(f"from {home} import {short}")
            elif name == value.__name__.partition(".")[0]:
                self.imports.add(f"import {name}")
            else:
                self.imports.add(f"import {value.__name__} as {name}")
            self._claim(name, value)
        elif isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            self._bring_callable(name, value)
        elif (text := format_literal(value)) is not None:
            self._claim(name, value)
            self.definitions.setdefault(name, use_double_quotes(f"{name} = {text}"))
        elif home := _find_home(name, value):
            self.imports.add(f"from {home} import {name}")
            self._claim(name, value)
        elif self.bring_object is None:
            raise Unwritable(f"{user.__name__} uses {name!r}, which is of type {type(value).__name__}")
        else:
            self._claim(name, value)
            try:
                self.bring_object(name, value)
            except Unwritable as why:
                kind = type(value).__name__
                raise Unwritable(f"{user.__name__} uses {name!r}, which is of type {kind}: {why}") from None

    def _bring_callable(self, name: str, value: Any) -> None:
        own, home = value.__name__, getattr(value, "__module__", None) or ""
        if is_installed(home):
            if (found := _find_home(own, value)) is None:
                raise Unwritable(f"{name!r} of {home} cannot be imported by its name")
            self.imports.add(f"from {found} import {own}" + ("" if own == name else f" as {name}"))
            self._claim(name, value)
        else:
            text = self.use_function(value)
            if own != name:
                self._claim(name, value)
                self.definitions.setdefault(name, f"{name} = {text}")


def is_installed(module: str) -> bool:
    """Say whether a module is Python's or installed, and not ours."""
    root = module.partition(".")[0]
    if not root or root in ("__main__", __name__.partition(".")[0]):
        return False
    if root in sys.stdlib_module_names or root in ("builtins", "torch", "numpy"):
        return True
    path = getattr(sys.modules.get(root), "__file__", None) or ""
    return "site-packages" in path or "dist-packages" in path


def _find_source(item: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(item)).rstrip()
    except (OSError, TypeError) as error:
        if isinstance(item, type) and (found := _find_class_source(item)) is not None:
            return found
        raise Unwritable(
            f"the source of {item.__name__} is not to be had: {quote_error(error).rstrip('.')}"
        ) from None


def _find_class_source(kind: type) -> str | None:
    """Return the source of a class that was defined in a cell."""
    texts: list[tuple[str, int | None]] = []
    for method in _methods(kind):
        if lines := linecache.getlines(method.__code__.co_filename):
            texts.append(("".join(lines), method.__code__.co_firstlineno))
    if not texts:
        # One without methods: the last cell that defines a class of this name.
        cells = vars(sys.modules.get("__main__", object)).get("In", [])
        texts = [(cell, None) for cell in reversed(cells) if isinstance(cell, str)]
    for text, line in texts:
        try:
            tree = ast.parse(text)
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                if line is None or first <= line <= (node.end_lineno or first):
                    return textwrap.dedent("\n".join(text.splitlines()[first - 1 : node.end_lineno]))
    return None


def _find_lambda_source(function: Any) -> str:
    """Return a lambda's text, if its lines have no other like it."""

    def described(code: types.CodeType) -> tuple[Any, ...]:
        # Python 3.10 has there, as texts, also what inner functions are called.
        plain = [one for one in code.co_consts if not isinstance(one, types.CodeType) and "<locals>." not in str(one)]
        return code.co_code, code.co_names, code.co_varnames, plain

    def compiled(text: str, imported: str) -> tuple[Any, ...]:
        parts = compile(imported + text, "<lambda>", "exec").co_consts
        return described(next(one for one in parts if isinstance(one, types.CodeType)))

    code, names = function.__code__, function.__globals__
    # Python compiles a call by the name of a module otherwise where its file imports that name.
    modules = [name for name in code.co_names if isinstance(names.get(name), types.ModuleType)]
    found = set()
    for node in ast.walk(_parse_fragment(_find_source(function).strip())):
        if isinstance(node, ast.Lambda):
            text = ast.unparse(node)
            if described(code) in (compiled(text, ""), compiled(text, "".join(f"import {one}\n" for one in modules))):
                found.add(text)
    if len(found) != 1:
        raise Unwritable("a lambda cannot be told from what stands around it: give it a name with def")
    return found.pop()


def _parse_fragment(text: str) -> ast.AST:
    """Parse lines that may be a piece of a longer statement."""
    for end in range(len(text), max(0, len(text) - 201), -1):
        for piece in (text[:end], f"({text[:end]})", f"{{{text[:end]}}}", f"f({text[:end]})"):
            try:
                return ast.parse(piece)
            except SyntaxError:
                continue
    raise Unwritable("the source of a lambda cannot be read: give it a name with def")


def _known_name(item: Any) -> str | None:
    """Return the usual name of something of torch."""
    name, home = getattr(item, "__name__", ""), getattr(item, "__module__", "") or ""
    for space, text in ((nn, "nn"), (torch.optim, "torch.optim"), (nn.functional, "nn.functional")):
        if home.startswith("torch") and vars(space).get(name) is item:
            return f"{text}.{name}"
    return None


def _find_home(name: str, value: Any) -> str | None:
    """Return the module from which something is imported by a name."""
    homes = ["torch", "torch.nn.functional", "math", "numpy"]
    if "." not in getattr(value, "__qualname__", "."):
        homes[:0] = [public_module(value), getattr(value, "__module__", None) or ""]
    return next((home for home in homes if getattr(sys.modules.get(home), name, None) is value), None)


def _scope(item: Any) -> dict[str, Any]:
    """Return the scope of a class or function, closures included."""
    functions = [item] if isinstance(item, types.FunctionType) else _methods(item)
    scope: dict[str, Any] = {}
    if isinstance(item, type):
        scope.update(vars(sys.modules.get(item.__module__, types.ModuleType(""))))
    for function in functions:
        scope.update(function.__globals__)
    for function in functions:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            with contextlib.suppress(ValueError):
                scope[name] = cell.cell_contents
    if isinstance(item, type):
        # A base that is local to a function, as the class itself.
        for base in item.__bases__:
            scope.setdefault(base.__name__, base)
    scope.pop("__class__", None)
    return scope


def _methods(kind: type) -> list[Any]:
    found = []
    for value in vars(kind).values():
        value = getattr(value, "__func__", value)
        value = value.fget if isinstance(value, property) else value
        value = inspect.unwrap(value) if callable(value) and not isinstance(value, type) else value
        if isinstance(value, types.FunctionType):
            found.append(value)
    return found


def _find_free_names(source: str) -> list[str]:
    """Return the free names of a source, in alphabetical order."""
    names, scopes = set(), [symtable.symtable(source, "<source>", "exec")]
    for scope in scopes:  # it grows by those inside
        top = scope.get_type() == "module"
        for symbol in scope.get_symbols():
            if symbol.is_global() or (top and symbol.is_referenced()):
                names.add(symbol.get_name())
        scopes += scope.get_children()
    return sorted(names - {"__class__"})
