"""The exponential moving average (EMA) of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..base.ledger import Entry
from ..base.numbers import read_number
from .control import Control, Panel, PanelRow, Writer


class WeightAverage:
    """Averages the weights after each step, and never touches those that train.

    The recipe is that of `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)`, bit
    for bit: the first step's weights are taken over, then `average += (1 - decay) * (weights - average)`.
    Buffers, as BatchNorm's running statistics, are not averaged: they are those of the model, as there.

    Attributes
    ----------
    decay : what remains of the average at each step; None: there is none.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.decay: float | None = None
        self._weights: list[nn.Parameter] = []
        self._averages: list[torch.Tensor] = []

    @property
    def on(self) -> bool:
        """Whether an average is on and has taken a step."""
        return bool(self._averages)

    def put(self, decay: float | None) -> None:
        """Set the decay from the next step on; an average goes on."""
        self.decay = decay
        if decay is None:
            self._weights, self._averages = [], []

    def renew(self) -> None:
        """Follow a model whose tensors, or their devices, may have changed."""
        if not self._averages:
            return
        known = {id(weight): average for weight, average in zip(self._weights, self._averages)}
        self._weights = [*self._model.parameters()]
        self._averages = [
            known[id(weight)].to(weight.device)
            if id(weight) in known and known[id(weight)].shape == weight.shape
            else weight.detach().clone()
            for weight in self._weights
        ]

    def restart(self, weights: Iterable[nn.Parameter]) -> None:
        """Begin the averages of some weights anew, at what they are now."""
        anew = set(map(id, weights))
        for weight, average in zip(self._weights, self._averages):
            if id(weight) in anew:
                average.copy_(weight.detach())

    def update(self) -> None:
        """Take the weights of a step in."""
        # Asked in every step: to enter no_grad takes longer than all else a step asks beside the weights.
        if self.decay is None:
            return
        if not self._averages:
            self._weights = [*self._model.parameters()]
            self._averages = [weight.detach().clone() for weight in self._weights]
            return
        alike: dict[Any, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for pair in zip(self._averages, self._weights):
            alike.setdefault((pair[1].device, pair[1].dtype), []).append(pair)
        with torch.no_grad():
            for (_, dtype), pairs in alike.items():
                if dtype.is_floating_point or dtype.is_complex:
                    torch._foreach_lerp_(*map(list, zip(*pairs)), 1 - self.decay)
                else:
                    for average, weight in pairs:
                        average.copy_(weight)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Swap the averaged weights in, without a copy, and out again."""
        own = [weight.data for weight in self._weights] if self._averages else []
        try:
            for weight, average in zip(self._weights, self._averages):
                weight.data = average
            yield
        finally:
            for weight, kept in zip(self._weights, own):
                weight.data = kept

    def state(self) -> dict[str, Any]:
        """Return the decay and the averages by name."""
        names = {id(weight): name for name, weight in self._model.named_parameters()}
        pairs = zip(self._weights, self._averages)
        averages = {names[id(weight)]: average for weight, average in pairs if id(weight) in names}
        return {"decay": self.decay, "averages": averages}

    @torch.no_grad()
    def install(self, state: dict[str, Any]) -> None:
        """Restore a state; a parameter that it lacks begins anew."""
        kept: dict[str, torch.Tensor] = state["averages"]
        self.put(state["decay"])
        named = [*self._model.named_parameters()] if kept else []
        self._weights = [weight for _, weight in named]
        self._averages = [
            (kept[name] if name in kept else weight.detach()).to(weight.device, copy=True)
            for name, weight in named
        ]


#: The average of a list of parameters in a script.
_AVERAGE = '''\
def average_parameters(averaged):
    """Return the average of each parameter after a step; after the first they are equal."""
    now = [parameter.detach() for parameter in parameters]
    if not averaged:
        return [parameter.clone() for parameter in now]
    average(averaged, now, None)
    return averaged'''


class EmaWriter(Writer):
    """torch's own averaged model, and its decay where that was changed."""

    def begin(self) -> None:
        if all(decay is None for decay in self.ever):
            return
        script, self._decay = self.script, self.at_first
        if script.foreign:  # its copy would have other tensors than those that train
            self._begin_list()
            return
        for name in ("AveragedModel", "get_ema_multi_avg_fn"):
            script.sources.imports.add(f"from torch.optim.swa_utils import {name}")
        script.setup.append("averaged = None" if self._decay is None else self._averaged(self._decay))
        update = "averaged.update_parameters(model)"
        script.after += ["if averaged is not None:", f"    {update}"] if script.changed("ema") else [update]
        if self.ever[-1] is not None:
            path = f'HERE / "{script.path.stem}.averaged.pt"'
            script.ending.append(f"torch.save(averaged.module.state_dict(), {path})")

    def _begin_list(self) -> None:
        """Contribute the lines that average a list of parameters."""
        script = self.script
        script.sources.imports.add("from torch.optim.swa_utils import get_ema_multi_avg_fn")
        script.definitions.append(_AVERAGE)
        script.setup.append("averaged = None" if self._decay is None else self._averaged(self._decay))
        update = "averaged = average_parameters(averaged)"
        script.after += ["if averaged is not None:", f"    {update}"] if script.changed("ema") else [update]
        if self.ever[-1] is not None:
            script.ending.append(f'torch.save(averaged, HERE / "{script.path.stem}.averaged.pt")')

    def change(self, entry: Entry) -> list[str]:
        before, self._decay = self._decay, entry.applied
        if entry.applied is None:
            return ["averaged = None"]
        if before is None:
            return [self._averaged(entry.applied)]
        if self.script.foreign:
            return [f"average = get_ema_multi_avg_fn({entry.applied!r})"]
        return [f"averaged.multi_avg_fn = get_ema_multi_avg_fn({entry.applied!r})"]

    def _averaged(self, decay: float) -> str:
        if self.script.foreign:
            return f"averaged, average = [], get_ema_multi_avg_fn({decay!r})"
        return f"averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn({decay!r}))"


class Ema(Control):
    """The decay of the average that evaluations and predictions use."""

    name = "ema"
    aliases = ("ema_decay", "average")
    bounds = "any"
    loop_part = "average"
    writer = EmaWriter
    rows = (
        PanelRow(
            "run", "Average (EMA)", unit="decay", empty="off",
            hint="Decay of the moving average that is evaluated, as 0.999; empty: off",
        ),
    )  # fmt: skip

    def read(self, value: Any) -> float | None:
        if value is None or value is False:
            return None
        number = read_number(value)
        if number is None or not 0 < number < 1:
            raise ValueError(f"ema={value!r}: a decay between 0 and 1 is wanted, such as 0.999, or None.")
        return number

    def now(self) -> float | None:
        return self.loop.average.decay

    def put(self, value: float | None) -> str | None:
        before = self.now()
        self.loop.average.put(value)
        if value is not None and before is None:
            return "evaluations and predictions use the averaged weights"
        return "evaluations and predictions use the weights as they are" if value is None and before else None

    @classmethod
    def headline(cls, panel: Panel) -> str:
        return f"average {panel.applied['ema']:g}" if panel.applied.get("ema") else ""
