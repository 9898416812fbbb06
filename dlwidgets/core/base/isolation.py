"""A forward pass that leaves nothing behind: the model computes, and is afterwards what it was before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from operator import is_
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .loan import untouched_rng

#: The dicts in which a module holds its tensors and children: changed in place, so their contents are kept.
_REGISTERS = ("_parameters", "_buffers", "_modules")
#: Those in which it holds its hooks.
_HOOKS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip


@contextmanager
def inspecting(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the module to call: in eval mode, without gradients; afterwards all is as it was.

    Given back are each module's train/eval flag, its buffers (BatchNorm's statistics), the attributes that a
    forward sets (a hidden state, a counter), the hooks that it adds, the random generators of torch, numpy
    and python, and the weights of embeddings that renormalise themselves when used. The fused path of
    transformer layers is switched off within, since it calls none of the layers inside; a compiled model runs
    uncompiled.

    Not given back: what a forward writes *into* its parameters or into lists and dicts of its own. Parameters
    are not copied, as that would double the memory of a large model.
    """
    eager = getattr(model, "_orig_mod", model)
    modules = list(eager.modules())
    compiled = eager is not model or any(getattr(m, "_compiled_call_impl", None) for m in modules)
    with ExitStack() as stack:
        stack.enter_context(untouched_rng())
        stack.enter_context(torch.no_grad())
        stack.enter_context(_fused_path_off())
        stack.enter_context(_hooks_kept(modules))
        stack.enter_context(_attributes_kept(modules))
        stack.enter_context(_values_kept(modules))
        stack.enter_context(_eval_mode(modules))
        if compiled:
            # Entered only where needed: it imports the compiler, which takes seconds.
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield eager


@contextmanager
def _eval_mode(modules: Sequence[nn.Module]) -> Iterator[None]:
    kept = [(module, module.training) for module in modules if module.training]
    try:
        # Flags one by one, not eval(): some models override train() and merge weights there.
        for module, _ in kept:
            module.training = False
        yield
    finally:
        for module, training in kept:
            module.training = training


@contextmanager
def _fused_path_off() -> Iterator[None]:
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _attributes_kept(modules: Sequence[nn.Module]) -> Iterator[None]:
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
def _hooks_kept(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Take away the hooks that were added: some models add theirs in their first forward, and note it."""
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
def _values_kept(modules: Sequence[nn.Module]) -> Iterator[None]:
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
