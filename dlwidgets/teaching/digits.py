"""`collages()`: canvases of one to four real handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
import torch
from torch.nn.functional import interpolate

from .data import Data, check_integer

#: Side of a digit on the canvas, in pixels: the 8 x 8 originals enlarged, so that a thumbnail can be read.
SIDE = 12

ABOUT = """Canvases of {size}×{size} pixels, each with 1 to {max_digits} handwritten digits at random places,
never overlapping; the labels say which digits are there. The digits are the 1,797 real 8×8 images of
scikit-learn's load_digits (E. Alpaydin and C. Kaynak, UCI "Optical Recognition of Handwritten Digits", 1998,
CC BY 4.0), enlarged to {side}×{side} with varying contrast, on a noisy background. The canvases are composed
here, from seed {seed}; those of the two parts are made of different digit images ({n_sources:,} and
{n_held:,}), so that validation asks about digits never seen in training."""


@dataclass(frozen=True, eq=False)
class Placement:
    """The places of k digits on n canvases: n x k arrays."""

    #: The number of the image in `load_digits`; -1 where nothing is drawn.
    source: np.ndarray
    #: The digit's corner in pixels, and what multiplies its brightness.
    top: np.ndarray
    left: np.ndarray
    contrast: np.ndarray


def collages(
    n_train: int = 4000,
    n_valid: int = 1000,
    size: int = 32,
    seed: int = 0,
    max_digits: int = 4,
    noise: float = 0.06,
) -> Data:
    """Compose canvases of 1 to `max_digits` handwritten digits, with ten labels.

    Real handwriting, nothing to download, hard enough to watch: a small CNN needs a minute on a CPU.

    Parameters
    ----------
    n_train, n_valid : canvases in each part.
    size : height and width of a canvas in pixels; large enough for `max_digits` digits of 12 x 12.
    seed : the same seed gives the same canvases; the global random streams are neither read nor moved.
    max_digits : most digits on one canvas, 1 to 16.
    noise : standard deviation of the background noise, where 1 is the brightness of ink.

    Returns
    -------
    Data : X of N x 1 x size x size, float32 in 0..1; y of N x 10, float32, classes "0" to "9".

    Raises
    ------
    TypeError, ValueError : a number is not a whole number or is out of its range.
    """
    n_train = check_integer("n_train", n_train, least=1)
    n_valid = check_integer("n_valid", n_valid, least=1)
    max_digits = check_integer("max_digits", max_digits, least=1, most=16)
    size = check_integer("size", size, least=1)
    seed = check_integer("seed", seed, least=0)
    if size < (least := (isqrt(max_digits - 1) + 1) * SIDE):
        raise ValueError(
            f"size is {size}; {max_digits} digits of {SIDE}×{SIDE} pixels need a canvas of at least "
            f"{least}: give a larger size, or fewer max_digits."
        )
    if not 0 <= noise <= 1:
        raise ValueError(f"noise is {noise}; give a standard deviation between 0 and 1.")
    images, digits = load_images()
    halves, parts = split_images(digits, seed), []
    for stream, (n, own) in enumerate(zip((n_train, n_valid), halves)):
        random = np.random.default_rng([seed, stream])
        scene = plan_canvases(n, own, size, max_digits, random)
        X = paint_canvases(scene, images, size)
        X += noise * random.standard_normal(X.shape, dtype=np.float32)
        y = label_canvases(scene, digits)
        parts.append((torch.from_numpy(X.clip(0, 1)[:, None]), torch.from_numpy(y)))
    sources = {"n_sources": len(halves[0]), "n_held": len(halves[1])}
    about = ABOUT.format(size=size, max_digits=max_digits, side=SIDE, seed=seed, **sources)
    return Data("collages", *parts, tuple("0123456789"), "multilabel", " ".join(about.split()))


def load_images() -> tuple[np.ndarray, np.ndarray]:
    """Load 1797 images, enlarged to SIDE x SIDE, and their digits."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    small = torch.from_numpy(bunch.images.astype(np.float32) / 16)
    large = interpolate(small[:, None], size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return large[:, 0].numpy(), bunch.target.astype(np.int64)


def split_images(digits: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the images of each digit: three quarters train, one validates."""
    random = np.random.default_rng([seed, 2])
    own = [random.permutation(np.flatnonzero(digits == digit)) for digit in range(10)]
    train, valid = zip(*(np.split(one, [len(one) * 3 // 4]) for one in own))
    return np.concatenate(train), np.concatenate(valid)


def plan_canvases(
    n: int, own: np.ndarray, size: int, max_digits: int, random: np.random.Generator
) -> Placement:
    """Choose images out of `own` for n canvases, without overlap.

    A canvas of k digits is cut at random into g bands of g cells, g * g >= k, each at least SIDE wide and
    high; the digits go to different cells and to a random place within them. Half of the canvases are turned,
    so that bands run down as often as across.
    """
    count = random.integers(1, max_digits + 1, n)
    source = np.where(np.arange(max_digits) < count[:, None], random.choice(own, (n, max_digits)), -1)
    top, left = np.zeros((2, n, max_digits), dtype=np.int64)
    for g in range(1, isqrt(max_digits - 1) + 2):
        rows = np.flatnonzero((count <= g * g) & (count > (g - 1) ** 2))
        bands = _cuts((len(rows), g), size, g, random)
        across = _cuts((len(rows), g, g), size, g, random)
        places = np.argsort(random.random((len(rows), g * g)), axis=1)[:, :max_digits]
        band, cell = places // g, places % g
        at = np.arange(len(rows))[:, None]
        y, x = (
            start[where] + random.integers(0, length[where] - SIDE + 1)
            for (start, length), where in ((bands, (at, band)), (across, (at, band, cell)))
        )
        turned = random.random((len(rows), 1)) < 0.5
        used = places.shape[1]
        top[rows, :used], left[rows, :used] = np.where(turned, x, y), np.where(turned, y, x)
    contrast = random.uniform(0.6, 1, (n, max_digits)).astype(np.float32)
    return Placement(source, top, left, contrast)


def paint_canvases(scene: Placement, images: np.ndarray, size: int) -> np.ndarray:
    """Paint the planned canvases, n x size x size float32, on black."""
    canvases = np.zeros((len(scene.source), size, size), dtype=np.float32)
    side = np.arange(images.shape[1])
    for nth in range(scene.source.shape[1]):
        rows = np.flatnonzero(scene.source[:, nth] >= 0)
        y = scene.top[rows, nth, None, None] + side[:, None]
        x = scene.left[rows, nth, None, None] + side
        ink = images[scene.source[rows, nth]] * scene.contrast[rows, nth, None, None]
        canvases[rows[:, None, None], y, x] = ink
    return canvases


def label_canvases(scene: Placement, digits: np.ndarray) -> np.ndarray:
    """Return n x 10 float32: 1 where the digit is on it."""
    y = np.zeros((len(scene.source), 10), dtype=np.float32)
    row, nth = np.nonzero(scene.source >= 0)
    y[row, digits[scene.source[row, nth]]] = 1
    return y


def _cuts(
    shape: tuple[int, ...], size: int, g: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut 0..size at random into g parts; return starts and lengths."""
    spare = np.sort(random.integers(0, size - g * SIDE + 1, (*shape[:-1], g - 1)), axis=-1)
    inner = spare + SIDE * np.arange(1, g)
    ends = np.concatenate([inner, np.full((*shape[:-1], 1), size)], axis=-1)
    starts = np.concatenate([np.zeros((*shape[:-1], 1), dtype=np.int64), inner], axis=-1)
    return starts, ends - starts
