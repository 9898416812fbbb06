"""Facts of a model that its training does not change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from ..controls.parameter_groups import groups_by_id
from ..controls.patterns import statistics_of
from ..layers.framework import framework_of
from ..layers.unregistered import find_unregistered
from ..layers.walk import Layer, module_at, numel_of, uncompiled, walk


@dataclass(frozen=True)
class ModelFacts:
    """What was found of a model and its optimizers before a step.

    Attributes
    ----------
    parameters, trainable : how many numbers its parameters have, and how many of these are to train.
    left_out : path -> how many numbers of a layer are to train, which no optimizer moves.
    hidden : (path, sentence) of what holds weights where torch does not look.
    frozen_norms : the layers whose parameters are all frozen and whose running statistics move all the same; of those
        without parameters, such as stand among frozen ones alone.
    """

    parameters: int = 0
    trainable: int = 0
    left_out: tuple[tuple[str, int], ...] = ()
    hidden: tuple[tuple[str, str], ...] = ()
    frozen_norms: tuple[str, ...] = ()


def is_frozen(model: nn.Module, layer: Layer) -> bool:
    """Say whether a layer's parameters, or those around it, are all frozen."""
    own = [*layer.module.parameters()]
    if not own and layer.parent:
        own = [*module_at(uncompiled(model), layer.parent).parameters()]
    return bool(own) and not any(one.requires_grad for one in own)


def find_mover(model: nn.Module, optimizers: Iterable[Optimizer], name: str) -> tuple[str, str] | None:
    """Return what may move a frozen tensor, and a remedy.

    The first is a clause, the second "" where none helps; None where it cannot be told.
    """
    path, _, own = name.rpartition(".")
    module = module_at(uncompiled(model), path)
    tensor = getattr(module, own, None)
    for optimizer in optimizers:
        if id(tensor) in groups_by_id(optimizer):
            kind = type(optimizer)
            if getattr(tensor, "grad", None) is not None:
                left = f"The optimizer still has a gradient of {name}, of zeros that its zero_grad() leaves"
                return f"{left}: momentum and weight decay move it on", "freeze_too"
            if vars(torch.optim).get(kind.__name__) is not kind:
                said = f"{kind.__name__}, an optimizer that is not torch's, may move {name} without a gradient"
                return said, "torch_optimizer"
    if module._forward_hooks or module._forward_pre_hooks:
        return f"{path or 'The model'} has a hook on its forward, which may write into it", ""
    return None


def read_model(model: nn.Module, optimizers: Iterable[Optimizer]) -> ModelFacts:
    """Return the facts of a model in train mode; nothing is run."""
    layers = [layer for layer in walk(model) if not layer.again]
    moved = {key for optimizer in optimizers for key in groups_by_id(optimizer)}
    seen: set[int] = set()
    total = trainable = 0
    left: dict[str, int] = {}
    norms = []
    for layer in layers:
        own = [one for one in layer.module._parameters.values() if one is not None and id(one) not in seen]
        seen.update(map(id, own))
        total += sum(map(numel_of, own))
        training = [one for one in own if one.requires_grad]
        trainable += sum(map(numel_of, training))
        if still := [one for one in training if id(one) not in moved]:
            left[layer.path] = sum(map(numel_of, still))
        follows = layer.module.training and statistics_of(layer.module)
        if follows and not framework_of(layer.module).holds_statistics(layer.module) and is_frozen(model, layer):
            norms.append(layer.path)
    hidden = find_unregistered({layer.path: layer.module for layer in layers})
    said = tuple((one.path, one.sentence()) for one in hidden)
    return ModelFacts(total, trainable, tuple(left.items()), said, tuple(norms))
