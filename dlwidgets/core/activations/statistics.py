"""One tensor in four numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Statistics:
    """Of one tensor: `mean` and `std` (divided by n) of its finite values, nan where it has none.

    `zeros` and `nonfinite` are shares of all its values, 0..1.
    """

    mean: float
    std: float
    zeros: float
    nonfinite: float


def statistics(tensor: torch.Tensor) -> Statistics:
    """Return mean, standard deviation, share of zeros and share of non-finite values of `tensor`."""
    values = real(tensor).flatten()
    if values.numel() == 0:
        return Statistics(float("nan"), float("nan"), 0.0, 0.0)
    finite = values[values.isfinite()]
    # In double precision where the device has it: a large mean would swallow a small deviation.
    wide = finite if finite.device.type == "mps" else finite.double()
    return Statistics(
        mean=float(wide.mean()),
        std=float(wide.std(correction=0)) if wide.numel() else float("nan"),
        zeros=int((values == 0).sum()) / values.numel(),
        nonfinite=1 - finite.numel() / values.numel(),
    )


def real(tensor: torch.Tensor) -> torch.Tensor:
    """Return `tensor` as dense float32 or float64: complex values by their size, truth as 0 and 1."""
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = tensor.abs()
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
