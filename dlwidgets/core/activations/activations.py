"""What the layers of a model put out for given inputs."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..models.borrowed import device_of
from ..models.inspecting import inspecting
from ..models.walk import kind_of
from ..trees import call, tree_map
from .choosing import Layers, choose, layer_paths
from .outputs import described, layer_of, parts
from .statistics import Statistics, statistics

if TYPE_CHECKING:
    import pandas as pd


class Activations(dict[str, torch.Tensor]):
    """Path -> tensor, in the order in which the layers ran; and in `missing`, path -> why there is none.

    Attributes
    ----------
    missing : layers that were asked for and gave no tensor, each with the reason, a sentence.
    output : what the model itself returned.
    kinds : for each key, the class name of the layer that put it out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.missing: dict[str, str] = {}
        self.output: Any = None
        self.kinds: dict[str, str] = {}

    def parts(self, path: str) -> list[str]:
        """Return the keys of the layer at `path`: its first tensor, further ones, further calls."""
        return [key for key in self if layer_of(key) == path]

    def statistics(self) -> dict[str, Statistics]:
        """Return mean, deviation, share of zeros and of non-finite values of each tensor."""
        return {key: statistics(tensor) for key, tensor in self.items()}

    def to_frame(self) -> pd.DataFrame:
        """Return the statistics as a table, a row for each key, with `kind` and `shape`."""
        import pandas as pd

        rows = [
            (key, self.kinds[key], tuple(tensor.shape), *dataclasses.astuple(statistics(tensor)))
            for key, tensor in self.items()
        ]
        columns = ["layer", "kind", "shape", *(field.name for field in dataclasses.fields(Statistics))]
        return pd.DataFrame(rows, columns=columns).set_index("layer")

    def __repr__(self) -> str:
        names = [key or "(model)" for key in (*self, *self.missing)]
        shapes = ["×".join(map(str, tensor.shape)) or "scalar" for tensor in self.values()]
        words = [f"{shape}  {str(tensor.dtype)[6:]}" for shape, tensor in zip(shapes, self.values())]
        words += [f"– {reason}" for reason in self.missing.values()]
        width = max(map(len, names), default=0)
        return "\n".join(f"{name:<{width}}  {said}" for name, said in zip(names, words)) or "no activations"


class ForwardFailed(RuntimeError):
    """A model that could not run on the inputs: says in which layer, on which shapes and why.

    `layer` is the path of the layer that failed ("" for the model itself), the original exception its cause.
    """

    def __init__(self, sentence: str, layer: str) -> None:
        super().__init__(sentence)
        self.layer = layer


def activations(model: nn.Module, inputs: Any, layers: Layers = None) -> Activations:
    """Return what the chosen layers of `model` put out for `inputs`.

    The model runs once, in eval mode and without gradients, and is left as it was: modes, buffers, hooks,
    gradients, random generators (see `inspecting` for the two limits).

    Parameters
    ----------
    model : the model; it may be compiled, which is then passed over.
    inputs : a tensor or array, a tuple of positional inputs or a dict of keywords, with a batch axis as the
        model wants it. Moved to the model's device; floating arrays take its dtype, tensors keep theirs.
    layers : a path ("features.3", "" for the model itself), a glob over paths ("features.*", where ``*``
        also stands for dots), a module type (``nn.Conv2d``), or a list of these. None: every layer that
        holds no others.

    Returns
    -------
    Activations : a dict of tensors, detached copies on the model's device, in the order of the calls. What
        comes first is under the bare path: the first call of a layer, and the first tensor of an output that
        is a tuple, list, dict, dataclass or distribution. Further tensors are under ``path[1]``,
        ``path[1][0]``, ``path[hidden]``; further calls under ``path#2``, ``path#3``. Layers that gave nothing
        are in `.missing` with the reason.

    Raises
    ------
    TypeError : `model` is no module, or `layers` holds something else than text and types.
    ValueError : no layer matches, or the model has layers that are not built yet or hold no values.
    ForwardFailed : the model could not run on `inputs`.
    """
    modules = layer_paths(model)
    wanted = choose(modules, layers)
    _must_be_built(modules)
    found = Activations()
    calls = dict.fromkeys(wanted, 0)
    handles = []

    def keep(path: str, kind: str) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            calls[path] += 1
            again = f"#{calls[path]}" if calls[path] > 1 else ""
            for number, (suffix, tensor) in enumerate(parts(output)):
                key = path + again + (suffix if number else "")
                # A copy, since a following in-place layer (ReLU(inplace=True)) would change it.
                found[key] = tensor.detach().clone()
                found.kinds[key] = kind
            if path not in found:
                found.missing[path] = f"gives no tensor but {described(output)}"

        return hook

    with inspecting(model) as eager:
        try:
            for path in wanted:
                try:
                    handles.append(modules[path].register_forward_hook(keep(path, kind_of(modules[path]))))
                except (RuntimeError, AttributeError):  # parts of a TorchScript model take no hooks
                    continue
            ready = _ready(eager, inputs)
            try:
                found.output = call(eager, ready)
            except Exception as error:
                raise _failure(error, modules, ready) from error
        finally:
            for handle in handles:
                handle.remove()
    for path in wanted:
        if calls[path] == 0:
            found.missing[path] = _why_not_called(path, modules)
    return found


def _must_be_built(modules: Mapping[str, nn.Module]) -> None:
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


def _ready(model: nn.Module, inputs: Any) -> Any:
    """Bring arrays and device in order; the model decides about everything else."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    device = device_of(model)

    def tensor(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.as_tensor(value)
            value = value.to(dtype) if value.is_floating_point() else value
        return value

    if isinstance(inputs, Mapping):
        inputs = {key: tensor(value) for key, value in inputs.items()}
    elif isinstance(inputs, (tuple, list)):
        inputs = tuple(tensor(value) for value in inputs)
    return tree_map(lambda value: value.to(device), tensor(inputs))


def _failure(error: Exception, modules: Mapping[str, nn.Module], inputs: Any) -> ForwardFailed:
    """Say in which layer a forward failed: the innermost module whose forward is on the traceback."""
    paths = {id(module): path for path, module in modules.items()}
    layer = ""
    for frame, _line in traceback.walk_tb(error.__traceback__):
        inner = frame.f_locals.get("self")
        if frame.f_code.co_name == "forward" and id(inner) in paths:
            layer = paths[id(inner)]
    where = (
        f"layer {layer!r} ({kind_of(modules[layer])})" if layer else f"the forward of {kind_of(modules[''])}"
    )
    given = ", ".join("×".join(map(str, tensor.shape)) or "scalar" for _, tensor in parts(inputs))
    because = (str(error).strip().splitlines() or [""])[0].rstrip(".") or type(error).__name__
    given = given or "no tensor"
    return ForwardFailed(f"The model could not run on inputs of {given}: {where} said: {because}.", layer)


def _why_not_called(path: str, modules: Mapping[str, nn.Module]) -> str:
    module = modules[path]
    parent = modules.get(path.rpartition(".")[0])
    if isinstance(module, (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)):
        return f"only holds others ({kind_of(module)}) and is never called itself"
    if any(isinstance(modules[above], torch.jit.ScriptModule) for above in _above(path) if above in modules):
        return "runs inside a TorchScript model, whose layers cannot be watched"
    if isinstance(parent, nn.MultiheadAttention):
        return "has its weights used by the MultiheadAttention around it, which does not call it"
    return "was not called for this input"


def _above(path: str) -> list[str]:
    names = path.split(".")
    return ["", *(".".join(names[:end]) for end in range(1, len(names) + 1))]
