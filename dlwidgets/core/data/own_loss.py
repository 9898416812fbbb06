"""Losses that a step or a model computes itself."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..base.isolation import preserve_modes
from ..base.trees import call_model

#: What the argument of a forward is called that takes the targets.
_TARGET = re.compile(r"y|gt.*|(.*_)?(targets?|labels?|annotations?|annots?|truths?|true)")
#: What people call the targets in a dict.
ENTRIES = ("labels", "label", "targets", "target")
#: What the sum of all is called in a dict of losses.
_TOTALS = ("loss", "total_loss", "loss_total", "total")
#: What holds modules, and computes nothing itself.
_HOLDERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Losses:
    """What a step or a model returned, as one loss.

    Attributes
    ----------
    total : the loss to be minimised, a scalar tensor.
    parts : name -> what it is the sum of, without weights; none where one number was returned.
    names : name -> by what it stands in what was returned.
    beside : name -> numbers that were returned along with the loss, to be shown only.
    """

    total: torch.Tensor
    parts: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Any] = field(default_factory=dict)

    def columns(self) -> dict[str, float]:
        """Return parts and numbers beside by the names of their columns."""
        found = {f"loss_{name}": value for name, value in self.parts.items()} | dict(self.beside)
        return {name: float(torch.as_tensor(value).detach()) for name, value in found.items()}


def gather_losses(returned: Any, weights: Mapping[str, float] | None = None, form: str | None = None) -> Losses:
    """Read what a step or a model returned.

    * one number: the loss;
    * a dict of numbers: losses by name, of which the sum is minimised, each times its weight in `weights`;
    * a dict with "loss" (or "total_loss"), an object with `.loss`: that is the loss, other numbers are shown only;
    * a tuple of numbers: losses named by their fields or places, summed; where the second is a dict, or what follows
      are no numbers or (`form` is "[0]") not differentiable, the first is the loss.

    Raises TypeError: it is nothing of this kind.
    """
    whole, given, beside = returned, list[tuple[Any, Any, Any]](), dict[str, Any]()
    if isinstance(returned, torch.Tensor):
        pass
    elif (own := _own_loss(returned)) is not None:
        whole, beside = own, _beside(returned)
    elif isinstance(returned, Mapping):
        if not returned:
            raise TypeError("The step returned an empty dict: losses by name are wanted.")
        given = [(name, name, value) for name, value in returned.items()]
    elif isinstance(returned, (tuple, list)) and returned:
        if form == "[0]" or not all(map(_is_number, returned)):
            whole, beside = returned[0], _beside(returned[1]) if len(returned) > 1 else {}
        else:
            fields = getattr(returned, "_fields", None) or range(1, len(returned) + 1)
            given = [(name, place, value) for place, (name, value) in enumerate(zip(fields, returned))]
    parts = {shorten_name(name): value for name, _, value in given}
    if parts:
        weighed = weights or {}
        whole = sum(value * weighed[name] if name in weighed else value for name, value in parts.items())
    if not isinstance(whole, torch.Tensor) or whole.numel() != 1:
        given = isinstance(whole, torch.Tensor)
        what = f"a tensor of shape {tuple(whole.shape)}" if given else f"of type {type(whole).__name__}"
        raise TypeError(f"The loss is {what}: one number (a scalar tensor) is wanted, such as its mean.")
    names = {shorten_name(name): place for name, place, _ in given}
    return Losses(whole.reshape(()) if whole.ndim else whole, parts, names, beside)


def _own_loss(returned: Any) -> Any:
    """Return the loss that is called so, or None."""
    own = getattr(returned, "loss", None)
    return own if own is not None or (name := _total_in(returned)) is None else returned[name]


def _total_in(returned: Any) -> str | None:
    """Return the entry of a dict that is the whole loss."""
    given = returned if isinstance(returned, Mapping) else ()
    return next((name for name in _TOTALS if name in given and given[name] is not None), None)


def _beside(returned: Any) -> dict[str, Any]:
    """Return the numbers beside a loss by the names of their columns."""
    given = getattr(returned, "loss_dict", None) or returned
    if not isinstance(given, Mapping):
        return {}
    found = {str(name): value for name, value in given.items() if name not in _TOTALS and _is_number(value)}
    return {f"loss_{shorten_name(name)}" if _is_loss(name, value) else name: value for name, value in found.items()}


def _is_loss(name: str, value: Any) -> bool:
    differentiable = isinstance(value, torch.Tensor) and value.requires_grad
    return differentiable or "loss" in name or name in _TAKEN


#: Columns that a history has, which nothing that a step returns may write.
_TAKEN = frozenset({"epoch", "lr", "batch_size", "grad_norm", "seconds", "step", "clipped"})


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, torch.Tensor) and value.numel() == 1)


def shorten_name(name: Any) -> str:
    """Return the name of a loss without that word: "box" for "loss_box"."""
    return str(name).removeprefix("loss_").removesuffix("_loss") or "loss"


def looks_like_loss(returned: Any) -> bool:
    """Say whether this is a loss, and no output for each sample."""
    if isinstance(returned, torch.Tensor):
        return not returned.ndim and returned.is_floating_point()
    own = _own_loss(returned)
    if own is not None:
        return isinstance(own, torch.Tensor) and own.numel() == 1
    if isinstance(returned, Mapping):
        return bool(returned) and all(map(_is_number, returned.values()))
    first = returned[0] if isinstance(returned, (tuple, list)) and returned else None
    return isinstance(first, torch.Tensor) and looks_like_loss(first)


# -- a model that computes its loss


@dataclass(frozen=True)
class OwnLoss:
    """How a model is called for the loss that it computes itself.

    Attributes
    ----------
    key : the argument that takes the targets.
    by_name : whether they are passed by that name; else they come after the inputs.
    in_training : whether the loss is to be had in train mode alone, as that of torchvision's detectors.
    next_token : whether the loss is that of the next token, of which e to its power is the perplexity.
    single : whether the inputs are one argument, whatever they are, as images in a list.
    names : of the losses, as `Losses.names`.
    returns : what gives the loss of what is returned: see `form_of`.
    """

    key: str
    by_name: bool
    in_training: bool = False
    single: bool = False
    next_token: bool = False
    returns: str = ""
    names: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, model: nn.Module, inputs: Any, targets: Any) -> Any:
        """Return what the model does for inputs with targets."""
        if self.single:
            return model(inputs, **{self.key: targets}) if self.by_name else model(inputs, targets)
        if not self.by_name:
            return call_model(model, (*inputs, targets) if isinstance(inputs, tuple) else (inputs, targets))
        if isinstance(inputs, Mapping):
            return model(**{**inputs, self.key: targets})
        return model(*inputs if isinstance(inputs, tuple) else (inputs,), **{self.key: targets})


def find_call(model: nn.Module, inputs: Any) -> OwnLoss | None:
    """Return how a model may take targets beside inputs, by its signature."""
    forward = getattr(getattr(model, "_orig_mod", model), "forward", model)
    try:
        every = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):
        return None
    if isinstance(inputs, Mapping):
        free = [one.name for one in every if one.name not in inputs and _TARGET.fullmatch(one.name)]
        plain = [name for name in free if name in ("labels", "targets")]
        return OwnLoss((plain or free)[0], True) if free else None
    places = [one for one in every if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    place = len(inputs) if isinstance(inputs, tuple) else 1
    if len(places) > place and _TARGET.fullmatch(places[place].name):
        return OwnLoss(places[place].name, False)
    named = next((one.name for one in every if one.name in ("labels", "targets")), None)
    return None if named is None or place > 1 else OwnLoss(named, True)


def form_of(returned: Any) -> str:
    """Return what gives the loss of what was returned under gradients.

    It is what stands behind it in a script: "", ".loss", '["loss"]', "[0]"; of what is to be summed ".values()" for a
    dict, and "[:]" for a tuple.
    """
    if isinstance(returned, torch.Tensor):
        return ""
    if getattr(returned, "loss", None) is not None:
        return ".loss"
    if (name := _total_in(returned)) is not None:
        return f'["{name}"]'
    if not isinstance(returned, (tuple, list)):
        return ".values()"
    summed = all(isinstance(one, torch.Tensor) and one.numel() == 1 and one.requires_grad for one in returned)
    return "[:]" if summed else "[0]"


@contextlib.contextmanager
def loss_mode(model: nn.Module) -> Iterator[None]:
    """Have a model return its losses, as in training, but without dropout.

    What holds other modules is in train mode, by which a detector tells whether it is to return losses; the layers
    themselves (those of torch, and all that hold no others) are in eval mode: BatchNorm goes by what it has learnt
    and learns nothing, and nothing is dropped out, but where a forward itself draws by `self.training`.
    """
    with preserve_modes(model):
        for module in model.modules():
            own = type(module).__module__.startswith("torch.nn.") and not isinstance(module, _HOLDERS)
            module.training = module is model or not (own or next(module.children(), None) is None)
        yield


def find_logits(returned: Any) -> Any:
    """Return the logits that came along with a loss, or None."""
    logits = getattr(returned, "logits", None)
    if logits is None and isinstance(returned, Mapping):
        logits = returned.get("logits")
    if logits is None and isinstance(returned, (tuple, list)) and len(returned) > 1:
        logits = returned[1]
    return logits if isinstance(logits, torch.Tensor) and logits.ndim else None


def find_output(returned: Any) -> Any:
    """Return what a model puts out, or the logits of it."""
    if isinstance(returned, torch.Tensor):
        return returned
    logits = getattr(returned, "logits", None)
    return logits if isinstance(logits, torch.Tensor) else returned


def find_entry(batch: Any) -> str | None:
    """Return the entry of a dict batch that people call the target."""
    if not isinstance(batch, Mapping):
        return None
    return next((name for name in ENTRIES if name in batch and len(batch) > 1), None)
