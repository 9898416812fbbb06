"""The floors of the house and its other standing rules, read from the source; one of them by loading it."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

HOUSE = Path(__file__).resolve().parents[1] / "dlwidgets"
VENDOR = HOUSE / "views" / "vendor"

#: From the package uplot 1.6.32 of the npm registry, whose own sum was checked on the way.
PUBLISHED = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}

#: They take seconds to import, so they are imported where they are used.
HEAVY = {
    "pandas",
    "scipy",
    "sklearn",
    "joblib",
    "matplotlib",
    "seaborn",
    "keras",
    "river",
    "skimage",
    "torchvision",
    "PIL",
    "IPython",
}

#: What each room may take from outside, beside the standard library.
OUTSIDE = {
    "core": {"torch", "numpy", "safetensors", "tqdm"} | HEAVY - {"IPython"},
    "teaching": {"torch", "numpy", "safetensors"} | HEAVY - {"IPython"},
    "integrations": {"torch", "numpy", "keras"},
    "session": {"torch", "numpy", "pandas", "traitlets"},
    "views": {"torch", "numpy", "pandas", "matplotlib", "traitlets", "anywidget", "ipywidgets", "comm", "IPython"}
    | {"marimo"},
}

#: What each room may take from the house itself.
INSIDE = {
    "core": {"core"},
    "teaching": {"core", "teaching"},
    "integrations": {"core", "integrations"},
    "session": {"core", "integrations", "session"},
    "views": {"core", "session", "views"},
}

#: The packages of core, top to bottom: an import points down, or stays where it is.
FLOORS = (
    "figures", "doctor", "export", "activations", "training", "controls", "scoring", "data", "layers",
    "pictures", "base",
)  # fmt: skip


class Import(NamedTuple):
    """One name of an import: where it stands, the module it names, whether loading the file runs it."""

    file: Path
    line: int
    module: str
    at_once: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(HOUSE.parent)}:{self.line} imports {self.module}"


class Source(NamedTuple):
    """A Python file of the house, read and parsed once."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The room that the file belongs to: core, teaching, views, session, or its own name."""
        return self.path.relative_to(HOUSE).with_suffix("").parts[0]

    @property
    def floor(self) -> str:
        """The package of core that the file belongs to; "" outside of core."""
        parts = self.path.relative_to(HOUSE).parts
        return parts[1] if parts[0] == "core" and len(parts) > 2 else ""

    @property
    def where(self) -> str:
        """Its path, as messages show it."""
        return self.path.relative_to(HOUSE.parent).as_posix()


def _read() -> tuple[Source, ...]:
    paths = sorted(path for path in HOUSE.rglob("*.py") if "notebooks" not in path.parts)
    texts = {path: path.read_text("utf-8") for path in paths}
    return tuple(Source(path, text, ast.parse(text)) for path, text in texts.items())


PYTHON = _read()
#: The JavaScript that we wrote: path -> text.
JAVASCRIPT = {
    path: path.read_text("utf-8") for path in sorted(HOUSE.rglob("*.js")) if VENDOR not in path.parents
}


def python_files(*rooms: str) -> list[Source]:
    """Return the Python files of the house, or those of some rooms."""
    return [source for source in PYTHON if not rooms or source.room in rooms]


@cache
def imports(source: Source) -> tuple[Import, ...]:
    """Return every import of a file, relative ones resolved; those for type checkers alone left out."""

    def walk(node: ast.AST, at_once: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from walk(other, at_once)
            return
        if isinstance(node, ast.Import):
            yield from (Import(source.path, node.lineno, alias.name, at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = ("dlwidgets", *source.path.relative_to(HOUSE).parts)[: -node.level]
                base = ".".join([*package, *filter(None, [node.module])])
            for alias in node.names:
                # "from . import name" may name a module or an attribute of the package.
                module = f"{base}.{alias.name}" if _is_module(f"{base}.{alias.name}") else base
                yield Import(source.path, node.lineno, module, at_once)
        inside = at_once and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    return tuple(walk(source.tree, True))


@cache
def _is_module(name: str) -> bool:
    place = HOUSE.parent.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def offences(found: Iterator[object]) -> str:
    return "\n".join(str(one) for one in found)


@pytest.mark.parametrize("name", INSIDE)
def test_imports_run_downward_only(name):
    assert not offences(
        one
        for file in python_files(name)
        for one in imports(file)
        if one.module.split(".")[0] == "dlwidgets" and (one.module.split(".") + [""])[1] not in INSIDE[name]
    )


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_room_takes_from_outside_only_what_it_may(name):
    allowed = OUTSIDE[name] | set(sys.stdlib_module_names) | {"dlwidgets"}
    assert not offences(
        one for file in python_files(name) for one in imports(file) if one.module.split(".")[0] not in allowed
    )


def test_heavy_libraries_are_imported_where_they_are_used():
    assert not offences(
        one
        for file in python_files()
        for one in imports(file)
        if one.at_once and one.module.split(".")[0] in HEAVY and file.room not in ("extension", "magics")
    )


#: The rooms in which another framework than torch is known: its adapter, its loop, and the writer of its code.
FRAMEWORK_ROOMS = {"keras": ("core/layers/keras/", "integrations/keras.py", "core/export/keras.py")}


@pytest.mark.parametrize("framework", FRAMEWORK_ROOMS)
def test_a_framework_is_imported_by_its_adapter_alone(framework):
    def at_home(file: Path) -> bool:
        return file.relative_to(HOUSE).as_posix().startswith(FRAMEWORK_ROOMS[framework])

    found = [one for file in python_files() for one in imports(file) if one.module.split(".")[0] == framework]
    assert found and not offences(one for one in found if not at_home(one.file))


def test_the_floors_of_core_are_those_that_are_there():
    assert {source.floor for source in PYTHON} - {""} <= set(FLOORS)


def test_every_import_of_core_points_down():
    def upward(source: Source, module: str) -> bool:
        parts = module.split(".")
        theirs = parts[2] if parts[:2] == ["dlwidgets", "core"] and len(parts) > 2 else source.floor
        return FLOORS.index(theirs) < FLOORS.index(source.floor)

    assert not offences(
        one for source in PYTHON if source.floor for one in imports(source) if upward(source, one.module)
    )


def test_loading_a_floor_loads_nothing_above_it():
    floors: dict[str, list[str]] = {floor: [] for floor in reversed(FLOORS)}
    for source in PYTHON:
        if source.floor:
            module = ".".join(source.path.relative_to(HOUSE.parent).with_suffix("").parts)
            floors[source.floor].append(module.removesuffix(".__init__"))
    script = """
import importlib, json, sys
seen = set()
for floor, modules in json.loads(sys.argv[1]).items():
    for module in modules:
        importlib.import_module(module)
    seen.add(floor)
    core = {name.split(".")[2] for name in sys.modules if name.startswith("dlwidgets.core.")}
    assert core <= seen, f"{floor} loads {core - seen}"
"""
    command = [sys.executable, "-c", script, json.dumps(floors)]
    done = subprocess.run(command, cwd=HOUSE.parent, capture_output=True, text=True, timeout=120)
    assert not done.returncode, done.stderr


#: Folders of `views` that hold a part of another view, and whose it is.
PARTS = {"study": "activations"}


def view_of(path: Path) -> str:
    """Return the view whose folder a file is in: confusion for confusion/tiles.js; "" for what all share."""
    parts = path.relative_to(HOUSE / "views").parts
    return parts[0] if len(parts) > 1 else ""


def test_views_do_not_import_one_another():
    def strange(source: Source, module: str) -> bool:
        if not module.startswith("dlwidgets.views."):
            return False
        theirs, mine = module.split(".")[2], view_of(source.path)
        known = {path.name for path in (HOUSE / "views").iterdir() if path.is_dir()} | {"dashboard", "experiment"}
        return theirs in known and theirs != mine and PARTS.get(theirs) != mine

    assert not offences(
        one
        for source in python_files("views")
        if source.path.stem not in ("dashboard", "experiment", "companion", "__init__")
        for one in imports(source)
        if strange(source, one.module)
    )


def test_pyplot_is_imported_nowhere():
    assert not offences(
        one
        for file in python_files()
        for one in imports(file)
        if one.module.startswith(("matplotlib.pyplot", "pylab"))
    )
    attribute = re.compile(r"\bpyplot\b\s*(\.|as\b)|\bimport\s+pyplot\b")
    notebooks = (HOUSE.parent / "notebooks").rglob("*.ipynb")
    assert not [path.name for path in notebooks if attribute.search(path.read_text("utf-8"))]


def test_only_the_command_line_and_magics_print():
    calls = (
        (file, node)
        for file in python_files()
        if file.room not in ("__main__", "demo", "extension", "magics")
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    )
    assert not [f"{file.where}:{node.lineno}" for file, node in calls]


def test_no_assert_stands_between_a_user_and_a_sentence():
    found = (
        (file, node)
        for file in python_files()
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Assert)
    )
    assert not [f"{file.where}:{node.lineno}" for file, node in found]


def test_every_module_says_in_one_line_what_it_is():
    silent = []
    for file in python_files():
        first = (ast.get_docstring(file.tree) or "").split("\n")[0]
        if file.tree.body and not first.endswith("."):
            silent.append(file.where)
    assert not silent


def test_everything_public_is_documented_and_annotated():
    missing = []
    for file in python_files():
        for node in file.tree.body:
            if not isinstance(
                node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
            ) or node.name.startswith("_"):
                continue
            where = f"{file.where}:{node.lineno} {node.name}"
            if ast.get_docstring(node) is None:
                missing.append(f"{where} has no docstring")
            if isinstance(node, ast.ClassDef):
                continue
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if node.returns is None or any(argument.annotation is None for argument in arguments):
                missing.append(f"{where} is not annotated")
    assert not missing, "\n".join(missing)


def test_binary_traits_say_what_their_bytes_mean():
    bare = []
    for file in python_files("views"):
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Bytes", "traitlets.Bytes"):
                told = {keyword.arg for keyword in node.keywords}
                if "help" not in told:
                    bare.append(f"{file.where}:{node.lineno}")
    assert not bare


@pytest.mark.parametrize(
    "forbidden",
    [
        r"\.(inner|outer)HTML\b",
        r"\binsertAdjacentHTML\b",
        r"\bdocument\.write",
        r"\bcreateContextualFragment\b",
        r"\bDOMParser\b",
        r"\beval\(",
        r"\bnew Function\b",
    ],
)
def test_the_page_takes_no_data_for_markup_or_code(forbidden):
    assert not _lines(forbidden)


def test_the_page_reaches_no_network():
    assert not _lines(r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\bimport\((?![\"`]\.)")
    assert not _lines(r"https?://(?!www\.w3\.org/)")


def test_javascript_imports_only_what_is_shared_or_its_own_views():
    shared = {HOUSE / "views" / name for name in ("front.js", "boxes.js")}
    strangers = []
    for path, text in JAVASCRIPT.items():
        if HOUSE / "views" not in path.parents:
            continue
        for source in re.findall(r"""\bfrom\s*["']([^"']+)["']""", text):
            target = (path.parent / source).resolve()
            mine, theirs = view_of(path), view_of(target)
            related = PARTS.get(theirs) == mine or PARTS.get(mine) == theirs
            if target not in shared and theirs != mine and not related:
                strangers.append(f"{path.name} imports {source}")
    assert not strangers


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    sources = re.findall(r"""^import\s[^;]*?from\s*"(\.[^"]+)";""", JAVASCRIPT[path], re.MULTILINE)
    return tuple((path.parent / source).resolve() for source in sources)


def test_javascript_files_do_not_import_one_another_in_a_circle():
    known: dict[Path, bool] = {}  # path -> whether all behind it is known to be free of circles

    def visit(path: Path) -> None:
        assert known.get(path, True), f"{path.relative_to(HOUSE)} imports itself, by way of others"
        if path not in known:
            known[path] = False
            for other in _imported(path):
                visit(other)
            known[path] = True

    for path in JAVASCRIPT:
        visit(path)


@pytest.mark.parametrize("view", sorted(path.parent.name for path in JAVASCRIPT if path.name == "view.js"))
def test_the_files_of_a_view_share_no_top_level_name(view):
    joined, waiting = set(), [HOUSE / "views" / view / "view.js"]
    while waiting:
        path = waiting.pop()
        if path not in joined:
            joined.add(path)
            waiting += _imported(path)
    declared = r"^(?:export )?(?:async )?(?:function\*?|class|const|let) (\w+)(.*)"
    names: Counter[str] = Counter()
    for path in joined:
        for name, rest in re.findall(declared, JAVASCRIPT[path], re.MULTILINE):
            names.update([name, *re.findall(r", ([A-Z_]+) =", rest)])
    assert not [name for name, count in names.items() if count > 1]


def test_every_listener_goes_with_its_view():
    lasting = []
    for file, text in JAVASCRIPT.items():
        for match in re.finditer(r"([\w.]+)\??\.addEventListener\(", text):
            arguments = text[match.end() : _closing(text, match.end())]
            if (
                not match[1].endswith("signal")
                and "signal" not in arguments
                and "once: true" not in arguments
            ):
                lasting.append(f"{file.name}:{text.count(chr(10), 0, match.start()) + 1} {match[0]}")
    assert not lasting


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_vendored_library_is_the_published_one(name):
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == PUBLISHED[name]


def _lines(pattern: str) -> list[str]:
    return [
        f"{file.relative_to(HOUSE)}:{number} {line.strip()}"
        for file, text in JAVASCRIPT.items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def _closing(text: str, start: int) -> int:
    depth = 1
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if not depth:
            return position
    return len(text)


def test_a_class_sets_every_attribute_that_it_declares():
    slices = []
    for source in PYTHON:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ClassDef) or _declares_fields(node):
                continue
            declared = {
                one.target.id for one in node.body
                if isinstance(one, ast.AnnAssign) and one.value is None and isinstance(one.target, ast.Name)
            }  # fmt: skip
            written = {
                one.attr for one in ast.walk(node)
                if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store)
            }  # fmt: skip
            slices += [f"{source.where}:{node.lineno} {node.name}.{name}" for name in sorted(declared - written)]
    assert not slices, "\n".join(slices)


def _declares_fields(node: ast.ClassDef) -> bool:
    bases = " ".join(map(ast.unparse, node.bases))
    return any(word in bases for word in ("Protocol", "NamedTuple", "TypedDict")) or any(
        "dataclass" in ast.unparse(one) for one in node.decorator_list
    )


#: `core/layers/walk.py` or `session.py:Session.at_batch` in the map.
_NAMED = re.compile(r"`((?:core|views|teaching)/[\w/]+\.(?:py|js)|session\.py|view\.py)(?::([\w.]+))?`")


def test_the_map_names_only_what_is_there():
    text = (HOUSE.parent / "CONTRIBUTING.md").read_text("utf-8")
    assert _NAMED.search(text) and len(text.splitlines()) <= 150
    lost = []
    for path, names in _NAMED.findall(text):
        place = HOUSE / ("views/view.py" if path == "view.py" else path)
        if not place.exists():
            lost.append(path)
            continue
        code = place.read_text("utf-8")
        for name in filter(None, names.split(".")):
            defined = rf"^\s*(?:export )?(?:async )?(?:def|class|function) {name}\b|^{name}\b\s*[:=]"
            if not re.search(defined, code, re.MULTILINE):
                lost.append(f"{path}:{name}")
    assert not lost


def test_a_public_name_means_one_thing():
    homes: dict[str, list[str]] = {}
    for source in PYTHON:
        for node in source.tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(source.where)
    assert not {name: places for name, places in homes.items() if len(places) > 1}


def test_the_first_line_of_a_docstring_has_twelve_words_at_most():
    long = [
        f"{source.where}:{getattr(node, 'lineno', 1)} {first}"
        for source in PYTHON
        for node in ast.walk(source.tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and len((first := (ast.get_docstring(node) or "").split("\n")[0]).split()) > 12
    ]
    assert not long, "\n".join(long)


def test_a_docstring_names_only_modules_that_are_there():
    lost = []
    for source in PYTHON:
        for path in re.findall(r"`(?:dlwidgets\.)?((?:core|views|teaching)(?:\.\w+)+)`", source.text):
            parts = path.split(".")
            places = [HOUSE.joinpath(*parts[:count]) for count in range(2, len(parts) + 1)]
            module = next((place for place in reversed(places) if _is_module_at(place)), None)
            rest = parts[len(module.relative_to(HOUSE).parts) :] if module is not None else [path]
            if module is None or len(rest) > 2 or (rest and rest[0] not in _text_of(module)):
                lost.append(f"{source.where} names {path}")
    assert not lost


def _is_module_at(place: Path) -> bool:
    return place.with_suffix(".py").exists() or place.is_dir()


def _text_of(module: Path) -> str:
    file = module.with_suffix(".py")
    return file.read_text("utf-8") if file.exists() else ""


@pytest.mark.parametrize("room", ["core", "views", "teaching"])
def test_tests_stand_where_the_code_stands(room):
    """`test_rate_forecast.py`, or `test_keras_rate.py`, is of `rate.py` or the package `rate` in the same folder."""
    tests = HOUSE.parent / "tests"
    lost = []
    for path in sorted((tests / room).rglob("test_*.py")):
        folder = HOUSE / path.parent.relative_to(tests)
        words = path.stem.removeprefix("test_").split("_")
        words = words if (folder / words[0]).is_dir() or words[0] != "keras" else words[1:]
        names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
        if not any((folder / f"{name}.py").exists() or (folder / name).is_dir() for name in names):
            lost.append(str(path.relative_to(tests)))
    assert not lost, f"name each of {lost} after the module that it tests"
