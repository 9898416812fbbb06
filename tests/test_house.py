"""The arrows of the house and its other standing rules, read from the source; nothing is imported."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
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
    "torchvision",
    "PIL",
    "IPython",
}

#: What each room may take from outside, beside the standard library.
OUTSIDE = {
    "core": {"torch", "numpy"} | HEAVY - {"IPython"},
    "teaching": {"torch", "numpy"} | HEAVY - {"IPython"},
    "session": {"torch", "numpy", "pandas", "traitlets"},
    "views": {"torch", "numpy", "pandas", "matplotlib", "traitlets", "anywidget", "ipywidgets"},
}

#: What each room may take from the house itself.
INSIDE = {
    "core": {"core"},
    "teaching": {"core", "teaching"},
    "session": {"core", "session"},
    "views": {"core", "session", "views"},
}

#: Files over 400 lines, each with its reason.
LONG: dict[str, str] = {
    "dlwidgets/session.py": "the signature of Session, and what each of its options means",
}


class Import(NamedTuple):
    """One name of an import: where it stands, the module it names, whether loading the file runs it."""

    file: Path
    line: int
    module: str
    at_once: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(HOUSE.parent)}:{self.line} imports {self.module}"


def python_files(*rooms: str) -> list[Path]:
    """Return the Python files of the house, or those of some rooms."""
    files = sorted(path for path in HOUSE.rglob("*.py") if "notebooks" not in path.parts)
    return [file for file in files if not rooms or room(file) in rooms]


def javascript_files() -> list[Path]:
    """Return the JavaScript that we wrote."""
    return sorted(path for path in HOUSE.rglob("*.js") if VENDOR not in path.parents)


def room(file: Path) -> str:
    """Return the room a file belongs to: core, teaching, views, session, or its own name."""
    return file.relative_to(HOUSE).with_suffix("").parts[0]


def imports(file: Path) -> Iterator[Import]:
    """Yield every import of a file, relative ones resolved; those for type checkers alone left out."""

    def walk(node: ast.AST, at_once: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from walk(other, at_once)
            return
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name, at_once) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = ("dlwidgets", *file.relative_to(HOUSE).parts)[: -node.level]
                base = ".".join([*package, *filter(None, [node.module])])
            for alias in node.names:
                # "from . import name" may name a module or an attribute of the package.
                module = f"{base}.{alias.name}" if _is_module(f"{base}.{alias.name}") else base
                yield Import(file, node.lineno, module, at_once)
        inside = at_once and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    yield from walk(ast.parse(file.read_text("utf-8")), True)


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
        if one.at_once and one.module.split(".")[0] in HEAVY and room(file) != "extension"
    )


def views() -> set[str]:
    """Return the names of the views: what has both a Python and a JavaScript file, and is not part of another."""
    folder = HOUSE / "views"
    pairs = {path.stem for path in folder.glob("*.js")} & {path.stem for path in folder.glob("*.py")}
    return {name for name in pairs if not any(name.startswith(f"{other}_") for other in pairs)}


def view_of(file: Path) -> str:
    """Return the view that a file belongs to: confusion for confusion_tiles.js; "" for what all share."""
    return next((name for name in sorted(views()) if re.fullmatch(rf"{name}(_\w+)?", file.stem)), "")


def test_views_do_not_import_one_another():
    def strange(file: Path, module: str) -> bool:
        theirs = view_of(Path(module.rpartition(".")[2])) if module.startswith("dlwidgets.views.") else ""
        return module == "dlwidgets.views.dashboard" or (theirs != "" and theirs != view_of(file))

    assert not offences(
        one
        for file in python_files("views")
        if file.stem not in ("dashboard", "__init__")
        for one in imports(file)
        if strange(file, one.module)
    )


def test_every_javascript_file_is_shared_or_belongs_to_one_view():
    assert views(), "no view was found"
    assert not [file.name for file in javascript_files() if file.stem != "front" and not view_of(file)]


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


def test_only_the_command_line_prints():
    calls = (
        (file, node)
        for file in python_files()
        if room(file) not in ("__main__", "extension")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    )
    assert not [f"{file.relative_to(HOUSE)}:{node.lineno}" for file, node in calls]


def test_no_assert_stands_between_a_user_and_a_sentence():
    found = (
        (file, node)
        for file in python_files()
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Assert)
    )
    assert not [f"{file.relative_to(HOUSE)}:{node.lineno}" for file, node in found]


def test_every_module_says_in_one_line_what_it_is():
    silent = []
    for file in python_files():
        tree = ast.parse(file.read_text("utf-8"))
        first = (ast.get_docstring(tree) or "").split("\n")[0]
        if tree.body and not first.endswith("."):
            silent.append(str(file.relative_to(HOUSE)))
    assert not silent


def test_everything_public_is_documented_and_annotated():
    missing = []
    for file in python_files():
        if file.stem.startswith("_") and file.stem != "__init__":
            continue
        for node in ast.parse(file.read_text("utf-8")).body:
            if not isinstance(
                node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
            ) or node.name.startswith("_"):
                continue
            where = f"{file.relative_to(HOUSE)}:{node.lineno} {node.name}"
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
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Bytes", "traitlets.Bytes"):
                told = {keyword.arg for keyword in node.keywords}
                if "help" not in told:
                    bare.append(f"{file.relative_to(HOUSE)}:{node.lineno}")
    assert not bare


def test_files_are_short_or_have_a_reason():
    lengths = {
        path.relative_to(HOUSE.parent).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in [*python_files(), *javascript_files(), *HOUSE.rglob("*.css")]
        if VENDOR not in path.parents
    }
    over = {name: length for name, length in lengths.items() if length > 400}
    assert set(over) == set(LONG), f"over 400 lines: {over}; with a reason: {sorted(LONG)}"


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
    assert not _lines(r"\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\bimport\((?!\"\./)")
    assert not _lines(r"https?://(?!www\.w3\.org/)")


def test_javascript_imports_only_what_is_shared_or_its_own_views():
    strangers = []
    for file in javascript_files():
        for source in re.findall(r"""\bfrom\s*["']([^"']+)["']""", file.read_text("utf-8")):
            own = source.startswith("./") and view_of(Path(source)) and view_of(Path(source)) == view_of(file)
            if source != "./front.js" and not own:
                strangers.append(f"{file.name} imports {source}")
    assert not strangers


def test_every_listener_goes_with_its_view():
    lasting = []
    for file in javascript_files():
        text = file.read_text("utf-8")
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
        for file in javascript_files()
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]


def _closing(text: str, start: int) -> int:
    depth = 1
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if not depth:
            return position
    return len(text)
