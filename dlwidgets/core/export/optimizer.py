"""An optimizer as a Python expression, checked by making it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ..controls.optimizer import default_settings
from ..layers.structure import expression_of
from .module_expression import Raw
from .sources import Sources, Unwritable
from .text import format_call, indent


def optimizer_text(
    kind: type[Optimizer],
    groups: Sequence[Mapping[str, Any]],
    model: nn.Module,
    sources: Sources,
    names: Sequence[str] | None = None,
) -> str:
    """Return the expression for an optimizer with these parameter groups.

    Parameters
    ----------
    names : those of all parameters that the model has where it is made; None: those of now.

    Raises
    ------
    Unwritable : it moves what the model has not, or its class cannot be made with these settings.
    """
    head = sources.use(kind)
    usual = default_settings(kind)
    names = [name for name, _ in model.named_parameters()] if names is None else list(names)
    for group in groups:
        if None in group["params"]:
            raise Unwritable("the optimizer moves tensors that are no parameters of the model")
    shared = options = _settings(groups[0], usual)
    for group in groups[1:]:
        shared = {key: value for key, value in shared.items() if _equal(group.get(key), value)}
    # Each parameter is moved by itself: their order plays no part.
    if len(groups) == 1 and sorted(groups[0]["params"]) == sorted(names):
        first: Any = Raw("model.parameters()")
    elif len(groups) == 1:
        first = Raw(parameters_text(model, groups[0]["params"]))
    else:
        first, options = Raw(_groups_text(model, groups, shared, usual)), shared
    _check(kind, groups, options, model, head)
    # The rate first: it is what is looked for.
    options = {**{key: options[key] for key in ("lr",) if key in options}, **options}
    return format_call(head, [first], options)


def parameters_text(model: nn.Module, names: Sequence[str]) -> str:
    """Return the expression for parameters, by whole layers where possible."""
    own = [name for name, _ in model.named_parameters()]
    for path, module in model.named_modules():
        inside = [f"{path}.{name}" if path else name for name, _ in module.named_parameters()]
        if inside and inside == list(names):
            return f"{expression_of(model, path)}.parameters()"
    if set(names) <= set(own) and len(names) > 6:
        return _picked(model, names, own)
    return f"[{', '.join(expression_of(model, name) for name in names)}]"


def _picked(model: nn.Module, names: Sequence[str], own: Sequence[str]) -> str:
    """Return a short comprehension for parameters, or their list."""
    parameters = dict(model.named_parameters())
    tests = {
        "p.ndim > 1": [name for name in own if parameters[name].ndim > 1],
        "p.ndim <= 1": [name for name in own if parameters[name].ndim <= 1],
    }
    for test, chosen in tests.items():
        if chosen == list(names):
            return f"[p for p in model.parameters() if {test}]"
    listed = ",\n".join(f"    {expression_of(model, name)}" for name in names)
    return f"[\n{listed},\n]"


def _groups_text(
    model: nn.Module, groups: Sequence[Mapping[str, Any]], shared: Mapping[str, Any], usual: Mapping[str, Any]
) -> str:
    lines = []
    for group in groups:
        own = {key: value for key, value in _settings(group, usual).items() if key not in shared}
        # What another group has and this one leaves as usual must be said, too.
        params = parameters_text(model, group["params"])
        pairs = ", ".join([f'"params": {params}', *(f'"{key}": {value!r}' for key, value in own.items())])
        lines.append(f"{{{pairs}}}")
    return "[\n" + "".join(f"{indent(line)},\n" for line in lines) + "]"


def _settings(group: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value.item() if isinstance(value, torch.Tensor) else value
        for key, value in group.items()
        if key in usual and (key == "lr" or not _equal(value, usual[key]))
    }


def _check(
    kind: type[Optimizer],
    groups: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    model: nn.Module,
    head: str,
) -> None:
    parameters = dict(model.named_parameters())
    usual = default_settings(kind)
    given = [
        {
            **{k: v for k, v in _settings(group, usual).items() if k not in options},
            "params": [parameters[name] for name in group["params"] if name in parameters],
        }
        for group in groups
    ]
    try:
        made = kind(given if len(groups) > 1 else given[0]["params"], **options)
    except Exception as error:  # noqa: BLE001 - a class of a person's own may want anything
        raise Unwritable(f"{head} cannot be made with the settings it has: {error}") from None
    for ours, theirs in zip(made.param_groups, groups):
        for key in usual.keys() & theirs.keys():
            if not _equal(ours.get(key), theirs[key]):
                raise Unwritable(f"{head} has {key}={theirs[key]!r}, with which it cannot be made")


def _equal(one: Any, other: Any) -> bool:
    one = one.tolist() if isinstance(one, torch.Tensor) else one
    other = other.tolist() if isinstance(other, torch.Tensor) else other
    return type(one) is type(other) and bool(one == other) or (one == other and not isinstance(one, bool))
