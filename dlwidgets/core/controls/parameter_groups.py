"""The parameter groups of an optimizer: their numbers and their members."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ..base.words import pluralize, quote_error, quote_names


class GroupValue:
    """A setting of all parameter groups, in proportion to a leading one.

    An optimizer made by a person may give its groups different rates, or no decay to some. Their ratios to
    the leading group, the first whose number is not 0, stay what they were.
    """

    def __init__(self, optimizer: Optimizer, key: str) -> None:
        self.optimizer, self._key = optimizer, key
        numbers = [float(group[key]) for group in optimizer.param_groups if key in group]
        self._there = len(numbers) == len(optimizer.param_groups)
        self.leader = next((i for i, number in enumerate(numbers) if number), 0)
        first = numbers[self.leader] if numbers else 0.0
        self._multipliers = [number / first if first else 1.0 for number in numbers]

    @property
    def value(self) -> float | None:
        """The leading group's number; None where the optimizer has none."""
        return float(self.optimizer.param_groups[self.leader][self._key]) if self._there else None

    def set(self, value: float) -> None:
        """Put `value` in force, from the next step on."""
        for group, multiplier in zip(self.optimizer.param_groups, self._multipliers):
            set_group(group, self._key, value * multiplier)

    def state(self) -> dict[str, Any]:
        """Return which group leads, and the ratios of the others."""
        return {"leader": self.leader, "multipliers": list(self._multipliers)}

    def install(self, state: dict[str, Any]) -> None:
        self.leader, self._multipliers = state["leader"], list(state["multipliers"])


def set_group(group: dict[str, Any], key: str, number: float) -> None:
    """Set a number of a parameter group."""
    if isinstance(group[key], torch.Tensor):
        # A capturable optimizer keeps its rate in a tensor that must stay the same object.
        group[key].fill_(number)
    else:
        group[key] = number


def groups_by_id(optimizer: Optimizer) -> dict[int, int]:
    """Return id of each tensor -> the number of its group."""
    groups = enumerate(optimizer.param_groups)
    return {id(tensor): number for number, group in groups for tensor in group["params"]}


def find_group(
    name: str, tensor: nn.Parameter, names: Mapping[str, nn.Parameter], optimizer: Optimizer
) -> int:
    """Return the group where a parameter belongs: that of its kin.

    The nearest kin shares most of the path; among equals, one of the same name (biases often have a group
    without decay), then one with as many axes. `names` are the model's parameters by name; those that the
    optimizer lacks are passed over.
    """
    held, path = groups_by_id(optimizer), name.split(".")
    best, chosen = (-1, False, False), 0
    for other, kin in names.items():
        if (group := held.get(id(kin))) is None:
            continue
        parts = other.split(".")
        shared = next((i for i, (a, b) in enumerate(zip(path, parts)) if a != b), min(len(path), len(parts)))
        closeness = (shared, parts[-1] == path[-1], kin.ndim == tensor.ndim)
        if closeness > best:
            best, chosen = closeness, group
    return chosen


def prepare_join(optimizer: Optimizer, group: int, name: str, tensor: nn.Parameter) -> Callable[[], None]:
    """Return a function that adds a parameter to a group.

    It gets the group's settings, and trains from then on. `add_param_group` would not do: it gives the
    settings that the optimizer began with, and a schedule knows nothing of the new group. A second optimizer
    of the same kind is made for the parameter alone and thrown away: it says whether the kind takes it (Muon
    wants matrices), and makes the state that some kinds (Adagrad) make in the beginning only.
    """
    kind, where = type(optimizer), optimizer.param_groups[group]
    settings = {key: value for key, value in where.items() if key not in ("params", "param_names")}
    state: dict[str, Any] = {}
    try:
        taken = inspect.signature(kind).parameters
        defaults = {key: value for key, value in optimizer.defaults.items() if key in taken}
        state = kind([{**settings, "params": [tensor]}], **defaults).state.get(tensor, {})
    except TypeError:
        pass  # a class of a person's own that is made otherwise
    except (ValueError, RuntimeError) as error:
        why = quote_error(error).rstrip(".")
        raise ValueError(f"{kind.__name__} does not take {name!r}: {why}") from None

    def join() -> None:
        where["params"].append(tensor)
        if "param_names" in where:
            where["param_names"].append(name)
        if state:
            optimizer.state[tensor] = state

    return join


def follow_model(optimizer: Optimizer, model: nn.Module, before: Sequence[nn.Parameter]) -> str:
    """Give an optimizer a model's new parameters for those that left.

    What the model had `before` and the optimizer was never given stays out of it. Returns what changed, in a
    clause; "" for nothing.

    Raises
    ------
    ValueError : the optimizer does not take one of them; nothing has changed.
    """
    names, held = dict(model.named_parameters()), groups_by_id(optimizer)
    known, there = {id(tensor) for tensor in before}, {id(tensor) for tensor in names.values()}
    fresh = {
        name: tensor for name, tensor in names.items()
        if tensor.requires_grad and id(tensor) not in known and id(tensor) not in held and not is_lazy(tensor)
    }  # fmt: skip
    gone = [tensor for tensor in before if id(tensor) in held and id(tensor) not in there]
    joins = [
        prepare_join(optimizer, find_group(name, tensor, names, optimizer), name, tensor)
        for name, tensor in fresh.items()
    ]
    for join in joins:
        join()
    for tensor in gone:
        remove_parameter(optimizer, tensor)
    said = [f"{quote_names(fresh, 4)} train from here on"] if fresh else []
    return ", ".join(said + ([f"{pluralize(len(gone), 'tensor')} left the optimizer"] if gone else []))


def remove_parameter(optimizer: Optimizer, tensor: nn.Parameter) -> None:
    """Remove a parameter and its state from the optimizer."""
    for group in optimizer.param_groups:
        for number, other in enumerate(group["params"]):
            if other is tensor:
                del group["params"][number]
                if "param_names" in group:
                    del group["param_names"][number]
                break
    optimizer.state.pop(tensor, None)
