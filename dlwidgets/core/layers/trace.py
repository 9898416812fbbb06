"""A trace of one forward: layers run, their shapes and costs."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import update_wrapper
from itertools import takewhile
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn.parameter import is_lazy
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import _disable_current_modes

from ..base.outputs import named_tensors, run_to_end
from ..base.slices import pause
from ..base.trees import call_model, tree_tensors
from ..base.unbound import hear_unbound
from .framework import framework_of, is_symbolic
from .operations import Functions, Operations, TensorOperation
from .stand_in import fake_tensor
from .unregistered import find_unregistered
from .walk import Layer

#: What tells a tensor apart from others in the same output, and its shape.
Shapes = tuple[tuple[str, tuple[int, ...]], ...]


#: Within it `Functions` is not asked about each shape that is read, which takes longer than reading it.
_unseen = torch._C.DisableTorchFunction

#: Calls of one layer, or operations, that only a loop has.
_LOOP, _LONG_LOOP = 32, 2_000
#: How long a forward is followed before it may be run instead, or run before it is followed [s]; and what an
#: operation costs that is followed; what run and watched on a slow core, with each value put out and MAC [s].
_PATIENCE, _FOLLOWED, _OPERATION, _VALUE, _MAC = 0.25, 3e-4, 3e-5, 3e-9, 3e-10


@dataclass
class Record:
    """What one layer did in the forward, summed over its calls."""

    order: int | None = None  #: The number of its first call among all calls; None if it was not called.
    calls: int = 0
    #: The tensors of its first call.
    inputs: Shapes = ()
    outputs: Shapes = ()
    whole: bool = False  #: Whether the output of that call is a tensor by itself.
    #: Of the operations that ran in it but in no layer inside, and of all that ran in it.
    own_macs: int = 0
    macs: int = 0
    activation_bytes: int = 0  #: The memory of what the layers in it put out: see `Trace`.
    varied: bool = False  #: Whether another call had other shapes.
    dtype: torch.dtype | None = None  #: Of the first output.
    #: The parameters that a lazy layer would have, by name, as shapes.
    built: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass
class Failure:
    """Where a forward failed."""

    path: str  #: The innermost layer whose forward was running.
    inputs: dict[str, Any]  #: The tensors that layer had been given, positional first, by name or position.
    operation: TensorOperation | None  #: The operation that failed; None where python code did.
    error: Exception


class Trace:
    """Runs a stand-in of a model once and records its layers.

    A layer that calls no layer inside puts out memory: each of its outputs counts its bytes, except those
    that share memory with an input or a weight (in place, a view). A layer that calls others has the sum.

    Attributes
    ----------
    records : path -> Record.
    modules : path -> the stand-in's layer.
    fake : whether the stand-in's tensors hold no values.
    cache : the layers' outputs so far; None where they have values.
    uncounted : operations that may hold MACs but have no formula -> the paths of the layers they ran in.
    failure : where the forward failed, or None.
    needs_values : whether an operation was met whose output depends on values.
    shapes_only : whether what runs is no part of the forward: see `for_shapes`.
    used : the attributes, by path, of layers that ran and are in no module's care: see `Unregistered`.
    """

    def __init__(
        self,
        twin: nn.Module,
        layers: Sequence[Layer],
        mode: FakeTensorMode | None = None,
        gradients: bool = False,
        pressed: bool = False,
    ) -> None:
        self.records: dict[str, Record] = {}
        self.modules: dict[str, nn.Module] = {}
        self.uncounted: dict[str, dict[str, None]] = {}
        self.failure: Failure | None = None
        self.operation: TensorOperation | None = None
        self.fake = mode is not None
        self.cache = OutputCache(mode) if mode is not None and not gradients else None
        self._twin, self._mode, self._gradients = twin, mode, gradients
        self._ended: tuple[nn.Module, _Frame] | None = None
        self._clock = _Clock(self.fake) if pressed else None
        self.used: set[str] = set()
        #: Identity of a weight -> its layer; and the layers whose weights were used before they were called.
        self._owners: dict[int, str] = {}
        self._used_outside: dict[str, None] = {}
        self._most = 0  # calls of one layer
        self.needs_values = self.shapes_only = False
        self._stack: list[_Frame] = []
        self._calls, self._thread = 0, threading.get_ident()
        self._places: dict[int, list[Layer]] = {}
        for layer in layers:
            module = twin if layer.parent is None else self.modules[layer.parent]._modules[layer.name]
            self.records[layer.path] = Record()
            self.modules[layer.path] = module
            self._places.setdefault(id(module), []).append(layer)
            above = self.modules.get(layer.parent or "") if layer.parent is not None else None
            if not isinstance(above, nn.MultiheadAttention):  # it uses those of what it holds
                self._owners.update((id(one), layer.path) for one in module._parameters.values())
            if not layer.again and not isinstance(module, torch.jit.ScriptModule):
                # On the instance, so that a layer whose forward is called directly is seen as well.
                module.__dict__["forward"] = _Listener(self, module)
                if module._forward_hooks:
                    module.register_forward_hook(self._amend)

        for one in find_unregistered(self.modules):
            for module in one.modules:
                module.register_forward_pre_hook(lambda *_, path=one.path: self.used.add(path))

    def run(self, inputs: Any, missed: Sequence[str] = ()) -> None:
        """Call the stand-in on `inputs` (see `trees.call_model`).

        Calls of the layers at `missed` are heard in another way, which takes longer.
        Raises Exception: what the forward raised; `failure` then says where.
        """
        with ExitStack() as stack:
            stack.enter_context(torch.set_grad_enabled(self._gradients))
            if self._mode is not None:
                stack.enter_context(self._mode)
            stack.enter_context(Operations(self))
            stack.enter_context(Functions(self, whole_recurrences=self.cache is not None))
            if missed:
                stack.enter_context(hear_unbound((self.modules[path] for path in missed), self._hear))
            try:
                if isinstance(self._twin, torch.jit.ScriptModule):
                    with self.entered(self._twin, (inputs,), {}) as frame:
                        frame.output = call_model(self._twin, inputs)
                else:
                    call_model(self._twin, inputs)
            except Exception as error:
                self._note_failure("", {}, error)
                raise

    def _hear(self, module: nn.Module, args: Sequence[Any], named: Mapping[str, Any]) -> Callable[[Any], None]:
        call = self.entered(module, args, named)
        frame = call.__enter__()

        def ended(output: Any) -> None:
            frame.output = output
            call.__exit__(None, None, None)

        return ended

    def missed(self) -> list[str]:
        """List the layers whose weights were used without a call of them."""
        return [path for path in self._used_outside if not self.records[path].calls]

    def use(self, values: Iterable[Any]) -> None:
        """Note what a function was given: maybe weights of another layer."""
        for value in values:
            if (path := self._owners.get(id(value))) is not None and not self.records[path].calls:
                self._used_outside[path] = None

    def run_to_end(self, output: Any) -> Any:
        """Run a forward that yields; note what cannot be run."""
        found, ended = run_to_end(output)
        if inspect.iscoroutine(output):
            output.close()
        elif ended:
            return found
        self.leave_uncounted("what is asked for later")
        return found

    @contextmanager
    def for_shapes(self) -> Iterator[None]:
        """Write nothing down within, where a framework finds out shapes."""
        before, self.shapes_only = self.shapes_only, True
        try:
            yield
        finally:
            self.shapes_only = before

    def tick(self, output: Any) -> None:
        """Note that an operation was followed; TooSlow: it should be run instead."""
        if self._clock is not None:
            self._clock.tick(output, self.records[""].macs, self._most)

    def count(self, macs: int) -> None:
        """Add MACs to the running layer and to those around it."""
        if self.shapes_only:
            return
        if self._stack:
            self.records[self._stack[-1].path].own_macs += macs
        for path in {frame.path for frame in self._stack}:
            self.records[path].macs += macs

    def leave_uncounted(self, name: str) -> None:
        """Note an operation whose MACs are not known."""
        if not self.shapes_only:
            self.uncounted.setdefault(name, {})[self._stack[-1].path if self._stack else ""] = None

    def _note_failure(self, path: str, given: dict[str, Any], error: Exception) -> None:
        if self.failure is None or self.failure.error is not error:
            self.failure = Failure(path, given, self.operation, error)

    @contextmanager
    def entered(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[_Frame]:
        """Record a call of `module`, whose output is put into the frame."""
        if self._stack:
            self._stack[-1].alone = False
        pause()
        frame = _Frame(self._find_place(module).path)
        if threading.get_ident() != self._thread:
            # Operations are seen on the thread of the trace alone.
            self.leave_uncounted("other threads")
        record = self.records[frame.path]
        with _unseen():
            given = {
                f"{name}{rest}": tensor
                for name, value in (*enumerate(args), *kwargs.items())
                for rest, tensor in named_tensors(value)
            }
            shapes = _shapes(given.items())
        if record.calls == 0:
            record.order, record.inputs = self._calls, shapes
        elif record.inputs != shapes:
            record.varied = True
        self._calls += 1
        record.calls += 1
        self._most = max(self._most, record.calls)
        self._stack.append(frame)
        try:
            if any(map(is_lazy, _held(module))):
                record.built = self._build(module, args, kwargs)
            yield frame
            self._count_stated(module, shapes, frame.output)
        except Exception as error:
            self._note_failure(frame.path, given, error)
            raise
        finally:
            self._stack.pop()
        self._ended = module, frame
        with _unseen():
            self._note_output(module, frame, record, given)

    def _count_stated(self, module: nn.Module, given: Shapes, output: Any) -> None:
        """Count what a layer computes outside torch."""
        macs, uncounted = framework_of(module).stated_macs(
            module, [shape for _, shape in given], [shape for _, shape in _shapes(named_tensors(output))]
        )
        self.count(macs)
        for name in uncounted:
            self.leave_uncounted(name)

    def _note_output(
        self, module: nn.Module, frame: _Frame, record: Record, given: Mapping[str, torch.Tensor]
    ) -> None:
        """Record what a layer has put out, and its memory."""
        found = list(named_tensors(frame.output))
        shapes = _shapes(found)
        if record.calls == 1:
            record.outputs, record.whole = shapes, isinstance(frame.output, torch.Tensor)
            record.dtype = found[0][1].dtype if found else None
        elif record.outputs != shapes:
            record.varied = True
        if frame.alone:
            size, seen = 0, {_storage(tensor)[0] for tensor in (*given.values(), *_held(module))}
            for _, tensor in found:
                memory, whole = _storage(tensor)
                if memory not in seen:
                    size += min(whole, tensor.numel() * tensor.element_size())
                    seen.add(memory)
            for path in {frame.path, *(around.path for around in self._stack)}:
                self.records[path].activation_bytes += size

    def _amend(self, module: nn.Module, args: Any, output: Any) -> None:
        """Record what a layer's own hooks have made of its output."""
        ended, self._ended = self._ended, None
        if ended is None or ended[0] is not module or output is ended[1].output:
            return
        record = self.records[ended[1].path]
        if record.calls == 1:
            record.outputs, record.whole = _shapes(named_tensors(output)), isinstance(output, torch.Tensor)

    def _find_place(self, module: nn.Module) -> Layer:
        """Find the place that a call of a shared module means.

        The one nearest to the layer that calls; among equals the one called least, so that an activation that
        a Sequential holds twice is counted once for each.
        """
        places = self._places[id(module)]
        caller = self._stack[-1].path.split(".") if self._stack and self._stack[-1].path else []

        def distance(layer: Layer) -> tuple[int, int]:
            steps = layer.parent.split(".") if layer.parent else []
            shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(steps, caller)))
            return -shared, self.records[layer.path].calls

        return places[0] if len(places) == 1 else min(places, key=distance)

    def _build(self, module: nn.Module, args: Any, kwargs: Any) -> dict[str, tuple[int, ...]]:
        """Build a lazy layer of the stand-in; return its parameters' shapes."""
        lazy = [name for name, tensor in module._parameters.items() if tensor is not None and is_lazy(tensor)]
        if self._mode is None:
            module.initialize_parameters(*args, **kwargs)  # type: ignore[operator]
        else:
            first = next(tree_tensors((*args, *kwargs.values())), None)
            device = torch.device("cpu") if first is None else first.device
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


class TooSlow(BaseException):
    """A forward is better run than followed, or followed than run.

    No Exception, which a model might catch.
    """


class _Clock:
    """Compares how long a forward takes, followed or run."""

    def __init__(self, fake: bool) -> None:
        self._fake = fake
        # Of this thread alone: what a busy machine takes tells nothing.
        self._began, self._operations, self._values = time.thread_time(), 0, 0

    def tick(self, output: Any, macs: int, calls: int) -> None:
        """Note an operation; TooSlow: the other way is faster by far.

        `calls` are those of the layer that was called most; what is no loop is followed to its end.
        """
        self._operations += 1
        if isinstance(output, torch.Tensor):
            self._values += output.numel()
        took = time.thread_time() - self._began
        if took < _PATIENCE or (self._fake and calls < _LOOP and self._operations < _LONG_LOOP):
            return
        other = self._operations * _FOLLOWED
        if self._fake:
            other = 3 * (self._operations * _OPERATION + self._values * _VALUE + macs * _MAC)
        if took > other:
            raise TooSlow


@dataclass
class _Frame:
    """A layer's forward that is running."""

    path: str
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
        self._forward = getattr(module, "_orig_mod", module.forward)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._trace.shapes_only or is_symbolic((*args, *kwargs.values())):
            with self._trace.for_shapes():
                return self._forward(*args, **kwargs)
        with self._trace.entered(self._module, args, kwargs) as frame:
            cache = self._cache
            with _unseen():
                key = cache.key(self._module, args, kwargs) if cache is not None else None
            if cache is None or key is None:
                frame.output = self._forward(*args, **kwargs)
                if not frame.path:
                    frame.output = self._trace.run_to_end(frame.output)
            elif (known := cache.output(key)) is not None:
                frame.output, macs = known
                self._trace.count(macs)
            else:
                record = self._trace.records[frame.path]
                before = record.own_macs
                frame.output = self._forward(*args, **kwargs)
                with _unseen():
                    cache.keep(key, self._module, args, frame.output, record.own_macs - before)
        return frame.output


#: Layers whose output depends, but for its values, on nothing than their arguments, their weights' shapes and
#: their input's shape. Subclasses may do otherwise.
_PLAIN = {
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm, nn.Embedding,
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Tanh,
    nn.Softmax,
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool2d,
}  # fmt: skip
_SIMPLE = (int, float, bool, str, tuple, type(None))


class OutputCache:
    """Keeps a stand-in's outputs, so that equal calls run once."""

    def __init__(self, mode: FakeTensorMode) -> None:
        self._mode = mode
        #: Of each call: shape, stride, dtype, device and MACs of its output.
        self._outputs: dict[Hashable, tuple[Any, Any, torch.dtype, torch.device, int]] = {}

    def key(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Hashable | None:
        """Return a key by which calls have equal outputs, or None."""
        looks_up = type(module) is nn.Embedding and args and hasattr(args[0], "known_values")
        plain = type(module) in _PLAIN and not looks_up and not kwargs and len(args) == 1
        if not plain or torch._C._is_any_autocast_enabled():
            return None
        held = [args[0], *module._parameters.values(), *module._buffers.values()]
        if not all(type(tensor) is FakeTensor for tensor in held if tensor is not None):
            return None
        arguments = tuple((name, value) for name, value in vars(module).items() if type(value) in _SIMPLE)
        kinds = tuple(None if t is None else (t.shape, t.stride(), t.dtype, t.device) for t in held)
        key = (type(module), arguments, kinds)
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def output(self, key: Hashable) -> tuple[FakeTensor, int] | None:
        """Return a fresh output for a known call, and its MACs."""
        if key not in self._outputs:
            return None
        shape, stride, dtype, device, macs = self._outputs[key]
        with no_dispatch():
            bare = torch.empty_strided(shape, stride, dtype=dtype, device="meta")
            return FakeTensor(self._mode, bare, device), macs

    def keep(self, key: Hashable, module: nn.Module, args: Sequence[Any], output: Any, macs: int) -> None:
        """Keep the output of a call, if it has its own memory."""
        if type(output) is not FakeTensor or output.storage_offset():
            return
        memory = output.untyped_storage()._cdata
        if all(tensor.untyped_storage()._cdata != memory for tensor in (args[0], *_held(module))):
            kind = tuple(output.shape), tuple(output.stride()), output.dtype, output.device
            self._outputs[key] = (*kind, macs)


def _shapes(named: Iterable[tuple[str, torch.Tensor]]) -> Shapes:
    return tuple((name, tuple(map(int, tensor.shape))) for name, tensor in named)


def _held(module: nn.Module) -> list[torch.Tensor]:
    """List the parameters and buffers that a layer itself holds."""
    return [kept for kept in (*module._parameters.values(), *module._buffers.values()) if kept is not None]


def _storage(tensor: torch.Tensor) -> tuple[int, int]:
    """Return identity and bytes of a tensor's memory; sparse ones have none."""
    try:
        memory = tensor.untyped_storage()
        return memory._cdata, memory.nbytes()
    except (NotImplementedError, RuntimeError):
        return id(tensor), tensor.numel() * tensor.element_size()
