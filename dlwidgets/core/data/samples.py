"""Single samples of a data set, to be looked at one by one."""

from __future__ import annotations

from typing import Any

import torch

from ..base.trees import tree_map
from .batches import Batches
from .task import unpack


class Samples:
    """The samples of a source by number; of an iterable, those of its first batch.

    Parameters
    ----------
    batches : the source.
    name : what the samples are, as "validation".
    device : where the inputs are wanted.
    target : the entry of a dict batch that is the target.
    """

    def __init__(self, batches: Batches, name: str, device: torch.device, target: str | None = None) -> None:
        self.name = name
        self._batches, self._device, self._target = batches, device, target

    def __len__(self) -> int:
        return self._batches.browsable()

    def inputs(self, index: int) -> Any:
        """Return the inputs of one sample as a batch of size 1, on the session's device."""
        return self.item(index)[0]

    def target(self, index: int) -> Any:
        """Return the target of one sample, without the batch axis; None if it has none."""
        return self.item(index)[1]

    def item(self, index: int) -> tuple[Any, Any]:
        """Return inputs and target of one sample, which is read once."""
        inputs, target = self._pair(index)
        target = target[0] if isinstance(target, torch.Tensor) and target.ndim else target
        return tree_map(lambda tensor: tensor.to(self._device), inputs), target

    def _pair(self, index: int) -> tuple[Any, Any]:
        count = len(self)
        if not 0 <= index < count:
            raise IndexError(f"Sample {index} does not exist: the {self.name} samples are 0 to {count - 1}.")
        batch = self._batches.one(index)
        try:
            return unpack(batch, self._target)
        except TypeError:
            # A batch for a custom step: its first part is the best guess at what the model is given.
            return (batch[0] if isinstance(batch, (tuple, list)) else batch), None
