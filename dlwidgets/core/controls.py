"""What steers a run between two steps: the optimizer, its learning rate, gradient clipping."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

CLIP_MODES = ("off", "norm", "value")


@dataclass(frozen=True)
class Clip:
    """Gradient clipping: "off", by total "norm" (Pascanu et al. 2013) or by "value" of each element."""

    mode: str = "off"
    limit: float = 1.0

    @classmethod
    def read(cls, wanted: Any) -> Clip:
        """Return the clipping meant by None or "off", a number (a norm), a mode, or (mode, limit).

        Raises
        ------
        ValueError : the mode is unknown or the limit is not a positive number.
        """
        if isinstance(wanted, Clip):
            mode, limit = wanted.mode, wanted.limit
        elif wanted is None or wanted is False:
            mode, limit = "off", 1.0
        elif isinstance(wanted, (int, float)) and not isinstance(wanted, bool):
            mode, limit = "norm", wanted
        elif isinstance(wanted, str):
            mode, limit = wanted, 1.0
        elif isinstance(wanted, (tuple, list)) and len(wanted) == 2:
            mode, limit = wanted
        else:
            raise ValueError(f'clip={wanted!r}: pass None, a norm such as 1.0, or ("value", 0.5).')
        if mode not in CLIP_MODES:
            raise ValueError(f"clip has the mode {mode!r}, which is none of {', '.join(CLIP_MODES)}.")
        if not isinstance(limit, (int, float)) or isinstance(limit, bool) or not math.isfinite(limit) or limit <= 0:
            raise ValueError(f"clip has the limit {limit!r}: a positive number is wanted.")
        return cls(mode, float(limit))

    def apply(self, parameters: list[nn.Parameter]) -> float | None:
        """Clip the gradients in place; return their total norm before, where it had to be computed."""
        if self.mode == "norm":
            return float(nn.utils.clip_grad_norm_(parameters, self.limit))
        if self.mode == "value":
            nn.utils.clip_grad_value_(parameters, self.limit)
        return None

    def __str__(self) -> str:
        return "off" if self.mode == "off" else f"{self.mode} {self.limit:g}"


def grad_norm(parameters: Iterable[nn.Parameter]) -> float:
    """Return the total L2 norm of the gradients, 0.0 where there are none."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0
    # One fused call for all; get_total_norm exists from torch 2.6 on, the oldest supported.
    return float(nn.utils.get_total_norm(gradients))


def make_optimizer(
    wanted: str | type[Optimizer] | Callable[..., Optimizer] | Optimizer,
    model: nn.Module,
    lr: float | None,
    weight_decay: float | None = None,
) -> Optimizer:
    """Return an optimizer over the model's parameters.

    Parameters
    ----------
    wanted : the name of a class of torch.optim in any case, the class, a factory `parameters -> Optimizer`,
        or an optimizer that was already made for this model (used as it is).
    lr : the learning rate; None: what the class has by default.
    weight_decay : None: what the class has by default.

    Raises
    ------
    ValueError, TypeError : one sentence on what is wrong.
    """
    own = [p for p in model.parameters()]
    if not own:
        raise ValueError(f"The model {type(model).__name__} has no parameters: there is nothing to train.")
    if isinstance(wanted, Optimizer):
        theirs = {id(p) for group in wanted.param_groups for p in group["params"]}
        if not theirs & {id(p) for p in own}:
            raise ValueError("The optimizer was made for other parameters: make it from this model's parameters().")
        return wanted
    if isinstance(wanted, str):
        wanted = _named(wanted)
    settings: dict[str, float] = {}
    if lr is not None:
        settings["lr"] = lr
    if weight_decay is not None:
        settings["weight_decay"] = weight_decay
    if isinstance(wanted, type) and issubclass(wanted, Optimizer):
        try:
            return wanted(own, **settings)
        except TypeError as error:
            raise TypeError(f"{wanted.__name__} does not take {', '.join(settings)}: {error}") from error
    if not callable(wanted):
        raise TypeError(f'optimizer={wanted!r}: pass a name such as "adamw", a class of torch.optim, or a factory.')
    made = wanted(own)
    if not isinstance(made, Optimizer):
        raise TypeError(f"The optimizer factory returned {type(made).__name__}, not a torch.optim.Optimizer.")
    return made


def _named(name: str) -> type[Optimizer]:
    classes = {
        key.lower(): value for key, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
    }
    chosen = classes.get(name.lower().replace("_", ""))
    if chosen is None:
        near = difflib.get_close_matches(name.lower(), classes, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(sorted(classes))}."
        raise ValueError(f"optimizer={name!r} is not in torch.optim.{meant}")
    return chosen


class Rate:
    """The learning rate of all parameter groups: one number, times each group's own multiplier.

    An optimizer made by a person may give its groups different rates. Their ratios to the first group
    stay what they were.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        first = float(optimizer.param_groups[0]["lr"])
        self._multipliers = [float(group["lr"]) / first if first else 1.0 for group in optimizer.param_groups]

    @property
    def value(self) -> float:
        """The rate of the first group, which is really in force."""
        return float(self.optimizer.param_groups[0]["lr"])

    def set(self, lr: float) -> None:
        """Put `lr` in force, from the next step on."""
        for group, multiplier in zip(self.optimizer.param_groups, self._multipliers):
            rate = lr * multiplier if multiplier != 1.0 else lr
            if isinstance(group["lr"], torch.Tensor):
                # A capturable or compiled optimizer keeps its rate in a tensor that must stay the same object.
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
