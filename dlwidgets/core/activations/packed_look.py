"""A look as plain words and bytes, for a page to draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..pictures.picture import Picture
from ..pictures.thumbnail import Thumbnail
from ..pictures.tiles import Tiles, make_tiles
from .look import Look

#: How tokens are named: by a list, or by a function of a token's number.
Names = Sequence[str] | Callable[[int], str] | None
#: The bytes that a dense unit's incoming weights may take.
_INCOMING = 16_384
#: Letters of a token's name that are sent.
_LETTERS = 24


def pack(
    look: Look, chosen: int = 0, classes: Sequence[str] | None = None, tokens: Names = None
) -> dict[str, Any]:
    """Pack a look as words and bytes.

    Words are JSON, without nan; bytes are in C order, little-endian as the machine's.

    Parameters
    ----------
    chosen : the number of the map (in the tensor) or of the bar that is enlarged; beyond the last, the last.
    classes : the names of the model's outputs, which a layer that puts them out gets.
    tokens : the names of tokens, for a model that is given their numbers.

    Returns
    -------
    drawing : what is drawn and what is said of it.
    maps, facts : uint8, M x h x w; float32, 3 x M: scale, mean and share of zeros of each map.
    bars : float32, for vectors.
    near : float32, h x w: the chosen map's own numbers, or means of blocks where they are very many; its size
        and block are in ``drawing["near"]``.
    incoming : uint8, C x h x w or 1 x 1 x n: the chosen unit's weights; ``drawing["incoming"]`` says of what.
    shown, pixels, strip : the input: words, uint8 (H x W x 3 of an image, M x h x w of maps), float32 bars.
    """
    picture, drawn = look.picture, look.picture.tiles if look.picture is not None else None
    names = _token_names(look.input, tokens)
    words = _words(look)
    words["tokens"] = _fitting(names, look, drawn)
    if look.is_output and classes is not None:
        words["names"] = [str(name) for name in classes]
    near, weights = None, None
    if picture is not None and drawn is not None:
        number = min(max(0, chosen), drawn.total - 1)
        near = picture.close_up(number)
        if near is not None:
            words["near"] = {"map": number, "size": list(near[0].shape), "block": list(near[1])}
    elif picture is not None:
        weights = _incoming(
            look, min(max(0, chosen), len(picture.bars) - 1 if picture.bars is not None else 0)
        )
    if weights is not None:
        words["incoming"] = weights[1]
    return {
        "drawing": words,
        "maps": drawn.maps.tobytes() if drawn is not None else b"",
        "facts": _facts(drawn) if drawn is not None else b"",
        "bars": picture.bars.tobytes() if picture is not None and picture.bars is not None else b"",
        "near": near[0].tobytes() if near is not None else b"",
        "incoming": weights[0] if weights is not None else b"",
        **_input(look.input, names),
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
        "show": look.wanted.show,
        "channels": look.channels,
        "channel": look.channel,
    }
    return words if look.picture is None else {**words, **_of_picture(look.picture)}


def _of_picture(picture: Picture) -> dict[str, Any]:
    found, drawn = picture.statistics, picture.tiles
    words: dict[str, Any] = {
        "form": picture.kind,
        "shape": list(picture.shape),
        "axes": list(picture.axes),
        "words": picture.size,
        "note": picture.note,
        "peak": picture.peak,
        "group": picture.group,
        "by": picture.by,
        "slices": list(picture.slices) if picture.slices is not None else None,
        "names": list(picture.names) or None,
        "mean": number(found.mean),
        "std": number(found.std),
        "zeros": found.zeros,
        "nonfinite": found.nonfinite,
    }
    if drawn is not None:
        depth = 3 if picture.kind == "rgb" else 1
        height, width = drawn.maps.shape[1:]
        words["count"], words["total"] = len(drawn.maps), drawn.total
        words["size"], words["whole"] = [height, width // depth], [drawn.shape[0], drawn.shape[1] // depth]
        words["block"] = list(drawn.block)
        plain = bool((drawn.numbers == np.arange(len(drawn.maps))).all())
        words["numbers"] = None if plain else drawn.numbers.tolist()
    return words


def _facts(drawn: Tiles) -> bytes:
    return drawn.scale.tobytes() + drawn.mean.tobytes() + drawn.zeros.tobytes()


def _incoming(look: Look, unit: int) -> tuple[bytes, dict[str, Any]] | None:
    behind, picture = look.behind, look.picture
    if behind is None or picture is None or picture.group != 1:
        return None
    weights = behind.weights(unit)
    if weights is None or weights.numel() == 0 or len(behind.module.weight) != len(picture.bars):
        return None
    maps = weights if weights.ndim == 3 else weights.reshape(1, 1, -1)
    drawn = make_tiles(maps, per="layer", budget=_INCOMING)
    bias = getattr(behind.module, "bias", None)
    return drawn.maps.tobytes(), {
        "unit": unit,
        "layer": behind.path,
        "shape": list(weights.shape),
        "size": list(drawn.maps.shape),
        "scale": float(drawn.scale[0]),
        "block": list(drawn.block),
        "bias": number(float(bias.detach()[unit])) if bias is not None else None,
    }


def _token_names(shown: Thumbnail, tokens: Names) -> list[str]:
    if shown.kind != "tokens":
        return []
    if tokens is None:
        return [str(token) for token in shown.tokens]
    if callable(tokens):
        return [str(tokens(token))[:_LETTERS] for token in shown.tokens]
    known = len(tokens)
    return [str(tokens[token])[:_LETTERS] if 0 <= token < known else f"#{token}" for token in shown.tokens]


def _fitting(names: list[str], look: Look, drawn: Tiles | None) -> list[str] | None:
    """Return the tokens' names where rows of the picture are tokens."""
    fits = look.picture is not None and look.picture.kind in ("attention", "sequence") and drawn is not None
    ours = fits and look.wanted.show != "filters" and drawn is not None and drawn.shape[0] == len(names)
    return names if ours and names else None


def _input(thumb: Thumbnail, names: list[str]) -> dict[str, Any]:
    size, pixels, strip, form, count = [0, 0], b"", b"", "", 1
    drawn = thumb.picture.tiles if thumb.picture is not None else None
    if thumb.image is not None:
        size, pixels = list(thumb.image.shape[:2]), thumb.image.tobytes()
    elif thumb.picture is not None and drawn is not None:
        form, count = thumb.picture.kind, len(drawn.maps)
        size, pixels = list(drawn.maps.shape[1:]), drawn.maps.tobytes()
    elif thumb.picture is not None and thumb.picture.bars is not None:
        strip = thumb.picture.bars.tobytes()
    words = thumb.words
    if names:
        more = " …" if thumb.shape and thumb.shape[0] > len(names) else ""
        words = " ".join(names) + more
    shown = {
        "kind": thumb.kind,
        "shape": list(thumb.shape),
        "low": thumb.low,
        "high": thumb.high,
        "words": words,
        "size": size,
        "form": form,
        "count": count,
        "scales": drawn.scale[:16].tolist() if drawn is not None else [],
    }
    return {"shown": shown, "pixels": pixels, "strip": strip}
