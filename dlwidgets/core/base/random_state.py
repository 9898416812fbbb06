"""The global random generators: their states, kept and given back."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .time_budget import Governor


def _cuda_states() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


@dataclass(frozen=True)
class Streams:
    """The states of all global random generators: torch (and each CUDA device), numpy, python."""

    torch_cpu: torch.Tensor
    torch_cuda: list[torch.Tensor]
    numpy: Any
    python: Any

    @classmethod
    def now(cls) -> Streams:
        """Return the states as they are."""
        return cls(torch.get_rng_state(), _cuda_states(), np.random.get_state(), random.getstate())

    @classmethod
    def seeded(cls, seed: int, device: torch.device | None = None) -> Streams:
        """Return the states that `torch.manual_seed(seed)` and its kin leave; the global ones stay.

        Parameters
        ----------
        device : where training computes: a CUDA device's generator is seeded along.
        """
        if device is not None and device.type == "cuda":
            torch.cuda.init()
        kept = cls.now()
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        seeded = cls.now()
        kept.install()
        return seeded

    def install(self) -> None:
        """Make these the states of the global generators."""
        torch.set_rng_state(self.torch_cpu)
        if self.torch_cuda:
            torch.cuda.set_rng_state_all(self.torch_cuda)
        np.random.set_state(self.numpy)
        random.setstate(self.python)

    def state(self) -> dict[str, Any]:
        """Return the states as plain data."""
        return {
            "torch": self.torch_cpu, "cuda": list(self.torch_cuda), "numpy": self.numpy, "python": self.python
        }  # fmt: skip

    @classmethod
    def of(cls, state: dict[str, Any]) -> Streams:
        """Return what `state` was read off."""
        return cls(state["torch"], list(state["cuda"]), state["numpy"], state["python"])

    def same_beside_torch(self, other: Streams) -> bool:
        """Say whether numpy's and python's generators are where they are in `other`."""
        ours, theirs = self.numpy, other.numpy
        return ours[2:] == theirs[2:] and np.array_equal(ours[1], theirs[1]) and self.python == other.python


class Mark:
    """A place in the random numbers to come back to, cheap enough to set in every step.

    Reading numpy's and python's generators takes 40 µs, and most training draws from neither. So they are
    read in the first two steps and, as far as 0.02 % of the time goes, in later ones; once a number is seen
    to have been drawn from them, they are read at every mark.
    """

    def __init__(self) -> None:
        self._torch: torch.Tensor | None = None
        self._cuda: list[torch.Tensor] = []
        self._read: Streams | None = None
        self._goes_on = self._settled = self._drawn_from = False
        self._governor = Governor(0.0002, least=0.0)

    def set(self) -> None:
        """Mark the place of now."""
        if self._settled and not self._drawn_from and not self._governor.due():
            self._torch, self._cuda = torch.get_rng_state(), _cuda_states()
            return
        began = time.perf_counter()
        now = Streams.now()
        if self._goes_on and self._read is not None:
            self._drawn_from = self._drawn_from or not now.same_beside_torch(self._read)
            self._settled = True
            self._governor.spent(time.perf_counter() - began)
        self._read, self._torch, self._cuda, self._goes_on = now, now.torch_cpu, now.torch_cuda, True

    def forget(self) -> None:
        """Begin anew: the random numbers were put somewhere else, by no training."""
        self._read = self._torch = None
        self._goes_on = self._settled = False

    def back(self) -> None:
        """Make the random numbers go on from the mark."""
        if self._read is None or self._torch is None:
            return
        Streams(self._torch, self._cuda, self._read.numpy, self._read.python).install()
        # What is drawn between two marks cannot be seen where the numbers were put back in between.
        self._goes_on = False
