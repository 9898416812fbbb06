"""Words for sentences: lists of names, numbers of things."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def listed(names: Iterable[Any], most: int = 8) -> str:
    """Return names in quotes, `most` of them: "'a', 'b' and 12 more"."""
    words = [repr(str(name)) for name in names]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def counted(number: int, thing: str) -> str:
    """Return "1 sample", "2,000 samples", "2 batches"."""
    many = f"{thing}es" if thing.endswith(("ss", "tch")) else f"{thing}s"
    return f"{number:,} {thing if number == 1 else many}"


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return " Did you mean 'lr'?" where a known name is close to `name`, else `otherwise`."""
    near = difflib.get_close_matches(name, [*known], n=1)
    return f" Did you mean {near[0]!r}?" if near else otherwise


def first_line(error: BaseException | None) -> str:
    """Return what an exception says first, as a sentence; its type where it says nothing."""
    text = str(error).strip().split("\n")[0] or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."


def in_one_line(error: BaseException, bare: type[BaseException] | tuple[type[BaseException], ...] = ()) -> str:
    """Return an exception as one line: its type, unless it is one of `bare`, and what it says first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    if "Original Traceback" in str(error):
        return lines[-1]  # of a worker process of a DataLoader: what happened there comes last
    return lines[0] if isinstance(error, bare) else f"{type(error).__name__}: {lines[0]}"
