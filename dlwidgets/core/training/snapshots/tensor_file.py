"""Tensors in a file of the safetensors format: written whole or not at all, read with no pickle, checked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

#: The names of the format (huggingface/safetensors, README, "Format").
_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.uint16: "U16", torch.uint32: "U32",
    torch.uint64: "U64",
}  # fmt: skip
_KINDS = {name: kind for kind, name in _NAMES.items()}


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, str]) -> str:
    """Write tensors to a new file at `path`; return the file's SHA-256.

    Raises
    ------
    OSError : it cannot be written; nothing is left of it.
    ValueError : a tensor is of a kind that the format does not know.
    """
    header: dict[str, Any] = {"__metadata__": dict(about)}
    end, parts = 0, []
    for name, tensor in tensors.items():
        if tensor.dtype not in _NAMES or tensor.layout is not torch.strided:
            raise ValueError(f"{name!r} is of the kind {tensor.dtype}, which cannot be saved")
        begin, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]
        }  # fmt: skip
        parts.append(tensor)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return write_whole(path, (struct.pack("<Q", len(text)), text, *map(_bytes, parts)))


def read_tensors(path: Path, sha256: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a file whose checksum is known.

    Raises
    ------
    OSError, ValueError : it cannot be read, or is not what was written.
    """
    data = bytearray(path.read_bytes())
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{path.name} is damaged: its checksum is not the one that was written down")
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(bytes(data[8 : 8 + length]))
    found = {}
    for name, one in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in one["data_offsets"])
            kind = _KINDS[one["dtype"]]
            if end == begin:
                found[name] = torch.empty(one["shape"], dtype=kind)
                continue
            flat = torch.frombuffer(data, dtype=torch.uint8, count=end - begin, offset=begin)
            found[name] = flat.clone().view(kind).reshape(one["shape"])
    return found


def write_whole(path: Path, parts: Iterable[bytes | memoryview]) -> str:
    """Write a file beside its place, have the disk take it, then move it there; return its SHA-256."""
    part, code = path.with_name(f".{path.name}.part"), hashlib.sha256()
    try:
        with open(part, "wb") as file:
            for piece in parts:
                code.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        with contextlib.suppress(OSError, AttributeError):  # no such thing on Windows
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return code.hexdigest()


def _bytes(tensor: torch.Tensor) -> memoryview:
    flat: np.ndarray = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(flat)
