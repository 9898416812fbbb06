"""Presets of the training panel: named sets of wishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...core.base.numbers import format_rate
from ...session import Session

#: A preset: the wishes, or what returns them for a session.
Preset = Mapping[str, Any] | Callable[[Session], Mapping[str, Any]]

#: Name -> preset. Wishes are made in this order; an optimizer comes before its rate.
PRESETS: dict[str, Preset] = {
    "Gentle: rate × 0.1": lambda session: {"lr": session.lr * 0.1},
    "Bold: rate × 3": lambda session: {"lr": session.lr * 3},
    "Adam 1e-3": {"optimizer": ("Adam", {}), "schedule": None, "lr": 1e-3},
    "AdamW 1e-3, one-cycle": {"optimizer": ("AdamW", {}), "lr": 1e-3, "schedule": ("one-cycle", {})},
    "SGD 0.1, momentum 0.9, cosine": {
        "optimizer": ("SGD", {"momentum": 0.9}), "lr": 0.1, "schedule": ("cosine", {}),
    },
    "Clip norm 1": {"clip": ("norm", 1.0)},
    "Plain: constant rate, no clipping": {"schedule": None, "clip": None},
}  # fmt: skip


def wishes_of(preset: Preset, session: Session) -> dict[str, Any]:
    """Return the wishes of a preset that a session knows."""
    made = preset(session) if callable(preset) else preset
    return {name: value for name, value in made.items() if session.has_trait(name)}


def describe_wishes(wishes: Mapping[str, Any]) -> str:
    """Return wishes in words: "lr 1e-3, schedule cosine"."""
    return ", ".join(
        f"{name} {format_rate(value) if name == 'lr' else _describe_value(value)}"
        for name, value in wishes.items()
    )


def _describe_value(value: Any) -> str:
    if value is None:
        return "off"
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[1], Mapping):
        options = ", ".join(f"{name} {one}" for name, one in value[1].items())
        return f"{value[0]} ({options})" if options else f"{value[0]}"
    if isinstance(value, (tuple, list)):
        return " ".join(f"{one:g}" if isinstance(one, float) else f"{one}" for one in value)
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"
