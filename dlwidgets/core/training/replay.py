"""A ledger as a table, and read back to be replayed."""

from __future__ import annotations

import ast
import csv
import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.ledger import Entry
from ..base.literals import format_literal
from ..controls.unfreeze_at import TIMETABLE

if TYPE_CHECKING:
    import pandas as pd

    from .run import Run

#: What is written by going back; it changes nothing by itself.
MOVES = ("rewind", "switch")


def read_ledger(ledger: Any, known: Sequence[str], read: Callable[[str, Any], Any]) -> list[Entry]:
    """Read the changes that were in force at a ledger's end.

    Parameters
    ----------
    ledger : a data frame as `Session.ledger()` gives it, entries, or the path of a .json or .csv file that
        such a frame was written to.
    known : the names of the controls.
    read : returns a wish in one form, from its name and a value; raises ValueError.

    Raises
    ------
    TypeError, ValueError : one sentence on what does not fit.
    """
    if isinstance(ledger, (str, Path)):
        ledger = _from_file(Path(ledger))
    if hasattr(ledger, "to_dict") and hasattr(ledger, "columns"):
        ledger = ledger.to_dict("records")
    if not isinstance(ledger, Iterable) or isinstance(ledger, Mapping):
        raise TypeError(
            "replay() wants a ledger, as session.ledger() gives it, or the path of one; "
            f"not {type(ledger).__name__}."
        )
    rows = list(ledger)
    if rows and all(isinstance(row, Entry) for row in rows):
        moved = next((row for row in rows if row.name in MOVES), None)
        if moved is not None:
            raise ValueError(
                f"These entries hold a {moved.name}: pass session.ledger() or session.line_changes, which "
                "say what was in force at the end."
            )
        rows = [vars(row) for row in rows]
    found = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping) or not {"step", "name", "asked"} <= row.keys():
            raise TypeError(
                f"Row {number} of the ledger has no step, name and asked: is it one of session.ledger()?"
            )
        undone = any(row.get(name) in (True, 1, "True", "true") for name in ("rejected", "undone"))
        if row["name"] not in MOVES and not undone:
            found.append(_entry(row, number, known, read))
    if any(one.step > later.step for one, later in itertools.pairwise(found)):
        raise ValueError(
            "The ledger's steps go back, but none of its rows is a rewind: it is not of one run."
        )
    return found


def replay_change(run: Run, entry: Entry) -> None:
    """Make another run's change once more, between two steps."""
    if entry.name == "skip":
        run.skip()
        return
    steering, known = run.steering, len(run.steering.ledger)
    run.timeline.before_change()
    if entry.name != "schedule":
        # Whether the schedule was stretched by it stands in the ledger as well.
        steering.put(entry.name, entry.asked, entry.by, stretch=False)
        steering.dealt_with(entry.by)
    else:
        # As it was settled then, whatever the length of this run.
        steering.redo(entry)
        now = steering.in_force()["schedule"]
        steering.ledger.add(replace(entry, step=run.loop.steps, applied=now, time=time.time()))
    run.timeline.changed(steering.ledger.entries[known:])
    steering.adopted = {}  # told with all others
    run.tell(wishes=steering.wishes(), applied=steering.applied(), rejected=dict(steering.rejected))


def _entry(
    row: Mapping[str, Any], number: int, known: Sequence[str], read: Callable[[str, Any], Any]
) -> Entry:
    name = row["name"]
    if name not in known and name != "skip":
        raise ValueError(f"Row {number} of the ledger changes {name!r}, which this session has not.")
    step, asked, applied = int(row["step"]), row["asked"], row.get("applied")
    if isinstance(row.get("exactly"), str):
        try:
            asked, applied = ast.literal_eval(row["exactly"]) if row["exactly"] else (asked, applied)
        except (ValueError, SyntaxError):
            raise ValueError(f"Row {number} of the ledger cannot be read: {row['exactly']!r}.") from None
    if not row.get("exactly") and isinstance(asked, str) and asked.startswith(("<", "(<")):
        raise ValueError(f"Row {number} of the ledger sets {name} to {asked}, which no file can hold.")
    if name != "skip":
        try:
            asked = read(name, asked)
        except (ValueError, TypeError) as why:
            raise ValueError(f"Row {number} of the ledger cannot be replayed: {why}") from None
    by = row["by"] if row.get("by") in ("run", TIMETABLE) else "replay"
    note = row.get("note")
    return Entry(step, name, asked, applied, by, note if isinstance(note, str) else "")


def ledger_frame(run: Run) -> pd.DataFrame:
    """Return the ledger of a run as a data frame: see `Session.ledger`."""
    changes, frame = run.now("changes"), run.steering.ledger.frame()
    entries = run.steering.ledger.entries[: len(frame)]
    there, same = set(map(id, changes)), {(one.time, one.name, one.step) for one in changes}
    kept = [
        id(one) in there or one.rejected or (one.by == "run" and not one.step)
        or (one.time, one.name, one.step) in same
        for one in entries
    ]  # fmt: skip
    frame["undone"] = [not one for one in kept]
    frame["exactly"] = [format_literal(_plain((one.asked, one.applied))) or "" for one in entries]
    return frame


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value


def _from_file(path: Path) -> list[Any]:
    if not path.is_file():
        raise ValueError(f"There is no file {str(path)!r}.")
    text = path.read_text("utf-8")
    if path.suffix.lower() == ".csv":
        return list(csv.DictReader(text.splitlines()))
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is no JSON: {error}.") from None
    if isinstance(found, dict):
        if "data" in found and "columns" in found:
            return [dict(zip(found["columns"], row)) for row in found["data"]]
        columns = {key: list(column.values()) for key, column in found.items() if isinstance(column, dict)}
        if columns.keys() >= {"step", "name"}:
            return [dict(zip(columns, row)) for row in zip(*columns.values())]
        return list(found.values())
    return found
