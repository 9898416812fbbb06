"""Tensors and records in files: whole, checked, with no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from ...base.atomic_file import write_atomically


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> str:
    """Write tensors in the safetensors format; return the file's SHA-256.

    Raises
    ------
    OSError : it cannot be written; nothing is left of it.
    ValueError : a tensor is of a kind that the format does not know.
    """
    whole, storages = {}, set()
    for name, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise ValueError(f"{name!r} is of the kind {tensor.dtype}, which cannot be saved")
        tensor = tensor.detach().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        # The format refuses tensors that share memory.
        whole[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    with write_atomically(path, "run.safetensors") as file:
        try:
            save_file(whole, file.name, dict(about))
        except SafetensorError as error:
            raise OSError(str(error)) from None
        with open(file.name, "rb") as written:
            return _sha256(written)


def read_tensors(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a file whose checksum is known.

    Raises
    ------
    OSError, ValueError : it cannot be read, or is not what was written.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{path.name} is damaged: its checksum is not the one that was written down")
    return load(data)


def write_record(path: Path, kind: str, version: int, body: str, **more: Any) -> None:
    """Write a JSON text beside its kind, version and checksum.

    Raises
    ------
    OSError : it cannot be written; nothing is left of it.
    """
    check = hashlib.sha256(body.encode()).hexdigest()
    whole = {"format": kind, "version": version, "check": check, **more, "body": body}
    with write_atomically(path, "run.json") as out:
        out.write(json.dumps(whole).encode())


def save_weights(weights: Mapping[str, Any], path: Any) -> Path:
    """Write a state dict for `torch.load(path, weights_only=True)`.

    Raises
    ------
    OSError : it cannot be written there.
    """
    place = Path(path).expanduser()
    with write_atomically(place, "model.pt") as file:
        torch.save({name: _on_cpu(value) for name, value in weights.items()}, file)
    return place


def _sha256(file: Any) -> str:
    code = hashlib.sha256()
    while piece := file.read(2**20):
        code.update(piece)
    return code.hexdigest()


def _on_cpu(value: Any) -> Any:
    # A clone: a view of a large tensor would bring all of it along.
    return value.detach().cpu().clone() if isinstance(value, torch.Tensor) else value
