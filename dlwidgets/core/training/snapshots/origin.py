"""Where a run began, in memory and beside its checkpoints."""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ...base.machine import snapshot_budget
from ...layers.structure import Structure, structure
from .state_file import decode, encode, read_state, write_state

if TYPE_CHECKING:
    from ...controls.steering import Steering
    from ...data.companions import Companions
    from ..loop import Loop

_KIND, _VERSION = "origin", 1
#: What of an origin decides how the run went on, and so must be there as it was.
_NEEDED = ("schedule", "asked_schedule", "groups", "state")


@dataclass(frozen=True, eq=False)
class Origin:
    """The state of a run before its first step.

    Weights are copied to the CPU's memory, where there is room for them (see `base.machine.snapshot_budget`).

    Attributes
    ----------
    weights : the model's state dict; None where it was not kept, and `why` says why not, in a clause.
    kind, groups : the class of the optimizer, and its parameter groups, "params" being names.
    state : its state dict, where it had moved weights before; None for a new one.
    settings : the controls in force.
    schedule, asked_schedule : the schedule, settled and as it was asked for; None without one.
    began, cycled : the rates of the groups where it begins, and what it changes beside the rate.
    names, split : those of the model's parameters, and of the weights that were split by `weight_norm`.
    dropouts : path -> rate of each dropout layer.
    generator : the state of the random generator that a DataLoader was given; None without one.
    changes : how many changes of the line were in force already.
    device : where the run computed; several, with commas between, where it went on elsewhere.
    loss : the state dict of a loss that is a module; None for any other.
    beside : what else a loss or a step holds, by name: state dicts, tensors, what objects remember.
    factor : what a person laid over the rates of the schedule.
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
    loss: Mapping[str, torch.Tensor] | None = None
    beside: Mapping[str, Any] = field(default_factory=dict)
    factor: float = 1.0

    @classmethod
    def of(cls, loop: Loop, steering: Steering, changes: int) -> Origin:
        """Return the state of a run before its first step."""
        model, optimizer = loop.model, loop.optimizer
        weights, why = _weights(model)
        parameters = dict(model.named_parameters())
        beside, loss = loop.objective.companions, loop.objective.task.loss
        names = {id(parameter): name for name, parameter in {**parameters, **beside.parameters()}.items()}
        groups = tuple(
            {
                **{key: copy.deepcopy(value) for key, value in group.items() if key != "params"},
                "params": tuple(names.get(id(parameter)) for parameter in group["params"]),
            }
            for group in loop.rate.groups.with_members()
        )
        rate, began = loop.rate, tuple(float(group.get("lr", 0.0)) for group in groups)
        if rate.plan is not None:
            # What the schedule has written is not what it began from.
            began = tuple(map(float, rate.began))  # type: ignore[union-attr]
            before = rate.original_groups or [{}] * len(groups)
            groups = tuple({**g, "lr": lr, **own} for g, lr, own in zip(groups, began, before))
        moved = any(optimizer.state.values())
        generator, drawn = (getattr(loop.batches, name, None) for name in ("generator", "began"))
        if generator is not None:
            drawn = generator.get_state() if drawn is None else drawn  # batches may have been left out
        return cls(
            weights, why, structure(model), type(optimizer), groups,
            copy.deepcopy(optimizer.state_dict()) if moved else None, steering.in_force(), rate.resolved,
            rate.wish, began, rate.cycled, tuple(parameters),
            tuple(loop.normalisation.state()["split"]), loop.dropout.rates(),
            drawn, changes, str(loop.objective.device),
            _weights(loss)[0] if isinstance(loss, nn.Module) else None, _read_beside(beside),
            rate.factor,
        )  # fmt: skip


def _read_beside(held: Companions) -> dict[str, Any]:
    """Return what is held beside model and loss, in memory."""
    kept: dict[str, Any] = copy.deepcopy(held.read_memories())
    kept |= {name: _weights(root)[0] for name, root in held.roots.items() if name != "(loss)"}
    return kept | {name: one.detach().to("cpu", copy=True) for name, one in held.tensors.items()}


def _weights(model: nn.Module) -> tuple[dict[str, torch.Tensor] | None, str]:
    if any(map(is_lazy, model.parameters())):
        return None, "some layers get their size in the first step only"
    state = {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    size = sum({id(tensor): tensor.nbytes for tensor in state.values()}.values())
    if size > snapshot_budget(size):
        return None, f"a copy of {size / 2**20:,.0f} MB did not fit in the memory set aside for it"
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}, ""


class OriginWriter:
    """Writes the origin of a run beside its checkpoints, once a folder.

    It takes as much of the disk as the weights, and as the state of an optimizer that had moved them before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written: tuple[Origin, Path, str] | None = None
        #: Why it could not be written, in a clause; "" where it could.
        self.problem = ""

    def known(self, origin: Origin, folder: Path, name: str) -> None:
        """Take notice that an origin is in a folder already."""
        with self._lock:
            self._written = origin, folder, name

    def write_once(self, origin: Origin | None, seed: int, folder: Path) -> str | None:
        """Write an origin unless it is there; return its file's name."""
        if origin is None:
            return None
        with self._lock:
            if self._written is not None and self._written[0] is origin and self._written[1] == folder:
                if (folder / self._written[2]).exists():
                    return self._written[2]
            try:
                name = write_origin(origin, seed, folder)
            except (OSError, ValueError) as why:
                self.problem = getattr(why, "strerror", None) or str(why)
                return None
            self.problem, self._written = "", (origin, folder, name)
            return name


def write_origin(origin: Origin, seed: int, folder: Path) -> str:
    """Write where a run began; return the file that says so.

    Raises
    ------
    OSError, ValueError : it cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    parts = {one.name: getattr(origin, one.name) for one in fields(origin)}
    made: Structure = parts.pop("structure")
    structure_text = {
        "modules": [
            [path, _class_name(kind), encode([list(number) for number in numbers], path, tensors)]
            for path, kind, numbers in made.modules
        ],
        "tensors": [
            [name, list(shape), str(dtype).removeprefix("torch."), parameter]
            for name, shape, dtype, parameter in made.tensors
        ],
        "ties": [list(names) for names in made.ties],
    }  # fmt: skip
    body = {"seed": seed, "kind": _class_name(parts.pop("kind")), "structure": structure_text}
    body |= {name: encode(value, name, tensors) for name, value in parts.items()}
    code = hashlib.sha256(json.dumps(body).encode())
    for name, tensor in tensors.items():
        code.update(name.encode())
        code.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
    name = f"origin-{code.hexdigest()[:16]}"
    write_state(folder / f"{name}.json", _KIND, _VERSION, body, f"{name}.safetensors", tensors)
    return f"{name}.json"


def read_origin(folder: Path, name: str, loop: Loop) -> tuple[Origin, int]:
    """Return where a run began, and its seed.

    Parameters
    ----------
    loop : the run as it goes on, whose model and optimizer are of the classes of then.

    Raises
    ------
    OSError, ValueError : why it is not to be had, in a clause.
    """
    place = folder / Path(name).name
    try:
        body, tensors = read_state(place, _KIND, _VERSION)
    except (KeyError, TypeError, json.JSONDecodeError):
        raise ValueError(f"{place.name} is damaged") from None
    for part in _NEEDED:
        if lost := _lost(body[part]):
            raise ValueError(f"it began with {lost}, which no file can hold")
    parts = {one.name: decode(body[one.name], tensors) for one in fields(Origin) if one.name in body}
    made = body["structure"]
    own = [kind for _, kind, _ in structure(loop.model).modules]
    modules = tuple(
        (path, _class_of(kind, own, nn) or nn.Module, tuple(map(tuple, decode(numbers, tensors))))
        for path, kind, numbers in made["modules"]
    )
    shapes = tuple(
        (name, torch.Size(shape), getattr(torch, dtype), parameter)
        for name, shape, dtype, parameter in made["tensors"]
    )
    parts["structure"] = Structure(modules, shapes, tuple(map(tuple, made["ties"])))
    parts["kind"] = _class_of(body["kind"], [type(loop.optimizer)], torch.optim)
    if parts["kind"] is None:
        word = body["kind"].rpartition(":")[2]
        raise ValueError(f"it began with the optimizer {word}, which is not to be had here")
    return Origin(**parts), body["seed"]


def _lost(value: Any) -> str:
    """Return what of an encoded value no file holds, or ""."""
    if isinstance(value, dict) and value.get("$") == "word":
        return str(value["v"])
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, map(_lost, inside)), "")


def _class_name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _class_of(name: str, own: Iterable[type], home: Any) -> Any:
    """Return the class of that name: own, torch's, or None."""
    known = {_class_name(kind): kind for kind in own}
    theirs = getattr(home, name.rpartition(":")[2], None) if name.startswith(f"{home.__name__}.") else None
    return known.get(name) or (theirs if isinstance(theirs, type) else None)
