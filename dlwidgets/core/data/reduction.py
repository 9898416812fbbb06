"""What a loss divides by, read off its calls of torch."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

#: Losses whose mean over class numbers divides by the weights of those that are not ignored.
_OF_CLASSES = (F.cross_entropy, F.nll_loss)
#: Losses that divide by the weights of the values, where they are given any.
_WEIGHED = (F.mse_loss, F.l1_loss)
_MEANS = (torch.mean, torch.Tensor.mean, torch.nanmean, torch.Tensor.nanmean)
_SUMS = (torch.sum, torch.Tensor.sum, torch.nansum, torch.Tensor.nansum, torch.dot, torch.Tensor.dot)


def _methods(*names: str) -> tuple[Callable[..., Any], ...]:
    """Return the functions and methods of these names, as torch calls them."""
    found = [getattr(owner, name, None) for owner in (torch, torch.Tensor) for name in names]
    return tuple(one for one in found if one is not None)


_QUOTIENTS = _methods("div", "true_divide", "divide", "div_", "__truediv__", "__itruediv__")
_PRODUCTS = _methods("mul", "multiply", "mul_", "__mul__", "__rmul__", "__imul__")
_SUMS_OF_TWO = _methods("add", "add_", "__add__", "__radd__", "__iadd__")
_REVERSED = _methods("__rsub__", "rsub")
_DIFFERENCES = (*_methods("sub", "sub_", "subtract", "__sub__", "__isub__"), *_REVERSED)
_NEGATIVES = _methods("neg", "negative", "__neg__")
#: What keeps a number as it is.
_KEEPING = _methods("sum", "mean", "squeeze", "clone", "contiguous", "float", "double", "nan_to_num")


@dataclass(frozen=True, eq=False)
class LossCall:
    """A call that made one number of the values of a batch."""

    function: Callable[..., Any]
    given: Sequence[Any]  #: What it was given by position.
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summed(self) -> bool:
        """Whether it is a sum, no mean."""
        return self.options.get("reduction") == "sum" or self.function in _SUMS

    @property
    def of_classes(self) -> bool:
        """Whether the targets are class numbers, which may be ignored or weighed."""
        return self.function in _OF_CLASSES and not self.given[1].is_floating_point()

    def weight(self) -> Any:
        """Return what the mean divides by, or a fixed multiple."""
        if self.function in _QUOTIENTS:
            return self.given[1]
        if self.function in _MEANS and "nan" in self.function.__name__:
            return (~self.given[0].isnan()).sum()
        if self.of_classes:
            return weigh_classes(self.given[1], self.options["weight"], self.options["ignore_index"])
        if self.function in _WEIGHED and self.options.get("weight") is not None:
            return self.options["weight"].sum()
        if self.function is F.ctc_loss:
            return len(self.given[3])
        by_rows = self.options.get("reduction") == "batchmean"
        return len(self.given[0]) if by_rows else self.given[0].numel()


@dataclass(frozen=True, eq=False)
class LossTerm:
    """A part of a loss, and the call that made it."""

    value: torch.Tensor
    call: LossCall | None = None
    fixed: bool = False  #: Whether it is the same for any batch, as a penalty of the weights.
    scale: float | None = None  #: The size of the plain numbers that it was multiplied by, if by any.

    def times(self, factor: Any) -> LossTerm:
        """Return the term times a number."""
        scale = self.scale if isinstance(factor, torch.Tensor) else abs(float(factor)) * (self.scale or 1.0)
        return replace(self, value=self.value * factor, scale=scale)


class LossCalls(TorchFunctionMode):
    """Notes the calls within that make one number of a batch's values.

    These are the losses of torch, a mean or sum of as many values as the batch has samples or of some that
    were picked, and such a sum over a number: a mean that leaves out what is masked. Such numbers are
    followed where they are added, and multiplied by what no batch changes.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows
        #: The terms of numbers, which are kept, so that each has its identity to itself.
        self._terms: dict[int, tuple[torch.Tensor, list[LossTerm]]] = {}
        #: What was made of parameters alone; values that were picked.
        self._fixed: dict[int, weakref.ref[torch.Tensor]] = {}
        self._picked: list[weakref.ref[torch.Tensor]] = []
        self.masks = False  #: Whether values were picked by a mask.

    def terms_of(self, loss: Any) -> list[LossTerm]:
        """Return the terms that a loss is the sum of."""
        made, terms = self._terms.get(id(loss), (None, []))
        if made is loss and isinstance(loss, torch.Tensor):
            return terms
        return [LossTerm(torch.as_tensor(loss).detach().clone(), fixed=self._is_fixed(loss))]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        terms = self._combined(func, args)  # before a number is changed in place
        made, options = func(*args, **(kwargs or {})), kwargs or {}
        if not isinstance(made, torch.Tensor):
            return made
        if all(map(self._is_fixed, args)) and not options.keys() & {"input", "target", "weight"}:
            self._fixed[id(made)] = weakref.ref(made)
        elif made.ndim:
            if func in (torch.Tensor.__getitem__, torch.masked_select, torch.Tensor.masked_select):
                self._picked.append(weakref.ref(made))
                index = args[1:] or tuple(options.values())
                parts = index[0] if isinstance(index[0], tuple) else index
                self.masks |= any(isinstance(one, torch.Tensor) and one.dtype == torch.bool for one in parts)
        elif terms is not None:
            self._terms[id(made)] = made, terms
        elif self._makes_one(func, args, options):
            self._terms[id(made)] = made, [LossTerm(made.detach().clone(), LossCall(func, args, options))]
        return made

    def _is_fixed(self, one: Any) -> bool:
        if isinstance(one, (tuple, list)):
            return all(map(self._is_fixed, one))
        if not isinstance(one, torch.Tensor):
            return isinstance(one, (bool, int, float, str, torch.dtype, torch.device, type(None)))
        kept = self._fixed.get(id(one))
        return isinstance(one, nn.Parameter) or (kept is not None and kept() is one)

    def _makes_one(self, func: Any, args: Any, options: Mapping[str, Any]) -> bool:
        """Say whether a call makes one number of a batch's values."""
        if getattr(func, "__module__", "") == "torch.nn.functional":
            legacy = options.get("size_average") is not None or options.get("reduce") is not None
            return "reduction" in options and not legacy
        if func not in (*_MEANS, *_SUMS) or not args or not isinstance(args[0], torch.Tensor):
            return False
        return args[0].numel() >= self._rows or any(args[0] is one() for one in self._picked)

    def _combined(self, func: Any, args: Sequence[Any]) -> list[LossTerm] | None:
        """Return the terms of a number made of others, or None."""
        numbers = [one for one in args if not isinstance(one, torch.Tensor) or not one.ndim]
        if len(numbers) < len(args) or not any(id(one) in self._terms for one in numbers):
            return None
        one, other = (*args, None)[:2]
        if func in _NEGATIVES:
            return [replace(term, value=-term.value) for term in self.terms_of(one)]
        if other is None or len(args) != 2:
            return self.terms_of(one) if func in _KEEPING and other is None else None
        if func in _SUMS_OF_TWO:
            return self.terms_of(one) + self.terms_of(other)
        if func in _DIFFERENCES:
            first, second = (other, one) if func in _REVERSED else (one, other)
            return self.terms_of(first) + [replace(term, value=-term.value) for term in self.terms_of(second)]
        if func in _PRODUCTS and (self._is_fixed(one) or self._is_fixed(other)):
            terms, factor = (other, one) if self._is_fixed(one) else (one, other)
            return [term.times(factor) for term in self.terms_of(terms)]
        return self._quotient(func, one, other) if func in _QUOTIENTS and id(one) in self._terms else None

    def _quotient(self, func: Any, one: Any, by: Any) -> list[LossTerm] | None:
        """Return the terms of a quotient, which makes sums means."""
        if self._is_fixed(by):
            zero = not isinstance(by, torch.Tensor) and not by
            return None if zero else [term.times(1 / by) for term in self.terms_of(one)]
        terms = [term.times(1 / by) for term in self.terms_of(one)]
        summed = all(term.call is not None and term.call.summed for term in terms)
        return [replace(term, call=LossCall(func, (one, by))) for term in terms] if summed else None


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
    terms = calls.terms_of(made)
    call = terms[0].call if len(terms) == 1 else None
    if call is not None and call.summed and terms[0].scale is not None:
        return None  # perhaps by what the batch holds
    # A mask that leaves nothing out of these samples may do so in others.
    if call is None or calls.masks or call.function in _QUOTIENTS or call.given[0].numel() % len(output):
        return None
    if call.function in _MEANS and call.given[0].numel() not in (targets.numel(), output.numel()):
        return None
    if call.function in _MEANS and call.function.__name__ == "nanmean":
        return None
    weight = call.options.get("weight")
    if not call.of_classes:
        return None if call.function in _WEIGHED and weight is not None else Reduction(call.summed)
    # Class numbers that the loss has shifted, or left some of out itself, are others.
    given = call.given[1].reshape(-1).sort().values
    if not torch.equal(given, targets.reshape(-1).sort().values):
        return None
    return Reduction(call.summed, True, weight=weight, ignored=call.options["ignore_index"])


@dataclass
class TermTotal:
    """A term of a loss over the batches so far.

    Attributes
    ----------
    total, weights : the sums of the values times what each divides by, and of that.
    scales, counted : what sums were multiplied by, and whether it was always one over a count of samples.
    """

    call: LossCall | None
    fixed: bool
    total: Any = 0.0
    weights: Any = 0.0
    scales: set[float] = field(default_factory=set)
    counted: bool = True

    def add(self, term: LossTerm, rows: int) -> bool:
        """Take in a batch's term; say whether it is of the kind."""
        value, call = to_double(term.value.detach().reshape(())), term.call
        scale = 1.0 if term.scale is None else term.scale
        self.scales.add(scale)
        if call is not None and call.summed:
            weight: Any = 1 / scale if scale else math.inf
            counts = [rows, *(one.numel() for one in call.given if isinstance(one, torch.Tensor))]
            self.counted &= term.scale is not None and any(math.isclose(weight, count) for count in counts)
        else:
            weight = rows if call is None else call.weight()
            weight = to_double(torch.as_tensor(weight, device=value.device).detach())
            # The mean of a batch that holds nothing is 0 / 0.
            value = torch.where(weight == 0, 0.0, value)
        self.total = self.total + value * weight
        self.weights = self.weights + weight
        return self._is_alike(term)

    def _is_alike(self, term: LossTerm) -> bool:
        one, other = self.call, term.call
        if one is None or other is None:
            return self.fixed and term.fixed
        of_classes = one.of_classes and other.of_classes
        weights = same_weight(one.options["weight"], other.options["weight"]) if of_classes else True
        return one.function is other.function and one.summed == other.summed and weights and (
            one.summed or len(self.scales) == 1
        )

    def value(self) -> float:
        """Return the term over all batches; NaN where they hold nothing."""
        if self.call is not None and self.call.summed and len(self.scales) == 1 and not self.counted:
            return float(self.total) * min(self.scales)
        return float(self.total) / (float(self.weights) or math.nan)


class LossTotal:
    """The loss of a whole set, from those of its batches.

    Means are weighted by what each divides by, sums are added: the result is that of one batch of all. A term
    that a batch lacks, as where nothing is masked, holds nothing there. A loss of which neither is known is
    weighted by samples.

    Parameters
    ----------
    by_rows : weight all by samples, as losses over boxes are: how many there are in a batch tells nothing.

    Attributes
    ----------
    known : whether all were known.
    """

    def __init__(self, by_rows: bool = False) -> None:
        self.known = not by_rows
        self._terms: dict[tuple[str, int], TermTotal] = {}
        #: The sums of the losses times their samples, by name, and of the samples.
        self._by_rows: dict[str, Any] = {}
        self._rows = 0

    def add(self, loss: Any, calls: LossCalls, rows: int) -> None:
        """Take in the loss of a batch, or its parts by name."""
        for name, part in loss.items() if isinstance(loss, Mapping) else [("", loss)]:
            value = to_double(torch.as_tensor(part).detach().reshape(()))
            self._by_rows[name] = self._by_rows.get(name, 0.0) + value * rows
            for number, term in enumerate(calls.terms_of(part)):
                total = self._terms.setdefault((name, number), TermTotal(term.call, term.fixed))
                self.known = total.add(term, rows) and self.known
        self._rows += rows

    def value(self) -> float:
        """Return the loss of all batches; NaN where they hold nothing."""
        return sum(self.values().values())

    def values(self) -> dict[str, float]:
        """Return the losses of all batches by name; "" for one without."""
        if not self.known:
            return {name: float(total) / self._rows for name, total in self._by_rows.items()}
        return {
            name: sum(total.value() for (of, _), total in self._terms.items() if of == name) for name in self._by_rows
        }


def to_double(value: torch.Tensor) -> torch.Tensor:
    """Return a tensor in double precision, which some devices do not have."""
    return (value.cpu() if value.device.type == "mps" else value).double()
