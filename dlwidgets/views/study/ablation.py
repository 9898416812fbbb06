"""The section "touch": factors of channels with undo, and the scores then."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ...core.activations.study.ablation import Factors, channel_variants, scores_under
from .subject import StudySubject

#: The factors of a channel that are tried in passing.
STEPS = (0.0, 0.5, 1.0, 2.0)
#: Classes that are listed; of more, those that matter most.
_SHOWN = 10
#: The largest factor.
_MOST = 1000.0


class AblationSection:
    """Factors by layer and channel, as they were given, and their effect.

    `set`, `undo` and `reset` are a person's; `work` computes, on the thread that may use the model.
    """

    def __init__(self) -> None:
        self._factors: dict[tuple[str, int], float] = {}
        self._past: list[dict[tuple[str, int], float]] = []
        self._found: dict[str, Any] = {}
        #: What lies behind the layers that were touched.
        self._behind: dict[str, nn.Module] = {}

    @property
    def key(self) -> Any:
        """What the effect depends on, as far as a person decides it."""
        return tuple(self._factors.items())

    def factor(self, layer: str, channel: int) -> float:
        """Return the factor of a channel; 1 where nobody touched it."""
        return self._factors.get((layer, channel), 1.0)

    def set(self, layer: str, channel: int, factor: Any) -> None:
        """Multiply a channel by `factor`: 0 switches it off, 1 restores it."""
        number = isinstance(factor, (int, float)) and not isinstance(factor, bool)
        if not number or not math.isfinite(factor) or abs(factor) > _MOST:
            raise ValueError(f"A channel is multiplied by a number from −1,000 to 1,000, not by {factor!r}.")
        if factor == self.factor(layer, channel):
            return
        self._remember()
        if factor == 1:
            del self._factors[layer, channel]
        else:
            self._factors[layer, channel] = float(factor)

    def undo(self) -> None:
        """Take back what was done last."""
        if not self._past:
            raise ValueError("There is nothing to undo: no channel was touched.")
        self._factors = self._past.pop()

    def reset(self) -> None:
        """Give all channels back."""
        if self._factors:
            self._remember()
            self._factors = {}

    def _remember(self) -> None:
        self._past = [*self._past[-99:], dict(self._factors)]

    def work(self, subject: StudySubject, _seconds: float = 0.0) -> bool:
        """Compute the effect of the factors, and of others for the channel.

        Returns False: nothing is left to be done.
        """
        factors: dict[str, dict[int, float]] = {}
        for (path, number), factor in self._factors.items():
            factors.setdefault(path, {})[number] = factor
        model, inputs = subject.model, subject.inputs
        self._behind.update(subject.behind)
        self._found = {}
        variants: list[Factors] = [{}, factors]
        if subject.channel < subject.layout.channels:
            variants += channel_variants(subject.layer, subject.channel, STEPS, factors)
        before, after, *steps = scores_under(model, inputs, variants, subject.scores, self._behind)
        self._found = {"before": before, "after": after, "steps": torch.stack(steps) if steps else None}
        return False

    def forget(self) -> None:
        """Let go what was computed."""
        self._found = {}

    def values(self, layer: str, channel: int, names: Callable[[int], Sequence[str]]) -> dict[str, Any]:
        """Return the picture as plain JSON."""
        words: dict[str, Any] = {
            "list": [[path, number, factor] for (path, number), factor in self._factors.items()],
            "factor": self.factor(layer, channel),
            "undo": len(self._past),
            "steps": list(STEPS),
            "rows": [],
        }
        if not self._found:
            return words
        before, after, steps = self._found["before"], self._found["after"], self._found["steps"]
        labels = names(len(before))
        for i in _worth_showing(before, after, steps):
            row = [float(before[i]), float(after[i]), *([] if steps is None else map(float, steps[:, i]))]
            words["rows"].append([labels[i], *(value if math.isfinite(value) else None for value in row)])
        words["of"] = len(before)
        return words


def _worth_showing(before: torch.Tensor, after: torch.Tensor, steps: torch.Tensor | None) -> list[int]:
    """Choose the classes to list: of many, the likely and the changed."""
    if len(before) <= _SHOWN:
        return list(range(len(before)))
    change = (after - before).abs()
    if steps is not None:
        change = torch.maximum(change, steps.amax(0) - steps.amin(0))
    wanted: dict[int, None] = {}
    orders = [torch.argsort(-row.nan_to_num(0.0), stable=True).tolist() for row in (before, after, change)]
    for place in range(len(before)):
        wanted.update(dict.fromkeys(order[place] for order in orders))
        if len(wanted) >= _SHOWN:
            break
    return sorted(list(wanted)[:_SHOWN])
