"""What pretraining is worth: `pretrained()` on few faces, four ways, with plain PyTorch.

Full batches, Adam, five splits of `lfw()`, each with first weights of its own; the accuracy on the pictures that were
not trained on, as the mean and the range over the splits. BatchNorm of what is frozen is in eval mode. Before a
measurement the statistics of all others are taken anew from the training pictures: their running means lag behind, and
would hold a model that begins anew at 0.5 for some 40 steps, however well it has learnt. A random backbone's are taken
before it is frozen.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from dlwidgets.teaching import FashionNet, lfw, pretrained

SPLITS, MARKS = 5, (5, 10, 20, 100)
#: way -> whether the backbone is pretrained, whether it is frozen, the rate.
WAYS = {
    "head only, pretrained": (True, True, 1e-2),
    "all, pretrained": (True, False, 1e-3),
    "from scratch": (False, False, 1e-3),
    "head only, random backbone": (False, True, 1e-2),
}


def settle(model: nn.Module, X: torch.Tensor) -> None:
    """Take the statistics of all BatchNorm layers in train mode from X."""
    norms = [one for one in model.modules() if isinstance(one, nn.BatchNorm2d) and one.training]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model(X)
    for norm in norms:
        norm.momentum = 0.1


def measure(known: bool, frozen: bool, lr: float, n_train: int, seed: int) -> tuple[list[float], float]:
    """Return the accuracy after each number of steps in MARKS, and the seconds of the steps."""
    data = lfw(n_train, seed=seed)
    torch.manual_seed(seed)
    model = pretrained() if known else FashionNet()
    model.head = nn.Linear(model.head.in_features, 2)
    if not known:
        settle(model.train(), data.train[0])
    model.backbone.requires_grad_(not frozen)
    optimizer = torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), lr=lr)
    accuracies, seconds = [], 0.0
    for step in range(1, max(MARKS) + 1):
        start = time.perf_counter()
        model.train()
        model.backbone.train(not frozen)
        optimizer.zero_grad()
        cross_entropy(model(data.train[0]), data.train[1]).backward()
        optimizer.step()
        seconds += time.perf_counter() - start
        if step in MARKS:
            settle(model, data.train[0])
            model.eval()
            with torch.no_grad():
                right = model(data.valid[0]).argmax(1) == data.valid[1]
            accuracies.append(float(right.float().mean()))
    return accuracies, seconds


def main() -> None:
    """Print a table in Markdown for each number of training images."""
    parser = argparse.ArgumentParser(description="Measure what pretraining is worth on few faces.")
    parser.add_argument("images", type=int, nargs="*", default=[4, 10, 20], help="to train on (default: 4 10 20)")
    torch.set_num_threads(1)
    for n_train in parser.parse_args().images:
        print(f"\n| {n_train} images | rate | {' | '.join(f'{mark} steps' for mark in MARKS)} | time |")
        print("|---|---|" + "---|" * (len(MARKS) + 1))
        for way, (known, frozen, lr) in WAYS.items():
            found = [measure(known, frozen, lr, n_train, seed) for seed in range(SPLITS)]
            cells = [
                f"{statistics.mean(at):.3f} ({min(at):.3f} to {max(at):.3f})" for at in zip(*(one for one, _ in found))
            ]
            took = statistics.median(seconds for _, seconds in found)
            print(f"| {way} | {lr:g} | {' | '.join(cells)} | {took:.2f} s |", flush=True)


if __name__ == "__main__":
    main()
