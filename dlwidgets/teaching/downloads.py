"""Published files, fetched once and checked by their checksum."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

#: Seconds of silence after which a server counts as not answering.
PATIENCE = 30


def data_folder() -> Path:
    """Return the folder for files: $DLWIDGETS_DATA, else in the user's cache."""
    if own := os.environ.get("DLWIDGETS_DATA"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "dlwidgets"


def fetch_file(url: str, md5: str, folder: Path, elsewhere: Iterable[Path] = ()) -> Path:
    """Return the file of a URL, from `folder` or fetched.

    Parameters
    ----------
    url : where it is published; what stands before a "?" ends in its name.
    md5 : the checksum published with it. A file that has another is not taken, wherever it lies.
    folder : where it is looked for and kept.
    elsewhere : files that may be the same, as other packages keep it; read, never written.

    Raises
    ------
    RuntimeError
        It is not there and cannot be fetched, or what came is not that file: a sentence with what to do.
        Nothing is left behind.
    """
    place = folder / url.split("?")[0].rsplit("/", 1)[-1]
    for path in (place, *elsewhere):
        if path.is_file() and compute_checksum(path) == md5:
            return path
    state = "is damaged" if place.is_file() else "is not there"
    way_out = f"Fetch {url} in a browser and save it as {place}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that it appears there whole or not at all.
        handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=folder)
    except OSError as error:
        raise RuntimeError(
            f"{place} {state}, and nothing can be written there ({error}): set DLWIDGETS_DATA to a folder."
        ) from error
    coming = Path(name)
    try:
        try:
            _fetch(url, handle)
        except Exception as error:  # whatever the network, a proxy or the server may raise
            raise RuntimeError(
                f"{place} {state}, and it could not be fetched ({type(error).__name__}: {error}). {way_out}."
            ) from error
        if (found := compute_checksum(coming)) != md5:
            raise RuntimeError(
                f"What came from {url} is not the published file: {coming.stat().st_size:,} bytes with the "
                f"MD5 sum {found}, {md5} is wanted. A proxy's page, or a broken transfer? {way_out}."
            )
        os.replace(coming, place)
    finally:
        coming.unlink(missing_ok=True)
    return place


def compute_checksum(path: Path) -> str:
    """Return the MD5 sum of a file, in hexadecimal digits."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _fetch(url: str, handle: int) -> None:
    from urllib.request import Request, urlopen

    with os.fdopen(handle, "wb") as file:
        # Some servers refuse the default name of Python's client.
        with urlopen(Request(url, headers={"User-Agent": "dlwidgets"}), timeout=PATIENCE) as answer:
            shutil.copyfileobj(answer, file, 2**20)
