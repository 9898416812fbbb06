"""Multiply-accumulates (MACs), operation by operation, credited to the layer that runs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

#: Operations that multiply and accumulate on a large scale and for which no formula is at hand.
_COSTLY = (
    "cdist", "fft", "stft", "grid_sampler", "linalg", "rnn", "trilinear", "scaled_mm", "int_mm", "matrix_exp",
    "efficient_attention", "flash_attention", "cudnn_attention", "fused_attention", "ctc_loss",
)  # fmt: skip
#: Namespaces whose operations only move or describe data, or have their parts counted one by one.
_PLAIN = ("aten", "prim", "prims", "profiler", "higher_order")


def _attention_macs(query: Any, key: Any, value: Any) -> int:
    """Return the MACs of softmax(Q K^T) V: two batched matrix products (Vaswani et al. 2017, equation 1)."""
    batch, heads, rows, width = query.shape
    return batch * heads * rows * key.shape[-2] * (width + value.shape[-1])


def _recurrent_macs(name: str, args: Any) -> int:
    """Return the MACs of a fused recurrent layer: each step of each sequence goes through all its weight matrices."""
    weights = args[1] if name == "_cudnn_rnn" else args[1:5]
    # Sequences come as (steps, batch, features) or the other way round, packed ones as (all steps, features).
    steps = args[0].numel() // args[0].shape[-1]
    return steps * sum(w.numel() for w in weights if w.ndim == 2)


class CountMacs(TorchDispatchMode):
    """Counts the MACs of every operation that runs inside the `with` block.

    Matrix products, convolutions and attention are counted with PyTorch's own formulas (2 FLOPs are one
    MAC); additions, normalisation and activation functions count nothing, as is usual.

    Parameters
    ----------
    credit : called with the MACs of an operation as it runs.
    """

    def __init__(self, credit: Callable[[int], None]) -> None:
        super().__init__()
        self._credit = credit
        #: Costly operations that could not be counted: name -> how often they ran.
        self.uncounted: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        name = packet.__name__
        if name == "_scaled_dot_product_flash_attention_for_cpu":
            # The CPU's own kernel, which PyTorch's registry leaves out.
            self._credit(_attention_macs(args[0], args[1], args[2]))
        elif name in ("mkldnn_rnn_layer", "_cudnn_rnn"):
            self._credit(_recurrent_macs(name, args))
        elif packet in flop_registry:
            self._credit(flop_registry[packet](*args, **kwargs, out_val=out) // 2)
        elif func.namespace not in _PLAIN or any(word in name for word in _COSTLY):
            self.uncounted[f"{func.namespace}::{name}"] += 1
        return out


def fast_path_off() -> Any:
    """Return a context in which attention layers run their parts one by one: the fused path calls no inner layer."""
    return _FastPathOff()


class _FastPathOff:
    def __enter__(self) -> None:
        self._was = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)

    def __exit__(self, *_: Any) -> None:
        torch.backends.mha.set_fastpath_enabled(self._was)
