"""What a model was compiled with, as a session's own options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Compiled:
    """The settings that a model brings along.

    Attributes
    ----------
    options : those of `Session`, by name.
    loss : as `Session` takes it; None for none.
    metrics : the names of what is to be shown of an evaluation.
    notes : what is otherwise than where it was compiled, in sentences.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    loss: Any = None
    metrics: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
