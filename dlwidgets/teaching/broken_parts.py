"""Layers, data and training steps that are wrong on purpose."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset


class After(nn.Module):
    """Runs a module, then a function on what it put out."""

    def __init__(self, inner: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, *inputs: Any) -> Tensor:
        """Return the changed output of the module."""
        return self.change(self.inner(*inputs))


class Root(nn.Module):
    """Takes the square root of what may be negative: NaN there."""

    def forward(self, values: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        return (values - 0.1).sqrt()


class Detach(nn.Module):
    """Passes values on, and no gradient back."""

    def forward(self, values: Tensor) -> Tensor:
        """Return the same values, cut off from what they came from."""
        return values.detach()


class Transposed(nn.Module):
    """Reshapes N x F as if it were F x N."""

    def forward(self, values: Tensor) -> Tensor:
        """Return N x F, values in other places."""
        samples, features = values.shape
        return values.reshape(features, samples).T


class ListedLayers(nn.Module):
    """Keeps its layers in a plain list, hidden from PyTorch."""

    def __init__(self, layers: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.layers, self.head = layers, head

    def forward(self, values: Tensor) -> Tensor:
        """Return what the head makes of the layers' output."""
        for layer in self.layers:
            values = layer(values)
        return self.head(values)


class SlowDataset(Dataset[tuple[Tensor, Tensor]]):
    """Samples that each take some time to come."""

    def __init__(self, inputs: Tensor, targets: Tensor, seconds: float) -> None:
        self.inputs, self.targets, self.seconds = inputs, targets, seconds

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        time.sleep(self.seconds)
        return self.inputs[row], self.targets[row]


def call_twice(loss: nn.Module) -> Callable[[nn.Module, Any], Tensor]:
    """Return a training step that calls the model twice."""
    right = []

    def step(model: nn.Module, batch: Any) -> Tensor:
        inputs, targets = batch
        with torch.no_grad():  # to count what is right: BatchNorm averages here too
            right[:] = [float(((model(inputs) > 0) == (targets > 0.5)).float().mean())]
        return loss(model(inputs), targets)

    return step


def train_head_unzeroed(loss: nn.Module, outputs: int) -> Callable[[nn.Module, Any], Tensor]:
    """Return a training step with a second head whose gradients pile up."""
    second = nn.Linear(outputs, outputs)
    optimizer = torch.optim.SGD(second.parameters(), lr=0.1)

    def step(model: nn.Module, batch: Any) -> Tensor:
        inputs, targets = batch
        output = model(inputs)
        loss(second(output.detach()), targets).backward()
        optimizer.step()
        return loss(output, targets)

    return step
