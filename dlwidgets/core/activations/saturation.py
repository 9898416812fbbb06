"""Saturation: so near the end of a range that no gradient passes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

#: Of a tanh: its slope is then under 0.06 of its largest. Glorot and Bengio 2010 ("Understanding the
#: difficulty of training deep feedforward neural networks") look at tails like this; the figure is that of
#: Karpathy's lecture "Building makemore, part 3". All others are taken where their slope is as small.
_TANH = 0.97
_SLOPE = 1 - _TANH**2
#: A sigmoid is a tanh: 2s(x) - 1 = tanh(x/2); and p(1 - p) is the slope of a softmax, too.
_SIGMOID = (1 + _TANH) / 2
#: A softsign y has the slope (1 - |y|)².
_SOFTSIGN = 1 - math.sqrt(_SLOPE)


@dataclass(frozen=True)
class Limits:
    """The values from which on an activation is saturated.

    Attributes
    ----------
    low, high : at or below, at or above; None where that side has no end.
    row : the axis along which values share one sum: a row of it is saturated where one value is; None for
        activations that work on each value by itself.
    """

    low: float | None = None
    high: float | None = None
    row: int | None = None

    def mask(self, values: torch.Tensor) -> torch.Tensor:
        """Return where `values` are saturated."""
        found = torch.zeros_like(values, dtype=torch.bool)
        if self.low is not None:
            found |= values <= self.low
        if self.high is not None:
            found |= values >= self.high
        return found


#: Layers whose ends are fixed; functions are known by their names, in small letters.
_LIMITS = {
    nn.Tanh: Limits(-_TANH, _TANH), nn.Sigmoid: Limits(1 - _SIGMOID, _SIGMOID),
    nn.Softsign: Limits(-_SOFTSIGN, _SOFTSIGN), nn.ReLU6: Limits(high=6.0), nn.Hardsigmoid: Limits(0.0, 1.0),
    nn.Softmax2d: Limits(high=_SIGMOID, row=-3),
}  # fmt: skip
#: Of attention weights, whose rows over the keys sum to one: a query that looks at one place alone.
ATTENDING = Limits(high=_SIGMOID, row=-1)


def limits_of(layer: nn.Module | str, suffix: str = "") -> Limits | None:
    """Return where outputs of `layer` are saturated; None for nowhere.

    Sigmoid, tanh, softsign: where the slope is under 0.06 of its largest (|tanh| >= 0.97, sigmoid <= 0.015 or
    >= 0.985). Hard ones: at their ends, where the slope is zero; of ReLU6 the upper end alone, since the
    lower one is told by the share of zeros. Softmax: a row where one value is at least 0.985. LSTM, GRU and
    RNN put out tanhs, so that theirs are taken (not of an LSTM's cell state, which has no end).

    Parameters
    ----------
    layer : the module, or the name of a function, as "tanh".
    suffix : which tensor of its output it is, as "[1][1]" for an LSTM's cell state.
    """
    if isinstance(layer, str):
        return next((limits for kind, limits in _LIMITS.items() if kind.__name__.lower() == layer), None)
    if isinstance(layer, nn.Hardtanh) and not isinstance(layer, nn.ReLU6):
        return Limits(layer.min_val, layer.max_val)
    if isinstance(layer, (nn.Softmax, nn.LogSoftmax)) and layer.dim is not None:
        return Limits(high=_SIGMOID if isinstance(layer, nn.Softmax) else math.log(_SIGMOID), row=layer.dim)
    known = next((limits for kind, limits in _LIMITS.items() if isinstance(layer, kind)), None)
    return _of_recurrence(layer, suffix) if known is None else known


def _of_recurrence(layer: nn.Module, suffix: str) -> Limits | None:
    cell = isinstance(layer, nn.LSTM) and suffix == "[1][1]"
    cell = cell or (isinstance(layer, nn.LSTMCell) and suffix == "[1]")
    if cell or getattr(layer, "proj_size", 0) or getattr(layer, "nonlinearity", "tanh") != "tanh":
        return None
    return Limits(-_TANH, _TANH) if isinstance(layer, (nn.RNNBase, nn.RNNCellBase)) else None
