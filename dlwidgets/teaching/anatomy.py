"""The anatomy of a chest-like drawing, and the strokes to paint it."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch.nn.functional import interpolate

Random = np.random.Generator


def soften(distance: np.ndarray, width: float) -> np.ndarray:
    """Return 0 outside (distance < 0), 1 inside, across a soft edge."""
    return 0.5 + 0.5 * np.tanh(distance / width)


def blend(canvas: np.ndarray, amount: np.ndarray, tone: np.ndarray | float) -> np.ndarray:
    """Return the canvas, moved by `amount` (0..1 per pixel) towards a brightness."""
    return canvas + amount * (tone - canvas)


def draw_lines(phase: np.ndarray) -> np.ndarray:
    """Draw bright lines, 0..1, where the phase passes multiples of pi."""
    # Squared twice by hand: numpy's power of an array is many times slower.
    wave = np.cos(phase)
    wave *= wave
    wave *= wave
    return wave * wave


def draw_texture(n: int, size: int, cells: int, random: Random) -> np.ndarray:
    """Draw n images of smooth noise with `cells` bumps a side."""
    coarse = torch.from_numpy(random.standard_normal((n, 1, cells, cells), dtype=np.float32))
    return interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)[:, 0].numpy()


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The anatomy of n drawings, in fields that broadcast to them.

    Lengths are in half sides of the image, x runs to the right and y down, both about -1..1. As in a film
    read by a physician, the patient's left, and so the heart's tip, is on the right (`side` is -1 on the
    left, 1 on the right).
    """

    x: np.ndarray
    y: np.ndarray
    lung_w: np.ndarray
    lung_h: np.ndarray
    base: np.ndarray
    dome: np.ndarray
    heart: np.ndarray
    ribs: np.ndarray
    blown: np.ndarray

    @classmethod
    def draw(cls, size: int, random: Random, *, big: np.ndarray, blown: np.ndarray) -> Anatomy:
        """Draw n bodies; `big` and `blown` (0..1) enlarge heart and lungs."""
        n = len(big)
        axis = np.linspace(-1, 1, size, dtype=np.float32)

        def vary(low: float, high: float) -> np.ndarray:
            return random.uniform(low, high, (n, 1, 1)).astype(np.float32)

        zoom = vary(0.94, 1.06)
        big, blown = big[:, None, None], blown[:, None, None]
        return cls(
            x=axis[None, None, :] * zoom + vary(-0.06, 0.06),
            y=axis[None, :, None] * zoom + vary(-0.06, 0.06),
            lung_w=vary(0.29, 0.33) + 0.03 * blown,
            lung_h=vary(0.68, 0.76) + 0.12 * blown,
            base=vary(0.36, 0.46) + 0.16 * blown,
            dome=vary(0.18, 0.26) * (1 - 0.8 * blown),
            heart=vary(0.24, 0.31) + 0.2 * big,
            ribs=vary(12.5, 14.5),
            blown=blown,
        )

    def of(self, rows: np.ndarray) -> Anatomy:
        """Return the anatomy of some of the drawings."""
        return Anatomy(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @property
    def size(self) -> int:
        """The side of the image in pixels."""
        return self.x.shape[-1]

    def __len__(self) -> int:
        return len(self.x)

    def across(self, side: np.ndarray | float) -> np.ndarray:
        """Return columns across a lung: -1 at its inner border, 1 outside."""
        return (self.x * side - 0.44) / self.lung_w

    def down(self) -> np.ndarray:
        """Return rows down the lungs: -1 at the apex, 1 below."""
        return (self.y + 0.06) / self.lung_h

    def radius(self, side: np.ndarray | float) -> np.ndarray:
        """Return the distance from a lung's middle: 1 along its outline."""
        return np.sqrt(self.across(side) ** 2 + self.down() ** 2)

    def diaphragm(self, side: np.ndarray | float) -> np.ndarray:
        """Return the diaphragm's y in each column, lifted by the liver (left)."""
        return self.base + self.dome * self.across(side) ** 2 - 0.06 * (np.asarray(side) < 0)

    def cavity(self, side: np.ndarray | float) -> np.ndarray:
        """Return how much of each pixel lies within a lung's outline."""
        return soften(1 - self.radius(side), 0.06)

    def lung(self, side: np.ndarray | float) -> np.ndarray:
        """Return how much of each pixel is lung above the diaphragm, 0..1."""
        return self.cavity(side) * soften(self.diaphragm(side) - self.y, 0.035)

    def heart_shape(self) -> np.ndarray:
        """Return how much of each pixel is heart, an ellipse, 0..1."""
        x = (self.x - 0.05 - 0.35 * self.heart) / self.heart
        y = (self.y - self.base + 0.22) / (0.14 + 0.6 * self.heart)
        return soften(1 - np.sqrt(x * x + y * y - 0.5 * x * y), 0.08)
