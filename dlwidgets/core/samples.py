"""Single samples of a data set, to be looked at one by one."""

from __future__ import annotations

from typing import Any

import torch

from .batches import Batches, Loaded, Shuffled, batch_length
from .tasks import unpack
from .trees import tree_map


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
        self._first: Any = None

    def __len__(self) -> int:
        if isinstance(self._batches, Shuffled):
            return self._batches.samples or 0
        if isinstance(self._batches, Loaded):
            try:
                return len(self._batches.loader.dataset)  # type: ignore[arg-type]
            except TypeError:
                pass
        return batch_length(self._first_batch())

    def inputs(self, index: int) -> Any:
        """Return the inputs of one sample as a batch of size 1, on the session's device."""
        return tree_map(lambda tensor: tensor.to(self._device), self._pair(index)[0])

    def target(self, index: int) -> Any:
        """Return the target of one sample as the source gives it, without the batch axis; None if it has none."""
        found = self._pair(index)[1]
        return found[0] if isinstance(found, torch.Tensor) and found.ndim else found

    def _pair(self, index: int) -> tuple[Any, Any]:
        count = len(self)
        if not 0 <= index < count:
            raise IndexError(f"Sample {index} does not exist: the {self.name} samples are 0 to {count - 1}.")
        if isinstance(self._batches, Shuffled):
            batch = self._batches.at(index)
        elif isinstance(self._batches, Loaded) and hasattr(self._batches.loader.dataset, "__getitem__"):
            loader = self._batches.loader
            item = loader.dataset[index]
            batch = tree_map(lambda t: t[:1], item) if loader.batch_size is None else loader.collate_fn([item])
        else:
            batch = tree_map(lambda tensor: tensor[index : index + 1], self._first_batch())
        try:
            return unpack(batch, self._target)
        except TypeError:
            # A batch for a custom step: its first part is the best guess at what the model is given.
            return (batch[0] if isinstance(batch, (tuple, list)) else batch), None

    def _first_batch(self) -> Any:
        if self._first is None:
            self._first = self._batches.few(256)
        return self._first
