"""weight_norm put on a weight, and removed, during training."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from torch.optim import Optimizer

from .parameter_groups import groups_by_id, prepare_join, remove_parameter


class SplitWeight:
    """A weight that can be split into length and direction, and reunited.

    The parameters are the same objects each time, so that whoever holds one of them, as an optimizer of a
    person's own or a snapshot, finds it where it was.

    Attributes
    ----------
    on : whether it is split.
    length, direction : the two parameters; None before it was ever split.
    """

    def __init__(self, module: nn.Module, key: str, name: str, axis: int = 0) -> None:
        self._module, self._key, self._name, self._axis = module, key, name, axis
        self._whole = module._parameters[key]
        self.length: nn.Parameter | None = None
        self.direction: nn.Parameter | None = None
        self.on = False

    def put_on(self, optimizer: Optimizer) -> None:
        """Split the weight, and exchange it in its parameter group.

        Raises
        ------
        ValueError : why it cannot be, in a clause; all is as before.
        """
        module, key = self._module, self._key
        if is_parametrized(module, key):
            raise ValueError(f"{self._name!r} has a parametrization already")
        whole = self._whole = module._parameters[key]
        if whole is None:
            raise ValueError(f"{self._name!r} is no parameter any more")
        order = [*module._parameters]
        weight_norm(module, key, dim=self._axis)
        parts = module.parametrizations[key]
        self.length = parts.original0 = _reuse(self.length, parts.original0)
        self.direction = parts.original1 = _reuse(self.direction, parts.original1)
        self.on, self._order = True, order
        try:
            self._exchange(optimizer, [whole], [self.length, self.direction])
        except ValueError:
            self._unite()
            raise

    def take_off(self, optimizer: Optimizer) -> None:
        """Make the weight one again, with the value it has."""
        length, direction = self.length, self.direction
        self._unite()
        self._exchange(optimizer, [direction, length], [self._whole])

    def _unite(self) -> None:
        module, key, whole, direction = self._module, self._key, self._whole, self.direction
        remove_parametrizations(module, key, leave_parametrized=True)
        # The parameter from before, in its old place: the order of a model's parameters decides on last bits.
        whole.data = module._parameters[key].data  # type: ignore[union-attr]
        whole.requires_grad_(direction.requires_grad)  # type: ignore[union-attr]
        module._parameters[key] = whole
        kept = {name: module._parameters.pop(name) for name in [*module._parameters]}
        known = {name: place for place, name in enumerate(self._order)}
        for name in sorted(kept, key=lambda name: known.get(name, len(known))):
            module._parameters[name] = kept[name]
        self.on = False

    def _exchange(self, optimizer: Optimizer, old: list, new: list) -> None:
        """Put `new` in the group of `old`, where the optimizer has it."""
        group = groups_by_id(optimizer).get(id(old[0]))
        if group is None:
            return
        path = self._name if len(new) == 1 else f"{self._name} (weight_norm)"
        joins = [prepare_join(optimizer, group, path, one) for one in new]
        for one in old:
            remove_parameter(optimizer, one)
            one.grad = None
        for join in joins:
            join()


def _reuse(known: nn.Parameter | None, made: nn.Parameter) -> nn.Parameter:
    """Return the known parameter with the value of a new one."""
    if known is None or known.shape != made.shape:
        return made
    with torch.no_grad():
        known.data = made.data
    known.requires_grad_(made.requires_grad)
    return known
