"""The fourteen findings, each painted into n drawings of an anatomy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .anatomy import Anatomy, blend, draw_lines, draw_texture, soften

Random = np.random.Generator

DENSE, FLUID, GAS = 0.85, 0.72, 0.06


def atelectasis(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """Thin slanted plates low in one lung."""
    side = _side(chest, random)
    lung = chest.lung(side)
    slope = _vary(chest, random, -0.35, 0.35)
    first = _vary(chest, random, 0.05, 0.3)
    for below in (0.0, 0.16):
        line = chest.down() - first - below - slope * chest.across(side)
        canvas = blend(canvas, 0.75 * lung * np.exp(-((line / 0.045) ** 2)), DENSE)
    return canvas


def effusion(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """Fluid at the bottom of a chest half, climbing the wall."""
    side = _side(chest, random)
    both = random.random((len(chest), 1, 1)) < 0.3
    for this, present in ((side, 1.0), (-side, both)):
        level = chest.base + 0.06 - _vary(chest, random, 0.0, 0.35)
        climb = 0.2 * np.maximum(0, chest.across(this) + 0.2) ** 2
        canvas = blend(
            canvas, 0.9 * present * chest.lung(this) * soften(chest.y - level + climb, 0.04), FLUID
        )
    return canvas


def infiltration(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """A faint mottled veil over much of one lung or both."""
    side = _side(chest, random)
    both = random.random((len(chest), 1, 1)) < 0.4
    mottle = soften(draw_texture(len(chest), chest.size, 14, random), 0.5)
    for this, present in ((side, 1.0), (-side, both)):
        patch = _patch(chest, this, random, 0.5, 0.75)
        canvas = blend(canvas, _vary(chest, random, 0.35, 0.55) * present * patch * mottle, DENSE)
    return canvas


def pneumonia(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """A soft cloud, denser than infiltration, less even than consolidation."""
    cloud = 0.55 + 0.45 * soften(draw_texture(len(chest), chest.size, 8, random), 0.7)
    patch = _patch(chest, _side(chest, random), random, 0.32, 0.5)
    return blend(canvas, _vary(chest, random, 0.55, 0.8) * patch * cloud, DENSE)


def consolidation(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """A lobe gone evenly white, with a straight border."""
    side = _side(chest, random)
    patch = _patch(chest, side, random, 0.45, 0.6, sharp=4)
    border = _vary(chest, random, -0.15, 0.15) + 0.3 * chest.across(side)
    lower = np.where(random.random((len(chest), 1, 1)) < 0.6, np.float32(1), np.float32(-1))
    lobe = patch * soften(lower * (chest.down() - border), 0.04)
    return blend(canvas, _vary(chest, random, 0.6, 0.85) * lobe, DENSE)


def mass(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """One large round spot with a clear edge."""
    return blend(canvas, 0.8 * _disc(chest, _side(chest, random), random, 0.12, 0.18), DENSE)


def nodule(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """One to three small round spots."""
    many = random.random((len(chest), 1, 1))
    for wanted in (1.0, many > 0.5, many > 0.8):
        canvas = blend(canvas, 0.85 * wanted * _disc(chest, _side(chest, random), random, 0.05, 0.075), DENSE)
    return canvas


def pneumothorax(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """Black air around a lung that shrank behind a white line."""
    side = _side(chest, random)
    shrunk = chest.across(side) + 0.25, chest.down() - 0.12
    edge = np.sqrt(shrunk[0] ** 2 + shrunk[1] ** 2) - _vary(chest, random, 0.65, 0.85)
    lung = chest.lung(side)
    canvas = blend(canvas, 0.95 * lung * soften(edge, 0.04), GAS)
    return blend(canvas, 0.7 * lung * np.exp(-((edge / 0.06) ** 2)), DENSE)


def edema(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """A cloud about both lungs, shaped like a bat's wings."""
    strength = _vary(chest, random, 0.5, 0.8)
    cloud = 0.7 + 0.3 * soften(draw_texture(len(chest), chest.size, 10, random), 0.7)
    for side in (-1.0, 1.0):
        wing = np.exp(-(((chest.across(side) + 0.7) / 0.8) ** 2) - ((chest.down() - 0.05) / 0.42) ** 2)
        canvas = blend(canvas, strength * chest.lung(side) * wing * cloud, FLUID)
    return canvas


def emphysema(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """Black bubbles in lungs that the anatomy has already blown up."""
    for side in (-1.0, 1.0):
        canvas = blend(canvas, 0.8 * _disc(chest, np.full((len(chest), 1, 1), side), random, 0.08, 0.14), 0.0)
    return canvas


def fibrosis(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """A fine net in the lower outer parts of both lungs."""
    pitch = _vary(chest, random, 13, 16)
    one = chest.x + 0.6 * chest.y + 0.05 * draw_texture(len(chest), chest.size, 8, random)
    two = chest.x - 0.6 * chest.y + 0.05 * draw_texture(len(chest), chest.size, 8, random)
    net = np.maximum(draw_lines(pitch * one), draw_lines(pitch * two))
    strength = _vary(chest, random, 0.5, 0.75)
    for side in (-1.0, 1.0):
        where = soften(chest.radius(side) - 0.45, 0.15) * soften(chest.down() - 0.0, 0.15)
        canvas = blend(canvas, strength * chest.lung(side) * where * net, DENSE)
    return canvas


def pleural(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """A thick white rind along the chest wall."""
    side = _side(chest, random)
    thick = _vary(chest, random, 0.2, 0.34)
    wall = soften(chest.radius(side) - 1 + thick, 0.04) * soften(chest.across(side), 0.1)
    height = np.exp(-(((chest.down() - _vary(chest, random, -0.3, 0.2)) / 0.45) ** 4))
    return blend(canvas, 0.85 * chest.lung(side) * wall * height, DENSE)


def hernia(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """A half-full white ring behind the heart: air over a level."""
    x = chest.x - _vary(chest, random, -0.08, 0.12)
    y = chest.y - chest.base + _vary(chest, random, 0.02, 0.12)
    reach = _vary(chest, random, 0.17, 0.22)
    r = np.sqrt(x * x + y * y)
    canvas = blend(canvas, soften(reach - r, 0.02), 0.95)
    return blend(canvas, soften(reach - 0.05 - r, 0.02) * soften(0.02 - y, 0.02), 0.1)


def _as_it_is(canvas: np.ndarray, chest: Anatomy, random: Random) -> np.ndarray:
    """Paint nothing: the anatomy shows this finding, a wide heart."""
    return canvas


#: Painted in this order: what fills the lung before what lies in front of it.
PATTERNS: dict[str, Callable[[np.ndarray, Anatomy, Random], np.ndarray]] = {
    "cardiomegaly": _as_it_is,
    "emphysema": emphysema,
    "infiltration": infiltration,
    "edema": edema,
    "fibrosis": fibrosis,
    "pneumonia": pneumonia,
    "consolidation": consolidation,
    "atelectasis": atelectasis,
    "mass": mass,
    "nodule": nodule,
    "pneumothorax": pneumothorax,
    "pleural": pleural,
    "effusion": effusion,
    "hernia": hernia,
}


def _vary(chest: Anatomy, random: Random, low: float, high: float) -> np.ndarray:
    return random.uniform(low, high, (len(chest), 1, 1)).astype(np.float32)


def _side(chest: Anatomy, random: Random) -> np.ndarray:
    return random.choice(np.array([-1, 1], dtype=np.float32), (len(chest), 1, 1))


def _patch(
    chest: Anatomy, side: np.ndarray, random: Random, least: float, most: float, sharp: int = 2
) -> np.ndarray:
    """Draw a blob in a lung; `sharp` 2: bell, 4: plateau."""
    x = chest.across(side) - _vary(chest, random, -0.3, 0.3)
    y = 0.75 * (chest.down() - _vary(chest, random, -0.35, 0.3))
    reach = _vary(chest, random, least, most)
    return chest.lung(side) * np.exp(-((np.sqrt(x * x + y * y) / reach) ** sharp))


def _disc(chest: Anatomy, side: np.ndarray, random: Random, least: float, most: float) -> np.ndarray:
    """Return a disc within a lung, its radius between two lengths."""
    x = chest.x * side - 0.44 - chest.lung_w * _vary(chest, random, -0.35, 0.5)
    y = chest.y + 0.06 - chest.lung_h * _vary(chest, random, -0.6, 0.3)
    return soften(_vary(chest, random, least, most) - np.sqrt(x * x + y * y), 0.015)
