"""Builds a Keras model by inputs, or a copy of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from ...base.isolation import eval_mode, preserve_random_state
from ...base.trees import call_model, slice_rows, tree_map, tree_tensors
from ..framework import adopt, handed_over, is_layer
from ..kinds import shape_words
from ..stand_in import lent
from ..walk import Layer, walk
from .unbuilt import find_unbuilt, has_class, is_sequential
from .wrong_inputs import explain_inputs, first_channels


def build_for(layers: Sequence[Layer], inputs: Any, copied: bool) -> tuple[nn.Module, str]:
    """Build a model, or a copy of it, and say so.

    Raises
    ------
    ValueError : in a sentence, which layer takes no such inputs; the model is as it was.
    """
    model, first = layers[0].module, find_unbuilt(layers)
    shapes = [tuple(tensor.shape) for tensor in tree_tensors(inputs)]
    sample, doubt = " and ".join(shape_words(shape[1:]) for shape in shapes), ""
    if len(shapes) == 1 and first is not None and (why := first_channels(handed_over(first.module), shapes[0])):
        doubt = f"{first.path} ({first.kind}) takes {shape_words(shapes[0])} as height, width and channels last: {why}"
    try:
        twin = built_twin(model, inputs)
    except Exception as error:
        modules = {layer.path: layer.module for layer in layers}
        raise ValueError(doubt + "." if doubt else explain_inputs(error, modules, "", shapes, shapes)[0]) from error
    if doubt and not copied:
        raise ValueError(f"{doubt}. If they are meant so, model.build({(None, *shapes[0][1:])}) builds it.")
    if copied and twin is not model:
        said = f"The model is not built yet; this is a copy of it, built for inputs of {sample}."
        return twin, f"{said} But {doubt}." if doubt else said
    if not copied:
        build_model(model, inputs)
    return model, f"The model was built for inputs of {sample}."


def build_model(model: nn.Module, inputs: Any) -> None:
    """Build a model by the first sample of a batch, in place.

    The batch stays open. Its random numbers are those of the layers' own seeds: weights are as after Keras's `fit`.

    Raises
    ------
    Exception : what Keras raises where the inputs do not suit; a Sequential may then be built.
    """
    keras_model, tensors = handed_over(model), list(tree_tensors(inputs))
    # One that begins with an Input is built up to a TorchModuleWrapper, behind which only a call can tell shapes.
    begins = is_sequential(keras_model) and has_class(next(iter(keras_model._layers), None), "InputLayer")
    if is_sequential(keras_model) and not begins and len(tensors) == 1 and tensors[0].ndim:
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
    """Return a copy that is built by a batch.

    The model is as it was; the copy has the weights that it would have. On another backend than torch, where only Keras
    can copy a model, one that it cannot copy is built itself.

    Raises
    ------
    Exception : what Keras raises where the inputs do not suit.
    """
    from keras.src.backend.common import global_state

    keras_model = handed_over(model)
    uids = global_state.get_global_attribute("object_name_uids", default={})
    kept = dict(uids)
    try:
        twin = _copied(model, keras_model)
        build_model(twin, inputs)
        return twin
    finally:  # by which Keras numbers the layers that the person makes next
        uids.clear()
        uids.update(kept)


def _copied(model: nn.Module, keras_model: Any) -> nn.Module:
    if isinstance(keras_model, nn.Module):
        twin = lent(model)
        for one, copied in zip(walk(model), walk(twin)):
            if is_layer(type(one.module)):  # a stand-in's models count as built, so that they are not traced twice
                vars(copied.module)["built"] = one.module.built
        return twin
    import keras

    try:
        return adopt(keras.models.clone_model(keras_model))
    except Exception:  # noqa: BLE001 - a class of one's own may not say of what it is made
        return model


def _with_values(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype) if tensor.is_meta else tensor
