"""Where a run began: first weights, optimizer and settings, kept so that a script can begin there."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ...base.machine import snapshot_budget
from ...layers.structure import Structure, structure

if TYPE_CHECKING:
    from ...controls.steering import Steering
    from ..loop import Loop


@dataclass(frozen=True, eq=False)
class Origin:
    """The state of a run before its first step.

    Weights are copied to the CPU's memory, where there is room for them (see `memory.snapshot_budget`).

    Attributes
    ----------
    weights : the model's state dict; None where it was not kept, and `why` says why not, in a clause.
    structure : what the model was made of.
    kind : the class of the optimizer.
    groups : its parameter groups, "params" being names.
    state : its state dict, where it had moved weights before; None for a new one.
    settings : the controls in force.
    schedule, asked_schedule : the schedule, settled and as it was asked for; None without one.
    began : the rates of the groups where it begins.
    cycled : what it changes beside the rate.
    names : those of the model's parameters.
    split : the weights that were split by `weight_norm`.
    dropouts : path -> rate of each dropout layer.
    generator : the state of the random generator that a DataLoader was given; None without one.
    changes : how many changes of the line were in force already.
    device : where the run computed; several, with commas between, where it went on elsewhere.
    """

    weights: Mapping[str, torch.Tensor] | None
    why: str
    structure: Structure
    kind: type[Optimizer]
    groups: tuple[Mapping[str, Any], ...]
    state: Mapping[str, Any] | None
    settings: Mapping[str, Any]
    schedule: Any
    asked_schedule: Any
    began: tuple[float, ...]
    cycled: tuple[str, ...]
    names: tuple[str, ...]
    split: tuple[str, ...]
    dropouts: Mapping[str, float]
    generator: torch.Tensor | None
    changes: int
    device: str = "cpu"

    @classmethod
    def of(cls, loop: Loop, steering: Steering, changes: int) -> Origin:
        """Return where a run is that takes its first step next."""
        model, optimizer = loop.model, loop.optimizer
        weights, why = _weights(model)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        groups = tuple(
            {
                **{key: copy.deepcopy(value) for key, value in group.items() if key != "params"},
                "params": tuple(names.get(id(parameter)) for parameter in group["params"]),
            }
            for group in optimizer.param_groups
        )
        rate, began = loop.rate, tuple(float(group.get("lr", 0.0)) for group in groups)
        if rate.plan is not None:
            # What the schedule has written is not what it began from.
            began = tuple(map(float, rate.began))  # type: ignore[union-attr]
            before = rate.uncycled_groups or [{}] * len(groups)
            groups = tuple({**g, "lr": lr, **own} for g, lr, own in zip(groups, began, before))
        moved = any(optimizer.state.values())
        return cls(
            weights, why, structure(model), type(optimizer), groups,
            copy.deepcopy(optimizer.state_dict()) if moved else None, steering.in_force(), rate.settled,
            rate.wish, began, rate.cycled, tuple(names.values()),
            tuple(loop.normalisation.state()["split"]), loop.dropout.rates(), _generator(loop),
            changes, str(loop.objective.device),
        )  # fmt: skip


def _generator(loop: Loop) -> torch.Tensor | None:
    """Return the state of a loader's generator, which its random sampler shares."""
    loader = getattr(loop.batches, "loader", None)
    generator = getattr(loader, "generator", None)
    return None if generator is None else generator.get_state()


def _weights(model: nn.Module) -> tuple[dict[str, torch.Tensor] | None, str]:
    if any(map(is_lazy, model.parameters())):
        return None, "some layers get their size in the first step only"
    state = {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    size = sum({id(tensor): tensor.nbytes for tensor in state.values()}.values())
    if size > snapshot_budget(size):
        return None, f"a copy of {size / 2**20:,.0f} MB did not fit in the memory set aside for it"
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}, ""
