"""States as JSON and tensors: what a file can hold, and back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ...base.state import Reference


def encode(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Return a state as JSON; its tensors go into `tensors`.

    Raises
    ------
    ValueError : it holds an array that is not of numbers.
    """

    def several(items: Any) -> list[Any]:
        return [encode(item, f"{name}.{number}", tensors) for number, item in enumerate(items)]

    if value is None or isinstance(value, (bool, int, str)):
        return value if not isinstance(value, str) or type(value) is str else str(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Reference):
        return None
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        if value.is_complex():
            tensors[name] = torch.view_as_real(value)
            return {"$": "complex tensor", "v": name}
        tensors[name] = value
        return {"$": "tensor", "v": name}
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
    if isinstance(value, tuple):
        return {"$": "tuple", "v": several(value)}
    if isinstance(value, list):
        return several(value)
    if isinstance(value, dict):
        if all(type(key) is str for key in value) and "$" not in value:
            prefix = "model" if name == "weights.tensors" else name
            return {key: encode(one, f"{prefix}.{key}", tensors) for key, one in value.items()}
        pairs = [
            [encode(key, name, tensors), encode(one, f"{name}.{key}", tensors)]
            for key, one in value.items()
        ]
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
