"""What the layers of a model put out for given inputs."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .borrowed import device_of
from .inspecting import inspecting
from .statistics import Statistics, statistics
from .trees import call, tree_map

if TYPE_CHECKING:
    import pandas as pd

#: How one names layers: a path, a glob over paths, a module type, or several of these.
Layers = str | type | Iterable["str | type"] | None


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
        """Return the keys that belong to the layer at `path`: its first tensor, further ones, further calls."""
        return [key for key in self if layer_of(key) == path]

    def parts(self, path: str) -> list[str]:
        """Return the keys that belong to the layer at `path`: its first tensor, further ones, further calls."""
        return [key for key in self if layer_of(key) == path]

    def statistics(self) -> dict[str, Statistics]:
        """Return mean, deviation, share of zeros and of non-finite values of each tensor."""
        return {key: statistics(tensor) for key, tensor in self.items()}

    def to_frame(self) -> pd.DataFrame:
        """Return the statistics as a table, a row for each key, with `kind` and `shape`."""
        import pandas as pd

        rows = [
            {"layer": key, "kind": self.kinds[key], "shape": tuple(tensor.shape), **dataclasses.asdict(statistics(tensor))}
            for key, tensor in self.items()
        ]
        columns = ["layer", "kind", "shape", *(field.name for field in dataclasses.fields(Statistics))]
        return pd.DataFrame(rows, columns=columns).set_index("layer")

    def __repr__(self) -> str:
        names = [key or "(model)" for key in (*self, *self.missing)]
        width = max(map(len, names), default=0)
        lines = [
            f"{key or '(model)':<{width}}  {'×'.join(map(str, tensor.shape)) or 'scalar'}  {str(tensor.dtype)[6:]}"
            for key, tensor in self.items()
        ]
        lines += [f"{path or '(model)':<{width}}  – {reason}" for path, reason in self.missing.items()]
        return "\n".join(lines) or "no activations"


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
        model wants it. Moved to the model's device; floating arrays take the model's dtype, tensors keep theirs.
    layers : a path ("features.3", "" for the model itself), a glob over paths ("features.*", where ``*`` also
        stands for dots), a module type (``nn.Conv2d``), or a list of these. None: every layer that holds no others.

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
    wanted = _choose(modules, layers)
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
                found.missing[path] = f"gives no tensor but {_described(output)}"

        return hook

    with inspecting(model) as eager:
        try:
            for path in wanted:
                try:
                    handles.append(modules[path].register_forward_hook(keep(path, _kind(modules[path]))))
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


def layer_paths(model: nn.Module) -> dict[str, nn.Module]:
    """Return path -> layer, the model itself under "", a layer used under two paths under both.

    Raises
    ------
    TypeError : `model` is no module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"activations wants a torch.nn.Module, not {type(model).__name__}.")
    return dict(getattr(model, "_orig_mod", model).named_modules(remove_duplicate=False))


def layer_of(key: str) -> str:
    """Return the path of the layer behind a key of `Activations`: "lstm" for "lstm#2[1][0]"."""
    return key.split("#", 1)[0].split("[", 1)[0]


def statistics(tensor: torch.Tensor) -> Statistics:
    """Return mean, standard deviation (divided by n), share of zeros and of non-finite values of `tensor`."""
    values = real(tensor).flatten()
    if values.numel() == 0:
        return Statistics(float("nan"), float("nan"), 0.0, 0.0)
    finite = values.isfinite()
    whole = bool(finite.all())
    # In double precision: the squares of float16 overflow, and a large mean would swallow a small deviation.
    kept = (values if whole else values[finite]).to(torch.float64 if values.device.type != "mps" else torch.float32)
    std, mean = torch.std_mean(kept, correction=0) if kept.numel() else (torch.tensor(float("nan")),) * 2
    return Statistics(
        mean=float(mean),
        std=float(std),
        zeros=float((values == 0).double().mean() if values.device.type != "mps" else (values == 0).float().mean()),
        nonfinite=0.0 if whole else 1.0 - float(finite.sum()) / values.numel(),
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


def parts(output: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each tensor of a layer's output with what tells it apart: "", "[1]", "[1][0]", "[hidden]"."""
    if isinstance(output, torch.Tensor):
        if not output.is_nested:
            yield "", output
        return
    if isinstance(output, Mapping):
        entries: Iterable[tuple[Any, Any]] = output.items()
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        entries = zip(output._fields, output, strict=True)
    elif isinstance(output, (tuple, list)):
        entries = enumerate(output)
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        entries = ((field.name, getattr(output, field.name)) for field in dataclasses.fields(output))
    elif isinstance(output, torch.distributions.Distribution):
        entries = ((name, getattr(output, name, None)) for name in output.arg_constraints)
    else:
        return
    for name, value in entries:
        for rest, tensor in parts(value):
            yield f"[{name}]{rest}", tensor


def _choose(modules: Mapping[str, nn.Module], layers: Layers) -> list[str]:
    # A layer used under two paths is meant once, unless it is asked for by its other path.
    first = {id(module): path for path, module in reversed(modules.items())}
    once = {path: module for path, module in modules.items() if first[id(module)] == path}
    if layers is None:
        return [path for path, module in once.items() if next(module.children(), None) is None]
    if isinstance(layers, (str, type)) or not isinstance(layers, Iterable):
        layers = [layers]
    wanted: dict[str, None] = {}
    for layer in layers:
        if isinstance(layer, str):
            matches = [layer] if layer in modules else [path for path in once if fnmatch.fnmatchcase(path, layer)]
            if not matches:
                raise ValueError(no_such_layer(layer, modules))
        elif isinstance(layer, type):
            matches = [path for path, module in once.items() if isinstance(module, layer)]
            if not matches:
                kinds = ", ".join(dict.fromkeys(_kind(module) for module in modules.values()))
                raise ValueError(f"The model has no layer of type {layer.__name__}; it has {kinds}.")
        else:
            raise TypeError(f"A layer is named by its path, a glob or a module type, not by {layer!r}.")
        wanted.update(dict.fromkeys(matches))
    return list(wanted)


def no_such_layer(layer: str, modules: Mapping[str, nn.Module]) -> str:
    """Return the sentence that says so, with the layers whose paths are close to `layer`."""
    paths = [path for path in modules if path]
    close = difflib.get_close_matches(layer, paths, n=3, cutoff=0.5)
    # "conv1" is close to "features.stem.conv1" in a person's eyes, though not in letters.
    ends = [path for path in paths if path.rsplit(".", 1)[-1] == layer.rsplit(".", 1)[-1]]
    near = list(dict.fromkeys([*ends[:3], *close]))[:3]
    if near:
        return f"The model has no layer {layer!r}; close to it are {', '.join(map(repr, near))}."
    some = ", ".join(map(repr, paths[:5])) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
    return f"The model has no layer {layer!r}; it has {some or 'no layers inside'}."


def _must_be_built(modules: Mapping[str, nn.Module]) -> None:
    for path, module in modules.items():
        tensors = [t for t in (*module._parameters.values(), *module._buffers.values()) if t is not None]
        if any(is_lazy(tensor) for tensor in tensors):
            raise ValueError(
                f"Layer {path!r} ({_kind(module)}) is not built yet; run the model once on a batch, "
                "since looking at it must not build it."
            )
        if any(tensor.is_meta for tensor in tensors):
            raise ValueError(
                f"Layer {path!r} ({_kind(module)}) is on the meta device and holds no values; "
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
    where = f"layer {layer!r} ({_kind(modules[layer])})" if layer else f"the forward of {_kind(modules[''])}"
    given = ", ".join("×".join(map(str, tensor.shape)) or "scalar" for _, tensor in parts(inputs))
    because = (str(error).strip().splitlines() or [""])[0].rstrip(".") or type(error).__name__
    return ForwardFailed(f"The model could not run on inputs of {given or 'no tensor'}: {where} said: {because}.", layer)


def _why_not_called(path: str, modules: Mapping[str, nn.Module]) -> str:
    module = modules[path]
    parent = modules.get(path.rpartition(".")[0])
    if isinstance(module, (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)):
        return f"only holds others ({_kind(module)}) and is never called itself"
    if any(isinstance(modules[above], torch.jit.ScriptModule) for above in _above(path) if above in modules):
        return "runs inside a TorchScript model, whose layers cannot be watched"
    if isinstance(parent, nn.MultiheadAttention):
        return "has its weights used by the MultiheadAttention around it, which does not call it"
    return "was not called for this input"


def _above(path: str) -> list[str]:
    names = path.split(".")
    return ["", *(".".join(names[:end]) for end in range(1, len(names) + 1))]


def _described(output: Any) -> str:
    if isinstance(output, torch.Tensor):
        return "a nested one"
    return "None" if output is None else f"a {type(output).__name__}"


def _kind(module: nn.Module) -> str:
    return getattr(module, "original_name", None) or type(module).__name__
