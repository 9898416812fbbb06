"""Sessions whose data has one flaw, and what the doctor finds of it after a step."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dlwidgets import Session
from dlwidgets.core.doctor.finding import Finding


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labelled(count: int = 480, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return count x 8 inputs and three balanced classes that can be learnt."""
    X = numbers(count, 8, seed=seed)
    y = torch.arange(count) % 3
    X[:, 0] += y.float() * 3
    return (X - X.mean(0)) / X.std(0), y


def linear(inputs: int = 8, outputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))


def found(train: Any, valid: Any = None, model: nn.Module | None = None, **options: Any) -> list[Finding]:
    """Return the findings on the data after one step."""
    session = Session(linear() if model is None else model, train, valid, evaluate_every=None, **options)
    session.step()
    known = ("inputs", "channels", "targets", "class", "labels", "valid_")
    return [one for one in session.findings if one.rule.startswith(known)]


def names(*given: Any, **options: Any) -> list[str]:
    return [one.rule for one in found(*given, **options)]
