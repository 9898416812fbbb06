"""The structure of a model, for comparison: modules, attributes, tensors and ties."""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from ..base.literals import is_plain
from .framework import framework_of
from .walk import module_at

#: What every module has.
_OWN = frozenset(vars(nn.Module()))


@dataclass(frozen=True)
class Structure:
    """The modules, attributes and tensors of a model.

    Two models of equal structure, weights and dropout rates compute the same.
    """

    #: (path, class, plain attributes) of each module.
    modules: tuple[tuple[str, type[nn.Module], tuple[tuple[str, Any], ...]], ...]
    tensors: tuple[tuple[str, Any, Any, bool], ...]  #: Name -> shape, dtype, whether it is a parameter.
    ties: tuple[tuple[str, ...], ...]  #: The names of each parameter that has several.

    def inside(self, path: str) -> Structure:
        """Return the structure of the module at a path."""

        def within(names: Any) -> Iterator[str]:
            return (name[len(path) + 1 :] for name in names if f"{name}.".startswith(f"{path}."))

        modules = tuple((name, *one[1:]) for one in self.modules for name in within(one[:1]))
        tensors = tuple((name, *one[1:]) for one in self.tensors for name in within(one[:1]))
        ties = (tuple(within(names)) for names in self.ties)
        return Structure(modules, tensors, tuple(names for names in ties if len(names) > 1))


def bare_structure(model: nn.Module, found: Structure | None = None) -> Structure:
    """Return a structure as without what is put on the weights.

    These are parametrizations, and the hooks of `nn.utils.weight_norm`, `spectral_norm` and `prune`.
    """
    found, names = found or structure(model), {}
    for path, module in model.named_modules():
        start = f"{path}." if path else ""
        for key in module.parametrizations if is_parametrized(module) else ():  # type: ignore[union-attr]
            inside = f"{start}parametrizations.{key}."
            names |= {one[0]: None for one in found.tensors if one[0].startswith(inside)}
            names[f"{inside}original"] = names[f"{inside}original1"] = f"{start}{key}"
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                key = f"{start}{hook._tensor_name}"
                names |= {f"{key}_orig": key, f"{key}_mask": None}
            elif isinstance(hook, (SpectralNorm, WeightNorm)):
                key, whole = f"{start}{hook.name}", "v" if isinstance(hook, WeightNorm) else "orig"
                names |= dict.fromkeys([f"{key}_{part}" for part in "uvg"]) | {f"{key}_{whole}": key}
    if not names:
        return found
    tensors = [(names.get(one[0], one[0]), *one[1:]) for one in found.tensors]
    kept = sorted((one for one in tensors if one[0] is not None), key=lambda one: one[0])
    ties = (tuple(filter(None, (names.get(name, name) for name in tied))) for tied in found.ties)
    return replace(found, tensors=tuple(kept), ties=tuple(tied for tied in ties if len(tied) > 1))


def structure(model: nn.Module) -> Structure:
    """Read a model's structure; a weight split by `weight_norm` counts whole."""
    modules, tensors = [], []
    for path, module in model.named_modules():
        if "parametrizations" in path.split("."):
            continue
        attributes = tuple(
            (name, tuple(value) if isinstance(value, list) else value)
            for name, value in sorted(vars(module).items())
            if name != "training" and name not in _OWN and is_plain(value)
            if not name.startswith(("_torchdynamo", "_is_torch_compile"))  # what `torch.compile` notes
            if not (name == "p" and isinstance(module, _DropoutNd))
        )
        modules.append((path, type_before_parametrizations(module), attributes))
    for name, parameter in model.named_parameters():
        path, _, key = f".{name}".partition(".parametrizations.")
        attribute = key.partition(".")[0]
        if not hasattr(parameter, "shape"):
            continue
        if key and _is_split(module_at(model, path[1:]), attribute):
            if key.endswith("original0"):
                continue
            name = f"{path}.{attribute}"[1:]
        tensors.append((name, parameter.shape, parameter.dtype, True))
    tensors += [(name, b.shape, b.dtype, False) for name, b in model.named_buffers()]
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    ties = tuple(tuple(one) for one in names.values() if len(one) > 1)
    return Structure(tuple(modules), tuple(sorted(tensors, key=lambda one: one[0])), ties)


def has_wrapped_weight(module: nn.Module) -> bool:
    """Say whether a weight is computed from others, as by `weight_norm`."""
    hooks = module._forward_pre_hooks.values()
    return is_parametrized(module) or any(isinstance(h, (BasePruningMethod, SpectralNorm, WeightNorm)) for h in hooks)


def _is_split(module: nn.Module, attribute: str) -> bool:
    listed = module.parametrizations[attribute]  # type: ignore[union-attr,index]
    return [type(one).__name__ for one in listed] == ["_WeightNorm"]


def expression_of(model: nn.Module, path: str, name: str = "model") -> str:
    """Write what stands at a path in code: `model.features[3].weight`."""
    text, here = name, model
    for part in path.split(".") if path else ():
        indexed = isinstance(here, (nn.Sequential, nn.ModuleList)) and part.isdigit()
        if (said := framework_of(here).expression_inside(here, part)) is not None:
            text += said if part in here._modules else f"{said}.value"  # type: ignore[union-attr]
        elif indexed:
            # A slice of a Sequential keeps the names that its modules had; a number is their place.
            own = isinstance(here, nn.Sequential) and part in here._modules
            text += f"[{[*here._modules].index(part) if own else part}]"
        elif part.isidentifier() and not keyword.iskeyword(part):
            text += f".{part}"
        else:
            text = f"getattr({text}, {part!r})"
        here = here._modules.get(part) if isinstance(here, nn.Module) and part in here._modules else None
    return text
