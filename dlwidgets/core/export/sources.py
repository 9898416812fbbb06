"""The names a script needs, imported, or written out with their source."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import linecache
import symtable
import sys
import textwrap
import types
from typing import Any

import torch
from torch import nn

from ..base.literals import Unwritable, format_literal
from ..base.words import quote_error
from .text import use_double_quotes


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
        self._objects: dict[str, Any] = {}
        self._under_way: set[str] = set()

    # -- what the writers ask for

    def name_of(self, item: Any) -> str:
        """Return a class's or function's name in the script; note nothing."""
        return _known_name(item) or item.__name__

    def use_all(self, made: Any) -> None:
        """Note what an expression for a module names: see `module_expression.Made`."""
        for name in made.names or (nn.Module,):
            self.use(name)

    def use(self, item: Any) -> str:
        """Note a class's or function's import or source; return its name.

        Raises
        ------
        Unwritable : its source is not to be had, or names what cannot be written.
        """
        if (known := _known_name(item)) is not None:
            self.imports.add("import torch" if known.startswith("torch.") else "from torch import nn")
            return known
        name = getattr(item, "__name__", "")
        if is_installed(getattr(item, "__module__", None) or "") and _is_found(item):
            self.imports.add(f"from {item.__module__} import {name}")
            self._claim(name, item)
            return name
        self._define(name, item)
        return name

    @property
    def names(self) -> set[str]:
        """The names that are taken by definitions."""
        return {*self.definitions}

    def imports_text(self) -> str:
        """Return the imports, those of the standard library first."""
        ours = {line: line.split()[1].split(".")[0] for line in self.imports}
        groups: list[list[str]] = [[], []]
        for line, package in ours.items():
            groups[package not in sys.stdlib_module_names].append(line)

        def order(line: str) -> tuple[Any, ...]:
            return line.startswith("from"), line.lower()

        texts = [_merge_imports(sorted(group, key=order)) for group in groups if group]
        return "\n\n".join(texts)

    # -- inside

    def _claim(self, name: str, item: Any) -> None:
        there = self._objects.setdefault(name, item)
        if there is not item and not _same(there, item):
            raise Unwritable(f"there are two different things called {name!r}")

    def _define(self, name: str, item: Any) -> None:
        if name in self.definitions and self._objects.get(name) is item or name in self._under_way:
            return
        if isinstance(item, functools.partial) or not isinstance(item, (type, types.FunctionType)):
            raise Unwritable(f"{_describe(item)} has no source that can be written out")
        source = find_lambda_source(item) if name == "<lambda>" else find_source(item)
        self._claim(name, item)
        self._under_way.add(name)
        try:
            self._resolve(source, item)
        finally:
            self._under_way.discard(name)
        self.definitions[name] = source

    def _resolve(self, source: str, item: Any) -> None:
        """Note all that a source names and does not bring itself."""
        scope = _scope(item)
        for name in _find_free_names(source):
            if name == getattr(item, "__name__", None) or (name not in scope and hasattr(builtins, name)):
                continue
            # One that is not there would be an error in the notebook, too.
            if name in scope:
                self._bring(name, scope[name], item)

    def _bring(self, name: str, value: Any, user: Any) -> None:
        if isinstance(value, types.ModuleType):
            if not is_installed(value.__name__):
                raise Unwritable(f"{user.__name__} uses the module {value.__name__}, which is not installed")
            short = value.__name__.rpartition(".")[2]
            root = value.__name__.partition(".")[0]
            if name == value.__name__:
                self.imports.add(f"import {name}")
            elif name == short and "." in value.__name__:
                self.imports.add(f"from {value.__name__.rpartition('.')[0]} import {short}")
            elif name == root:
                self.imports.add(f"import {root}")
            else:
                self.imports.add(f"import {value.__name__} as {name}")
            self._claim(name, value)
        elif isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            self._bring_callable(name, value)
        elif (text := format_literal(value)) is not None:
            self._claim(name, value)
            self.definitions.setdefault(name, use_double_quotes(f"{name} = {text}"))
        elif _home := _home_of(name, value):
            self.imports.add(f"from {_home} import {name}")
            self._claim(name, value)
        else:
            raise Unwritable(f"{user.__name__} uses {name!r}, which is {_describe(value)}")

    def _bring_callable(self, name: str, value: Any) -> None:
        own, home = value.__name__, getattr(value, "__module__", None) or ""
        if is_installed(home):
            found = home if _is_found(value) else _home_of(own, value)
            if found is None:
                raise Unwritable(f"{name!r} of {home} cannot be imported by its name")
            self.imports.add(f"from {found} import {own}" + ("" if own == name else f" as {name}"))
            self._claim(name, value)
        elif own == "<lambda>":
            source = find_lambda_source(value)
            self._claim(name, value)
            self._resolve(source, value)
            self.definitions.setdefault(name, f"{name} = {source}")
        else:
            self._define(own, value)
            if own != name:
                self._claim(name, value)
                self.definitions.setdefault(name, f"{name} = {own}")


def _merge_imports(lines: list[str]) -> str:
    """Return imports with several names of a module on one line."""
    plain = [line for line in lines if not line.startswith("from")]
    names: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("from"):
            home, _, name = line[len("from ") :].partition(" import ")
            names.setdefault(home, []).append(name)
    return "\n".join([*plain, *(f"from {home} import {', '.join(all_)}" for home, all_ in names.items())])


def is_installed(module: str) -> bool:
    """Say whether a module is Python's or installed, and not ours."""
    root = module.partition(".")[0]
    if not root or root in ("__main__", __name__.partition(".")[0]):
        return False
    if root in sys.stdlib_module_names or root in ("builtins", "torch", "numpy"):
        return True
    path = getattr(sys.modules.get(root), "__file__", None) or ""
    return "site-packages" in path or "dist-packages" in path


def find_source(item: Any) -> str:
    """Return the source of a class or function, not set in.

    Raises
    ------
    Unwritable : it is not to be had.
    """
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
    texts = []
    for method in _methods(kind):
        if lines := linecache.getlines(method.__code__.co_filename):
            texts.append(("".join(lines), method.__code__.co_firstlineno))
    cells = vars(sys.modules.get("__main__", object)).get("In", [])
    # One without methods: the last cell that defines a class of this name.
    texts += [(cell, None) for cell in reversed(cells) if isinstance(cell, str)] if not texts else []
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


def find_lambda_source(function: Any) -> str:
    """Return the text of a lambda.

    Raises
    ------
    Unwritable : it cannot be told from others on its lines.
    """
    text = find_source(function).strip()
    found = []
    for node in ast.walk(_parse_fragment(text)):
        if isinstance(node, ast.Lambda):
            code = ast.unparse(node)
            made = eval(compile(code, "<lambda>", "eval"), {})
            same = (made.__code__.co_code, made.__code__.co_names, made.__code__.co_varnames)
            if same == (function.__code__.co_code, function.__code__.co_names, function.__code__.co_varnames):
                if _numbers_of(made) == _numbers_of(function):
                    found.append(code)
    if len(set(found)) != 1:
        raise Unwritable("a lambda cannot be told from what stands around it: give it a name with def")
    return found[0]


def _numbers_of(function: Any) -> list[Any]:
    return [one for one in function.__code__.co_consts if not isinstance(one, types.CodeType)]


def _parse_fragment(text: str) -> ast.AST:
    """Parse lines that may be a piece of a longer statement."""
    for end in range(len(text), 0, -1):
        for piece in (text[:end], f"({text[:end]})", f"{{{text[:end]}}}", f"f({text[:end]})"):
            try:
                return ast.parse(piece)
            except SyntaxError:
                continue
        if len(text) - end > 200:
            break
    raise Unwritable("the source of a lambda cannot be read: give it a name with def")


def _known_name(item: Any) -> str | None:
    """Return the usual name of something of torch."""
    name, home = getattr(item, "__name__", ""), getattr(item, "__module__", "") or ""
    for space, text in ((nn, "nn"), (torch.optim, "torch.optim"), (nn.functional, "nn.functional")):
        if home.startswith("torch") and vars(space).get(name) is item:
            return f"{text}.{name}"
    return None


def _is_found(item: Any) -> bool:
    """Say whether an object is found by name in its module."""
    module = sys.modules.get(getattr(item, "__module__", None) or "")
    return "." not in getattr(item, "__qualname__", ".") and getattr(module, item.__name__, None) is item


def _home_of(name: str, value: Any) -> str | None:
    for home in ("torch", "torch.nn.functional", "math", "numpy"):
        if getattr(sys.modules.get(home), name, None) is value:
            return home
    return None


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
            try:
                scope[name] = cell.cell_contents
            except ValueError:
                continue
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
    names: set[str] = set()

    def visit(scope: symtable.SymbolTable) -> None:
        top = scope.get_type() == "module"
        for symbol in scope.get_symbols():
            if symbol.is_global() or (top and symbol.is_referenced() and not symbol.is_assigned()):
                names.add(symbol.get_name())
            elif top and symbol.is_referenced():
                names.add(symbol.get_name())
        for child in scope.get_children():
            visit(child)

    visit(symtable.symtable(source, "<source>", "exec"))
    return sorted(names - {"__class__"})


def _same(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # noqa: BLE001 - arrays and the like compare otherwise
        return False


def _describe(value: Any) -> str:
    return f"of type {type(value).__name__}"
