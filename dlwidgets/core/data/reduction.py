"""What a loss divides by, read off its calls of torch."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

#: Losses whose mean over class numbers divides by the weights of those that are not ignored.
_OF_CLASSES = (F.cross_entropy, F.nll_loss)
#: Losses that divide by the weights of the values, where they are given any.
_WEIGHED = (F.mse_loss, F.l1_loss)
_MEANS = (torch.mean, torch.Tensor.mean)
_SUMS = (torch.sum, torch.Tensor.sum)
_QUOTIENTS = (torch.div, torch.true_divide, torch.Tensor.div, torch.Tensor.__truediv__)


@dataclass(frozen=True, eq=False)
class LossCall:
    """A call that made one number of the values of a batch."""

    function: Callable[..., Any]
    given: Sequence[Any]  #: What it was given by position.
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summed(self) -> bool:
        """Whether it is a sum, no mean."""
        return self.options.get("reduction") == "sum"

    @property
    def of_classes(self) -> bool:
        """Whether the targets are class numbers, which may be ignored or weighed."""
        return self.function in _OF_CLASSES and not self.given[1].is_floating_point()

    def weight(self) -> Any:
        """Return what the mean divides by, or a fixed multiple."""
        if self.function in _QUOTIENTS:
            return self.given[1]
        if self.of_classes:
            return weigh_classes(self.given[1], self.options["weight"], self.options["ignore_index"])
        if self.function in _WEIGHED and self.options["weight"] is not None:
            return self.options["weight"].sum()
        if self.function is F.ctc_loss:
            return len(self.given[3])
        by_rows = self.options.get("reduction") == "batchmean"
        return len(self.given[0]) if by_rows else self.given[0].numel()


class LossCalls(TorchFunctionMode):
    """Notes the calls within that make one number of a batch's values.

    These are the losses of torch, a mean of as many values as the batch has samples or of some that were
    picked, and a sum of such values over a number: a mean that leaves out what is masked.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows
        self._found: list[tuple[torch.Tensor, LossCall]] = []
        self._sums: list[torch.Tensor] = []
        self._picked: list[weakref.ref[torch.Tensor]] = []
        self.masks = False  #: Whether values were picked by a mask.

    def of(self, loss: Any) -> LossCall | None:
        """Return the call that returned this loss, or None."""
        return next((call for made, call in self._found if made is loss), None)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if not isinstance(made, torch.Tensor):
            return made
        if made.ndim:
            if func in (torch.Tensor.__getitem__, torch.masked_select, torch.Tensor.masked_select):
                self._picked.append(weakref.ref(made))
                index = args[1:] or tuple((kwargs or {}).values())
                parts = index[0] if isinstance(index[0], tuple) else index
                self.masks |= any(isinstance(one, torch.Tensor) and one.dtype == torch.bool for one in parts)
            return made
        options = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.functional":
            legacy = options.get("size_average") is not None or options.get("reduce") is not None
            if "reduction" in options and not legacy:
                self._found.append((made, LossCall(func, args, options)))
        elif func in _QUOTIENTS and len(args) == 2 and any(args[0] is one for one in self._sums):
            self._found.append((made, LossCall(func, args)))
        elif args and isinstance(args[0], torch.Tensor) and func in (*_MEANS, *_SUMS):
            if args[0].numel() >= self._rows or any(args[0] is one() for one in self._picked):
                if func in _MEANS:
                    self._found.append((made, LossCall(func, args)))
                else:
                    self._sums.append(made)
        return made


def same_weight(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    """Say whether weights of classes, perhaps of two batches, are equal."""
    return one is other or (one is not None and other is not None and torch.equal(one, other))


def weigh_classes(targets: torch.Tensor, weight: torch.Tensor | None, ignored: int) -> torch.Tensor:
    """Count class numbers that are not ignored, by their weights."""
    known = (targets != ignored) & (targets >= 0)
    if weight is None:
        return known.sum()
    return torch.where(known, weight[targets.masked_fill(~known, 0)], 0.0).sum()


@dataclass(frozen=True, eq=False)
class Reduction:
    """How a loss makes one number, told by its targets.

    Attributes
    ----------
    summed : it is a sum over the batch, no mean.
    of_classes : the targets are class numbers: those that are `ignored` are left out of the mean, and the
        others have the `weight` of their class, where there is one.
    masked : the targets are labels, of which those below 0 and NaN are left out of the mean.
    """

    summed: bool = False
    of_classes: bool = False
    masked: bool = False
    weight: torch.Tensor | None = None
    ignored: int = -100

    def weigh(self, targets: torch.Tensor) -> float:
        """Return what the mean over a batch with these targets divides by."""
        if self.masked:
            return float((targets >= 0).sum())
        if not self.of_classes:
            return targets.numel()
        weight = None if self.weight is None else self.weight.to(targets.device)
        return float(weigh_classes(targets.long(), weight, self.ignored))


def find_reduction(loss: Callable[[Any, Any], Any], output: Any, targets: Any) -> Reduction | None:
    """Return how a loss reduces, or None where targets cannot tell."""
    if not isinstance(output, torch.Tensor) or not isinstance(targets, torch.Tensor) or not targets.ndim:
        return None
    whole, first = (_read_reduction(loss, output[:n], targets[:n]) for n in (len(targets), 1))
    fixed = whole is not None and first is not None and same_weight(whole.weight, first.weight)
    return whole if fixed else None


def _read_reduction(
    loss: Callable[[Any, Any], Any], output: torch.Tensor, targets: torch.Tensor
) -> Reduction | None:
    with LossCalls(len(output)) as calls:
        made = loss(output, targets)
    call = calls.of(made)
    # A mask that leaves nothing out of these samples may do so in others.
    if call is None or calls.masks or call.function in _QUOTIENTS or call.given[0].numel() % len(output):
        return None
    if call.function in _MEANS and call.given[0].numel() not in (targets.numel(), output.numel()):
        return None
    weight = call.options.get("weight")
    if not call.of_classes:
        return None if call.function in _WEIGHED and weight is not None else Reduction(call.summed)
    # Class numbers that the loss has shifted, or left some of out itself, are others.
    given = call.given[1].reshape(-1).sort().values
    if not torch.equal(given, targets.reshape(-1).sort().values):
        return None
    return Reduction(call.summed, True, weight=weight, ignored=call.options["ignore_index"])


class LossTotal:
    """The loss of a whole set, from those of its batches.

    Means are weighted by what each divides by, sums are added: the result is that of one batch of all. A loss
    of which neither is known is weighted by samples.

    Attributes
    ----------
    known : whether all were known.
    """

    def __init__(self) -> None:
        self.known = True
        #: Part -> the sum of the losses times their weights, of the weights; by samples; whether summed.
        self._parts: dict[str, tuple[Any, Any, Any, bool]] = {}
        self._rows = 0
        self._weight: Any = None

    def add(self, loss: Any, calls: LossCalls, rows: int) -> None:
        """Take in the loss of a batch, or its parts by name."""
        for name, part in loss.items() if isinstance(loss, Mapping) else [("", loss)]:
            value, call = to_double(torch.as_tensor(part).detach().reshape(())), calls.of(part)
            total, weights, by_rows, summed = self._parts.get(name, (0.0, 0.0, 0.0, False))
            self.known = self.known and call is not None
            if call is not None and call.of_classes:
                weight = call.options["weight"]
                self.known = self.known and (not self._rows or same_weight(self._weight, weight))
                self._weight = weight
            if call is not None and not call.summed:
                weight = to_double(torch.as_tensor(call.weight(), device=value.device).detach())
                # The mean of a batch that holds nothing is 0 / 0.
                total, weights = total + torch.where(weight == 0, 0.0, value * weight), weights + weight
            elif call is not None:
                total, summed = total + value, True
            self._parts[name] = total, weights, by_rows + value * rows, summed
        self._rows += rows

    def value(self) -> float:
        """Return the loss of all batches; NaN where they hold nothing."""
        found = 0.0
        for total, weights, by_rows, summed in self._parts.values():
            if not self.known:
                found += float(by_rows) / self._rows
            else:
                found += float(total) if summed else float(total) / (float(weights) or math.nan)
        return found


def to_double(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor in double precision, which some devices do not have."""
    return (value.cpu() if value.device.type == "mps" else value).double()
