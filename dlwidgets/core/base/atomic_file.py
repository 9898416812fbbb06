"""A file that is written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def write_atomically(place: Path, example: str) -> Iterator[IO[bytes]]:
    """Yield a file that appears at `place` once the block ends well.

    It is written beside its place and then moved there, so what was there is either still whole or replaced.
    It can be read by whom the old one could, or any new file.

    Where it cannot be, an OSError says so: with the `example` of a name, where `place` is a folder.
    """
    if place.is_dir():
        raise IsADirectoryError(f"{place} is a folder: the name of a file, as {example!r}, is wanted.")
    if not place.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {place.parent} to write {place.name} to.")
    number, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.", suffix=".part")
    try:
        with open(name, "wb", opener=lambda *_: number) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        mode = place.stat().st_mode & 0o777 if place.exists() else 0o666 & ~mask
        os.chmod(name, mode)  # mkstemp lets nobody else read
        os.replace(name, place)
        with suppress(OSError, AttributeError):  # no such thing on Windows
            folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
