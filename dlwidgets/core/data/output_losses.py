"""Losses of several outputs, each with targets of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..base.framework_loss import FrameworkLoss
from ..base.words import pluralize, quote_names

#: Losses of torch whose mean over a set is that of its batches' by their samples.
_BY_SAMPLES = (nn.MSELoss, nn.L1Loss, nn.CrossEntropyLoss, nn.BCEWithLogitsLoss, nn.BCELoss)


class OutputLosses(nn.Module):
    """A loss for each output, by name; what trains is their sum.

    Parameters
    ----------
    given : a list of losses in the order of the outputs, a dict by their names, or one for all; None where each is to
        be inferred, and of an output that has none in a list or dict that names others.

    Attributes
    ----------
    tasks : name -> the task of an output, once it is known: see `find_tasks`.
    """

    def __init__(self, given: Any = None) -> None:
        super().__init__()
        self.given = given
        self.tasks: dict[str, Any] = {}
        self._names: tuple[str, ...] = ()
        losses = [*given.values()] if isinstance(given, Mapping) else given if isinstance(given, list) else [given]
        self.losses = nn.ModuleList(one for one in losses if isinstance(one, nn.Module))

    @property
    def __name__(self) -> str:
        """The names of the losses."""
        return ", ".join(f"{task.loss_name} of {name}" for name, task in self.tasks.items()) or "OutputLosses"

    @property
    def by_samples(self) -> bool:
        """Whether a set's loss is its batches' mean by their samples."""
        losses = [task.loss for task in self.tasks.values()]
        return all(getattr(one, "by_samples", type(one) in _BY_SAMPLES) for one in losses)

    def forward(self, output: Any, targets: Any) -> dict[str, torch.Tensor]:
        """Return the loss of each output by its name."""
        return {name: task.loss(one, wanted) for name, task, one, wanted in self.pair(output, targets)}

    def pair(self, output: Any, targets: Any) -> list[tuple[str, Any, Any, Any]]:
        """Return (name, task, output, targets) of each output that has a loss."""
        outputs, wanted = self._by_name(output), self._by_name(targets)
        return [
            (name, task, outputs[name], task.prepare(wanted[name], outputs[name])) for name, task in self.tasks.items()
        ]

    def find_tasks(self, names: Sequence[str], output: Any, targets: Any, infer: Callable[..., Any]) -> str:
        """Find the task of each output; return that in a clause.

        Parameters
        ----------
        names : of the outputs, where these are in a list.
        infer : `infer_task`, with what is the same for all.

        Raises ValueError, TypeError: one sentence on what does not fit.
        """
        count = len(output)
        self._names = tuple(map(str, output)) if isinstance(output, Mapping) else tuple(map(str, names[:count]))
        self._names = self._names if len(self._names) == count else tuple(f"output_{n + 1}" for n in range(count))
        outputs, wanted = self._by_name(output), self._by_name(targets)
        given = self._by_name(self.given) if isinstance(self.given, (list, tuple, Mapping)) else None
        for what, there in (("The targets name", wanted), ("loss= names", given or {})):
            if left := [name for name in there if name not in outputs]:
                raise ValueError(f"{what} {quote_names(left)}, but the model's outputs are {quote_names(self._names)}.")
        for name in self._names:
            loss = self.given if given is None else given.get(name)
            if (given is not None and loss is None) or (isinstance(targets, Mapping) and name not in wanted):
                continue
            try:
                self.tasks[name] = infer(wanted[name], outputs[name], loss=loss)
            except (TypeError, ValueError) as error:
                raise type(error)(f"Of the output {name!r}: {error}") from error
        if not self.tasks:
            raise ValueError(f"None of the model's outputs, {quote_names(self._names)}, has a loss and targets.")
        each = ", ".join(f"{name} ({task.name})" for name, task in self.tasks.items())
        return f"the model has {pluralize(count, 'output')}, of which there are targets for {each}"

    def _by_name(self, tree: Any) -> dict[str, Any]:
        """Return what is in the order of the outputs by their names."""
        if isinstance(tree, Mapping):
            return {str(name): one for name, one in tree.items()}
        if (count := len(tree)) != len(self._names):
            raise ValueError(
                f"The model has the outputs {quote_names(self._names)}, and targets or losses are given for {count}: "
                "give as many, in their order, or a dict by their names."
            )
        return dict(zip(self._names, tree))


def several(output: Any, targets: Any) -> bool:
    """Say whether a model has several outputs, and each its own targets."""
    kinds = (tuple, list, Mapping)
    if not isinstance(output, kinds) or not isinstance(targets, kinds):
        return False
    each = [part for tree in (output, targets) for part in (tree.values() if isinstance(tree, Mapping) else tree)]
    return bool(each) and all(isinstance(part, torch.Tensor) and part.ndim > 0 for part in each)


def takes_outputs(loss: Any) -> bool:
    """Say whether a loss, or none, is for each output by itself."""
    return loss is None or isinstance(loss, (FrameworkLoss, OutputLosses))
