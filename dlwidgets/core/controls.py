"""What steers a run between two steps: the optimizer and its learning rate."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


def make_optimizer(
    wanted: str | type[Optimizer] | Callable[..., Optimizer] | Optimizer,
    model: nn.Module,
    lr: float | None = None,
    weight_decay: float | None = None,
    frozen: bool = False,
) -> Optimizer:
    """Return an optimizer over the model's parameters.

    Parameters
    ----------
    wanted : the name of a class of torch.optim in any case, the class, a factory `parameters -> Optimizer`,
        or an optimizer that was already made for this model (used as it is).
    lr : the learning rate; None: 1e-3 for a name or a class, else what the optimizer was made with.
    weight_decay : None: what the class has by default, or the optimizer was made with.
    frozen : whether all parameters may be frozen by now, since some are to be unfrozen.

    Raises
    ------
    ValueError, TypeError : one sentence on what is wrong.
    """
    own = list(model.parameters())
    if not own:
        raise ValueError(f"The model {type(model).__name__} has no parameters: there is nothing to train.")
    if not frozen and not any(p.requires_grad for p in own):
        raise ValueError(
            f"All parameters of {type(model).__name__} are frozen (requires_grad is False): "
            "there is nothing to train."
        )
    if isinstance(wanted, str):
        wanted = _named(wanted)
    if isinstance(wanted, type) and issubclass(wanted, Optimizer):
        made = _made(wanted, own, 1e-3 if lr is None else lr, weight_decay)
    else:
        made = wanted if isinstance(wanted, Optimizer) else _from_factory(wanted, own)
        _check_parameters(made, own)
        for name, value in (("lr", lr), ("weight_decay", weight_decay)):
            if value is not None:
                if name not in made.defaults:
                    raise ValueError(f"{type(made).__name__} has no {name}: leave {name}= out.")
                GroupValue(made, name).set(value)
    if isinstance(made, torch.optim.LBFGS):
        raise ValueError(
            "LBFGS evaluates the loss several times a step, which is not supported: "
            'take another optimizer, such as "adamw".'
        )
    return made


def _made(kind: type[Optimizer], own: list[nn.Parameter], lr: float, weight_decay: float | None) -> Optimizer:
    settings: dict[str, Any] = (
        {"lr": lr} if weight_decay is None else {"lr": lr, "weight_decay": weight_decay}
    )
    taken = inspect.signature(kind).parameters
    for name in settings:
        if name not in taken and not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
            raise TypeError(
                f"{kind.__name__} does not take {name}=; its options are {', '.join(list(taken)[1:])}."
            )
    return kind(own, **settings)


def _from_factory(wanted: Any, own: list[nn.Parameter]) -> Optimizer:
    if not callable(wanted):
        raise TypeError(
            f'optimizer={wanted!r}: pass a name such as "adamw", a class of torch.optim, or a factory.'
        )
    made = wanted(own)
    if not isinstance(made, Optimizer):
        raise TypeError(f"The optimizer factory returned {type(made).__name__}, not a torch.optim.Optimizer.")
    return made


def _check_parameters(made: Optimizer, own: list[nn.Parameter]) -> None:
    theirs = {id(p) for group in made.param_groups for p in group["params"]}
    if not theirs & {id(p) for p in own}:
        raise ValueError(
            "The optimizer was made for other parameters: make it from this model's parameters()."
        )


def _named(name: str) -> type[Optimizer]:
    classes = {
        key.lower(): value for key, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
    }  # fmt: skip
    chosen = classes.get(name.lower().replace("_", ""))
    if chosen is None:
        near = difflib.get_close_matches(name.lower(), classes, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(sorted(classes))}."
        raise ValueError(f"optimizer={name!r} is not in torch.optim.{hint}")
    return chosen


class GroupValue:
    """A number of all parameter groups, as "lr": one value, times each group's own multiplier.

    An optimizer made by a person may give its groups different rates, or no decay to some. Their ratios to
    the leading group, the first whose number is not 0, stay what they were.
    """

    def __init__(self, optimizer: Optimizer, key: str) -> None:
        self.optimizer, self._key = optimizer, key
        numbers = [float(group[key]) for group in optimizer.param_groups if key in group]
        self._there = len(numbers) == len(optimizer.param_groups)
        self._leader = next((i for i, number in enumerate(numbers) if number), 0)
        first = numbers[self._leader] if numbers else 0.0
        self._multipliers = [number / first if first else 1.0 for number in numbers]

    @property
    def value(self) -> float | None:
        """The number of the leading group, read off it; None where the optimizer has no such number."""
        return float(self.optimizer.param_groups[self._leader][self._key]) if self._there else None

    def set(self, value: float) -> None:
        """Put `value` in force, from the next step on."""
        for group, multiplier in zip(self.optimizer.param_groups, self._multipliers):
            number = value * multiplier
            if isinstance(group[self._key], torch.Tensor):
                # A capturable optimizer keeps its rate in a tensor that must stay the same object.
                group[self._key].fill_(number)
            else:
                group[self._key] = number
