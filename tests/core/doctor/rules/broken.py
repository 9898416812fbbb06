"""Small networks to break, run in a session, and what the doctor found of them."""

from __future__ import annotations

import torch
from torch import nn

from dlwidgets import Session

X = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
CLASSES = (X[:, :3]).argmax(1)
LABELS = (X[:, :3] > 0).float()
NUMBERS = X[:, :1] * 2 - X[:, 1:2]


def mlp(*last, activation=nn.ReLU, outputs=3):
    torch.manual_seed(0)
    layers = [nn.Linear(8, 16), activation(), nn.Linear(16, 16), activation(), nn.Linear(16, outputs)]
    return nn.Sequential(*layers, *last)


def run(model, y=CLASSES, steps=12, **options):
    made = Session(model, (X, y), threads=1, **{"lr": 1e-3, "batch_size": 32, **options})
    if steps:
        made.step(steps)
    return made


def found(made, rule):
    return [one for one in made.findings if one.rule == rule and one.until is None]


def only(made, rule):
    (one,) = found(made, rule)
    assert one.title and one.sentence and one.why
    return one


def kill(layer, units):
    """Bias the first units of a layer so far down that they never fire."""
    with torch.no_grad():
        layer.bias[:units] = -1e3
    return layer


def normed():
    """Return a network with a BatchNorm."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
