"""What training steps do to layers, measured within a budget of time."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..base.time_budget import TimeBudget
from .dead_units import DeadUnits, UnitProbe
from .framework import acts_as, framework_of
from .signals import Signals
from .walk import Layer, kind_of, walk


@dataclass(frozen=True)
class LayerStats:
    """What a step did to each trainable layer; float32 arrays by layer."""

    #: The step they were measured in, from 1.
    step: int
    paths: list[str]
    #: ‖w‖, the L2 norm of the layer's own weights after the step.
    weight_norm: np.ndarray
    #: ‖g‖, the L2 norm of their gradient, as the optimizer saw it.
    grad_norm: np.ndarray
    #: ‖Δw‖ / ‖w‖; about 1e-3 is usual (Karpathy, CS231n notes, "ratio of weights:updates").
    update_ratio: np.ndarray
    #: Whether weights and gradients are all finite.
    finite: np.ndarray
    #: The dead units of the activations in the batch of this step; None where they were not looked at.
    dead: DeadUnits | None = None
    #: Seconds and steps from the look before to this one; None of a first look.
    every: float | None = None
    between: int | None = None
    #: The share of the time that looking took of late, 0..1; None of a first look.
    share: float | None = None
    #: How many numbers each layer's weights are, and their dtype, as "float32"; empty where it is not known.
    sizes: np.ndarray = field(default_factory=lambda: np.empty(0))
    dtypes: tuple[str, ...] = ()
    #: What went through the layers; None where it was not looked at.
    signals: Signals | None = None
    #: Layers with weights that train, to none of which a gradient came in this step.
    without_gradient: tuple[str, ...] = ()
    #: Layers of several units that all had the same weights, in this look and those before -> their first weight.
    symmetric: Mapping[str, float] = field(default_factory=dict)
    #: How many layers of several units were looked through for it in the first look.
    compared: int = 0

    @cached_property
    def step_length(self) -> float:
        """‖Δw‖ / ‖w‖ of the layer in the middle, NaN of none.

        Layers are left out whose weights are below 0.01 on average: those of a new head were 0 a few steps ago, and
        their change says nothing.
        """
        ratios = self.update_ratio
        if len(self.sizes) == len(ratios):
            ratios = ratios[self.weight_norm >= 0.01 * np.sqrt(self.sizes)]
        ratios = ratios[np.isfinite(ratios)]
        return float(np.median(ratios)) if len(ratios) else math.nan


class LayerProbe:
    """Measures one step: `before()` after backward, `after()` after the optimizer's step.

    Between the two it holds a copy of the trainable weights; nothing of it stays. A tensor that several
    layers share belongs to the first of them; a layer without gradients, or frozen, is left out.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        #: Layers whose units were the same in every look; None before the first.
        self._symmetric: list[Layer] | None = None
        self._compared = 0
        self._let_go()

    def _let_go(self) -> None:
        self._layers: Sequence[Layer] = ()
        self._without: list[str] = []
        self._alike: dict[str, float] = {}
        self._weights: list[torch.Tensor] = []
        self._kept: list[torch.Tensor] = []
        self._norms: Sequence[torch.Tensor] = []
        self._owners: list[int] = []
        self._paths: list[str] = []

    @torch.no_grad()
    def before(self, layers: Sequence[Layer] | None = None) -> None:
        """Keep what the step will change; `layers` saves another walk."""
        self._let_go()
        seen: set[int] = set()
        self._layers = walk(self._model) if layers is None else layers
        for layer in self._layers:
            own = [p for p in layer.module._parameters.values() if p is not None and id(p) not in seen]
            training = [p for p in own if p.requires_grad]
            own = [p for p in training if p.grad is not None]
            seen.update(map(id, own))
            if training and not own:
                self._without.append(layer.path)
            if own:
                self._owners += [len(self._paths)] * len(own)
                self._paths.append(layer.path)
                self._weights += own
        if self._symmetric is None:
            self._symmetric = [layer for layer in self._layers if _draws_units(layer.module)]
            self._compared = len(self._symmetric)
        self._symmetric = [one for one in self._symmetric if _is_symmetric(_matrix_of(one.module))]
        self._alike = {one.path: float(_matrix_of(one.module).flatten()[0]) for one in self._symmetric}
        if self._weights:
            # The values of a sparse gradient have its norm.
            grads = [p.grad.coalesce().values() if p.grad.is_sparse else p.grad for p in self._weights]
            self._norms = _norms(grads)
            self._kept = [p.detach().clone() for p in self._weights]

    @torch.no_grad()
    def after(self, step: int = 0) -> LayerStats:
        """Return what the step has changed, and let everything kept go."""
        weights = [p.detach() for p in self._weights]
        if not weights:
            none = np.empty(0, np.float32)
            without = tuple(self._without)
            self._let_go()
            return LayerStats(step, [], none, none, none, none.astype(bool), without_gradient=without)
        torch._foreach_sub_(self._kept, weights)  # the sign does not matter to a norm
        weight, grad, update = map(self._by_layer, (_norms(weights), self._norms, _norms(self._kept)))
        with np.errstate(invalid="ignore"):  # infinite by infinite is NaN
            ratio = np.divide(update, weight, out=np.full_like(update, np.nan), where=weight > 0)
        sizes = np.bincount(self._owners, weights=[one.numel() for one in weights], minlength=len(self._paths))
        dtypes = {owner: str(one.dtype).removeprefix("torch.") for owner, one in zip(self._owners, weights)}
        found = LayerStats(
            step, self._paths, weight, grad, ratio, np.isfinite(weight) & np.isfinite(grad), sizes=sizes,
            dtypes=tuple(dtypes.values()), without_gradient=tuple(self._without),
            symmetric=dict(self._alike), compared=self._compared,
        )  # fmt: skip
        self._let_go()
        return found

    def stopped(self, step: int = 0) -> LayerStats:
        """Measure a step that was not taken: without ratios."""
        self.before()
        found = self.after(step)
        return dataclasses.replace(found, update_ratio=np.full_like(found.update_ratio, np.nan))

    def _by_layer(self, norms: Sequence[torch.Tensor]) -> np.ndarray:
        """Return each layer's norm: the root of the sum of squares."""
        if len({norm.device for norm in norms}) > 1:
            norms = [norm.cpu() for norm in norms]
        # Once to the CPU, and there to double: Apple's devices have none.
        squares = torch.stack(list(norms)).cpu().double().numpy() ** 2
        summed = np.bincount(self._owners, weights=squares, minlength=len(self._paths))
        return np.sqrt(summed).astype(np.float32)


def _draws_units(module: nn.Module) -> bool:
    """Say whether a layer has several units that see the same inputs."""
    # The rows of an embedding, and the channels of a convolution in groups, see different ones.
    apart = acts_as(module, nn.Embedding) or getattr(module, "groups", 1) > 1 or "Depthwise" in kind_of(module)
    w = None if apart else _matrix_of(module)
    trains = any(one is not None and one.ndim > 1 and one.requires_grad for one in module._parameters.values())
    return w is not None and trains and not is_lazy(w) and w.ndim > 1 and len(w) > 1


def _matrix_of(module: nn.Module) -> torch.Tensor | None:
    """Return a layer's weight, units first, or None."""
    found = framework_of(module).kernels_of(module)
    return module._parameters.get("weight") if found is None else found.get("kernel")


def _is_symmetric(w: torch.Tensor) -> bool:
    """Say whether all units have the same weights."""
    return bool((w[0] == w[-1]).all()) and bool((w == w[:1]).all())


def _norms(tensors: list[torch.Tensor]) -> Sequence[torch.Tensor]:
    """Return L2 norms in float32, where half precision cannot overflow."""
    found = list(tensors)
    for dtype in {tensor.dtype for tensor in tensors}:
        places = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
        half = dtype in (torch.float16, torch.bfloat16)
        norms = torch._foreach_norm([tensors[i] for i in places], 2, dtype=torch.float32 if half else None)
        for i, norm in zip(places, norms):
            found[i] = norm.float()
    return found


# -- some steps, within a budget of time

#: The share of the training's time that measuring may take.
SHARE = 0.002
_NOTHING = contextlib.nullcontext()
#: The steps after being switched on that are looked at whatever the time, so that a short run has some.
_EARLY = frozenset((1, 2, 5, 10, 20, 50, 100))
#: A pause between two steps that is longer than this is no part of the training [s].
_PAUSE = 1.0
#: How much of what is known of the past counts in the share of the time, from one look to the next.
_FADING = 0.8


class LayerMonitor:
    """Measures what some steps do to the layers; fails no step.

    In each step the loop computes the loss inside `with monitor.forward():`, hands it to `see_loss`, calls
    `before()` once the gradients are there and `after()` once the weights have moved. It looks at some of the first
    steps, and then as often as the time allows.

    Attributes
    ----------
    note : told in a sentence where the measuring failed and was switched off.
    why_not : why steps that somebody else takes cannot be measured, in a clause; "" where they can.
    """

    def __init__(self) -> None:
        self.note: Callable[[str], None] = lambda sentence: None
        self.why_not = ""
        self._probe: LayerProbe | None = None
        self._units: UnitProbe | None = None
        self._watching: LayerProbe | None = None
        self._time_budget = TimeBudget(SHARE, least=0.25)
        self._reset()

    def _reset(self) -> None:
        self._spent = self._began = self._ended = 0.0
        #: Seconds and steps since the last look; None before the first.
        self._passed: float | None = None
        self._steps = self._counted = self._soon = 0
        #: Seconds in looks and in all, the past fading.
        self._looked = self._all = 0.0

    @property
    def on(self) -> bool:
        """Whether layers are measured."""
        return self._probe is not None

    @property
    def looking(self) -> bool:
        """Whether the step under way is measured."""
        return self._watching is not None

    def switch(self, model: nn.Module, on: bool) -> None:
        """Measure from now on, or no more."""
        self._reset()
        self._units = UnitProbe(model) if on else None
        self._probe = LayerProbe(model) if on else None

    def forward(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context to compute the loss in, which may watch activations."""
        self._watching, self.why_not = self._probe, ""
        probe = self._watching
        if probe is not None:
            self._began = time.perf_counter()
            self._counted += 1
            if self._counted in _EARLY or self._counted == self._soon or self._time_budget.due(self._began):
                self._spent = 0.0
                return self._units or _NOTHING
        self._watching = None
        return _NOTHING

    def look_soon(self) -> None:
        """Look at the step after the next, as after a change."""
        self._soon = self._counted + 2

    def see_loss(self, loss: torch.Tensor) -> None:
        """Note what the loss is computed of, before its backward."""
        if self._watching is not None and self._units is not None:
            self._units.see_loss(loss)

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
                found = dataclasses.replace(found, dead=units.found(), signals=units.signals.found())
            except Exception as error:  # noqa: BLE001 - said; the rest is still measured
                self._units = None
                self.note(f"Activations and dead units are not looked at: {type(error).__name__}: {error}.")
        self._spent += time.perf_counter() - began + (units.cost if units is not None else 0.0)
        self._time_budget.spent(self._spent)
        return found

    def _give_up(self, error: Exception) -> None:
        self._probe = self._units = self._watching = None
        self.note(f"Layer statistics are off: {type(error).__name__}: {error}.")
