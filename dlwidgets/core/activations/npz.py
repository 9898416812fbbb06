"""Arrays in an NPZ file under any names, written whole or not at all."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..base.atomic_file import write_atomically
from ..pictures.statistics import real


def named(key: str) -> str:
    """Return what a key of `Activations` is called in the file: "(model)" for the model itself."""
    return f"(model){key}" if not key or key[0] in "[#" else key


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor as an array of its own type, or as float32 where numpy has none such."""
    plain = tensor.layout == torch.strided and not tensor.is_quantized
    tensor = tensor.detach().resolve_conj().resolve_neg() if plain else real(tensor)
    try:
        return tensor.cpu().numpy()
    except TypeError:
        return real(tensor).cpu().numpy()


def save_arrays(path: str | os.PathLike[str], arrays: Iterable[tuple[str, Any]]) -> Path:
    """Write named arrays so that `numpy.load(path)[name]` gives them, with no pickle; return the file's path.

    The path gets ".npz" at its end where it has it not. One array is held at a time, so that `arrays` may
    make them as it goes. The file is written beside its place and then moved there: whatever happens
    meanwhile, what was there is either still whole or replaced.

    Raises
    ------
    OSError : it cannot be written there.
    """
    place = Path(path).expanduser()
    if place.suffix != ".npz":
        place = place.with_name(f"{place.name}.npz")
    with (
        write_atomically(place, "layers.npz") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for key, array in arrays:
            # By hand, since numpy.savez has no array called "file", and holds them all.
            with packed.open(f"{key}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
    return place
