"""`chestmnist()`: real chest radiographs with fourteen findings, small, from the internet."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch

from .chest import FINDINGS
from .data import Data, check_integer

#: Seconds of silence after which a server counts as not answering.
PATIENCE = 30

_ZENODO = "https://zenodo.org/records/10519652/files"
#: Side in pixels -> where it is published and its MD5 sum there (as in medmnist 3.0.2, info.py).
FILES = {
    28: (f"{_ZENODO}/chestmnist.npz?download=1", "02c8a6516a18b556561a56cbdd36c4a8"),
    64: (f"{_ZENODO}/chestmnist_64.npz?download=1", "9de6cd0b934ebb5b7426cfba5efbae16"),
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
    Data : X of N x 1 x size x size, float32 in 0..1; y of N x 14, float32.

    Raises
    ------
    TypeError, ValueError : a number, size or part that is not one.
    RuntimeError : the file is not there and cannot be fetched, or is not the published one; says what to do.
    """
    if size not in FILES:
        sizes = " and ".join(map(str, FILES))
        raise ValueError(f"size is {size!r}; ChestMNIST is offered here in {sizes} pixels.")
    if part not in ("val", "test"):
        raise ValueError(f"part is {part!r}; give 'val' or 'test', the images to validate on.")
    seed = check_integer("seed", seed, least=0)
    wanted = {"n_train": n_train, "n_valid": n_valid}
    for name, number in wanted.items():
        wanted[name] = None if number is None else check_integer(name, number, least=1)
    url, md5 = FILES[size]
    name = url.split("?")[0].rsplit("/", 1)[-1]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "dlwidgets"
    place = Path(folder or os.environ.get("DLWIDGETS_DATA") or cache).expanduser() / name
    try:
        path = _fetch_file(url, md5, place, Path("~/.medmnist").expanduser() / name)
    except RuntimeError as error:
        raise RuntimeError(f"chestmnist(): {error} Or take findings(), which needs no file.") from error
    parts, everything = [], []
    with np.load(path, allow_pickle=False) as arrays:
        for stream, (word, (name, number)) in enumerate(zip(("train", part), wanted.items())):
            y = arrays[f"{word}_labels"]
            everything.append(len(y))
            count, rows = check_integer(name, number or len(y), least=1, most=len(y)), slice(None)
            if count < len(y):
                random = np.random.default_rng([seed, stream])
                rows = np.sort(random.choice(len(y), count, replace=False))
            X = arrays[f"{word}_images"][rows].astype(np.float32) / 255
            parts.append((torch.from_numpy(X[:, None]), torch.from_numpy(y[rows].astype(np.float32))))
    about = ABOUT.format(
        size=size, n_train=len(parts[0][0]), all_train=everything[0], n_valid=len(parts[1][0]),
        all_valid=everything[1], part={"val": "validation", "test": "test"}[part],
    )  # fmt: skip
    return Data("chestmnist", *parts, CLASSES, "multilabel", " ".join(about.split()))


def _fetch_file(url: str, md5: str, place: Path, elsewhere: Path) -> Path:
    """Return the file of a URL, found or fetched.

    A file with another checksum is not taken, wherever it lies. Where it is not there and cannot be fetched,
    or what came is not that file, a RuntimeError says what to do, and nothing is left behind.
    """
    for path in (place, elsewhere):
        if path.is_file() and _checksum(path) == md5:
            return path
    from urllib.request import Request, urlopen

    state = "is damaged" if place.is_file() else "is not there"
    way_out = f"Fetch {url} in a browser and save it as {place}"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that it appears there whole or not at all.
        handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    except OSError as error:
        raise RuntimeError(
            f"{place} {state}, and nothing can be written there ({error}): set DLWIDGETS_DATA to a folder."
        ) from error
    coming = Path(name)
    try:
        try:
            # Some servers refuse the default name of Python's client.
            request = Request(url, headers={"User-Agent": "dlwidgets"})
            with os.fdopen(handle, "wb") as file, urlopen(request, timeout=PATIENCE) as answer:
                shutil.copyfileobj(answer, file, 2**20)
        except Exception as error:  # whatever the network, a proxy or the server may raise
            raise RuntimeError(
                f"{place} {state}, and it could not be fetched ({type(error).__name__}: {error}). {way_out}."
            ) from error
        if (found := _checksum(coming)) != md5:
            raise RuntimeError(
                f"What came from {url} is not the published file: {coming.stat().st_size:,} bytes with the "
                f"MD5 sum {found}, {md5} is wanted. A proxy's page, or a broken transfer? {way_out}."
            )
        os.replace(coming, place)
    finally:
        coming.unlink(missing_ok=True)
    return place


def _checksum(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
