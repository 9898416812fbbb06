"""The parameter groups of an optimizer, and changes of their members."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ..base.words import quote_error


def groups_by_id(optimizer: Optimizer) -> dict[int, int]:
    """Return id of each tensor -> the number of its group."""
    return {
        id(tensor): number
        for number, group in enumerate(optimizer.param_groups)
        for tensor in group["params"]
    }


def find_group(
    name: str, tensor: nn.Parameter, names: Mapping[str, nn.Parameter], optimizer: Optimizer
) -> int:
    """Return the group where a parameter belongs: that of its kin.

    The nearest kin shares most of the path; among equals, one of the same name (biases often have a group
    without decay), then one with as many axes.

    Parameters
    ----------
    names : the model's parameters by name; those that the optimizer lacks are passed over.
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
    settings that the optimizer began with, and a schedule knows nothing of the new group. A second
    optimizer of the same kind is made for the parameter alone and thrown away: it says whether the kind
    takes it (Muon wants matrices), and makes the state that some kinds (Adagrad) make in the beginning
    only.

    Raises
    ------
    ValueError : why the optimizer does not take it, in a clause.
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
