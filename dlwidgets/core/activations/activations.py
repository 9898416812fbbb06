"""The activations of a model: outputs or inputs of its layers."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial, update_wrapper
from typing import Any, Literal

import torch
from torch import nn

from ..base.isolation import isolate_model, run_forward
from ..base.outputs import between_transforms, describe_output, layer_path, named_tensors, run_to_end
from ..base.slices import pause
from ..base.trees import Takes, call_model, tree_map, tree_tensors
from ..base.unbound import hear_unbound
from ..base.words import quote_error
from ..layers.axes import Known, channel_axis, sample_axis
from ..layers.example_input import as_tensors
from ..layers.foreign import build_by, is_unbuilt
from ..layers.framework import adopt, computes_elsewhere, framework_of
from ..layers.walk import kind_of, walk
from .attention import ATTENTION, Attended, AttentionMode
from .cap import CAP, CappedTensors
from .distribution import ATTENDING, limits_of
from .forward_pass import ForwardFailed, forward_failed, must_be_built, on_device_of, why_not_called
from .functional import FunctionalOperations
from .layer_choice import Layers, by_path, choose, layer_paths, matching, split_attention, split_operations
from .result import Activations

#: Why there is no attention of a model that torch does not compute.
_UNHEARD = "has attention weights that are seen where torch computes alone: on Keras's torch backend"

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
    """Return what the chosen layers of `model` put out for `inputs`.

    Or what they are given. The model runs once, in eval mode and without gradients, and is left as it was:
    modes, buffers, hooks, gradients, random generators (see `isolate_model` for the two limits). Of a Keras model that
    is not built yet a copy runs, with the weights that the model itself will be built with.

    Parameters
    ----------
    model : the model; it may be compiled, which is then passed over.
    inputs : a tensor or array, a tuple of positional inputs or a dict of keywords, with a batch axis as the
        model wants it. Moved to the model's device; floating arrays take its dtype, tensors keep theirs.
    layers : a path ("features.3", "" for the model itself), a glob over paths ("features.*", where ``*``
        also stands for dots), a module type (``nn.Conv2d``), a layer itself, or a list of these. None: every
        layer that holds no others. With ``[attention]`` at its end, a path or glob means the attention weights alone:
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
    TypeError : `model` is no module, or `layers` holds something else than text, types and layers.
    ValueError : no layer matches, or the model has layers that are not built yet or hold no values; or a
        functional operation is named, and the model does not trace.
    ForwardFailed : the model could not run on `inputs`.
    """
    model = adopt(model)
    # Layers are handed over of the model, which may not be what runs: one without shapes is built as a copy.
    layers = by_path(layer_paths(model), layers)
    model = _with_shapes(model, inputs)
    modules = layer_paths(model)
    if of not in ("outputs", "inputs"):
        raise ValueError(f'of is "outputs" or "inputs", not {of!r}.')
    if cap is not None and cap <= 0:
        raise ValueError(f"cap is a number of bytes, at least 1, or None for no limit; {cap!r} is neither.")
    layers, names = split_operations(modules, layers)
    recording = Recording(model, modules, inputs, layers, of, cap)
    operations = FunctionalOperations(model, recording.inputs, modules, names, functional)
    with isolate_model(model) as eager:
        recording.run(eager)
    return recording.result(operations)


def _with_shapes(model: Any, inputs: Any) -> Any:
    """Return a built copy of a model without shapes, else the model."""
    if not isinstance(model := adopt(model), nn.Module) or not is_unbuilt(layers := walk(model)):
        return model
    try:
        return (build_by(layers, as_tensors(model, inputs)) or (model,))[0]
    except ValueError as error:
        raise ForwardFailed(f"The model is not built yet, and not to be built by these inputs: {error}", "") from error


class Recording:
    """One forward of a model, heard by hooks on its layers.

    Arguments are as for `activations`; `modules` are the layers of `model` by path, `.inputs` the inputs on
    its device.
    """

    def __init__(
        self,
        model: nn.Module,
        modules: Mapping[str, nn.Module],
        inputs: Any,
        layers: Layers,
        of: Literal["outputs", "inputs"] = "outputs",
        cap: int | None = CAP,
    ) -> None:
        names, self._attention = split_attention(layers)
        self._modules, self._of = modules, of
        self._wanted, attending = choose(modules, names), choose(modules, self._attention)
        must_be_built(modules)
        self.inputs, self._is_list = on_device_of(model, inputs), isinstance(inputs, list)
        self._cap = cap
        if of == "outputs":
            attending = list(dict.fromkeys((*self._wanted, *attending)))
        self._thread = threading.get_ident()
        #: Identity of a layer -> its paths that are wanted, for its tensors or its attention.
        self._wanted_of: dict[int, list[str]] = {}
        self._attending_of: dict[int, list[str]] = {}
        for paths, paths_of in ((self._wanted, self._wanted_of), (attending, self._attending_of)):
            for path in paths:
                paths_of.setdefault(id(modules[path]), []).append(path)
        #: Identity of a weight -> the path of its layer; and that -> the layer that used it, not calling it.
        self._owners = {
            id(tensor): path
            for path in reversed(self._wanted)
            for tensor in modules[path]._parameters.values()
            if tensor is not None
        }
        self._listed = (*self._wanted, *attending)
        #: Whether functions are followed. It takes long, and torch's own layers without others attend to nothing.
        self._follows = not all(_is_plain(modules[path]) for path in self._listed)
        #: Layers that the first run has not seen called.
        self._missed: list[nn.Module] = []
        self._begin()

    def _begin(self) -> None:
        """Have nothing recorded."""
        lengths = Counter(tensor.size(0) for tensor in tree_tensors(self.inputs) if tensor.ndim)
        self._store = CappedTensors(self._cap, lengths.most_common(1)[0][0] if lengths else None)
        self._found = Activations()
        #: The layers that run now, and whether the forward of each has begun.
        self._stack: list[list[Any]] = []
        #: Identity of a tensor -> where its channels are; an identity may come again once its tensor is gone.
        self._known: dict[int, tuple[weakref.ref[torch.Tensor], Known]] = {}
        self._used_by: dict[str, str] = {}
        self._calls = dict.fromkeys(self._listed, 0)
        self._attended: Counter[str] = Counter()
        #: Why there is no tensor, or no attention, though the layer was called.
        self._empty: dict[str, str] = {}
        self._unfollowed: dict[str, str] = {}
        #: Identities of layers that ran on other threads.
        self._elsewhere: set[int] = set()

    def run(self, eager: nn.Module) -> None:
        """Run the model once, which `isolate_model` has yielded; or ForwardFailed."""
        listen = partial(self._listen, eager)
        try:
            self._found.output = run_forward(eager, listen)
        except ForwardFailed as first:
            if not self._is_list or len(Takes.of(eager).needed) > 1:
                raise
            # The list may be the one argument that is needed: images to find things in.
            self.inputs = (list(self.inputs),)
            try:
                self._found.output = run_forward(eager, listen)
            except ForwardFailed:
                raise first from first.__cause__
        if not self._follows and not all(self._calls[path] for path in self._wanted):
            # Who uses the weights of a layer without calling it is seen only so.
            self._follows = True
            self._missed = [self._modules[path] for path in self._wanted if not self._calls[path]]
            self._found.output = run_forward(eager, listen)

    def _listen(self, eager: nn.Module) -> Any:
        self._begin()
        with ExitStack() as stack:
            for module in {id(module): module for module in self._modules.values()}.values():
                try:
                    stack.enter_context(module.register_forward_pre_hook(self._before, with_kwargs=True))
                    after = module.register_forward_hook(self._after, with_kwargs=True, always_call=True)
                    stack.enter_context(after)
                except (RuntimeError, AttributeError):  # parts of a TorchScript model take no hooks
                    continue
                if isinstance(module, torch.jit.ScriptModule):
                    continue
                # Where a layer's forward is called directly, none of its hooks is.
                own = vars(module).get("forward")
                listening = partial(self._forward, module, module.forward)
                vars(module)["forward"] = update_wrapper(listening, module.forward)  # with its signature
                if own is None:
                    stack.callback(vars(module).pop, "forward", None)
                else:
                    stack.callback(vars(module).update, forward=own)
            if self._follows:
                stack.enter_context(AttentionMode(self, set(self._owners), self._store.samples))
            try:
                if self._missed:
                    stack.enter_context(hear_unbound(self._missed, self._hear))
                # Copies, since the model may write into what it is given.
                return run_to_end(call_model(eager, tree_map(torch.clone, self.inputs)))[0]
            except Exception as error:
                raise forward_failed(error, self._modules, self.inputs) from error

    def result(self, operations: FunctionalOperations | None = None) -> Activations:
        """Return what was kept, with those of `operations` between the layers."""
        found, modules = self._found, self._modules
        places = {key: at for at, key in enumerate(self._store.tensors())}
        ends = {layer_path(key): at for key, at in places.items() if not key.endswith(ATTENTION)}

        def place(key: str) -> tuple[int, int]:
            # The attention of a layer stands behind its output, though it was computed before.
            at = places[key]
            return (ends.get(layer_path(key), at), at) if key.endswith(ATTENTION) else (at, -1)

        keys = sorted(places, key=place)
        if operations is not None:
            operations.run(self._store, found)
            keys, found.untraced = operations.placed(keys), operations.untraced
        kept = self._store.tensors()
        found.update((key, kept[key]) for key in keys)
        found.sampled = self._store.sampled()
        for path in self._wanted:
            if self._calls[path] == 0:
                why = why_not_called(path, modules, self._used_by.get(path))
                elsewhere = id(modules[path]) in self._elsewhere
                found.missing[path] = "ran on another thread, where it is not watched" if elsewhere else why
            elif path not in found:
                found.missing[path] = self._empty.get(path, "gave no tensor in its first call")
        for path, reason in self._unfollowed.items():
            found.missing.setdefault(path + ATTENTION, reason)
        for path in self._attention:
            if path in modules and path + ATTENTION not in found:
                reason = (
                    f"computes no attention weights by itself ({kind_of(modules[path])} calls neither "
                    "scaled_dot_product_attention nor a softmax that weighs values)"
                )
                if not self._calls[path]:
                    reason = why_not_called(path, modules, self._used_by.get(path))
                elif computes_elsewhere(modules[path]):
                    reason = _UNHEARD
                found.missing.setdefault(path + ATTENTION, reason)
            elif path not in modules and not matching(self._attended, path):
                none = "is met by no layer that computes attention in this forward"
                found.missing[path + ATTENTION] = _UNHEARD if computes_elsewhere(modules[""]) else none
        return found

    # -- hooks

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        pause()
        if threading.get_ident() != self._thread:
            self._elsewhere.add(id(module))
            return
        self._stack.append([module, False])
        wanted = self._wanted_of.get(id(module), [])
        for path in dict.fromkeys(wanted + self._attending_of.get(id(module), [])):
            self._calls[path] += 1
        if self._of == "inputs" and wanted:
            given = {**dict(enumerate(args)), **kwargs}
            self._keep(module, list(named_tensors(given)), "is given no tensor but", given)

    def _after(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if threading.get_ident() != self._thread or not self._stack or self._stack[-1][0] is not module:
            return
        self._stack.pop()
        tensors = list(named_tensors(output))
        given = next((self._axis(tensor) for _, tensor in named_tensors((args, kwargs))), None)
        for _, tensor in tensors:
            # What a layer inside put out, and this one hands on, is known already.
            axis = channel_axis(module, tensor, given) if self._axis(tensor) is None else None
            if axis is not None:
                self._known[id(tensor)] = weakref.ref(tensor), (axis, tensor.ndim, tensor.shape[axis])
        if self._of == "outputs":
            self._keep(module, tensors, "gives no tensor but", output)

    def _forward(self, module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a layer's forward, which hooks have told of, or have not."""
        here = threading.get_ident() == self._thread
        if here and self._stack and self._stack[-1][0] is module and not self._stack[-1][1]:
            self._stack[-1][1], here = True, False
        if not here:
            return forward(*args, **kwargs)
        self._before(module, args, kwargs)
        self._stack[-1][1], output = True, None
        try:
            output = forward(*args, **kwargs)
        finally:
            self._after(module, args, kwargs, output)
        return output

    def _hear(self, module: nn.Module, args: Any, kwargs: Any) -> Callable[[Any], None]:
        self._before(module, tuple(args), kwargs)
        return partial(self._after, module, tuple(args), kwargs)

    def _axis(self, tensor: torch.Tensor) -> Known | None:
        known = self._known.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None

    def _keep(self, module: nn.Module, tensors: list[tuple[str, torch.Tensor]], verb: str, what: Any) -> None:
        found = self._found
        for path in self._wanted_of.get(id(module), ()):
            if not tensors:
                self._empty.setdefault(path, f"{verb} {describe_output(what)}")
            for number, (suffix, tensor) in enumerate(tensors):
                key = path + _again(self._calls[path]) + (suffix if number else "")
                known = self._axis(tensor)
                channels = known[0] if known is not None else channel_axis(module, tensor)
                rows = sample_axis(module, tensor.shape, self._store.samples, suffix, channels)
                # What is done with it is no part of the model's forward.
                with torch._C.DisableTorchFunction(), between_transforms():
                    self._store.add(key, tensor, rows, channels)
                found.kinds[key], found.axes[key] = kind_of(module), channels
                found.limits[key] = limits_of(module, suffix) if self._of == "outputs" else None

    # -- told by AttentionMode

    def watches(self) -> bool:
        """Say whether attention of the layer that runs now is wanted."""
        return bool(self._stack) and id(self._stack[-1][0]) in self._attending_of

    def attend(self, attended: Attended) -> None:
        """Keep what the layer that runs now attends to."""
        module, found = self._stack[-1][0], self._found
        for path in self._attending_of[id(module)]:
            self._attended[path] += 1
            key = path + _again(self._attended[path]) + ATTENTION
            self._store.add_attention(key, attended)
            found.kinds[key], found.axes[key], found.limits[key] = kind_of(module), 1, ATTENDING

    def fail(self, error: Exception) -> None:
        """Note that attention was computed, and could not be followed."""
        why = f"computes attention whose weights could not be followed: {quote_error(error)}"
        paths = self._attending_of.get(id(self._stack[-1][0]), ()) if self._stack else ()
        self._unfollowed.update(dict.fromkeys(paths, why))

    def use(self, weight: int) -> None:
        """Note that a function was given a layer's weights, by identity."""
        owner, running = self._owners[weight], self._stack[-1][0] if self._stack else None
        if owner not in self._used_by and running not in (None, self._modules[owner]):
            paths = (path for path, module in self._modules.items() if module is running)
            self._used_by[owner] = next(paths, "")


def _is_plain(module: nn.Module) -> bool:
    return framework_of(module).attends_to_nothing(module) and next(module.children(), None) is None


def _again(call: int) -> str:
    return f"#{call}" if call > 1 else ""
