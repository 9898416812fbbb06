"""Copies of a model's structure with fake or shared weights."""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from torch.overrides import TorchFunctionMode

from ..base.held import PLAIN
from .foreign import copy_layers
from .walk import bytes_of, kind_of, uncompiled

#: The dicts of a module whose entries are called by its calls, and all whose entries torch calls.
_CALLED = ("_forward_hooks", "_forward_pre_hooks")
_HOOKS = (
    *_CALLED, "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks", "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
)  # fmt: skip
#: Bytes of weights that are copied without a thought.
_SMALL = 64 * 2**20
_Copy = Callable[[torch.Tensor], torch.Tensor]


def fake_tensor(
    tensor: torch.Tensor, mode: FakeTensorMode, device: torch.device | None = None
) -> torch.Tensor:
    """Return a tensor of equal shape without values, as if on `device`.

    A tensor on the meta device is taken as being on the CPU: code that asks where its tensors are then goes
    the ordinary way.
    """
    if type(tensor) not in (torch.Tensor, nn.Parameter) or tensor.layout != torch.strided or tensor.is_nested:
        return mode.from_tensor(tensor)
    place = device if device is not None else tensor.device
    place = torch.device("cpu") if place.type == "meta" else place
    bare = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    return FakeTensor(mode, bare, place)


def faked(model: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """Return a stand-in whose tensors are all fake.

    The stand-in is in eval mode, and has the model's hooks on forwards. Its lazy parameters are on the meta
    device, so that building them costs nothing. ValueError, in a clause: a layer cannot be copied.
    """

    def fake(tensor: torch.Tensor) -> torch.Tensor:
        if is_lazy(tensor):
            return _lazy_like(tensor, torch.device("meta"))
        made = fake_tensor(tensor, mode)
        if isinstance(tensor, nn.Parameter):
            # As nn.Parameter does it for such tensors, less a detach() that would cost as much as a layer.
            made.requires_grad_(tensor.requires_grad)
            made._is_param = True  # type: ignore[attr-defined]
        return made

    return _copied(model, fake, fake)


def lent(model: nn.Module) -> nn.Module:
    """Return a stand-in with the model's own parameters; other state is copied.

    Copied too are the weights that a forward rewrites: those of embeddings that renormalise themselves. It
    has the model's hooks on forwards. ValueError, in a clause: a layer cannot be copied.
    """
    rewritten = {
        id(module.weight)
        for module in uncompiled(model).modules()
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.max_norm is not None
    }

    def lend(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) in rewritten:
            return nn.Parameter(tensor.detach().clone(), requires_grad=tensor.requires_grad)
        return _lazy_like(tensor, tensor.device) if is_lazy(tensor) else tensor

    def clone(tensor: torch.Tensor) -> torch.Tensor:
        if is_lazy(tensor):
            return _lazy_like(tensor, tensor.device)
        made = tensor.detach().clone()
        return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made

    return _copied(model, lend, clone)


def cloned(model: nn.Module) -> nn.Module:
    """Return a stand-in with parameters of its own, equal to the model's."""

    def clone(tensor: torch.Tensor) -> torch.Tensor:
        if is_lazy(tensor):
            return _lazy_like(tensor, tensor.device)
        made = tensor.detach().clone()
        return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made

    return _copied(model, clone, clone)


def is_small(model: nn.Module) -> bool:
    """Say whether a model's weights are copied without a thought."""
    return sum(bytes_of(tensor) for tensor in (*model.parameters(), *model.buffers())) <= _SMALL


def try_copy(model: nn.Module) -> nn.Module | None:
    """Return a stand-in, or None; a small one has its own weights."""
    try:
        return (cloned if is_small(model) else lent)(model)
    except Exception:  # noqa: BLE001 - the model may hold anything
        return None


def _lazy_like(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    kind = UninitializedParameter if isinstance(tensor, nn.Parameter) else UninitializedBuffer
    return kind(tensor.requires_grad, device, tensor.dtype)


def _copied(model: nn.Module, parameter: _Copy, other: _Copy) -> nn.Module:
    model = uncompiled(model)
    memo: dict[int, Any] = {}
    for module in model.modules():
        for held, copied in ((module._parameters, parameter), (module._buffers, other)):
            for kept in held.values():
                if kept is not None and id(kept) not in memo:
                    memo[id(kept)] = copied(kept)
        # Their copies are made with tensors, which would be fake.
        generators = (one for one in vars(module).values() if isinstance(one, torch.Generator))
        memo.update((id(one), one.clone_state()) for one in generators)
        # A hook may hold all of a training; it is not to be copied with that.
        for name in _HOOKS:
            if (hung := module.__dict__.get(name)) is not None:
                memo[id(hung)] = type(hung)()
    # As deepcopy would do it, which asks of every flag and number how it is copied.
    plain = [module for module in model.modules() if _is_plain(type(module))]
    memo.update((id(module), type(module).__new__(type(module))) for module in plain)
    with _TensorCopies(other):
        copy_layers(model, memo, other)
        for module in plain:
            for name, value in vars(module).items():
                made = value if type(value) in PLAIN else copy.deepcopy(value, memo)
                vars(memo[id(module)])[name] = made
        twin = copy.deepcopy(model, memo)
    own = {id(module): (path, module) for path, module in model.named_modules()}
    for module in twin.modules():
        if id(module) in own:
            path, module = own[id(module)]
            raise ValueError(f"a copy of {path or 'it'} ({kind_of(module)}) is the same object again")
        if isinstance(module, torch.jit.ScriptModule):
            module.eval()
        else:
            # One by one, not eval(): some models override train() and merge weights there.
            module.training = False
    for module in model.modules():
        if (copied := memo.get(id(module))) is not None:
            # Some kinds of modules leave attributes out of their copies.
            vars(copied).update((name, vars(module)[name]) for name in vars(module).keys() - vars(copied).keys())
        for name in _CALLED:
            if hung := module.__dict__.get(name):
                twins = memo[id(module)].__dict__[name]
                twins.update((key, _rebound(hook, memo)) for key, hook in hung.items() if not _builds(hook))
                flags = f"{name}_with_kwargs"
                memo[id(module)].__dict__[flags].update(module.__dict__.get(flags, {}))
    return twin


@functools.cache
def _is_plain(kind: type) -> bool:
    """Say whether a kind of torch's layers is copied attribute by attribute."""
    own = {name for one in kind.__mro__ if one not in (nn.Module, object) for name in vars(one)}
    special = own & {"__new__", "__deepcopy__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__"}
    return kind.__module__.startswith("torch.nn.modules.") and not special


def _builds(hook: Any) -> bool:
    """Say whether a lazy layer builds itself by this hook."""
    return getattr(hook, "__func__", None) is LazyModuleMixin._infer_parameters


def _rebound(hook: Any, memo: dict[int, Any]) -> Any:
    """Have a hook act on the stand-in in place of the model."""
    if isinstance(hook, types.MethodType):
        return types.MethodType(hook.__func__, memo.get(id(hook.__self__), hook.__self__))
    if isinstance(hook, functools.partial):
        given = [memo.get(id(value), value) for value in hook.args]
        named = {name: memo.get(id(value), value) for name, value in hook.keywords.items()}
        return functools.partial(_rebound(hook.func, memo), *given, **named)
    return hook


class _TensorCopies(TorchFunctionMode):
    """Has deepcopy copy tensors outside parameters and buffers by a given function."""

    def __init__(self, other: _Copy) -> None:
        self._other = other
        super().__init__()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__deepcopy__:
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = self._other(tensor)
            return memo[id(tensor)]
        if func is torch._C.TensorBase.clone:  # of a parameter that is a plain attribute
            return self._other(args[0])
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))
