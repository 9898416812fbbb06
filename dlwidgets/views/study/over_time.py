"""The section "time": film across snapshots, last step, spread of values."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.activations.look import number
from ...core.activations.study.film import Film, Frame, evenly, output_of
from ...core.activations.study.spread import Spread
from ...core.pictures.tiles import Tiles, make_tiles
from .section import OutputLayout, Section, StudySubject

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: Frames that are sent, and the bytes of each: of all maps, and of the chosen one alone.
_FRAMES, _BYTES, _CLOSE = 24, 6_000, 1_024
#: Layers (and samples) whose spread is kept.
_SPREADS = 16
#: Values of a look that are counted; of more, every second, third...
_COUNTED = 65_536


class OverTimeSection(Section):
    """The film, last step and spread of a layer for a sample.

    Spreads of others are kept a while.
    """

    trait = "film"
    empty = {
        "film": {}, "film_maps": b"", "film_scales": b"", "film_now": b"", "film_change": b"", "spread": {},
        "spread_shades": b"",
    }  # fmt: skip

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spreads: OrderedDict[Any, Spread] = OrderedDict()
        self.forget()

    def forget(self) -> None:
        """Let go the film, and what was drawn."""
        super().forget()
        self._of: Any = None
        self._film: Film | None = None
        self._filmed: set[int] = set()
        self._now: Frame | None = None
        self._before: Frame | None = None
        self._drawn: tuple[Any, dict[str, Any]] = (None, {})

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
        """Look at now, then at snapshots for about `seconds`."""
        layer, part, behind, inputs = subject.layer, subject.part, subject.layout.behind, subject.inputs()
        film = self._film
        if film is None or self._of != subject.of:
            self.forget()
            self._of, self._film = subject.of, (film := Film(layer, part, inputs, behind))
        step = subject.step or 0
        if self._now is None or self._now.step != step or not subject.running:
            tensor = output_of(subject.model, inputs, layer, part, behind)
            if self._now is not None and self._now.step < step:
                self._before = self._now
            elif self._now is not None and self._now.step > step:
                # The run went back, to a place where it parts from no other line.
                self._before = None
                film.cut(step)
                self._filmed = {one for one in self._filmed if one <= step}
            self._now = Frame(step, "now", tensor)
            self.count(subject.of, step, tensor)
        more = bool(subject.states) and film.advance(subject.model, subject.states, seconds)
        for frame in film.frames:
            if frame.step not in self._filmed and frame.tensor is not None and frame.step <= step:
                self._filmed.add(frame.step)
                with self._lock:
                    self._spreads.setdefault(subject.of, Spread()).add(frame.step, _some(frame.tensor))
        self.found = {**self._picture(subject, film, self._now), **self._spread_picture()}
        return more

    def _picture(self, subject: StudySubject, film: Film, now: Frame) -> dict[str, Any]:
        """Return the film and the last step as values of traits."""
        layout, channel, shape = subject.layout, subject.channel, now.tensor.shape
        good = [one for one in film.frames if one.tensor is not None and one.tensor.shape == shape]
        good = evenly([one for one in good if one.step < now.step], _FRAMES - 1)
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
            before = good[-1] if good else None
        change = b""
        if before is not None:
            for tensor in (before.tensor, now.tensor.float() - before.tensor.float()):
                change += _bytes(*_tiles(tensor, layout, channel))
        words = {
            "layer": subject.layer, "channel": channel,
            "form": ("bars", "bars", "matrix", "maps")[min(3, len(shape))],
            "count": len(maps.maps), "total": maps.total, "size": list(maps.maps.shape[1:]),
            "near": list(near.maps.shape[1:]), "whole": list(maps.shape),
            "steps": [[one.step, one.why] for one in good], "now": now.step,
            "of": len({one.step for one in subject.states if one.step < now.step}),
            "session": subject.step is not None,
            "left": next((one.reason for one in film.frames if one.reason), ""),
            "before": None if before is None else before.step,
            "exact": before is not None and before.step == now.step - 1,
        }  # fmt: skip
        return {**self._drawn[1], "film": words, "film_now": _bytes(maps, near), "film_change": change}

    def _spread_picture(self) -> dict[str, Any]:
        """Return the spread as values of traits."""
        with self._lock:
            spread = self._spreads.get(self._of)
            if spread is None or not spread.columns:
                return {}
            columns = spread.columns
            words = {
                "reach": spread.reach or 1.0, "bins": spread.bins,
                "steps": [[one.step, one.last] for one in columns],
                "mean": [number(round(one.mean, 6)) for one in columns],
                "std": [number(round(one.std, 6)) for one in columns],
                "zeros": [round(one.zeros / max(1, one.total), 4) for one in columns],
                "beyond": sum(one.below + one.above for one in columns),
                "nonfinite": sum(one.nonfinite for one in columns),
            }  # fmt: skip
            return {"spread": words, "spread_shades": spread.shades().tobytes()}

    def figure(self, values: dict[str, Any], image: Any) -> Figure | None:
        from ...core.figures.study import spread_figure

        found = values["spread"]
        if not found:
            return None
        shades = np.frombuffer(values["spread_shades"], np.uint8).reshape(-1, found["bins"]).astype(float)
        shares = np.where(shades == 0, 0.0, 10.0 ** (4 * ((shades - 1) / 254 - 1)))
        return spread_figure(shares, found["steps"], found["reach"], found["mean"], values["film"]["layer"])

    def frame(self, values: dict[str, Any]) -> pd.DataFrame:
        import pandas as pd

        found, names = values["spread"], ["mean", "std", "zeros"]
        index = pd.Index([last for _, last in found.get("steps", [])], name="step")
        return pd.DataFrame({name: found.get(name, []) for name in names}, index=index)


def _some(tensor: torch.Tensor) -> torch.Tensor:
    """Return at most so many values of a look as are counted."""
    values = tensor.detach().reshape(-1)
    return values[:: max(1, -(-values.numel() // _COUNTED))]


def _tiles(tensor: torch.Tensor, layout: OutputLayout, channel: int) -> tuple[Tiles, Tiles]:
    """Return all maps, small, and the chosen one, sharper."""
    maps = layout.maps(tensor)
    place = min(channel, len(maps) - 1)
    return make_tiles(maps, budget=_BYTES), make_tiles(maps[place : place + 1], budget=_CLOSE)


def _bytes(maps: Tiles, near: Tiles) -> bytes:
    """Return float32 scales of maps and near one, then their bytes."""
    scales = np.concatenate([maps.scale, near.scale]).astype(np.float32)
    return scales.tobytes() + maps.maps.tobytes() + near.maps.tobytes()
