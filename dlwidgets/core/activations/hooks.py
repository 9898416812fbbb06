"""Hooks on a model's layers for one forward: inputs, outputs, attention."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import nn

from ..base.outputs import describe_output, named_tensors
from ..base.words import quote_error
from ..layers.axes import Known, channel_axis
from .attention import ATTENTION, Attended, AttentionMode

#: Is told of a tensor that a layer was given or put out, read only: its key (the layer's path, with what
#: tells it from its other tensors and calls), the layer, which tensor of the call it is, as "[1][0]"; the
#: tensor, and the axis of its channels, or None.
Receive = Callable[[str, nn.Module, str, torch.Tensor, int | None], None]


class ForwardHooks:
    """Hears of a model's layers inside `with hooks.attached():`, on this thread.

    Nothing of it stays.

    Attributes
    ----------
    calls : path -> how often the layer was called; of those that are watched.
    empty : path -> what a layer put out that holds no tensor, in words.
    attended : path -> how often a layer computed attention; of those whose weights are wanted.
    unfollowed : path -> why its attention is not among them, in words.
    used_by : path -> the path of a layer that used its weights without calling it.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        wanted: Sequence[str],
        receive: Receive,
        *,
        of: Literal["outputs", "inputs"],
        attending: Collection[str],
        attention: Callable[[str, nn.Module, Attended], None],
        samples: int | None,
    ) -> None:
        self._modules, self._receive, self._of = modules, receive, of
        self._attention, self._samples = attention, samples
        self._thread = threading.get_ident()
        self._first = {id(module): path for path, module in reversed(modules.items())}
        self._wanted: dict[int, list[str]] = {}
        self._attending: dict[int, list[str]] = {}
        for paths, found in ((wanted, self._wanted), (attending, self._attending)):
            for path in paths:
                found.setdefault(id(modules[path]), []).append(path)
        self._stack: list[nn.Module] = []
        self._known: dict[int, tuple[weakref.ref[torch.Tensor], Known]] = {}
        self._owners = {
            id(tensor): path
            for path in reversed(list(wanted))
            for tensor in modules[path]._parameters.values()
            if tensor is not None
        }
        self.calls = dict.fromkeys((*wanted, *attending), 0)
        self.empty: dict[str, str] = {}
        self.attended: dict[str, int] = {}
        self.unfollowed: dict[str, str] = {}
        self.used_by: dict[str, str] = {}

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Attach the hooks until the end of the block."""
        with ExitStack() as stack:
            for module in {id(module): module for module in self._modules.values()}.values():
                try:
                    handle = module.register_forward_pre_hook(self._before, with_kwargs=True)
                    stack.callback(handle.remove)
                    handle = module.register_forward_hook(self._after, with_kwargs=True, always_call=True)
                    stack.callback(handle.remove)
                except (RuntimeError, AttributeError):  # parts of a TorchScript model take no hooks
                    continue
            stack.enter_context(AttentionMode(self, set(self._owners), self._samples))
            yield

    # -- inside

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if threading.get_ident() != self._thread:
            return
        self._stack.append(module)
        wanted = self._wanted.get(id(module), [])
        for path in dict.fromkeys(wanted + self._attending.get(id(module), [])):
            self.calls[path] += 1
        if self._of == "inputs" and wanted:
            given = {**dict(enumerate(args)), **kwargs}
            self._hand_over(wanted, module, list(named_tensors(given)), "is given no tensor but", given)

    def _after(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if threading.get_ident() != self._thread or not self._stack or self._stack[-1] is not module:
            return
        self._stack.pop()
        found = list(named_tensors(output))
        given = next((self._axis(tensor) for _, tensor in named_tensors((args, kwargs))), None)
        for _, tensor in found:
            # What a layer inside put out, and this one hands on, is known already.
            axis = channel_axis(module, tensor, given) if self._axis(tensor) is None else None
            if axis is not None:
                self._known[id(tensor)] = weakref.ref(tensor), (axis, tensor.ndim, tensor.shape[axis])
        if self._of == "outputs":
            wanted = self._wanted.get(id(module), [])
            self._hand_over(wanted, module, found, "gives no tensor but", output)

    def _hand_over(
        self, paths: list[str], module: nn.Module, found: list[tuple[str, torch.Tensor]], verb: str, what: Any
    ) -> None:
        for path in paths:
            start = path + self._again(self.calls[path])
            for number, (suffix, tensor) in enumerate(found):
                known = self._axis(tensor)
                axis = known[0] if known is not None else channel_axis(module, tensor)
                # What is done with it is no part of the model's forward.
                with torch._C.DisableTorchFunction():
                    self._receive(start + (suffix if number else ""), module, suffix, tensor, axis)
            if not found:
                self.empty.setdefault(path, f"{verb} {describe_output(what)}")

    def _axis(self, tensor: torch.Tensor) -> Known | None:
        known = self._known.get(id(tensor))
        # An identity may come again once its tensor is gone.
        return known[1] if known is not None and known[0]() is tensor else None

    # -- told by AttentionMode

    def watching(self) -> bool:
        """Say whether attention of the layer that runs now is wanted."""
        return bool(self._stack) and id(self._stack[-1]) in self._attending

    def failed(self, error: Exception) -> None:
        """Note that attention was computed, and could not be followed."""
        for path in self._attending.get(id(self._stack[-1]), ()) if self._stack else ():
            why = quote_error(error)
            self.unfollowed[path] = f"computes attention whose weights could not be followed: {why}"

    def found(self, attended: Attended) -> None:
        """Hand on what the layer that runs now attends to."""
        module = self._stack[-1]
        for path in self._attending[id(module)]:
            self.attended[path] = self.attended.get(path, 0) + 1
            self._attention(path + self._again(self.attended[path]) + ATTENTION, module, attended)

    def using(self, tensor: int) -> None:
        """Note that a function was given the weights of a layer."""
        owner = self._owners[tensor]
        running = self._stack[-1] if self._stack else None
        if running is not None and running is not self._modules[owner]:
            self.used_by.setdefault(owner, self._first.get(id(running), ""))

    @staticmethod
    def _again(call: int) -> str:
        return f"#{call}" if call > 1 else ""
