"""A cache of fake layers' outputs, so that equal calls run once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._mode_utils import no_dispatch

#: Layers whose output depends, but for its values, on nothing than their arguments, their weights' shapes and
#: their input's shape. Subclasses may do otherwise.
_PLAIN = {
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm, nn.Embedding,
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Tanh,
    nn.Softmax,
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool2d,
}  # fmt: skip
_SIMPLE = (int, float, bool, str, tuple, type(None))


@dataclass(frozen=True)
class _Output:
    """A layer's output, and the MACs that it took."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    macs: int


class OutputCache:
    """Keeps the outputs of one stand-in's layers, whose tensors belong to `mode`."""

    def __init__(self, mode: FakeTensorMode) -> None:
        self._mode = mode
        self._outputs: dict[Hashable, _Output] = {}

    def key(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Hashable | None:
        """Return a key by which calls have equal outputs, or None."""
        if type(module) not in _PLAIN or kwargs or len(args) != 1 or torch._C._is_any_autocast_enabled():
            return None
        held = [args[0], *module._parameters.values(), *module._buffers.values()]
        if not all(type(tensor) is FakeTensor for tensor in held if tensor is not None):
            return None
        arguments = tuple((name, value) for name, value in vars(module).items() if type(value) in _SIMPLE)
        kinds = tuple(None if t is None else (t.shape, t.stride(), t.dtype, t.device) for t in held)
        key = (type(module), arguments, kinds)
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def output(self, key: Hashable) -> tuple[FakeTensor, int] | None:
        """Return a fresh output for a known call, and its MACs."""
        known = self._outputs.get(key)
        if known is None:
            return None
        with no_dispatch():
            bare = torch.empty_strided(known.shape, known.stride, dtype=known.dtype, device="meta")
            return FakeTensor(self._mode, bare, known.device), known.macs

    def keep(self, key: Hashable, module: nn.Module, args: Sequence[Any], output: Any, macs: int) -> None:
        """Keep the output of a call, if it has its own memory."""
        if type(output) is not FakeTensor or output.storage_offset():
            return
        memory = output.untyped_storage()._cdata
        held = (args[0], *module._parameters.values(), *module._buffers.values())
        if any(tensor is not None and tensor.untyped_storage()._cdata == memory for tensor in held):
            return
        self._outputs[key] = _Output(
            tuple(output.shape), tuple(output.stride()), output.dtype, output.device, macs
        )
