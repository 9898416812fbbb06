"""Calls of a Keras model, with inputs as they are handed over."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch

#: Arguments of a `call` that are no inputs.
_NO_INPUTS = {"training", "mask"}


def call(model: Any, inputs: Any) -> Any:
    """Call a Keras model in the mode that its `training` says.

    Several inputs, in a tuple or list, are one argument where `call` takes one alone, as that of a Functional model;
    a dict is one too, unless its keys are arguments of `call`.
    """
    given, named = (inputs,), {}
    if (stars := stars_before(model, inputs)) == "*":
        given = tuple(inputs)
    elif stars:
        given, named = (), dict(inputs)
    elif isinstance(inputs, (tuple, list)):
        _refuse_surplus(model, inputs)
        given = (pack_inputs(model, inputs),)
    if model._call_has_training_arg:
        named["training"] = model.training
    return model(*given, **named)


def _refuse_surplus(model: Any, inputs: Any) -> None:
    """Raise ValueError where a model has fewer inputs.

    Keras takes the first, and warns.
    """
    known = getattr(model, "inputs", None)
    if known and len(inputs) > len(known) and all(isinstance(one, torch.Tensor) for one in inputs):
        raise ValueError(f"It has {len(known)} inputs and was given {len(inputs)} input tensors.")


def pack_inputs(model: Any, inputs: Any) -> Any:
    """Return several inputs as the dict that a model takes.

    A Functional one takes a list as well, in this order, and warns of it.
    """
    form = getattr(model, "_inputs_struct", None)
    if isinstance(form, dict) and len(form) == len(inputs):
        return sys.modules["keras"].tree.pack_sequence_as(form, list(inputs))
    return list(inputs)


def stars_before(model: Any, inputs: Any) -> str:
    """Return what stands before inputs in a call: "", "*" or "**"."""
    every = model._call_signature.parameters.values()
    places = [one for one in every if one.name not in _NO_INPUTS and one.kind is not one.VAR_KEYWORD]
    several = len(places) > 1 or any(one.kind is one.VAR_POSITIONAL for one in places)
    if isinstance(inputs, (tuple, list)) and (len(inputs) == 1 and isinstance(inputs, tuple) or several):
        return "*"
    return "**" if isinstance(inputs, Mapping) and set(inputs) <= {one.name for one in places} else ""
