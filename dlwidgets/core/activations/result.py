"""What came out of a look into a model: tensors by their layers' names, and words where there is none."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch

from .outputs import layer_of
from .statistics import Statistics, statistics

if TYPE_CHECKING:
    import pandas as pd


class Activations(dict[str, torch.Tensor]):
    """Path -> tensor, in the order in which the layers ran; and in `missing`, path -> why there is none.

    Attributes
    ----------
    missing : layers that were asked for and gave no tensor, each with the reason, a sentence.
    sampled : for each key whose tensor is not whole, a sentence on what was kept of it, and why.
    output : what the model itself returned, whole.
    kinds : for each key, the class name of the layer that put it out; for a functional operation its
        function's name, as "add".
    axes : for each key, the axis of its channels (units, heads); None where it has none.
    untraced : why functional operations, which were asked for, have no names in this model, or "".
    """

    def __init__(self) -> None:
        super().__init__()
        self.missing: dict[str, str] = {}
        self.sampled: dict[str, str] = {}
        self.output: Any = None
        self.kinds: dict[str, str] = {}
        self.axes: dict[str, int | None] = {}
        self.untraced = ""

    def parts(self, path: str) -> list[str]:
        """Return the keys of the layer at `path`: its first tensor, further ones, further calls."""
        return [key for key in self if layer_of(key) == path]

    def statistics(self) -> dict[str, Statistics]:
        """Return mean, deviation, share of zeros and of non-finite values of each tensor."""
        return {key: statistics(tensor) for key, tensor in self.items()}

    def to_frame(self) -> pd.DataFrame:
        """Return the statistics as a table, a row for each key, with `kind` and `shape`."""
        import pandas as pd

        rows = [
            (key, self.kinds[key], tuple(tensor.shape), *dataclasses.astuple(statistics(tensor)))
            for key, tensor in self.items()
        ]
        columns = ["layer", "kind", "shape", *(field.name for field in dataclasses.fields(Statistics))]
        return pd.DataFrame(rows, columns=columns).set_index("layer")

    def __repr__(self) -> str:
        names = [key or "(model)" for key in (*self, *self.missing)]
        shapes = ["×".join(map(str, tensor.shape)) or "scalar" for tensor in self.values()]
        words = [f"{shape}  {str(tensor.dtype)[6:]}" for shape, tensor in zip(shapes, self.values())]
        words = [f"{said}  sampled" if key in self.sampled else said for key, said in zip(self, words)]
        words += [f"– {reason}" for reason in self.missing.values()]
        width = max(map(len, names), default=0)
        lines = [f"{name:<{width}}  {said}" for name, said in zip(names, words)]
        lines += [self.untraced] if self.untraced else []
        return "\n".join(lines) or "no activations"
