"""Facts of a model that its training does not change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn
from torch.optim import Optimizer

from ..controls.parameter_groups import groups_by_id
from ..layers.unregistered import find_unregistered
from ..layers.walk import numel_of, walk


@dataclass(frozen=True)
class ModelFacts:
    """What was found of a model and its optimizers before a step.

    Attributes
    ----------
    parameters, trainable : how many numbers its parameters have, and how many of these are to train.
    left_out : path -> how many numbers of a layer are to train, which no optimizer moves.
    hidden : (path, sentence) of what holds weights where torch does not look.
    frozen_norms : the BatchNorm layers whose parameters are all frozen and whose statistics move all the same.
    """

    parameters: int = 0
    trainable: int = 0
    left_out: tuple[tuple[str, int], ...] = ()
    hidden: tuple[tuple[str, str], ...] = ()
    frozen_norms: tuple[str, ...] = ()


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
        norm = isinstance(layer.module, nn.modules.batchnorm._BatchNorm)
        if norm and own and not training and layer.module.training and layer.module.track_running_stats:
            norms.append(layer.path)
    hidden = find_unregistered({layer.path: layer.module for layer in layers})
    said = tuple((one.path, one.sentence()) for one in hidden)
    return ModelFacts(total, trainable, tuple(left.items()), said, tuple(norms))
