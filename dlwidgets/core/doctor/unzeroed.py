"""Which optimizers of a training step's own never zero their gradients."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.optim import Optimizer

#: So many steps in a row onto old gradients are no accumulation by hand, which is over two to some sixteen batches.
STEPS = 20


class Unzeroed:
    """Sees whether a step's first gradients are added to old ones.

    The session zeroes those of its own optimizer; a training step that has others must zero theirs. One tensor of
    each is watched by a hook, until it was zeroed once, or for `STEPS` steps.

    Attributes
    ----------
    found : the names of those that were zeroed in none of these steps.
    """

    def __init__(self) -> None:
        self.found: tuple[str, ...] = ()
        self._seen: set[int] = set()
        self._step = 0

    def after_step(self, step: int) -> None:
        """Note that a step was taken."""
        self._step = step

    def follow(self, optimizers: Mapping[str, Optimizer]) -> None:
        """Watch optimizers that were not watched before."""
        for name, optimizer in optimizers.items():
            tensors = [one for group in optimizer.param_groups for one in group["params"] if one.requires_grad]
            if tensors and id(optimizer) not in self._seen:
                self._seen.add(id(optimizer))
                self._watch(name.strip("()"), tensors[0])

    def _watch(self, name: str, tensor: torch.Tensor) -> None:
        last, piled = -1, 0

        def arrive(_: torch.Tensor) -> None:  # before it is added to what is there
            nonlocal last, piled
            if self._step == last:
                return  # a further loss of the same step, which may well be added
            first, last = last < 0, self._step
            if tensor.grad is not None and bool(tensor.grad.any()):
                piled += 1
            elif not first:
                handle.remove()
            if piled >= STEPS:
                self.found += (name,)
                handle.remove()

        handle = tensor.register_hook(arrive)
