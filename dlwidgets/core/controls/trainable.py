"""Which parts of a model train, and the optimizer's hold on them."""

from __future__ import annotations

import inspect
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ..base.ledger import Entry
from ..base.state import Reference, dereference
from ..base.words import pluralize, quote_error
from ..layers.foreign import modes_set_by_calls, settle_trainable
from ..layers.framework import framework_of, is_foreign
from ..layers.structure import expression_of
from ..layers.walk import numel_of
from .control import Control, Unwritable, Writer
from .parameter_groups import find_group, groups_by_id, prepare_join, remove_parameter
from .patterns import WEIGHTS, FreezableParts, TrainablePatterns, list_few, read_trainable, statistics_of


class _Original(NamedTuple):
    """A parameter's state before a pattern matched it."""

    tensor: nn.Parameter
    trained: bool
    #: The optimizer that it came into only because it was to train.
    joined: Optimizer | None = None


class Freezing:
    """Freezes and unfreezes parts of a model between two steps.

    A frozen parameter has `requires_grad` False **and** no gradient: an optimizer moves one whose gradient is
    merely zero, by momentum and weight decay. What the optimizer holds of it (momentum, Adam's moments and
    its count of steps) is held too, and goes on where it was once it trains again, as in a loop that sets
    `requires_grad` by hand. What the optimizer was never given is added to it as soon as it is to train.

    A layer with running statistics (BatchNorm, InstanceNorm, spectral norm) whose parameters are all frozen
    by the wish is in eval mode while the model trains, so that its statistics are held; one without
    parameters, where a pattern that freezes means it. Every other layer keeps its mode: dropout between
    frozen layers goes on, since it is there for what trains behind it. An embedding with `max_norm`, which shortens
    rows as it looks them up, has all its rows shortened when it is frozen: no look-up changes it from then on.

    A framework's own flags follow: those of Keras (`layer.trainable`, `variable.trainable`) say what `requires_grad`
    does, and a BatchNormalization whose statistics are held infers, as with `trainable = False`. One that its owner
    made so holds them where no pattern means it.

    A parameter that no pattern means is as its owner made it, frozen or not, and may be changed by hand while
    nothing runs: from the first step on that becomes a pattern, see `adopt`. One that a pattern means follows it
    whenever training goes on. A tensor with several names (tied weights) is one: the last pattern that means any of
    them counts.

    Attributes
    ----------
    choice : what is in force; None is as the model was. It is the whole state: `put` of an earlier one takes
        the model back to it, whatever was asked for between.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.choice: TrainablePatterns | None = None
        self._originals: dict[int, _Original] = {}
        #: Whether each parameter trained when the training thread left the model to its owner.
        self._left: dict[int, bool] = {}
        self._held_layers: list[nn.Module] = []
        #: Whether a layer that a pattern means held its statistics by its own flag before.
        self._own_holds: dict[int, bool] = {}
        self._modes: dict[int, tuple[nn.Module, bool]] = {}
        #: What holds layers whose mode each call sets anew.
        self._handles: dict[int, Any] = {}
        # Asked on one thread, put in force on another.
        self._lock = threading.RLock()

    @property
    def held_layers(self) -> Sequence[nn.Module]:
        """The layers whose running statistics are held."""
        found = {id(one): one for one in self._held_layers}
        own = (one for one in self.model.modules() if framework_of(one).holds_statistics(one))
        return [*(found | {id(one): one for one in own}).values()]

    def names_frozen(self) -> set[str]:
        """Return the names of the parameters that a pattern freezes."""
        if self.choice is None:
            return set()
        parts = FreezableParts(self.model)
        flags = parts.train_flags(self.choice)
        return {name for names, flag in zip(parts.names, flags) if flag is False for name in names}

    def reasons(self) -> dict[str, str]:
        """Return path -> by what the frozen parameters there are frozen."""
        parts, held = FreezableParts(self.model), set(map(id, self.held_layers))
        flag = framework_of(self.model).train_flag
        said = [f"by {flag} alone"] * parts.count
        for pattern, on in (self.choice or {}).items():
            words = f"by {pattern!r}{f', {flag} alone' if on == WEIGHTS else ''}"
            for number in parts.match(pattern):
                said[number] = words
        found = {}
        for path, module in parts.places.items():
            numbers = (number for number in parts.inside(module) if number < len(parts.tensors))
            words = dict.fromkeys(said[number] for number in numbers if not parts.tensors[number].requires_grad)
            if words:
                keeps = statistics_of(module) and ("held" if id(module) in held else "not held")
                found[path] = list_few([*words], 2) + (f"; its running statistics are {keeps}" if keeps else "")
        return found

    def frozen_by_hand(self) -> list[str]:
        """Return the fewest names of what is frozen, but by no pattern."""
        parts = FreezableParts(self.model)
        flags = parts.train_flags(self.choice)
        frozen = [number for number, one in enumerate(parts.tensors) if not one.requires_grad]
        if all(flags[number] is False for number in frozen):
            return []
        return ["*" if name == "the whole model" else name for name in parts.fewest_names(frozen)]

    def read(self, value: Any) -> TrainablePatterns | None:
        """Return a wish in one form: see `patterns.read_trainable`."""
        return read_trainable(FreezableParts(self.model), value)

    def extend(
        self, choice: TrainablePatterns | None, wanted: Sequence[Any], trains: bool | str, optimizer: Optimizer
    ) -> TrainablePatterns | None:
        """Return a choice with more frozen (or training).

        `wanted` are as `FreezableParts.patterns_for` takes them; refused in a sentence.
        """
        with self._lock:
            parts = FreezableParts(self.model)
            patterns = [pattern for one in wanted for pattern in parts.patterns_for(one)]
            held = groups_by_id(optimizer)
            running = {number for _, numbers in parts.running for number in numbers}
            # Whether each trains without patterns; None where a pattern with the same verdict does more: one
            # that freezes holds the statistics of a BatchNorm too, frozen by hand or not; one that has it
            # train gives the optimizer what it was not given.
            states: list[bool | None] = [True] * parts.count
            for number, tensor in enumerate(parts.tensors):
                was = self._originals.get(id(tensor), _Original(tensor, tensor.requires_grad))
                given = id(tensor) in held and was.joined is not optimizer
                says_more = number in running if not was.trained else not given
                states[number] = None if says_more else was.trained
        return parts.add_patterns(choice, patterns, trains, states)

    def only_after(self, layer: Any, order: Sequence[str], optimizer: Optimizer) -> TrainablePatterns | None:
        """Return the choice that freezes up to a layer.

        `order` has the paths of all layers in the order of the forward.
        """
        parts = FreezableParts(self.model)
        before = parts.up_to(parts.place_of(layer), order)
        if not before:
            raise ValueError(f"freeze_to({layer!r}): nothing up to there has parameters that could train.")
        return self.extend(self.extend(None, ["*"], True, optimizer), before, False, optimizer)

    def check(self, choice: TrainablePatterns | None, optimizer: Optimizer) -> None:
        """Raise ValueError, in a clause, where a choice cannot be."""
        with self._lock:
            parts = FreezableParts(self.model)
            _FreezingPlan(parts, parts.train_flags(choice), self._originals, optimizer)

    def put(self, choice: TrainablePatterns | None, optimizer: Optimizer) -> str:
        """Put a choice in force, as `Control.put`; return what changed."""
        with self._lock:
            parts = FreezableParts(self.model)
            flags = parts.train_flags(choice)
            plan = _FreezingPlan(parts, flags, self._originals, optimizer)
            held = parts.held_layers(flags)
            said = _describe_changes(parts, plan, self._held_layers, held)
            plan.carry_out()
            for embedding in renormalised_layers(parts, flags):
                scale_rows(embedding)
            settle_trainable(self.model, self._follow_holds(parts, flags, held))
            changed, self.choice, self._held_layers = choice != self.choice, choice, held
        return said or ("nothing changed by it" if changed else "")

    def own_hold(self, layer: nn.Module) -> bool:
        """Say whether a layer that no pattern means holds its statistics."""
        return self._own_holds.get(id(layer), framework_of(layer).holds_statistics(layer))

    def _follow_holds(self, parts: FreezableParts, flags: Sequence[Any], held: Sequence[nn.Module]) -> dict[int, bool]:
        """Return whether layers are to hold their statistics by their flags."""
        found = {}
        for module, own in parts.running:
            if any(flags[number] is not None for number in own):
                self._own_holds.setdefault(id(module), framework_of(module).holds_statistics(module))
                found[id(module)] = any(module is one for one in held)
            elif id(module) in self._own_holds:
                found[id(module)] = self._own_holds.pop(id(module))
        return found

    def leave(self) -> None:
        """Leave the model to its owner, who may freeze some."""
        flags = {id(one): one.requires_grad for one in self.model.parameters()}
        self._left = flags if any(flags.values()) else self._left  # what is all frozen is half of a change: see `adopt`

    def adopt(self, optimizer: Optimizer) -> tuple[TrainablePatterns | None, ...]:
        """Return the choice that says what was frozen by hand since `leave`.

        The flags are put back, for the choice to be put in force and written down; () where nothing was changed.
        Frozen so, weights are so by `requires_grad` alone, as in a plain loop, but for layers of Keras, whose own flag
        holds statistics too; what is to train goes to the optimizer.
        """
        if not any(one.requires_grad for one in self.model.parameters()):
            return ()  # the line that has the head train again is still to come
        left, self._left = self._left, {}
        changed = [one for one in self.model.parameters() if left.get(id(one), one.requires_grad) != one.requires_grad]
        if not changed:
            return ()
        parts = FreezableParts(self.model)
        flags, number_of = parts.train_flags(self.choice), {id(one): number for number, one in enumerate(parts.tensors)}
        numbers = [number_of[id(one)] for one in changed if id(one) in number_of]
        mine = [parts.tensors[number] for number in numbers if flags[number] in (None, WEIGHTS)]
        owners = [parts.places[parts.owners[number_of[id(one)]]] for one in mine]
        alone = [framework_of(one).freezes_weights_alone(one) for one in owners]
        said = [one.requires_grad or (WEIGHTS if weights else False) for one, weights in zip(mine, alone)]
        for tensor in mine:
            tensor.requires_grad_(not tensor.requires_grad)
        choice = self.choice
        for wish in (WEIGHTS, False, True):
            some = [one for one, its in zip(mine, said) if its == wish]
            choice = self.extend(choice, some and [some], wish, optimizer)
        return (choice,) if mine else ()

    def reapply(self, optimizer: Optimizer) -> str:
        """Reapply the choice to a model that was changed; say so."""
        if self.choice is None:
            return ""
        try:
            said = self.put(self.choice, optimizer)
        except ValueError as why:
            return f"trainable cannot be as asked for in the model that is here now: {why}."
        return said and f"The model has changed: trainable was put in force anew, which {said}."

    def state(self) -> dict[str, Any]:
        """Return the choice, and what the model was before it: see `base.state.Stateful`."""
        choice = None if self.choice is None else [[pattern, on] for pattern, on in self.choice.items()]
        tensors = FreezableParts(self.model).tensors if self._originals else []
        matched = [(number, self._originals.get(id(tensor))) for number, tensor in enumerate(tensors)]
        own = [[number, was.trained, was.joined is not None] for number, was in matched if was is not None]
        before = Reference((dict(self._originals), list(self._held_layers)))
        running = FreezableParts(self.model).running
        holds = [
            [number, framework_of(one).holds_statistics(one), self._own_holds.get(id(one))]
            for number, (one, _) in enumerate(running)
        ]
        return {"choice": choice, "own": own, "before": before, "holds": holds}

    def install(self, state: dict[str, Any], optimizer: Optimizer) -> None:
        """Restore a choice; model and optimizer have been restored already."""
        with self._lock:
            self.choice = None if state["choice"] is None else TrainablePatterns(dict(state["choice"]))
            if (before := dereference(state["before"])) is not None:
                self._originals, self._held_layers = dict(before[0]), list(before[1])
            elif self.choice is not None:
                tensors = FreezableParts(self.model).tensors
                self._originals = {
                    id(tensors[number]): _Original(tensors[number], trained, optimizer if joined else None)
                    for number, trained, joined in state.get("own", ()) if number < len(tensors)
                }
                self.put(self.choice, optimizer)
            running = [module for module, _ in FreezableParts(self.model).running]
            holds = [(running[number], *flags) for number, *flags in state.get("holds", ()) if number < len(running)]
            self._own_holds = {id(module): was for module, _, was in holds if was is not None}
            settle_trainable(self.model, {id(module): now for module, now, _ in holds})
        self.hold_statistics()

    def trains_by_default(self, tensor: nn.Parameter) -> bool:
        """Say whether a tensor trains where no pattern means it."""
        was = self._originals.get(id(tensor))
        return tensor.requires_grad if was is None else was.trained

    def hold_statistics(self, mode_was_set: bool = False) -> None:
        """Set layers with held statistics to eval mode; restore others.

        Where the mode of the model has just been set to train, whoever did so gives the modes back.
        """
        if mode_was_set:
            self._modes = {}
        wanted = {id(module): module for module in self._held_layers}
        for key in self._modes.keys() - wanted.keys():
            module, mode = self._modes.pop(key)
            module.training = mode
        for key in self._handles.keys() - wanted.keys():
            self._handles.pop(key).remove()
        restless = modes_set_by_calls(self.model) if wanted else ()
        for key, module in wanted.items():
            if key not in self._modes:
                self._modes[key] = module, module.training
                # Not eval(): what is inside, as dropout, keeps its mode.
                module.training = False
            if key in restless and key not in self._handles:
                self._handles[key] = module.register_forward_pre_hook(_hold_mode)


def _hold_mode(module: nn.Module, given: Any) -> None:
    module.training = False


def renormalised_layers(parts: FreezableParts, flags: Sequence[Any]) -> list[nn.Module]:
    """Return the frozen embeddings that shorten the rows they look up."""
    layers = (module for module in parts.model.modules() if isinstance(module, (nn.Embedding, nn.EmbeddingBag)))
    return [one for one in layers if one.max_norm is not None and all(flags[i] is False for i in parts.inside(one))]


def scale_rows(embedding: nn.Module) -> None:
    """Shorten all rows as look-ups do, until none changes any more."""
    weight, rows = embedding.weight.detach(), torch.arange(len(embedding.weight), device=embedding.weight.device)
    for _ in range(10):
        before = weight.clone()
        torch.embedding_renorm_(weight, rows, embedding.max_norm, embedding.norm_type)
        if torch.equal(before, weight):
            return


class _FreezingPlan:
    """The planned state of each parameter, checked before anything changes.

    Attributes
    ----------
    before, after : of each parameter, whether it trains.
    joining : the number of each parameter that the optimizer is to be given -> that of its group.
    """

    def __init__(
        self, parts: FreezableParts, flags: Sequence[bool | str | None], originals: dict[int, _Original],
        optimizer: Optimizer,
    ) -> None:  # fmt: skip
        self.parts, self.optimizer, self._originals = parts, optimizer, originals
        self.said = flags[: len(parts.tensors)]
        self.before = [tensor.requires_grad for tensor in parts.tensors]
        were = [originals.get(id(t), _Original(t, t.requires_grad)) for t in parts.tensors]
        self.after = [was.trained if said is None else said is True for was, said in zip(were, self.said)]
        held = groups_by_id(optimizer)
        self._joins, self.joining, any_trains = [], {}, False
        names = {names[0]: tensor for names, tensor in zip(parts.names, parts.tensors)}
        for number, (tensor, said) in enumerate(zip(parts.tensors, self.said)):
            if is_lazy(tensor) and self.after[number] != self.before[number]:
                raise ValueError(
                    f"{parts.names[number][0]!r} gets its size in the first step: it is frozen after that"
                )
            if not self.after[number]:
                continue
            if id(tensor) in held:
                any_trains = any_trains or said is not None or were[number].joined is not optimizer
            elif said is True:
                any_trains, name = True, parts.names[number][0]
                self.joining[number] = group = find_group(name, tensor, names, optimizer)
                self._joins.append(prepare_join(optimizer, group, name, tensor))
        if not any_trains:
            raise ValueError("everything would be frozen: there would be nothing to train")

    def carry_out(self) -> None:
        """Set the flags, remember the old ones, and update the optimizer."""
        tensors, originals = self.parts.tensors, self._originals
        try:
            for tensor, trains in zip(tensors, self.after):
                if tensor.requires_grad != trains:
                    tensor.requires_grad_(trains)
        except RuntimeError as error:
            for tensor, trained in zip(tensors, self.before):
                if tensor.requires_grad != trained:
                    tensor.requires_grad_(trained)
            raise ValueError(quote_error(error).rstrip(".")) from None
        for join in self._joins:
            join()
        for number, tensor in enumerate(tensors):
            said, was = self.said[number], originals.get(id(tensor))
            if not self.after[number] and (said is not None or was is not None):
                tensor.grad = None
            if said is not None:
                was = was or _Original(tensor, self.before[number])
                if number in self.joining:
                    was = was._replace(joined=self.optimizer)
                originals[id(tensor)] = was
            elif was is not None:
                if was.joined is self.optimizer:
                    remove_parameter(self.optimizer, tensor)
                del originals[id(tensor)]


def _describe_changes(
    parts: FreezableParts, plan: _FreezingPlan, before: Sequence[nn.Module], now: Sequence[nn.Module]
) -> str:
    """Return what a plan changes, as "froze features: 3 layers, 1,200 parameters"."""
    words = []
    for verb, trains in (("froze", False), ("unfroze", True)):
        pairs = enumerate(zip(plan.before, plan.after))
        numbers = [number for number, (was, is_) in pairs if is_ is trains and was is not trains]
        if not numbers:
            continue
        layers = {parts.owners[number] for number in numbers}
        size = sum(numel_of(parts.tensors[number]) for number in numbers)
        others = [name for number in numbers for name in parts.names[number][1:]]
        words.append(
            f"{verb} {list_few([*parts.fewest_names(numbers)])}: {pluralize(len(layers), 'layer')}, "
            f"{pluralize(size, 'parameter')}" + (f", shared with {list_few(others)}" if others else "")
        )
    for layers, others, verb in ((now, before, "held"), (before, now, "going on")):
        kinds = Counter(statistics_of(layer) for layer in layers if all(layer is not one for one in others))
        if kinds:
            those = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            words.append(f"running statistics of {those} {verb}")
    for group in dict.fromkeys(plan.joining.values()):
        count = sum(number == group for number in plan.joining.values())
        groups = plan.optimizer.param_groups
        where = f"group {group} of the optimizer" if len(groups) > 1 else "the optimizer"
        rate = f", lr {float(groups[group]['lr']):g}" if "lr" in groups[group] else ""
        words.append(f"{pluralize(count, 'tensor')} added to {where}{rate}")
    return "; ".join(words)


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
        self._scaled: list[nn.Module] = []
        self._moved = {name for group in script.origin.groups for name in group["params"]}
        self._joined: set[str] = set()

    def begin(self) -> None:
        if lines := self._lines(self.at_first):
            self.script.setup.append("# What does not train.\n" + "\n".join(lines))

    def change(self, entry: Entry) -> list[str]:
        lines = self._lines(entry.asked)
        return [f"# {entry.note}", *lines] if lines and entry.note and len(entry.note) < 80 else lines

    def frozen_names(self) -> set[str]:
        """Return the names of parameters that do not train by now."""
        return {self._parts.names[i][0] for i, on in enumerate(self._now) if not on}

    def _lines(self, choice: TrainablePatterns | dict[str, bool] | None) -> list[str]:
        parts, model = self._parts, self.script.model
        flags = parts.train_flags(None if choice is None else TrainablePatterns(choice))
        tensors = range(len(parts.tensors))
        after = [self._own[i] if (said := flags[i]) is None else said is True for i in tensors]
        lines = self._membership(flags)
        for on in (False, True):
            changed = {i for i in tensors if after[i] is on and self._now[i] is not on}
            # The fewest names that are exactly these.
            few = parts.fewest_names(changed) if changed else ()
            names = ["" if name == "the whole model" else name for name in few]
            if {i for name in names for i in parts.match(name)} & {*tensors} != changed:
                names = [parts.names[i][0] for i in sorted(changed)]
            if not self.script.foreign:
                lines += [f"{expression_of(model, name)}.requires_grad_({on})" for name in names]
            gone = [parts.names[i][0] for i in sorted(changed) if not on]
            kind = type(self.script.movement.optimizer)
            lines += [
                f"{expression_of(model, name)}.grad = None  # the optimizer does not clear it"
                for name in gone if name not in self._moved or kind.zero_grad is not Optimizer.zero_grad
            ]  # fmt: skip
        held = parts.held_layers(flags)
        if self.script.foreign:
            meant = {id(one) for one, own in parts.running if any(flags[number] is not None for number in own)}
            own = [one for one, _ in parts.running if id(one) not in meant and self.script.loop.freezing.own_hold(one)]
            trains = {id(tensor): on for tensor, on in zip(parts.tensors, after)}
            lines += self.script.flag_lines.change(trains, {id(one) for one in (*held, *own)})
            held = [one for one in held if not is_foreign(one)]
        lines += self._modes(held)
        lines += self._scalings(renormalised_layers(parts, flags))
        self._now = after
        return lines

    def _scalings(self, layers: list[nn.Module]) -> list[str]:
        """Return the lines that shorten the rows of frozen embeddings."""
        paths = {id(module): path for path, module in self.script.model.named_modules()}
        fresh = [one for one in layers if all(one is not other for other in self._scaled)]
        self._scaled = layers
        if fresh:
            self.script.sources.imports.add("import torch")
            text, known = inspect.getsource(scale_rows).rstrip(), self.script.definitions
            known += [] if text in known else [text]
        return [f"scale_rows({expression_of(self.script.model, paths[id(one)])})" for one in fresh]

    def _membership(self, flags: list[Any]) -> list[str]:
        """Return the lines that add parameters to the optimizer or remove them."""
        parts, model = self._parts, self.script.model
        known, optimizer = dict(model.named_parameters()), self.script.movement.optimizer
        lines = []
        for i, tensor in enumerate(parts.tensors):
            name = parts.names[i][0]
            where = expression_of(model, name)
            if flags[i] is True and name not in self._moved:
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
        return lines + (self.script.movement.settle() if lines else [])

    def _modes(self, held: list[nn.Module]) -> list[str]:
        """Return the lines that hold running statistics, or let them go on."""
        model = self.script.model
        paths = {id(module): path for path, module in model.named_modules()}
        lines = []
        if not modes_set_by_calls(model).isdisjoint(map(id, held)):
            raise Unwritable("a torch module in a Keras layer was frozen, which sets its mode in each call")
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
    touches = ("lr", "unfreeze_at")
    loop_part = "freezing"
    writer = TrainableWriter

    def read(self, value: Any) -> TrainablePatterns | None:
        return self.loop.freezing.read(value)

    def now(self) -> TrainablePatterns | None:
        return self.loop.freezing.choice

    def put(self, value: TrainablePatterns | None) -> str:
        loop, before = self.loop, self.loop.freezing.names_frozen()
        loop.rate.groups.merge()
        try:
            note = loop.freezing.put(value, loop.optimizer)
        finally:
            loop.rate_factors.settle(loop.rate.groups)
        loop.freezing.hold_statistics()
        loop.proofs.forget(loop.freezing.names_frozen() - before)
        return note

    def install(self, state: Any) -> None:
        self.loop.freezing.install(state, self.loop.optimizer)
