"""Python text that reads well: broken calls, tables, indented blocks."""

from __future__ import annotations

import io
import textwrap
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: The length of a line.
WIDTH = 100


def format_call(head: str, args: Sequence[Any], kwargs: Mapping[str, Any], open_up: bool = False) -> str:
    """Format a call, an argument a line where it is long.

    Parameters
    ----------
    args, kwargs : their reprs are written.
    open_up : put each argument on a line of its own, where there are more than one.
    """
    parts = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
    line = f"{head}({', '.join(parts)})"
    if "\n" not in line and len(line) <= WIDTH - 12 and not (open_up and len(parts) > 1):
        return line
    return f"{head}(\n" + "".join(f"{indent(part)},\n" for part in parts) + ")"


def indent(text: str, depth: int = 1) -> str:
    """Indent each line by four blanks, or more."""
    return textwrap.indent(text, "    " * depth)


def format_table(name: str, entries: Mapping[Any, str]) -> str:
    """Format `name = {key: value, ...}`, entries wrapped."""
    items = [f"{key!r}: {value}" for key, value in entries.items()]
    line = f"{name} = {{{', '.join(items)}}}"
    if len(line) <= WIDTH:
        return line
    whole = ", ".join(item.replace(" ", "\0") for item in items) + ","
    lines = textwrap.wrap(whole, WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    return f"{name} = {{\n" + "\n".join(f"    {one}" for one in lines).replace("\0", " ") + "\n}"


def format_comment(text: str, width: int = WIDTH) -> str:
    """Format text as a comment, wrapped."""
    return "\n".join(f"# {line}" for line in textwrap.wrap(text, width - 2))


def join_sections(parts: Iterable[str]) -> str:
    """Join parts with empty lines, two around definitions; drop empty ones."""
    text = ""
    before = ""
    for part in parts:
        part = part.strip("\n")
        if not part:
            continue
        gap = "\n\n\n" if _defines(part) or _defines(before) else "\n\n"
        text += (gap if text else "") + part
        before = part
    return text + "\n"


def _defines(part: str) -> bool:
    return part.startswith(("def ", "class ", "@"))


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


def tidy_lines(text: str) -> str:
    """Strip line ends, and keep at most two empty lines."""
    lines: list[str] = []
    for line in text.splitlines():
        line = line.rstrip()
        if line or lines[-2:] != ["", ""]:
            lines.append(line)
    return "\n".join(lines).strip("\n") + "\n"
