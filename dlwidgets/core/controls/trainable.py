"""Which parts of the model train, as a control."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from ..base.ledger import Entry
from ..layers.structure import expression_of
from .control import Control, Rejected, Writer
from .parameter_groups import find_group, remove_parameter
from .patterns import FreezableParts, TrainablePatterns, fewest_names


class TrainableWriter(Writer):
    """Writes what freezes and unfreezes, and holds running statistics."""

    def __init__(self, name: str, script: Any) -> None:
        super().__init__(name, script)
        self._parts = FreezableParts(script.model)
        #: Of each tensor, whether it trains where no pattern means it.
        self._own = [script.loop.freezing.trains_by_default(tensor) for tensor in self._parts.tensors]
        # As the model's constructor leaves them.
        self._now = [True] * len(self._parts.tensors)
        self._held: list[nn.Module] = []
        self._moved = {name for group in script.origin.groups for name in group["params"]}
        self._joined: set[str] = set()

    def begin(self) -> None:
        if lines := self._lines(self.at_first):
            self.script.setup.append("# What does not train.\n" + "\n".join(lines))

    def change(self, entry: Entry) -> list[str]:
        lines = self._lines(entry.asked)
        return [f"# {entry.note}", *lines] if lines and entry.note and len(entry.note) < 80 else lines

    def _lines(self, choice: TrainablePatterns | dict[str, bool] | None) -> list[str]:
        parts, model = self._parts, self.script.model
        flags = parts.train_flags(None if choice is None else TrainablePatterns(choice))
        tensors = range(len(parts.tensors))
        after = [self._own[i] if (said := flags[i]) is None else said for i in tensors]
        lines = self._membership(flags)
        for on in (False, True):
            changed = {i for i in tensors if after[i] is on and self._now[i] is not on}
            for name in self._names(changed):
                lines.append(f"{expression_of(model, name)}.requires_grad_({on})")
            for i in changed:
                name = parts.names[i][0]
                if not on and name not in self._moved:
                    lines.append(
                        f"{expression_of(model, name)}.grad = None  # the optimizer does not clear it"
                    )
        lines += self._modes(parts.held_layers(flags))
        self._now = after
        return lines

    def _names(self, numbers: set[int]) -> Iterable[str]:
        """Return the fewest names of layers and parameters that are exactly these."""
        parts = self._parts
        if not numbers:
            return []
        names = ["" if name == "the whole model" else name for name in fewest_names(parts, numbers)]
        covered = {
            i for name in names for i in (parts.match(name) if name else range(len(parts.tensors)))
            if i < len(parts.tensors)
        }  # fmt: skip
        return names if covered == numbers else [parts.names[i][0] for i in sorted(numbers)]

    def _membership(self, flags: list[Any]) -> list[str]:
        """Return the lines that add parameters to the optimizer or remove them."""
        parts, model = self._parts, self.script.model
        known = dict(model.named_parameters())
        lines = []
        for i, tensor in enumerate(parts.tensors):
            name = parts.names[i][0]
            if flags[i] and name not in self._moved:
                optimizer = self.script.movement.optimizer
                group = find_group(name, tensor, known, optimizer)
                optimizer.param_groups[group]["params"].append(tensor)
                lines.append(
                    f'optimizer.param_groups[{group}]["params"].append({expression_of(model, name)})'
                )
                self._moved.add(name)
                self._joined.add(name)
            elif flags[i] is None and name in self._joined:
                gone = expression_of(model, name)
                lines += [
                    "for group in optimizer.param_groups:",
                    f'    group["params"] = [p for p in group["params"] if p is not {gone}]',
                    f"optimizer.state.pop({gone}, None)",
                ]
                remove_parameter(self.script.movement.optimizer, tensor)
                self._moved.discard(name)
                self._joined.discard(name)
        return lines

    def _modes(self, held: list[nn.Module]) -> list[str]:
        """Return the lines that hold running statistics, or let them go on."""
        model = self.script.model
        paths = {id(module): path for path, module in model.named_modules()}
        lines = []
        for modules, others, on in ((held, self._held, False), (self._held, held, True)):
            for module in modules:
                if any(module is other for other in others):
                    continue
                where = expression_of(model, paths[id(module)])
                if next(module.children(), None) is None:
                    lines.append(f"{where}.{'train' if on else 'eval'}()")
                else:
                    lines.append(f"{where}.training = {on}")
                lines[-1] += "" if on else "  # holds its running statistics"
        self._held = held
        return lines


class Trainable(Control):
    """Which of the model's parameters train: pattern -> whether, read in order."""

    name = "trainable"
    aliases = (
        "requires_grad", "unfreeze", "unfrozen", "train_only", "trainable_layers", "trainable_parameters",
    )  # fmt: skip
    at_rest = True
    writer = TrainableWriter

    def read(self, value: Any) -> TrainablePatterns | None:
        return self.loop.freezing.read(value)

    def now(self) -> TrainablePatterns | None:
        return self.loop.freezing.choice

    def put(self, value: TrainablePatterns | None) -> str:
        freezing = self.loop.freezing
        try:
            note = freezing.put(value, self.loop.optimizer)
        except ValueError as why:
            raise Rejected(str(why)) from None
        freezing.hold_statistics()
        return note

    def state(self) -> Any:
        return self.loop.freezing.state()

    def install(self, state: Any) -> None:
        self.loop.freezing.install(state, self.loop.optimizer)
