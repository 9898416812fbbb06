"""Words for sentences: names, counts, errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def quote_names(names: Iterable[Any], most: int = 8) -> str:
    """Quote names, at most `most` of them: "'a', 'b' and 12 more"."""
    words = [repr(str(name)) for name in names]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def pluralize(number: int, noun: str) -> str:
    """Return a count and its noun: "1 sample", "2,000 samples", "2 batches"."""
    many = f"{noun}es" if noun.endswith(("ss", "tch")) else f"{noun}s"
    return f"{number:,} {noun if number == 1 else many}"


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return " Did you mean 'lr'?" where a known name is close."""
    near = difflib.get_close_matches(name, [*known], n=1)
    return f" Did you mean {near[0]!r}?" if near else otherwise


def quote_error(error: BaseException | None) -> str:
    """Return the first line of an error as a sentence."""
    text = str(error).strip().split("\n")[0] or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."


def describe_error(error: BaseException, bare: type[BaseException] | None = None) -> str:
    """Return an error's type, unless in `bare`, and its first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    if "Original Traceback" in str(error):
        return lines[-1]  # of a worker process of a DataLoader: what happened there comes last
    return lines[0] if bare and isinstance(error, bare) else f"{type(error).__name__}: {lines[0]}"
