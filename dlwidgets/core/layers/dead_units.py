"""Dead units: channels whose activation is zero throughout a batch."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .framework import acts_as, framework_of
from .signals import SATURATING, SATURATING_FUNCTIONS, SignalNotes, read_losses
from .walk import Layer, kind_of, uncompiled, walk

#: Below this input an activation is flat at zero: exactly so, or with a slope under 1e-3 (GELU, SiLU, Mish).
_FLAT: dict[type[nn.Module], float] = {
    nn.ReLU: 0.0, nn.ReLU6: 0.0, nn.Hardswish: -3.0, nn.GELU: -4.0, nn.SiLU: -10.0, nn.Mish: -10.0,
}  # fmt: skip
#: The same, called as functions.
_FLAT_FUNCTIONS: dict[Any, float] = {
    F.relu: 0.0, torch.relu: 0.0, torch.relu_: 0.0, torch.Tensor.relu: 0.0, torch.Tensor.relu_: 0.0, F.relu6: 0.0,
    F.hardswish: -3.0, F.gelu: -4.0, F.silu: -10.0, F.mish: -10.0,
}  # fmt: skip
#: In eval mode these leave their fast path as soon as anything in them has a hook, or functions are heard.
_FAST = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.MultiheadAttention)
#: The axis of a layer's output that counts its units.
_AXES = {
    (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm): 1, (nn.Linear, nn.LayerNorm): -1,
}  # fmt: skip
#: These hand on each channel by itself, so that a unit behind them is still one of the layer before them.
_CHANNELWISE = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


@dataclass(frozen=True)
class DeadUnits:
    """Counts of dead units in one batch, an entry a layer.

    A *unit* is a channel (of a convolution) or a feature (of a linear layer). It is *dead* in a batch where
    the activation's input stays, for every sample and at every position, where the activation is flat at
    zero: the unit puts out nothing and passes no gradient back (CS231n notes, "dying ReLU"; Lu et al. 2019,
    "Dying ReLU and initialization"). That is at or below 0 for ReLU and ReLU6, -3 for Hardswish; for smooth
    ones where the slope is under 1e-3: at or below -4 for GELU, -10 for SiLU and Mish. An activation that
    keeps a slope or a value there (LeakyReLU, ELU, sigmoid, tanh) has no dead units and is not listed. One that
    is called as a function (`F.relu`) has no path: its units are those of the layer before it.
    """

    paths: list[str]
    dead: np.ndarray
    units: np.ndarray
    #: Whether it is the activation itself, or the layer whose output went straight into one.
    own: np.ndarray


class UnitProbe:
    """Counts dead units and notes signals inside `with probe:`, by hooks.

    What the hooks find stays on the model's device until `found()`. They read and never write, and what one
    of them raises is kept in `error` and fails no forward.

    Attributes
    ----------
    cost : seconds that the hooks took, with putting them on and taking them off.
    error : what went wrong in them, or None.
    layers : the model's, walked when watching began; None before.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handles: list[Any] = []
        self._forget()

    def _forget(self) -> None:
        self.cost = 0.0
        self.error: Exception | None = None
        self.layers: list[Layer] | None = None
        #: What layers gave, by the tensor's identity: the tensor, their paths, the axis of their units.
        self._given: dict[int, tuple[weakref.ref[torch.Tensor], tuple[str, ...], int]] = {}
        self._calls: list[tuple[str, tuple[str, ...], torch.Tensor]] = []
        self.signals = SignalNotes()
        #: The input and the path of the activation that runs, which calls a function.
        self._entered: tuple[Any, str | None] = (None, None)
        #: The layers that run, of those that call activations inside: the layer, and its path where one ends it.
        self._inside: list[tuple[nn.Module, str | None]] = []
        self._functions: _Functions | None = None
        self._thread = threading.get_ident()

    def __enter__(self) -> UnitProbe:
        self._forget()
        with self._counted():
            self.layers = walk(self._model)
            layers = _watchable(self._model, self.layers)
            for layer in layers:
                self._hang(layer)
            if layers and not any(isinstance(one.module, _FAST) and not one.module.training for one in layers):
                self._functions = _Functions(self)
                self._functions.__enter__()
        return self

    def _hang(self, layer: Layer) -> None:
        path, module = layer.path, layer.module
        floor = flat_below(module)
        axis = next((axis for kinds, axis in _AXES.items() if acts_as(module, kinds)), None)
        if framework_of(module).is_whole(module) and not module._modules:
            # The gates of a cell are meant to saturate.
            ends = framework_of(module).activation_of(module)[0] and not kind_of(module).endswith("Cell")
            self._handles.append(module.register_forward_pre_hook(partial(self._enter, path if ends else None)))
            self._handles.append(module.register_forward_hook(self._leave, always_call=True))
        if floor is not None or type(module) in SATURATING:
            hook = partial(self._see_activation, path, floor)
            self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
        if axis is not None or not path or module._parameters:
            self._handles.append(module.register_forward_hook(partial(self._note_output, path, axis)))

    def __exit__(self, *raised: object) -> None:
        with self._counted():
            functions, self._functions = self._functions, None
            if functions is not None:
                functions.__exit__(None, None, None)
            self._entered, self._inside = (None, None), []
            for handle in self._handles:
                handle.remove()
            self._handles.clear()
            self._given.clear()

    def found(self) -> DeadUnits:
        """Return what was seen since the last `with`, and forget it.

        An activation that ran several times counts its units each time; a layer's unit is dead where it was
        in all of its calls. Raises Exception: what a hook raised.
        """
        if self.error is not None:
            raise self.error
        counts: dict[str, list[torch.Tensor]] = {}
        masks: dict[str, torch.Tensor] = {}
        calls, self._calls = self._calls, []
        for path, fed, mask in calls:
            if path:
                counts.setdefault(path, []).append(mask)
            for layer in fed:
                known = masks.get(layer)
                masks[layer] = mask if known is None or known.shape != mask.shape else known & mask
        masks = {layer: mask for layer, mask in masks.items() if layer not in counts}
        lists = [*counts.values(), *([mask] for mask in masks.values())]
        sums = [mask.sum() for several in lists for mask in several]
        if len({one.device for one in sums}) > 1:
            sums = [one.cpu() for one in sums]
        dead = iter(torch.stack(sums).tolist() if sums else ())
        return DeadUnits(
            [*counts, *masks],
            np.array([sum(next(dead) for _ in several) for several in lists], np.int32),
            np.array([sum(mask.numel() for mask in several) for several in lists], np.int32),
            np.array([True] * len(counts) + [False] * len(masks), bool),
        )

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """Count the time, and keep an exception from the forward around."""
        began = time.perf_counter()
        try:
            yield
        except Exception as error:  # noqa: BLE001 - told by whoever asks for `error`
            self.error = self.error or error
        self.cost += time.perf_counter() - began

    def _hears(self) -> bool:
        # A cell may call the model meanwhile, in a thread of its own.
        return threading.get_ident() == self._thread and self.error is None

    def _enter(self, path: str | None, module: nn.Module, inputs: Any) -> None:
        if self._hears():
            self._inside.append((module, path))

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self._hears() and self._inside:
            self._inside.pop()

    def _see_activation(self, path: str, floor: float | None, module: nn.Module, inputs: Any, keywords: Any) -> None:
        if self._hears():
            with self._counted():
                x = inputs[0] if inputs else keywords.get("input")
                self._entered = x, path if floor is None else None
                if floor is not None:
                    self._note_units(path, floor, x)

    @torch.no_grad()
    def _note_units(self, path: str, floor: float, x: Any) -> None:
        if isinstance(x, torch.Tensor) and x.is_floating_point() and x.ndim > 1 and x.numel():
            fed, axis = self._origin(x)
            if self._inside:  # the activation that ends a layer, or is all of it, as a ReLU of Keras
                within, ends = self._inside[-1]
                fed = fed if ends and not within._parameters else ()
                if not fed and ends and ends.endswith(".activation"):
                    fed = (ends.removesuffix(".activation"),)
                path, axis = ends or "", framework_of(within).channels_of(within, x.ndim) or axis
            self._calls.append((path, fed, highest(x, axis) <= floor))

    def before_function(self, function: Any, x: Any) -> None:
        """Count the dead units of a function."""
        if (floor := _FLAT_FUNCTIONS.get(function)) is not None and x is not self._entered[0] and self._hears():
            with self._counted():
                self._note_units("", floor, x)

    @torch.no_grad()
    def after_function(self, kind: str, x: Any, output: Any) -> None:
        """Note how much of a function's output is saturated."""
        if self._hears() and isinstance(output, torch.Tensor):
            with self._counted():
                path = self._entered[1] if x is self._entered[0] else (self._origin(x)[0] or ("",))[-1]
                path = self._inside[-1][1] if self._inside else path
                if path is not None:
                    self.signals.note_activation(path, kind, output)

    @torch.no_grad()
    def _note_output(self, path: str, axis: int | None, module: nn.Module, inputs: Any, output: Any) -> None:
        if not self._hears():
            return
        with self._counted():
            self.signals.called.add(path)
            if isinstance(output, torch.Tensor):
                if axis is not None:
                    axis = framework_of(module).channels_of(module, output.ndim) or axis
                    hands_on = acts_as(module, _CHANNELWISE) and inputs
                    before = self._origin(inputs[0])[0] if hands_on else ()
                    self._given[id(output)] = (weakref.ref(output), (*before, path), axis)
                    self.signals.note_layer(path, module, inputs, output)
                if not path:
                    self.signals.note_output(output, (self._origin(output)[0] or (None,))[-1])

    def see_loss(self, loss: torch.Tensor) -> None:
        """Note what the loss is computed of, before its backward."""
        with self._counted():
            self.signals.losses = read_losses(loss)

    def _origin(self, x: Any) -> tuple[tuple[str, ...], int]:
        """Find the layers that returned `x`, and its unit axis."""
        known = self._given.get(id(x))
        if known is not None and known[0]() is x:
            return known[1], known[2]
        axes = x.ndim if isinstance(x, torch.Tensor) else 0
        return (), (axes > 1 and framework_of(self._model).channels_of(self._model, axes)) or (-1 if axes == 3 else 1)


class _Functions(TorchFunctionMode):
    """Hears of activations that are called as functions."""

    def __init__(self, probe: UnitProbe) -> None:
        super().__init__()
        self._probe = probe

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _FLAT_FUNCTIONS:
            self._probe.before_function(func, args[0] if args else kwargs.get("input"))
        output = func(*args, **kwargs)
        if (kind := SATURATING_FUNCTIONS.get(func)) is not None:
            self._probe.after_function(kind, args[0] if args else kwargs.get("input"), output)
        return output


def flat_below(module: nn.Module) -> float | None:
    """Return the input below which an activation is zero, or None."""
    if isinstance(module, nn.Threshold):
        return float(module.threshold) if module.value == 0 else None
    return next((floor for kind, floor in _FLAT.items() if isinstance(module, kind)), None)


def highest(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Return the largest value of each unit, over all other axes."""
    x = x.detach()
    axis %= x.ndim
    if axis == 1 and x.ndim > 2 and x.is_contiguous():
        return x.flatten(2).amax(2).amax(0)  # over contiguous values: several times faster
    return x.movedim(axis, -1).flatten(0, -2).amax(0)


def _watchable(model: nn.Module, layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers that compute the same with a hook."""
    layers = [] if uncompiled(model) is not model else [layer for layer in layers if not layer.again]
    if any(getattr(layer.module, "_compiled_call_impl", None) is not None for layer in layers):
        return []  # a hook might have it compiled anew
    evaluated = (layer for layer in layers if not layer.module.training)
    fast = [f"{one.path}." for one in evaluated if isinstance(one.module, nn.TransformerEncoderLayer)]
    plain = [layer for layer in layers if not isinstance(layer.module, torch.jit.ScriptModule)]
    return [layer for layer in plain if not layer.path.startswith(tuple(fast))]
