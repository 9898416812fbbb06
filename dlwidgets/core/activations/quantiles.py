"""Quantiles of many numbers, exactly, without another copy of them all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from ..pictures.statistics import PIECE, flat, real

#: The shares that are looked at: the extremes, the tails, the quarters.
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
#: Up to so many values are sorted, as a copy of 16 MB.
_SORTED = 2**22
#: Bits of a number that one pass sorts by.
_DIGIT = 16


def quantiles(tensor: torch.Tensor, at: Sequence[float] = QUANTILES, most: int | None = None) -> list[float]:
    """Return the quantiles of the finite values of `tensor`, linear between two; nan where there are none.

    Equal to `torch.quantile` and `numpy.quantile`, and for any number of values: up to 4 million are sorted,
    more are counted by their leading bits, in passes, which takes no memory worth speaking of.

    Parameters
    ----------
    at : shares, 0..1.
    most : take at most so many values, spread evenly, instead of all; the extremes are exact nevertheless.
        The share of values below a quantile is then off by about sqrt(q(1 - q) / most).
    """
    values = flat(tensor)
    if values.numel() == 0:
        return [math.nan] * len(at)
    if most is not None and values.numel() > most:
        low, high = _extremes(values) if {0, 1} & set(at) else (math.nan, math.nan)
        found = quantiles(values[_spread(values.numel(), most, values.device)], at)
        return [low if q == 0 else high if q == 1 else one for q, one in zip(at, found)]
    if values.numel() <= _SORTED:
        return by_row(real(values)[None], at)[0].tolist()
    return _counted(values, at)


def by_row(rows: torch.Tensor, at: Sequence[float] = QUANTILES, most: int | None = None) -> np.ndarray:
    """Return the quantiles of the finite values of each row, R x len(at) float64; see `quantiles`."""
    low = high = None
    if most is not None and rows.shape[1] > most:
        least, largest = rows.amin(1), rows.amax(1)
        if not bool((least.isfinite() & largest.isfinite()).all()):
            finite = rows.isfinite()
            least, largest = rows.where(finite, math.inf).amin(1), rows.where(finite, -math.inf).amax(1)
        low, high = least.double().cpu().numpy(), largest.double().cpu().numpy()
        rows = rows[:, _spread(rows.shape[1], most, rows.device)]
    if rows.shape[1] == 0:
        return np.full((rows.shape[0], len(at)), math.nan)
    ordered = _ordered(rows)
    counts = np.isfinite(ordered).sum(1)
    places = np.maximum(counts - 1, 0)[:, None] * np.asarray(at, float)
    below = np.floor(places).astype(np.int64)
    left = np.take_along_axis(ordered, below, 1).astype(float)
    right = np.take_along_axis(ordered, np.minimum(below + 1, ordered.shape[1] - 1), 1).astype(float)
    share = places - below
    with np.errstate(invalid="ignore"):
        found = np.where(share > 0, left + (right - left) * share, left)
    found[counts == 0] = math.nan
    for column, q in enumerate(at):
        if low is not None and high is not None and q in (0, 1):
            edge = low if q == 0 else high
            found[:, column] = np.where(np.isfinite(edge), edge, math.nan)
    return found


def _ordered(rows: torch.Tensor) -> np.ndarray:
    """Return the rows sorted, what is not finite last."""
    if rows.device.type == "cpu":
        values = rows.detach().numpy().copy()
        values[~np.isfinite(values)] = math.nan
        values.sort(axis=1)
        return values
    finite = rows.isfinite()
    return rows.where(finite, math.inf).sort(1).values.cpu().numpy()


def _extremes(values: torch.Tensor) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    for piece in values.split(PIECE):
        numbers = real(piece)
        least, most = float(numbers.amin()), float(numbers.amax())
        if not (math.isfinite(least) and math.isfinite(most)):
            finite = numbers.isfinite()
            least, most = (
                float(numbers.where(finite, math.inf).amin()),
                float(numbers.where(finite, -math.inf).amax()),
            )
        low, high = min(low, least), max(high, most)
    return (low, high) if low <= high else (math.nan, math.nan)


def _spread(count: int, most: int, device: torch.device) -> torch.Tensor:
    # Multiples of the golden ratio fill evenly and follow no row of an image (Weyl's sequence).
    turns = (np.arange(1, most + 1) * 0.618_033_988_749_895) % 1.0
    return torch.from_numpy((turns * count).astype(np.int64)).to(device)


def _counted(values: torch.Tensor, at: Sequence[float]) -> list[float]:
    """Return the quantiles by counting: digit by digit, the bin in which each wanted number lies."""
    bits = 64 if values.dtype in (torch.float64, torch.complex128) else 32
    count = sum(int(real(piece).isfinite().sum()) for piece in values.split(PIECE))
    if count == 0:
        return [math.nan] * len(at)
    places = [q * (count - 1) for q in at]
    ranks = sorted({rank for place in places for rank in (math.floor(place), math.ceil(place))})
    #: rank -> the digits of its number so far, and how many numbers with these are before it.
    known = {rank: (0, rank) for rank in ranks}
    for shift in range(bits - _DIGIT, -1, -_DIGIT):
        counts = {
            prefix: np.zeros(2**_DIGIT, np.int64) for prefix in {prefix for prefix, _ in known.values()}
        }
        for piece in values.split(PIECE):
            keys = _keys(piece, bits)
            for prefix, counted in counts.items():
                inside = keys if shift == bits - _DIGIT else keys[keys >> np.uint64(shift + _DIGIT) == prefix]
                digits = (inside >> np.uint64(shift)) & np.uint64(2**_DIGIT - 1)
                counted += np.bincount(digits.astype(np.int64), minlength=2**_DIGIT)
        for rank, (prefix, before) in known.items():
            sums = counts[prefix].cumsum()
            digit = int(np.searchsorted(sums, before, side="right"))
            known[rank] = (prefix << _DIGIT) + digit, before - int(sums[digit] - counts[prefix][digit])
    numbers = {rank: _number(key, bits) for rank, (key, _) in known.items()}
    found = []
    for place in places:
        left, right = numbers[math.floor(place)], numbers[math.ceil(place)]
        found.append(left + (right - left) * (place - math.floor(place)))
    return found


def _keys(piece: torch.Tensor, bits: int) -> np.ndarray:
    """Return whole numbers in the order of the finite floating ones: IEEE 754, negative ones turned over."""
    numbers = real(piece)
    floats = numbers[numbers.isfinite()].cpu().numpy()
    whole = (floats + 0).view(np.uint32 if bits == 32 else np.uint64).astype(np.uint64)
    top = np.uint64(1 << (bits - 1))
    all_bits = np.uint64(2**bits - 1)
    return np.where(whole & top, whole ^ all_bits, whole | top)


def _number(key: int, bits: int) -> float:
    top, all_bits = 1 << (bits - 1), 2**bits - 1
    whole = key ^ top if key & top else key ^ all_bits
    return float(np.array(whole, np.uint32 if bits == 32 else np.uint64).view(f"f{bits // 8}"))
