"""`chestmnist()`: real chest radiographs with fourteen findings, small, from the internet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from .checks import check_integer
from .chest import FINDINGS
from .data import Data
from .downloads import data_folder, fetch_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Side in pixels -> where it is published and its MD5 sum there (as in medmnist 3.0.2, info.py).
FILES = {
    28: (
        "https://zenodo.org/records/10519652/files/chestmnist.npz?download=1",
        "02c8a6516a18b556561a56cbdd36c4a8",
    ),
    64: (
        "https://zenodo.org/records/10519652/files/chestmnist_64.npz?download=1",
        "9de6cd0b934ebb5b7426cfba5efbae16",
    ),
}

#: The names of the columns, which `findings()` has too.
CLASSES = tuple(FINDINGS)

ABOUT = """Real chest radiographs of NIH ChestX-ray14 (X. Wang et al., CVPR 2017), made {size}×{size} pixels
by MedMNIST v2 (J. Yang et al., Scientific Data 2023, Zenodo 10519652; CC BY 4.0); not for medical use. The
labels were read from reports by a program: many are wrong or missing. Official split by patient; here
{n_train:,} of {all_train:,} images to train on and {n_valid:,} of the {all_valid:,} of the {part} part."""


def chestmnist(
    n_train: int | None = None,
    n_valid: int | None = None,
    size: int = 28,
    part: str = "val",
    folder: str | Path | None = None,
    seed: int = 0,
) -> Data:
    """Return ChestMNIST: radiographs of real patients, with fourteen findings.

    Fetched from Zenodo at the first call (some 80 MB at 28 pixels), checked by its checksum, and kept; a copy
    of the package medmnist in ``~/.medmnist`` is taken as well. Without the internet, `findings()` draws
    images that resemble these.

    Parameters
    ----------
    n_train, n_valid : images in each part, drawn by `seed` without replacement, in their order; None: all
        (78,468 and 11,219 of the part "val"), which takes 0.3 GB as float32 at 28 pixels.
    size : height and width in pixels, 28 or 64 (a larger file).
    part : what to validate on: "val", or "test" (22,433 images) for a last judgement.
    folder : where the file is kept. Default: $DLWIDGETS_DATA, else ``~/.cache/dlwidgets``.
    seed : decides which images are drawn.

    Returns
    -------
    Data
        X of N x 1 x size x size, float32 in 0..1; y of N x 14, float32.

    Raises
    ------
    TypeError, ValueError
        A number, size or part that is not one.
    RuntimeError
        The file is not there and cannot be fetched, or is not the published one: what to do is said.
    """
    if size not in FILES:
        raise ValueError(
            f"size is {size!r}; ChestMNIST is offered here in {' and '.join(map(str, FILES))} pixels."
        )
    if part not in ("val", "test"):
        raise ValueError(f"part is {part!r}; give 'val' or 'test', the images to validate on.")
    seed = check_integer("seed", seed, least=0)
    wanted = [
        None if n is None else check_integer(name, n, least=1)
        for name, n in (("n_train", n_train), ("n_valid", n_valid))
    ]
    url, md5 = FILES[size]
    name = url.split("?")[0].rsplit("/", 1)[-1]
    place = data_folder() if folder is None else Path(folder).expanduser()
    try:
        path = fetch_file(url, md5, place, [Path("~/.medmnist").expanduser() / name])
    except RuntimeError as error:
        raise RuntimeError(f"chestmnist(): {error} Or take findings(), which needs no file.") from error
    parts, everything = [], []
    with np.load(path, allow_pickle=False) as arrays:
        for stream, (word, n, number) in enumerate(zip(("train", part), ("n_train", "n_valid"), wanted)):
            y = arrays[f"{word}_labels"]
            everything.append(len(y))
            rows = _drawn(len(y), check_integer(n, number or len(y), least=1, most=len(y)), [seed, stream])
            X = arrays[f"{word}_images"][rows].astype(np.float32) / 255
            parts.append((torch.from_numpy(X[:, None]), torch.from_numpy(y[rows].astype(np.float32))))
    about = ABOUT.format(
        size=size,
        n_train=len(parts[0][0]),
        all_train=everything[0],
        n_valid=len(parts[1][0]),
        all_valid=everything[1],
        part={"val": "validation", "test": "test"}[part],
    )
    return Data("chestmnist", *parts, CLASSES, "multilabel", " ".join(about.split()))


def _drawn(count: int, wanted: int, seed: list[int]) -> NDArray[np.int64] | slice:
    """Return which rows are taken, in their order."""
    if wanted == count:
        return slice(None)
    return np.sort(np.random.default_rng(seed).choice(count, wanted, replace=False))
