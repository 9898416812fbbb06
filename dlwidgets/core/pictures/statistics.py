"""One tensor in four numbers, read piece by piece."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

#: Values that are looked at together: as doubles they take 2 MB.
PIECE = 2**18


@dataclass(frozen=True)
class Statistics:
    """Mean and deviation (divided by n) of finite values, or nan.

    `zeros` and `nonfinite` are shares of all its values, 0..1.
    """

    mean: float
    std: float
    zeros: float
    nonfinite: float


def compute_statistics(tensor: torch.Tensor) -> Statistics:
    """Compute mean, deviation, and the shares of zeros and non-finite values."""
    total = finite = zeros = 0
    mean = squares = 0.0
    for piece in flatten_by_stride(tensor).split(PIECE):
        values = to_real(piece)
        total += values.numel()
        zeros += values.numel() - int(values.count_nonzero())
        if not math.isfinite(float(widen(values).sum())):
            values = values[values.isfinite()]
        if not (count := values.numel()):
            continue
        # A copy of the piece, which may be overwritten; on its own, since a large mean would swallow a small
        # deviation.
        apart = widen(values)
        apart = apart.clone() if apart is values else apart
        here = float(apart.mean())
        apart.sub_(here)
        # Chan, Golub and LeVeque 1979: the squares of two parts make those of the whole.
        gap, before = here - mean, finite
        finite += count
        squares += float(torch.dot(apart, apart)) + gap * gap * before * count / finite
        mean += gap * count / finite
    if not total:
        return Statistics(math.nan, math.nan, 0.0, 0.0)
    if not finite:
        return Statistics(math.nan, math.nan, zeros / total, 1.0)
    return Statistics(mean, math.sqrt(max(0.0, squares / finite)), zeros / total, 1 - finite / total)


def widen(values: torch.Tensor) -> torch.Tensor:
    """Return the values in double precision where the device has it."""
    return values if values.device.type == "mps" else values.double()


def flatten_by_stride(tensor: torch.Tensor) -> torch.Tensor:
    """Return the values as a vector in any order, preferably a view."""
    if tensor.is_quantized or tensor.layout != torch.strided:
        tensor = to_real(tensor)
    order = sorted(range(tensor.ndim), key=lambda axis: -tensor.stride(axis))
    return tensor.detach().permute(order).reshape(-1)


def to_real(tensor: torch.Tensor) -> torch.Tensor:
    """Return a dense float32 or float64 tensor; complex values by size."""
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = tensor.abs()
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
