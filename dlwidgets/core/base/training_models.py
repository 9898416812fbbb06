"""Models that train at this moment, for whoever would change them."""

from __future__ import annotations

import weakref
from typing import Any

#: What trains -> its model; each says by `orders.going` whether it does.
_RUNS: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def note_training(run: Any, model: Any) -> None:
    """Note that a run, while `run.orders.going`, trains a model."""
    _RUNS[run] = weakref.ref(model)


def refuse_training(model: Any, instead: str) -> None:
    """Raise RuntimeError where a model shares tensors with one that trains."""
    own = {id(one) for one in model.parameters()}
    for run, other in [*_RUNS.items()]:
        trained = other()
        if trained is not None and run.orders.going and any(id(one) in own for one in trained.parameters()):
            raise RuntimeError(f"A session trains this model just now: {instead}, or session.pause() first.")
