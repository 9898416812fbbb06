"""The protocol of a control, from what is typed to the script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..base.literals import Unwritable

if TYPE_CHECKING:
    from ..base.ledger import Entry
    from .steering import Steering

__all__ = ["Control", "Panel", "PanelRow", "Setting", "Unwritable", "Writer"]


class Control:
    """One thing that can be changed of a run.

    To add one, write a subclass and name it in `steering.CONTROLS`. The session's trait, the ledger,
    snapshots, the panel's rows, limits and locks, and the script follow from it.

    Attributes
    ----------
    name, aliases : of the session's trait and argument, and the ledger's entry; what people type for it.
    default : the wish of a plain loop.
    steers : whether it is put in force between two steps, and written down; see `Setting`.
    at_rest : whether it is put in force at once where nothing runs: a model at rest shows it.
    of_the_step : whether only the next step knows of it: an evaluation under way need not end before it.
    loop_part : the part of the loop whose state is the control's; "" where it keeps one itself, or none.
    shapes_model : whether its state is put back before the optimizer's and the weights'.
    changes_length : whether the run has another number of steps by it.
    acts_as : who the wishes for other controls are by that it brings, in the ledger; "" where it brings none.
    touches : the other controls whose value, or what follows from it, may be another once it is put in force.
    bounds : what a panel can limit: "any" number, "positive" ones alone; None: it holds no number.
    rows : what the training panel shows of it beside its three main controls.
    writer : writes its lines in an exported script; None: no script can be written of it.
    """

    name: ClassVar[str] = ""
    default: ClassVar[Any] = None
    aliases: ClassVar[tuple[str, ...]] = ()
    steers: ClassVar[bool] = True
    at_rest: ClassVar[bool] = False
    of_the_step: ClassVar[bool] = False
    loop_part: ClassVar[str] = ""
    shapes_model: ClassVar[bool] = False
    changes_length: ClassVar[bool] = False
    acts_as: ClassVar[str] = ""
    touches: ClassVar[tuple[str, ...]] = ()
    bounds: ClassVar[str | None] = None
    rows: ClassVar[tuple[PanelRow, ...]] = ()
    writer: ClassVar[type[Writer] | None] = None

    def __init__(self, steering: Steering | None = None) -> None:
        #: The controls that this one belongs to; without them it can but read.
        self.steering: Any = steering
        if steering is not None:
            self.optimizer_changed()

    @property
    def loop(self) -> Any:
        """The `core.training.loop.Loop` that it steers."""
        return self.steering.loop

    def read(self, value: Any) -> Any:
        """Return a wish in one form.

        Raises
        ------
        TypeError, ValueError : one sentence on what does not fit.
        """
        return value

    def now(self) -> Any:
        """Return what is in force."""
        raise NotImplementedError

    def wish(self) -> Any:
        """Return the wish that means what is in force."""
        return self.now()

    def follows(self) -> dict[str, Any]:
        """Return what to show beside the value in force, by name."""
        return {}

    def put(self, value: Any) -> str | None:
        """Put a wish from `read` in force; return a note.

        Raises
        ------
        ValueError : why it cannot be, in a clause; all is as before.
        """
        raise NotImplementedError

    def follow_up(self) -> dict[str, Any]:
        """Return the wishes for others that it brings, once put in force."""
        return {}

    def due(self) -> dict[str, Any]:
        """Return the wishes for others whose time is now, once a place."""
        return {}

    def pass_over(self) -> None:
        """Leave out what is due here: it was dealt with already."""

    def redo(self, entry: Entry) -> None:
        """Put once more in force what an entry of the ledger says."""
        self.put(entry.asked)

    def optimizer_changed(self) -> None:
        """Read the optimizer, in the beginning and whenever there is another."""

    def run_begins(self, run: int) -> None:
        """Take notice that a run begins, the `run`-th."""

    def state(self) -> Any:
        """Return what stands nowhere else, as plain data: see `base.state.Stateful`."""
        return getattr(self.loop, self.loop_part).state() if self.loop_part else None

    def install(self, state: Any) -> str | None:
        """Restore what `state` returned; return a note on what is missing."""
        return getattr(self.loop, self.loop_part).install(state) if self.loop_part else None

    @classmethod
    def headline(cls, panel: Panel) -> str:
        """Return what its closed section says of it; "" for nothing."""
        return ""


class Setting(Control):
    """A wish that is only read when needed, and not written down."""

    steers: ClassVar[bool] = False


@dataclass(frozen=True)
class Panel:
    """A session as the rows of its panel read it.

    `asked` and `applied` have, by control, what is asked for, and what is in force.
    """

    session: Any
    asked: Mapping[str, Any]
    applied: Mapping[str, Any]

    def shown(self, control: str) -> Any:
        """Return what was asked for; without that, what is in force."""
        asked = self.asked.get(control)
        return self.applied.get(control) if asked is None else asked


def parse_number(text: Any) -> Any:
    """Return the typed number, None for nothing, other text as it is."""
    text = str(text).strip().replace("\N{MINUS SIGN}", "-")
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text or None


@dataclass(frozen=True)
class PanelRow:
    """A row of the training panel.

    Attributes
    ----------
    section : where it stands: "optimizer", "schedule", "regularisation" or "run".
    kind : "choice", "text" or "flag".
    show : what of a control's value the row shows; None for nothing. A choice is shown by its word.
    wish : what is wished for once a person chose a word, typed a text, or set a flag.
    control : whose row it is, where it is not the control's that names it.
    part : the part of the control's value; "" for all of it.
    choices : the words of a choice.
    there : whether the row is of use now.
    why_not : why it is not to be had, a few words; "" where it is.
    fact : what stands beside it of what is in force; None: as `show` has it.
    """

    section: str
    label: str
    kind: str = "text"
    show: Callable[[Any], Any] = lambda value: value
    wish: Callable[[Panel, Any], Any] = lambda panel, text: parse_number(text)
    control: str = ""
    part: str = ""
    unit: str = ""
    hint: str = ""
    empty: str = ""
    choices: Callable[[Panel], Sequence[str]] = lambda panel: ()
    there: Callable[[Panel], bool] = lambda panel: True
    why_not: Callable[[Panel], str] = lambda panel: ""
    fact: Callable[[Panel, Any], str | None] = lambda panel, value: None

    @property
    def key(self) -> str:
        """Its name on the page."""
        return f"{self.control}.{self.part}" if self.part else self.control


class Writer:
    """Writes the lines of a control in a script: see `export.draft.Draft`."""

    #: Whether it is a variable at the head of the script, with the value that the first step has.
    at_head: ClassVar[bool] = False

    def __init__(self, name: str, script: Any) -> None:
        self.name, self.script = name, script

    def begin(self) -> None:
        """Write what stands before the loop, and in each step."""

    def change(self, entry: Entry) -> list[str]:
        """Return the lines of a change."""
        raise NotImplementedError

    def before(self) -> dict[int, list[str]]:
        """Return step -> lines to stand before those of its changes."""
        return {}

    def finish(self) -> None:
        """Contribute what is known only once all changes are written."""

    @property
    def at_first(self) -> Any:
        """What is in force where the script begins, before any change."""
        return self.script.origin.settings.get(self.name)  # a run of before this control was there has none

    @property
    def first(self) -> Any:
        """What is in force in the first step."""
        changed, follows = self.script.changed(self.name), self.script.follows_skip
        early = [entry.applied for entry in changed if entry.step == 0 and not follows(entry)]
        return early[-1] if early else self.at_first

    @property
    def ever(self) -> list[Any]:
        """All values that the control had in the run."""
        return [self.at_first, *(entry.applied for entry in self.script.changed(self.name))]
