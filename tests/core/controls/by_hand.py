"""A session, and the plain loop that does the same by hand, bit for bit."""

from __future__ import annotations

import torch
from torch import nn

from dlwidgets.session import Session

COUNT, SIZE = 50, 8  # batches of 8, the last of 2
X = torch.randn(COUNT, 1, 4, 4, generator=torch.Generator().manual_seed(1))
Y = torch.arange(COUNT) % 4


def net():
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(12, 8),
        nn.ReLU(), nn.Linear(8, 4),
    )  # fmt: skip


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def session(model=None, **options):
    torch.rand(5)
    options = {"batch_size": SIZE, "epochs": 2, "valid": (X[:10], Y[:10]), "optimizer": sgd, **options}
    return Session(net() if model is None else model, (X, Y), **options)


def plain(model=None, epochs=2, loss=None, after=lambda model: None, accumulate=1, forward=None, at=(), optimizer=sgd):
    """Train by hand; `at` has changes `(model, optimizer) -> None` by how many steps come before them."""
    model = net() if model is None else model
    loss = nn.CrossEntropyLoss() if loss is None else loss
    optimizer, steps, at = optimizer(model.parameters()), 0, dict(at)
    torch.manual_seed(0)
    order = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(epochs):
        batches = torch.randperm(COUNT, generator=order).split(SIZE)
        for start in range(0, len(batches), accumulate):
            if steps in at:
                at[steps](model, optimizer)
            group = batches[start : start + accumulate]
            optimizer.zero_grad()
            for index in group:
                if forward is None:
                    value = loss(model(X[index]), Y[index])
                else:
                    with forward():
                        value = loss(model(X[index]), Y[index])
                share = len(group) if len({len(i) for i in group}) == 1 else sum(map(len, group)) / len(index)
                (value / share).backward()
            optimizer.step()
            steps += 1
            with torch.no_grad():
                after(model)
    return model


def same(left, right):
    left, right = left.state_dict(), right.state_dict()
    assert left.keys() == right.keys()
    differ = {name: float((left[name] - right[name]).abs().max()) for name in left if not left[name].equal(right[name])}
    assert not differ, differ
