"""What the layers of a model put out, or are given, for given inputs."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from ..base.isolation import isolate_model
from ..base.outputs import layer_path
from ..base.trees import call_model, tree_tensors
from ..layers.axes import sample_axis
from ..layers.walk import kind_of
from .attention import ATTENTION, Attended
from .between import Between
from .cap import CAP, Keeper
from .failure import ForwardFailed, forward_failed, must_be_built, why_no_attention, why_not_called
from .inputs import brought
from .layer_choice import Layers, attention_of, choose, layer_paths, unmatched
from .result import Activations
from .saturation import ATTENDING, limits_of
from .watch import Seen, Watch

__all__ = ["Activations", "ForwardFailed", "activations"]


def activations(
    model: nn.Module,
    inputs: Any,
    layers: Layers = None,
    *,
    of: Literal["outputs", "inputs"] = "outputs",
    cap: int | None = CAP,
    functional: bool = False,
) -> Activations:
    """Return what the chosen layers of `model` put out for `inputs`, or what they are given.

    The model runs once, in eval mode and without gradients, and is left as it was: modes, buffers, hooks,
    gradients, random generators (see `inspecting` for the two limits).

    Parameters
    ----------
    model : the model; it may be compiled, which is then passed over.
    inputs : a tensor or array, a tuple of positional inputs or a dict of keywords, with a batch axis as the
        model wants it. Moved to the model's device; floating arrays take its dtype, tensors keep theirs.
    layers : a path ("features.3", "" for the model itself), a glob over paths ("features.*", where ``*``
        also stands for dots), a module type (``nn.Conv2d``), or a list of these. None: every layer that
        holds no others. With ``[attention]`` at its end, a path or glob means the attention weights alone:
        ``"*[attention]"`` are those of the whole model. A name that no path has may be that of a functional
        operation, as ``"add_1"`` or ``"relu*"``.
    of : "outputs", or "inputs" for what the layers are given; these are named likewise, by position or
        keyword: ``path``, ``path[1]``, ``path[mask]``.
    cap : the most bytes that are kept, 256 MB unless one says otherwise; None: as many as it takes. What
        exceeds it is sampled: all layers keep the first samples of the batch alone, and where one sample is
        still too much, the largest keep every second position, then every second channel, and so on. Each
        tensor that is not whole has a sentence in `.sampled`. `.output` is always whole.
    functional : whether to give what the model computes between its layers as well (``x + y``, ``F.relu``),
        each under the name that `torch.fx` has for it. The model is then traced, and its graph runs once
        more. Where it does not trace, `.untraced` says why.

    Returns
    -------
    Activations : a dict of tensors, detached copies on the model's device, in the order of the calls. What
        comes first is under the bare path: the first call of a layer, and the first tensor of an output that
        is a tuple, list, dict, dataclass or distribution. Further tensors are under ``path[1]``,
        ``path[1][0]``, ``path[hidden]``; further calls under ``path#2``, ``path#3``. A chosen layer that
        computes attention has its weights beside its output, under ``path[attention]``: samples x heads x
        queries x keys, rows that sum to one, whether the layer returns them or not (nn.MultiheadAttention,
        scaled_dot_product_attention, or a softmax that multiplies values). Layers that gave nothing are in
        `.missing` with the reason.

    Raises
    ------
    TypeError : `model` is no module, or `layers` holds something else than text and types.
    ValueError : no layer matches, or the model has layers that are not built yet or hold no values; or a
        functional operation is named, and the model does not trace.
    ForwardFailed : the model could not run on `inputs`.
    """
    modules = layer_paths(model)
    if of not in ("outputs", "inputs"):
        raise ValueError(f'of is "outputs" or "inputs", not {of!r}.')
    if cap is not None and cap <= 0:
        raise ValueError(f"cap is a number of bytes, at least 1, or None for no limit; {cap!r} is neither.")
    rest, attention = attention_of(layers)
    rest, operations = unmatched(modules, rest)
    wanted = choose(modules, rest)
    attending = choose(modules, attention)
    must_be_built(modules)
    ready = brought(model, inputs)
    between = Between(model, ready, modules, operations, functional)
    samples = Counter(tensor.shape[0] for tensor in tree_tensors(ready) if tensor.ndim).most_common(1)
    keeper = Keeper(cap, samples[0][0] if samples else None)
    found = Activations()

    def keep(seen: Seen) -> None:
        rows = sample_axis(seen.module, seen.tensor.shape, keeper.samples, seen.suffix, seen.channels)
        keeper.add(seen.key, seen.tensor, rows, seen.channels)
        found.kinds[seen.key], found.axes[seen.key] = kind_of(seen.module), seen.channels
        found.limits[seen.key] = limits_of(seen.module, seen.suffix) if of == "outputs" else None

    def attend(key: str, module: nn.Module, attended: Attended) -> None:
        keeper.add_attention(key, attended)
        found.kinds[key], found.axes[key], found.limits[key] = kind_of(module), 1, ATTENDING

    watch = Watch(
        modules,
        wanted,
        keep,
        of=of,
        attending=dict.fromkeys((*wanted, *attending)) if of == "outputs" else attending,
        attention=attend,
        samples=keeper.samples,
    )
    with isolate_model(model) as eager, watch.listening():
        try:
            found.output = call_model(eager, ready)
        except Exception as error:
            raise forward_failed(error, modules, ready) from error
    before = _in_order(keeper.tensors())
    between.run(keeper, found)
    kept = keeper.tensors()
    found.update((key, kept[key]) for key in between.placed(before))
    found.sampled, found.untraced = keeper.sampled(), between.untraced
    _say_what_is_missing(found, modules, watch, wanted, attention)
    return found


def _say_what_is_missing(
    found: Activations,
    modules: Mapping[str, nn.Module],
    watch: Watch,
    wanted: list[str],
    attention: list[str],
) -> None:
    for path in wanted:
        if watch.calls[path] == 0:
            found.missing[path] = why_not_called(path, modules, watch.used_by.get(path))
        elif path not in found:
            found.missing[path] = watch.empty.get(path, "gave no tensor in its first call")
    for path, reason in watch.unfollowed.items():
        found.missing.setdefault(path + ATTENTION, reason)
    for path in attention:
        if path not in modules and not any(fnmatch.fnmatchcase(one, path) for one in watch.attended):
            found.missing[path + ATTENTION] = "is met by no layer that computes attention in this forward"
        elif path in modules and path + ATTENTION not in found:
            found.missing.setdefault(
                path + ATTENTION,
                why_no_attention(path, modules)
                if watch.calls[path]
                else why_not_called(path, modules, watch.used_by.get(path)),
            )


def _in_order(keys: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the keys with the attention of a layer behind its output, though it was computed before."""
    order = [key for key in keys if not key.endswith(ATTENTION)]
    places = {key: number for number, key in enumerate(keys)}
    for key in keys:
        if key.endswith(ATTENTION):
            own = [at for at, other in enumerate(order) if layer_path(other) == layer_path(key)]
            later = [at for at, other in enumerate(order) if places[other] > places[key]]
            order.insert(own[-1] + 1 if own else min(later, default=len(order)), key)
    return order
