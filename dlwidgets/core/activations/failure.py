"""Why a layer gave nothing, or a model could not run at all, in sentences."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..base.outputs import named_tensors
from ..layers.walk import HOLDERS, kind_of


class ForwardFailed(RuntimeError):
    """A model that could not run on the inputs: says in which layer, on which shapes and why.

    `layer` is the path of the layer that failed ("" for the model itself), the original exception its cause.
    """

    def __init__(self, sentence: str, layer: str) -> None:
        super().__init__(sentence)
        self.layer = layer


def forward_failed(error: Exception, modules: Mapping[str, nn.Module], inputs: Any) -> ForwardFailed:
    """Return what says in which layer a forward failed: the innermost one whose forward was running."""
    paths = {id(module): path for path, module in reversed(modules.items())}
    layer = ""
    for frame, _line in traceback.walk_tb(error.__traceback__):
        inner = frame.f_locals.get("self")
        if frame.f_code.co_name == "forward" and id(inner) in paths:
            layer = paths[id(inner)]
    where = (
        f"layer {layer!r} ({kind_of(modules[layer])})" if layer else f"the forward of {kind_of(modules[''])}"
    )
    given = ", ".join("×".join(map(str, tensor.shape)) or "scalar" for _, tensor in named_tensors(inputs))
    because = (str(error).strip().splitlines() or [""])[0].rstrip(".") or type(error).__name__
    given = given or "no tensor"
    return ForwardFailed(f"The model could not run on inputs of {given}: {where} said: {because}.", layer)


def must_be_built(modules: Mapping[str, nn.Module]) -> None:
    """Refuse a model of which a layer is not built yet, or holds no values.

    Raises
    ------
    ValueError : in a sentence, which layer it is.
    """
    for path, module in modules.items():
        tensors = [t for t in (*module._parameters.values(), *module._buffers.values()) if t is not None]
        if any(is_lazy(tensor) for tensor in tensors):
            raise ValueError(
                f"Layer {path!r} ({kind_of(module)}) is not built yet; run the model once on a batch, "
                "since looking at it must not build it."
            )
        if any(tensor.is_meta for tensor in tensors):
            raise ValueError(
                f"Layer {path!r} ({kind_of(module)}) is on the meta device and holds no values; "
                "load its weights first (model.to_empty, load_state_dict)."
            )


def why_not_called(path: str, modules: Mapping[str, nn.Module], used_by: str | None = None) -> str:
    """Return why a layer gave nothing, to follow its path: "was not called for this input".

    `used_by` is the path of the layer that used its weights without calling it, None where none did.
    """
    module = modules[path]
    parent = modules.get(path.rpartition(".")[0])
    if isinstance(module, HOLDERS):
        return f"only holds others ({kind_of(module)}) and is never called itself"
    if any(isinstance(modules[above], torch.jit.ScriptModule) for above in _above(path) if above in modules):
        return "runs inside a TorchScript model, whose layers cannot be watched"
    if isinstance(parent, nn.MultiheadAttention):
        return "has its weights used by the MultiheadAttention around it, which does not call it"
    if used_by is not None:
        by = f"{used_by} ({kind_of(modules[used_by])})" if used_by else f"the model ({kind_of(modules[''])})"
        return f"is not called: {by} uses its weights itself"
    return "was not called for this input"


def why_no_attention(path: str, modules: Mapping[str, nn.Module]) -> str:
    """Return why there are no attention weights of a layer, to follow its path."""
    kind = kind_of(modules[path])
    return (
        f"computes no attention weights by itself ({kind} calls neither scaled_dot_product_attention nor a "
        "softmax that weighs values)"
    )


def _above(path: str) -> list[str]:
    names = path.split(".")
    return ["", *(".".join(names[:end]) for end in range(1, len(names) + 1))]
