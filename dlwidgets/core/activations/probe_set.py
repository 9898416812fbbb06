"""A few samples that stay the same while a model trains, and what its layers make of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from ..base.isolation import inspecting
from ..base.trees import call, tensors, tree_map
from ..layers.walk import kind_of
from .attention import Attended
from .distribution import (
    COLUMNS,
    Channels,
    Distribution,
    by_channel,
    channel_frame,
    distribution,
    of_channels,
)
from .failure import forward_failed, must_be_built, why_not_called
from .inputs import brought
from .layer_choice import Layers, choose, layer_paths
from .saturation import limits_of
from .watch import Seen, Watch

if TYPE_CHECKING:
    import pandas as pd

#: Samples that are taken, where there are more.
COUNT = 64
#: Values that the quantiles of a layer, and of a channel, are taken from.
_OF_LAYER, _OF_CHANNEL = 2**13, 2**9


class Sampled(Protocol):
    """Samples by number, as those of a session."""

    def __len__(self) -> int: ...

    def inputs(self, index: int) -> Any:
        """Return the inputs of one sample, as a batch of one."""


class ProbeStatistics:
    """What the layers of a model made of a probe set at one moment.

    Attributes
    ----------
    by_layer : key -> how the values of that tensor are spread, in the order in which the layers ran; keys as
        in `activations`.
    by_channel : key -> the same of each of its channels; without tensors that have none.
    kinds : key -> the class name of the layer.
    missing : path -> why a layer gave nothing, in words.
    samples : how many samples it was.
    seconds : what it took.
    """

    def __init__(self, samples: int) -> None:
        self.by_layer: dict[str, Distribution] = {}
        self.by_channel: dict[str, Channels] = {}
        self.kinds: dict[str, str] = {}
        self.missing: dict[str, str] = {}
        self.samples = samples
        self.seconds = 0.0

    @cached_property
    def layers(self) -> pd.DataFrame:
        """A row for each layer: kind, mean, std, zeros, saturated, nonfinite (shares), min, 5% ... max."""
        import pandas as pd

        rows = [(key, self.kinds[key], *found.row()) for key, found in self.by_layer.items()]
        return pd.DataFrame(rows, columns=["layer", "kind", *COLUMNS]).set_index("layer")

    @cached_property
    def channels(self) -> pd.DataFrame:
        """A row for each channel, by layer and channel: the same columns without kind."""
        return channel_frame(self.by_channel)


class ProbeSet:
    """Inputs that are kept as they are, so that what a layer makes of them differs by the model alone.

    To look costs a forward in eval mode and some passes over each layer's output, of which nothing is kept:
    together as much as one and a half training steps on as many samples, about two with channels
    (measured on the small CNN of the course, 64 samples of 28 x 28: tests/benchmarks/bench_activations.py).
    So look every few seconds, between two steps (`Session.at_step`), not at each.

    Mean, deviation and shares are exact, as are the extremes. The other quantiles of a layer are taken from
    8,192 of its values, those of a channel from 512, spread evenly: the share of values below a quartile
    is then off by 0.5 and 1.9 percentage points (one standard error). `statistics(exact=True)` takes all.

    Parameters
    ----------
    model : the model.
    inputs : a batch (a tensor or array, a tuple or a dict of them), copied; or samples by number, as those of
        a session, of which `count` are taken, spread evenly over all.
    layers : which layers, as for `activations`; None: every layer that holds no others.
    count : how many samples to take of samples by number.

    Raises
    ------
    TypeError, ValueError : the model or the layers are none, or there are no samples.
    """

    def __init__(self, model: nn.Module, inputs: Any, layers: Layers = None, *, count: int = COUNT) -> None:
        self._model = model
        self._layers = layers
        choose(layer_paths(model), layers)
        #: The numbers of the samples in their source; None of a batch.
        self.numbers: list[int] | None = None
        if hasattr(inputs, "inputs") and hasattr(inputs, "__len__"):
            self.numbers = spread(len(inputs), count)
            inputs = _together([inputs.inputs(number) for number in self.numbers])
        self._inputs = tree_map(lambda tensor: tensor.detach().clone(), brought(model, inputs))
        lengths = Counter(tensor.shape[0] for tensor in tensors(self._inputs) if tensor.ndim)
        if not lengths or 0 in lengths:
            raise ValueError("A probe set wants at least one sample; the inputs hold none.")
        self._samples = lengths.most_common(1)[0][0]

    def __len__(self) -> int:
        return self._samples

    @property
    def inputs(self) -> Any:
        """The samples, as the model takes them."""
        return self._inputs

    def statistics(self, *, channels: bool = True, exact: bool = False) -> ProbeStatistics:
        """Return what the layers make of the samples now; the model is left as it was.

        Parameters
        ----------
        channels : whether to look at each channel, too: it takes about twice as long.
        exact : whether to take the quantiles from all values.

        Raises
        ------
        ForwardFailed : the model could not run on the samples.
        """
        began = time.perf_counter()
        modules = layer_paths(self._model)
        wanted = choose(modules, self._layers)
        must_be_built(modules)
        found = ProbeStatistics(len(self))

        def receive(seen: Seen) -> None:
            limits = limits_of(seen.module, seen.suffix)
            found.kinds[seen.key] = kind_of(seen.module)
            most, fewer = (None, None) if exact else (_OF_LAYER, _OF_CHANNEL)
            if channels and seen.channels is not None:
                each = by_channel(seen.tensor, seen.channels, limits, most=fewer)
                found.by_channel[seen.key] = each
                found.by_layer[seen.key] = of_channels(each, seen.tensor, limits, most=most)
            else:
                found.by_layer[seen.key] = distribution(seen.tensor, limits, most=most)

        watch = Watch(modules, wanted, receive, attention=_nobody, samples=len(self))
        # Taken anew should the model have moved to another device.
        inputs = brought(self._model, self._inputs)
        with inspecting(self._model) as eager, watch.listening():
            try:
                call(eager, inputs)
            except Exception as error:
                raise forward_failed(error, modules, inputs) from error
        for path in wanted:
            if not watch.calls[path]:
                found.missing[path] = why_not_called(path, modules, watch.used_by.get(path))
            elif path not in found.by_layer:
                found.missing[path] = watch.empty.get(path, "gave no tensor in its first call")
        found.seconds = time.perf_counter() - began
        return found


def spread(total: int, count: int) -> list[int]:
    """Return `count` numbers below `total`, spread evenly, or all of them where there are no more."""
    count = min(total, max(1, count))
    return [number * total // count for number in range(count)]


def _together(batches: Sequence[Any]) -> Any:
    """Return batches of one as one batch."""
    if not batches:
        raise ValueError("A probe set wants at least one sample; there are none.")
    columns = zip(*(list(tensors(batch)) for batch in batches), strict=True)
    joined = iter([torch.cat(column) if column[0].ndim else column[0] for column in columns])
    return tree_map(lambda _: next(joined), batches[0])


def _nobody(key: str, module: nn.Module, attended: Attended) -> None:
    """Take no attention weights."""
