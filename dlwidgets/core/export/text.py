"""Python text that reads well: broken calls, tables, indented blocks."""

from __future__ import annotations

import io
import textwrap
import tokenize
from collections.abc import Iterable, Mapping
from typing import Any

#: The length of a line.
WIDTH = 100


def format_call(head: str, args: Iterable[str], kwargs: Mapping[str, Any], open_up: bool = False) -> str:
    """Format a call, an argument a line where long or opened up.

    `args` are expressions by position, `kwargs` values by name.
    """
    parts = [*args, *(f"{name}={value!r}" for name, value in kwargs.items())]
    line = f"{head}({', '.join(parts)})"
    if "\n" not in line and len(line) <= WIDTH - 12 and not (open_up and len(parts) > 1):
        return line
    return f"{head}(\n" + "".join(f"{indent(part)},\n" for part in parts) + ")"


def indent(text: str) -> str:
    """Indent each line by four blanks."""
    return textwrap.indent(text, "    ")


def format_table(name: str, entries: Mapping[Any, str]) -> str:
    """Format `name = {key: value, ...}`, entries wrapped."""
    items = [f"{key!r}: {value}" for key, value in entries.items()]
    line = f"{name} = {{{', '.join(items)}}}"
    if len(line) <= WIDTH:
        return line
    whole = ", ".join(item.replace(" ", "\0") for item in items) + ","
    lines = textwrap.wrap(whole, WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    return f"{name} = {{\n" + indent("\n".join(lines)).replace("\0", " ") + "\n}"


def join_sections(parts: Iterable[str]) -> str:
    """Join parts with empty lines, two around definitions; drop empty ones.

    Line ends are stripped, and at most two empty lines kept.
    """
    text, before = "", ""
    for part in filter(None, (part.strip("\n") for part in parts)):
        defines = any(one.startswith(("def ", "class ", "@")) for one in (part, before))
        text += ("\n\n\n" if defines else "\n\n") + part
        before = part
    lines: list[str] = []
    for line in map(str.rstrip, text.strip("\n").splitlines()):
        if line or lines[-2:] != ["", ""]:
            lines.append(line)
    return "\n".join(lines).strip("\n") + "\n"


def use_double_quotes(text: str) -> str:
    """Put plain strings of Python text in double quotes."""
    lines = text.splitlines(keepends=True)
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, IndentationError):
        return text
    for token in reversed(tokens):
        if token.type == tokenize.STRING and token.string.startswith("'") and token.start[0] == token.end[0]:
            inside = token.string[1:-1]
            if '"' not in inside and "\\" not in inside and not token.string.startswith("'''"):
                row, (first, last) = token.start[0] - 1, (token.start[1], token.end[1])
                lines[row] = f'{lines[row][:first]}"{inside}"{lines[row][last:]}'
    return "".join(lines)
