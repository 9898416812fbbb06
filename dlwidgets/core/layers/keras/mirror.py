"""A module that stands for a Keras model on TensorFlow or JAX."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ...base.trees import CALLS, tree_tensors
from ..framework import is_layer
from .adoption import name_parts
from .calls import call
from .mirrored_call import MirroredCall, array_of, copy_value

_CURRENT = threading.local()


def mirror(model: Any) -> Mirror:
    """Return what stands for a Keras model, brought up to date."""
    found = model if isinstance(model, Mirror) else _mirror_of(model)
    for one in list(found.modules()):
        one.refresh()
    return found


def _mirror_of(layer: Any) -> Mirror:
    if (found := vars(layer).get("_dlwidgets_mirror")) is None:
        # Not by setattr, by which Keras keeps track of what a layer holds.
        found = vars(layer)["_dlwidgets_mirror"] = _kind(type(layer))(layer)
    return found


@functools.cache
def _kind(layer: type) -> type[Mirror]:
    """Return the class of mirrors of a Keras class, of its name."""
    made = type(layer.__name__, (Mirror,), {"stands_for": layer})
    CALLS[made] = call
    return made


class _Held:
    """Holds a Keras layer that nobody looks into or copies."""

    __slots__ = ("layer",)  # which no search for what is held reads

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def __deepcopy__(self, memo: Any) -> _Held:
        return self


class Mirror(nn.Module):
    """Stands for a Keras layer, whose attributes it has too.

    Its parameters and buffers are copies of the layer's variables, under the names that they have on the torch backend;
    its modules are the mirrors of the layers inside. Its forward calls the Keras layer and changes nothing in it;
    while it runs, layers inside that are heard, by hooks or in the place of their `forward`, are called through their
    mirrors. On tensors of the meta device Keras is followed without values. There are no gradients.
    """

    stands_for: type = nn.Module  #: The class of the layer.

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.held = _Held(layer)
        self.training = False
        self.refresh()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("__") or "held" not in vars(self):
                raise
            return getattr(vars(self)["held"].layer, name)

    @property
    def _dlwidgets_stands_for(self) -> Any:
        return self.held.layer

    @property
    def trainable(self) -> bool:
        """Whether the layer trains; set, those inside do too."""
        return self.held.layer.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.held.layer.trainable = value

    def refresh(self) -> None:
        """Take over weights, flags and the layers inside.

        While JAX trains, the layers have none: what was theirs before stays.
        """
        if self._parameters and any(one._value is None for one in self.held.layer.variables):
            return
        inside, trained, beside = self._parts()
        mirrors = {name: _mirror_of(one) for name, one in inside.items()}
        if list(self._modules.items()) != list(mirrors.items()):
            self._modules.clear()
            self._modules.update(mirrors)
        _take_over(self._parameters, trained, lambda made: nn.Parameter(made, made.is_floating_point()))
        _take_over(self._buffers, beside, lambda made: made)
        for name, variable in trained.items():
            if self._parameters[name].requires_grad != bool(variable.trainable):
                self._parameters[name].requires_grad_(bool(variable.trainable))

    def trained_copies(self) -> list[tuple[Any, torch.Tensor]]:
        """List the variables that the layer trains, each with its copy."""
        return [(variable, self._parameters[name]) for name, variable in self._parts()[1].items()]

    def hand_over(self) -> None:
        """Give the Keras layer the weights that the copies have."""
        for kept, variables in zip((self._parameters, self._buffers), self._parts()[1:]):
            for name, variable in variables.items():
                variable.assign(array_of(kept[name]))

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.hand_over()

    def _parts(self) -> Any:
        layer = self.held.layer
        return name_parts(layer, {name: one for name, one in vars(layer).items() if is_layer(type(one))})

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the Keras layer; return its output as tensors."""
        tensors = list(tree_tensors((args, kwargs)))
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            raise NotImplementedError(f"gradients are not followed through Keras. {how_to_switch()}")
        if (around := getattr(_CURRENT, "call", None)) is not None and around.knows(self):
            return around.pass_on(self, args, kwargs)
        made = MirroredCall(self, any(tensor.is_meta for tensor in tensors))
        before, _CURRENT.call = getattr(_CURRENT, "call", None), made
        try:
            return made.run(args, kwargs)
        finally:
            _CURRENT.call = before


def how_to_switch() -> str:
    """Say how a model comes on the torch backend, in a sentence."""
    import keras

    return (
        f"This model is on Keras's {keras.backend.backend()} backend: for the torch backend write "
        'import os; os.environ["KERAS_BACKEND"] = "torch" above the first import of keras, and restart the kernel.'
    )


def _take_over(kept: dict[str, Any], variables: dict[str, Any], make: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Bring copies of variables up to date, in place if possible."""
    found = {}
    for name, variable in variables.items():
        now, old = copy_value(variable.value), kept.get(name)
        if old is None or old.shape != now.shape or old.dtype != now.dtype:
            found[name] = make(now)
            continue
        found[name] = old
        if not torch.equal(old, now):
            with torch.no_grad():
                old.copy_(now)
    if list(found) != list(kept) or any(kept[name] is not one for name, one in found.items()):
        kept.clear()
        kept.update(found)
