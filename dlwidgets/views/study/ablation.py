"""The section "touch": factors of channels with undo, and the scores then."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...core.activations.look import number
from ...core.activations.study.ablation import Factors, channel_variants, scores_under
from .section import Section, StudySubject

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: The factors of a channel that are tried in passing.
STEPS = (0.0, 0.5, 1.0, 2.0)
#: Classes that are listed (of more, those that matter most), and the largest factor.
_SHOWN, _MOST = 10, 1000.0


class AblationSection(Section):
    """Factors by layer and channel, as they were given, and their effect."""

    trait, empty = "touching", {"touching": {}}

    def __init__(self) -> None:
        super().__init__()
        self._factors: dict[tuple[str, int], float] = {}
        self._past: list[dict[tuple[str, int], float]] = []
        #: What lies behind the layers that were touched.
        self._behind: dict[str, nn.Module] = {}

    @property
    def key(self) -> Any:
        return tuple(self._factors.items())

    def set(self, layer: str, channel: int, factor: Any) -> None:
        """Multiply a channel by `factor`: 0 switches it off, 1 restores it."""
        is_number = isinstance(factor, (int, float)) and not isinstance(factor, bool)
        if not is_number or not math.isfinite(factor) or abs(factor) > _MOST:
            raise ValueError(f"A channel is multiplied by a number from −1,000 to 1,000, not by {factor!r}.")
        changed = {**self._factors, (layer, channel): float(factor)}
        self._change({where: one for where, one in changed.items() if one != 1})

    def reset(self) -> None:
        """Give all channels back."""
        self._change({})

    def _change(self, factors: dict[tuple[str, int], float]) -> None:
        if factors != self._factors:
            self._past = [*self._past[-99:], self._factors]
            self._factors = factors

    def undo(self) -> None:
        """Take back what was done last."""
        if not self._past:
            raise ValueError("There is nothing to undo: no channel was touched.")
        self._factors = self._past.pop()

    def work(self, subject: StudySubject, seconds: float) -> bool:
        """Compute the effect of the factors, and of others for the channel."""
        factors: dict[str, dict[int, float]] = {}
        for (path, channel), factor in self._factors.items():
            factors.setdefault(path, {})[channel] = factor
        if subject.layout.behind is not None:
            self._behind[subject.layer] = subject.layout.behind
        self.found = {}
        variants: list[Factors] = [{}, factors]
        if subject.channel < subject.layout.channels:
            variants += channel_variants(subject.layer, subject.channel, STEPS, factors)
        scores = scores_under(subject.model, subject.inputs(), variants, subject.scores, self._behind)
        labels = subject.names(len(scores[0]))
        self.found = {
            "rows": [[labels[i], *(number(float(one[i])) for one in scores)] for i in _worth_showing(scores)],
            "of": len(labels),
        }
        return False

    def values(self) -> dict[str, Any]:
        """Return what is touched and its effect, of no channel in particular."""
        touched = [[path, channel, factor] for (path, channel), factor in self._factors.items()]
        words = {"list": touched, "undo": len(self._past), "steps": list(STEPS), "rows": []}
        return {"touching": {**words, **self.found}}

    def factor(self, layer: str, channel: int) -> float:
        """Return the factor of a channel; 1 where nobody touched it."""
        return self._factors.get((layer, channel), 1.0)

    def figure(self, values: dict[str, Any], image: Any) -> Figure | None:
        from ...core.figures.study import ablation_figure

        touching = values["touching"]
        touched = [f"{path or 'model'} {channel} ×{factor:g}" for path, channel, factor in touching["list"]]
        if touching["reason"] or not touching["rows"]:
            return None
        title = ", ".join(touched) or "no channel is touched"
        return ablation_figure(touching["rows"], title, share=touching["measure"] == "probability")

    def frame(self, values: dict[str, Any]) -> pd.DataFrame:
        import pandas as pd

        rows = [row[:3] for row in values["touching"]["rows"]]
        return pd.DataFrame(rows, columns=["class", "before", "after"]).set_index("class")


def _worth_showing(scores: list[torch.Tensor]) -> list[int]:
    """Choose the classes to list: of many, the likely and the changed."""
    before, after, *steps = scores
    change = (after - before).abs()
    if steps:
        tried = torch.stack(steps)
        change = torch.maximum(change, tried.amax(0) - tried.amin(0))
    wanted: dict[int, None] = {}
    orders = [torch.argsort(-row.nan_to_num(0.0), stable=True).tolist() for row in (before, after, change)]
    for places in zip(*orders, strict=True):
        wanted.update(dict.fromkeys(places))
        if len(wanted) >= _SHOWN:
            break
    return sorted(list(wanted)[:_SHOWN])
