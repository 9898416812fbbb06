"""Weights for Keras models, from files, models and state dicts.

All are read as a state dict whose names are those of the model, so that each tensor can be reported on. Where Keras
itself would put what a file has is found by having it save the model into a store that notes places and copies nothing.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...base.atomic_file import write_atomically
from ...base.words import quote_error
from .adoption import counterpart, register_layers

#: What files of Keras end with.
ENDINGS = (".keras", ".h5", ".hdf5")
#: Where Keras before version 3 kept the layers of a model.
_OLDER = "_layer_checkpoint_dependencies"
_ORDERED = "Keras numbers its layers as they are made: they were matched in their order."


def translate(model: Any, weights: Any) -> tuple[Mapping[str, Any], str, list[str]] | None:
    """Return weights under a Keras model's names, a title and notes.

    None where they are none of Keras's, or are under these names already. Of two models or more that differ in Keras's
    numbers alone the layers are taken in their order.

    Parameters
    ----------
    weights : a file of Keras, a model, or a state dict.

    Raises
    ------
    ValueError : in a sentence, why it cannot be read.
    """
    if isinstance(weights, (str, Path)):
        place = Path(weights).expanduser()
        if place.name.endswith(ENDINGS) and place.is_file():
            found, notes = _read_file(model, place)
            return found, place.name, notes
        return None
    if isinstance(weights, nn.Module):
        title = f"the {type(weights).__name__}"
        if not hasattr(weights, "_call_has_training_arg"):
            made = translate_tensors(model, weights.state_dict())
            return None if made is None else (made[0], title, made[1])
        places, theirs = _list_places(model), _list_places(register_layers(weights))
        held = weights.state_dict()
        return {places.get(key, f"{key} ({name})"): held[name] for key, name in theirs.items()}, title, []
    if isinstance(weights, Mapping):
        made = translate_tensors(model, weights)
        return None if made is None else (made[0], "the state dict", made[1])
    return None


def translate_tensors(model: Any, tensors: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]] | None:
    """Return a state dict under a Keras model's names, and notes.

    It is one of a Keras model whose layers have other numbers, or of a torch model of the same layers. None: as it is.
    """
    own = model.state_dict()
    if not tensors or not all(isinstance(one, torch.Tensor) for one in tensors.values()):
        return None
    ours, theirs = _renumber(own), _renumber(tensors)
    if own.keys() != tensors.keys() and {*theirs.values()} <= {*ours.values()}:
        named = {plain: name for name, plain in ours.items()}
        return {named[theirs[name]]: one for name, one in tensors.items()}, [_ORDERED]
    return None if own.keys() & tensors.keys() else _from_torch(model, tensors)


def _renumber(names: Mapping[str, Any]) -> dict[str, str]:
    """Return name -> the name as it were in a new process."""
    seen: dict[tuple[str, str], dict[str, int]] = {}
    found = {}
    for name in names:
        *path, key = name.split(".")
        parts, start = [], ""
        for part in path:
            base = re.sub(r"_\d+$", "", part)
            number = seen.setdefault((start, base), {}).setdefault(part, len(seen[start, base]))
            start = f"{start}.{base}_{number}"
            parts.append(f"{base}_{number}")
        found[name] = ".".join([*parts, key])
    return found


# Keras's files


def _list_places(model: Any) -> dict[str, str]:
    """Return place in a file of Keras -> name in the model."""
    names = {id(tensor): name for name, tensor in model.state_dict(keep_vars=True).items()}
    paths = {id(module): path for path, module in model.named_modules()}
    places: dict[str, str] = {}
    for place, part in _walk_parts(model, "", {id(getattr(model, "optimizer", None))}):
        noted: dict[str, Any] = {}
        start = f"{place}/vars/".lstrip("/")
        inner = vars(part).get("module", getattr(part, "_modules", {}).get("module"))
        if isinstance(inner, nn.Module) and type(part).__name__ == "TorchModuleWrapper":
            places |= {f"{start}{key}": f"{paths[id(part)]}.module.{key}" for key in inner.state_dict()}
            continue
        part.save_own_variables(noted)
        for key, value in noted.items():
            if (name := names.get(id(getattr(value, "_value", value)))) is not None:
                places[f"{start}{key}"] = name
    return places


def _walk_parts(part: Any, place: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield what Keras saves, with its place in the file."""
    from keras.src.saving import saving_lib
    from keras.src.saving.keras_saveable import KerasSaveable
    from keras.src.utils.naming import to_snake_case

    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, KerasSaveable):
        if hasattr(part, "save_own_variables"):
            yield place, part
        for name, one in saving_lib._walk_saveable(part):
            if isinstance(one, (KerasSaveable, list, dict, tuple)):
                yield from _walk_parts(one, f"{place}/{name}".lstrip("/"), seen)
        return
    used: dict[str, int] = {}
    for one in part.values() if isinstance(part, dict) else part:
        if isinstance(one, (KerasSaveable, list, dict, tuple)):
            kind = to_snake_case(type(one).__name__) if isinstance(one, KerasSaveable) else "container"
            # As Keras numbers them: "dense", "dense_1", ...
            used[kind] = used.get(kind, -1) + 1
            yield from _walk_parts(one, f"{place}/{kind}_{used[kind]}" if used[kind] else f"{place}/{kind}", seen)


def _read_file(model: Any, place: Path) -> tuple[dict[str, Any], list[str]]:
    """Return a Keras file's tensors under a model's names, and notes."""
    from keras.src.saving.saving_lib import h5py

    try:
        with h5py.File(_open(place), "r") as file:
            if "layer_names" in file.attrs or "model_weights" in file:
                return _read_legacy(model, file["model_weights"] if "model_weights" in file else file)
            found: dict[str, torch.Tensor] = {}
            said: dict[str, str] = {}

            def note(name: str, one: Any) -> None:
                numbers = isinstance(one, h5py.Dataset) and one.dtype.kind in "biufc"
                if numbers and not name.startswith(("optimizer", "_optimizer")):
                    found[name.replace(_OLDER, "layers")] = torch.from_numpy(np.asarray(one[()]))
                    said[name.replace(_OLDER, "layers")] = str(one.parent.attrs.get("name", ""))

            file.visititems(note)
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"{place.name} is damaged, or no file of Keras: {quote_error(error)}") from None
    places = _list_places(model)
    return {places.get(key, f"{key} ({said[key]})" if said[key] else key): one for key, one in found.items()}, []


def write_file(model: Any, weights: Mapping[str, torch.Tensor], place: Path) -> Path | None:
    """Have Keras write a file of its own; None: no such name.

    Parameters
    ----------
    weights : those that are to be in it; the model has what it had afterwards.
    place : its name: `.keras` or `.h5` for the whole model, `.weights.h5` for weights alone.

    Raises
    ------
    ValueError : in a sentence, why Keras cannot write it.
    """
    if not place.name.endswith(ENDINGS):
        return None
    before = {name: one.detach().clone() for name, one in model.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / place.name
        try:
            model.load_state_dict(weights)
            model.save_weights(path) if place.name.endswith(".weights.h5") else model.save(path)
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ValueError(
                f"Keras cannot write {place.name}: {quote_error(error)} session.save('{place.stem}.weights.h5') writes "
                "the weights alone."
            ) from error
        finally:
            model.load_state_dict(before)
        with write_atomically(place, "model.keras") as file:
            file.write(path.read_bytes())
    return place


def list_own_classes(place: Path) -> list[str]:
    """List a person's own classes and functions in a `.keras` file."""
    try:
        with zipfile.ZipFile(place) as inside:
            config = json.loads(inside.read("config.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return []
    found: dict[str, None] = {}

    def visit(part: Any) -> None:
        if isinstance(part, dict):
            module, kind = part.get("module", ""), part.get("class_name")
            name = part.get("config") if kind == "function" else kind
            if isinstance(name, str) and "config" in part and not str(module).startswith("keras"):
                if module is not None or part.get("registered_name"):
                    found[name] = None
        for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
            visit(one)

    visit(config)
    return [name for name in found if name != "__keras_tensor__" and not name.startswith("__")]


def _open(place: Path) -> Any:
    """Return the HDF5 file of a path, that inside a `.keras` file."""
    if not zipfile.is_zipfile(place):
        return place
    with zipfile.ZipFile(place) as inside:
        if "model.weights.h5" not in inside.namelist():
            raise ValueError(
                f"{place.name} has its weights in a form that only Keras reads: model.load_weights({place.name!r})."
            )
        return io.BytesIO(inside.read("model.weights.h5"))


def _read_legacy(model: Any, file: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the tensors of a file as Keras 2 writes it.

    Layers are matched in their order where there are as many, as Keras does, and else by name.
    """
    names = {id(tensor): name for name, tensor in model.state_dict(keep_vars=True).items()}
    own = [layer for layer in model.layers if layer.weights]
    held = {_text(name): [*map(_text, file[name].attrs["weight_names"])] for name in file.attrs["layer_names"]}
    groups = {name: keys for name, keys in held.items() if keys}
    ordered = len(groups) == len(own)
    by_name = {layer.name: layer for layer in own}
    found: dict[str, Any] = {}
    for number, (name, held) in enumerate(groups.items()):
        layer = own[number] if ordered else by_name.get(name)
        trained = [] if layer is None else [one for one in layer.weights if id(one) in _trained(layer)]
        kept = [] if layer is None else [one for one in layer.weights if id(one) not in _trained(layer)]
        variables = [*trained, *kept]
        for place, key in enumerate(held):
            ours = names.get(id(variables[place]._value)) if place < len(variables) else None
            found[ours or key] = torch.from_numpy(file[name][key][()])
    return found, [] if ordered else ["It has another number of layers: those of the same name were matched."]


def _trained(layer: Any) -> set[int]:
    """Return the identities of variables that train unless they are frozen."""
    return {id(one) for inner in layer._flatten_layers() for one in inner._trainable_variables}


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)



_SAID = "Layers were matched in their order, and axes turned from {} order to {}."
#: What torch calls a tensor, and Keras.
_NAMES = {
    "weight": ("kernel", "gamma", "embeddings", "alpha"), "bias": ("bias", "beta"),
    "running_mean": ("moving_mean",), "running_var": ("moving_variance",),
}  # fmt: skip


def translate_to_torch(model: nn.Module, weights: Any) -> tuple[Mapping[str, Any], str, list[str]] | None:
    """Return a Keras model's weights under a torch twin's names."""
    own = {name: one for name, one in model.state_dict().items() if isinstance(one, torch.Tensor)}
    places = {name: torch.arange(one.numel()).reshape(one.shape) for name, one in own.items()}
    pairs, title = _pair_layers(register_layers(weights), places), f"the {type(weights).__name__}"
    if pairs is None:
        return None
    held, found = weights.state_dict(), {}
    for theirs, ours, order in pairs:
        found[theirs] = torch.empty_like(held[ours]).flatten()
        found[theirs][order.flatten()] = held[ours].flatten()
        found[theirs] = found[theirs].reshape(own[theirs].shape)
    return found, title, [_SAID.format("Keras's", "torch's")]


def _from_torch(model: Any, tensors: Mapping[str, torch.Tensor]) -> tuple[dict[str, Any], list[str]] | None:
    """Return a torch twin's tensors under a Keras model's names."""
    pairs = _pair_layers(model, tensors)
    return None if pairs is None else ({ours: one for _, ours, one in pairs}, [_SAID.format("torch's", "Keras's")])


def _pair_layers(model: Any, tensors: Mapping[str, torch.Tensor]) -> list[tuple[str, str, torch.Tensor]] | None:
    """Return torch's name, Keras's, and the tensor as Keras has it.

    Layers are matched in their order, and each tensor must have the shape of its counterpart once its axes are turned:
    else it is None.
    """
    theirs: dict[str, dict[str, torch.Tensor]] = {}
    for name, one in tensors.items():
        path, _, key = name.rpartition(".")
        if key != "num_batches_tracked":
            theirs.setdefault(path, {})[key] = one
    layers = [(path, one) for path, one in model.named_modules() if one._parameters or _counts(one)]
    if len(theirs) != len(layers) or not all({*held} <= {*_NAMES} for held in theirs.values()):
        return None
    found = []
    for (path, layer), (place, held) in zip(layers, theirs.items()):
        own = {**layer._parameters, **layer._buffers}
        for key, one in held.items():
            name = next((name for name in _NAMES[key] if name in own), None)
            made = _turn(layer, one) if name == "kernel" else one
            if name is None or made is None or made.shape != own[name].shape:
                return None
            found.append((f"{place}.{key}".lstrip("."), f"{path}.{name}".lstrip("."), made))
    return found


def _counts(layer: Any) -> bool:
    return any(name.startswith("moving_") for name in layer._buffers)


def _turn(layer: Any, kernel: torch.Tensor) -> torch.Tensor | None:
    """Return a kernel of torch in Keras's order of axes."""
    kind = counterpart(layer)
    if type(layer).__name__ == "Dense" and kernel.ndim == 2:
        shape = _flattened(layer)
        if shape is not None and len(shape) > 1 and kernel.shape[1] == torch.Size(shape).numel():
            # torch flattens channels before places, Keras after them.
            kernel = kernel.reshape(len(kernel), shape[-1], *shape[:-1]).movedim(1, -1).flatten(1)
        return kernel.T
    if issubclass(kind, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and type(layer).__name__.startswith("Conv"):
        return kernel.movedim((0, 1), (-1, -2))
    return None


def _flattened(layer: Any) -> tuple[int, ...] | None:
    """Return the shape that is flattened before a layer, or None."""
    if not getattr(layer, "_inbound_nodes", None):
        return None
    tensor = layer._inbound_nodes[0].input_tensors[0]
    while True:
        before, number, _ = tensor._keras_history
        if not before._inbound_nodes or not before._inbound_nodes[number].input_tensors:
            return None
        tensor = before._inbound_nodes[number].input_tensors[0]
        if type(before).__name__ == "Flatten":
            return tuple(tensor.shape[1:])
        if type(before).__name__ not in ("Dropout", "Activation", "ReLU", "BatchNormalization"):
            return None
