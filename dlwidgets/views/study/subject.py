"""What is studied: model, sample, layer and channel at one moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
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
        """Return an output as M x h x w.

        Maps by channel (of volumes, the middle slices), a matrix or a row.
        """
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
    read : returns the sample looked at as a batch of one; it is read once.
    sample : its number; `owner` tells samples of one's own apart.
    layer, part : which tensor, as in `activations`.
    channel : the channel in question.
    scores : turns outputs into probabilities; None: they are taken as they are.
    names : returns the names of that many outputs.
    step : steps taken; None without a session.
    running : whether it trains.
    line : the name of the line of the run that is under way.
    states : its snapshots.
    """

    model: nn.Module
    samples: Any
    read: Callable[[], Any]
    sample: int
    owner: Any
    layer: str
    part: str
    channel: int
    layout: OutputLayout
    scores: Callable[[torch.Tensor], torch.Tensor] | None
    names: Callable[[int], Sequence[str]]
    step: int | None
    running: bool
    line: str = ""
    states: Sequence[Snapshot] = ()

    @property
    def inputs(self) -> Any:
        """The sample as a batch of one."""
        return self.read()

    @property
    def behind(self) -> dict[str, nn.Module]:
        """What lies behind the layer, by its path."""
        return {} if self.layout.behind is None else {self.layer: self.layout.behind}
