"""Words for sentences: names, counts, errors."""

from __future__ import annotations

import difflib
import inspect
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: What is printed bold on a terminal.
_BOLD = re.compile(r"\x1b\[1m(.*?)\x1b\[0m", re.DOTALL)


def quote_names(names: Iterable[Any], most: int = 8) -> str:
    """Quote names, at most `most` of them: "'a', 'b' and 12 more"."""
    words = [repr(str(name)) for name in names]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def pluralize(number: int, noun: str) -> str:
    """Return a count and its noun: "1 sample", "2,000 samples", "2 batches"."""
    many = f"{noun}es" if noun.endswith(("ss", "tch", "x")) else f"{noun}s"
    return f"{number:,} {noun if number == 1 else many}"


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return " Did you mean 'lr'?" where a known name is close."""
    near = difflib.get_close_matches(name, [*known], n=1)
    return f" Did you mean {near[0]!r}?" if near else otherwise


#: What people type for the arguments of views and scores.
_MEANT = {
    **dict.fromkeys(("session", "model", "scores", "summary"), "source"),
    **dict.fromkeys(("class_names", "labels", "names", "target_names"), "classes"),
    **dict.fromkeys(("y_pred", "y_prob", "y_proba", "probs", "predictions"), "y_score"),
}


def check_options(what: type, options: Iterable[str]) -> None:
    """Refuse a keyword that a class does not take, with a hint."""
    taken = [*inspect.signature(what.__init__).parameters.values()][1:]  # type: ignore[misc]
    if any(one.kind is one.VAR_KEYWORD for one in taken):
        return
    known = [f"*{one.name}" if one.kind is one.VAR_POSITIONAL else one.name for one in taken]
    for name in options:
        if name not in known:
            meant = _MEANT.get(name)
            there = f" It takes {', '.join(known)}."
            hint = f" Did you mean {meant!r}?" if meant in known else did_you_mean(name, known, there)
            raise TypeError(f"{what.__name__} has no option {name!r}.{hint}")


def quote_value(value: object, most: int = 60) -> str:
    """Return the repr of a value on one line, cut where long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def name_kind(value: object) -> str:
    """Say what was given: "Linear", of a class "the class Linear"."""
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def refuse_texts(options: Mapping[str, Any], defaults: Mapping[str, Any], said: str) -> None:
    """Refuse a text where an option's default is a number, or missing."""
    for name, value in options.items():
        default = defaults.get(name, "")
        wanted = default is inspect.Parameter.empty or (
            isinstance(default, (int, float)) and not isinstance(default, bool)
        )
        if isinstance(value, str) and wanted:
            raise ValueError(f"{said} has {name}={value!r}: a number is wanted.")


def quote_error(error: BaseException | None) -> str:
    """Return the first line of an error as a sentence.

    It is that of the part which a library prints bold inside of an account of the call.
    """
    text = _bare(error).split("\n")[0] or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _bare(error: BaseException | None) -> str:
    said = str(error).strip()
    return bold[1].strip() if (bold := _BOLD.search(said)) else said


def describe_error(error: BaseException, bare: tuple[type[BaseException], ...] = ()) -> str:
    """Return an error's type, unless in `bare`, and its first line."""
    lines = [line.strip() for line in _bare(error).splitlines() if line.strip()] or [""]
    if "Original Traceback" in str(error):
        return lines[-1]  # of a worker process of a DataLoader: what happened there comes last
    return lines[0] if isinstance(error, bare) else f"{type(error).__name__}: {lines[0]}"


def measure_text(text: str) -> int:
    """Count the columns that a text takes: Chinese signs two, marks none."""
    wide = {"W": 2, "F": 2}
    flat = ("Mn", "Me", "Cf")
    return sum(
        0 if unicodedata.category(sign) in flat else wide.get(unicodedata.east_asian_width(sign), 1) for sign in text
    )


def cut_text(text: str, most: int, end: int = 0) -> str:
    """Cut a text to `most` columns, `end` for its end."""
    if measure_text(text) <= most:
        return text
    start = len(text)
    while measure_text(text[:start]) > most - 1 - end:
        start -= 1
    rest = start
    while measure_text(text[rest:]) > end:
        rest += 1
    return f"{text[:start].rstrip()}…{text[rest:].lstrip()}"


def fill_text(text: str, most: int) -> str:
    """Wrap a text into lines of about `most` columns."""
    return textwrap.fill(text, max(1, most * len(text) // max(1, measure_text(text))))


def cut_names(names: Sequence[str], most: int) -> list[str]:
    """Cut names; those that would look alike keep their ends."""
    cut = [cut_text(name, most) for name in names]
    return [cut_text(name, most, most // 2) if cut.count(one) > 1 else one for name, one in zip(names, cut)]
