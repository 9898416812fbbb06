"""Which parts of the model train, as a control."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..base.ledger import Entry
from ..layers.structure import expression_of
from .control import Control, Writer
from .parameter_groups import find_group, remove_parameter
from .patterns import FreezableParts, TrainablePatterns


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
            # The fewest names that are exactly these.
            few = parts.fewest_names(changed) if changed else ()
            names = ["" if name == "the whole model" else name for name in few]
            if {i for name in names for i in parts.match(name)} & {*tensors} != changed:
                names = [parts.names[i][0] for i in sorted(changed)]
            lines += [f"{expression_of(model, name)}.requires_grad_({on})" for name in names]
            gone = [parts.names[i][0] for i in changed if not on]
            lines += [
                f"{expression_of(model, name)}.grad = None  # the optimizer does not clear it"
                for name in gone if name not in self._moved
            ]  # fmt: skip
        lines += self._modes(parts.held_layers(flags))
        self._now = after
        return lines

    def _membership(self, flags: list[Any]) -> list[str]:
        """Return the lines that add parameters to the optimizer or remove them."""
        parts, model = self._parts, self.script.model
        known, optimizer = dict(model.named_parameters()), self.script.movement.optimizer
        lines = []
        for i, tensor in enumerate(parts.tensors):
            name = parts.names[i][0]
            where = expression_of(model, name)
            if flags[i] and name not in self._moved:
                group = find_group(name, tensor, known, optimizer)
                optimizer.param_groups[group]["params"].append(tensor)
                lines.append(f'optimizer.param_groups[{group}]["params"].append({where})')
                self._moved.add(name)
                self._joined.add(name)
            elif flags[i] is None and name in self._joined:
                lines += [
                    "for group in optimizer.param_groups:",
                    f'    group["params"] = [p for p in group["params"] if p is not {where}]',
                    f"optimizer.state.pop({where}, None)",
                ]
                remove_parameter(optimizer, tensor)
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
                call = f"{'train' if on else 'eval'}()"
                said = call if next(module.children(), None) is None else f"training = {on}"
                said += "" if on else "  # holds its running statistics"
                lines.append(f"{expression_of(model, paths[id(module)])}.{said}")
        self._held = held
        return lines


class Trainable(Control):
    """Which of the model's parameters train: pattern -> whether, read in order."""

    name = "trainable"
    aliases = (
        "requires_grad", "unfreeze", "unfrozen", "train_only", "trainable_layers", "trainable_parameters",
    )  # fmt: skip
    at_rest = True
    loop_part = "freezing"
    writer = TrainableWriter

    def read(self, value: Any) -> TrainablePatterns | None:
        return self.loop.freezing.read(value)

    def now(self) -> TrainablePatterns | None:
        return self.loop.freezing.choice

    def put(self, value: TrainablePatterns | None) -> str:
        note = self.loop.freezing.put(value, self.loop.optimizer)
        self.loop.freezing.hold_statistics()
        return note

    def install(self, state: Any) -> None:
        self.loop.freezing.install(state, self.loop.optimizer)
