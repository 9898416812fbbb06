"""The learning-rate finder: the range test, which leaves no trace."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.numbers import format_rate, read_count, read_number
from ..base.words import did_you_mean, pluralize
from ..training.loop import NotFinite
from ..training.trials import Trial

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..training.run import Run

#: The weight of the past in the smoothed loss, corrected for its beginning; the smoothed loss over its least at which
#: the test ends; the share of the first rates, and the last ones, that no suggestion is made from (all as fastai has
#: them).
_BETA, _BURST, _FIRST, _LAST = 0.98, 4.0, 0.1, 5
#: With fewer rates than this nothing is suggested.
_FEW = 10


@dataclass(frozen=True, eq=False)
class RateSearch:
    """What a range test measured, and which rates it suggests.

    Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3.

    Attributes
    ----------
    rates, losses, smoothed : float64, one for each step taken: the leading group's rate, the loss of the batch, and
        its average, which forgets exponentially.
    suggestions : name -> rate: "valley" is the middle of the longest falling stretch, "steepest" where in it the loss
        falls fastest over the logarithm of the rate, "minimum_tenth" a tenth of the rate at the least loss (fastai
        names the same; its steepest is that of all rates, often one of noise). Empty where the loss fell nowhere.
    step : the step after which it was made.
    note : how it ended, in a sentence.
    """

    rates: np.ndarray = field(repr=False)
    losses: np.ndarray = field(repr=False)
    smoothed: np.ndarray = field(repr=False)
    suggestions: Mapping[str, float]
    step: int
    note: str
    _set_rate: Callable[[float], Any] = field(repr=False, default=lambda rate: None)

    @classmethod
    def of(
        cls, rates: Any, losses: Any, step: int = 0, note: str = "", set_rate: Callable[[float], Any] = float
    ) -> RateSearch:
        """Return the search of these rates and losses."""
        rates, losses = np.asarray(rates, float), np.asarray(losses, float)
        smoothed = smooth(losses)
        found = suggest_rates(rates, smoothed)
        said = note if found else f"{note} No rate lowered the loss."
        return cls(rates, losses, smoothed, found, step, said, set_rate)

    def take(self, which: str | float = "valley") -> float:
        """Set the session's rate to a suggestion, or a rate; return it.

        Raises
        ------
        ValueError : there is no such suggestion.
        """
        rate = self.suggestions.get(which) if isinstance(which, str) else read_number(which)
        if rate is None:
            there, hint = ", ".join(self.suggestions) or "none", did_you_mean(str(which), self.suggestions)
            raise ValueError(f"There is no suggestion {which!r}: there are {there}.{hint}")
        self._set_rate(rate)
        return rate

    def frame(self) -> pd.DataFrame:
        """Return a data frame: rate, loss, smoothed loss of each step."""
        import pandas as pd

        return pd.DataFrame({"rate": self.rates, "loss": self.losses, "smoothed": self.smoothed})

    def figure(self) -> Figure:
        """Return the losses over the rates, with the suggestions marked."""
        from ..base.canvas import BLUE, GREY, ORANGE, new_figure

        figure = new_figure(6.4, 3.0)
        axes = figure.subplots()
        axes.semilogx(self.rates, self.losses, color=BLUE, alpha=0.3, linewidth=1)
        axes.semilogx(self.rates, self.smoothed, color=BLUE)
        for place, (name, rate) in enumerate(self.suggestions.items()):
            axes.axvline(rate, color=ORANGE, linestyle="--", linewidth=1)
            words = f"{name.replace('_', ' ')} {format_rate(rate)}"
            axes.annotate(words, (rate, 0.98 - 0.09 * place), xycoords=("data", "axes fraction"), fontsize=8, va="top")
        if len(self.smoothed):
            low, first = self.smoothed.min(), self.smoothed[0]
            axes.set_ylim(low - 0.1 * abs(first - low), max(first, low) + 0.5 * max(abs(first - low), 0.1 * abs(first)))
        axes.set_xlabel("learning rate", color=GREY)
        axes.set_ylabel("loss", color=GREY)
        axes.spines[["top", "right"]].set_visible(False)
        return figure


def smooth(losses: np.ndarray) -> np.ndarray:
    """Return the exponential average of losses, corrected for its beginning."""
    weights = _BETA ** np.arange(len(losses))
    return np.array([
        np.dot(losses[: n + 1][::-1], weights[: n + 1]) / weights[: n + 1].sum() for n in range(len(losses))
    ])  # fmt: skip


def suggest_rates(rates: np.ndarray, smoothed: np.ndarray) -> dict[str, float]:
    """Return suggestions by name: see `RateSearch`; none where nothing fell."""
    first, last = int(len(rates) * _FIRST), max(0, len(rates) - _LAST)
    rates, losses = rates[first:last], smoothed[first:last]
    if len(rates) < _FEW or not losses.min() < losses[0]:
        return {}
    start, end = find_fall(losses)
    slopes = np.diff(losses[start : end + 1]) / np.diff(np.log(rates[start : end + 1]))
    return {
        "valley": float(rates[start + (end - start) // 2]),
        "steepest": float(rates[start + int(np.argmin(slopes))]),
        "minimum_tenth": float(rates[int(np.argmin(losses))] / 10),
    }


def find_fall(losses: np.ndarray) -> tuple[int, int]:
    """Return (start, end) of the longest falling stretch of losses.

    It ends with the longest falling subsequence, the first of those as long, and is as long as that.
    """
    # As in patience sorting: of all sequences of a length, the one that ends highest is the easiest to go on with.
    highest: list[float] = []
    length, end = 0, 0
    for place, loss in enumerate(losses):
        at = bisect_left(highest, -loss)
        highest[at : at + 1] = [-loss]
        if at + 1 > length:
            length, end = at + 1, place
    return max(0, end - length), end


def check_range(start: Any, end: Any, steps: Any) -> tuple[float, float, int]:
    """Return the range of a test, or raise a sentence."""
    first, last, count = read_number(start), read_number(end), read_count(steps)
    if first is None or last is None or not 0 < first < last < math.inf:
        raise ValueError(f"find_lr(start={start!r}, end={end!r}): two rates above 0 are wanted, the lower one first.")
    if count is None or count < 2:
        raise ValueError(f"find_lr(steps={steps!r}): a whole number of steps, 2 or more, is wanted.")
    return first, last, count


def search_rates(
    run: Run, start: float, end: float, steps: int, set_rate: Callable[[float], Any]
) -> Callable[[], RateSearch]:
    """Return the work of a range test, to be done by `Run.aside`."""
    if run.loop.rate.value is None:
        raise ValueError(f"{type(run.loop.optimizer).__name__} has no learning rate: there is none to find.")

    def work() -> RateSearch:
        loop, rate, over = run.loop, run.loop.rate, run.interruption()
        step, rates, losses = loop.steps, np.geomspace(start, end, steps), list[float]()
        rate.begin(None)  # a schedule would set rates of its own
        average, weight, least = 0.0, 0.0, math.inf
        note = f"All {pluralize(steps, 'step')} were taken."
        for number, one in enumerate(rates):
            if over():
                note = f"An order ended it after {pluralize(number, 'step')}."
                break
            rate.set(float(one))
            try:
                while not loop.step():
                    pass  # the end of an epoch
            except NotFinite:
                note = f"It ended at {format_rate(one)}, where a number was no longer finite."
                break
            losses.append(loop.loss)
            if math.isfinite(loop.loss):
                average, weight = _BETA * average + loop.loss, _BETA * weight + 1
                least = min(least, average / weight)
            if average / max(weight, 1) - least > (_BURST - 1) * abs(least):
                note = f"It ended at {format_rate(one)}, where the loss was {_BURST:g} times its least."
                break
            run.tell_trials([Trial({"lr": float(one)}, steps, number + 1, name="learning rates")])
        return RateSearch.of(rates[: len(losses)], losses, step, note, set_rate)

    return work
