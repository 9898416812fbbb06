"""A call of a Keras model elsewhere, with torch's tensors."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...base.trees import tree_tensors

if TYPE_CHECKING:
    from .mirror import Mirror

#: Layers whose output is what they were given, in another shape: it takes no memory of its own.
_VIEWS = {"Flatten", "Reshape"}
#: Layers that run what is in them once for each step of their input's second axis, in one loop that is compiled.
_LOOPS = {"RNN", "TimeDistributed"}
#: One call at a time has Keras's layers call others.
_PATCHES = threading.RLock()


def array_of(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor as an array that Keras takes."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy()


def copy_value(value: Any) -> Any:
    """Return a copy of another backend's tensor.

    What has no values, or no such, comes back as it is.
    """
    import keras

    if isinstance(value, torch.Tensor) or not keras.ops.is_tensor(value):
        return value
    try:
        array = keras.ops.convert_to_numpy(value)
        if array.dtype.name == "bfloat16":
            return torch.tensor(array.astype(np.float32)).bfloat16()
        return torch.tensor(array)
    except (TypeError, ValueError, NotImplementedError):  # texts, ragged and sparse ones
        return value


def lacks_values(value: Any) -> bool:
    """Say whether a backend's tensor has no values, being compiled."""
    import keras

    if isinstance(value, keras.KerasTensor):
        return True
    if keras.backend.backend() == "jax":
        return isinstance(value, sys.modules["jax"].core.Tracer)
    return keras.ops.is_tensor(value) and not hasattr(value, "numpy")


class _Loop:
    """A layer that runs others once for each of its steps."""

    def __init__(self, mirror: Mirror, steps: int) -> None:
        self.steps, self.running = steps, False
        #: Identities of the mirrors that it runs. Without values each is followed once for all steps. What is inside
        #: these runs beside the loop as well, to find out shapes.
        self.waiting = {id(one) for one in mirror._modules.values()}


class MirroredCall:
    """One call of a Keras model by its mirror.

    `symbolic` is whether Keras is followed without values.
    """

    def __init__(self, root: Mirror, symbolic: bool) -> None:
        self._root, self._symbolic, self._thread = root, symbolic, threading.get_ident()
        #: Identity of a mirror that is heard -> how its layer computes.
        self._calls: dict[int, Callable[..., Any]] = {}
        #: Identity of a tensor, torch's or Keras's -> both of them, held so that it stays theirs.
        self._pairs: dict[int, tuple[torch.Tensor, Any]] = {}
        self._loops: list[_Loop] = []
        #: In which Keras computes; where it only finds out shapes, to build a layer, it enters another.
        self._scope: Any = None
        #: Identity of a mirror -> what it puts out in each further step of a loop.
        self._repeated: dict[int, Any] = {}

    def run(self, args: Any, kwargs: Any) -> Any:
        """Call the Keras layer; return its output as tensors."""
        import keras
        from keras.src.backend.common.stateless_scope import get_stateless_scope

        layer = self._root.held.layer
        with self._patched():
            if not self._symbolic:
                with keras.StatelessScope() as self._scope:  # within it no variable is written
                    return self._to_torch(layer(*self._to_keras(args), **self._to_keras(kwargs)))
            found: list[Any] = []

            def follow(*symbols: Any) -> Any:
                self._scope = get_stateless_scope()
                for tensor, symbol in zip(tree_tensors((args, kwargs)), symbols, strict=True):
                    self._pair(tensor, symbol)
                output = layer(*self._to_keras(args), **self._to_keras(kwargs))
                found.append(self._to_torch(output))
                return output

            given = [keras.KerasTensor(tuple(one.shape), _dtype_name(one)) for one in tree_tensors((args, kwargs))]
            keras.src.backend.compute_output_spec(follow, *given)
            return found[-1]

    @contextmanager
    def _patched(self) -> Iterator[None]:
        """Have Keras call the layers that are heard through their mirrors."""
        heard = [
            one for one in self._root.modules()
            if one is not self._root and (one._forward_hooks or one._forward_pre_hooks or "forward" in vars(one))
        ]  # fmt: skip
        with ExitStack() as stack:
            if heard:
                stack.enter_context(_PATCHES)
            for one in heard:
                layer = one.held.layer
                name = "quantized_call" if getattr(layer, "quantization_mode", None) else "call"
                own = self._calls[id(one)] = getattr(layer, name)
                if name in vars(layer):
                    stack.callback(vars(layer).update, {name: own})
                else:
                    stack.callback(vars(layer).pop, name)
                # Not by setattr, by which Keras keeps track of what a layer holds.
                vars(layer)[name] = functools.wraps(own)(functools.partial(self._heard, one, own))
            yield

    def _heard(self, mirror: Mirror, own: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Take the place of a layer's `call`."""
        import keras
        from keras.src.backend.common.stateless_scope import get_stateless_scope

        given = keras.tree.flatten((args, kwargs))
        loop = self._loops[-1] if self._loops else None
        followed = loop is not None and not loop.running and id(mirror) not in loop.waiting
        hidden = any(map(lacks_values, given)) != self._symbolic or get_stateless_scope() is not self._scope
        if threading.get_ident() != self._thread or hidden or followed:
            return own(*args, **kwargs)
        steps, ran = 1, False
        if loop is not None:
            ran, loop.running = loop.running, True
            if self._symbolic:  # the loop is followed once, and runs so often
                steps = 1 if ran else loop.steps
                loop.waiting.discard(id(mirror))
        loops = any(kind.__name__ in _LOOPS for kind in type(mirror.held.layer).__mro__)
        if loops:
            self._loops.append(_Loop(mirror, int(given[0].shape[1])))
        try:
            for number in range(steps):
                output = mirror(*self._to_torch(args), **self._to_torch(kwargs))
                if not number and steps > 1 and not mirror._modules:  # it would be the same
                    self._repeated[id(mirror)] = output
        finally:
            self._repeated.pop(id(mirror), None)
            if loops:
                self._loops.pop()
            if loop is not None:
                loop.running = ran
        return self._to_keras(output)

    def knows(self, mirror: Mirror) -> bool:
        """Say whether this call has a layer called through its mirror."""
        return id(mirror) in self._calls

    def pass_on(self, mirror: Mirror, args: Any, kwargs: Any) -> Any:
        """Compute what a layer puts out, for its mirror's forward."""
        if id(mirror) in self._repeated:
            return self._repeated[id(mirror)]
        output = self._calls[id(mirror)](*self._to_keras(args), **self._to_keras(kwargs))
        made = self._to_torch(output)
        if type(mirror).__name__ in _VIEWS and isinstance(made, torch.Tensor) and made.numel() == args[0].numel():
            return self._pair(args[0].reshape(made.shape), output)
        return made

    def _pair(self, tensor: torch.Tensor, value: Any) -> torch.Tensor:
        self._pairs[id(tensor)] = self._pairs[id(value)] = tensor, value
        return tensor

    def _to_torch(self, tree: Any) -> Any:
        """Return a tree with Keras's tensors as torch's."""
        import keras

        def change(value: Any) -> Any:
            if (pair := self._pairs.get(id(value))) is not None:
                return pair[0]
            if not keras.ops.is_tensor(value):
                return value
            if not lacks_values(value):
                made = copy_value(value)
            elif not self._symbolic or any(not isinstance(size, int) for size in value.shape):
                return value
            else:
                kind = getattr(torch, keras.backend.standardize_dtype(value.dtype), torch.float32)
                made = torch.empty(tuple(value.shape), dtype=kind, device="meta")
            return self._pair(made, value) if isinstance(made, torch.Tensor) else made

        return keras.tree.map_structure(change, tree)

    def _to_keras(self, tree: Any) -> Any:
        """Return a tree with torch's tensors as Keras's."""
        import keras

        def change(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            if (pair := self._pairs.get(id(value))) is not None:
                return pair[1]
            made = keras.ops.convert_to_tensor(array_of(value), dtype=_dtype_name(value))
            self._pair(value, made)
            return made

        return keras.tree.map_structure(change, tree)


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
