"""Signals: what layers put out in one step, and the loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .framework import acts_as, framework_of

#: Of so many samples and values of each, a layer's spread is measured.
_SAMPLES, _VALUES = 16, 256
#: Functions that saturate, by name -> whether an output is saturated: the slope there is under 1 % of its greatest.
_SATURATED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sigmoid": lambda y: y * (1 - y) < 0.0025, "tanh": lambda y: y * y > 0.99,
    "hardtanh": lambda y: y.abs() == 1, "hardsigmoid": lambda y: (y == 0) | (y == 1),
    "softmax": lambda y: y.amax(-1) > 0.99,
}  # fmt: skip
SATURATING: dict[type[nn.Module], str] = {
    nn.Sigmoid: "sigmoid", nn.Tanh: "tanh", nn.Hardtanh: "hardtanh", nn.Hardsigmoid: "hardsigmoid",
    nn.Softmax: "softmax",
}  # fmt: skip
SATURATING_FUNCTIONS: dict[Any, str] = {
    torch.sigmoid: "sigmoid", torch.Tensor.sigmoid: "sigmoid", F.sigmoid: "sigmoid", torch.special.expit: "sigmoid",
    torch.tanh: "tanh", torch.Tensor.tanh: "tanh", F.tanh: "tanh", F.hardtanh: "hardtanh",
    F.hardsigmoid: "hardsigmoid", F.softmax: "softmax", torch.softmax: "softmax", torch.Tensor.softmax: "softmax",
}  # fmt: skip


@dataclass(frozen=True)
class LossPath:
    """A loss and what it is computed of.

    Attributes
    ----------
    operations : names in autograd's words, the loss first: ("NllLoss", "LogSoftmax", "Softmax"). What only
        reshapes is left out.
    targets : (least, greatest, mean square) of a regression's targets; None of others.
    unlearnt : what the mean of it is where nothing is known: ln C of C classes, ln 2 of yes or no, the mean square of
        numbers; None where that is not known.
    """

    operations: tuple[str, ...]
    targets: tuple[float, float, float] | None = None
    unlearnt: float | None = None


@dataclass(frozen=True)
class Signals:
    """What went through the layers in one step.

    Attributes
    ----------
    paths, spread : layers in the order of their calls, and how far their outputs differ from sample to sample:
        the standard deviation over the samples, its mean over the units (float32).
    called : the layers with parameters whose forward ran.
    saturated : path -> the share (0..1) of an activation's outputs where its slope is under 1 % of its greatest; of
        a softmax, of its rows with a probability over 0.99. The one that ends the model is left out; one that was
        called as a function has the path of the layer before it.
    norms : path of each BatchNorm that learns its statistics -> samples and values a
        channel of its smallest batch, and calls.
    output : (least, greatest) of the model's output; None where it is no tensor.
    sums_to_one : whether each sample's outputs are 0 or more and sum to 1.
    last : the path of the layer that put the output out; None where an operation after it did.
    losses : what the loss was computed of.
    """

    paths: list[str] = field(default_factory=list)
    spread: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    called: frozenset[str] = frozenset()
    saturated: Mapping[str, float] = field(default_factory=dict)
    norms: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    output: tuple[float, float] | None = None
    sums_to_one: bool = False
    last: str | None = None
    losses: tuple[LossPath, ...] = ()


class SignalNotes:
    """Notes signals as they pass, on the model's device, until `found`."""

    def __init__(self) -> None:
        self._spread: dict[str, torch.Tensor] = {}
        self._saturated: dict[str, tuple[str, torch.Tensor]] = {}
        self._norms: dict[str, tuple[int, int, int]] = {}
        self._output: torch.Tensor | None = None
        self._last: str | None = None
        self.called: set[str] = set()
        self.losses: tuple[LossPath, ...] = ()

    def note_layer(self, path: str, module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        """Note what a layer put out; of a BatchNorm, its batch."""
        if path not in self._spread and output.ndim > 1 and len(output) > 1 and output.is_floating_point():
            self._spread[path] = _sample(output).std(0, unbiased=False).mean()
        norm = acts_as(module, nn.modules.batchnorm._BatchNorm) and module.training and output.ndim > 1
        follows = norm and getattr(module, "track_running_stats", True)
        if follows and not framework_of(module).holds_statistics(module):
            axis = framework_of(module).channels_of(module, output.ndim) or 1
            samples, values = len(output), output.numel() // max(1, output.shape[axis])
            known = self._norms.get(path, (samples, values, 0))
            self._norms[path] = min(samples, known[0]), min(values, known[1]), known[2] + 1

    def note_activation(self, path: str, kind: str, output: torch.Tensor) -> None:
        """Note which share of an activation's outputs is saturated."""
        if output.ndim > 1 and output.numel() and output.is_floating_point():
            self._saturated[path] = kind, _SATURATED[kind](_sample(output)).float().mean()

    def note_output(self, output: torch.Tensor, last: str | None) -> None:
        """Note what the model put out, and which layer did."""
        self._output, self._last = output.detach(), last

    def found(self) -> Signals:
        """Return what was noted, in one transfer from the device."""
        kept = [*self._spread.values(), *(share for _, share in self._saturated.values())]
        out = self._output
        if out is not None and out.numel() and out.is_floating_point():
            kept += [out.amin(), out.amax()]
            summed = out.ndim > 1 and out.shape[1] > 1
            kept.append((out.sum(1) - 1).abs().amax() if summed else out.new_tensor(1.0))
        else:
            out = None
        if len({one.device for one in kept}) > 1:
            kept = [one.cpu() for one in kept]
        numbers = torch.stack([one.float() for one in kept]).tolist() if kept else []
        ends, off = (tuple(numbers[-3:-1]), numbers[-1]) if out is not None else (None, 1.0)
        count = len(self._spread)
        shares = self._within(dict(zip(self._saturated, numbers[count:])))
        sums = ends is not None and ends[0] >= 0 and off < 1e-3
        return Signals(
            list(self._spread), np.array(numbers[:count], np.float32), frozenset(self.called), shares,
            dict(self._norms), ends, sums, self._last, self.losses,
        )  # fmt: skip

    def _within(self, shares: dict[str, float]) -> dict[str, float]:
        """Leave out the activation that ends the model, which may saturate."""
        if any(set([name for name in one.operations if name != "Log"][1:3]) & _ENDS for one in self.losses):
            shares.popitem() if shares else None
        return shares


def _sample(x: torch.Tensor) -> torch.Tensor:
    """Return some values of some samples, evenly spaced."""
    rows = x.detach()[:_SAMPLES]
    if x.ndim > 2:
        rows = rows.flatten(1)
    return rows[:, :: max(1, rows.shape[1] // _VALUES)].float()


# -- the loss, read backward

#: Losses in autograd's words, before "Backward0".
_LOSSES = {
    "NllLoss", "NllLoss2D", "LogSoftmax", "BinaryCrossEntropy", "BinaryCrossEntropyWithLogits", "MseLoss", "HuberLoss",
    "SmoothL1Loss",
}  # fmt: skip
_REGRESSION = {"MseLoss", "HuberLoss", "SmoothL1Loss"}
_ENDS = {"Softmax", "Sigmoid", "Tanh", "Hardtanh", "Hardsigmoid"}
#: What changes no value.
_SHAPES = {
    "View", "UnsafeView", "Reshape", "ReshapeAlias", "Transpose", "T", "Permute", "Squeeze", "Unsqueeze", "Select",
    "Slice", "Index", "Clone", "Alias", "ToCopy", "Expand", "AsStrided", "NativeDropout",
}  # fmt: skip
#: Where the model begins, at the latest.
_LAYERS = {"Addmm", "Mm", "Bmm", "Convolution", "NativeBatchNorm", "NativeLayerNorm", "Embedding", "AccumulateGrad"}
#: How many nodes are searched, and how many operations before a loss are named.
_NODES, _BEFORE = 60, 4
#: Below this a least value is there for the logarithm alone (Keras: 1e-7).
_CLIPPED = 1e-4


def read_losses(loss: torch.Tensor) -> tuple[LossPath, ...]:
    """Return the losses that make up a loss, before its backward."""
    found, seen, waiting = [], set(), [loss.grad_fn]
    while waiting and len(seen) < _NODES:
        node = waiting.pop(0)
        if node is None or node in seen:
            continue
        seen.add(node)
        if (name := _name(node)) in _LOSSES:
            found.append(_path_of(node, name))
        elif name == "Log" and _clips(_source(node)):  # of probabilities, and one-hot rows
            found.append(LossPath(("NllLoss", name, *_before(node)), unlearnt=math.log(node._saved_self.shape[-1])))
        elif name not in _LAYERS:
            waiting += [one for one, _ in node.next_functions]
    return tuple(found)


def _name(node: Any) -> str:
    return str(node.name()).rpartition("::")[2].partition("Backward")[0]


def _source(node: Any) -> Any:
    """Return the node before that does more than reshape, or None."""
    while node.next_functions and (node := node.next_functions[0][0]) is not None:
        if _name(node) not in _SHAPES:
            return node
    return None


def _before(node: Any) -> list[str]:
    names: list[str] = []
    while len(names) < _BEFORE and (node := _source(node)) is not None:
        if not _clips(node):
            names.append(_name(node))
        elif (scaled := _source(node)) is not None and _name(scaled) == "Div":
            node = scaled  # to a sum of 1, which they have
    return names


def _clips(node: Any) -> bool:
    """Say whether a node keeps probabilities off 0, as Keras's losses do."""
    return node is not None and _name(node) == "Clamp" and 0 < (node._saved_min or 0) < _CLIPPED


def _path_of(node: Any, name: str) -> LossPath:
    operations = (name, *_before(node))
    if name in _REGRESSION and (targets := _targets(node)) is not None:
        return LossPath(operations, targets, targets[2])
    if name.startswith("Binary"):
        weighed = any(getattr(node, name, None) is not None for name in ("_saved_weight", "_saved_pos_weight"))
        return LossPath(operations, unlearnt=None if weighed else math.log(2))
    inner = _source(node) if name.startswith("Nll") else node
    if inner is not None and _name(inner) == "Log" and _clips(_source(inner)):
        return LossPath(operations, unlearnt=math.log(inner._saved_self.shape[1]))
    if inner is None or _name(inner) != "LogSoftmax":
        return LossPath(operations)
    # A negative axis is told as an unsigned number.
    axis = inner._saved_dim if inner._saved_dim < 2**63 else inner._saved_dim - 2**64
    classes = inner._saved_result.shape[axis]
    return LossPath(operations, unlearnt=math.log(classes))


def _targets(node: Any) -> tuple[float, float, float] | None:
    given = getattr(node, "_saved_target", None)
    if given is None or not given.numel():
        return None
    y = given.detach().float()
    return tuple(torch.stack([y.amin(), y.amax(), y.square().mean()]).tolist())  # type: ignore[return-value]
