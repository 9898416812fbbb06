"""Freezing: the parameters that train, and the optimizer's hold on them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ..base.state import Reference, dereference
from ..base.words import pluralize, quote_error
from ..layers.walk import numel_of
from .parameter_groups import fitting_group, held_by, joining, leave
from .patterns import Choice, Parts, outermost, read_choice, statistics_of, with_added


class _Was(NamedTuple):
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
    frozen layers goes on, since it is there for what trains behind it.

    A parameter that no pattern means is as its owner made it, frozen or not, and may be changed by hand while
    nothing runs; one that a pattern means follows it whenever training goes on. A tensor with several names
    (tied weights) is one: the last pattern that means any of them counts.

    What a layer does to its weights by itself goes on: an embedding with `max_norm` rescales the rows that it
    looks up, frozen or not.

    Attributes
    ----------
    choice : what is in force; None is as the model was. It is the whole state: `put` of an earlier one takes
        the model back to it, whatever was asked for between.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.choice: Choice | None = None
        self._was: dict[int, _Was] = {}
        self._still: list[nn.Module] = []
        self._modes: dict[int, tuple[nn.Module, bool]] = {}
        # Asked on one thread, put in force on another.
        self._lock = threading.RLock()

    # -- any thread

    def read(self, value: Any) -> Choice | None:
        """Return a wish in one form: see `patterns.read_choice`."""
        return read_choice(Parts(self.model), value)

    def added(
        self, choice: Choice | None, wanted: Sequence[Any], trains: bool, optimizer: Optimizer
    ) -> Choice | None:
        """Return a choice with more frozen (or training), without redundant entries.

        Parameters
        ----------
        wanted : patterns, modules and parameters of the model, or lists of them.

        Raises
        ------
        TypeError, ValueError : one sentence on what does not fit.
        """
        flat = [one for item in wanted for one in (item if isinstance(item, (list, tuple)) else [item])]
        with self._lock:
            parts = Parts(self.model)
            patterns = [parts.check(parts.name_of(one)) for one in flat]
            states = self._without_patterns(parts, optimizer)
        return with_added(parts, choice, patterns, trains, states)

    def _without_patterns(self, parts: Parts, optimizer: Optimizer) -> list[bool | None]:
        """Return for each part whether it trains without patterns.

        None where a pattern with the same verdict does more.

        One that freezes holds the statistics of a BatchNorm too, frozen by hand or not; one that has it train
        gives the optimizer what it was not given.
        """
        held = held_by(optimizer)
        running = {number for _, numbers in parts.running for number in numbers}
        states: list[bool | None] = [True] * parts.count
        for number, tensor in enumerate(parts.tensors):
            was = self._was.get(id(tensor), _Was(tensor, tensor.requires_grad))
            given = id(tensor) in held and was.joined is not optimizer
            says_more = number in running if not was.trained else not given
            states[number] = None if says_more else was.trained
        return states

    # -- between two steps

    def put(self, choice: Choice | None, optimizer: Optimizer) -> str:
        """Put a choice in force, and return in words what changed.

        Raises
        ------
        ValueError : why it cannot be, in a clause; all is as before.
        """
        with self._lock:
            parts = Parts(self.model)
            verdicts = parts.verdicts(choice)
            plan = _Plan(parts, verdicts, self._was, optimizer)
            still = [module for module, own in parts.running if all(verdicts[i] is False for i in own)]
            said = _words(parts, plan, self._still, still)
            plan.carry_out()
            anew, self.choice, self._still = choice != self.choice, choice, still
        return said or ("nothing changed by it" if anew else "")

    def renew(self, optimizer: Optimizer) -> str:
        """Reapply the choice to a changed model; return a sentence on it.

        A person may have changed the model while nothing ran.
        """
        if self.choice is None:
            return ""
        try:
            said = self.put(self.choice, optimizer)
        except ValueError as why:
            return f"trainable cannot be as asked for in the model that is here now: {why}."
        return said and f"The model has changed: trainable was put in force anew, which {said}."

    def state(self) -> dict[str, Any]:
        """Return the choice, and what the model was before it: see `stateful.Stateful`."""
        choice = None if self.choice is None else [[pattern, on] for pattern, on in self.choice.items()]
        return {"choice": choice, "own": self._own(), "before": Reference((dict(self._was), list(self._still)))}

    def install(self, state: dict[str, Any], optimizer: Optimizer) -> None:
        """Restore a choice; model and optimizer have been restored already."""
        with self._lock:
            self.choice = None if state["choice"] is None else Choice(dict(state["choice"]))
            if (before := dereference(state["before"])) is not None:
                self._was, self._still = dict(before[0]), list(before[1])
            elif self.choice is not None:
                tensors = Parts(self.model).tensors
                self._was = {
                    id(tensors[number]): _Was(tensors[number], trained, optimizer if joined else None)
                    for number, trained, joined in state.get("own", ()) if number < len(tensors)
                }
                self.put(self.choice, optimizer)
        self.hold()

    def trained(self, tensor: nn.Parameter) -> bool:
        """Say whether a tensor trains where no pattern means it."""
        was = self._was.get(id(tensor))
        return tensor.requires_grad if was is None else was.trained

    def _own(self) -> list[list[Any]]:
        """Return (number, trained, joined the optimizer) of matched parameters."""
        numbered = enumerate(Parts(self.model).tensors) if self._was else ()
        return [
            [number, was.trained, was.joined is not None]
            for number, tensor in numbered if (was := self._was.get(id(tensor))) is not None
        ]

    def hold(self, anew: bool = False) -> None:
        """Set layers with held statistics to eval mode; restore others.

        Parameters
        ----------
        anew : the model has just been set to train mode, and whoever did so gives the modes back.
        """
        if anew:
            self._modes = {}
        wanted = {id(module): module for module in self._still}
        for key in self._modes.keys() - wanted.keys():
            module, mode = self._modes.pop(key)
            module.training = mode
        for key, module in wanted.items():
            if key not in self._modes:
                self._modes[key] = module, module.training
                # Not eval(): what is inside, as dropout, keeps its mode.
                module.training = False


class _Plan:
    """The planned state of each parameter, checked before anything changes.

    Attributes
    ----------
    before, after : of each parameter, whether it trains.
    joining : the number of each parameter that the optimizer is to be given -> that of its group.
    """

    def __init__(
        self, parts: Parts, verdicts: Sequence[bool | None], was: dict[int, _Was], optimizer: Optimizer
    ) -> None:
        self.parts, self.was, self.optimizer = parts, was, optimizer
        self.said = verdicts[: len(parts.tensors)]
        self.before = [tensor.requires_grad for tensor in parts.tensors]
        self.after = [self._trains(*one) for one in zip(parts.tensors, self.said)]
        held = held_by(optimizer)
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
                any_trains = any_trains or said is not None or not self._leaves(tensor)
            elif said:
                any_trains, name = True, parts.names[number][0]
                self.joining[number] = group = fitting_group(name, tensor, names, optimizer)
                self._joins.append(joining(optimizer, group, name, tensor))
        if not any_trains:
            raise ValueError("everything would be frozen: there would be nothing to train")

    def _trains(self, tensor: nn.Parameter, said: bool | None) -> bool:
        if said is None:
            was = self.was.get(id(tensor))
            return tensor.requires_grad if was is None else was.trained
        return said

    def _leaves(self, tensor: nn.Parameter) -> bool:
        was = self.was.get(id(tensor))
        return was is not None and was.joined is self.optimizer

    def carry_out(self) -> None:
        """Set the flags, remember the old ones, and update the optimizer."""
        tensors = self.parts.tensors
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
            said, was = self.said[number], self.was.get(id(tensor))
            if not self.after[number] and (said is not None or was is not None):
                tensor.grad = None
            if said is not None:
                was = was or _Was(tensor, self.before[number])
                if number in self.joining:
                    was = was._replace(joined=self.optimizer)
                self.was[id(tensor)] = was
            elif was is not None:
                if self._leaves(tensor):
                    leave(self.optimizer, tensor)
                del self.was[id(tensor)]


def _words(parts: Parts, plan: _Plan, still_before: Sequence[nn.Module], still: Sequence[nn.Module]) -> str:
    """Return what a plan changes, as "froze features: 3 layers, 1,200 parameters"."""
    words = []
    for verb, trains in (("froze", False), ("unfroze", True)):
        numbers = [
            i for i, after in enumerate(plan.after) if after is trains and plan.before[i] is not trains
        ]
        if numbers:
            words.append(f"{verb} {_named(parts, numbers)}")
    for layers, others, verb in ((still, still_before, "held"), (still_before, still, "going on")):
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


def _named(parts: Parts, numbers: Sequence[int]) -> str:
    names = list(outermost(parts, numbers))
    tensors = [parts.tensors[number] for number in numbers]
    layers = {parts.owners[number] for number in numbers}
    sizes = [pluralize(len(layers), "layer"), pluralize(sum(map(numel_of, tensors)), "parameter")]
    if others := [name for number in numbers for name in parts.names[number][1:]]:
        sizes.append(f"shared with {_few(others)}")
    return f"{_few(names)}: {', '.join(sizes)}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
