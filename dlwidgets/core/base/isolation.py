"""Borrow a model, random numbers or threads, and give them back unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from operator import is_

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .random_state import TURN, RandomStates

#: The dicts in which a module holds its tensors and children: changed in place, so their contents are kept.
_REGISTERS = ("_parameters", "_buffers", "_modules")
#: Those in which it holds its hooks.
_HOOKS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip


@contextmanager
def preserve_random_state() -> Iterator[None]:
    """Give back all random generators as they were; what trains meanwhile waits."""
    with TURN.hold():
        before = RandomStates.capture()
        try:
            yield
        finally:
            before.install()


@contextmanager
def preserve_modes(model: nn.Module) -> Iterator[None]:
    """Give back the train/eval flag of each module as it was."""
    before = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        _set_flags(before)


def _set_flags(flags: Iterable[tuple[nn.Module, bool]]) -> None:
    """Set train/eval flags one by one: some models override train()."""
    for module, training in flags:
        module.training = training


@contextmanager
def preserve_buffers(model: nn.Module) -> Iterator[None]:
    """Give back buffers, as running statistics, and embeddings that renormalise themselves."""
    modules = list(model.modules())
    tensors = [buffer for module in modules for buffer in module._buffers.values() if buffer is not None]
    # An embedding with max_norm scales the rows it looks up, in place, in eval mode too.
    tensors += [
        module.weight for module in modules
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.max_norm is not None
    ]  # fmt: skip
    kept = [
        (tensor, tensor.detach().clone()) for tensor in {id(tensor): tensor for tensor in tensors}.values()
        if tensor.layout == torch.strided and not tensor.is_meta and not is_lazy(tensor)
    ]  # fmt: skip
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, before in kept:
                # Written only where it differs: a write would invalidate a backward pass that waits.
                if not torch.equal(tensor, before):
                    tensor.copy_(before)


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
            _set_flags(self._modes)
            yield


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Compute with `count` threads, and with as many as before afterwards."""
    before = torch.get_num_threads()
    try:
        if count != before:
            torch.set_num_threads(count)
        yield
    finally:
        # Also where the count was changed meanwhile.
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def find_device(model: nn.Module) -> torch.device:
    """Return the device of the first parameter or buffer, else the CPU."""
    first = next(chain(model.parameters(), model.buffers()), torch.empty(0, device="cpu"))
    return first.device


@contextmanager
def use_device(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Move the model to a device, and back to its own afterwards."""
    home = find_device(model)
    try:
        if home != device:
            model.to(device)
        yield
    finally:
        if home != device:
            model.to(home)


@contextmanager
def isolate_model(model: nn.Module, *, random_states: bool = True) -> Iterator[nn.Module]:
    """Yield the module to call in eval mode; leave no trace.

    Given back are train/eval flags, buffers, the attributes that a forward sets (a hidden state, a counter),
    the hooks that it adds, the random generators of torch, numpy and python, and the weights of embeddings
    that renormalise themselves. Within, the fused path of transformer layers is off, since it calls none of
    the layers inside, and a compiled model runs uncompiled.

    Not given back: what a forward writes *into* its parameters or into lists and dicts of its own. Parameters
    are not copied, as that would double the memory of a large model.

    Parameters
    ----------
    random_states : False where whoever calls gives the random generators back, as a job between two steps.
    """
    eager = getattr(model, "_orig_mod", model)
    modules = list(eager.modules())
    in_training = [module for module in modules if module.training]
    compiled = eager is not model or any(getattr(m, "_compiled_call_impl", None) for m in modules)
    with ExitStack() as stack:
        if random_states:
            stack.enter_context(preserve_random_state())
        stack.enter_context(torch.no_grad())
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        stack.enter_context(_preserve_attributes(modules))
        stack.enter_context(preserve_buffers(eager))
        stack.callback(_set_flags, [(module, True) for module in in_training])
        _set_flags((module, False) for module in in_training)
        if compiled:
            # Entered only where needed: it imports the compiler, which takes seconds.
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield eager


@contextmanager
def _preserve_attributes(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Give back attributes, and take added hooks away."""
    owners = [vars(module) for module in modules if not isinstance(module, torch.jit.ScriptModule)]
    kept = [(now, dict(now)) for owner in owners for now in (owner, *(owner[name] for name in _REGISTERS))]
    hooks = [(now, set(now)) for owner in owners for now in (owner[name] for name in _HOOKS)]
    try:
        yield
    finally:
        # No dict is ever emptied: another thread may be reading the model.
        for now, before in kept:
            if now.keys() != before.keys() or not all(map(is_, now.values(), before.values())):
                for key in now.keys() - before.keys():
                    del now[key]
                now.update(before)
        # None is put back: another thread may have taken one of its own away meanwhile.
        for now, known in hooks:
            for key in [key for key in now if key not in known]:
                now.pop(key, None)
