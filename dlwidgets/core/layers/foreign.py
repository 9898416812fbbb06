"""Layers of other frameworks than torch in a model: copied, built, frozen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .framework import foreign_layers, handed_over, is_foreign

if TYPE_CHECKING:
    from .walk import Layer


def _has_foreign(layers: Sequence[Layer]) -> bool:
    """Say whether a model is, or holds, what is of another framework."""
    return "keras" in sys.modules and any(is_foreign(one.module) for one in layers)


def copy_layers(model: nn.Module, memo: dict[int, Any], other: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Copy the layers that `copy.deepcopy` cannot, into its memo.

    `other` copies a tensor that the memo does not have.
    """
    if layers := [one for one in foreign_layers(model) if handed_over(one) is one]:
        from .keras.copies import LayerCopies

        LayerCopies(memo, other).add(layers)


def modes_set_by_calls(model: nn.Module) -> set[int]:
    """Return the identities of modules whose mode each call sets.

    Keras does so to the torch modules that it wraps.
    """
    wrapped = [one for layer in foreign_layers(model) for one in layer._modules.values() if one is not None]
    return {id(one) for module in wrapped if not is_foreign(module) for one in module.modules()}


def follow_parameters(model: nn.Module) -> None:
    """Have another framework's layers go by the parameters that stand in them."""
    if layers := foreign_layers(model):
        from .keras import heads

        heads.take_parameters(layers)
        heads.renew_shapes(layers)


def settle_trainable(model: nn.Module, held: Mapping[int, bool]) -> None:
    """Have a framework's own flags say what trains, by `requires_grad`.

    Parameters
    ----------
    held : the identity of layers with statistics -> whether they are to hold them; others stay as they are.
    """
    if layers := foreign_layers(model):
        from .keras import freezing

        freezing.settle(layers, held)


def refuse_unbuilt(layers: Sequence[Layer]) -> None:
    """Raise ValueError, with the line to write, of an unbuilt model."""
    if is_unbuilt(layers):
        raise ValueError(say_unready(layers, ""))


def say_unready(layers: Sequence[Layer], call: str) -> str:
    """Say why a model has no shapes of its own.

    Models of torch never have any, and nothing is said of them: "". Those of Keras have, once they are built. `call` is
    how the function is reached that takes a batch.
    """
    if not _has_foreign(layers):
        return ""
    from .keras.unbuilt import say_open, say_unbuilt

    return say_unbuilt(layers, call) or say_open(layers, call)


def is_unbuilt(layers: Sequence[Layer]) -> bool:
    """Say whether a model waits for a shape to have weights."""
    if not _has_foreign(layers):
        return False
    from .keras.unbuilt import find_unbuilt

    return find_unbuilt(layers) is not None


def build_by(layers: Sequence[Layer], inputs: Any, copied: bool = True) -> tuple[nn.Module, str] | None:
    """Build a model that has no shapes yet by a batch.

    Parameters
    ----------
    copied : whether a copy is built, and the model left as it is.

    Returns
    -------
    The built one, and what was done, in a sentence. None: the model is built.

    Raises
    ------
    ValueError : in a sentence, which layer takes no such inputs.
    """
    if not is_unbuilt(layers):
        return None
    from .keras.building import build_for

    return build_for(layers, inputs, copied)


def idle_arguments(layers: Sequence[Layer]) -> list[str]:
    """Say which arguments do nothing where they stand, or are missing."""
    if not _has_foreign(layers):
        return []
    from .keras.kinds import say_deaf
    from .keras.unbuilt import idle_shapes

    return [*idle_shapes(layers), *say_deaf(layers)]
