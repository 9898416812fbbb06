"""What is put on a model's weights, as lines: norms and masks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from ..layers.structure import expression_of
from ..layers.walk import module_at
from .module_expression import write_module
from .sources import Sources
from .text import format_call

_HEADS = {
    parametrizations.weight_norm: "nn.utils.parametrizations.weight_norm",
    parametrizations.spectral_norm: "nn.utils.parametrizations.spectral_norm",
    parametrizations.orthogonal: "nn.utils.parametrizations.orthogonal",
    parametrize.register_parametrization: "nn.utils.parametrize.register_parametrization",
    nn.utils.weight_norm: "nn.utils.weight_norm",
    nn.utils.spectral_norm: "nn.utils.spectral_norm",
    prune.identity: "prune.identity",
}


@dataclass(frozen=True)
class Wrapping:
    """What is put on one weight, by a function of torch.

    Attributes
    ----------
    path, key : the module, and the weight's name there.
    function, settings : what puts it on, and with what beside the two.
    part : the module that computes the weight, where it is none of torch's own.
    """

    path: str
    key: str
    function: Callable[..., Any]
    settings: tuple[tuple[str, Any], ...] = ()
    part: nn.Module | None = field(default=None, compare=False)

    def put_on(self, model: nn.Module, sources: Sources) -> str:
        """Put it on a model; return the line that does so."""
        args, texts = [], [expression_of(model, self.path), f'"{self.key}"']
        if self.part is not None:
            text, made = write_module(self.part, sources)
            args, texts = [made], [*texts, text]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of these functions are on their way out
            self.function(module_at(model, self.path), self.key, *args, **dict(self.settings))
        head = _HEADS[self.function]
        sources.imports.add(
            "from torch import nn" if head.startswith("nn.") else "from torch.nn.utils import prune"
        )
        return format_call(head, texts, dict(self.settings))


def find_wrappings(model: nn.Module) -> Iterator[Wrapping]:
    """Yield what is put on a model's weights, in order."""
    for path, module in model.named_modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm):
                yield Wrapping(path, hook.name, nn.utils.weight_norm, (("dim", hook.dim),))
            elif isinstance(hook, SpectralNorm):
                settings = {one: getattr(hook, one) for one in ("n_power_iterations", "eps", "dim")}
                yield Wrapping(path, hook.name, nn.utils.spectral_norm, tuple(settings.items()))
            elif isinstance(hook, prune.BasePruningMethod):
                yield Wrapping(path, hook._tensor_name, prune.identity)
        for key, chain in module.parametrizations.items() if parametrize.is_parametrized(module) else ():
            for part in chain:
                yield _read_parametrization(path, key, part, chain.unsafe)


def _read_parametrization(path: str, key: str, part: nn.Module, unsafe: bool) -> Wrapping:
    if isinstance(part, parametrizations._WeightNorm):
        return Wrapping(path, key, parametrizations.weight_norm, (("dim", part.dim),))
    if isinstance(part, parametrizations._SpectralNorm):
        settings = {one: getattr(part, one) for one in ("n_power_iterations", "eps", "dim")}
        return Wrapping(path, key, parametrizations.spectral_norm, tuple(settings.items()))
    if isinstance(part, parametrizations._Orthogonal):
        by = ("orthogonal_map", part.orthogonal_map.name), ("use_trivialization", hasattr(part, "base"))
        return Wrapping(path, key, parametrizations.orthogonal, by)
    more = (("unsafe", True),) if unsafe else ()
    return Wrapping(path, key, parametrize.register_parametrization, more, part)
