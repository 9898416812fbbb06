"""Weights, optimizer and random numbers as parts of a run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ...base.random_state import Generators, RandomStates
from ...base.state import Reference, dereference, read_attributes, write_attributes
from ...controls.optimizer import default_settings

if TYPE_CHECKING:
    from ..loop import Loop


class ModelState:
    """A model: parameters, all buffers, flags, numbers, generators.

    The numbers are public attributes of its modules, such as a dropout's rate, or a temperature that a model
    counts down by itself. What the loss or the step holds beside the model is a part of it.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def state(self) -> dict[str, Any]:
        """Return the state, its tensors those in use.

        Raises
        ------
        ValueError : in a clause: a layer has no size yet.
        """
        model, beside = self._loop.model, self._loop.objective.companions
        modules = {**dict(model.named_modules()), **beside.modules}
        parameters = {**dict(model.named_parameters()), **beside.parameters()}
        if any(map(is_lazy, parameters.values())):
            raise ValueError("some layers get their size in the first step")
        return {
            "tensors": {**parameters, **dict(model.named_buffers()), **beside.all_tensors()},
            "trains": {name: parameter.requires_grad for name, parameter in parameters.items()},
            "numbers": {
                path: own for path, module in modules.items() if (own := read_attributes(module))
            },
            "memories": beside.read_memories(),
            "optimizers": {name: _read_optimizer(one) for name, one in beside.optimizers.items()},
            "extra": {
                path: copy.deepcopy(module.get_extra_state()) for path, module in modules.items()
                if type(module).get_extra_state is not nn.Module.get_extra_state
            },
            "generators": Generators(*map(vars, modules.values()), *beside.generators).state(),
        }  # fmt: skip

    def install(self, state: dict[str, Any]) -> None:
        """Write the state into the model's own tensors."""
        model, objective = self._loop.model, self._loop.objective
        theirs = {name: one for name, one in state["tensors"].items() if name.startswith("(")}
        there = {name: one.to(objective.device) for name, one in theirs.items()}
        objective.companions.write_memories(state.get("memories", {}), there)
        beside = objective.companions  # anew: the tensors may be others
        modules, owned = {**dict(model.named_modules()), **beside.modules}, dict(model.named_parameters())
        parameters = {**owned, **beside.parameters()}
        tensors = {**parameters, **dict(model.named_buffers()), **beside.all_tensors()}
        for name, parameter in owned.items():
            if name not in state["tensors"] or state["tensors"][name].shape != parameter.shape:
                raise ValueError(f"the model has changed: {name!r} was not there, or of another shape")
        with torch.no_grad():
            for name, value in state["tensors"].items():
                tensor = tensors.get(name)
                if tensor is not None and tensor.shape == value.shape and tensor.dtype == value.dtype:
                    tensor.copy_(value)
                elif name not in parameters:
                    path, _, buffer = name.rpartition(".")
                    if path in modules and buffer in modules[path]._buffers:
                        device = value.device if tensor is None else tensor.device
                        modules[path]._buffers[buffer] = value.to(device, copy=True)
        for name, trains in state["trains"].items():
            if name in parameters:
                parameters[name].requires_grad_(trains).grad = None
        for path, numbers in state["numbers"].items():
            if path in modules:
                write_attributes(modules[path], numbers)
        for name, kept in state.get("optimizers", {}).items():
            if name in beside.optimizers:
                _write_optimizer(beside.optimizers[name], kept)
        for path, extra in state["extra"].items():
            kept = dereference(extra) if isinstance(extra, Reference) else extra
            if path in modules and kept is not None:
                modules[path].set_extra_state(copy.deepcopy(kept))
        Generators(*map(vars, modules.values()), *beside.generators).install(state["generators"])


def _read_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Return the state of an optimizer that a training step steps itself."""
    groups = [{key: v for key, v in group.items() if key != "params"} for group in optimizer.param_groups]
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {"groups": groups, "state": [dict(optimizer.state.get(one, {})) for one in held]}


def _write_optimizer(optimizer: Optimizer, kept: dict[str, Any]) -> None:
    for group, numbers in zip(optimizer.param_groups, kept["groups"]):
        group.update({key: _put(group.get(key), value) for key, value in numbers.items()})
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter, state in zip(held, kept["state"]):
        now = optimizer.state.pop(parameter, {})
        if state:
            optimizer.state[parameter] = {key: _put(now.get(key), value) for key, value in state.items()}


class OptimizerState:
    """The optimizer: its kind, groups, numbers, and state by parameter."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def state(self) -> dict[str, Any]:
        """Return the state, its tensors those in use."""
        optimizer, groups = self._loop.optimizer, self._loop.rate.groups.with_members()
        names = {id(parameter): name for name, parameter in self._parameters().items()}
        held = [list(group["params"]) for group in groups]
        kept = [optimizer.state.get(parameter) for group in held for parameter in group]
        return {
            "optimizer": Reference(optimizer), "kind": type(optimizer).__name__, "hosted": is_hosted(optimizer),
            "defaults": dict(optimizer.defaults),
            "rate": Reference(self._loop.rate),
            "groups": [{key: v for key, v in group.items() if key != "params"} for group in groups],
            "params": Reference(held),
            "names": [[names.get(id(parameter)) for parameter in group] for group in held],
            "state": [None if one is None else dict(one) for one in kept],
            "away": [
                [key for key, v in (one or {}).items() if isinstance(v, torch.Tensor) and not v.is_cpu]
                for one in kept
            ],
            "numbers": read_attributes(optimizer),
        }  # fmt: skip

    def install(self, state: dict[str, Any]) -> None:
        """Put back the optimizer, writing into its own tensors.

        That of another loop is put back from disk when that loop is there.
        """
        if state.get("hosted") and dereference(state["optimizer"]) is None:
            self._loop.left_for_host = next(filter(None, state["state"]), {})
            return
        held = dereference(state["params"])
        if held is None:
            own = self._parameters()
            lost = [name for group in state["names"] for name in group if name not in own]
            if lost:
                raise ValueError(f"the optimizer moved {lost[0]!r}, which this model has not")
            held = [[own[name] for name in group] for group in state["names"]]
        self._loop.rate.groups.merge()  # split anew by the control that did so
        self._loop.optimizer = optimizer = dereference(state["optimizer"]) or self._of_kind(state, held)
        if (rate := dereference(state["rate"])) is not None:
            self._loop.rate = rate
        groups = optimizer.param_groups
        del groups[len(held):]
        groups.extend({"params": []} for _ in range(len(held) - len(groups)))
        for group, numbers, params in zip(groups, state["groups"], held):
            group["params"][:] = params
            for key in [key for key in group if key != "params" and key not in numbers]:
                del group[key]
            for key, value in numbers.items():
                group[key] = _put(group.get(key), value)
        flat = [parameter for group in held for parameter in group]
        for parameter in optimizer.state.keys() - set(flat):
            del optimizer.state[parameter]
        for parameter, kept, away in zip(flat, state["state"], state["away"]):
            if kept is None:
                optimizer.state.pop(parameter, None)
                continue
            now = optimizer.state.setdefault(parameter, {})
            made = {key: _put(now.get(key), value) for key, value in kept.items()}
            now.clear()
            now.update({key: v.to(parameter.device) if key in away else v for key, v in made.items()})
        write_attributes(optimizer, state["numbers"])

    def _of_kind(self, state: dict[str, Any], held: list[list[nn.Parameter]]) -> torch.optim.Optimizer:
        """Return the optimizer of now, or torch's of that kind."""
        now, kind = self._loop.optimizer, getattr(torch.optim, state["kind"], None)
        if type(now).__name__ == state["kind"]:
            return now
        if kind is None or "defaults" not in state:
            was, here = state["kind"], type(now).__name__
            raise ValueError(f"the optimizer was {was} and is {here} now: pass optimizer={was}")
        taken = default_settings(kind)
        options = {name: value for name, value in state["defaults"].items() if name in taken}
        return kind([{"params": list(group)} for group in held], **options)

    def _parameters(self) -> dict[str, nn.Parameter]:
        objective = self._loop.objective
        return {**dict(objective.model.named_parameters()), **objective.companions.parameters()}


class GlobalRandomness:
    """The global random generators, while training borrows them.

    Parameters
    ----------
    at_rest : returns where the training left them, while it does not have them; None while it does.
    """

    def __init__(self, at_rest: Callable[[], RandomStates | None] = lambda: None) -> None:
        self._at_rest = at_rest

    def state(self) -> dict[str, Any]:
        """Return where they are."""
        return (self._at_rest() or RandomStates.capture()).state()

    def install(self, state: dict[str, Any]) -> None:
        """Put them there."""
        RandomStates.from_state(state).install()


def is_hosted(optimizer: Optimizer) -> bool:
    """Say whether it stands for the optimizer of another loop."""
    return hasattr(optimizer, "of_another_loop")


def _put(now: Any, value: Any) -> Any:
    """Return a changeable `value`, in the tensor of now where it fits."""
    if not isinstance(value, torch.Tensor):
        return copy.deepcopy(dereference(value) if isinstance(value, Reference) else value)
    if isinstance(now, torch.Tensor) and now.shape == value.shape and now.dtype == value.dtype:
        with torch.no_grad():
            return now.copy_(value)
    return value.clone()
