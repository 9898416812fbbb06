"""Weights in files: safetensors and torch's own, without running code in them."""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from .words import did_you_mean, quote_error, quote_names

#: The endings of files that hold weights, and the names of the lists of those that are parted.
ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")
_INDEX = ".index.json"
#: What files of other kinds begin with, and what is to be said of them.
_OTHERS = {
    b"\x89HDF": "is an HDF5 file, of another framework: its weights have other names and axes than a torch model's",
    b"version https://git-lfs": "is a pointer of Git LFS and holds no weights: `git lfs pull` fetches the file",
    b"<": "is a web page or XML, no weights: download the file itself",
    b"\x93NUMPY": "is one numpy array: load_weights(model, {'name': numpy.load(path)}) takes arrays by name",
    b"{": "is JSON, no weights",
    b"GGUF": "is a GGUF file, whose weights are packed: the model's own .safetensors are wanted",
}


def read_weights(path: str | Path) -> Mapping[str, Any]:
    """Return what a file of weights holds, tensors on the CPU.

    Parameters
    ----------
    path : a file of safetensors, or of `torch.save`; the list of one that is parted (`.index.json`); or the folder
        of one of these. What is no tensor or plain value is refused: it could run code as it is read.

    Raises
    ------
    ValueError : in a sentence, why it cannot be read, and what to do.
    """
    text, place = str(path), Path(path).expanduser()
    if re.match(r"(https?|ftp|s3|gs|hf)://", text):
        raise ValueError(
            f"{text!r} is an address: download the file first, as "
            f"torch.hub.download_url_to_file({text!r}, 'weights.pt')."
        )
    try:
        if place.is_dir():
            place = _in_folder(place)
        if not place.exists():
            near = [one.name for one in place.parent.glob("*")] if place.parent.is_dir() else []
            raise ValueError(f"There is no file {text!r}.{did_you_mean(place.name, near)}")
        return _read_parts(place) if place.name.endswith(_INDEX) else _read_file(place)
    except OSError as error:
        raise ValueError(f"{text!r} cannot be read: {error.strerror or error}.") from None


def _in_folder(folder: Path) -> Path:
    """Return the one file of weights in a folder."""
    names = sorted(one.name for one in folder.iterdir())
    for usual in ("model.safetensors", "pytorch_model.bin"):
        for wanted in (usual, f"{usual}{_INDEX}"):
            if wanted in names:
                return folder / wanted
    if any(name.startswith("step-") and name.endswith(".json") for name in names):
        raise ValueError(f"{str(folder)!r} holds checkpoints: Session.from_checkpoint({str(folder)!r}, model, train).")
    found = [name for name in names if name.endswith(ENDINGS)]
    if len(found) != 1:
        what = f"several files of weights, {quote_names(found, 4)}: pass one of them" if found else "no file of weights"
        raise ValueError(f"{str(folder)!r} is a folder with {what}.")
    return folder / found[0]


def _read_parts(place: Path) -> dict[str, Any]:
    """Read the files that a list names, which lie beside it."""
    try:
        listed = json.loads(place.read_text("utf-8"))["weight_map"]
        files = {Path(name).name: None for name in listed.values()}
    except (ValueError, KeyError, TypeError, AttributeError):
        why = f"{place.name} lists no files of weights: a 'weight_map' of names to files is wanted."
        raise ValueError(why) from None
    if lost := [name for name in files if not (place.parent / name).exists()]:
        raise ValueError(f"{place.name} names {quote_names(lost, 3)}, not in its folder: download all parts.")
    found: dict[str, Any] = {}
    for name in files:
        found |= _read_file(place.parent / name)
    return found


def _read_file(place: Path) -> Mapping[str, Any]:
    with open(place, "rb") as file:
        start = file.read(64)
    if not start:
        raise ValueError(f"{place.name} is empty: the download, or the writing of it, went wrong.")
    # Safetensors begin with the length of their header, a JSON text.
    if start[8:9] == b"{" or place.suffix == ".safetensors" and not start.startswith(tuple(_OTHERS)):
        try:
            return load_file(place)
        except SafetensorError as error:
            raise ValueError(f"{_damaged(place)}: {quote_error(error)}") from None
    for sign, said in _OTHERS.items():
        if start.lstrip().startswith(sign):
            raise ValueError(f"{place.name} {said}.")
    if not start.startswith((b"PK", b"\x80")):
        raise ValueError(f"{place.name} is no file of weights: torch.save(model.state_dict(), path) writes one.")
    return _read_torch(place, zipped=start.startswith(b"PK"))


def _read_torch(place: Path, zipped: bool) -> Mapping[str, Any]:
    if zipped and zipfile.is_zipfile(place):
        inside = zipfile.ZipFile(place).namelist()
        if any(name.endswith(".npy") for name in inside):
            raise ValueError(f"{place.name} holds numpy arrays: pass dict(numpy.load({place.name!r})).")
        if any("/code/" in name for name in inside):
            raise ValueError(f"{place.name} is TorchScript: pass torch.jit.load({place.name!r}).state_dict().")
        if not any(name.endswith("data.pkl") for name in inside):
            raise ValueError(f"{place.name} is a zip archive of other files, no weights: unpack it first.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(place, map_location="cpu", weights_only=True, mmap=zipped or None)
    except pickle.UnpicklingError as error:
        raise ValueError(_refused(place, str(error))) from None
    except Exception:  # noqa: BLE001 - the reader falls over what is damaged in many ways
        raise ValueError(f"{_damaged(place)}.") from None
    if isinstance(found, torch.Tensor) or not isinstance(found, Mapping):
        raise ValueError(f"{place.name} holds a {type(found).__name__}, no weights by name: a state dict is wanted.")
    return found


def _refused(place: Path, said: str) -> str:
    """Say what a file holds beside tensors, and what helps."""
    kinds = re.findall(r"GLOBAL ([\w.]+)", said)
    if not kinds:
        return f"{place.name} is no file of weights, or is damaged: torch.save(model.state_dict(), path) writes one."
    return (
        f"{place.name} holds an object of {kinds[0]}, which could run code as it is read: it was not read. Write the "
        "weights alone where it came from: torch.save(model.state_dict(), 'weights.pt')."
    )


def _damaged(place: Path) -> str:
    return f"{place.name} is damaged, or was not downloaded whole"
