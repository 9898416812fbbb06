"""A script in the making: the run, and the script's parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ..data.task import KnownLabelsLoss, Task
from ..layers.framework import is_foreign
from .keras import write_call
from .module_expression import write_module
from .sources import Sources, Unwritable

if TYPE_CHECKING:
    from ..base.ledger import Entry
    from ..controls.control import Control, Writer
    from ..data.session_data import SessionData
    from ..training.loop import Loop
    from ..training.snapshots.origin import Origin


@dataclass
class Draft:
    """A run, and its script as far as it is written.

    Attributes
    ----------
    changes : the changes in force, in order, from the origin on; those after the last step left out.
    path : the script's own; what lies beside it is named after it.
    rewound : whether steps were taken back, which the script leaves out.
    data : whether the data is to lie beside it.
    thresholds : those in force: one, or one for each class.
    settings : lines that set the variables which changes set anew.
    definitions, setup : functions that the run needs; blocks between the optimizer and the loop.
    first_draws : lines before the first step that draw random numbers of the run.
    before, after, after_count : lines of a step between the gradients and the optimizer's step, after that,
        and after the step was counted.
    epoch_end, ending : lines after the last step of an epoch, and after the run.
    after_skips : step -> the lines of how batches are cut that were changed after some were left out there.
    accumulates : whether gradients of several batches were accumulated.
    context : the head of a block in which the loss is computed; "" for none.
    files : name -> what is to be saved beside the script, and what it is.
    notes : what a reader must do or know, in sentences.
    resized : the line that changes the batch size, with braces where it goes.
    ordered : whether batches are cut out of an order, in which those that were left out are told by number.
    writers, movement, losses : those of the controls, by name; the optimizer's, for all that change it; the loss's.
    flag_lines : those of another framework's flags of what trains.
    """

    loop: Loop
    controls: Sequence[Control]
    opened: SessionData
    origin: Origin
    changes: Sequence[Entry]
    seed: int
    path: Path
    rewound: bool
    data: bool
    thresholds: Any
    sources: Sources = field(default_factory=Sources)
    settings: list[str] = field(default_factory=list)
    definitions: list[str] = field(default_factory=list)
    setup: list[str] = field(default_factory=list)
    first_draws: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    after_count: list[str] = field(default_factory=list)
    epoch_end: list[str] = field(default_factory=list)
    ending: list[str] = field(default_factory=list)
    after_skips: dict[int, list[str]] = field(default_factory=dict)
    accumulates: bool = False
    context: str = ""
    files: dict[str, tuple[Any, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    resized: str = "batch_size = {}"
    ordered: bool = True
    writers: dict[str, Writer] = field(default_factory=dict)
    movement: Any = None
    flag_lines: Any = None
    losses: Any = None

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self.loop.model

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The parameters of the model, and those held beside it."""
        return {**dict(self.model.named_parameters()), **self.loop.objective.companions.parameters()}

    @property
    def foreign(self) -> bool:
        """Whether the model is of another framework."""
        return is_foreign(self.model)

    def call(self, inputs: str, trains: bool = True, model: str = "model") -> str:
        """Write the call of the model."""
        return write_call(self.model, inputs, trains, model) if self.foreign else f"{model}({inputs})"

    @property
    def device(self) -> str:
        """Where the run computed."""
        return str(self.loop.objective.device)

    @property
    def masks(self) -> bool:
        """Whether the loss leaves unknown labels out."""
        masked = [loss for task in self.tasks if isinstance(loss := task.loss, KnownLabelsLoss)]
        return any(loss.met for loss in masked) or (bool(masked) and self.loop.objective.device.type != "cpu")

    @property
    def tasks(self) -> list[Task]:
        """The tasks of the run, which differ by their loss."""
        control: Any = next(one for one in self.controls if one.name == "loss_function")
        try:
            return [control.task_of(wish) for wish in self.ever("loss_function")]
        except ValueError as why:
            raise Unwritable(f"a loss of the run cannot be made again: {why}") from None

    def task_at(self, entry: Entry | None) -> Task:
        """Return the task in force at a change; None: the first."""
        before = [] if entry is None else self.changes[: self.changes.index(entry)]
        return self.tasks[sum(one.name == "loss_function" for one in before)]

    @property
    def to_device(self) -> str:
        """What moves a tensor of the script there."""
        return "" if self.device == "cpu" else ".to(device)"

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return self.loop.steps

    @property
    def weighs(self) -> bool:
        """Whether a named loss ever had another weight than 1."""
        return any(weight != 1 for each in self.ever("loss_weights") for weight in (each or {}).values())

    def changed(self, *names: str, after: int = -1) -> list[Entry]:
        """Return the changes of some controls after more than `after` steps."""
        return [entry for entry in self.changes if entry.name in names and entry.step > after]

    def follows_skip(self, entry: Entry) -> bool:
        """Say whether batches were left out before a change of their cut."""
        if self.ordered or entry.name not in ("accumulate", "batch_size"):
            return False
        before = [*self.changes[: self.changes.index(entry)]]
        return any(one.name == "skip" and one.step == entry.step for one in before)

    def ever(self, name: str) -> list[Any]:
        """Return all values that a control had in the run."""
        return [self.origin.settings.get(name), *(entry.applied for entry in self.changed(name))]

    def save_beside(self, what: str, value: Any, words: str) -> str:
        """Save an object beside the script; return its path's expression."""
        name = f"{self.path.stem}.{what}.pt"
        self.files[name] = value, words
        return f'HERE / "{name}"'

    def expression(self, module: nn.Module) -> str:
        """Write the expression that makes a module."""
        return write_module(module, self.sources)[0]

    def mark_model(self, why: Exception) -> str:
        """Return a marked place for the line that makes the model."""
        kind = type(self.model).__name__
        self.note(f"Put the line that makes the {kind} into make_model(): {why}.")
        return (
            f'def make_model():\n    """Return the {kind} as it was made."""\n'
            f'    raise NotImplementedError("Put the line here that makes the {kind}.")\n\n\n'
            "model = make_model()"
        )

    def note(self, sentence: str) -> None:
        """Note what a reader must know."""
        if sentence not in self.notes:
            self.notes.append(sentence)
