"""What every data set of the course is: two parts, the names of the classes, and where it comes from."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn.functional import one_hot

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TASKS = ("multilabel", "multiclass", "binary")


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """A data set ready for a session: `dlw.Session(model, train=data.train, valid=data.valid, ...)`.

    The tensors are whole (no file is read later), on the CPU, and belong to whoever holds the object.

    Parameters
    ----------
    name : the function that made it, such as ``"collages"``.
    train, valid : pairs ``(X, y)``; X float32 of shape N x ..., y float32 of shape N x C (1 = has the label)
        for a multilabel task. No sample is in both parts.
    classes : the C names, in the order of the columns of y.
    task : one of ``"multilabel"``, ``"multiclass"`` (y of N whole numbers), ``"binary"`` (y of N or N x 1
        zeros and ones; two names, that of 0 first).
    about : a paragraph: what it is, where from, under which licence, how it was split.

    Raises
    ------
    ValueError
        Where the parts, the labels or the names do not fit one another.
    """

    name: str
    train: tuple[Tensor, Tensor]
    valid: tuple[Tensor, Tensor]
    classes: tuple[str, ...]
    task: str
    about: str

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; it must be one of {', '.join(TASKS)}.")
        for part in ("train", "valid"):
            X, y = getattr(self, part)
            if len(X) != len(y):
                raise ValueError(
                    f"{part} has {len(X):,} inputs and {len(y):,} targets; give one target per input."
                )
            if self.task == "multilabel" and (y.ndim != 2 or y.shape[1] != len(self.classes)):
                raise ValueError(
                    f"{part} has targets of shape {tuple(y.shape)}; {len(self.classes)} class names need "
                    f"N x {len(self.classes)}."
                )

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample, without the batch axis, such as ``(1, 32, 32)``."""
        return tuple(self.train[0].shape[1:])

    def describe(self) -> pd.DataFrame:
        """Return one row per class: how many samples of each part have it, and which share of the part."""
        import pandas as pd

        columns: dict[str, object] = {}
        for part in ("train", "valid"):
            has = self._has(part)
            columns[part] = has.sum(0).long().numpy()
            columns[f"{part}_share"] = has.mean(0).numpy()
        return pd.DataFrame(columns, index=pd.Index(self.classes, name="class"))

    def figure(self, samples: int = 24, part: str = "train") -> Figure:
        """Draw the first images of a part with their labels; for a table, how frequent each class is."""
        from . import pictures

        if part not in ("train", "valid"):
            raise ValueError(f"part is {part!r}; it must be 'train' or 'valid'.")
        X, _ = getattr(self, part)
        has = self._has(part).bool().numpy()
        if X.ndim == 4:
            return pictures.contact_sheet(X[:samples].numpy(), has[:samples], self.classes)
        return pictures.frequencies(has.mean(0), self.classes)

    def _has(self, part: str) -> Tensor:
        """Return N x C zeros and ones: which sample has which class."""
        _, y = getattr(self, part)
        if self.task == "multilabel":
            return y.float()
        return one_hot(y.long().reshape(-1), len(self.classes)).float()

    def __repr__(self) -> str:
        (X, y), (Xv, _) = self.train, self.valid
        shape, kind = "×".join(map(str, self.input_shape)), str(X.dtype).removeprefix("torch.")
        lines = [
            f"{self.name}: {self.task}, {len(self.classes)} classes, "
            f"{len(X):,} to train on, {len(Xv):,} to validate",
            f"  input    {shape} {kind}, {float(X.min()):.3g} to {float(X.max()):.3g}",
        ]
        if self.task == "multilabel":
            lines.append(f"  labels   {float(y.sum(1).mean()):.2g} per sample on average")
        names = textwrap.wrap(", ".join(self.classes), 90)
        lines += [f"  classes  {names[0]}", *(" " * 11 + more for more in names[1:])]
        lines += textwrap.wrap(self.about, 100, initial_indent="  ", subsequent_indent="  ")
        return "\n".join(lines)
