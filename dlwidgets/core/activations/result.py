"""Activations by layer: tensors, why there are none, and their file."""

from __future__ import annotations

import itertools
import json
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..base.atomic_file import write_atomically
from ..base.outputs import layer_path
from ..pictures.statistics import to_real
from .distribution import COLUMNS, Distribution, Limits, by_channel, distribution

if TYPE_CHECKING:
    import pandas as pd


class Activations(dict[str, torch.Tensor]):
    """Path -> tensor, in the order in which the layers ran.

    Attributes
    ----------
    missing : layers that were asked for and gave no tensor, each with the reason, a sentence.
    sampled : for each key whose tensor is not whole, a sentence on what was kept of it, and why.
    output : what the model itself returned, whole.
    kinds : for each key, the class name of the layer that put it out; for a functional operation its
        function's name, as "add".
    axes : for each key, the axis of its channels (units, heads); None where it has none.
    limits : for each key, from where on its values are saturated; None where they never are.
    untraced : why functional operations, which were asked for, have no names in this model, or "".
    """

    def __init__(self) -> None:
        super().__init__()
        self.missing: dict[str, str] = {}
        self.sampled: dict[str, str] = {}
        self.output: Any = None
        self.kinds: dict[str, str] = {}
        self.axes: dict[str, int | None] = {}
        self.limits: dict[str, Limits | None] = {}
        self.untraced = ""

    def parts(self, path: str) -> list[str]:
        """Return the keys of a layer's tensors, and of further calls."""
        return [key for key in self if layer_path(key) == path]

    def statistics(self) -> dict[str, Distribution]:
        """Return how the values of each tensor, as kept, are spread."""
        return {key: distribution(tensor, self.limits.get(key)) for key, tensor in self.items()}

    def to_frame(self) -> pd.DataFrame:
        """Return the statistics as a table, a row for each key.

        Columns: kind, shape, mean, std, zeros, saturated, nonfinite (shares, 0..1), min, 5% ... 95%, max (of
        the finite values), and sampled, whether the tensor is not whole.
        """
        import pandas as pd

        rows = [
            (key, self.kinds[key], tuple(self[key].shape), *found.row(), key in self.sampled)
            for key, found in self.statistics().items()
        ]
        return pd.DataFrame(rows, columns=["layer", "kind", "shape", *COLUMNS, "sampled"]).set_index("layer")

    def channels(self) -> pd.DataFrame:
        """Return a row of statistics for each channel (unit, head), by layer.

        Left out are tensors that have no channels, as a single number.
        """
        import pandas as pd

        found = {
            key: pd.DataFrame(by_channel(tensor, axis, self.limits.get(key)), columns=list(COLUMNS))
            for key, tensor in self.items()
            if (axis := self.axes.get(key)) is not None
        }
        names = ["layer", "channel"]
        if not found:
            index = pd.MultiIndex.from_arrays([[], []], names=names)
            return pd.DataFrame(columns=list(COLUMNS), index=index, dtype=float)
        return pd.concat(found, names=names)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all tensors as NPZ; return the path, which ends in ".npz".

        `numpy.load(path)` has each under its key; the model itself under "(model)", and
        under "(about)" a text in JSON with kinds, missing and sampled. Types that numpy has not, as bfloat16,
        become float32.

        Raises
        ------
        OSError : it cannot be written there; what was there before is still whole.
        """
        about = {"kinds": self.kinds, "missing": self.missing, "sampled": self.sampled}
        text = np.array(json.dumps(about, ensure_ascii=False))
        # "(model)" for the model itself.
        names = (f"(model){key}" if not key or key[0] in "[#" else key for key in self)
        arrays = zip(names, map(_as_array, self.values()), strict=True)
        return save_arrays(path, itertools.chain(arrays, [("(about)", text)]))

    def __repr__(self) -> str:
        words = {}
        for key, tensor in self.items():
            shape = "×".join(map(str, tensor.shape)) or "scalar"
            sampled = "  sampled" if key in self.sampled else ""
            words[key or "(model)"] = f"{shape}  {str(tensor.dtype)[6:]}{sampled}"
        words |= {key or "(model)": f"– {reason}" for key, reason in self.missing.items()}
        width = max(map(len, words), default=0)
        lines = [f"{name:<{width}}  {word}" for name, word in words.items()]
        return "\n".join([*lines, *filter(None, [self.untraced])]) or "no activations"


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor as an array, float32 where numpy lacks its type."""
    plain = tensor.layout == torch.strided and not tensor.is_quantized
    tensor = tensor.detach().resolve_conj().resolve_neg() if plain else to_real(tensor)
    try:
        return tensor.cpu().numpy()
    except TypeError:
        return to_real(tensor).cpu().numpy()


def save_arrays(path: str | os.PathLike[str], arrays: Iterable[tuple[str, Any]]) -> Path:
    """Write named arrays for `numpy.load`, with no pickle.

    Returns the file's path, which gets ".npz" at its end. One array is held at a time, so that `arrays` may
    make them as it goes. Whatever happens meanwhile, an OSError too, what was there is either still whole or
    replaced.
    """
    place = Path(path).expanduser()
    if place.suffix != ".npz":
        place = place.with_name(f"{place.name}.npz")
    with write_atomically(place, "layers.npz") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for key, array in arrays:
                # By hand, since numpy.savez has no array called "file", and holds them all.
                with packed.open(f"{key}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
    return place
