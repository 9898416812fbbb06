"""Healthy set-ups of the course: model, data and options that learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ..core.base.words import did_you_mean
from .chest import findings
from .data import Data
from .digits import collages
from .genes import yeast
from .grammar import sentences
from .models import MLP, ChestNet, SmallCNN, TinyTransformer


@dataclass(frozen=True, eq=False)
class Setup:
    """A model, its data and the options of a session.

    Parameters
    ----------
    name : of the set-up, as in `SETUPS`.
    model : the model.
    train, valid : pairs (X, y), or what else a session takes.
    classes : their names; None where the fault leaves none that fit.
    options : what else `dlw.Session` is given: lr, optimizer, batch_size...
    """

    name: str
    model: nn.Module
    train: Any
    valid: Any
    classes: tuple[str, ...] | None
    options: dict[str, Any]

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of a session: `dlw.Session(**arguments)`."""
        data = {"train": self.train, "valid": self.valid, "classes": self.classes}
        return {"model": self.model, **data, **self.options}

    def but(self, **changes: Any) -> Setup:
        """Return it with other parts, or with other options."""
        parts = {name: changes.pop(name) for name in [*changes] if name in self.__dataclass_fields__}
        return replace(self, **{"options": self.options | changes} | parts)

    def on_data(self, inputs: Any = None, targets: Any = None) -> Setup:
        """Return it with `inputs(X)` and `targets(y)` in both parts."""
        inputs, targets = inputs or _same, targets or _same
        train, valid = ((inputs(X), targets(y)) for X, y in (self.train, self.valid))
        return self.but(train=train, valid=valid)


def _same(values: Tensor) -> Tensor:
    return values


def _small_findings(seed: int) -> Data:
    return findings(1024, 200, size=32, seed=seed)


@lru_cache(maxsize=4)
def _data(name: str, seed: int) -> Data:
    return SETUPS[name][0](seed)


#: name -> what makes its data of a seed, and its model. Small, so that a hundred steps take a second on one CPU.
SETUPS: dict[str, tuple[Callable[[int], Data], Callable[[], nn.Module]]] = {
    "yeast": (lambda seed: yeast(seed=seed), lambda: MLP(103, 14)),
    "collages": (lambda seed: collages(1500, 300, seed=seed), lambda: SmallCNN(10, width=8)),
    "findings": (_small_findings, lambda: ChestNet(14, width=8)),
    "sentences": (lambda seed: sentences(2000, 400, seed=seed), TinyTransformer),
}

#: Optimizers, and a rate for each that suits all set-ups.
OPTIMIZERS: dict[str, tuple[Any, float]] = {
    "adamw": ("adamw", 2e-3),
    "sgd": (("sgd", {"momentum": 0.9}), 5e-2),
    "rmsprop": ("rmsprop", 1e-3),
}


def healthy(name: str = "findings", *, optimizer: str = "adamw", rate: float = 1.0, seed: int = 0) -> Setup:
    """Return a set-up in which nothing is broken.

    Parameters
    ----------
    name : "yeast" (an MLP), "collages" (a small CNN), "findings" (a residual network) or "sentences" (a transformer).
    optimizer : "adamw", "sgd" (with momentum) or "rmsprop".
    rate : what the learning rate that suits is multiplied with; from 1/3 to 3 it still learns.
    seed : of the data, the first weights and the training; the global random streams are left as they are.

    Raises
    ------
    ValueError : there is no such set-up or optimizer.
    """
    for what, given, known in (("set-up", name, SETUPS), ("optimizer", optimizer, OPTIMIZERS)):
        if given not in known:
            raise ValueError(f"There is no {what} {given!r}: there are {', '.join(known)}.{did_you_mean(given, known)}")
    data, (kind, lr) = _data(name, seed), OPTIMIZERS[optimizer]
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = SETUPS[name][1]()
    options = {"optimizer": kind, "lr": rate * lr, "batch_size": 32, "seed": seed}
    # Copies: the parts are kept for the next call.
    return Setup(name, model, data.train, data.valid, data.classes, options).on_data(torch.clone, torch.clone)
