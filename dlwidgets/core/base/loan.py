"""A model, the random generators and the threads on loan: used for a while, given back as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from .random_state import Streams


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
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Give back the values of the model's buffers, as running statistics, as they were."""
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let this thread compute with `count` threads, and with as many as before afterwards."""
    before = torch.get_num_threads()
    if count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        # Also where the count was changed meanwhile.
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


@contextmanager
def looking(model: nn.Module) -> Iterator[None]:
    """Let the model be looked at: in eval mode, without gradients, all given back as it was."""
    with modes_kept(model), untouched_rng(), torch.no_grad():
        model.eval()
        yield


class Standing:
    """How a model that trains and the random numbers stand now, to come back to in the midst of a look."""

    def __init__(self, model: nn.Module) -> None:
        self._model, self._streams = model, Streams.now()
        self._modes = [(module, module.training) for module in model.modules()]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Let all stand for a while as it did; the look then goes on from where it was."""
        with modes_kept(self._model), untouched_rng(), torch.enable_grad():
            self._streams.install()
            for module, training in self._modes:
                module.training = training
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
