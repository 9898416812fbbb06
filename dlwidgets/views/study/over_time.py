"""The section "time": film across snapshots, last step, spread of values."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import torch

from ...core.activations.study.film import Film, Frame, evenly, output_of
from ...core.activations.study.spread import Spread
from ...core.pictures.tiles import Tiles, make_tiles
from .subject import OutputLayout, StudySubject

#: Frames that are sent, and the bytes of each: of all maps, and of the chosen one alone.
_FRAMES, _BYTES, _CLOSE = 24, 6_000, 1_024
#: Layers (and samples) whose spread is kept.
_SPREADS = 16
#: Values of a look that are counted; of more, every second, third...
_COUNTED = 65_536


class OverTimeSection:
    """The film, last step and spread of a layer for a sample.

    Spreads of others are kept a while.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spreads: OrderedDict[Any, Spread] = OrderedDict()
        self.forget()

    def forget(self) -> None:
        """Let go the film, and what was drawn."""
        self._of: Any = None
        self._film: Film | None = None
        self._filmed: set[int] = set()
        self._now: Frame | None = None
        self._before: Frame | None = None
        self._drawn: tuple[Any, dict[str, Any]] = (None, {})
        self._values: dict[str, Any] = {}

    #: Nothing is for a person to decide that the kernel needs to know.
    key = None

    def count(self, of: Any, step: int, tensor: torch.Tensor) -> None:
        """Count the values of a look that was taken anyway."""
        with self._lock:
            spread = self._spreads.pop(of, None) or Spread()
            self._spreads[of] = spread
            while len(self._spreads) > _SPREADS:
                self._spreads.popitem(last=False)
            if spread.columns and spread.columns[-1].last > step:
                spread.cut(step)
            spread.add(step, _some(tensor))

    def work(self, subject: StudySubject, seconds: float) -> bool:
        """Look at now, then at snapshots for about `seconds`.

        Returns whether some are left.
        """
        of = (subject.layer, subject.part, subject.sample, subject.owner, subject.line)
        inputs = subject.inputs
        if self._of != of:
            self.forget()
            self._of, self._film = of, Film(subject.layer, subject.part, inputs, subject.layout.behind)
        step = subject.step or 0
        if self._now is None or self._now.step != step or not subject.running:
            tensor = output_of(subject.model, inputs, subject.layer, subject.part, subject.layout.behind)
            if self._now is not None and self._now.step < step:
                self._before = self._now
            elif self._now is not None and self._now.step > step:
                # The run went back, to a place where it parts from no other line.
                self._before = None
                self._film.cut(step)
                self._filmed = {one for one in self._filmed if one <= step}
            self._now = Frame(step, "now", tensor)
            self.count(of, step, tensor)
        more = bool(subject.states) and self._film.advance(subject.model, subject.states, seconds)
        for frame in self._film.frames:
            if frame.step not in self._filmed and frame.tensor is not None and frame.step <= step:
                self._filmed.add(frame.step)
                with self._lock:
                    self._spreads.setdefault(of, Spread()).add(frame.step, _some(frame.tensor))
        self._draw(subject)
        return more

    def values(self) -> dict[str, Any]:
        """Return the picture as values of traits."""
        return {**_NOTHING, **self._values}

    # -- inside

    def _draw(self, subject: StudySubject) -> None:
        film, now, layout = self._film, self._now, subject.layout
        if film is None or now is None or now.tensor is None:
            return
        shape = now.tensor.shape
        good = [one for one in film.frames if one.tensor is not None and one.tensor.shape == shape]
        good = evenly([one for one in good if one.step < now.step], _FRAMES - 1)
        channel = subject.channel
        key = (tuple(map(id, good)), channel, self._of)
        if self._drawn[0] != key:
            # Sent again only where a snapshot or the channel is another.
            packed = [_tiles(one.tensor, layout, channel) for one in good]
            self._drawn = (key, {
                "film_maps": b"".join(one.maps.tobytes() + near.maps.tobytes() for one, near in packed),
                "film_scales": b"".join(one.scale.tobytes() + near.scale.tobytes() for one, near in packed),
            })  # fmt: skip
        maps, near = _tiles(now.tensor, layout, channel)
        before = self._before
        if before is None or before.tensor is None or before.tensor.shape != shape:
            before = next((one for one in reversed(good) if one.step < now.step), None)
        self._values = {
            **self._drawn[1],
            "film": {
                "layer": subject.layer, "channel": channel, "form": _form(shape),
                "count": len(maps.maps), "total": maps.total, "size": list(maps.maps.shape[1:]),
                "near": list(near.maps.shape[1:]), "whole": list(maps.shape),
                "steps": [[one.step, one.why] for one in good], "now": now.step,
                "of": len({one.step for one in subject.states if one.step < now.step}),
                "session": subject.step is not None,
                "left": next((one.reason for one in film.frames if one.reason), ""),
                "before": None if before is None else before.step,
                "exact": before is not None and before.step == now.step - 1,
            },
            "film_now": _bytes(maps, near),
            "film_change": b"" if before is None else _change(before, now, layout, channel),
            **self._spread_values(),
        }  # fmt: skip

    def _spread_values(self) -> dict[str, Any]:
        with self._lock:
            spread = self._spreads.get(self._of)
            if spread is None or not spread.columns:
                return {}
            columns = spread.columns
            return {
                "spread": {
                    "reach": spread.reach or 1.0, "bins": spread.bins,
                    "steps": [[one.step, one.last] for one in columns],
                    "mean": [_finite(one.mean) for one in columns],
                    "std": [_finite(one.std) for one in columns],
                    "zeros": [round(one.zeros / max(1, one.total), 4) for one in columns],
                    "beyond": sum(one.below + one.above for one in columns),
                    "nonfinite": sum(one.nonfinite for one in columns),
                },
                "spread_shades": spread.shades().tobytes(),
            }  # fmt: skip


#: The traits, empty.
_NOTHING: dict[str, Any] = {
    "film": {}, "film_maps": b"", "film_scales": b"", "film_now": b"", "film_change": b"", "spread": {},
    "spread_shades": b"",
}  # fmt: skip


def _some(tensor: torch.Tensor) -> torch.Tensor:
    """Return at most so many values of a look as are counted."""
    values = tensor.detach().reshape(-1)
    return values[:: max(1, -(-values.numel() // _COUNTED))]


def _tiles(tensor: torch.Tensor, layout: OutputLayout, channel: int) -> tuple[Tiles, Tiles]:
    """Return all maps, small, and the chosen one, sharper."""
    maps = layout.maps(tensor)
    number = min(channel, len(maps) - 1)
    return make_tiles(maps, budget=_BYTES), make_tiles(maps[number : number + 1], budget=_CLOSE)


def _change(before: Frame, now: Frame, layout: OutputLayout, channel: int) -> bytes:
    """Return before, and now minus before, each as `_bytes`."""
    difference = now.tensor.float() - before.tensor.float()  # type: ignore[union-attr]
    return _bytes(*_tiles(before.tensor, layout, channel)) + _bytes(*_tiles(difference, layout, channel))


def _bytes(maps: Tiles, near: Tiles) -> bytes:
    """Return float32 scales of maps and near one, then their bytes."""
    scales = np.concatenate([maps.scale, near.scale]).astype(np.float32)
    return scales.tobytes() + maps.maps.tobytes() + near.maps.tobytes()


def _form(shape: tuple[int, ...]) -> str:
    return "bars" if len(shape) <= 1 else "matrix" if len(shape) == 2 else "maps"


def _finite(value: float) -> float | None:
    return round(value, 6) if np.isfinite(value) else None
