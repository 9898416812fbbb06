"""`findings()`: synthetic chest-like images with fourteen findings; for lessons, not for medicine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from statistics import NormalDist

import numpy as np
import torch
from torch.nn.functional import interpolate

from .data import Data, check_integer

Random = np.random.Generator

#: Drawings painted at once: their maps then fit into a processor's cache.
BLOCK = 128
#: Brightness, 0 black to 1 white: the more a tissue absorbs, the brighter.
AIR, LUNG, TISSUE, HEART, BONE = 0.03, 0.2, 0.55, 0.68, 0.85
DENSE, FLUID, GAS = 0.85, 0.72, 0.06

ABOUT = """SYNTHETIC, NOT MEDICAL: {size}×{size} drawings that only resemble chest radiographs, generated from
seed {seed}; nobody's body, no diagnosis, and a model trained on them knows nothing about patients. The
fourteen names are those of the NIH ChestX-ray14 list; each stands for a pattern of its own (place, shape,
texture). As in the real list, most images show few findings or none, some findings are rare, some come
together (edema with cardiomegaly, effusion with atelectasis), and infiltration, pneumonia and consolidation
are made hard to tell apart. The two parts are independent draws. Part of dlwidgets, same licence
(BSD-3-Clause)."""


@dataclass(frozen=True)
class DrawnFinding:
    """The share of a finding, and its hidden causes (0..1 each)."""

    share: float
    causes: dict[str, float]


#: In the order of ChestMNIST's columns. As in NIH ChestX-ray14 (Wang et al. 2017, CVPR), infiltration is
#: commonest and hernia rarest; the rare ones are raised, so that each class has examples to learn from.
FINDINGS: dict[str, DrawnFinding] = {
    "atelectasis": DrawnFinding(0.14, {"fluid": 0.5}),
    "cardiomegaly": DrawnFinding(0.08, {"heart": 0.7}),
    "effusion": DrawnFinding(0.16, {"fluid": 0.6, "heart": 0.5}),
    "infiltration": DrawnFinding(0.20, {"infection": 0.6}),
    "mass": DrawnFinding(0.08, {"tumour": 0.6}),
    "nodule": DrawnFinding(0.10, {"tumour": 0.6}),
    "pneumonia": DrawnFinding(0.06, {"infection": 0.7}),
    "pneumothorax": DrawnFinding(0.08, {"airway": 0.5}),
    "consolidation": DrawnFinding(0.10, {"infection": 0.6, "fluid": 0.3}),
    "edema": DrawnFinding(0.06, {"heart": 0.8}),
    "emphysema": DrawnFinding(0.06, {"airway": 0.7}),
    "fibrosis": DrawnFinding(0.05, {"airway": 0.4, "scar": 0.5}),
    "pleural": DrawnFinding(0.07, {"scar": 0.6}),
    "hernia": DrawnFinding(0.015, {}),
}


def findings(
    n_train: int = 3000, n_valid: int = 1000, size: int = 64, seed: int = 0, noise: float = 0.04
) -> Data:
    """Draw synthetic chest-like images with fourteen findings. Not medical data.

    Made for what `collages()` cannot show: rare classes, classes that come together, classes that resemble
    one another, and so different thresholds and different mistakes for each class.

    Parameters
    ----------
    n_train, n_valid : images in each part.
    size : height and width in pixels, 32 to 256.
    seed : the same seed gives the same images; the global random streams are neither read nor moved.
    noise : standard deviation of the grain, where 1 is the range from black to white.

    Returns
    -------
    Data : X of N x 1 x size x size, float32 in 0..1; y of N x 14, float32; classes as in ChestMNIST.

    Raises
    ------
    TypeError, ValueError : a number is not a whole number or is out of its range.
    """
    n_train = check_integer("n_train", n_train, least=1)
    n_valid = check_integer("n_valid", n_valid, least=1)
    size = check_integer("size", size, least=32, most=256)
    seed = check_integer("seed", seed, least=0)
    if not 0 <= noise <= 1:
        raise ValueError(f"noise is {noise}; give a standard deviation between 0 and 1.")
    parts = []
    for stream, n in enumerate((n_train, n_valid)):
        random = np.random.default_rng([seed, stream])
        y = draw_labels(n, random)
        X = draw_radiographs(y, size, noise, random)
        parts.append((torch.from_numpy(X[:, None]), torch.from_numpy(y.astype(np.float32))))
    about = " ".join(ABOUT.format(size=size, seed=seed).split())
    return Data("findings", *parts, tuple(FINDINGS), "multilabel", about)


def draw_labels(n: int, random: Random) -> np.ndarray:
    """Draw n x 14 booleans with the shares of FINDINGS, correlated.

    A Gaussian copula: each finding is a standard normal variable that passes its quantile; the part that a
    cause explains is shared with the other findings of that cause.
    """
    causes = sorted({cause for finding in FINDINGS.values() for cause in finding.causes})
    loadings = np.array([[one.causes.get(cause, 0.0) for cause in causes] for one in FINDINGS.values()])
    own = np.sqrt(1 - (loadings**2).sum(1))
    hidden = random.standard_normal((n, len(causes))) @ loadings.T
    hidden += own * random.standard_normal((n, len(FINDINGS)))
    limits = np.array([NormalDist().inv_cdf(1 - finding.share) for finding in FINDINGS.values()])
    return hidden > limits


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
        big, blown = (severity[:, column[name]] for name in ("cardiomegaly", "emphysema"))
        chest = Anatomy.draw(size, random, big=big, blown=blown)
        canvas = draw_healthy(chest)
        for name, paint in PATTERNS.items():
            rows = np.flatnonzero(block[:, column[name]])
            if len(rows):
                severe = severity[rows, column[name], None, None]
                canvas[rows] = blend(canvas[rows], severe, paint(canvas[rows], chest.of(rows), random))
        # Exposed as films: gain, offset, grain on an uneven field.
        n = len(block)
        gain = random.uniform(0.8, 1.1, (n, 1, 1)).astype(np.float32)
        offset = random.uniform(-0.04, 0.08, (n, 1, 1)).astype(np.float32)
        grain = random.standard_normal(canvas.shape, dtype=np.float32)
        grain += 0.7 * draw_texture(n, size, 6, random)
        images[start : start + BLOCK] = (gain * canvas + offset + noise * grain).clip(0, 1)
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


def soften(distance: np.ndarray, width: float) -> np.ndarray:
    """Return 0 outside (distance < 0), 1 inside, across a soft edge."""
    return 0.5 + 0.5 * np.tanh(distance / width)


def blend(canvas: np.ndarray, amount: np.ndarray, tone: np.ndarray | float) -> np.ndarray:
    """Return the canvas, moved by `amount` (0..1 per pixel) towards a brightness."""
    return canvas + amount * (tone - canvas)


def draw_lines(phase: np.ndarray) -> np.ndarray:
    """Draw bright lines, 0..1, where the phase passes multiples of pi."""
    # Squared by hand: numpy's power of an array is many times slower.
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
    read by a physician, the heart's tip is on the right (`side` is -1 on the left, 1 on the right).
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

    def lung(self, side: np.ndarray | float) -> np.ndarray:
        """Return how much of each pixel is lung above the diaphragm, 0..1."""
        # The liver lifts it on the left.
        diaphragm = self.base + self.dome * self.across(side) ** 2 - 0.06 * (np.asarray(side) < 0)
        return soften(1 - self.radius(side), 0.06) * soften(diaphragm - self.y, 0.035)

    def heart_shape(self) -> np.ndarray:
        """Return how much of each pixel is heart, an ellipse, 0..1."""
        x = (self.x - 0.05 - 0.35 * self.heart) / self.heart
        y = (self.y - self.base + 0.22) / (0.14 + 0.6 * self.heart)
        return soften(1 - np.sqrt(x * x + y * y - 0.5 * x * y), 0.08)


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
        below = soften(chest.y - level + climb, 0.04)
        canvas = blend(canvas, 0.9 * present * chest.lung(this) * below, FLUID)
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


#: By name, in the order of painting: what fills the lung before what lies in front of it. The anatomy alone
#: shows cardiomegaly, a wide heart.
PATTERNS: dict[str, Callable[[np.ndarray, Anatomy, Random], np.ndarray]] = {
    paint.__name__: paint
    for paint in (
        emphysema, infiltration, edema, fibrosis, pneumonia, consolidation, atelectasis, mass, nodule,
        pneumothorax, pleural, effusion, hernia,
    )
}  # fmt: skip
