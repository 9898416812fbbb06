"""An optimizer's own parameter groups, and those that factors split them into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from .parameter_groups import set_group

#: What of a group says which parameters it has, not how they move.
_MEMBERS = ("params", "param_names")


class ScaledGroups:
    """An optimizer's own groups, split by factors on the rate of parameters.

    Without factors the own groups are the optimizer's. With them each stands in the optimizer as one group for
    each factor that its parameters have, at its rate x factor and with all its other settings; what the
    optimizer keeps of a parameter (momentum, Adam's moments) stays. Controls, schedules and snapshots read and
    write own groups alone, whose number no factor changes, and `spread()` hands on what they wrote. Which
    parameters there are is read off the optimizer: who adds or removes one need not know of this.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self._own: list[dict[str, Any]] | None = None
        self._places: list[tuple[int, float]] = []
        #: What was last written into each group of the optimizer.
        self._written: list[dict[str, Any]] = []

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The own groups, with the rates of before any factor."""
        return self.optimizer.param_groups if self._own is None else self._own

    @property
    def is_split(self) -> bool:
        """Whether a factor other than 1 is in force."""
        return self._own is not None

    @property
    def places(self) -> list[tuple[int, float]]:
        """(Number of the own group, factor) of each of the optimizer's."""
        count = len(self.optimizer.param_groups)
        return [(number, 1.0) for number in range(count)] if self._own is None else list(self._places)

    def split(self, factors: Mapping[int, float]) -> None:
        """Split the groups by the factors of their parameters.

        `factors` has id of a parameter -> factor; 1 for all others.
        """
        self.merge()
        own = list(self.optimizer.param_groups)
        if all(factors.get(id(one), 1.0) == 1.0 for group in own for one in group["params"]):
            return
        made, self._places, self._written = [], [], []
        for number, group in enumerate(own):
            of_each = [factors.get(id(one), 1.0) for one in group["params"]]
            for factor in dict.fromkeys(of_each) or [1.0]:
                part = {key: _copied(value) for key, value in group.items()}
                for key in part.keys() & {*_MEMBERS}:
                    part[key] = [one for one, its in zip(group[key], of_each) if its == factor]
                made.append(part)
                self._places.append((number, factor))
                self._written.append({key: _copied(group[key]) for key in group.keys() - {*_MEMBERS, "lr"}})
        self._own, self.optimizer.param_groups[:] = own, made
        self.spread()

    def merge(self) -> None:
        """Put the own groups back into the optimizer."""
        if self._own is None:
            return
        self.collect()
        # In this order: another thread may read the own groups meanwhile.
        self.optimizer.param_groups[:] = self.with_members()
        self._own = None

    def with_members(self) -> list[dict[str, Any]]:
        """Return the own groups as they would be without factors now."""
        if self._own is None:
            return self.optimizer.param_groups
        groups = self.optimizer.param_groups
        for number, group in enumerate(self._own):
            parts = [part for part, place in zip(groups, self._places) if place[0] == number]
            for key in group.keys() & {*_MEMBERS}:
                there = {_identity(one): one for part in parts for one in part[key]}
                # In the order of before; what joined comes last.
                kept = [there.pop(_identity(one)) for one in group[key] if _identity(one) in there]
                group[key] = [*kept, *there.values()]
        return [*self._own, *groups[len(self._places):]]  # with those that somebody added

    def spread(self) -> None:
        """Hand on what was written into own groups since."""
        if self._own is None:
            return
        for group, (number, factor), written in zip(self.optimizer.param_groups, self._places, self._written):
            for key, value in self._own[number].items():
                if key in _MEMBERS:
                    continue
                if key == "lr":
                    if "lr" not in written or value * factor != written["lr"]:
                        set_group(group, key, float(value * factor))
                        written["lr"] = _copied(group["lr"])
                elif key not in written or _differ(value, written[key]):
                    group[key], written[key] = _copied(value), _copied(value)

    def collect(self) -> None:
        """Take in what others changed in the optimizer's groups."""
        if self._own is None:
            return
        own = self._own
        for group, (number, factor), written in zip(self.optimizer.param_groups, self._places, self._written):
            for key in group.keys() - {*_MEMBERS}:
                if key in written and not _differ(group[key], written[key]):
                    continue
                if key != "lr":
                    own[number][key] = _copied(group[key])
                elif factor:
                    set_group(own[number], key, float(group[key]) / factor)


def _identity(one: Any) -> Any:
    return id(one) if isinstance(one, torch.Tensor) else one


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _differ(one: Any, other: Any) -> bool:
    if one is other:
        return False
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return not torch.equal(torch.as_tensor(one), torch.as_tensor(other))
    return bool(one != other)
