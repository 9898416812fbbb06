"""The state of a data source: its random generators and counters."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..base.random_state import Generators, RandomStates
from ..base.state import read_attributes, write_attributes
from ..base.trees import tree_tensors

#: Bytes of each tensor of a batch that go into its fingerprint.
_LOOK = 65_536


class SourceState:
    """All that decides what data gives next: random generators and counters.

    Parameters
    ----------
    owners : a dataset, a sampler, a loader: the generators they hold at any depth count, and their numbers.
    """

    def __init__(self, *owners: Any) -> None:
        self._owners = [owner for owner in owners if hasattr(owner, "__dict__")]
        self._generators = Generators(*owners)

    def own_state(self) -> dict[str, Any]:
        """Return the state of what the owners hold."""
        return {
            "generators": self._generators.state(),
            "numbers": [read_attributes(owner) for owner in self._owners],
        }

    def install_own(self, state: dict[str, Any]) -> None:
        """Put back what `own_state` returned."""
        self._generators.install(state["generators"])
        for owner, numbers in zip(self._owners, state["numbers"]):
            write_attributes(owner, numbers)

    def state(self) -> dict[str, Any]:
        """Return the state of the owners and of the global generators."""
        return {**self.own_state(), "streams": RandomStates.capture().state()}

    def install(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self.install_own(state)
        RandomStates.from_state(state["streams"]).install()

    @contextmanager
    def preserve(self) -> Iterator[None]:
        """Give everything back as it was."""
        kept = self.state()
        try:
            yield
        finally:
            self.install(kept)


def fingerprint(batch: Any) -> int:
    """Return a checksum of the beginning of each tensor of a batch."""
    code = 0
    for tensor in tree_tensors(batch):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        few = flat[: max(1, _LOOK // max(1, flat.element_size()))]
        code = zlib.crc32(few.view(torch.uint8).numpy().tobytes() if few.numel() else b"", code)
    return code
