"""A model's weights in a file: written whole or not at all, and read with no pickle."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

import torch


def save_weights(weights: dict[str, Any], path: Any) -> Path:
    """Write a state dict so that `torch.load(path, weights_only=True)` reads it on any machine.

    It is written beside the place and then moved there: whatever happens meanwhile, what was there is either
    still whole or replaced.

    Raises
    ------
    OSError : it cannot be written there.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        raise IsADirectoryError(f"{place} is a folder: the name of a file, as 'model.pt', is wanted.")
    if not place.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {place.parent} to write {place.name} to.")
    there = {name: _on_cpu(value) for name, value in weights.items()}
    number, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.", suffix=".part")
    try:
        with os.fdopen(number, "wb") as file:
            torch.save(there, file)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            os.chmod(name, place.stat().st_mode & 0o777)
        else:
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, 0o666 & ~mask)  # mkstemp lets nobody else read
        os.replace(name, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    return place


def _on_cpu(value: Any) -> Any:
    # A clone: a view of a large tensor would bring all of it along.
    return value.detach().cpu().clone() if isinstance(value, torch.Tensor) else value
