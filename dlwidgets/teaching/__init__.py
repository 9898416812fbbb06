"""Small data sets and models to learn on, loaded when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chest import findings
    from .chest_images import chestmnist
    from .data import Data
    from .digits import collages
    from .drawn_shapes import shapes
    from .faces import lfw
    from .faults import broken
    from .genes import yeast
    from .grammar import sentences
    from .models import MLP, ChestNet, FashionNet, SmallCNN, TinyTransformer, pretrained
    from .yolo import YoloV7Tiny

#: Where each public name lives; a module's own name never equals a public one, which it would hide.
_HOME = {
    "MLP": "models",
    "ChestNet": "models",
    "Data": "data",
    "FashionNet": "models",
    "SmallCNN": "models",
    "TinyTransformer": "models",
    "YoloV7Tiny": "yolo",
    "broken": "faults",
    "chestmnist": "chest_images",
    "collages": "digits",
    "findings": "chest",
    "lfw": "faces",
    "pretrained": "models",
    "sentences": "grammar",
    "shapes": "drawn_shapes",
    "yeast": "genes",
}
__all__ = [
    "MLP", "ChestNet", "Data", "FashionNet", "SmallCNN", "TinyTransformer", "YoloV7Tiny", "broken", "chestmnist",
    "collages", "findings", "lfw", "pretrained", "sentences", "shapes", "yeast",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "faults":  # a table to read, and so a module
        return import_module(".faults", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}.")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
