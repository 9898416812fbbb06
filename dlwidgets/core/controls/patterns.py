"""Patterns of names: what they match, and settings by them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm

from ..base.frozen_dict import FrozenDict
from ..base.words import did_you_mean, quote_names
from ..layers.framework import framework_of, tensor_of
from ..layers.split import propose_split
from ..layers.walk import Layer, kind_of, uncompiled, walk

#: Of a pattern: the weights are frozen by `requires_grad` alone, and running statistics move on.
WEIGHTS = "weights"
#: What means the whole model.
WHOLE_MODEL = ("", "*")
#: What means the parts of a proposed split, where the model has no layer of that name.
_PROPOSED = ("backbone", "head")


class TrainablePatterns(FrozenDict[Any]):
    """Pattern -> whether it trains, or `WEIGHTS`; the last that matches counts."""

    instead = (
        "trainable is replaced as a whole, as by freeze('features'), "
        "or trainable = {**trainable, 'features': False}."
    )


class ByPattern(FrozenDict[Any]):
    """Pattern -> setting; the last one that matches counts."""

    instead = "This wish is replaced as a whole, as by {**session.dropout, 'features': 0.2}."


class FreezableParts:
    """The parts of a model that can be frozen, each once.

    Parts have numbers: the parameters come first, then those layers that keep running statistics and have no
    parameters of their own, as a BatchNorm with `affine=False`.

    Attributes
    ----------
    tensors : the parameters, without those of whole numbers (quantised weights), which have no gradient.
    names : all the names of each; the first is that of `named_parameters`.
    owners : the path of the layer that each belongs to, where it stands first.
    running : the layers with running statistics, each with its parts: its parameters, or itself.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = uncompiled(model)
        self.layers: list[Layer] = walk(model)
        self.places: dict[str, nn.Module] = {}
        self.tensors: list[nn.Parameter] = []
        self.names, self.owners = list[list[str]](), list[str]()
        self._number: dict[int, int] = {}
        self._by_name, self._integers = dict[str, int](), dict[str, str]()
        #: The name of a class -> the layers of that kind.
        self._kinds: dict[str, list[nn.Module]] = {}
        for layer in self.layers:
            self.places[layer.path] = layer.module
            for kind in [] if layer.again else _kinds_of(layer.module):
                self._kinds.setdefault(kind, []).append(layer.module)
            # What stands in a second place has names there, too.
            whole = layer.module.named_modules(prefix=layer.path)
            for path, module in whole if layer.again else [(layer.path, layer.module)]:
                self.places.setdefault(path, module)
                for name, tensor in module.named_parameters(path, recurse=False, remove_duplicate=False):
                    if not (tensor.is_floating_point() or tensor.is_complex()):
                        self._integers[name] = str(tensor.dtype).removeprefix("torch.")
                        continue
                    number = self._number.setdefault(id(tensor), len(self.tensors))
                    if number == len(self.tensors):
                        self.tensors.append(tensor)
                        self.names.append([])
                        self.owners.append(path)
                    if name not in self._by_name:
                        self._by_name[name] = number
                        self.names[number].append(name)
        self.running: list[tuple[nn.Module, list[int]]] = []
        bare = len(self.tensors)
        for layer in self.layers:
            if layer.again or not statistics_of(layer.module):
                continue
            kept = map(id, layer.module.parameters(recurse=False))
            own = [self._number[one] for one in kept if one in self._number]
            if not own:
                own, bare = [bare], bare + 1
                self._number[id(layer.module)] = own[0]
            self.running.append((layer.module, own))
        self.count = bare

    def inside(self, module: nn.Module) -> list[int]:
        """Return the parts in a module and everything below it."""
        inside = [*module.parameters(), *module.modules()]
        return [self._number[id(one)] for one in inside if id(one) in self._number]

    def match(self, pattern: str) -> set[int]:
        """Return the parts that a pattern matches; none is no error.

        A pattern is the path of a layer, which means everything below it too, the name of a parameter, either with
        wildcards (`*`, `?`, `[12]`), or the name of a class, "BatchNorm2d", which means all layers of that kind; ""
        and "*" mean the whole model.
        """
        if pattern in WHOLE_MODEL:
            return set(range(self.count))
        if pattern in self._by_name:
            return {self._by_name[pattern]}
        if pattern in self.places:
            return set(self.inside(self.places[pattern]))
        if not _is_glob(pattern):
            return {number for module in self._kinds.get(pattern, ()) for number in self.inside(module)}
        found = {number for name, number in self._by_name.items() if fnmatchcase(name, pattern)}
        for path, module in self.places.items():
            if path and fnmatchcase(path, pattern):
                found.update(self.inside(module))
        return found

    def train_flags(self, choice: TrainablePatterns | None) -> list[bool | str | None]:
        """Return for each part what its pattern says; None without one."""
        said: list[bool | str | None] = [None] * self.count
        for pattern, trains in (choice or {}).items():
            for number in self.match(pattern):
                said[number] = trains
        return said

    def held_layers(self, flags: Sequence[bool | str | None]) -> list[nn.Module]:
        """Return the layers whose parts are all frozen by a pattern."""
        return [module for module, own in self.running if all(flags[number] is False for number in own)]

    def pattern_for(self, wanted: Any) -> str:
        """Return the pattern for a module or parameter, or refuse it."""
        wanted = tensor_of(wanted)
        if isinstance(wanted, str):
            return wanted or "*"
        if isinstance(wanted, nn.Module):
            for path, module in self.places.items():
                if module is wanted or module is uncompiled(wanted):
                    return path or "*"
        elif isinstance(wanted, torch.Tensor):
            if id(wanted) in self._number:
                return self.names[self._number[id(wanted)]][0]
        else:
            raise TypeError(
                f"{wanted!r} names nothing that could train: a layer, as 'features' or model.features or 0, a "
                "parameter, as 'features.0.weight', a pattern, as '*.bias', or a class, as nn.BatchNorm2d, is wanted."
            )
        raise ValueError(f"This {type(wanted).__name__} is no part of the {type(self.model).__name__}.")

    def patterns_for(self, wanted: Any) -> list[str]:
        """Return the patterns for anything that people name layers by.

        Parameters
        ----------
        wanted : a pattern, see `match`; a module or parameter of the model; a class of layers; the number of a layer,
            see `numbered`; a range or slice of numbers; or several: a list, `parameters()`, `named_parameters()`;
            "backbone" or "head", where the model has no such layer: as `layers.split` proposes.

        Raises
        ------
        TypeError, ValueError : the model has no such part, in a sentence.
        """
        wanted = tensor_of(wanted)
        if isinstance(wanted, (int, np.integer)) and not isinstance(wanted, bool):
            return [self.check(self._at(int(wanted)))]
        if isinstance(wanted, slice):
            return self.patterns_for([*self.numbered().values()][wanted])
        if isinstance(wanted, type):
            return [self.check(kind_name(wanted))]
        if isinstance(wanted, tuple) and len(wanted) == 2 and isinstance(wanted[1], (torch.Tensor, nn.Module)):
            wanted = wanted[1]  # of named_parameters() or named_children()
        if isinstance(wanted, nn.Module) and self._slices(wanted):
            wanted = [*wanted.children()]
        if isinstance(wanted, str) and wanted in _PROPOSED and wanted not in self.places and not self.match(wanted):
            if proposed := [one for one in getattr(propose_split(self.model), wanted) if self.match(one)]:
                return proposed
        if isinstance(wanted, (str, nn.Module, torch.Tensor, Mapping)) or not isinstance(wanted, Iterable):
            return [self.check(self.pattern_for(wanted))]
        # Of several, what has nothing to freeze, as a ReLU among range(5), is passed over.
        several = [name for one in wanted if not self._is_bare(one) for name in self.patterns_for(one)]
        if not several:
            raise ValueError(f"{_words(wanted)} holds nothing: was it read before? parameters() gives it anew.")
        if {*several} <= self._by_name.keys():
            few = [*self.fewest_names({self._by_name[name] for name in several})]
            return ["*" if name == "the whole model" else name for name in few]
        return several

    def numbered(self) -> dict[int, str]:
        """Return number -> path of the layers that are counted.

        They are what the model holds directly; where that is one container alone, as `self.model = nn.Sequential(...)`,
        what is in it.
        """
        path, module = "", self.model
        while len(inside := [(name, one) for name, one in module._modules.items() if one is not None]) == 1:
            name, one = inside[0]
            if not any(True for _ in one.children()) or any(True for _ in module.parameters(recurse=False)):
                break
            path, module = f"{path}.{name}" if path else name, one
        return {number: f"{path}.{name}" if path else name for number, (name, _) in enumerate(inside)}

    def up_to(self, path: str, order: Sequence[str]) -> list[str]:
        """Return patterns for a layer and all before it.

        `order` has the paths of all layers in the order of the forward, outer before inner.
        """
        last = max(place for place, one in enumerate(order) if f"{one}.".startswith(f"{path}." if path else ""))
        before = set(order[: last + 1])
        numbers = {number for number, owner in enumerate(self.owners) if owner in before}
        names = ["*" if name == "the whole model" else name for name in self.fewest_names(numbers)]
        meant = {number for name in names for number in self.match(name)}
        bare = {id(module): own for module, own in self.running if own[0] >= len(self.tensors)}
        return names + [
            one for one in order[: last + 1]
            if (own := bare.get(id(self.places.get(one)))) is not None and own[0] not in meant
        ]  # fmt: skip

    def _at(self, number: int) -> str:
        """Return the path of a number, from the end below 0."""
        numbered = self.numbered()
        path = numbered.get(number if number >= 0 else len(numbered) + number)
        if path is None:
            where = f"{next(iter(numbered.values()))!r} to {numbered[len(numbered) - 1]!r}" if numbered else "none"
            there = f"it has {len(numbered)}, {where}, counted from 0"
            raise ValueError(f"The {type(self.model).__name__} has no layer {number}: {there}.")
        return path

    def place_of(self, layer: Any) -> str:
        """Return the path of one layer: by path, module, number or parameter.

        Raises ValueError: it is none, or several, in a sentence.
        """
        is_number = isinstance(layer, (int, np.integer)) and not isinstance(layer, bool)
        name = self._at(int(layer)) if is_number else self.pattern_for(layer)
        if name in self._by_name:
            return self.owners[self._by_name[name]]
        if name not in self.places and (_is_glob(name) or name in self._kinds):
            one = next(filter(None, self.places))
            raise ValueError(f"{layer!r} may mean several layers: one is wanted, as {one!r}.")
        return name if name in self.places else self.check(name)

    def _is_bare(self, layer: Any) -> bool:
        """Say whether a module or number has nothing to freeze."""
        if isinstance(layer, nn.Module) and not any(True for _ in layer.parameters()):
            if all(layer is not one for one in self.places.values()):
                return True  # as the InputLayer in `model.layers` of Keras
        known = isinstance(layer, nn.Module) and not self._slices(layer)
        known = known or (isinstance(layer, (int, np.integer)) and not isinstance(layer, bool))
        return known and not self.inside(self.places[self.place_of(layer)])

    def _slices(self, module: nn.Module) -> bool:
        """Say whether a module is a slice, as model.features[:5]."""
        known, children = set(map(id, self.places.values())), [*module.children()]
        return id(module) not in known and bool(children) and all(id(one) in known for one in children)

    def check(self, pattern: str) -> str:
        """Return the pattern if it means what can be frozen."""
        if self.match(pattern):
            return pattern
        kind = type(self.model).__name__
        if pattern in self.places:
            inside = type(self.places[pattern]).__name__
            raise ValueError(
                f"{pattern!r} is a {inside} without parameters that could train: there is nothing to freeze."
            )
        if pattern in self._integers:
            raise ValueError(f"{pattern!r} holds {self._integers[pattern]} numbers, which cannot train.")
        if _is_glob(pattern):
            raise ValueError(f"{pattern!r} matches no layer and no parameter of the {kind}.")
        known = [*filter(None, self.places), *self._by_name, *self._kinds]
        below = [name for name in known if name.endswith(f".{pattern}")]
        top = [name for name in self.places if name and "." not in name]
        layers = f" Its layers are {quote_names(top)}." if top else ""
        if (count := len(self.numbered())) > len(top):
            layers += f" Those inside have numbers, 0 to {count - 1}, as in freeze(range({count // 2}))."
        hint = f" Did you mean {below[0]!r}?" if len(below) == 1 else did_you_mean(pattern, known, layers)
        raise ValueError(f"The {kind} has no layer or parameter {pattern!r}.{hint}")

    def add_patterns(
        self, choice: TrainablePatterns | None, patterns: Sequence[str], trains: bool | str,
        without: Sequence[bool | None],
    ) -> TrainablePatterns | None:  # fmt: skip
        """Return a choice with patterns added last, without redundant ones.

        `without` says of each part whether it trains where no pattern means it; None where that is not the
        same as a pattern that says so.
        """
        entries = dict(choice or {})
        for pattern in patterns:
            entries.pop(pattern, None)  # to the end, where it counts
            entries[pattern] = trains
        # Of each part the patterns that mean it; the last counts.
        stacks: list[list[str]] = [[] for _ in range(self.count)]
        meant = {pattern: self.match(pattern) for pattern in entries}
        for pattern, numbers in meant.items():
            for number in numbers:
                stacks[number].append(pattern)

        def says_something(pattern: str) -> bool:
            for number in meant[pattern]:
                stack = stacks[number]
                if stack[-1] == pattern:
                    below = entries[stack[-2]] if len(stack) > 1 else without[number]
                    if below != entries[pattern]:
                        return True
            return False

        kept = []
        for pattern in entries:
            if says_something(pattern):
                kept.append(pattern)
            else:
                for number in meant[pattern]:
                    stacks[number].remove(pattern)
        return TrainablePatterns({pattern: entries[pattern] for pattern in kept}) or None

    def fewest_names(self, numbers: Iterable[int]) -> Iterator[str]:
        """Yield the fewest names that match exactly these parameters."""
        wanted = set(numbers)
        first = {layer.path for layer in self.layers if not layer.again}
        done: list[str] = []
        for layer in self.layers:
            if layer.path not in first or any(layer.path.startswith(f"{path}.") for path in done):
                continue
            # What belongs to it, and to none before it.
            within = f"{layer.path}." if layer.path else ""
            numbers = (number for number in self.inside(layer.module) if number < len(self.tensors))
            inside = {number for number in numbers if f"{self.owners[number]}.".startswith(within)}
            if inside and inside <= wanted:
                if not layer.path:
                    yield "the whole model"
                    return
                done.append(layer.path)
                yield layer.path
            else:
                own = (number for number in sorted(inside & wanted) if self.owners[number] == layer.path)
                yield from (self.names[number][0] for number in own)


def read_trainable(parts: FreezableParts, value: Any) -> TrainablePatterns | None:
    """Read which parameters train; None is as the model was.

    Parameters
    ----------
    value : a dict of pattern -> whether it trains, or `WEIGHTS`, read in order; a pattern or a list of them, that
        alone are to train; None or an empty dict. In place of a pattern, anything of `FreezableParts.patterns_for`.

    Raises
    ------
    TypeError, ValueError : one sentence on what does not fit.
    """
    if value is None or (isinstance(value, Mapping) and not value):
        return None

    def read(wanted: Any) -> list[str]:
        try:
            return parts.patterns_for(wanted)
        except (TypeError, ValueError) as why:
            raise type(why)(f"trainable: {why}") from None

    if isinstance(value, Mapping):
        choice: dict[str, Any] = {}
        for key, on in value.items():
            patterns = read(key)
            if not isinstance(on, (bool, np.bool_)) and on != WEIGHTS:
                wanted = "True, it trains, or False, it is frozen, is wanted."
                raise ValueError(f"trainable has {on!r} for {key!r}: {wanted}")
            choice |= dict.fromkeys(patterns, on if isinstance(on, str) else bool(on))
        return TrainablePatterns(choice)
    if isinstance(value, bool) or (isinstance(value, (list, tuple)) and not value):
        raise ValueError(
            f"trainable={value!r}: a dict such as {{'features': False}}, a list of all that is to train, "
            "as ['classifier'], or None for as the model was, is wanted."
        )
    alone = read(value)
    if set(alone) & set(WHOLE_MODEL):
        return TrainablePatterns({"*": True})
    return TrainablePatterns({"*": False, **dict.fromkeys(alone, True)})


def describe_trainable(choice: Mapping[str, Any] | None) -> str:
    """Return a choice in words: "features frozen, features.3 trains"."""
    named = (("all" if name in WHOLE_MODEL else name, on) for name, on in (choice or {}).items())
    words = {True: "trains", False: "frozen", WEIGHTS: "frozen by requires_grad alone"}
    return list_few([f"{name} {words[on]}" for name, on in named], 6)


def list_few(words: Sequence[str], most: int = 4) -> str:
    """Return words, at most `most`: "one, two and 12 more"."""
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def statistics_of(module: nn.Module) -> str:
    """Return the kind of a module with running statistics, or "".

    Its buffers follow what it sees in train mode, as a BatchNorm's do; in eval mode they are held.
    """
    hooks = getattr(module, "_forward_pre_hooks", {})
    if isinstance(module, _SpectralNorm) or any(isinstance(hook, SpectralNorm) for hook in hooks.values()):
        return "SpectralNorm"
    there = [name for name, buffer in module._buffers.items() if buffer is not None]
    follow = any(name.startswith("running_") or name == "num_batches_tracked" for name in there)
    return kind_of(module) if follow or framework_of(module).follows_statistics(module) else ""


def kind_name(kind: type) -> str:
    """Return the name that a class of layers has as a pattern."""
    if not issubclass(kind, nn.Module) or kind is nn.Module:
        raise TypeError(f"{kind.__name__} is no class of layers: nn.BatchNorm2d would be one.")
    return kind.__name__


def _kinds_of(module: nn.Module) -> list[str]:
    """Return the names of a module's class and its bases."""
    kinds = type(module).__mro__
    inherited = [kind.__name__ for kind in kinds[: kinds.index(nn.Module)] if issubclass(kind, nn.Module)]
    return [kind_of(module), *inherited[kind_of(module) == inherited[0] :]] if inherited else []


def _words(wanted: Any) -> str:
    return repr(wanted) if isinstance(wanted, (list, tuple, set, range)) else f"This {type(wanted).__name__}"


def _is_glob(pattern: str) -> bool:
    return any(sign in pattern for sign in "*?[")


def read_by_pattern(
    model: nn.Module, name: str, value: Any, names: Iterable[str], what: str, read: Callable[[Any], Any]
) -> ByPattern | None:
    """Return a wish in one form, None for nothing.

    Parameters
    ----------
    name : of the wish.
    value : one setting for all; or a dict of pattern (or module) -> setting, read in order; None.
    names : what of the model can be meant, by dotted names.
    what : such a thing in words, as "dropout layer".
    read : reads one setting; raises ValueError.
    """
    if value is None or (isinstance(value, Mapping) and not value):
        return None
    names, found = list(names), {}
    for key, setting in (value if isinstance(value, Mapping) else {"*": value}).items():
        pattern = (key or "*") if isinstance(key, str) else FreezableParts(model).pattern_for(key)
        if not any(matches(pattern, one) for one in names):
            if not names:
                raise ValueError(f"{name}={value!r}: the model has no {what}.")
            hint = did_you_mean(pattern, names, f" There are {quote_names(names, 5)}.")
            raise ValueError(f"{name} has {pattern!r}, which means no {what}.{hint}")
        found[pattern] = read(setting)
    return ByPattern(found)


def matches(pattern: str, name: str) -> bool:
    """Say whether a pattern matches a dotted name or its layer."""
    if pattern in WHOLE_MODEL:
        return True
    parts = name.split(".")
    around = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return any(one == pattern or fnmatchcase(one, pattern) for one in around)


def setting_of(choice: Mapping[str, Any] | None, name: str) -> Any:
    """Return the setting of a name; None where no pattern matches."""
    found = None
    for pattern, setting in (choice or {}).items():
        if matches(pattern, name):
            found = setting
    return found


def single_setting(choice: Mapping[str, Any] | None) -> Any:
    """Return the one setting of the model; "by layer" for several."""
    if choice is None:
        return None
    return choice["*"] if len(choice) == 1 and "*" in choice else "by layer"
