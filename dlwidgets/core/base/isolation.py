"""Borrow a model, random numbers or threads, and give them back unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from operator import is_
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .random_state import RandomStates

#: The dicts in which a module holds its tensors and children: changed in place, so their contents are kept.
_REGISTERS = ("_parameters", "_buffers", "_modules")
#: Those in which it holds its hooks.
_HOOKS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip


@contextmanager
def preserve_random_state() -> Iterator[None]:
    """Give back all random generators as they were."""
    before = RandomStates.capture()
    try:
        yield
    finally:
        before.install()


@contextmanager
def preserve_modes(model: nn.Module) -> Iterator[None]:
    """Give back the train/eval flag of each module as it was."""
    with _preserve_flags([*model.modules()]):
        yield


@contextmanager
def _preserve_flags(modules: Sequence[nn.Module]) -> Iterator[None]:
    before = [(module, module.training) for module in modules]
    try:
        yield
    finally:
        # Set one by one: train() would walk the tree, and some models override it.
        for module, training in before:
            module.training = training


@contextmanager
def preserve_buffers(model: nn.Module) -> Iterator[None]:
    """Give back the model's buffers (running statistics) as they were."""
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Use eval mode without gradients; restore modes and random states afterwards."""
    with preserve_modes(model), preserve_random_state(), torch.no_grad():
        model.eval()
        yield


class TrainingContext:
    """A training's modes and random states, to return to while evaluating."""

    def __init__(self, model: nn.Module) -> None:
        self._model, self._random = model, RandomStates.capture()
        self._modes = [(module, module.training) for module in model.modules()]

    @contextmanager
    def reenter(self) -> Iterator[None]:
        """Restore the training's modes and random states within; the evaluation's afterwards."""
        with preserve_modes(self._model), preserve_random_state(), torch.enable_grad():
            self._random.install()
            for module, training in self._modes:
                module.training = training
            yield


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Compute with `count` threads, and with as many as before afterwards."""
    before = torch.get_num_threads()
    if count != before:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        # Also where the count was changed meanwhile.
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def find_device(model: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer, else the CPU."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


@contextmanager
def use_device(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Move the model to a device, and back to its own afterwards."""
    home = find_device(model)
    if home == device:
        yield
        return
    model.to(device)
    try:
        yield
    finally:
        model.to(home)


@contextmanager
def isolate_model(model: nn.Module, *, random_states: bool = True) -> Iterator[nn.Module]:
    """Yield the module to call in eval mode; leave no trace.

    Given back are each module's train/eval flag, its buffers (BatchNorm's statistics), the attributes that a
    forward sets (a hidden state, a counter), the hooks that it adds, the random generators of torch, numpy
    and python, and the weights of embeddings that renormalise themselves when used. The fused path of
    transformer layers is switched off within, since it calls none of the layers inside; a compiled model runs
    uncompiled.

    Not given back: what a forward writes *into* its parameters or into lists and dicts of its own. Parameters
    are not copied, as that would double the memory of a large model.

    Parameters
    ----------
    random_states : False where whoever calls gives the random generators back, as a job between two steps.
    """
    eager = getattr(model, "_orig_mod", model)
    modules = list(eager.modules())
    compiled = eager is not model or any(getattr(m, "_compiled_call_impl", None) for m in modules)
    with ExitStack() as stack:
        if random_states:
            stack.enter_context(preserve_random_state())
        stack.enter_context(torch.no_grad())
        stack.enter_context(_disable_fused_path())
        stack.enter_context(_preserve_hooks(modules))
        stack.enter_context(_preserve_attributes(modules))
        stack.enter_context(_preserve_values(modules))
        stack.enter_context(_preserve_flags([module for module in modules if module.training]))
        # Flags one by one, not eval(): some models override train() and merge weights there.
        for module in modules:
            if module.training:
                module.training = False
        if compiled:
            # Entered only where needed: it imports the compiler, which takes seconds.
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield eager


@contextmanager
def _disable_fused_path() -> Iterator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _preserve_attributes(modules: Sequence[nn.Module]) -> Iterator[None]:
    kept = [
        (module.__dict__, dict(module.__dict__), [dict(module.__dict__[name]) for name in _REGISTERS])
        for module in modules
        if not isinstance(module, torch.jit.ScriptModule)
    ]
    try:
        yield
    finally:
        for now, before, registers in kept:
            _reset(now, before)
            for name, register in zip(_REGISTERS, registers, strict=True):
                _reset(now[name], register)


@contextmanager
def _preserve_hooks(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Remove added hooks: some models add theirs in their first forward."""
    kept = [
        (hooks, set(hooks))
        for module in modules
        if not isinstance(module, torch.jit.ScriptModule)
        for hooks in (module.__dict__[name] for name in _HOOKS)
    ]
    try:
        yield
    finally:
        # None is put back: another thread may have taken one of its own away meanwhile.
        for hooks, before in kept:
            for key in [key for key in hooks if key not in before]:
                hooks.pop(key, None)


def _reset(now: dict[str, Any], before: dict[str, Any]) -> None:
    if now.keys() == before.keys() and all(map(is_, now.values(), before.values())):
        return
    # Never emptied: another thread may be reading the model.
    for key in now.keys() - before.keys():
        del now[key]
    now.update(before)


@contextmanager
def _preserve_values(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Give back the values of buffers and of embeddings that renormalise themselves."""
    buffers = [buffer for module in modules for buffer in module._buffers.values() if buffer is not None]
    tensors = {id(buffer): buffer for buffer in buffers}
    for module in modules:
        # An embedding with max_norm scales the rows it looks up, in place, in eval mode too.
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.max_norm is not None:
            tensors[id(module.weight)] = module.weight
    kept = [(tensor, tensor.detach().clone()) for tensor in tensors.values() if _has_values(tensor)]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, before in kept:
                # Written only where it differs: a write would invalidate a backward pass that waits.
                if not torch.equal(tensor, before):
                    tensor.copy_(before)


def _has_values(tensor: torch.Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta and not is_lazy(tensor)
