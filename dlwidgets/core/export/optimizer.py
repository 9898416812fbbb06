"""An optimizer as a Python expression, checked by making it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ..controls.optimizer import default_settings
from ..layers.structure import expression_of
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
    head, usual = sources.use(kind), default_settings(kind)
    parameters = dict(model.named_parameters())
    if any(None in group["params"] for group in groups):
        raise Unwritable("the optimizer moves tensors that are no parameters of the model")
    settings = [
        {
            key: value.item() if isinstance(value, torch.Tensor) else value
            for key, value in group.items()
            if key in usual and (key == "lr" or not _equal(value, usual[key]))
        }
        for group in groups
    ]
    shared = {
        key: value for key, value in settings[0].items()
        if all(_equal(group.get(key), value) for group in groups[1:])
    }  # fmt: skip
    own = [{key: value for key, value in one.items() if key not in shared} for one in settings]

    given = [
        {**one, "params": [parameters[name] for name in group["params"] if name in parameters]}
        for one, group in zip(own, groups)
    ]
    try:
        made = kind(given if len(groups) > 1 else given[0]["params"], **shared)
    except Exception as error:  # noqa: BLE001 - a class of a person's own may want anything
        raise Unwritable(f"{head} cannot be made with the settings it has: {error}") from None
    for ours, theirs in zip(made.param_groups, groups):
        for key in usual.keys() & theirs.keys():
            if not _equal(ours.get(key), theirs[key]):
                raise Unwritable(f"{head} has {key}={theirs[key]!r}, with which it cannot be made")

    texts = [parameters_text(model, group["params"]) for group in groups]
    if len(groups) > 1:
        lines = [
            ", ".join([f'"params": {text}', *(f'"{key}": {value!r}' for key, value in one.items())])
            for text, one in zip(texts, own)
        ]
        first = "[\n" + "".join(f"{indent(f'{{{line}}}')},\n" for line in lines) + "]"
    else:
        # Each parameter is moved by itself: their order plays no part.
        whole = sorted(groups[0]["params"]) == sorted(parameters if names is None else names)
        first = "model.parameters()" if whole else texts[0]
    # The rate first: it is what is looked for.
    return format_call(head, [first], dict(sorted(shared.items(), key=lambda one: one[0] != "lr")))


def parameters_text(model: nn.Module, names: Sequence[str]) -> str:
    """Return the expression for parameters, by whole layers where possible."""
    for path, module in model.named_modules():
        inside = [f"{path}.{name}" if path else name for name, _ in module.named_parameters()]
        if inside and inside == list(names):
            return f"{expression_of(model, path)}.parameters()"
    texts = [expression_of(model, name) for name in names]
    parameters = dict(model.named_parameters())
    if len(names) <= 6 or not set(names) <= parameters.keys():
        return f"[{', '.join(texts)}]"
    for test, wanted in (("p.ndim > 1", True), ("p.ndim <= 1", False)):
        if [name for name, p in parameters.items() if (p.ndim > 1) is wanted] == list(names):
            return f"[p for p in model.parameters() if {test}]"
    return "[\n" + indent(",\n".join(texts)) + ",\n]"


def _equal(one: Any, other: Any) -> bool:
    one = one.tolist() if isinstance(one, torch.Tensor) else one
    other = other.tolist() if isinstance(other, torch.Tensor) else other
    return bool(one == other) and (type(one) is type(other) or not isinstance(one, bool))
