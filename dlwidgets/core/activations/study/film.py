"""A film: one layer's output across the snapshots of a run."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...base.isolation import find_device
from ...base.state import Reference, dereference, write_attributes
from ...layers.framework import framework_of
from ...layers.stand_in import lent
from ...pictures.picture import first_sample, with_batch_axis
from ...pictures.statistics import to_real
from ..activations import activations
from ..layer_choice import layer_paths

if TYPE_CHECKING:
    from ...training.snapshots.snapshot import Snapshot
    from ...training.snapshots.timeline import Timeline

#: How many frames a film has at most, and the bytes that they may take.
MOST_FRAMES, _BYTES = 48, 64_000_000


@dataclass(frozen=True, eq=False)
class Frame:
    """A layer's output for one sample, without batch axis, at one state.

    `why` says why the snapshot was taken, "now" for the state of now; `reason`, why there is no tensor.
    """

    step: int
    why: str
    tensor: torch.Tensor | None
    reason: str = ""


class Twin:
    """A stand-in of a model that takes on weights of earlier states.

    It shares no buffer with the model, and its parameters only until the first `load`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.module = lent(model)
        self._device = find_device(self.module)
        self._places: dict[int, list[tuple[nn.Module, str]]] = {}
        for module in self.module.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    self._places.setdefault(id(parameter), []).append((module, name))

    def load(self, state: Mapping[str, Any]) -> None:
        """Take on the "weights" of a snapshot; ValueError: they are another model's."""
        given = {name.removeprefix("_orig_mod."): tensor for name, tensor in state["tensors"].items()}
        parameters, buffers = dict(self.module.named_parameters()), dict(self.module.named_buffers())
        for name, parameter in parameters.items():
            if name not in given or given[name].shape != parameter.shape:
                raise ValueError(f"the model was another one then: {name} has been added or changed since")
        for name, parameter in parameters.items():
            # The state's own tensor, which nobody writes into: the twin only reads it.
            value = given[name].to(self._device, parameter.dtype)
            loaded = nn.Parameter(value, requires_grad=False)
            places = self._places[id(loaded)] = self._places.pop(id(parameter))
            for module, own in places:
                framework_of(module).replace_parameter(module, own, loaded)
        for name, buffer in buffers.items():
            if name in given and given[name].shape == buffer.shape:
                buffer.copy_(given[name])
        modules = dict(self.module.named_modules())
        for path, numbers in state.get("numbers", {}).items():
            if path in modules:
                write_attributes(modules[path], numbers)
        for path, extra in state.get("extra", {}).items():
            kept = dereference(extra) if isinstance(extra, Reference) else extra
            if path in modules and kept is not None:
                modules[path].set_extra_state(copy.deepcopy(kept))


def output_of(
    model: nn.Module, inputs: Any, layer: str, part: str = "", behind: nn.Module | None = None
) -> torch.Tensor:
    """Return a layer's tensor: dense, real, on the CPU, without batch axis.

    ValueError, in a sentence: the layer gave no tensor, or the model could not run.

    Parameters
    ----------
    inputs : the sample, a batch of one.
    part : the rest of its key in `activations`, as "[1]" or "#2"; an unknown one falls back to the first.
    behind : the layer whose output an elementwise `layer` hands on, which tells where the samples lie.
    """
    try:
        found = activations(model, inputs, [layer])
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    keys = found.parts(layer)
    if not keys:
        raise ValueError(f"{layer or 'The model'} {found.missing[layer]}.")
    key = layer + part if layer + part in keys else keys[0]
    module = layer_paths(model)[layer] if behind is None else behind
    if not found[key].numel():
        shape = tuple(found[key].shape)
        raise ValueError(f"{layer or 'The model'} puts out nothing for this sample: {shape}.")
    return first_sample(with_batch_axis(to_real(found[key]), module)[0], module).cpu()


class Film:
    """Frames of one layer and sample; each state is looked at once.

    Arguments are as for `output_of`.
    """

    def __init__(self, layer: str, part: str, inputs: Any, behind: nn.Module | None = None) -> None:
        self.layer, self.part = layer, part
        self._inputs, self._behind = inputs, behind
        self._frames: dict[Any, Frame] = {}
        self._size = 0

    @property
    def frames(self) -> list[Frame]:
        """The frames, in the order of their steps."""
        return sorted(self._frames.values(), key=lambda frame: frame.step)

    def advance(self, model: nn.Module, states: Sequence[Snapshot], seconds: float = float("inf")) -> bool:
        """Look at further states for about `seconds`; return whether some are left.

        Frames of states that are no longer among `states`, and whose step no newer one has, stay. ValueError:
        the model has a part that cannot be copied.
        """
        wanted = evenly(states, self._most)
        missing = [one for one in wanted if _key(one) not in self._frames]
        if not missing:
            return False
        until = time.perf_counter() + seconds
        try:
            twin = Twin(model)
        except Exception as error:
            raise ValueError(f"The model cannot be copied to look back: {error}.") from error
        while missing:
            one = missing.pop(0)
            try:
                twin.load(one.parts["weights"])
                tensor = output_of(twin.module, self._inputs, self.layer, self.part, self._behind)
            except ValueError as error:
                frame = Frame(one.step, one.why, None, str(error))
            else:
                self._size = tensor.nbytes
                frame = Frame(one.step, one.why, tensor)
            self._frames[_key(one)] = frame
            if time.perf_counter() >= until:
                break
        # Frames beyond the number go, those of lost states first.
        kept = [key for state in wanted if (key := _key(state)) in self._frames]
        others = [key for key in self._frames if key not in kept]
        room = {*evenly(kept, self._most), *evenly(others, max(0, self._most - len(kept)))}
        self._frames = {key: frame for key, frame in self._frames.items() if key in room}
        return bool(missing)

    def cut(self, step: int) -> None:
        """Drop what comes after `step`, as when a run went back."""
        self._frames = {key: frame for key, frame in self._frames.items() if frame.step <= step}

    @property
    def _most(self) -> int:
        return max(2, min(MOST_FRAMES, _BYTES // max(1, self._size)))


def kept_states(timeline: Timeline) -> list[Snapshot]:
    """Return the snapshots of the line under way, one a step."""
    found = {one.step: one for one in timeline.ring if timeline.line.holds(one)}
    return [found[step] for step in sorted(found)]


def evenly(things: Sequence[Any], most: int) -> list[Any]:
    """Choose at most `most` things evenly, first and last among them."""
    if len(things) <= most:
        return list(things)
    if most < 2:
        return list(things[:most])
    return [things[round(i * (len(things) - 1) / (most - 1))] for i in range(most)]


def _key(state: Snapshot) -> Any:
    return state.line, state.place, state.time
