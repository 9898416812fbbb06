"""A look as plain words and bytes, for a page to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .looks import Look
from .pictures import Picture
from .thumbnails import Thumbnail
from .tiles import Tiles


def pack(look: Look, chosen: int = 0, classes: Sequence[str] | None = None) -> dict[str, Any]:
    """Return a look as words (JSON, no nan) and bytes (C order, little-endian as the machine's).

    Parameters
    ----------
    chosen : the number of the map that is wanted sharp; beyond the last, the last.
    classes : the names of the model's outputs, which a layer that puts them out gets.

    Returns
    -------
    drawing : what is drawn and what is said of it.
    maps, facts : uint8, M x h x w; float32, 3 x M: scale, mean and share of zeros of each map.
    bars : float32, for vectors.
    near : uint8, the chosen map, where it is sharper alone; its size and scale are in ``drawing["near"]``.
    shown, pixels, strip : the input: words, uint8 (H x W x 3 of an image, h x w of a matrix), float32 bars.
    """
    picture, tiles = look.picture, look.picture.tiles if look.picture is not None else None
    words = _words(look)
    if look.is_output and classes is not None:
        words["names"] = [str(name) for name in classes]
    near = look.close_up(min(chosen, len(tiles.maps) - 1)) if tiles is not None else None
    if tiles is not None and near is not None:
        words["near"] = {
            "map": min(chosen, len(tiles.maps) - 1),
            "size": list(near.maps.shape[1:]),
            "scale": float(near.scale[0]),
            "block": list(near.block),
        }
    return {
        "drawing": words,
        "maps": tiles.maps.tobytes() if tiles is not None else b"",
        "facts": _facts(tiles) if tiles is not None else b"",
        "bars": picture.bars.tobytes() if picture is not None and picture.bars is not None else b"",
        "near": near.maps.tobytes() if near is not None else b"",
        **_input(look.input),
    }


def number(value: float) -> float | None:
    """Return `value`, or None where JSON has no such number."""
    return value if math.isfinite(value) else None


def _words(look: Look) -> dict[str, Any]:
    words: dict[str, Any] = {
        "layer": look.layer,
        "kind": look.kind,
        "part": look.part,
        "parts": list(look.parts),
        "reason": look.reason,
    }
    return words if look.picture is None else {**words, **_of_picture(look.picture)}


def _of_picture(picture: Picture) -> dict[str, Any]:
    found, tiles = picture.statistics, picture.tiles
    words: dict[str, Any] = {
        "form": picture.kind,
        "shape": list(picture.shape),
        "axes": list(picture.axes),
        "words": picture.size,
        "note": picture.note,
        "peak": picture.peak,
        "group": picture.group,
        "mean": number(found.mean),
        "std": number(found.std),
        "zeros": found.zeros,
        "nonfinite": found.nonfinite,
    }
    if tiles is not None:
        words["count"], words["total"] = len(tiles.maps), tiles.total
        words["size"], words["whole"] = list(tiles.maps.shape[1:]), list(tiles.shape)
        words["block"] = list(tiles.block)
    return words


def _facts(tiles: Tiles) -> bytes:
    return tiles.scale.tobytes() + tiles.mean.tobytes() + tiles.zeros.tobytes()


def _input(thumb: Thumbnail) -> dict[str, Any]:
    size, pixels, strip = [0, 0], b"", b""
    if thumb.image is not None:
        size, pixels = list(thumb.image.shape[:2]), thumb.image.tobytes()
    elif thumb.picture is not None and thumb.picture.tiles is not None:
        size, pixels = list(thumb.picture.tiles.maps.shape[1:]), thumb.picture.tiles.maps.tobytes()
    elif thumb.picture is not None and thumb.picture.bars is not None:
        strip = thumb.picture.bars.tobytes()
    shown = {
        "kind": thumb.kind,
        "shape": list(thumb.shape),
        "low": thumb.low,
        "high": thumb.high,
        "words": thumb.words,
        "size": size,
    }
    return {"shown": shown, "pixels": pixels, "strip": strip}
