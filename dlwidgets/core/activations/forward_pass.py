"""The inputs of a forward pass, and its failures in sentences."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..base.isolation import find_device, is_offloaded
from ..base.outputs import named_tensors
from ..base.trees import tree_map
from ..layers.example_input import as_tensors
from ..layers.forward import explain_failure
from ..layers.forward_error import explain_foreign
from ..layers.framework import acts_as, computes_elsewhere
from ..layers.walk import HOLDERS, kind_of


def on_device_of(model: nn.Module, inputs: Any) -> Any:
    """Bring `inputs` to the device of `model`, arrays and rows as tensors.

    Floating arrays take the dtype of the model's first weights, tensors keep theirs.
    """
    device = find_device(model)
    return tree_map(lambda value: value.to(device), as_tensors(model, inputs))


class ForwardFailed(RuntimeError):
    """A model that could not run on the inputs, in a sentence.

    `layer` is the path of the layer that failed, "" for the model itself.
    """

    def __init__(self, sentence: str, layer: str) -> None:
        super().__init__(sentence)
        self.layer = layer


def forward_failed(error: Exception, modules: Mapping[str, nn.Module], inputs: Any) -> ForwardFailed:
    """Name the innermost layer whose forward was running when it failed."""
    paths = {id(module): path for path, module in reversed(modules.items())}
    layer = ""
    for frame, _line in traceback.walk_tb(error.__traceback__):
        inner = frame.f_locals.get("self")
        if frame.f_code.co_name == "forward" and id(inner) in paths:
            layer = paths[id(inner)]
    kind = kind_of(modules[layer])
    where = f"layer {layer!r} ({kind})" if layer else f"the forward of {kind}"
    given = ", ".join("×".join(map(str, tensor.shape)) or "scalar" for _, tensor in named_tensors(inputs))
    if said := explain_foreign(error, modules[""], inputs):
        return ForwardFailed(f"The model could not run on inputs of {given or 'no tensor'}: {said}", layer)
    because = (str(error).strip().splitlines() or [""])[0].rstrip(".") or type(error).__name__
    given = given or "no tensor"
    said = f"The model could not run on inputs of {given}: {where} said: {because}."
    return ForwardFailed(f"{said} {explain_failure(modules[''], inputs)}".rstrip(), layer)


def must_be_built(modules: Mapping[str, nn.Module]) -> None:
    """Raise ValueError for a layer not built, or without values."""
    offloaded = is_offloaded(modules[""])
    for path, module in modules.items():
        tensors = [t for t in (*module._parameters.values(), *module._buffers.values()) if t is not None]
        why = ""
        if any(is_lazy(tensor) for tensor in tensors):
            why = "is not built yet; run the model once on a batch, since looking at it must not build it"
        elif any(tensor.is_meta for tensor in tensors) and not offloaded:
            why = (
                "is on the meta device and holds no values; load its weights first (model.to_empty, "
                "load_state_dict)"
            )
        if why:
            raise ValueError(f"Layer {path!r} ({kind_of(module)}) {why}.")


def why_not_called(path: str, modules: Mapping[str, nn.Module], used_by: str | None = None) -> str:
    """Return why a layer gave nothing, as a clause.

    `used_by` is the path of the layer that used its weights without calling it, None where none did.
    """
    module, names = modules[path], path.split(".")
    above = ["", *itertools.accumulate(names, "{}.{}".format)]
    if isinstance(module, HOLDERS):
        return f"only holds others ({kind_of(module)}) and is never called itself"
    if any(isinstance(modules.get(one), torch.jit.ScriptModule) for one in above):
        return "runs inside a TorchScript model, whose layers cannot be watched"
    around = modules.get(path.rpartition(".")[0])
    if isinstance(around, nn.MultiheadAttention):
        return "has its weights used by the MultiheadAttention around it, which does not call it"
    if acts_as(around, nn.MultiheadAttention):
        return f"is not called: the {kind_of(around)} around it computes attention in one function"
    if used_by is not None:
        by = f"{used_by} ({kind_of(modules[used_by])})" if used_by else f"the model ({kind_of(modules[''])})"
        return f"is not called: {by} uses its weights itself"
    if computes_elsewhere(module):
        return "was not called for this input, or in a part that Keras's backend compiles, where it is not heard"
    return "was not called for this input"
