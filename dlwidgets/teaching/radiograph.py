"""Chest-like drawings: anatomy, a pattern for each finding, exposure, grain."""

from __future__ import annotations

import numpy as np

from .anatomy import Anatomy, blend, draw_lines, draw_texture, soften
from .chest import FINDINGS
from .patterns import PATTERNS

Random = np.random.Generator

#: Drawings painted at once: their maps then fit into a processor's cache.
BLOCK = 128

#: Brightness, 0 black to 1 white: the more a tissue absorbs, the brighter.
AIR, LUNG, TISSUE, HEART, BONE = 0.03, 0.2, 0.55, 0.68, 0.85


def draw_radiographs(y: np.ndarray, size: int, noise: float, random: Random) -> np.ndarray:
    """Draw a radiograph, values 0..1, for each row of `y`.

    Each finding is drawn with a severity of its own, from barely visible to plain, so that a threshold has
    something to decide.
    """
    images = np.empty((len(y), size, size), dtype=np.float32)
    column = {name: at for at, name in enumerate(FINDINGS)}
    for start in range(0, len(y), BLOCK):
        block = y[start : start + BLOCK]
        severity = np.where(block, random.uniform(0.35, 1, block.shape), 0).astype(np.float32)
        chest = Anatomy.draw(
            size, random, big=severity[:, column["cardiomegaly"]], blown=severity[:, column["emphysema"]]
        )
        canvas = draw_healthy(chest)
        for name, paint in PATTERNS.items():
            rows = np.flatnonzero(block[:, column[name]])
            if len(rows):
                severe = severity[rows, column[name], None, None]
                canvas[rows] = blend(canvas[rows], severe, paint(canvas[rows], chest.of(rows), random))
        images[start : start + BLOCK] = expose(canvas, noise, random)
    return images


def draw_healthy(chest: Anatomy) -> np.ndarray:
    """Draw what the anatomy shows: bones, heart and lungs."""
    x, y = chest.x, chest.y
    trunk = soften(0.98 - np.abs(x) - 0.55 * np.maximum(0, -0.55 - y), 0.04)
    canvas = AIR + (TISSUE - AIR) * trunk
    for side in (-1.0, 1.0):
        canvas = blend(canvas, chest.lung(side), LUNG - 0.1 * chest.blown)
        collar = np.abs(y + 0.78 + 0.22 * (x * side - 0.1))
        collar_bone = np.exp(-((collar / 0.035) ** 2)) * ((x * side > 0.1) & (x * side < 0.75))
        canvas = blend(canvas, 0.35 * collar_bone, BONE)
    ribs = draw_lines((y - 0.28 * x * x + 0.1 * np.abs(x)) * chest.ribs)
    canvas = blend(canvas, 0.2 * ribs * soften(0.88 - np.abs(x), 0.05) * soften(0.75 - y, 0.1), BONE)
    canvas = blend(canvas, 0.85 * soften(0.17 - np.abs(x - 0.02), 0.03) * soften(chest.base - y, 0.1), HEART)
    canvas = blend(canvas, chest.heart_shape(), HEART)
    vertebrae = 0.8 + 0.2 * np.cos(y * 26)
    return blend(canvas, 0.4 * vertebrae * soften(0.085 - np.abs(x), 0.02), BONE)


def expose(canvas: np.ndarray, noise: float, random: Random) -> np.ndarray:
    """Expose drawings as films: gain, offset, uneven field, grain."""
    n, size, _ = canvas.shape
    gain = random.uniform(0.8, 1.1, (n, 1, 1)).astype(np.float32)
    offset = random.uniform(-0.04, 0.08, (n, 1, 1)).astype(np.float32)
    grain = random.standard_normal(canvas.shape, dtype=np.float32) + 0.7 * draw_texture(n, size, 6, random)
    return (gain * canvas + offset + noise * grain).clip(0, 1)
