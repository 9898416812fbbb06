"""A look at the layers in some of the steps, for as much of the time as is set aside for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn

from .governor import Governor

if TYPE_CHECKING:
    from .probes import LayerProbe, LayerStats


class Watch:
    """Measures what a step does to the layers, in steps of its own choosing; its failure fails no step.

    Attributes
    ----------
    note : told in a sentence where the measuring failed and was switched off.
    """

    def __init__(self) -> None:
        self.note: Callable[[str], None] = lambda sentence: None
        self._probe: LayerProbe | None = None
        self._watching: LayerProbe | None = None
        self._governor = Governor(0.005, least=0.25)
        self._spent = 0.0

    def switch(self, model: nn.Module, on: bool) -> None:
        """Measure from now on, or no more: nobody pays for what is not shown."""
        from .probes import LayerProbe

        self._probe = LayerProbe(model) if on else None

    def before(self) -> None:
        """Keep what the step will change, if it is to be measured; called once the gradients are there."""
        self._watching = probe = self._probe if self._probe is not None and self._governor.due() else None
        if probe is None:
            return
        began = time.perf_counter()
        try:
            probe.before()
        except Exception as error:  # noqa: BLE001 - said, and the training goes on
            self._give_up(error)
        self._spent = time.perf_counter() - began

    def after(self, step: int) -> LayerStats | None:
        """Return what the step `step` has changed; None where it was not measured."""
        probe, self._watching = self._watching, None
        if probe is None:
            return None
        began, found = time.perf_counter(), None
        try:
            found = probe.after(step)
        except Exception as error:  # noqa: BLE001 - said, and the training goes on
            self._give_up(error)
        self._governor.spent(self._spent + time.perf_counter() - began)
        return found

    def _give_up(self, error: Exception) -> None:
        self._probe = self._watching = None
        self.note(f"Layer statistics are off: {type(error).__name__}: {error}.")
