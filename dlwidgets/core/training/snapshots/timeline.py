"""The timeline of a run: lines, and ways back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import TYPE_CHECKING, Any, NamedTuple

from ...base.history import History
from ...base.ledger import Entry
from ...base.machine import snapshot_budget
from ...base.state import StateCopier, Stateful, state_arrays
from ...base.time_budget import TimeBudget
from ...controls.unfreeze_at import TIMETABLE
from .snapshot import Ring, Snapshot

if TYPE_CHECKING:
    import pandas as pd

    from ...controls.steering import Steering
    from ..loop import Loop

_NOTHING = "Nothing is kept to go back to."
#: (step, changes): after so many steps, with so many of the line's changes in force.
Place = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Branch:
    """A line that was left: what it measured, and its changes.

    Attributes
    ----------
    name, parent : its name, and that of the line it parted from; None for the first.
    from_step, steps : the step after which it parted; how many it has in all, those of its parents included.
    record : its history as columns, from step 1.
    changes : the ledger's entries in force on it, in order, from step 0.
    settings : the controls as they were at its end.
    kept : whether its last state is in memory; where not, it is trained anew on the way back to it.
    note : why it ended, where it did not end by itself.
    """

    name: str
    parent: str | None
    from_step: int
    steps: int
    record: History = field(repr=False)
    changes: tuple[Entry, ...] = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)
    kept: bool = True
    note: str = ""

    def history(self) -> pd.DataFrame:
        """Return the history as a data frame: see `Session.history`."""
        return self.record.frame()


class Comparison(NamedTuple):
    """Two lines side by side.

    Attributes
    ----------
    settings : a row for each control that differs at their ends, a column for each line.
    history : indexed by step; columns (measure, line): loss, valid_loss and the metrics of each.
    """

    settings: pd.DataFrame
    history: pd.DataFrame


def compare_lines(one: Branch, other: Branch) -> Comparison:
    """Compare two lines by settings and history."""
    import pandas as pd

    pair, shared = (one, other), [name for name in one.settings if name in other.settings]
    differ = [name for name in shared if one.settings[name] != other.settings[name]]
    settings = pd.DataFrame({
        branch.name: pd.Series([branch.settings[name] for name in differ], differ, object) for branch in pair
    })
    settings.index.name = "setting"
    left_out = ["epoch", "lr", "batch_size", "grad_norm", "seconds", "clipped_norm", "clipped"]
    frames = {branch.name: branch.history().drop(columns=left_out, errors="ignore") for branch in pair}
    measures = dict.fromkeys(name for frame in frames.values() for name in frame.columns)
    columns = {
        (measure, name): frame[measure]
        for measure in measures for name, frame in frames.items() if measure in frame
    }  # fmt: skip
    history = pd.DataFrame(columns)
    if columns:
        history.columns = pd.MultiIndex.from_tuples(columns, names=["measure", "line"])
    history.index.name = "step"
    return Comparison(settings, history)


@dataclass(eq=False)
class Line:
    """A line as the timeline keeps it.

    Attributes
    ----------
    place : where it parted from its parent.
    changes : its entries in force from step 0 on, those of its parents before it parted included.
    ancestors : name -> the place up to which a snapshot of that line is also one of this.
    end, history, settings, tip, note : set when it is left.
    undoes : whether going back to where it parted is undone with its first change, as one.
    """

    name: str
    parent: str | None = None
    place: Place = (0, 0)
    changes: list[Entry] = field(default_factory=list)
    ancestors: dict[str, Place] = field(default_factory=dict)
    end: Place = (0, 0)
    history: History | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    tip: Snapshot | None = None
    note: str = ""
    undoes: bool = False

    def holds(self, snapshot: Snapshot) -> bool:
        """Say whether a snapshot is a state that this line went through."""
        if snapshot.line == self.name:
            return True
        limit = self.ancestors.get(snapshot.line)
        return limit is not None and snapshot.place <= limit

    def went_through(self, line: str, step: int) -> bool:
        """Say whether that step of another line is this line's too."""
        return line == self.name or step <= self.ancestors.get(line, (-1, 0))[0]

    def fork(self, name: str, place: Place) -> Line:
        """Return a line that parts from this one at `place`."""
        ancestors = {one: min(limit, place) for one, limit in self.ancestors.items()}
        ancestors[self.name] = place
        return Line(name, self.name, place, self.changes[: place[1]], ancestors)

    def changes_before(self, step: int) -> int:
        """Count the changes that were in force in a step."""
        return sum(entry.step < step for entry in self.changes)


class Timeline:
    """Takes snapshots between steps and goes back, on the training thread.

    A *place* of which no snapshot is kept is reached from the newest before it: the steps are taken again
    with the line's changes at their steps, which on the CPU gives the same bits. Each loss is compared with
    the one that was written down then, so that it is said where something played a part that no snapshot
    knows, as a number that a custom step keeps for itself.

    Parameters
    ----------
    parts : name -> part; "data" refuses first, "random" comes last.
    memory : bytes that snapshots may take; None: `base.machine.snapshot_budget`.
    note : told, in a sentence, of what a person should know.
    """

    def __init__(
        self,
        loop: Loop,
        steering: Steering,
        parts: dict[str, Stateful],
        *,
        memory: int | None,
        note: Callable[[str], None],
    ) -> None:
        self._loop, self._steering, self.parts, self._memory, self._note = loop, steering, parts, memory, note
        self.line = Line("main")
        self.lines: dict[str, Line] = {self.line.name: self.line}
        self.ring = Ring(0)
        self.ring.ours, self.ring.dropped = lambda snapshot: self.line.holds(snapshot), self._dropped
        self._copier = StateCopier()
        # Epochs that take no longer than a snapshot's share allows get one now and then: any step between two
        # is reached by taking the steps from the first again. Who goes back waits for those: half a second of
        # them at most where a snapshot is cheap.
        self._often, self._epochs = TimeBudget(0.006, least=0.5), TimeBudget(0.006, least=0.0)
        self._before = TimeBudget(0.05, least=0.1)
        #: The bytes of a snapshot, and the budget that goes with them: read off the system once, not each
        #: time.
        self._budgeted = (-1, 0)
        self._born, self._went = 0, (0, 0)
        self._left_settings: dict[str, Any] = {}
        #: Set by another thread: steps are taken again no further.
        self.abandoned = False

    # -- what there is

    @property
    def place(self) -> Place:
        """Where the run is on its line."""
        return self._loop.steps, len(self.line.changes)

    @property
    def snapshots(self) -> tuple[tuple[int, str], ...]:
        """(step, why) of the snapshots on the line under way, in order."""
        return tuple((one.step, one.why) for one in self.ring if self.line.holds(one) and one.why != "left")

    @property
    def rates(self) -> dict[int, float | None]:
        """Step -> the rate in force, of this line's snapshots."""
        kept = [one.parts for one in self.ring if self.line.holds(one)][::-1]  # of one step, that before its changes
        base = self._loop.rate.base_in
        return {
            parts["loop"]["steps"]: base(parts["steering"]["schedule"], parts["optimizer"]["groups"]) for parts in kept
        }

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The lines that were left."""
        return tuple(self.branch(name) for name, line in self.lines.items() if line is not self.line)

    def line_named(self, which: Branch | str) -> Line:
        """Return a line by its name or branch.

        Raises
        ------
        ValueError : there is no such line.
        """
        name = which.name if isinstance(which, Branch) else which
        if name not in self.lines:
            raise ValueError(f"There is no line {name!r}: there are {', '.join(map(repr, self.lines))}.")
        return self.lines[name]

    def branch(self, which: Branch | str) -> Branch:
        """Return a line by its name, as it is or was left."""
        if isinstance(which, Branch):
            return which
        line = self.line_named(which)
        if line is not self.line:
            return Branch(
                line.name, line.parent, line.place[0], line.end[0], line.history or History(),
                tuple(line.changes), dict(line.settings), line.tip is not None, line.note,
            )  # fmt: skip
        return Branch(
            line.name, line.parent, line.place[0], self._loop.steps, self._loop.history, tuple(line.changes),
            self._steering.wishes(),
        )  # fmt: skip

    @property
    def spans(self) -> dict[str, tuple[int, int]]:
        """Name -> (step after which it parted, its last step)."""
        return {
            name: (line.place[0], self._loop.steps if line is self.line else line.end[0])
            for name, line in self.lines.items()
        }

    # -- taking snapshots

    def begin(self) -> None:
        """Take the first snapshot of all, where there is none."""
        if not any(self.line.holds(one) for one in self.ring):
            self.take("start")

    def before_change(self) -> None:
        """Take a snapshot before a change, but not before each of many."""
        if not len(self.ring) or self._before.due():
            self.take("change")

    def after_step(self) -> None:
        """Take a snapshot where it is time."""
        if self._loop.epoch_ended and self._epochs.due():
            self.take("epoch")
        elif self._often.due():
            self.take("time")

    def changed(self, entries: Sequence[Entry]) -> None:
        """Note what was put in force."""
        self.line.changes += [entry for entry in entries if not entry.rejected]

    def take(self, why: str) -> Snapshot | None:
        """Take a snapshot; None where it is there, or has no room."""
        if any(one.place == self.place and self.line.holds(one) for one in self.ring):
            return None
        began = time.perf_counter()
        snapshot = self.capture(why)
        if snapshot is not None:
            self.ring.add(snapshot)
        seconds = time.perf_counter() - began
        for governor in (self._often, self._epochs, self._before):
            governor.spent(seconds)
        return snapshot

    def capture(self, why: str, must: bool = False) -> Snapshot | None:
        """Copy the state of now; None without room, unless it must be."""
        try:
            states = {name: part.state() for name, part in self.parts.items()}
        except ValueError:
            return None  # a layer without a size yet: after the first step it has one
        size = sum({id(tensor): tensor.nbytes for tensor in state_arrays(states)}.values())
        if size != self._budgeted[0]:
            self._budgeted = size, snapshot_budget(size, self._memory)
        self.ring.budget = budget = self._budgeted[1]
        if 2 * size > budget and not must:
            room = f"the {_megabytes(budget)} set aside"
            said = f" of {room}: only the newest is kept"
            if size > budget:
                said = f", more than {room}: going back is off"
            self._note(f"A snapshot takes {_megabytes(size)}{said}. snapshot_memory= sets more aside.")
            if size > budget:
                return None
        self.ring.make_room(self._copier.new_bytes(states))
        step, changes = self.place
        states = {name: self._copier(state) for name, state in states.items()}
        return Snapshot(step, changes, why, self.line.name, states)

    # -- going back

    def rewind(self, step: int, exact: bool, by: str, changes: int | None = None, note: str = "") -> Place:
        """Go back to the state after `step` steps; return the place.

        Parameters
        ----------
        step, exact : see `Session.rewind`.
        changes : how many changes are then in force; None: none that were made right after `step`.

        Raises
        ------
        ValueError : in a sentence, why it cannot be; all is as before.
        """
        line, now, record = self.line, self.place, self._loop.history
        step = step if step >= 0 else max(0, now[0] + step)
        if step > now[0]:
            raise ValueError(f"Step {step:,} was not taken: this line of the run is at step {now[0]:,}.")
        target = (step, line.changes_before(step) if changes is None else changes)
        if not exact:
            mine = [one for one in self.ring if line.holds(one)]
            if not mine:
                raise ValueError(_NOTHING)
            target = min(mine, key=lambda one: (abs(one.step - step), one.place)).place
        tip = self.capture("left", must=True)
        said = self._go(line, target, record, tip)
        reached, ledger = (self._loop.steps, self._went[1]), self._steering.ledger
        said = "; ".join(filter(None, [note, said]))
        ledger.add(Entry(now[0], "rewind", step, reached[0], by, said))
        if now[0] > reached[0]:
            owner = line
            while owner.parent is not None and reached <= owner.place:
                owner = self.lines[owner.parent]
            name = self._new_name() if self._leave(line, now, record, tip) else line.name
            self._enter(owner.fork(name, reached))
        else:
            del line.changes[reached[1]:]
        for one in [one for one in self.ring if one.line == self.line.name and one.place > reached]:
            self.ring.drop(one)
        self._loop.history = record.upto(self._loop.steps)
        return reached

    def undo(self, by: str) -> Place:
        """Go back to right before the last change: see `Session.undo`."""
        changes = self.line.changes
        if not changes:
            raise ValueError("There is nothing to undo: no change was made on this line.")
        last, count = changes[-1], 1
        if last.by == "run" and len(changes) > 1 and changes[-2].name in ("batch_size", "accumulate"):
            if changes[-2].step == last.step:
                last, count = changes[-2], 2  # the schedule was stretched by it
        if last.by == TIMETABLE and len(changes) > 1 and changes[-2].name == "unfreeze_at":
            if changes[-2].step == last.step:
                last, count = changes[-2], 2  # what it names was frozen by it
        if self.line.undoes and (last.step, len(changes) - count) <= self.line.place:
            return self.switch(self.line.parent or "", by)
        note = f"took back {last.name} = {last.applied!r}"
        reached = self.rewind(last.step, True, by, changes=len(changes) - count, note=note)
        self._steering.dealt_with(last.by)  # lest the timetable brings it again at once
        return reached

    def switch(self, which: Branch | str, by: str, end: Snapshot | None = None) -> Place:
        """Go to another line's end, whose state `end` may be."""
        line, now, record = self.line, self.place, self._loop.history
        other = self.line_named(which)
        if other is line:
            return now
        tip = self.capture("left", must=True)
        said = self._go(other, other.end, other.history or History(), tip, end)
        self._steering.ledger.add(Entry(now[0], "switch", other.name, self._loop.steps, by, said))
        self._leave(line, now, record, tip)
        self._enter(other)
        self._loop.history = (other.history or History()).upto(self._loop.steps)
        other.history = None
        return self.place

    def fork(self, name: str = "") -> Line:
        """Let a new line part here; return the one that was left."""
        line, now, record = self.line, self.place, self._loop.history
        line.end, line.history, line.settings = now, record, self._steering.wishes()
        line.tip = self.capture("left", must=True)
        self._loop.history = record.upto(now[0])
        self._enter(line.fork(self._new_name(name), now))
        return line

    def _go(
        self, line: Line, target: Place, record: History, tip: Snapshot | None, end: Snapshot | None = None
    ) -> str:
        """Put a place in force; return what is to be said."""
        mine = [one for one in self.ring if line.holds(one) and one.place <= target]
        ends = [end, line.tip, tip if line is self.line else None]
        mine += [one for one in ends if one is not None and one.place == target]
        if not mine:
            first = min((one.step for one in self.ring if line.holds(one)), default=None)
            raise ValueError(_NOTHING if first is None else f"Nothing is kept from before step {first:,}.")
        base = max(mine, key=lambda one: one.place)
        before = self._loop.history
        self._left_settings = self._steering.wishes()
        try:
            said = base.install(self.ordered())
            self._loop.history = record.upto(base.step)
            differs = self._retake(line, base, target, record)
        except BaseException as error:
            if tip is not None:
                tip.install(self.ordered())
            self._loop.history = before
            if isinstance(error, ValueError):
                raise ValueError(f"There is no way back to step {target[0]:,}: {error}.") from error
            raise
        if differs is not None:
            said.append(
                f"from step {differs:,} on the losses are not those of then: something plays a part that no "
                "snapshot holds"
            )
        sentence = "; ".join(said)
        if said:
            self._note(f"Back to step {self._loop.steps:,}: {sentence}.")
        return sentence

    def _retake(self, line: Line, base: Snapshot, target: Place, record: History) -> int | None:
        """Retake steps to a place; return the first whose loss differs."""
        loop, (step, changes), count = self._loop, target, base.changes
        losses, differs = record.columns["loss"].values, None
        rows = {row["step"]: row for row in record.evaluations}
        self.abandoned = False
        if getattr(self.parts.get("trainer"), "owed", False):
            self._evaluated(rows.get(loop.steps))
        while True:
            while count < changes and line.changes[count].step <= loop.steps:
                self._steering.redo(line.changes[count])
                count += 1
            if loop.steps >= step or self.abandoned:
                break
            number, took = loop.steps, loop.step()
            if took and differs is None and number < len(losses) and losses[number] != loop.loss:
                differs = number + 1
            if took or loop.epoch_ended:
                self._evaluated(rows.pop(loop.steps, None))
        self._went = loop.steps, count
        return differs

    def _evaluated(self, row: Mapping[str, Any] | None) -> None:
        """Tell the parts what an evaluation found then."""
        for part in () if row is None else self.parts.values():
            if hasattr(part, "evaluated"):
                part.evaluated({name: value for name, value in row.items() if name != "step"})  # type: ignore[union-attr]

    def start_over(self, line: Line) -> None:
        """Have `line` as the only one, with a snapshot of now."""
        self.line, self.lines, self._steering.ledger.line = line, {line.name: line}, line.name
        for one in list(self.ring):
            self.ring.drop(one)
        self.take("start")

    def ordered(self) -> Mapping[str, Stateful]:
        """Return the parts in the order in which they are put back."""
        return dict(sorted(self.parts.items(), key=lambda part: part[0] == "random"))

    def _leave(self, line: Line, end: Place, record: History, tip: Snapshot | None) -> bool:
        """Leave a line, or forget it (False) where nothing happened."""
        if line.parent is not None and end == line.place:
            if not any(other.parent == line.name for other in self.lines.values()):
                del self.lines[line.name]
                return False
        line.end, line.history, line.settings, line.tip = end, record, self._left_settings, tip
        return True

    def _enter(self, line: Line) -> None:
        """Let `line` be the one under way."""
        left, self.line = self.line, line
        self.lines[line.name] = line
        self._steering.ledger.line = line.name
        if left.tip is not None and left is not line and left.tip not in self.ring:
            self.ring.add(left.tip)
        line.tip = None  # it is a state of the line under way like any other now

    def _dropped(self, snapshot: Snapshot) -> None:
        """Let go of a line's end, which has no room any more."""
        for line in self.lines.values():
            if line.tip is snapshot:
                line.tip = None

    def _new_name(self, wanted: str = "") -> str:
        if wanted:
            again = (f"{wanted} {number}" for number in count(2))
            return next(name for name in chain([wanted], again) if name not in self.lines)
        self._born += 1
        return f"branch {self._born}"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MB" if size >= 2**20 else f"{size / 2**10:,.0f} KB"
