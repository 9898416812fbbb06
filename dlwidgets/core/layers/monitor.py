"""Measuring the layers in some training steps, within a budget of time."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import Any

from torch import nn

from ..base.time_budget import TimeBudget
from .dead_units import UnitProbe
from .probes import LayerProbe, LayerStats

#: The share of the training's time that measuring may take.
SHARE = 0.002
_NOTHING = contextlib.nullcontext()
#: A pause between two steps that is longer than this is no part of the training [s].
_PAUSE = 1.0
#: How much of what is known of the past counts in the share of the time, from one look to the next.
_FADING = 0.8


class LayerMonitor:
    """Measures what some steps do to the layers; fails no step.

    In each step the loop computes the loss inside `with monitor.forward():`, calls `before()` once the
    gradients are there and `after()` once the weights have moved.

    Attributes
    ----------
    note : told in a sentence where the measuring failed and was switched off.
    """

    def __init__(self) -> None:
        self.note: Callable[[str], None] = lambda sentence: None
        self._probe: LayerProbe | None = None
        self._units: UnitProbe | None = None
        self._watching: LayerProbe | None = None
        self._time_budget = TimeBudget(SHARE, least=0.25)
        self._reset()

    def _reset(self) -> None:
        self._spent = self._began = self._ended = 0.0
        #: Seconds and steps since the last look; None before the first.
        self._passed: float | None = None
        self._steps = 0
        #: Seconds in looks and in all, the past fading.
        self._looked = self._all = 0.0

    def switch(self, model: nn.Module, on: bool) -> None:
        """Measure from now on, or no more."""
        self._reset()
        self._units = UnitProbe(model) if on else None
        self._probe = LayerProbe(model) if on else None

    def forward(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context to compute the loss in, which may watch activations."""
        self._watching = probe = self._probe
        if probe is not None:
            self._began = time.perf_counter()
            if self._time_budget.due(self._began):
                self._spent = 0.0
                return self._units or _NOTHING
        self._watching = None
        return _NOTHING

    def before(self) -> None:
        """Keep what the step will change, once gradients are there."""
        probe = self._watching
        if probe is None:
            return
        began = time.perf_counter()
        try:
            # One walk over the model is enough for a look.
            probe.before(self._units.layers if self._units is not None else None)
        except Exception as error:  # noqa: BLE001 - said, and the training goes on
            self._give_up(error)
        self._spent += time.perf_counter() - began

    def after(self, step: int) -> LayerStats | None:
        """Return what a step has changed; None where it was not measured."""
        probe, self._watching = self._watching, None
        found = None if probe is None else self._measured(lambda: probe.after(step), self._units)
        if self._probe is not None:
            # The time of this step and before it, without pauses.
            now, gap = time.perf_counter(), self._began - self._ended
            self._ended = now
            if self._passed is not None:
                self._passed += now - self._began + (gap if gap < _PAUSE else 0.0)
                self._steps += 1
        if found is None:
            return None
        passed, steps, self._passed, self._steps = self._passed, self._steps, 0.0, 0
        if passed is None:
            return found
        self._looked = _FADING * self._looked + self._spent
        self._all = _FADING * self._all + passed
        return dataclasses.replace(found, every=passed, between=steps, share=self._looked / self._all)

    def failed(self, step: int) -> LayerStats | None:
        """Measure a step not taken because a number is not finite."""
        seen, self._watching = self._watching is not None, None
        if (probe := self._probe) is None:
            return None
        if not seen:
            self._spent = 0.0
        return self._measured(lambda: probe.stopped(step), self._units if seen else None)

    def _measured(self, work: Callable[[], LayerStats], units: UnitProbe | None) -> LayerStats | None:
        began, found = time.perf_counter(), None
        try:
            found = work()
        except Exception as error:  # noqa: BLE001 - said, and the training goes on
            self._give_up(error)
        if units is not None and found is not None:
            try:
                found = dataclasses.replace(found, dead=units.found())
            except Exception as error:  # noqa: BLE001 - said; the rest is still measured
                self._units = None
                self.note(f"Dead units are not counted: {type(error).__name__}: {error}.")
        self._spent += time.perf_counter() - began + (units.cost if units is not None else 0.0)
        self._time_budget.spent(self._spent)
        return found

    def _give_up(self, error: Exception) -> None:
        self._probe = self._units = self._watching = None
        self.note(f"Layer statistics are off: {type(error).__name__}: {error}.")
