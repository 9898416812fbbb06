"""Builds a Keras model by inputs, or a copy of it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from ...base.isolation import eval_mode, preserve_random_state
from ...base.trees import call_model, slice_rows, tree_map, tree_tensors
from ..framework import adopt, handed_over
from ..stand_in import lent
from ..walk import walk
from .adoption import is_layer
from .unbuilt import is_sequential


def build_model(model: nn.Module, inputs: Any) -> None:
    """Build a model by the first sample of a batch, in place.

    The batch stays open. Its random numbers are those of the layers' own seeds: weights are as after Keras's `fit`.

    Raises
    ------
    Exception : what Keras raises where the inputs do not suit; a Sequential may then be built.
    """
    keras_model, tensors = handed_over(model), list(tree_tensors(inputs))
    if is_sequential(keras_model) and len(tensors) == 1 and tensors[0].ndim:
        kept = keras_model._layers
        try:
            # By a call it would be built for the number of samples in that.
            keras_model.build((None, *tensors[0].shape[1:]))
        except Exception:
            keras_model._layers = kept  # else it would have this input shape for good
            raise
        if keras_model._functional is not None:
            adopt(keras_model)
            return
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(preserve_random_state())
        stack.enter_context(eval_mode(model))
        call_model(model, tree_map(_with_values, slice_rows(inputs, 0, 1)))
    adopt(keras_model)


def built_twin(model: nn.Module, inputs: Any) -> nn.Module:
    """Return a copy that is built by a batch; the model is as it was.

    It has the weights that the model would have. On another backend than torch, where only Keras can copy a model, one
    that it cannot copy is built itself.

    Raises
    ------
    Exception : what Keras raises where the inputs do not suit.
    """
    keras_model = handed_over(model)
    if isinstance(keras_model, nn.Module):
        twin = lent(model)
        for one, copied in zip(walk(model), walk(twin)):
            if is_layer(type(one.module)):  # a stand-in's models count as built, so that they are not traced twice
                vars(copied.module)["built"] = one.module.built
    else:
        import keras

        try:
            twin = adopt(keras.models.clone_model(keras_model))
        except Exception:  # noqa: BLE001 - a class of one's own may not say of what it is made
            twin = model
    build_model(twin, inputs)
    return twin


def _with_values(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.is_meta else tensor
