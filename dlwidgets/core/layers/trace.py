"""A trace of one forward: layers run, their shapes and costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import _disable_current_modes

from ..base.outputs import named_tensors
from ..base.trees import call_model, tree_tensors
from .operations import Functions, Operations, TensorOperation
from .output_cache import OutputCache
from .stand_in import fake_tensor
from .walk import Layer

#: What tells a tensor apart from others in the same output, and its shape.
Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass
class Record:
    """What one layer did in the forward, summed over its calls.

    Attributes
    ----------
    order : the number of its first call among all calls; None if it was not called.
    inputs, outputs : the tensors of its first call.
    whole : whether the output of that call is a tensor by itself.
    own_macs, macs : of the operations that ran in it but in no layer inside, and of all that ran in it.
    activation_bytes : the memory of what the layers in it put out: see `Trace`.
    varied : whether another call had other shapes.
    dtype : of the first output.
    built : the parameters that a lazy layer would have, by name, as shapes.
    """

    order: int | None = None
    calls: int = 0
    inputs: Shapes = ()
    outputs: Shapes = ()
    whole: bool = False
    own_macs: int = 0
    macs: int = 0
    activation_bytes: int = 0
    varied: bool = False
    dtype: torch.dtype | None = None
    built: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass
class Failure:
    """Where a forward failed.

    Attributes
    ----------
    path : the innermost layer whose forward was running.
    inputs : the tensors that layer had been given, positional first, by name or position.
    operation : the operation that failed; None where python code did.
    """

    path: str
    inputs: dict[str, Any]
    operation: TensorOperation | None
    error: Exception


class Trace:
    """Runs a stand-in of a model once and records its layers.

    A layer that calls no layer inside puts out memory: each of its outputs counts its bytes, except those
    that share memory with an input or a weight (in place, a view). A layer that calls others has the sum.

    Attributes
    ----------
    records : path -> Record.
    cache : the layers' outputs so far; None where they have values.
    uncounted : operations that may hold MACs but have no formula -> the paths of the layers they ran in.
    failure : where the forward failed, or None.
    """

    def __init__(self, twin: nn.Module, layers: Sequence[Layer], mode: FakeTensorMode | None = None) -> None:
        self.records: dict[str, Record] = {}
        self.uncounted: dict[str, dict[str, None]] = {}
        self.failure: Failure | None = None
        self.operation: TensorOperation | None = None
        self._twin, self._mode = twin, mode
        self.cache = OutputCache(mode) if mode is not None else None
        self._stack: list[_Frame] = []
        self._calls = 0
        self._places: dict[int, list[Layer]] = {}
        self._modules: dict[str, nn.Module] = {}
        for layer in layers:
            module = twin if layer.parent is None else self._modules[layer.parent]._modules[layer.name]
            self.records[layer.path] = Record()
            self._modules[layer.path] = module
            self._places.setdefault(id(module), []).append(layer)
            if not layer.again and not isinstance(module, torch.jit.ScriptModule):
                # On the instance, so that a layer whose forward is called directly is seen as well.
                module.__dict__["forward"] = _Listener(self, module)

    def run(self, inputs: Any) -> Any:
        """Call the stand-in on `inputs` (see `trees.call`) and return what it returns.

        Raises
        ------
        Exception : what the forward raised; `failure` then says where.
        """
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            if self._mode is not None:
                stack.enter_context(self._mode)
            stack.enter_context(Operations(self))
            stack.enter_context(Functions(self, whole_recurrences=self.fake))
            try:
                if isinstance(self._twin, torch.jit.ScriptModule):
                    with self.entered(self._twin, (inputs,), {}) as frame:
                        frame.output = call_model(self._twin, inputs)
                    return frame.output
                return call_model(self._twin, inputs)
            except Exception as error:
                if self.failure is None or self.failure.error is not error:
                    self.failure = Failure("", {}, self.operation, error)
                raise

    def module(self, path: str) -> nn.Module:
        """Return the stand-in's layer at `path`."""
        return self._modules[path]

    @property
    def fake(self) -> bool:
        """Whether the stand-in's tensors hold no values."""
        return self._mode is not None

    def count(self, macs: int) -> None:
        """Add MACs to the running layer and to those around it."""
        if self._stack:
            self.records[self._stack[-1].path].own_macs += macs
        for path in self._running():
            self.records[path].macs += macs

    def leave_uncounted(self, name: str) -> None:
        """Note an operation whose MACs are not known."""
        self.uncounted.setdefault(name, {})[self._stack[-1].path if self._stack else ""] = None

    def _running(self) -> dict[str, None]:
        return dict.fromkeys(frame.path for frame in self._stack)

    @contextmanager
    def entered(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[_Frame]:
        """Record a call of `module`, whose output is put into the frame."""
        if self._stack:
            self._stack[-1].alone = False
        frame = _Frame(self._place(module).path, module)
        record = self.records[frame.path]
        given = dict(_named(args, kwargs))
        shapes = _shapes(given.items())
        if record.calls == 0:
            record.order, record.inputs = self._calls, shapes
        elif record.inputs != shapes:
            record.varied = True
        self._calls += 1
        record.calls += 1
        self._stack.append(frame)
        try:
            if any(is_lazy(tensor) for tensor in (*module._parameters.values(), *module._buffers.values())):
                record.built = self._build(module, args, kwargs)
            yield frame
        except Exception as error:
            if self.failure is None or self.failure.error is not error:
                self.failure = Failure(frame.path, given, self.operation, error)
            raise
        finally:
            self._stack.pop()
        found = list(named_tensors(frame.output))
        if record.calls == 1:
            record.outputs = _shapes(found)
            record.whole = isinstance(frame.output, torch.Tensor)
            record.dtype = found[0][1].dtype if found else None
        elif record.outputs != _shapes(found):
            record.varied = True
        if frame.alone:
            size = _new_bytes((tensor for _, tensor in found), (*given.values(), *_weights(module)))
            for path in {**self._running(), frame.path: None}:
                self.records[path].activation_bytes += size

    def _place(self, module: nn.Module) -> Layer:
        """Return the place that a call of a shared module means.

        The one nearest to the layer that calls; among equals the one called least, so that an activation that
        a Sequential holds twice is counted once for each.
        """
        places = self._places[id(module)]
        if len(places) == 1:
            return places[0]
        caller = self._stack[-1].path.split(".") if self._stack and self._stack[-1].path else []

        def distance(layer: Layer) -> tuple[int, int]:
            steps = (layer.parent or "").split(".") if layer.parent else []
            near = sum(1 for _ in _common(steps, caller))
            return -near, self.records[layer.path].calls

        return min(places, key=distance)

    def _build(self, module: nn.Module, args: Any, kwargs: Any) -> dict[str, tuple[int, ...]]:
        """Build a lazy layer of the stand-in; return its parameters' shapes."""
        lazy = [name for name, tensor in module._parameters.items() if tensor is not None and is_lazy(tensor)]
        device = next(
            (tensor.device for tensor in tree_tensors((*args, *kwargs.values()))), torch.device("cpu")
        )
        if self._mode is None:
            module.initialize_parameters(*args, **kwargs)  # type: ignore[operator]
        else:
            with _disable_current_modes():
                module.initialize_parameters(*args, **kwargs)  # type: ignore[operator]
            for name in lazy:
                built = module._parameters[name]
                fake = fake_tensor(built, self._mode, device)
                module._parameters[name] = nn.Parameter(fake, requires_grad=built.requires_grad)
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_meta:
                    module._buffers[name] = fake_tensor(buffer, self._mode, device)
        if module.cls_to_become is not None:  # type: ignore[union-attr]
            module.__class__ = module.cls_to_become  # type: ignore[assignment]
        return {name: tuple(module._parameters[name].shape) for name in lazy}


@dataclass
class _Frame:
    """A layer's forward that is running."""

    path: str
    module: nn.Module
    alone: bool = True
    output: Any = None


class _Listener:
    """Takes the place of a layer's forward and records its calls.

    No closure, which an exception's frames would hold on to.
    """

    def __init__(self, trace: Trace, module: nn.Module) -> None:
        update_wrapper(self, module.forward)
        self._trace, self._module = trace, module
        # A forward that somebody has replaced may do anything.
        self._cache = None if "forward" in vars(module) else trace.cache
        # What was compiled was so for other inputs than fake ones.
        self._forward: Callable[..., Any] = getattr(module, "_orig_mod", module.forward)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._trace.entered(self._module, args, kwargs) as frame:
            cache = self._cache
            key = cache.key(self._module, args, kwargs) if cache is not None else None
            if cache is None or key is None:
                frame.output = self._forward(*args, **kwargs)
            elif (known := cache.output(key)) is not None:
                frame.output, macs = known
                self._trace.count(macs)
            else:
                record = self._trace.records[frame.path]
                before = record.own_macs
                frame.output = self._forward(*args, **kwargs)
                cache.keep(key, self._module, args, frame.output, record.own_macs - before)
        return frame.output


def _named(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in (*enumerate(args), *kwargs.items()):
        for rest, tensor in named_tensors(value):
            yield f"{name}{rest}", tensor


def _shapes(named: Iterable[tuple[str, torch.Tensor]]) -> Shapes:
    return tuple((name, tuple(map(int, tensor.shape))) for name, tensor in named)


def _common(one: Sequence[str], other: Sequence[str]) -> Iterator[str]:
    for left, right in zip(one, other):
        if left != right:
            return
        yield left


def _weights(module: nn.Module) -> Iterator[torch.Tensor]:
    yield from (
        tensor for tensor in (*module._parameters.values(), *module._buffers.values()) if tensor is not None
    )


def _new_bytes(put_out: Iterable[torch.Tensor], known: Iterable[torch.Tensor]) -> int:
    seen = {_storage(tensor)[0] for tensor in known}
    total = 0
    for tensor in put_out:
        memory, size = _storage(tensor)
        if memory not in seen:
            total += min(size, tensor.numel() * tensor.element_size())
            seen.add(memory)
    return total


def _storage(tensor: torch.Tensor) -> tuple[int, int]:
    """Return identity and bytes of a tensor's memory; sparse ones have none."""
    try:
        memory = tensor.untyped_storage()
        return memory._cdata, memory.nbytes()
    except (NotImplementedError, RuntimeError):
        return id(tensor), tensor.numel() * tensor.element_size()
