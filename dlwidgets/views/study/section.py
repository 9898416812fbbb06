"""A section of the study, and what it works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from ...core.training.snapshots.snapshot import Snapshot


@dataclass(frozen=True)
class OutputLayout:
    """How a layer's output for one sample is laid out.

    Attributes
    ----------
    shape : without the batch axis.
    axis : of the channels in it; None where it has none.
    behind : the layer whose channels it hands on, where that is another.
    """

    shape: tuple[int, ...]
    axis: int | None
    behind: nn.Module | None = None

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return 0 if self.axis is None else self.shape[self.axis]

    def maps(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return M x h x w: maps, of volumes the middle slices."""
        if tensor.ndim <= 1:
            return tensor.reshape(1, 1, -1)
        if tensor.ndim == 2:
            return tensor[None]
        if self.axis is not None:
            tensor = tensor.movedim(self.axis, 0)
        while tensor.ndim > 3:
            tensor = tensor.select(1, tensor.shape[1] // 2)
        return tensor


@dataclass(frozen=True)
class StudySubject:
    """What is looked at, for the thread that may use the model.

    Attributes
    ----------
    samples : `len()` and `.inputs(i)`, a batch of one.
    inputs : returns the sample looked at as a batch of one; it is read once.
    layer, part : which tensor, as in `activations`.
    of : tells this tensor, sample and line of the run apart from others.
    scores : turns outputs into probabilities; None: they are taken as they are.
    names : returns the names of that many outputs.
    step, running, states : of the session; None, False, () without one.
    """

    model: nn.Module
    samples: Any
    inputs: Callable[[], Any]
    layer: str
    part: str
    of: tuple[Any, ...]
    channel: int
    layout: OutputLayout
    scores: Callable[[torch.Tensor], torch.Tensor] | None
    names: Callable[[int], Sequence[str]]
    step: int | None
    running: bool
    states: Sequence[Snapshot] = ()


class Section:
    """What a person chose in a section, and what was computed.

    `work` runs on the thread that may use the model; `figure` and `frame` take what `Study.values` returned.
    """

    #: The trait that tells of it in words, and all of its traits, empty.
    trait: ClassVar[str] = ""
    empty: ClassVar[dict[str, Any]] = {}
    #: What the values depend on, as far as a person decides it.
    key: Any = None

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def forget(self) -> None:
        """Let go what was computed; what a person chose stays."""
        self.found = {}

    def work(self, subject: StudySubject, seconds: float) -> bool:
        """Compute for about `seconds`; return whether more is to be done."""
        raise NotImplementedError

    def values(self) -> dict[str, Any]:
        """Return the picture as values of traits."""
        return {**self.empty, **self.found}

    def figure(self, values: dict[str, Any], image: np.ndarray | None) -> Figure | None:
        """Return the Figure, over the image if any; None: nothing yet."""
        raise NotImplementedError

    def frame(self, values: dict[str, Any]) -> pd.DataFrame:
        """Return the table."""
        raise NotImplementedError
