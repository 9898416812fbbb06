"""States in files: JSON beside tensors, whole, checked, with no pickle."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save, save_file

from ...base.atomic_file import write_atomically
from ...base.state import Reference


def encode(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Return a state as JSON; its tensors go into `tensors`.

    Raises
    ------
    ValueError : it holds an array that is not of numbers.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value if not isinstance(value, str) or type(value) is str else str(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Reference):
        return None
    if isinstance(value, torch.Tensor):
        value, kind = value.detach().cpu(), "complex tensor" if value.is_complex() else "tensor"
        tensors[name] = torch.view_as_real(value) if value.is_complex() else value
        return {"$": kind, "v": name}
    if isinstance(value, torch.dtype):
        return {"$": "dtype", "v": str(value).removeprefix("torch.")}
    if isinstance(value, np.generic):
        return encode(value.item(), name, tensors)
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise ValueError(f"{name} holds an array of {value.dtype}, which cannot be saved")
        tensors[name] = torch.from_numpy(np.frombuffer(value.tobytes(), np.uint8).copy())
        return {"$": "array", "v": name, "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, (bytes, bytearray)):
        return {"$": "bytes", "v": base64.b64encode(value).decode()}
    if isinstance(value, (tuple, list)):
        several = [encode(item, f"{name}.{number}", tensors) for number, item in enumerate(value)]
        return {"$": "tuple", "v": several} if isinstance(value, tuple) else several
    if isinstance(value, Mapping):
        if all(type(key) is str for key in value) and "$" not in value:
            prefix = "model" if name == "weights.tensors" else name
            return {key: encode(one, f"{prefix}.{key}", tensors) for key, one in value.items()}
        pairs = [[encode(k, name, tensors), encode(v, f"{name}.{k}", tensors)] for k, v in value.items()]
        return {"$": "dict", "v": pairs}
    return {"$": "word", "v": getattr(value, "__name__", None) or repr(value)}


def decode(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Return what `encode` wrote; a word for what it could not."""
    if isinstance(value, list):
        return [decode(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    kind, what = value.get("$"), value.get("v")
    if kind is None:
        return {key: decode(one, tensors) for key, one in value.items()}
    if kind == "tensor":
        return tensors[what]
    if kind == "complex tensor":
        return torch.view_as_complex(tensors[what])
    if kind == "array":
        flat = np.frombuffer(tensors[what].numpy().tobytes(), np.dtype(value["dtype"]))
        return flat.reshape(value["shape"]).copy()
    if kind == "dtype":
        return getattr(torch, what)
    if kind == "bytes":
        return base64.b64decode(what)
    if kind == "tuple":
        return tuple(decode(one, tensors) for one in what)
    if kind == "dict":
        return {decode(k, tensors): decode(v, tensors) for k, v in what}
    return what


def write_state(
    place: Path,
    kind: str,
    version: int,
    body: Mapping[str, Any],
    file: str,
    tensors: Mapping[str, torch.Tensor],
    **about: str,
) -> None:
    """Write tensors into `file`, then what lies beside them at `place`.

    That is JSON, and holds the checksum of the first and its own: only with it the state is there. Both are
    written beside their place and moved there: a process that is killed, or a disk that is full, leaves whole
    what was there before.

    Raises
    ------
    OSError, ValueError : it cannot be written; nothing is left of it.
    """
    try:
        check = write_tensors(place.with_name(file), tensors, {"format": "pt", **about})
        text = json.dumps({**body, "file": file, "sha256": check})
        check = _sha256(text.encode())
        whole = {"format": f"dlwidgets {kind}", "version": version, "check": check, "body": text}
        with write_atomically(place, "run.json") as out:
            out.write(json.dumps(whole).encode())
    except BaseException:
        with contextlib.suppress(OSError):
            place.with_name(file).unlink()
        raise


def read_state(place: Path, kind: str, version: int) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return what `write_state` wrote, the version among it, and the tensors.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError : it cannot be read, or is not what was written.
    """
    whole = json.loads(place.read_bytes())
    if not isinstance(whole, dict) or whole.get("format") != f"dlwidgets {kind}":
        raise ValueError(f"{place.name} is no {kind} of dlwidgets")
    if whole["version"] > version:
        raise ValueError(f"{place.name} was written by a newer dlwidgets")
    if _sha256(whole["body"].encode()) != whole["check"]:
        raise ValueError(f"{place.name} is damaged: its checksum is not the one that was written down")
    # Origins that were written first name their tensors outside of the body.
    body = {**whole, **json.loads(whole["body"])}
    file = place.with_name(Path(body["file"]).name)
    if not file.exists():
        raise ValueError(f"{file.name} is missing")
    return body, read_tensors(file, body["sha256"])


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
        code = hashlib.sha256()
        with open(file.name, "rb") as written:
            while piece := written.read(2**20):
                code.update(piece)
        return code.hexdigest()


def read_tensors(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a file whose checksum is known.

    Raises
    ------
    OSError, ValueError : it cannot be read, or is not what was written.
    """
    data = path.read_bytes()
    if _sha256(data) != sha256:
        raise ValueError(f"{path.name} is damaged: its checksum is not the one that was written down")
    return load(data)


def save_weights(weights: Mapping[str, Any], path: Any) -> Path:
    """Write a state dict for `torch.load(path, weights_only=True)`.

    A path that ends in .safetensors becomes such a file.

    Raises
    ------
    OSError : it cannot be written there.
    """
    # Clones: a view of a large tensor would bring all of it along.
    own = {k: v.detach().cpu().clone() if isinstance(v, torch.Tensor) else v for k, v in weights.items()}
    place = Path(path).expanduser()
    with write_atomically(place, "model.pt") as file:
        if place.suffix == ".safetensors":
            file.write(save({name: one.contiguous() for name, one in own.items() if isinstance(one, torch.Tensor)}))
        else:
            torch.save(own, file)
    return place


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
