"""Top samples: those that drive a channel most, and where."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn

from ...base.isolation import isolate_model, run_forward
from ...base.outputs import between_transforms, describe_output, named_tensors
from ...base.trees import call_model, tree_map, tree_tensors
from ...layers.axes import samples_first
from ...layers.walk import kind_of
from ...pictures.statistics import to_real
from ..forward_pass import on_device_of
from ..layer_choice import layer_paths, no_such_layer

#: How many samples a probe set has.
PROBE = 256
#: What a channel's answer to a sample is: its largest value over the places, or its mean.
By = Literal["max", "mean"]
#: Samples that run together at most, and the bytes that the layer's output for them may take.
_BATCH, _BATCH_BYTES = 32, 16_000_000
#: The bytes that answers may take.
_CAP = 64_000_000


@dataclass(frozen=True)
class Excited:
    """One sample, by its number, that drives a channel.

    Attributes
    ----------
    value : the channel's answer to it; nan where that is not finite.
    box : where in the input the largest value lies, as shares of its axes: (left, top, width, height) of an
        image, (start, length) of a signal or sequence; None where the layer knows no places. Approximate:
        what a place really sees reaches further.
    """

    sample: int
    value: float
    box: tuple[float, ...] | None


def probe_numbers(count: int, size: int = PROBE, seed: int = 0) -> np.ndarray:
    """Draw the numbers of the probe samples, int64, in order."""
    if count <= size:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))


class Responses:
    """Each channel's response to each probe sample, gathered in pieces.

    Parameters
    ----------
    layer : path of the layer; of several calls and tensors, the first.
    numbers : the samples, in the order in which they are to be run.
    behind : the layer whose channels an elementwise `layer` hands on, where that is another.
    cap : the bytes that the answers may take; of more channels, the first are kept.

    Attributes
    ----------
    taken : how many samples have been run.
    channels : how many channels are kept, and `total` how many the layer has; 0 before the first piece.
    places : the sizes of the axes over which a channel extends, () for a vector.
    """

    def __init__(
        self,
        layer: str,
        numbers: Sequence[int] | np.ndarray,
        *,
        behind: nn.Module | None = None,
        cap: int = _CAP,
    ) -> None:
        self.layer, self.numbers = layer, np.asarray(numbers, dtype=np.int64)
        self.taken = self.channels = self.total = 0
        self.places: tuple[int, ...] = ()
        self._behind, self._cap = behind, cap
        self._batch = 1
        self._each = 0.0  # what a sample took of late [s]; 0 before any
        self._pieces = False
        self._max = self._mean = np.empty((0, 0), np.float32)
        self._at = np.empty((0, 0), np.int32)

    @property
    def complete(self) -> bool:
        """Whether all samples have been run."""
        return self.taken >= len(self.numbers)

    def gather(self, model: nn.Module, samples: Any, seconds: float = math.inf) -> bool:
        """Run further samples for about `seconds`; return whether some are left.

        One is run at least; `samples.inputs(i)` is sample i as a batch of one. The model is left as it was.
        ValueError: there is no such layer, or its channels cannot be told apart.
        """
        modules = layer_paths(model)
        if self.layer not in modules:
            raise ValueError(no_such_layer(self.layer, modules))
        until = time.perf_counter() + seconds
        with isolate_model(model) as eager:
            while not self.complete:
                began, taken = time.perf_counter(), self.taken
                most = int(min(_BATCH, (until - began) / self._each)) if self._each else 1
                self._piece(eager, samples, modules[self.layer], max(1, most))
                now = time.perf_counter()
                self._each = (now - began) / max(1, self.taken - taken)
                if now >= until:
                    break
        return not self.complete

    def top(self, channel: int, by: By = "max", count: int = 12) -> list[Excited]:
        """Return the samples that drive `channel` most, strongest first.

        Answers that are not finite come first, since they want to be seen. ValueError: there is no such
        channel, or no such way to order.
        """
        values = self.values(channel, by)
        strength = np.where(np.isfinite(values), values, np.inf)
        order = np.lexsort((self.numbers[: self.taken], -strength))[:count]
        known = np.where(np.isfinite(values), values, math.nan)
        return [
            Excited(int(self.numbers[row]), float(known[row]), self._box(int(self._at[row, channel])))
            for row in order
        ]

    def values(self, channel: int, by: By = "max") -> np.ndarray:
        """Return the channel's answers to the samples run so far, float32."""
        if by not in get_args(By):
            raise ValueError(f"Samples are ordered by 'max' or 'mean', not by {by!r}.")
        if not 0 <= channel < self.channels:
            raise ValueError(f"The layer has the channels 0 to {self.channels - 1}, not {channel}.")
        return (self._max if by == "max" else self._mean)[: self.taken, channel]

    # -- inside

    def _piece(self, model: nn.Module, samples: Any, layer: nn.Module, most: int) -> None:
        wanted = self.numbers[self.taken : self.taken + min(self._batch, most)]
        batches = [samples.inputs(int(number)) for number in wanted]
        together = joined(batches)
        if together is None:
            self._batch, together, batches = 1, batches[0], batches[:1]
        count = len(batches)
        try:
            tensor = self._run(model, together, layer)
        except Exception:
            if count == 1:
                raise
            self._batch = 1  # a model that takes one sample at a time
            return
        self._keep(tensor, layer, count)
        if self.taken == 1 and self._batch == 1 and len(self.numbers) > 1:
            self._batch = max(1, min(_BATCH, _BATCH_BYTES // max(1, tensor.numel() * tensor.element_size())))

    def _run(self, model: nn.Module, inputs: Any, layer: nn.Module) -> torch.Tensor:
        seen: list[Any] = []
        ready = on_device_of(model, inputs)

        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            if not seen:
                found = next((tensor for _, tensor in named_tensors(output)), None)
                with between_transforms():
                    seen.append(describe_output(output) if found is None else found.detach().clone())

        with layer.register_forward_hook(keep):
            run_forward(model, lambda: seen.clear() or call_model(model, tree_map(torch.clone, ready)))
        name = self.layer or kind_of(layer)
        if not seen:
            raise ValueError(f"{name} was not called for this sample.")
        if isinstance(seen[0], str):
            raise ValueError(f"{name} gives no tensor but {seen[0]}.")
        return seen[0]

    def _keep(self, tensor: torch.Tensor, layer: nn.Module, count: int) -> None:
        by = layer if self._behind is None else self._behind
        tensor = to_real(tensor)
        try:
            rows, places = samples_first(by, tensor, count)
        except ValueError as error:
            raise ValueError(f"{self.layer or kind_of(layer)} {error}.") from None
        if not self.taken:
            self.total = rows.shape[1]
            self.channels = max(1, min(self.total, self._cap // (12 * len(self.numbers))))
            self.places = places
            # Several rows for a sample, as windows: where they lie in it is not known.
            self._pieces = len(places) > tensor.ndim - 2
            size = (len(self.numbers), self.channels)
            self._max, self._mean, self._at = (np.zeros(size, kind) for kind in ("f4", "f4", "i4"))
        rows = rows[:, : self.channels].float()
        # A value that is not finite is the strongest, so that it is not hidden.
        strongest, at = rows.nan_to_num(torch.inf, torch.inf, -torch.inf).max(2)
        here = slice(self.taken, self.taken + count)
        self._max[here] = strongest.cpu().numpy()
        self._mean[here] = rows.mean(2).cpu().numpy()
        self._at[here] = at.to(torch.int32).cpu().numpy()
        if places != self.places:
            # Samples of several sizes: places are kept as shares of the first one's.
            self.places = ()
        self.taken += count

    def _box(self, at: int) -> tuple[float, ...] | None:
        if self._pieces or not self.places or math.prod(self.places) < 2 or len(self.places) > 3:
            return None
        where = np.unravel_index(at, self.places)
        if len(where) == 1:
            return float(where[0] / self.places[0]), 1 / self.places[0]
        (row, column), (height, width) = where[-2:], self.places[-2:]
        return float(column / width), float(row / height), 1 / width, 1 / height


def joined(batches: Sequence[Any]) -> Any:
    """Join batches of inputs; None where their shapes differ."""
    if len(batches) == 1:
        return batches[0]
    rows = [list(tree_tensors(batch)) for batch in batches]
    shapes = [[tensor.shape for tensor in row] for row in rows]
    if not rows[0] or any(other != shapes[0] for other in shapes) or () in shapes[0]:
        return None
    stacks = iter([torch.cat(column) for column in zip(*rows)])
    return tree_map(lambda _: next(stacks), batches[0])
