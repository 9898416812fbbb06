"""Where a run began, in memory and beside its checkpoints."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ...base.machine import snapshot_budget
from ...layers.structure import Structure, structure
from .plain_state import decode, encode
from .tensor_file import read_tensors, write_record, write_tensors

if TYPE_CHECKING:
    from ...controls.steering import Steering
    from ..loop import Loop

_FORMAT, _VERSION = "dlwidgets origin", 1
#: How a thing that no file can hold is written; what it was is said in its place.
_WORD = "word"
#: What of an origin decides how the run went on, and so must be there as it was.
_NEEDED = ("schedule", "asked_schedule", "groups", "state")


@dataclass(frozen=True, eq=False)
class Origin:
    """The state of a run before its first step.

    Weights are copied to the CPU's memory, where there is room for them (see `base.machine.snapshot_budget`).

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
        """Return the state of a run before its first step."""
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
            before = rate.original_groups or [{}] * len(groups)
            groups = tuple({**g, "lr": lr, **own} for g, lr, own in zip(groups, began, before))
        moved = any(optimizer.state.values())
        return cls(
            weights, why, structure(model), type(optimizer), groups,
            copy.deepcopy(optimizer.state_dict()) if moved else None, steering.in_force(), rate.resolved,
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
    body: dict[str, Any] = {"seed": seed, "kind": _class_name(parts.pop("kind"))}
    body["structure"] = _structure_text(parts.pop("structure"))
    body |= {name: encode(_plain(value), name, tensors) for name, value in parts.items()}
    text = json.dumps(body)
    code = hashlib.sha256(text.encode())
    for name, tensor in tensors.items():
        code.update(name.encode())
        code.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
    name = f"origin-{code.hexdigest()[:16]}"
    place, file = folder / f"{name}.json", f"{name}.safetensors"
    try:
        check = write_tensors(folder / file, tensors, {"format": "pt"})
        write_record(place, _FORMAT, _VERSION, text, file=file, sha256=check)
    except BaseException:
        with contextlib.suppress(OSError):
            (folder / file).unlink()
        raise
    return place.name


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
        whole = json.loads(place.read_bytes())
        if whole["format"] != _FORMAT or whole["version"] > _VERSION:
            raise ValueError(f"{place.name} is of another version")
        if hashlib.sha256(whole["body"].encode()).hexdigest() != whole["check"]:
            raise ValueError(f"{place.name} is damaged")
        tensors = read_tensors(folder / Path(whole["file"]).name, whole["sha256"])
        body = json.loads(whole["body"])
    except (KeyError, TypeError, json.JSONDecodeError):
        raise ValueError(f"{place.name} is damaged") from None
    for part in _NEEDED:
        if lost := _lost(body[part]):
            raise ValueError(f"it began with {lost}, which no file can hold")
    parts = {one.name: decode(body[one.name], tensors) for one in fields(Origin) if one.name in body}
    parts["structure"] = _structure_of(body["structure"], loop.model)
    parts["kind"] = _kind_of(body["kind"], loop.optimizer)
    return Origin(**parts), body["seed"]


def add_device(origin: Origin, device: str) -> Origin:
    """Return an origin that names another device that computed."""
    devices = dict.fromkeys([*origin.device.split(", "), device])
    return replace(origin, device=", ".join(devices))


def _plain(value: Any) -> Any:
    """Return a value of Python's own mappings and sequences."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map(_plain, value)) if type(value) in (tuple, list) else tuple(map(_plain, value))
    return value


def _lost(value: Any) -> str:
    """Return what of an encoded value could not be written."""
    if isinstance(value, list):
        return next((found for one in value if (found := _lost(one))), "")
    if not isinstance(value, dict):
        return ""
    if value.get("$") == _WORD:
        return str(value["v"])
    return next((found for one in value.values() if (found := _lost(one))), "")


def _class_name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _structure_text(made: Structure) -> dict[str, Any]:
    tensors: dict[str, torch.Tensor] = {}
    return {
        "modules": [
            [path, _class_name(kind), [[name, encode(value, name, tensors)] for name, value in numbers]]
            for path, kind, numbers in made.modules
        ],
        "tensors": [
            [name, list(shape), str(dtype).removeprefix("torch."), parameter]
            for name, shape, dtype, parameter in made.tensors
        ],
        "ties": [list(names) for names in made.ties],
    }  # fmt: skip


def _structure_of(body: Mapping[str, Any], model: nn.Module) -> Structure:
    """Return a structure in the model's own classes, or torch's."""
    known = {_class_name(kind): kind for _, kind, _ in structure(model).modules}
    modules = tuple(
        (
            path, known.get(kind) or _of_torch(kind) or nn.Module,
            tuple((name, decode(value, {})) for name, value in numbers),
        )
        for path, kind, numbers in body["modules"]
    )  # fmt: skip
    tensors = tuple(
        (name, torch.Size(shape), getattr(torch, dtype), parameter)
        for name, shape, dtype, parameter in body["tensors"]
    )
    return Structure(modules, tensors, tuple(tuple(names) for names in body["ties"]))


def _of_torch(name: str) -> type[nn.Module] | None:
    found = getattr(nn, name.rpartition(":")[2], None) if name.startswith("torch.nn.") else None
    return found if isinstance(found, type) else None


def _kind_of(name: str, optimizer: Optimizer) -> type[Optimizer]:
    if name == _class_name(type(optimizer)):
        return type(optimizer)
    found = getattr(torch.optim, name.rpartition(":")[2], None) if name.startswith("torch.optim.") else None
    if found is None:
        word = name.rpartition(":")[2]
        raise ValueError(f"it began with the optimizer {word}, which is not to be had here")
    return found
