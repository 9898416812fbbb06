"""A model's weights in a file: written whole or not at all, and read with no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...base.atomic_file import write_atomically


def save_weights(weights: dict[str, Any], path: Any) -> Path:
    """Write a state dict so that `torch.load(path, weights_only=True)` reads it on any machine.

    It is written beside the place and then moved there: whatever happens meanwhile, what was there is either
    still whole or replaced.

    Raises
    ------
    OSError : it cannot be written there.
    """
    place = Path(path).expanduser()
    with write_atomically(place, "model.pt") as file:
        torch.save({name: _on_cpu(value) for name, value in weights.items()}, file)
    return place


def _on_cpu(value: Any) -> Any:
    # A clone: a view of a large tensor would bring all of it along.
    return value.detach().cpu().clone() if isinstance(value, torch.Tensor) else value
