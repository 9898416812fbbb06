"""Tensor operations inside the layers, seen and their MACs counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ..base.trees import tree_tensors
from .macs import formula_of, has_macs, recurrent_macs

if TYPE_CHECKING:
    from .trace import Trace


@dataclass
class TensorOperation:
    """A tensor operation under way: its name ("aten.mm") and arguments."""

    name: str
    args: Sequence[Any]

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The tensors among its arguments."""
        return list(tree_tensors(self.args))


class Operations(TorchDispatchMode):
    """Sees every tensor operation, those inside torch's own functions as well."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        overload = isinstance(func, torch._ops.OpOverload)
        name = str(func._overloadpacket if overload else func)
        formula = formula_of(name)
        if formula is None and overload and _is_composite(func):
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        self._trace.operation = TensorOperation(name, args)
        if self._trace.fake and name in _OF_ONE_DTYPE:
            _check_dtypes(self._trace.operation)
        if name == "aten._grouped_mm" and self._trace.fake:
            output = _grouped_product(*args, **kwargs)
        else:
            output = func(*args, **kwargs)
        self._trace.operation = None
        if formula is not None:
            self._trace.count(int(formula(args, output)))
        elif not overload or has_macs(func):
            self._trace.leave_uncounted(name)
        return output


#: Refused for operands of several dtypes, but not while these hold no values.
_OF_ONE_DTYPE = {"aten.mm", "aten.addmm", "aten.bmm", "aten.baddbmm", "aten.mv", "aten.addmv", "aten.dot"}


def _check_dtypes(operation: TensorOperation) -> None:
    types = list(dict.fromkeys(str(tensor.dtype) for tensor in operation.tensors))
    if len(types) > 1:
        raise RuntimeError(
            f"{operation.name} wants tensors of one dtype, but was given {' and '.join(types)}"
        )


def _grouped_product(
    a: torch.Tensor,
    b: torch.Tensor,
    offs: torch.Tensor | None = None,
    bias: Any = None,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Return a fake grouped product; torch's own rule takes bfloat16 alone.

    Raises
    ------
    RuntimeError : the two do not fit.
    """
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(f"Grouped products of {tuple(a.shape)} and {tuple(b.shape)} cannot be taken.")
    groups = a.shape[:1] if a.ndim == 3 and b.ndim == 3 else ()
    if a.ndim == b.ndim == 2 and offs is not None:
        groups = offs.shape[:1]
    return a.new_empty((*groups, a.shape[-2], b.shape[-1]), dtype=out_dtype or a.dtype)


@cache
def _is_composite(func: torch._ops.OpOverload) -> bool:
    # Ops that only call others come undivided where autograd does not divide them, as in inference mode.
    if func.namespace == "prim":
        return False  # they are not in the dispatcher's list
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


class Functions(TorchFunctionMode):
    """Keeps transformer layers off their fused path, which calls no inner layers.

    With `whole_recurrences`, an LSTM, GRU or RNN is taken as one operation rather than thousands: it costs
    the same to follow however long the sequence.
    """

    def __init__(self, trace: Trace, whole_recurrences: bool) -> None:
        self._trace, self._whole = trace, whole_recurrences
        super().__init__()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # A packed sequence has its lengths in the place of the weights' flag.
        if (
            self._whole
            and getattr(func, "__name__", "") in _RECURRENT
            and len(args) == 9
            and isinstance(args[3], bool)
        ):
            inputs, state, weights, bidirectional = args[0], args[1], args[2], args[7]
            states = state if isinstance(state, (tuple, list)) else (state,)
            self._trace.count(recurrent_macs(inputs, weights))
            width = states[0].shape[-1] * (2 if bidirectional else 1)
            return (inputs.new_empty(*inputs.shape[:-1], width), *(torch.empty_like(one) for one in states))
        return func(*args, **(kwargs or {}))


_RECURRENT = {"lstm", "gru", "rnn_tanh", "rnn_relu"}
