"""The layer that weighs a unit's inputs, and their shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..base.trees import call_model, tree_tensors
from .forward_pass import on_device_of

#: Activation functions.
ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Softsign, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh,
)  # fmt: skip
#: Layers that hand on each unit by itself, so that unit 3 of theirs is unit 3 of the layer before.
ELEMENTWISE = (
    *ACTIVATIONS, nn.LogSigmoid, nn.Threshold, nn.Softshrink, nn.Hardshrink, nn.Tanhshrink, nn.Dropout,
    nn.AlphaDropout, nn.Identity, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.Softmax, nn.LogSoftmax, nn.Dropout1d,
    nn.Dropout2d, nn.Dropout3d,
)  # fmt: skip


@dataclass(frozen=True)
class Incoming:
    """The layer behind a layer's numbers.

    Attributes
    ----------
    path : of the layer that is not elementwise, the layer itself or the one before it.
    module : that layer.
    shape : for `nn.Linear`: of what each of its units looks at, (C, h, w) where that was an image before it
        was flattened ((1, h, w) where it was a matrix), else (n,).
    """

    path: str
    module: nn.Module
    shape: tuple[int, ...] = ()

    def weights(self, unit: int) -> torch.Tensor | None:
        """Return the weights of one unit of a Linear in `shape`.

        None where there are none such.
        """
        weight = getattr(self.module, "weight", None)
        if not isinstance(self.module, nn.Linear) or not isinstance(weight, torch.Tensor):
            return None
        if not 0 <= unit < len(weight):
            return None
        return weight[unit].detach().reshape(self.shape or (-1,))


@dataclass
class _Call:
    path: str
    given: torch.Tensor
    made: torch.Tensor


def find_incoming(
    eager: nn.Module, modules: Mapping[str, nn.Module], inputs: Any, layer: str, part: str = ""
) -> Incoming | None:
    """Find the layer that weighed the numbers of `layer`.

    None where the layer was not called, works on no tensor, or got what it works on from no layer.

    Parameters
    ----------
    eager : the model, which `isolate_model` has yielded; it runs once.
    modules : its layers by path.
    part : the rest of its key in `activations`, as "#2" for its second call.
    """
    leaves = {path: module for path, module in modules.items() if next(module.children(), None) is None}
    calls: list[_Call] = []
    handles = []

    def note(path: str) -> Any:
        def hook(_module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if args and isinstance(args[0], torch.Tensor) and isinstance(output, torch.Tensor):
                calls.append(_Call(path, args[0].detach(), output.detach()))

        return hook

    inputs = on_device_of(eager, inputs)
    try:
        for path, module in leaves.items():
            handles.append(module.register_forward_hook(note(path)))
        call_model(eager, inputs)
    except Exception:  # noqa: BLE001 - what the model cannot do is said by the look itself
        return None
    finally:
        for handle in handles:
            handle.remove()
    own = [at for at, made in enumerate(calls) if made.path == layer]
    call_number = int(part[1:].split("[")[0]) if part.startswith("#") else 1
    if len(own) < call_number:
        return None
    at: int | None = own[call_number - 1]
    while at is not None and isinstance(leaves[calls[at].path], ELEMENTWISE):
        at = _before(calls, at)
    if at is None:
        return None
    found = calls[at]
    module = leaves[found.path]
    shape = _looked_at(calls, at, list(tree_tensors(inputs))) if isinstance(module, nn.Linear) else ()
    return Incoming(found.path, module, shape)


def _before(calls: list[_Call], at: int) -> int | None:
    """Return the call that made what call `at` was given."""
    for earlier in range(at - 1, -1, -1):
        if _same(calls[earlier].made, calls[at].given):
            return earlier
    return None


def _looked_at(calls: list[_Call], at: int, inputs: list[torch.Tensor]) -> tuple[int, ...]:
    given = calls[at].given
    flat = (given.shape[-1],)
    if given.ndim != 2:
        return flat
    for made in (*(earlier.made for earlier in reversed(calls[:at])), *inputs):
        image = made.ndim in (3, 4) and made.shape[-1] * made.shape[-2] > 1
        if image and made.numel() == given.numel() and _equal(made.flatten(1), given):
            # Channels by positions, or steps by units, are one map.
            return (1, *made.shape[1:]) if made.ndim == 3 else tuple(made.shape[1:])
    return flat


def _same(made: torch.Tensor, given: torch.Tensor) -> bool:
    if made.shape != given.shape:
        return False
    return made.data_ptr() == given.data_ptr() or _equal(made, given)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and bool(torch.equal(one, other.to(one.dtype)))
