"""A model and the random generators on loan: used for a while, given back as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn


@dataclass
class Streams:
    """The states of all global random generators: torch (and each CUDA device), numpy, python."""

    torch_cpu: torch.Tensor
    torch_cuda: list[torch.Tensor]
    numpy: Any
    python: Any

    @classmethod
    def now(cls) -> Streams:
        """Return the states as they are."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        return cls(torch.get_rng_state(), cuda, np.random.get_state(), random.getstate())

    @classmethod
    def seeded(cls, seed: int) -> Streams:
        """Return the states that `torch.manual_seed(seed)` and its kin leave; the global ones stay as they are."""
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


@contextmanager
def untouched_rng() -> Iterator[None]:
    """Give back all random generators as they were."""
    kept = Streams.now()
    try:
        yield
    finally:
        kept.install()


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Give back the train/eval flag of each module as it was."""
    kept = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        # Set one by one: train() would walk the tree, and some models override it.
        for module, training in kept:
            module.training = training


@contextmanager
def looking(model: nn.Module) -> Iterator[None]:
    """Let the model be looked at: in eval mode, without gradients, all given back as it was."""
    with modes_kept(model), untouched_rng(), torch.no_grad():
        model.eval()
        yield


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's first parameter or buffer; the CPU if it has none."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


@contextmanager
def on_device(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Give back the model on the device where it was."""
    home = device_of(model)
    if home == device:
        yield
        return
    model.to(device)
    try:
        yield
    finally:
        model.to(home)
